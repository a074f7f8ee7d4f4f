//! Durations, sizes and secrets: single values with a spelling of their own.

use std::fmt;
use std::time::Duration;

use super::yaml::{Abort, Decoded, Decoder, Field, Node, Yaml, plain_field};
use crate::wire::quote::quoted;

/// A duration in whole milliseconds, spelled `1h30m`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(pub i64);

/// Units from the largest to the smallest, the order in which they must be written.
const DURATION_UNITS: [(&str, i64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// Longest duration Prometheus takes: it counts nanoseconds in 63 bits.
const DURATION_MS_MAX: i64 = i64::MAX / 1_000_000;

impl Millis {
    pub const fn seconds(seconds: i64) -> Millis {
        Millis(seconds * 1000)
    }

    pub const fn ms(self) -> i64 {
        self.0
    }

    pub fn duration(self) -> Duration {
        Duration::from_millis(self.0.max(0) as u64)
    }

    /// Reads `1d12h`, units from large to small, or `0`.
    ///
    /// # Errors
    ///
    /// Prometheus's text, naming the duration.
    ///
    /// Source: `ParseDuration` of prometheus/common `model/time.go`.
    pub fn parse(text: &str) -> Result<Millis, String> {
        let invalid = || format!("not a valid duration string: {}", quoted(text.as_bytes()));
        match text {
            "0" => return Ok(Millis(0)),
            "" => return Err("empty duration string".to_owned()),
            _ => {}
        }
        let mut rest = text;
        let mut total_ms: i64 = 0;
        let mut unit_next = 0;
        while !rest.is_empty() {
            let digits_len = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (digits, tail) = rest.split_at(digits_len);
            let count: u64 = digits.parse().map_err(|_| invalid())?;
            let unit_len = tail.bytes().take_while(|b| !b.is_ascii_digit()).count();
            if unit_len == 0 {
                return Err(invalid());
            }
            let (unit, tail) = tail.split_at(unit_len);
            rest = tail;
            let Some(index) = DURATION_UNITS.iter().position(|(name, _)| *name == unit) else {
                let unit = quoted(unit.as_bytes());
                return Err(format!("unknown unit {unit} in duration {}", quoted(text.as_bytes())));
            };
            if index < unit_next {
                return Err(invalid());
            }
            unit_next = index + 1;
            total_ms = i64::try_from(count)
                .ok()
                .and_then(|count| count.checked_mul(DURATION_UNITS[index].1))
                .and_then(|ms| total_ms.checked_add(ms))
                .filter(|ms| *ms <= DURATION_MS_MAX)
                .ok_or("duration out of range")?;
        }
        Ok(Millis(total_ms))
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        if self.0 < 0 {
            f.write_str("-")?;
        }
        let mut rest_ms = self.0.unsigned_abs();
        for (name, unit_ms) in DURATION_UNITS {
            let unit_ms = unit_ms as u64;
            // Years and weeks only if nothing remains: 90d reads better than 12w6d.
            if matches!(name, "y" | "w") && !rest_ms.is_multiple_of(unit_ms) {
                continue;
            }
            if rest_ms >= unit_ms {
                write!(f, "{}{name}", rest_ms / unit_ms)?;
                rest_ms %= unit_ms;
            }
        }
        Ok(())
    }
}

impl Field for Millis {
    plain_field!("string", Millis(0), |value| value.0 == 0);

    fn decode(&mut self, decoder: &mut Decoder, node: &Node) -> Decoded {
        let mut text = String::new();
        if !text.decode(decoder, node)? {
            return Ok(false);
        }
        *self = Millis::parse(&text).map_err(|message| Abort::at(node.line, message))?;
        Ok(true)
    }

    fn to_yaml(&self) -> Yaml {
        Yaml::Text(self.to_string())
    }
}

/// A number of bytes, spelled `512MB` or `1GiB`; both count in powers of 1024.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub i64);

const SIZE_PREFIXES: [&str; 7] = ["", "K", "M", "G", "T", "P", "E"];

impl ByteSize {
    /// Reads a size with its unit.
    ///
    /// # Errors
    ///
    /// Prometheus's text, naming the size.
    ///
    /// Source: alecthomas/units `bytes.go`, `util.go`.
    pub fn parse(text: &str) -> Result<ByteSize, String> {
        // Prometheus tries `KiB` and then `KB`: a text uses one spelling or the other.
        parse_size(text, "iB").or_else(|_| parse_size(text, "B")).map(ByteSize)
    }
}

fn parse_size(text: &str, suffix: &str) -> Result<i64, String> {
    let invalid = || format!("units: invalid {text}");
    let negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total = 0.0_f64;
    while !rest.is_empty() {
        let number_len = rest.bytes().take_while(|b| b.is_ascii_digit()).count();
        let fraction_len = match rest.as_bytes().get(number_len) {
            Some(b'.') => 1 + rest[number_len + 1..].bytes().take_while(u8::is_ascii_digit).count(),
            _ => 0,
        };
        if number_len > 0 && rest[..number_len].parse::<i64>().is_err() {
            return Err(invalid());
        }
        let (number, tail) = rest.split_at(number_len + fraction_len);
        if number_len == 0 && fraction_len < 2 {
            return Err(invalid());
        }
        let number = format!("0{number}");
        let value: f64 = number.trim_end_matches('.').parse().map_err(|_| invalid())?;
        let unit_len = tail.bytes().take_while(|b| !(b.is_ascii_digit() || *b == b'.')).count();
        let (unit, tail) = tail.split_at(unit_len);
        rest = tail;
        let known = SIZE_PREFIXES.iter().position(|prefix| match *prefix {
            "" => unit == "B",
            prefix => unit.strip_prefix(prefix) == Some(suffix),
        });
        let Some(power) = known else {
            return Err(format!("units: unknown unit {unit} in {text}"));
        };
        total += value * 1024_f64.powi(power as i32);
    }
    let total = if negative { -total } else { total };
    if !(i64::MIN as f64..=i64::MAX as f64).contains(&total) {
        return Err("units: overflow parsing unit".to_owned());
    }
    Ok(total as i64)
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        let mut rest = self.0;
        for (power, prefix) in SIZE_PREFIXES.iter().enumerate() {
            let part = rest % 1024;
            if part != 0 || power == 0 && rest == 0 {
                let suffix = if power == 0 { "B" } else { "iB" };
                parts.push(format!("{part}{prefix}{suffix}"));
            }
            rest /= 1024;
            if rest == 0 {
                break;
            }
        }
        parts.iter().rev().try_for_each(|part| f.write_str(part))
    }
}

impl Field for ByteSize {
    plain_field!("units.Base2Bytes", ByteSize(0), |value| value.0 == 0);

    fn decode(&mut self, decoder: &mut Decoder, node: &Node) -> Decoded {
        let mut text = String::new();
        let names = [("string", "units.Base2Bytes")];
        if !decoder.named(&names, |decoder| text.decode(decoder, node))? {
            return Ok(false);
        }
        *self = ByteSize::parse(&text).map_err(|message| Abort::at(node.line, message))?;
        Ok(true)
    }

    fn to_yaml(&self) -> Yaml {
        Yaml::Text(self.to_string())
    }
}

/// A password or key. It prints as `<secret>` wherever it is printed; only [`Secret::reveal`]
/// gives the text.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    pub fn reveal(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

impl Field for Secret {
    plain_field!("config.plain", Secret::default(), |value| value.0.is_empty());

    fn decode(&mut self, decoder: &mut Decoder, node: &Node) -> Decoded {
        let names = [("string", "config.plain")];
        decoder.named(&names, |decoder| self.0.decode(decoder, node))
    }

    fn to_yaml(&self) -> Yaml {
        if self.0.is_empty() { Yaml::Null } else { Yaml::Text("<secret>".to_owned()) }
    }
}

/// A duration in Go's own notation, in nanoseconds: `1h2m3.5s`, `-1.5ms`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct GoDuration(pub i64);

/// Units of Go's notation in nanoseconds.
const GO_UNITS: [(&str, f64); 8] = [
    ("ns", 1.0),
    ("us", 1e3),
    ("µs", 1e3),
    ("μs", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 60e9),
    ("h", 3600e9),
];

impl GoDuration {
    pub fn ms(self) -> i64 {
        self.0 / 1_000_000
    }

    /// # Errors
    ///
    /// Go's text: `time: invalid duration "1x"`.
    pub fn parse(text: &str) -> Result<GoDuration, String> {
        let shown = quoted(text.as_bytes());
        let invalid = || format!("time: invalid duration {shown}");
        let (sign, mut rest) = match text.as_bytes().first() {
            Some(b'-') => (-1.0, &text[1..]),
            Some(b'+') => (1.0, &text[1..]),
            _ => (1.0, text),
        };
        if rest == "0" {
            return Ok(GoDuration(0));
        }
        if rest.is_empty() {
            return Err(invalid());
        }
        let mut total_ns = 0.0;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.');
            let (number, after) = rest.split_at(digits.unwrap_or(rest.len()));
            let number: f64 = number.parse().map_err(|_| invalid())?;
            let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.');
            let (unit, after) = after.split_at(unit_end.unwrap_or(after.len()));
            if unit.is_empty() {
                return Err(format!("time: missing unit in duration {shown}"));
            }
            let Some((_, scale)) = GO_UNITS.iter().find(|(name, _)| *name == unit) else {
                let unit = quoted(unit.as_bytes());
                return Err(format!("time: unknown unit {unit} in duration {shown}"));
            };
            total_ns += number * scale;
            rest = after;
        }
        if total_ns > i64::MAX as f64 {
            return Err(invalid());
        }
        Ok(GoDuration((sign * total_ns) as i64))
    }
}

impl Field for GoDuration {
    plain_field!("time.Duration", GoDuration(0), |value| value.0 == 0);

    /// A number is nanoseconds.
    fn decode(&mut self, decoder: &mut Decoder, node: &Node) -> Decoded {
        let mut text = String::new();
        if !text.decode(decoder, node)? {
            return Ok(false);
        }
        match text.parse().map(GoDuration).or_else(|_| GoDuration::parse(&text)) {
            Ok(duration) => *self = duration,
            Err(_) => return Ok(decoder.mismatch(node, "time.Duration")),
        }
        Ok(true)
    }

    fn to_yaml(&self) -> Yaml {
        Yaml::Plain(format!("{}ns", self.0))
    }
}
