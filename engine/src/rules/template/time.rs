//! Times and durations as Go shows them; times are in UTC.
//!
//! Source: Go `time/format.go`, `time/time.go`.

use crate::exec::calendar::Date;

pub(super) const NANOS_PER_SECOND: i64 = 1_000_000_000;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

const WEEKDAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// 1 is January.
pub(super) fn month_name(month: i64) -> String {
    match usize::try_from(month - 1).ok().and_then(|index| MONTHS.get(index)) {
        Some(name) => (*name).to_owned(),
        None => format!("%!Month({month})"),
    }
}

/// 0 is Sunday.
pub(super) fn weekday_name(day: i64) -> String {
    match usize::try_from(day).ok().and_then(|index| WEEKDAYS.get(index)) {
        Some(name) => (*name).to_owned(),
        None => format!("%!Weekday({day})"),
    }
}

/// A moment taken apart.
pub(super) struct Moment {
    pub date: Date,
    pub hour: i64,
    pub minute: i64,
    pub second: i64,
    pub nanosecond: i64,
}

impl Moment {
    pub fn new(nanos: i64) -> Moment {
        let date = Date::from_unix_seconds(nanos.div_euclid(NANOS_PER_SECOND));
        Moment {
            hour: date.second_of_day / 3600,
            minute: date.second_of_day / 60 % 60,
            second: date.second_of_day % 60,
            nanosecond: nanos.rem_euclid(NANOS_PER_SECOND),
            date,
        }
    }
}

/// Go's `Time.String`.
pub(super) fn time_text(nanos: i64) -> String {
    time_format(nanos, "2006-01-02 15:04:05.999999999 -0700 MST")
}

/// Parts of a layout with what they stand for, the longer before what they begin with.
const LAYOUT: [(&str, Part); 34] = [
    ("January", Part::MonthName),
    ("Jan", Part::MonthShort),
    ("Monday", Part::DayName),
    ("Mon", Part::DayShort),
    ("MST", Part::Zone),
    ("01", Part::Month2),
    ("02", Part::Day2),
    ("03", Part::Hour12Two),
    ("04", Part::Minute2),
    ("05", Part::Second2),
    ("06", Part::Year2),
    ("002", Part::YearDay3),
    ("15", Part::Hour24),
    ("1", Part::Month),
    ("2006", Part::Year4),
    ("2", Part::Day),
    ("__2", Part::YearDaySpace),
    ("_2006", Part::SpaceYear),
    ("_2", Part::DaySpace),
    ("3", Part::Hour12),
    ("4", Part::Minute),
    ("5", Part::Second),
    ("PM", Part::UpperPm),
    ("pm", Part::LowerPm),
    ("-070000", Part::Text("+000000")),
    ("-07:00:00", Part::Text("+00:00:00")),
    ("-0700", Part::Text("+0000")),
    ("-07:00", Part::Text("+00:00")),
    ("-07", Part::Text("+00")),
    ("Z070000", Part::Text("Z")),
    ("Z07:00:00", Part::Text("Z")),
    ("Z0700", Part::Text("Z")),
    ("Z07:00", Part::Text("Z")),
    ("Z07", Part::Text("Z")),
];

#[derive(Clone, Copy)]
enum Part {
    MonthName,
    MonthShort,
    DayName,
    DayShort,
    Zone,
    Month,
    Month2,
    Day,
    Day2,
    DaySpace,
    YearDay3,
    YearDaySpace,
    Hour24,
    Hour12,
    Hour12Two,
    Minute,
    Minute2,
    Second,
    Second2,
    Year2,
    Year4,
    SpaceYear,
    UpperPm,
    LowerPm,
    Text(&'static str),
}

/// Go's `Time.Format`.
pub(super) fn time_format(nanos: i64, layout: &str) -> String {
    let moment = Moment::new(nanos);
    let mut out = String::new();
    let mut rest = layout;
    while let Some(c) = rest.chars().next() {
        if let Some((text, len)) = fraction(rest, moment.nanosecond) {
            out += &text;
            rest = &rest[len..];
            continue;
        }
        let known = LAYOUT.iter().filter(|(name, _)| rest.starts_with(name));
        // `Jan` is no part of `Janet`; the longest name wins.
        match known.max_by_key(|(name, _)| name.len()) {
            Some((name, part))
                if !(matches!(part, Part::MonthShort)
                    && rest[3..].starts_with(|c: char| c.is_ascii_lowercase())) =>
            {
                out += &part_text(*part, &moment);
                rest = &rest[name.len()..];
            }
            _ => {
                out.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    out
}

/// `.000` and `,999`: digits of the second's fraction, with nines those that are not zero at the
/// end.
fn fraction(layout: &str, nanosecond: i64) -> Option<(String, usize)> {
    let mut chars = layout.chars();
    let separator = chars.next().filter(|c| matches!(c, '.' | ','))?;
    let digit = chars.next().filter(|c| matches!(c, '0' | '9'))?;
    let count = layout[1..].chars().take_while(|c| *c == digit).count();
    if layout[1 + count..].starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let digits: String = format!("{nanosecond:09}").chars().take(count.min(9)).collect();
    let text = match digit {
        '9' => digits.trim_end_matches('0').to_owned(),
        _ => digits,
    };
    let text = if text.is_empty() { text } else { format!("{separator}{text}") };
    Some((text, 1 + count))
}

fn part_text(part: Part, moment: &Moment) -> String {
    let date = &moment.date;
    let hour12 = if moment.hour % 12 == 0 { 12 } else { moment.hour % 12 };
    match part {
        Part::MonthName => month_name(date.month),
        Part::MonthShort => month_name(date.month)[..3].to_owned(),
        Part::DayName => weekday_name(date.day_of_week()),
        Part::DayShort => weekday_name(date.day_of_week())[..3].to_owned(),
        Part::Zone => "UTC".to_owned(),
        Part::Month => date.month.to_string(),
        Part::Month2 => format!("{:02}", date.month),
        Part::Day => date.day.to_string(),
        Part::Day2 => format!("{:02}", date.day),
        Part::DaySpace => format!("{:2}", date.day),
        Part::YearDay3 => format!("{:03}", date.day_of_year()),
        Part::YearDaySpace => format!("{:3}", date.day_of_year()),
        Part::Hour24 => format!("{:02}", moment.hour),
        Part::Hour12 => hour12.to_string(),
        Part::Hour12Two => format!("{hour12:02}"),
        Part::Minute => moment.minute.to_string(),
        Part::Minute2 => format!("{:02}", moment.minute),
        Part::Second => moment.second.to_string(),
        Part::Second2 => format!("{:02}", moment.second),
        Part::Year2 => format!("{:02}", date.year.rem_euclid(100)),
        Part::Year4 => format!("{:04}", date.year),
        Part::SpaceYear => format!("_{:04}", date.year),
        Part::UpperPm => if moment.hour >= 12 { "PM" } else { "AM" }.to_owned(),
        Part::LowerPm => if moment.hour >= 12 { "pm" } else { "am" }.to_owned(),
        Part::Text(text) => text.to_owned(),
    }
}

/// Go's `Duration.String`: `1h2m3.5s`, `1.5ms`.
pub(super) fn duration_text(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let magnitude = nanos.unsigned_abs();
    let decimal = |value: u64, unit: u64| {
        let fraction = format!("{:0width$}", value % unit, width = unit.ilog10() as usize);
        match fraction.trim_end_matches('0') {
            _ if unit == 1 => value.to_string(),
            "" => (value / unit).to_string(),
            fraction => format!("{}.{fraction}", value / unit),
        }
    };
    match magnitude {
        0 => "0s".to_owned(),
        1..1_000 => format!("{sign}{magnitude}ns"),
        1_000..1_000_000 => format!("{sign}{}µs", decimal(magnitude, 1_000)),
        1_000_000..1_000_000_000 => format!("{sign}{}ms", decimal(magnitude, 1_000_000)),
        _ => {
            let minutes = magnitude / 60_000_000_000;
            let seconds = decimal(magnitude % 60_000_000_000, 1_000_000_000);
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{sign}{seconds}s"),
                (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
                (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
            }
        }
    }
}
