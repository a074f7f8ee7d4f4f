//! Labels of what was found, and groups of them.

use std::collections::BTreeMap;

use engine::model::{Labels, LabelsBuilder};
use serde_json::Value;

use super::json::{at, items, pairs, text, texts};
use crate::discovery::TargetGroup;
use crate::discovery::xml::Element;

/// `,a,b,`: with the separator around it, so that a rule need not know places.
pub fn joined<T: AsRef<str>>(texts: impl IntoIterator<Item = T>, separator: &str) -> String {
    let texts: Vec<T> = texts.into_iter().collect();
    let texts: Vec<&str> = texts.iter().map(T::as_ref).collect();
    format!("{separator}{}{separator}", texts.join(separator))
}

/// `host:port`, IPv6 addresses in brackets.
pub fn host_port(host: &str, port: impl std::fmt::Display) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// A text as a part of a label's name: what may not stand there becomes `_`.
pub fn sanitized(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect()
}

/// What fields are copied from: JSON or XML.
pub trait Answer {
    /// The text at a path of names, `a.b.c`; empty where there is none.
    fn text_of(&self, path: &str) -> String;
}

impl Answer for Value {
    fn text_of(&self, path: &str) -> String {
        text(at(self, path))
    }
}

impl Answer for Element {
    fn text_of(&self, path: &str) -> String {
        let end = path.split('.').try_fold(self, |element, name| element.child(name));
        end.map_or_else(String::new, |element| element.text.clone())
    }
}

/// Labels of a target or a group in the making. Empty values are absent labels.
#[derive(Clone)]
pub struct Meta {
    prefix: &'static str,
    builder: LabelsBuilder,
}

impl Meta {
    /// `prefix` stands before every name: `__meta_consul_`.
    pub fn new(prefix: &'static str) -> Meta {
        Meta { prefix, builder: LabelsBuilder::default() }
    }

    pub fn set(&mut self, name: &str, value: impl AsRef<str>) -> &mut Meta {
        let name = format!("{}{name}", self.prefix);
        self.builder.set(name.as_bytes(), value.as_ref().as_bytes());
        self
    }

    /// Under a name that somebody else chose the end of.
    pub fn set_free(&mut self, name: &str, free: &str, value: impl AsRef<str>) -> &mut Meta {
        self.set(&format!("{name}{}", sanitized(free)), value)
    }

    /// Every pair of an object under its own name.
    pub fn set_all(&mut self, name: &str, object: &Value) -> &mut Meta {
        for (free, value) in pairs(object) {
            self.set_free(name, free, value);
        }
        self
    }

    /// Every `{key, value}` of a list under its own name; those that lack one are passed over.
    pub fn set_tags(&mut self, name: &str, list: &Value, key: &str, value: &str) -> &mut Meta {
        for tag in items(list) {
            if let (Some(free), Some(value)) = (tag[key].as_str(), tag[value].as_str()) {
                self.set_free(name, free, value);
            }
        }
        self
    }

    /// Fields of an answer: `(name, path)` each, `("image_name", "image.name")`.
    pub fn copy(&mut self, answer: &impl Answer, fields: &[(&str, &str)]) -> &mut Meta {
        for (name, path) in fields {
            self.set(name, answer.text_of(path));
        }
        self
    }

    /// A list of texts with separators around it; an empty one sets nothing.
    pub fn set_list(&mut self, name: &str, list: &Value, separator: &str) -> &mut Meta {
        let texts: Vec<String> = texts(list).collect();
        self.set_joined(name, &texts, separator)
    }

    pub fn set_joined(&mut self, name: &str, texts: &[String], separator: &str) -> &mut Meta {
        if !texts.is_empty() {
            self.set(name, joined(texts, separator));
        }
        self
    }

    /// A label without the prefix.
    pub fn set_plain(&mut self, name: &str, value: impl AsRef<str>) -> &mut Meta {
        self.builder.set(name.as_bytes(), value.as_ref().as_bytes());
        self
    }

    pub fn address(&mut self, address: impl AsRef<str>) -> &mut Meta {
        self.set_plain("__address__", address)
    }

    /// Takes all labels of another.
    pub fn merge(&mut self, other: &Meta) -> &mut Meta {
        let labels = other.builder.clone().finish();
        labels.iter().for_each(|(name, value)| self.builder.set(name, value));
        self
    }

    pub fn finish(&self) -> Labels {
        self.builder.clone().finish()
    }
}

/// One group under `source`.
pub fn group(source: impl Into<String>, labels: Labels, targets: Vec<Labels>) -> TargetGroup {
    TargetGroup { source: source.into(), labels, targets }
}

/// The groups of a provider that gives one group only.
pub fn one_group(source: &str, targets: Vec<Labels>) -> Vec<TargetGroup> {
    vec![group(source, Labels::default(), targets)]
}

/// Labels by key, for joining what several requests give.
pub type MetaByKey = BTreeMap<String, Meta>;
