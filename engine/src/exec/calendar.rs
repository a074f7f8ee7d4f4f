//! Dates of the proleptic Gregorian calendar in UTC.
//!
//! Source: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms": an era has 400 years, a year
//! begins in March.

const SECONDS_PER_DAY: i64 = 86_400;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date {
    pub year: i64,
    /// 1 to 12.
    pub month: i64,
    /// 1 to 31.
    pub day: i64,
    /// Since the Unix epoch.
    pub days: i64,
    pub second_of_day: i64,
}

impl Date {
    pub fn from_unix_seconds(seconds: i64) -> Date {
        let days = seconds.div_euclid(SECONDS_PER_DAY);
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        Date {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month,
            day: day_of_year - (153 * march_month + 2) / 5 + 1,
            days,
            second_of_day: seconds.rem_euclid(SECONDS_PER_DAY),
        }
    }

    pub fn is_leap_year(&self) -> bool {
        self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0)
    }

    pub fn days_in_month(&self) -> i64 {
        match self.month {
            2 => 28 + i64::from(self.is_leap_year()),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }

    /// 1 to 366.
    pub fn day_of_year(&self) -> i64 {
        const BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
        let leap_day = i64::from(self.is_leap_year() && self.month > 2);
        BEFORE[self.month as usize - 1] + self.day + leap_day
    }

    /// 0 is Sunday.
    pub fn day_of_week(&self) -> i64 {
        (self.days + 4).rem_euclid(7)
    }
}

#[cfg(test)]
mod tests {
    use super::Date;

    #[track_caller]
    fn check(seconds: i64, expected: (i64, i64, i64, i64, i64)) {
        let date = Date::from_unix_seconds(seconds);
        let found = (date.year, date.month, date.day, date.day_of_year(), date.day_of_week());
        assert_eq!(found, expected);
    }

    #[test]
    fn dates() {
        check(0, (1970, 1, 1, 1, 4));
        check(-1, (1969, 12, 31, 365, 3));
        check(1_709_164_800, (2024, 2, 29, 60, 4));
        check(1_735_603_200, (2024, 12, 31, 366, 2));
        check(951_782_400, (2000, 2, 29, 60, 2));
        Date::from_unix_seconds(i64::MIN);
        Date::from_unix_seconds(i64::MAX);
    }
}
