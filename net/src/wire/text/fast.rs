//! Whole lines at once, in the one shape that exporters write.
//!
//! ```text
//! name value            name{label="value",…} value            … value timestamp
//! # HELP name text      # TYPE name type
//! ```
//!
//! One space between parts, no blanks elsewhere. Any other line is declined, nothing changed, and
//! is read token by token. What is read here must be what the tokens would give.
//!
//! Cost: a page of node_exporter holds about 85 bytes a line; names and values are searched eight
//! bytes at a time.

use engine::model::sample::normal_nan;

use super::lex::State;
use super::openmetrics::openmetrics_type;
use super::prometheus::text_type;
use super::{Entry, LabelSpans, Parser, Sample, Span, decode, number};

/// The last byte of the digits in a label's name and, with a colon behind them, in a metric's.
const LABEL: u8 = b'9';
const METRIC: u8 = b':';

/// Where the name that starts at `at` ends; `at` itself if there is none.
#[inline]
fn name_end(body: &[u8], mut at: usize, last_digit: u8) -> usize {
    if body.get(at).is_some_and(u8::is_ascii_digit) {
        return at;
    }
    while let Some(&bytes) = body.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let others = others(u64::from_le_bytes(bytes), last_digit);
        if others != 0 {
            return at + others.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    while let Some(&byte) = body.get(at)
        && (byte.is_ascii_alphanumeric() || byte == b'_' || byte == last_digit)
    {
        at += 1;
    }
    at
}

/// The high bit of each byte of `word` that may not stand in a name.
#[inline]
fn others(word: u64, last_digit: u8) -> u64 {
    const HIGH: u64 = repeated(0x80);
    let plain = word & !HIGH;
    // No sum leaves its byte.
    let is_at_least = |bytes: u64, least: u8| bytes + repeated(0x80 - least);
    let is_within = |bytes, least, last| is_at_least(bytes, least) & !is_at_least(bytes, last + 1);
    let letters = is_within(plain | repeated(0x20), b'a', b'z');
    let digits = is_within(plain, b'0', last_digit);
    let lines = is_within(plain, b'_', b'_');
    (!(letters | digits | lines) | word) & HIGH
}

const fn repeated(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// The high bit of each byte of `word` that is `byte`; bits above the lowest one may be wrong.
#[inline]
fn matches(word: u64, byte: u8) -> u64 {
    let zeros = word ^ repeated(byte);
    zeros.wrapping_sub(repeated(1)) & !zeros & repeated(0x80)
}

/// Where the next quote, backslash or line feed stands, from `at` on.
#[inline]
fn special_byte(body: &[u8], mut at: usize) -> Option<usize> {
    while let Some(bytes) = body.get(at..at + 8) {
        let word = u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
        let found = matches(word, b'"') | matches(word, b'\\') | matches(word, b'\n');
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    let tail = body.get(at..)?;
    memchr::memchr3(b'"', b'\\', b'\n', tail).map(|index| at + index)
}

/// Where the closing quote of a value stands. A raw line feed is declined, although the text
/// format takes it.
#[inline]
fn value_end(body: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at = special_byte(body, at)?;
        match body[at] {
            b'"' => return Some(at),
            b'\\' if *body.get(at + 1)? != b'\n' => at += 2,
            _ => return None,
        }
    }
}

impl<'a> Parser<'a> {
    /// The next entry, if its line has the usual shape.
    #[inline]
    pub(super) fn fast_entry<const OPENMETRICS: bool>(&mut self) -> Option<Entry<'a>> {
        if !self.is_plain || self.lexer.state != State::Line {
            return None;
        }
        let start = self.lexer.at;
        let (entry, end) = match *self.lexer.body.get(start)? {
            b'#' => self.fast_metadata::<OPENMETRICS>(start)?,
            _ => {
                let Some((sample, end)) = self.fast_sample::<OPENMETRICS>(start) else {
                    self.spans.labels.clear();
                    self.spans.metric = None;
                    return None;
                };
                (Entry::Sample(sample), end)
            }
        };
        self.lexer.at = end;
        Some(entry)
    }

    #[inline]
    fn fast_sample<const OPENMETRICS: bool>(
        &mut self,
        start: usize,
    ) -> Option<(Sample<'a>, usize)> {
        let body = self.lexer.body;
        let name = Span { start, end: name_end(body, start, METRIC) };
        if name.start == name.end {
            return None;
        }
        self.spans.metric = Some(name);
        let mut at = name.end;
        if *body.get(at)? == b'{' {
            at = self.fast_labels(at + 1)?;
        }
        let series = &body[start..at];
        if *body.get(at)? != b' ' {
            return None;
        }
        let (value, end) = fast_value(body, at + 1)?;
        at = end;
        let mut timestamp_ms = None;
        if body[at] == b' ' {
            let (milliseconds, end) = fast_timestamp::<OPENMETRICS>(body, at + 1)?;
            timestamp_ms = Some(milliseconds);
            at = end;
        }
        if *body.get(at)? != b'\n' {
            return None;
        }
        Some((Sample { series, timestamp_ms, value }, at + 1))
    }

    /// Labels from after the opening brace; returns where the closing one ends.
    #[inline]
    fn fast_labels(&mut self, mut at: usize) -> Option<usize> {
        let body = self.lexer.body;
        loop {
            if *body.get(at)? == b'}' {
                return Some(at + 1);
            }
            let name = Span { start: at, end: name_end(body, at, LABEL) };
            if name.start == name.end || body.get(name.end..name.end + 2)? != b"=\"" {
                return None;
            }
            let start = name.end + 2;
            let value = Span { start, end: value_end(body, start)? };
            self.spans.labels.push(LabelSpans { name, value });
            at = value.end + 1;
            match *body.get(at)? {
                b',' => at += 1,
                b'}' => {}
                _ => return None,
            }
        }
    }

    fn fast_metadata<const OPENMETRICS: bool>(
        &mut self,
        start: usize,
    ) -> Option<(Entry<'a>, usize)> {
        let body = self.lexer.body;
        let keyword = body.get(start..start + 7)?;
        let name = Span { start: start + 7, end: name_end(body, start + 7, METRIC) };
        if name.start == name.end || *body.get(name.end)? != b' ' {
            return None;
        }
        let text_start = name.end + 1;
        if !OPENMETRICS && b" \t".contains(body.get(text_start)?) {
            return None; // A text of blanks alone is none.
        }
        let end = text_start + memchr::memchr(b'\n', &body[text_start..])?;
        let (metric, text) = (self.slice(name), &body[text_start..end]);
        if !OPENMETRICS && text.is_empty() {
            return None;
        }
        let entry = match keyword {
            b"# HELP " if OPENMETRICS => Entry::Help { metric, help: decode::unescaped(text) },
            b"# HELP " => Entry::Help { metric, help: decode::unescaped_help(text) },
            b"# TYPE " => {
                let metric_type =
                    if OPENMETRICS { openmetrics_type(text)? } else { text_type(text)? };
                self.metric_type = metric_type;
                Entry::Type { metric, metric_type }
            }
            _ => return None,
        };
        Some((entry, end + 1))
    }
}

/// A float that ends before a space or the line's end; never the end of the page.
#[inline]
pub(super) fn fast_value(body: &[u8], at: usize) -> Option<(f64, usize)> {
    let text = &body[at..];
    if let Some((value, length)) = number::short_decimal(text)
        && matches!(text.get(length), Some(b'\n' | b' '))
    {
        return Some((value, at + length));
    }
    let length = memchr::memchr2(b' ', b'\n', text)?;
    // What cannot be read here is read again for its message; so are braces and tabs in the text
    // format, which end its values.
    let value = number::float(&text[..length]).ok()?;
    Some((if value.is_nan() { normal_nan() } else { value }, at + length))
}

#[inline]
pub(super) fn fast_timestamp<const OPENMETRICS: bool>(
    body: &[u8],
    at: usize,
) -> Option<(i64, usize)> {
    if OPENMETRICS {
        let (seconds, end) = fast_value(body, at)?;
        return seconds.is_finite().then(|| (number::milliseconds(seconds), end));
    }
    let text = &body[at..];
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    number::integer(&text[..length]).ok().map(|timestamp_ms| (timestamp_ms, at + length))
}

#[cfg(test)]
mod tests {
    use super::{LABEL, METRIC, name_end};

    #[test]
    fn names_end_before_the_first_byte_that_none_may_have() {
        for byte in 0..=u8::MAX {
            for place in 0..12 {
                let mut text = *b"abcXYZ_09_kmn";
                text[place] = byte;
                let is_name = byte.is_ascii_alphanumeric() || byte == b'_';
                let check = |kind, is_name: bool| {
                    let starts = place > 0 || !byte.is_ascii_digit();
                    let expected = if is_name && starts { text.len() } else { place };
                    assert_eq!(name_end(&text, 0, kind), expected, "{byte} at {place}");
                };
                check(LABEL, is_name);
                check(METRIC, is_name || byte == b':');
            }
        }
    }
}
