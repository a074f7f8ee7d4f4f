//! The pieces of one line of a page.

use crate::wire::quote::quoted;

pub(super) struct Line<'a> {
    rest: &'a [u8],
}

/// Name and labels of a sample.
pub(super) type Series = (String, Vec<(String, String)>);

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// As Go's `%q` of a byte.
fn shown(byte: Option<u8>) -> String {
    match byte {
        Some(b'\'') => "'\\''".to_owned(),
        Some(byte) => {
            let inner = quoted(&[byte]);
            format!("'{}'", inner[1..inner.len() - 1].replace("\\\"", "\""))
        }
        None => "'\\n'".to_owned(),
    }
}

fn is_name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte == b'"'
}

impl<'a> Line<'a> {
    pub fn new(line: &'a [u8]) -> Line<'a> {
        Line { rest: line }
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    pub fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    pub fn at_blank(&self) -> bool {
        self.peek().is_some_and(|byte| b" \t".contains(&byte))
    }

    pub fn skip_blanks(&mut self) {
        while self.at_blank() {
            self.next();
        }
    }

    /// Up to a blank.
    pub fn word(&mut self) -> &'a [u8] {
        let end = self.rest.iter().position(|byte| b" \t".contains(byte));
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        word
    }

    pub fn rest_text(&mut self) -> String {
        text(std::mem::take(&mut self.rest))
    }

    pub fn help(&mut self) -> Result<String, String> {
        let mut out = Vec::new();
        while let Some(byte) = self.next() {
            match byte {
                b'\\' => match self.next() {
                    Some(b'n') => out.push(b'\n'),
                    Some(byte @ (b'\\' | b'"')) => out.push(byte),
                    Some(byte) => {
                        return Err(format!("invalid escape sequence '\\{}'", char::from(byte)));
                    }
                    None => {}
                },
                byte => out.push(byte),
            }
        }
        Ok(text(&out))
    }

    pub fn metric_name(&mut self) -> Result<String, String> {
        self.name("metric", b":")
    }

    /// A name, in quotes if it needs them; empty if there is none. `extra` may stand in it.
    fn name(&mut self, what: &str, extra: &[u8]) -> Result<String, String> {
        if self.peek() == Some(b'"') {
            self.next();
            return self.until_quote(what).map(|name| text(&name));
        }
        let in_name = |byte: &u8| {
            is_name_start(*byte) && *byte != b'"' || byte.is_ascii_digit() || extra.contains(byte)
        };
        let starts = self.peek().is_some_and(|byte| in_name(&byte) && !byte.is_ascii_digit());
        let end = if starts { self.rest.iter().position(|byte| !in_name(byte)) } else { Some(0) };
        let (name, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        Ok(text(name))
    }

    /// What stands before the closing quote.
    fn until_quote(&mut self, what: &str) -> Result<Vec<u8>, String> {
        let mut out = Vec::new();
        loop {
            match self.next() {
                None => return Err(format!("{what} {} contains unescaped new-line", quoted(&out))),
                Some(b'"') => return Ok(out),
                Some(b'\\') => match self.next() {
                    Some(b'n') => out.push(b'\n'),
                    Some(byte @ (b'\\' | b'"')) => out.push(byte),
                    byte => {
                        let byte = char::from(byte.unwrap_or(b'\n'));
                        return Err(format!("invalid escape sequence '\\{byte}'"));
                    }
                },
                Some(byte) => out.push(byte),
            }
        }
    }

    /// Name and labels; the name may stand inside the braces.
    pub fn series(&mut self) -> Result<Series, String> {
        let invalid = || "invalid metric name".to_owned();
        let mut name = None;
        if self.peek() != Some(b'{') {
            name = Some(self.metric_name()?).filter(|name| !name.is_empty());
            if name.is_none() {
                return Err(invalid());
            }
            self.skip_blanks();
        }
        let mut labels = Vec::new();
        if self.peek() == Some(b'{') {
            self.next();
            self.labels(&mut name, &mut labels)?;
            self.skip_blanks();
        }
        if self.is_empty() {
            return Err(cut_off_value());
        }
        Ok((name.ok_or_else(invalid)?, labels))
    }

    fn labels(
        &mut self,
        name: &mut Option<String>,
        labels: &mut Vec<(String, String)>,
    ) -> Result<(), String> {
        let name_is_outside = name.is_some();
        loop {
            self.skip_blanks();
            if self.peek() == Some(b'}') {
                self.next();
                return Ok(());
            }
            let label = self.name("label name", b"")?;
            let metric = quoted(name.as_deref().unwrap_or_default().as_bytes());
            if label.is_empty() {
                return Err(format!("invalid label name for metric {metric}"));
            }
            self.skip_blanks();
            match self.peek() {
                Some(b'=') => {}
                Some(b',' | b'}') if !name_is_outside => {
                    if name.is_some() {
                        return Err(format!("multiple metric names for metric {metric}"));
                    }
                    *name = Some(label);
                    if self.next() == Some(b'}') {
                        return Ok(());
                    }
                    continue;
                }
                byte if !name_is_outside => {
                    return Err(format!("unexpected end of metric name {}", shown(byte)));
                }
                byte => {
                    return Err(format!("expected '=' after label name, found {}", shown(byte)));
                }
            }
            self.next();
            if label == "__name__" {
                return Err("label name \"__name__\" is reserved".to_owned());
            }
            self.skip_blanks();
            if self.peek() != Some(b'"') {
                let found = shown(self.peek());
                return Err(format!("expected '\"' at start of label value, found {found}"));
            }
            self.next();
            let value = self.until_quote("label value")?;
            let Ok(value) = String::from_utf8(value.clone()) else {
                return Err(format!("invalid label value {}", quoted(&value)));
            };
            labels.push((label, value));
            self.skip_blanks();
            match self.next() {
                Some(b',') => {}
                Some(b'}') => return Ok(()),
                _ => {
                    let value = labels.last().map_or("", |(_, value)| value);
                    let value = quoted(value.as_bytes());
                    return Err(format!("unexpected end of label value {value}"));
                }
            }
        }
    }

    pub fn timestamp(&mut self) -> Result<i64, String> {
        let word = self.word();
        let parsed = std::str::from_utf8(word).ok().and_then(|word| word.parse().ok());
        let timestamp =
            parsed.ok_or_else(|| format!("expected integer as timestamp, got {}", quoted(word)))?;
        match self.rest {
            [] => Ok(timestamp),
            rest => Err(format!("spurious string after timestamp: {}", quoted(rest))),
        }
    }
}

/// Where a value is missing, Go reads an empty one.
fn cut_off_value() -> String {
    "expected float as value, got \"\"".to_owned()
}
