//! Values as Go's `fmt` prints them: `print`, `println`, `printf` and what an action writes.
//!
//! Source: Go `fmt/print.go`, `fmt/format.go`.

use std::collections::BTreeMap;

use super::OUTPUT_BYTES_MAX;
use super::number_format::{Spec, float, integer, pad};
use super::time::{duration_text, month_name, time_text, weekday_name};
use super::value::{IntType, Sample, Value};
use crate::model::quote::{push_escaped, quote};

/// Text that grows up to a bound.
#[derive(Default)]
pub(super) struct Output {
    pub text: String,
}

impl Output {
    pub fn push(&mut self, text: &str) -> Result<(), String> {
        if self.text.len() + text.len() > OUTPUT_BYTES_MAX {
            return Err(format!("output longer than {OUTPUT_BYTES_MAX} bytes"));
        }
        self.text.push_str(text);
        Ok(())
    }
}

/// Go's `Sprint`: a space between operands when neither is a string.
pub(super) fn print(values: &[Value]) -> Result<String, String> {
    let mut out = Output::default();
    let mut was_string = false;
    for (index, value) in values.iter().enumerate() {
        let is_string = value.text().is_some();
        if index > 0 && !is_string && !was_string {
            out.push(" ")?;
        }
        out.push(&plain(value))?;
        was_string = is_string;
    }
    Ok(out.text)
}

/// Go's `Sprintln`.
pub(super) fn print_line(values: &[Value]) -> Result<String, String> {
    let mut out = Output::default();
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.push(" ")?;
        }
        out.push(&plain(value))?;
    }
    out.push("\n")?;
    Ok(out.text)
}

/// Go's `%v`.
pub(super) fn plain(value: &Value) -> String {
    one(value, 'v', &Spec::default())
}

/// What an action writes: as `%v`, but what a pointer points to instead of the pointer.
pub(super) fn action_text(value: &Value) -> String {
    match value.held() {
        Value::Nil => "<no value>".to_owned(),
        Value::Sample(sample) => sample_text(sample, 'v', &Spec::default()),
        value => plain(value),
    }
}

/// Go's `Sprintf`.
pub(super) fn printf(format: &str, values: &[Value]) -> Result<String, String> {
    let mut out = Output::default();
    let mut arguments = Arguments { values, next: 0, reordered: false, good: true };
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        out.push(&rest[..at])?;
        rest = &rest[at + 1..];
        arguments.good = true;
        let mut spec = Spec::default();
        rest = arguments.spec(rest, &mut spec, &mut out)?;
        let Some(verb) = rest.chars().next() else {
            out.push("%!(NOVERB)")?;
            break;
        };
        rest = &rest[verb.len_utf8()..];
        match verb {
            '%' => out.push("%")?,
            _ if !arguments.good => out.push(&format!("%!{verb}(BADINDEX)"))?,
            _ if arguments.next >= values.len() => out.push(&format!("%!{verb}(MISSING)"))?,
            _ => {
                let value = &values[arguments.next];
                arguments.next += 1;
                out.push(&one(value, verb, &spec))?;
            }
        }
    }
    out.push(rest)?;
    if !arguments.reordered && arguments.next < values.len() {
        out.push("%!(EXTRA ")?;
        for (index, value) in values[arguments.next..].iter().enumerate() {
            if index > 0 {
                out.push(", ")?;
            }
            match value.held() {
                Value::Nil => out.push("<nil>")?,
                held => out.push(&format!("{}={}", held.type_name(), plain(held)))?,
            }
        }
        out.push(")")?;
    }
    Ok(out.text)
}

/// The operands of a format.
struct Arguments<'a> {
    values: &'a [Value],
    next: usize,
    /// An index in brackets was used.
    reordered: bool,
    /// The last one named an operand that there is.
    good: bool,
}

/// Widths and precisions beyond are none.
const WIDTH_MAX: i64 = 1_000_000;

impl Arguments<'_> {
    /// Reads what stands between `%` and the verb.
    fn spec<'a>(
        &mut self,
        format: &'a str,
        spec: &mut Spec,
        out: &mut Output,
    ) -> Result<&'a str, String> {
        let mut rest = format;
        while let Some(flag) = rest.chars().next() {
            match flag {
                '#' => spec.sharp = true,
                '0' => spec.zero = true,
                '+' => spec.plus = true,
                '-' => spec.minus = true,
                ' ' => spec.space = true,
                _ => break,
            }
            rest = &rest[1..];
        }
        let mut after_index = false;
        rest = self.index(rest, &mut after_index);
        if let Some(tail) = rest.strip_prefix('*') {
            rest = tail;
            match self.star() {
                Some(width) => {
                    spec.minus |= width < 0;
                    spec.width = Some(width.unsigned_abs() as usize);
                }
                None => out.push("%!(BADWIDTH)")?,
            }
            after_index = false;
        } else {
            (spec.width, rest) = number(rest);
            if after_index && spec.width.is_some() {
                self.good = false;
            }
        }
        if let Some(tail) = rest.strip_prefix('.') {
            rest = tail;
            if after_index {
                self.good = false;
            }
            rest = self.index(rest, &mut after_index);
            if let Some(tail) = rest.strip_prefix('*') {
                rest = tail;
                match self.star() {
                    Some(precision) if precision >= 0 => spec.precision = Some(precision as usize),
                    Some(_) => {}
                    None => out.push("%!(BADPREC)")?,
                }
                after_index = false;
            } else {
                let (precision, tail) = number(rest);
                spec.precision = Some(precision.unwrap_or(0));
                rest = tail;
            }
        }
        if !after_index {
            rest = self.index(rest, &mut after_index);
        }
        Ok(rest)
    }

    /// Takes `[n]`, which names the operand that comes next.
    fn index<'a>(&mut self, format: &'a str, found: &mut bool) -> &'a str {
        let Some(inner) = format.strip_prefix('[') else { return format };
        self.reordered = true;
        let Some((digits, rest)) = inner.split_once(']') else {
            self.good = false;
            return inner;
        };
        match number(digits) {
            (Some(index), "") if (1..=self.values.len()).contains(&index) => {
                self.next = index - 1;
                *found = true;
            }
            _ => self.good = false,
        }
        rest
    }

    fn star(&mut self) -> Option<i64> {
        let value = self.values.get(self.next)?;
        self.next += 1;
        match value.held() {
            Value::Int(value, _) if value.abs() <= WIDTH_MAX => Some(*value),
            _ => None,
        }
    }
}

fn number(text: &str) -> (Option<usize>, &str) {
    let len = text.bytes().take_while(u8::is_ascii_digit).count();
    let value = text[..len].parse().ok().filter(|value| *value <= WIDTH_MAX as usize);
    (value, &text[len..])
}

/// One operand with one verb.
pub(super) fn one(value: &Value, verb: char, spec: &Spec) -> String {
    let value = value.held();
    if verb == 'T' {
        return pad(value.type_name(), spec);
    }
    if verb == 'w' {
        return bad_verb(value, verb);
    }
    match value {
        Value::Nil if verb == 'v' => pad("<nil>", spec),
        Value::Nil => format!("%!{verb}(<nil>)"),
        Value::Bool(value) if matches!(verb, 't' | 'v') => pad(&value.to_string(), spec),
        Value::Int(number, int_type) => {
            let name = match int_type {
                IntType::Month => Some(month_name(*number)),
                IntType::Weekday => Some(weekday_name(*number)),
                _ => None,
            };
            match name {
                Some(name) if "vsxXq".contains(verb) && !(verb == 'v' && spec.sharp) => {
                    string(&name, verb, spec).unwrap_or_else(|| bad_verb(value, verb))
                }
                _ => integer(*number, verb, spec).unwrap_or_else(|| bad_verb(value, verb)),
            }
        }
        Value::Float(number) => float(*number, verb, spec).unwrap_or_else(|| bad_verb(value, verb)),
        Value::String(text) | Value::Html(text) => {
            string(text, verb, spec).unwrap_or_else(|| bad_verb(value, verb))
        }
        Value::Labels(labels) => map_text(labels, verb, spec, |value| Value::string(value)),
        Value::Map(map) => map_text(map, verb, spec, Value::clone),
        Value::Vector(samples) => {
            let shown: Vec<_> = samples.iter().map(|_| POINTER).collect();
            format!("[{}]", shown.join(" "))
        }
        Value::Sample(_) if verb == 'p' => POINTER.to_owned(),
        Value::Sample(sample) => format!("&{}", sample_text(sample, verb, spec)),
        Value::Histogram(_) | Value::Time(_) | Value::Duration(_)
            if "vsxXq".contains(verb) && !(verb == 'v' && spec.sharp) =>
        {
            string(&stringer_text(value), verb, spec).unwrap_or_default()
        }
        Value::Histogram(_) | Value::Time(_) => bad_verb(value, verb),
        Value::Duration(nanos) => {
            integer(*nanos, verb, spec).unwrap_or_else(|| bad_verb(value, verb))
        }
        Value::Alert(alert) => {
            let fields = [
                Value::Labels(alert.labels.clone()),
                Value::Labels(alert.external_labels.clone()),
                Value::String(alert.external_url.clone()),
                alert.value.clone(),
            ];
            let shown: Vec<_> = fields.iter().map(|field| one(field, verb, spec)).collect();
            format!("{{{}}}", shown.join(" "))
        }
        Value::Bool(_) | Value::Interface(_) => bad_verb(value, verb),
    }
}

/// Where Go would print an address, which differs from run to run.
const POINTER: &str = "0xc000000000";

/// The text of a value whose Go type has a method `String`.
fn stringer_text(value: &Value) -> String {
    match value {
        Value::Histogram(histogram) => histogram.to_string(),
        Value::Time(nanos) => time_text(*nanos),
        Value::Duration(nanos) => duration_text(*nanos),
        _ => String::new(),
    }
}

fn sample_text(sample: &Sample, verb: char, spec: &Spec) -> String {
    let labels = one(&Value::Labels(sample.labels.clone()), verb, spec);
    format!("{{{labels} {}}}", one(&sample.value, verb, spec))
}

fn map_text<T>(
    map: &BTreeMap<String, T>,
    verb: char,
    spec: &Spec,
    value: impl Fn(&T) -> Value,
) -> String {
    let shown: Vec<String> = map
        .iter()
        .map(|(name, item)| {
            let name = one(&Value::string(name), verb, spec);
            format!("{name}:{}", one(&value(item), verb, spec))
        })
        .collect();
    format!("map[{}]", shown.join(" "))
}

fn bad_verb(value: &Value, verb: char) -> String {
    format!("%!{verb}({}={})", value.type_name(), plain(value))
}

fn string(text: &str, verb: char, spec: &Spec) -> Option<String> {
    let cut = match spec.precision {
        Some(precision) => match text.char_indices().nth(precision) {
            Some((at, _)) => &text[..at],
            None => text,
        },
        None => text,
    };
    match verb {
        'v' if spec.sharp => Some(pad(&quote(text), spec)),
        'v' | 's' => Some(pad(cut, spec)),
        'q' if spec.sharp && !cut.contains('`') && cut.chars().all(|c| c == '\t' || c >= ' ') => {
            Some(pad(&format!("`{cut}`"), spec))
        }
        'q' if spec.plus => {
            let mut out = String::from("\"");
            for c in cut.chars() {
                match u32::from(c) {
                    0..0x80 => push_escaped(&mut out, c, '"'),
                    code @ 0x80..0x1_0000 => out += &format!("\\u{code:04x}"),
                    code => out += &format!("\\U{code:08x}"),
                }
            }
            Some(pad(&(out + "\""), spec))
        }
        'q' => Some(pad(&quote(cut), spec)),
        'x' | 'X' => Some(pad(&hex(text.as_bytes(), verb, spec), spec)),
        _ => None,
    }
}

fn hex(bytes: &[u8], verb: char, spec: &Spec) -> String {
    let bytes = &bytes[..spec.precision.unwrap_or(bytes.len()).min(bytes.len())];
    let prefix = match (spec.sharp, verb) {
        (true, 'x') => "0x",
        (true, _) => "0X",
        _ => "",
    };
    let digits = bytes.iter().map(|byte| match verb {
        'x' => format!("{byte:02x}"),
        _ => format!("{byte:02X}"),
    });
    match spec.space {
        true => digits.map(|digits| format!("{prefix}{digits}")).collect::<Vec<_>>().join(" "),
        false if bytes.is_empty() => String::new(),
        false => prefix.to_owned() + &digits.collect::<String>(),
    }
}
