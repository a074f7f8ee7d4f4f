//! Go's own functions of templates.
//!
//! Source: Go `text/template/funcs.go`.

use std::cmp::Ordering;
use std::rc::Rc;
use std::sync::Arc;

use super::escape;
use super::format;
use super::functions::{Failure, Surroundings};
use super::value::{Basic, IntType, Value};

type Called = Result<Value, Failure>;

/// `and` and `or` look at their arguments one by one, before a call is made.
pub(super) fn unreached(_: &[Value], _: &Surroundings<'_>) -> Called {
    Ok(Value::Nil)
}

/// Nothing that a template of rules sees is a function.
pub(super) fn call(arguments: &[Value], _: &Surroundings<'_>) -> Called {
    match arguments[0].held() {
        Value::Nil => Err("call of nil".into()),
        held => Err(format!("non-function of type {}", held.type_name()).into()),
    }
}

pub(super) fn print(arguments: &[Value], _: &Surroundings<'_>) -> Called {
    Ok(Value::string(format::print(arguments)?))
}

pub(super) fn println(arguments: &[Value], _: &Surroundings<'_>) -> Called {
    Ok(Value::string(format::print_line(arguments)?))
}

pub(super) fn printf(arguments: &[Value], _: &Surroundings<'_>) -> Called {
    let (template, values) = arguments.split_first().ok_or("no format")?;
    let template = template.text().map_or("", |text| text);
    Ok(Value::string(format::printf(template, values)?))
}

/// The arguments as one text, pointers followed.
fn printed(arguments: &[Value]) -> Result<String, Failure> {
    if let [Value::String(text)] = arguments {
        return Ok(text.to_string());
    }
    let values: Vec<Value> = arguments
        .iter()
        .map(|argument| match argument.held() {
            Value::Nil | Value::Sample(_) => Value::string(format::action_text(argument)),
            held => held.clone(),
        })
        .collect();
    Ok(format::print(&values)?)
}

pub(super) fn html(arguments: &[Value], _: &Surroundings<'_>) -> Called {
    Ok(Value::string(escape::html(&printed(arguments)?)))
}

pub(super) fn js(arguments: &[Value], _: &Surroundings<'_>) -> Called {
    Ok(Value::string(escape::js(&printed(arguments)?)))
}

pub(super) fn urlquery(arguments: &[Value], _: &Surroundings<'_>) -> Called {
    Ok(Value::string(escape::query(&printed(arguments)?)))
}

pub(super) fn len(arguments: &[Value], _: &Surroundings<'_>) -> Called {
    Ok(Value::int(match arguments[0].held() {
        Value::String(text) | Value::Html(text) => text.len(),
        Value::Labels(labels) => labels.len(),
        Value::Map(map) => map.len(),
        Value::Vector(samples) => samples.len(),
        Value::Nil => return Err("reflect: call of reflect.Value.Type on zero Value".into()),
        held => return Err(format!("len of type {}", pointed_type(held)).into()),
    }))
}

/// The type that a pointer points to; of other values their own.
fn pointed_type(value: &Value) -> &'static str {
    value.type_name().trim_start_matches('*')
}

pub(super) fn not(arguments: &[Value], _: &Surroundings<'_>) -> Called {
    Ok(Value::Bool(!arguments[0].is_true()))
}

/// An index into something of `len` elements; `len` itself passes, as where a slice ends.
fn position(index: &Value, len: usize) -> Result<usize, Failure> {
    match index.held() {
        Value::Int(at, _) => match usize::try_from(*at) {
            Ok(at) if at <= len => Ok(at),
            _ => Err(format!("index out of range: {at}").into()),
        },
        Value::Nil => Err("cannot index slice/array with nil".into()),
        held => Err(format!("cannot index slice/array with type {}", held.type_name()).into()),
    }
}

fn key(index: &Value) -> Result<&str, Failure> {
    match index.held() {
        Value::String(text) => Ok(text),
        Value::Nil => Err("value is nil; should be of type string".into()),
        held => Err(format!("value has type {}; should be string", held.type_name()).into()),
    }
}

pub(super) fn index(arguments: &[Value], _: &Surroundings<'_>) -> Called {
    let mut item = arguments[0].clone().unwrapped();
    if item.is_nil() {
        return Err("index of untyped nil".into());
    }
    for index in &arguments[1..] {
        item = match item.held() {
            Value::String(text) | Value::Html(text) => {
                let at = position(index, text.len())?;
                let byte = text.as_bytes().get(at);
                let byte = byte.ok_or("reflect: string index out of range")?;
                Value::Int(i64::from(*byte), IntType::Uint8)
            }
            Value::Vector(samples) => {
                let at = position(index, samples.len())?;
                let sample = samples.get(at).ok_or("reflect: slice index out of range")?;
                Value::Sample(sample.clone())
            }
            Value::Labels(labels) => {
                Value::string(labels.get(key(index)?).map_or("", String::as_str))
            }
            Value::Map(map) => map.get(key(index)?).cloned().unwrap_or(Value::Nil).in_interface(),
            Value::Nil => return Err("index of nil pointer".into()),
            held => {
                return Err(format!("can't index item of type {}", pointed_type(held)).into());
            }
        };
    }
    Ok(item)
}

pub(super) fn slice(arguments: &[Value], _: &Surroundings<'_>) -> Called {
    let item = arguments[0].clone().unwrapped();
    let indexes = &arguments[1..];
    if item.is_nil() {
        return Err("slice of untyped nil".into());
    }
    if indexes.len() > 3 {
        return Err(format!("too many slice indexes: {}", indexes.len()).into());
    }
    let len = match &item {
        Value::String(_) | Value::Html(_) if indexes.len() == 3 => {
            return Err("cannot 3-index slice a string".into());
        }
        Value::String(text) | Value::Html(text) => text.len(),
        Value::Vector(samples) => samples.len(),
        other => {
            return Err(format!("can't slice item of type {}", other.type_name()).into());
        }
    };
    let mut bounds = [0, len, len];
    for (bound, index) in bounds.iter_mut().zip(indexes) {
        *bound = position(index, len)?;
    }
    for pair in bounds[..indexes.len().max(2)].windows(2) {
        if pair[0] > pair[1] {
            return Err(format!("invalid slice index: {} > {}", pair[0], pair[1]).into());
        }
    }
    let range = bounds[0]..bounds[1];
    Ok(match &item {
        // A cut through a character leaves bytes that are no text: each becomes U+FFFD.
        Value::Vector(samples) => Value::Vector(Rc::from(&samples[range])),
        Value::Html(text) => Value::Html(String::from_utf8_lossy(&text.as_bytes()[range]).into()),
        other => {
            let bytes = other.text().map_or(&[][..], |text| text.as_bytes());
            Value::string(String::from_utf8_lossy(&bytes[range]))
        }
    })
}

fn incompatible(left: &Value, right: &Value) -> Failure {
    let (left, right) = (left.type_name(), right.type_name());
    format!("incompatible types for comparison: {left} and {right}").into()
}

const NOT_COMPARABLE: &str = "invalid type for comparison";

fn are_equal(left: &Value, right: &Value) -> Result<bool, Failure> {
    let (left, right) = (left.held(), right.held());
    match (left, right) {
        (Value::Int(left, _), Value::Int(right, _)) => Ok(left == right),
        (Value::Bool(left), Value::Bool(right)) => Ok(left == right),
        (Value::Float(left), Value::Float(right)) => Ok(left == right),
        (Value::Nil, Value::Nil) => Ok(true),
        (Value::Nil, _) | (_, Value::Nil) => Ok(false),
        _ if left.basic() != right.basic() => Err(incompatible(left, right)),
        _ => match (left.text(), right.text()) {
            (Some(left), Some(right)) => Ok(left == right),
            _ => are_identical(left, right),
        },
    }
}

/// Pointers are equal when they point to the same; what cannot be compared is refused.
fn are_identical(left: &Value, right: &Value) -> Result<bool, Failure> {
    match (left, right) {
        (Value::Sample(left), Value::Sample(right)) => Ok(Rc::ptr_eq(left, right)),
        (Value::Histogram(left), Value::Histogram(right)) => Ok(Arc::ptr_eq(left, right)),
        (Value::Time(_), Value::Time(_)) | (Value::Duration(_), Value::Duration(_)) => Ok(false),
        _ if left.type_name() == right.type_name() => {
            let (shown, name) = (format::plain(right), right.type_name());
            Err(format!("non-comparable type {shown}: {name}").into())
        }
        _ => Err(format!(
            "non-comparable types {}: {}, {}: {}",
            format::plain(left),
            left.type_name(),
            right.type_name(),
            format::plain(right)
        )
        .into()),
    }
}

pub(super) fn eq(arguments: &[Value], _: &Surroundings<'_>) -> Called {
    let (first, others) = arguments.split_first().ok_or("missing argument for comparison")?;
    if others.is_empty() {
        return Err("missing argument for comparison".into());
    }
    for other in others {
        if are_equal(first, other)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

pub(super) fn ne(arguments: &[Value], _: &Surroundings<'_>) -> Called {
    Ok(Value::Bool(!are_equal(&arguments[0], &arguments[1])?))
}

/// `None`: one of them is not a number.
fn order(arguments: &[Value]) -> Result<Option<Ordering>, Failure> {
    let (left, right) = (arguments[0].held(), arguments[1].held());
    if left.basic() == Basic::Other || right.basic() == Basic::Other {
        return Err(NOT_COMPARABLE.into());
    }
    match (left, right) {
        (Value::Int(left, _), Value::Int(right, _)) => Ok(Some(left.cmp(right))),
        (Value::Float(left), Value::Float(right)) => Ok(left.partial_cmp(right)),
        (Value::Bool(_), Value::Bool(_)) => Err(NOT_COMPARABLE.into()),
        _ => match (left.text(), right.text()) {
            (Some(left), Some(right)) => Ok(Some(left.cmp(right))),
            _ => Err(incompatible(left, right)),
        },
    }
}

pub(super) fn lt(arguments: &[Value], _: &Surroundings<'_>) -> Called {
    Ok(Value::Bool(order(arguments)? == Some(Ordering::Less)))
}

pub(super) fn le(arguments: &[Value], _: &Surroundings<'_>) -> Called {
    Ok(Value::Bool(matches!(order(arguments)?, Some(Ordering::Less | Ordering::Equal))))
}

/// Not less or equal: true of NaN, too.
pub(super) fn gt(arguments: &[Value], _: &Surroundings<'_>) -> Called {
    Ok(Value::Bool(!matches!(order(arguments)?, Some(Ordering::Less | Ordering::Equal))))
}

/// Not less: true of NaN, too.
pub(super) fn ge(arguments: &[Value], _: &Surroundings<'_>) -> Called {
    Ok(Value::Bool(order(arguments)? != Some(Ordering::Less)))
}
