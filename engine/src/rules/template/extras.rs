//! Prometheus's functions of templates.
//!
//! Source: Prometheus `template/template.go`; prometheus/common `helpers/templates`.

use core::net::IpAddr;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::escape;
use super::functions::{Failure, Surroundings};
use super::humanize;
use super::time::NANOS_PER_SECOND;
use super::value::{IntType, Sample, Value};
use crate::model::float::format_g;
use crate::model::quote::quote;
use crate::promql::parse_duration as duration_ms;
use crate::regex::{CaptureRegex, Captures};

type Called = Result<Value, Failure>;

fn text(arguments: &[Value], index: usize) -> &str {
    arguments.get(index).and_then(Value::text).map_or("", |text| text)
}

/// A nil pointer where a sample must be.
fn sample(arguments: &[Value], index: usize) -> Result<&Sample, Failure> {
    match arguments.get(index).map(Value::held) {
        Some(Value::Sample(sample)) => Ok(sample),
        _ => Err("runtime error: invalid memory address or nil pointer dereference".into()),
    }
}

fn vector(arguments: &[Value], index: usize) -> Rc<[Rc<Sample>]> {
    match arguments.get(index).map(Value::held) {
        Some(Value::Vector(samples)) => samples.clone(),
        _ => Rc::from([]),
    }
}

/// Answered by the caller where it can; this asks for the answer.
pub(super) fn query(arguments: &[Value], _: &Surroundings<'_>) -> Called {
    Err(Failure::Query(text(arguments, 0).to_owned()))
}

pub(super) fn first(arguments: &[Value], _: &Surroundings<'_>) -> Called {
    match vector(arguments, 0).first() {
        Some(sample) => Ok(Value::Sample(sample.clone())),
        None => Err("first() called on vector with no elements".into()),
    }
}

pub(super) fn label(arguments: &[Value], _: &Surroundings<'_>) -> Called {
    let sample = sample(arguments, 1)?;
    Ok(Value::string(sample.labels.get(text(arguments, 0)).map_or("", String::as_str)))
}

pub(super) fn value(arguments: &[Value], _: &Surroundings<'_>) -> Called {
    Ok(sample(arguments, 0)?.value.clone().in_interface())
}

pub(super) fn strvalue(arguments: &[Value], _: &Surroundings<'_>) -> Called {
    let sample = sample(arguments, 0)?;
    Ok(Value::string(sample.labels.get("__value__").map_or("", String::as_str)))
}

pub(super) fn args(arguments: &[Value], _: &Surroundings<'_>) -> Called {
    let named = arguments
        .iter()
        .enumerate()
        .map(|(index, value)| (format!("arg{index}"), value.clone().in_interface()));
    Ok(Value::Map(Rc::new(named.collect::<BTreeMap<_, _>>())))
}

/// Every match replaced; a reference in the replacement names a group.
pub(super) fn re_replace_all(arguments: &[Value], _: &Surroundings<'_>) -> Called {
    let pattern = text(arguments, 0);
    let regex = CaptureRegex::unanchored(pattern).map_err(|error| {
        let shown = match pattern.contains('`') {
            true => quote(pattern),
            false => format!("`{pattern}`"),
        };
        format!("regexp: Compile({shown}): {error}")
    })?;
    let (replacement, source) = (text(arguments, 1).as_bytes(), text(arguments, 2));
    let mut out = Vec::with_capacity(source.len());
    let mut captures = Captures::default();
    let (mut last_end, mut search_from) = (0, 0);
    while search_from <= source.len() && regex.captures_from(source, search_from, &mut captures) {
        let Some((start, end)) = captures.get(0) else { break };
        out.extend_from_slice(&source.as_bytes()[last_end..start]);
        // An empty match right behind another is none.
        if end > last_end || start == 0 {
            regex.expand(replacement, source.as_bytes(), &captures, &mut out);
        }
        if out.len() > super::OUTPUT_BYTES_MAX {
            return Err(format!("output longer than {} bytes", super::OUTPUT_BYTES_MAX).into());
        }
        last_end = end;
        let width = source[search_from..].chars().next().map_or(1, char::len_utf8);
        search_from = end.max(search_from + width);
    }
    out.extend_from_slice(&source.as_bytes()[last_end.min(source.len())..]);
    Ok(Value::string(String::from_utf8_lossy(&out)))
}

pub(super) fn is_match(arguments: &[Value], _: &Surroundings<'_>) -> Called {
    let regex = CaptureRegex::unanchored(text(arguments, 0)).map_err(|error| error.to_string())?;
    Ok(Value::Bool(regex.is_match(text(arguments, 1).as_bytes())))
}

pub(super) fn safe_html(arguments: &[Value], _: &Surroundings<'_>) -> Called {
    Ok(Value::Html(text(arguments, 0).into()))
}

/// Each word with a capital first letter, the rest as it is. A point or apostrophe between letters
/// is part of a word.
pub(super) fn title(arguments: &[Value], _: &Surroundings<'_>) -> Called {
    let mut out = String::new();
    let mut in_word = false;
    let mut chars = text(arguments, 0).chars().peekable();
    while let Some(c) = chars.next() {
        let is_letter = |c: char| c.is_alphanumeric() || c == '_';
        if is_letter(c) {
            match in_word {
                true => out.push(c),
                false => out.extend(c.to_uppercase()),
            }
            // What is no letter has no case: the next letter is the first one.
            in_word |= c.is_alphabetic();
            continue;
        }
        let joins = in_word
            && matches!(c, '\'' | '.' | ':' | '·' | '’' | '‘' | '․')
            && chars.peek().is_some_and(|next| next.is_alphabetic());
        in_word &= joins || !c.is_ascii() && !c.is_whitespace() && is_mark(c);
        out.push(c);
    }
    Ok(Value::string(out))
}

/// A mark that belongs to the letter before it.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{200d}')
}

pub(super) fn to_upper(arguments: &[Value], _: &Surroundings<'_>) -> Called {
    // Go maps character by character: what would become two stays.
    Ok(Value::string(
        text(arguments, 0).chars().map(|c| one(c.to_uppercase(), c)).collect::<String>(),
    ))
}

pub(super) fn to_lower(arguments: &[Value], _: &Surroundings<'_>) -> Called {
    Ok(Value::string(
        text(arguments, 0).chars().map(|c| one(c.to_lowercase(), c)).collect::<String>(),
    ))
}

fn one(mut mapped: impl Iterator<Item = char>, c: char) -> char {
    match (mapped.next(), mapped.next()) {
        (Some(single), None) => single,
        _ => c,
    }
}

pub(super) fn graph_link(arguments: &[Value], _: &Surroundings<'_>) -> Called {
    Ok(Value::string(format!("/graph?g0.expr={}&g0.tab=0", escape::query(text(arguments, 0)))))
}

pub(super) fn table_link(arguments: &[Value], _: &Surroundings<'_>) -> Called {
    Ok(Value::string(format!("/graph?g0.expr={}&g0.tab=1", escape::query(text(arguments, 0)))))
}

pub(super) fn sort_by_label(arguments: &[Value], _: &Surroundings<'_>) -> Called {
    let name = text(arguments, 0);
    let mut samples = vector(arguments, 1).to_vec();
    let key = |sample: &Rc<Sample>| sample.labels.get(name).cloned().unwrap_or_default();
    samples.sort_by_cached_key(key);
    Ok(Value::Vector(samples.into()))
}

/// Host and port of `host:port`; nothing where Go's `SplitHostPort` fails.
fn split_host_port(text: &str) -> Option<(&str, &str)> {
    let colon = text.rfind(':')?;
    let (host, port) = if let Some(inner) = text.strip_prefix('[') {
        let end = inner.find(']')?;
        if inner[end + 1..].find(':')? != 0 || end + 2 != colon {
            return None;
        }
        (&inner[..end], &text[colon + 1..])
    } else {
        if text[..colon].contains(':') {
            return None;
        }
        (&text[..colon], &text[colon + 1..])
    };
    let brackets = |text: &str| text.contains(['[', ']']);
    (!brackets(host) && !brackets(port)).then_some((host, port))
}

pub(super) fn strip_port(arguments: &[Value], _: &Surroundings<'_>) -> Called {
    let all = text(arguments, 0);
    Ok(Value::string(split_host_port(all).map_or(all, |(host, _)| host)))
}

pub(super) fn strip_domain(arguments: &[Value], _: &Surroundings<'_>) -> Called {
    let all = text(arguments, 0);
    let (host, port) = split_host_port(all).unwrap_or((all, ""));
    if host.parse::<IpAddr>().is_ok() {
        return Ok(Value::string(all));
    }
    let name = host.split('.').next().unwrap_or("");
    Ok(Value::string(match port {
        "" => name.to_owned(),
        _ if name.contains(':') => format!("[{name}]:{port}"),
        _ => format!("{name}:{port}"),
    }))
}

/// A number from any value that may be one.
fn float(arguments: &[Value]) -> Result<f64, Failure> {
    match arguments[0].held() {
        Value::Float(value) => Ok(*value),
        Value::String(text) => Ok(humanize::parse_float(text)?),
        Value::Int(value, IntType::Int | IntType::Int64) => Ok(*value as f64),
        held => Err(format!("can't convert {} to float", held.type_name()).into()),
    }
}

pub(super) fn humanize(arguments: &[Value], _: &Surroundings<'_>) -> Called {
    Ok(Value::string(humanize::decimal(float(arguments)?)))
}

pub(super) fn humanize1024(arguments: &[Value], _: &Surroundings<'_>) -> Called {
    Ok(Value::string(humanize::binary(float(arguments)?)))
}

pub(super) fn humanize_duration(arguments: &[Value], _: &Surroundings<'_>) -> Called {
    Ok(Value::string(humanize::duration(float(arguments)?)))
}

pub(super) fn humanize_percentage(arguments: &[Value], _: &Surroundings<'_>) -> Called {
    Ok(Value::string(humanize::percentage(float(arguments)?)))
}

pub(super) fn humanize_timestamp(arguments: &[Value], _: &Surroundings<'_>) -> Called {
    let value = float(arguments)?;
    if !value.is_finite() {
        return Ok(Value::string(humanize::four_digits(value)));
    }
    Ok(Value::string(super::time::time_text(nanos_of_seconds(value)?)))
}

/// Milliseconds are the finest that is kept.
fn nanos_of_seconds(seconds: f64) -> Result<i64, Failure> {
    let nanos = seconds * 1e9;
    if nanos > i64::MAX as f64 || nanos < i64::MIN as f64 {
        return Err(format!(
            "{} cannot be represented as a nanoseconds timestamp since it overflows int64",
            format_g(seconds)
        )
        .into());
    }
    Ok((nanos as i64) / 1_000_000 * 1_000_000)
}

pub(super) fn to_time(arguments: &[Value], _: &Surroundings<'_>) -> Called {
    let value = float(arguments)?;
    if !value.is_finite() {
        return Err("value is NaN or Inf".into());
    }
    Ok(Value::Time(nanos_of_seconds(value)?))
}

pub(super) fn to_duration(arguments: &[Value], _: &Surroundings<'_>) -> Called {
    Ok(Value::Duration((float(arguments)? * NANOS_PER_SECOND as f64) as i64))
}

pub(super) fn now(_: &[Value], surroundings: &Surroundings<'_>) -> Called {
    Ok(Value::Float(surroundings.now_ms as f64 / 1000.0))
}

pub(super) fn path_prefix(_: &[Value], surroundings: &Surroundings<'_>) -> Called {
    let url = surroundings.external_url.split(['?', '#']).next().unwrap_or("");
    let path = match url.split_once("//") {
        Some((_, rest)) => rest.find('/').map_or("", |at| &rest[at..]),
        None => url,
    };
    Ok(Value::string(path))
}

pub(super) fn external_url(_: &[Value], surroundings: &Surroundings<'_>) -> Called {
    Ok(Value::string(surroundings.external_url))
}

pub(super) fn parse_duration(arguments: &[Value], _: &Surroundings<'_>) -> Called {
    let text = text(arguments, 0);
    let (sign, magnitude) = match text.strip_prefix('-') {
        Some(rest) if !rest.is_empty() => (-1.0, rest),
        _ => (1.0, text),
    };
    let ms = duration_ms(magnitude).map_err(|error| error.to_string())?;
    Ok(Value::Float(sign * (ms as f64 / 1000.0)))
}

pub(super) fn url_query_escape(arguments: &[Value], _: &Surroundings<'_>) -> Called {
    Ok(Value::string(escape::query(text(arguments, 0))))
}
