//! Functions that read a value as a time: `hour`, `month`, ….

use crate::exec::calendar::Date;
use crate::promql::functions::FunctionId;

/// Replaces all values, seconds since the Unix epoch, by the field of the date.
///
/// # Panics
///
/// On a function that is not of a date.
pub fn run(function: FunctionId, values: &mut [f64]) {
    for value in values {
        let date = Date::from_unix_seconds(seconds(*value));
        let field = match function {
            FunctionId::DayOfMonth => date.day,
            FunctionId::DayOfWeek => date.day_of_week(),
            FunctionId::DayOfYear => date.day_of_year(),
            FunctionId::DaysInMonth => date.days_in_month(),
            FunctionId::Hour => date.second_of_day / 3600,
            FunctionId::Minute => date.second_of_day / 60 % 60,
            FunctionId::Month => date.month,
            FunctionId::Year => date.year,
            other => panic!("{other:?} must be a function of a date"),
        };
        *value = field as f64;
    }
}

/// Whole seconds. What no second count holds, NaN among it, is the last of them: where Prometheus
/// runs on x86 it gets the first one there and counts that from the wrong end.
fn seconds(value: f64) -> i64 {
    const END: f64 = 9_223_372_036_854_775_808.0;
    if (-END..END).contains(&value) { value as i64 } else { i64::MAX }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_are_no_time_have_the_last_date() {
        let of = |function, value| {
            let mut values = [value];
            run(function, &mut values);
            values[0]
        };
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, -1e300] {
            assert_eq!(of(FunctionId::Hour, value), 15.0, "{value}");
            assert_eq!(of(FunctionId::Minute, value), 30.0, "{value}");
            assert_eq!(of(FunctionId::DayOfMonth, value), 4.0, "{value}");
            assert_eq!(of(FunctionId::DayOfYear, value), 339.0, "{value}");
            assert_eq!(of(FunctionId::DayOfWeek, value), 0.0, "{value}");
        }
        assert_eq!(of(FunctionId::Year, -1.5), 1969.0);
    }
}
