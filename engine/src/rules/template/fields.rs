//! Fields and methods of values: what stands behind a point.
//!
//! Source: Go `text/template/exec.go`, `evalField`; Go `time`; Prometheus `model/histogram`.

use super::time::{Moment, NANOS_PER_SECOND, duration_text, time_format, time_text};
use super::value::{IntType, Value};

/// The field `name` of `receiver`, which has no method of that name. A field that is given
/// arguments is refused.
///
/// # Errors
///
/// Go's message.
pub(super) fn field(receiver: &Value, name: &str, has_arguments: bool) -> Result<Value, String> {
    let type_name = receiver.type_name();
    let of_map = || format!("{name} is not a method but has arguments");
    let of_struct = || format!("{name} has arguments but cannot be invoked as function");
    let found = match receiver.held() {
        Value::Nil if matches!(receiver, Value::Interface(_)) => {
            return Err(format!("nil pointer evaluating {type_name}.{name}"));
        }
        // A field of nothing is nothing.
        Value::Nil => return Ok(Value::Nil),
        Value::Labels(_) | Value::Map(_) if has_arguments => return Err(of_map()),
        Value::Labels(labels) => Some(Value::string(labels.get(name).map_or("", String::as_str))),
        Value::Map(map) => Some(map.get(name).cloned().unwrap_or(Value::Nil).in_interface()),
        Value::Sample(sample) => match name {
            "Labels" => Some(Value::Labels(sample.labels.clone())),
            "Value" => Some(sample.value.clone().in_interface()),
            _ => None,
        },
        Value::Alert(alert) => match name {
            "Labels" => Some(Value::Labels(alert.labels.clone())),
            "ExternalLabels" => Some(Value::Labels(alert.external_labels.clone())),
            "ExternalURL" => Some(Value::String(alert.external_url.clone())),
            "Value" => Some(alert.value.clone().in_interface()),
            _ => None,
        },
        Value::Histogram(histogram) => match name {
            "Count" => Some(Value::Float(histogram.count)),
            "Sum" => Some(Value::Float(histogram.sum)),
            "ZeroCount" => Some(Value::Float(histogram.zero_count)),
            "ZeroThreshold" => Some(Value::Float(histogram.zero_threshold)),
            _ => None,
        },
        _ => None,
    };
    match found {
        Some(_) if has_arguments && !matches!(receiver.held(), Value::Labels(_)) => {
            Err(of_struct())
        }
        Some(value) => Ok(value),
        None => Err(format!("can't evaluate field {name} in type {type_name}")),
    }
}

/// What the method `name` of `receiver` gives; `None`: its type has no such method.
pub(super) fn method(
    receiver: &Value,
    name: &str,
    arguments: &[Value],
) -> Option<Result<Value, String>> {
    let receiver = receiver.held();
    let wanted = usize::from(matches!((receiver, name), (Value::Time(_), "Format")));
    let value = match receiver {
        Value::Time(nanos) => time_method(*nanos, name, arguments)?,
        Value::Duration(nanos) => duration_method(*nanos, name)?,
        Value::Histogram(histogram) if name == "String" => Value::string(histogram.to_string()),
        Value::Int(value, IntType::Month) if name == "String" => {
            Value::string(super::time::month_name(*value))
        }
        Value::Int(value, IntType::Weekday) if name == "String" => {
            Value::string(super::time::weekday_name(*value))
        }
        _ => return None,
    };
    let got = arguments.len();
    if got != wanted {
        return Some(Err(format!("wrong number of args for {name}: want {wanted} got {got}")));
    }
    Some(Ok(value))
}

fn time_method(nanos: i64, name: &str, arguments: &[Value]) -> Option<Value> {
    let moment = Moment::new(nanos);
    let int = |value: i64| Value::Int(value, IntType::Int);
    let long = |value: i64| Value::Int(value, IntType::Int64);
    Some(match name {
        "Format" => {
            let layout = arguments.first().and_then(Value::text).map_or("", |text| text);
            Value::string(time_format(nanos, layout))
        }
        "String" => Value::string(time_text(nanos)),
        "Unix" => long(nanos.div_euclid(NANOS_PER_SECOND)),
        "UnixMilli" => long(nanos.div_euclid(1_000_000)),
        "UnixMicro" => long(nanos.div_euclid(1_000)),
        "UnixNano" => long(nanos),
        "UTC" => Value::Time(nanos),
        "Year" => int(moment.date.year),
        "Month" => Value::Int(moment.date.month, IntType::Month),
        "Day" => int(moment.date.day),
        "YearDay" => int(moment.date.day_of_year()),
        "Weekday" => Value::Int(moment.date.day_of_week(), IntType::Weekday),
        "Hour" => int(moment.hour),
        "Minute" => int(moment.minute),
        "Second" => int(moment.second),
        "Nanosecond" => int(moment.nanosecond),
        "IsZero" => Value::Bool(false),
        _ => return None,
    })
}

fn duration_method(nanos: i64, name: &str) -> Option<Value> {
    let in_units =
        |unit: i64| Value::Float((nanos / unit) as f64 + (nanos % unit) as f64 / unit as f64);
    Some(match name {
        "String" => Value::string(duration_text(nanos)),
        "Seconds" => in_units(NANOS_PER_SECOND),
        "Minutes" => in_units(60 * NANOS_PER_SECOND),
        "Hours" => in_units(3600 * NANOS_PER_SECOND),
        "Milliseconds" => Value::Int(nanos / 1_000_000, IntType::Int64),
        "Microseconds" => Value::Int(nanos / 1_000, IntType::Int64),
        "Nanoseconds" => Value::Int(nanos, IntType::Int64),
        _ => return None,
    })
}
