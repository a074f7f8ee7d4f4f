//! Values that are text with a rule: paths, URLs, label sets, schemes of names.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::path::Path;

use super::yaml::{Abort, Decoded, Decoder, Field, Node, Value, Yaml, binary, plain_field};
use crate::wire::names::NameValidation;
use crate::wire::quote::quoted;

/// A path that is relative to the configuration file's directory until the file was loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilePath(pub String);

impl Deref for FilePath {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Field for FilePath {
    plain_field!("string", FilePath::default(), |value| value.0.is_empty());

    fn decode(&mut self, decoder: &mut Decoder, node: &Node) -> Decoded {
        self.0.decode(decoder, node)
    }

    fn to_yaml(&self) -> Yaml {
        self.0.to_yaml()
    }

    fn join_dir(&mut self, dir: &Path) {
        if !self.0.is_empty() && !self.0.starts_with('/') {
            self.0 = join_clean(dir, &self.0);
        }
    }
}

/// Joins and removes `.`, `..` and doubled slashes, as Go's `filepath.Join` does.
pub fn join_clean(dir: &Path, path: &str) -> String {
    let joined = format!("{}/{path}", dir.display());
    let joined = joined.strip_prefix('/').filter(|_| dir.as_os_str().is_empty()).unwrap_or(&joined);
    let rooted = joined.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in joined.split('/') {
        match part {
            "" | "." => {}
            ".." => match parts.last() {
                Some(&last) if last != ".." => drop(parts.pop()),
                _ if rooted => {}
                _ => parts.push(".."),
            },
            part => parts.push(part),
        }
    }
    match (rooted, parts.join("/")) {
        (true, path) => format!("/{path}"),
        (false, path) if path.is_empty() => ".".to_owned(),
        (false, path) => path,
    }
}

/// A URL as written, checked as far as Go's `url.Parse` checks. Prints with its password hidden.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    text: String,
    scheme_len: usize,
    /// Host and port, without user information.
    host: String,
}

impl Url {
    /// # Errors
    ///
    /// Go's text: `parse "…": …`.
    pub fn parse(text: &str) -> Result<Url, String> {
        let error = |why: &str| format!("parse {}: {why}", quoted(text.as_bytes()));
        if text.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
            return Err(error("net/url: invalid control character in URL"));
        }
        let body = text.split('#').next().unwrap_or("");
        let scheme_len = match body.find(':') {
            Some(0) => return Err(error("missing protocol scheme")),
            Some(at) if is_scheme(&body[..at]) => at,
            _ => 0,
        };
        let rest = if scheme_len == 0 { body } else { &body[scheme_len + 1..] };
        let rest = rest.split('?').next().unwrap_or("");
        let Some(authority) = rest.strip_prefix("//") else {
            let first = rest.split('/').next().unwrap_or("");
            if scheme_len == 0 && !rest.starts_with('/') && first.contains(':') {
                return Err(error("first path segment in URL cannot contain colon"));
            }
            check_escapes(rest).map_err(|why| error(&why))?;
            return Ok(Url { text: text.to_owned(), scheme_len, host: String::new() });
        };
        let (authority, path) = authority.split_at(authority.find('/').unwrap_or(authority.len()));
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        check_host(host).and_then(|()| check_escapes(path)).map_err(|why| error(&why))?;
        Ok(Url { text: text.to_owned(), scheme_len, host: host.to_owned() })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn scheme(&self) -> &str {
        &self.text[..self.scheme_len]
    }

    pub fn host(&self) -> &str {
        &self.host
    }

    /// The URL with `xxxxx` for its password.
    pub fn redacted(&self) -> String {
        let Some(start) = self.text.find("//").map(|at| at + 2) else { return self.text.clone() };
        let end = self.text[start..].find(['/', '?', '#']).map_or(self.text.len(), |at| start + at);
        let authority = &self.text[start..end];
        match authority.rsplit_once('@') {
            Some((user, host)) if user.contains(':') => {
                let name = user.split(':').next().unwrap_or("");
                format!("{}{name}:xxxxx@{host}{}", &self.text[..start], &self.text[end..])
            }
            _ => self.text.clone(),
        }
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
}

fn check_escapes(path: &str) -> Result<(), String> {
    for (at, _) in path.match_indices('%') {
        let digits = path.as_bytes().get(at + 1..at + 3);
        if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
            let shown: String = path[at..].chars().take(3).collect();
            return Err(format!("invalid URL escape {}", quoted(shown.as_bytes())));
        }
    }
    Ok(())
}

fn check_host(host: &str) -> Result<(), String> {
    let after_host = if host.starts_with('[') {
        match host.rfind(']') {
            Some(at) => &host[at + 1..],
            None => return Err("missing ']' in host".to_owned()),
        }
    } else {
        host.find(':').map_or("", |at| &host[at..])
    };
    let port_ok = match after_host.strip_prefix(':') {
        Some(port) => port.bytes().all(|b| b.is_ascii_digit()),
        None => after_host.is_empty(),
    };
    if !port_ok {
        return Err(format!("invalid port {} after host", quoted(after_host.as_bytes())));
    }
    let odd = host.chars().find(|c| " <>\"\\^`{|}".contains(*c));
    match odd {
        Some(c) => {
            Err(format!("invalid character {} in host name", quoted(c.to_string().as_bytes())))
        }
        None => Ok(()),
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted())
    }
}

impl Field for Url {
    plain_field!(
        "string",
        Url { text: String::new(), scheme_len: 0, host: String::new() },
        |value| value.text.is_empty()
    );

    fn decode(&mut self, decoder: &mut Decoder, node: &Node) -> Decoded {
        let mut text = String::new();
        if !text.decode(decoder, node)? {
            return Ok(false);
        }
        *self = Url::parse(&text).map_err(|message| Abort::at(node.line, message))?;
        Ok(true)
    }

    fn to_yaml(&self) -> Yaml {
        Yaml::Text(self.redacted())
    }
}

/// Names and values of labels. Names are checked against UTF-8 only; where the legacy scheme
/// rules, the section checks again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSet(pub BTreeMap<String, String>);

impl Deref for LabelSet {
    type Target = BTreeMap<String, String>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Field for LabelSet {
    plain_field!("model.LabelSet", LabelSet::default(), |value| value.0.is_empty());

    fn decode(&mut self, decoder: &mut Decoder, node: &Node) -> Decoded {
        if let Value::Mapping(pairs) = &node.value {
            for (key, value) in pairs {
                for (node, kind) in [(key, "name"), (value, "value")] {
                    if let Some(bytes) = binary(node)?
                        && std::str::from_utf8(&bytes).is_err()
                    {
                        let text = format!("{} is not a valid label {kind}", quoted(&bytes));
                        return Err(Abort::at(node.line, text));
                    }
                }
            }
        }
        let names = [("map[string]string", "model.LabelSet"), ("string", "model.LabelValue")];
        let good = decoder.named(&names, |decoder| self.0.decode(decoder, node))?;
        if self.0.contains_key("") {
            return Err(Abort::at(node.line, "\"\" is not a valid label name"));
        }
        Ok(good)
    }

    fn to_yaml(&self) -> Yaml {
        self.0.to_yaml()
    }
}

/// Which names of metrics and labels are valid; `Unset` takes the scheme of the level above.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ValidationScheme {
    #[default]
    Unset,
    Utf8,
    Legacy,
}

impl ValidationScheme {
    /// The scheme to judge by. What is unset after loading follows the default, UTF-8.
    pub fn names(self) -> NameValidation {
        match self {
            ValidationScheme::Legacy => NameValidation::Legacy,
            ValidationScheme::Utf8 | ValidationScheme::Unset => NameValidation::Utf8,
        }
    }
}

impl Field for ValidationScheme {
    plain_field!("string", ValidationScheme::Unset, |value| *value == ValidationScheme::Unset);

    fn decode(&mut self, decoder: &mut Decoder, node: &Node) -> Decoded {
        let mut text = String::new();
        if !text.decode(decoder, node)? {
            return Ok(false);
        }
        *self = match text.as_str() {
            "" => ValidationScheme::Unset,
            "utf8" => ValidationScheme::Utf8,
            "legacy" => ValidationScheme::Legacy,
            _ => {
                let text = format!("unrecognized ValidationScheme: {}", quoted(text.as_bytes()));
                return Err(Abort::at(node.line, text));
            }
        };
        Ok(true)
    }

    fn to_yaml(&self) -> Yaml {
        Yaml::Text(
            match self {
                ValidationScheme::Unset => "",
                ValidationScheme::Utf8 => "utf8",
                ValidationScheme::Legacy => "legacy",
            }
            .to_owned(),
        )
    }
}
