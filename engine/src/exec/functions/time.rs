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
        // Beyond what a second count holds there are no dates; the cast stays in bounds.
        let date = Date::from_unix_seconds(*value as i64);
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
