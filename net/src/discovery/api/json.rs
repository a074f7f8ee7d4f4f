//! Answers in JSON: places in them, and their scalars as text.

use serde_json::Value;

pub fn parse(body: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(body).map_err(|error| format!("cannot read the answer: {error}"))
}

/// The value at a path of names, `a.b.c`; null where there is none.
pub fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(value, |value, name| &value[name])
}

/// A scalar of JSON as text; empty for everything else.
pub fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(yes) => yes.to_string(),
        _ => String::new(),
    }
}

/// [`text`] of the value at a path.
pub fn text_at(value: &Value, path: &str) -> String {
    text(at(value, path))
}

/// A number, which may be written with a point, without its fraction.
pub fn whole(number: &Value) -> String {
    number.as_f64().map_or_else(String::new, |number| (number as i64).to_string())
}

/// A whole number; zero for everything else.
pub fn int(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}

/// The items of a list; none of anything else.
pub fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The items of a list as texts.
pub fn texts(value: &Value) -> impl Iterator<Item = String> + use<'_> {
    items(value).iter().map(text)
}

/// Names and texts of an object.
pub fn pairs(value: &Value) -> impl Iterator<Item = (&str, String)> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), text(value)))
}
