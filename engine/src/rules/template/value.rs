//! What a template computes with: the few Go types that Prometheus lets a rule's template see.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use crate::model::FloatHistogram;

/// A value with the Go type it stands for. Cheap to copy.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// No value: what an untyped nil is.
    Nil,
    Bool(bool),
    Int(i64, IntType),
    Float(f64),
    String(Rc<str>),
    /// `template.HTML`: text that asks for no escaping; in rules it is text.
    Html(Rc<str>),
    Labels(Rc<BTreeMap<String, String>>),
    /// What `args` makes.
    Map(Rc<BTreeMap<String, Value>>),
    Vector(Rc<[Rc<Sample>]>),
    Sample(Rc<Sample>),
    Histogram(Arc<FloatHistogram>),
    /// `*time.Time`, in nanoseconds since the epoch.
    Time(i64),
    /// `*time.Duration`, in nanoseconds.
    Duration(i64),
    /// The alert: what `.` is at first.
    Alert(Rc<Alert>),
    /// What a field or an element of type `interface {}` holds: never another interface.
    Interface(Rc<Value>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IntType {
    Int,
    Int64,
    Uint8,
    Month,
    Weekday,
}

/// A sample of a query's result.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub labels: Rc<BTreeMap<String, String>>,
    /// A float or a histogram.
    pub value: Value,
}

#[derive(Clone, Debug)]
pub(super) struct Alert {
    pub labels: Rc<BTreeMap<String, String>>,
    pub external_labels: Rc<BTreeMap<String, String>>,
    pub external_url: Rc<str>,
    /// A float or a histogram.
    pub value: Value,
}

/// How values compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Basic {
    Bool,
    Int,
    Uint,
    Float,
    String,
    Other,
}

impl Value {
    pub fn string(text: impl AsRef<str>) -> Value {
        Value::String(text.as_ref().into())
    }

    pub fn int(value: usize) -> Value {
        Value::Int(value as i64, IntType::Int)
    }

    /// As a field or element of type `interface {}`.
    pub fn in_interface(self) -> Value {
        match self {
            Value::Interface(_) => self,
            value => Value::Interface(Rc::new(value)),
        }
    }

    /// What an interface holds; any other value itself.
    pub fn unwrapped(self) -> Value {
        match self {
            Value::Interface(inner) => (*inner).clone(),
            value => value,
        }
    }

    pub fn held(&self) -> &Value {
        match self {
            Value::Interface(inner) => inner,
            value => value,
        }
    }

    pub fn is_nil(&self) -> bool {
        matches!(self, Value::Nil)
    }

    /// Go's name of the type.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Nil => "<nil>",
            Value::Bool(_) => "bool",
            Value::Int(_, IntType::Int) => "int",
            Value::Int(_, IntType::Int64) => "int64",
            Value::Int(_, IntType::Uint8) => "uint8",
            Value::Int(_, IntType::Month) => "time.Month",
            Value::Int(_, IntType::Weekday) => "time.Weekday",
            Value::Float(_) => "float64",
            Value::String(_) => "string",
            Value::Html(_) => "template.HTML",
            Value::Labels(_) => "map[string]string",
            Value::Map(_) => "map[string]interface {}",
            Value::Vector(_) => "template.queryResult",
            Value::Sample(_) => "*template.sample",
            Value::Histogram(_) => "*histogram.FloatHistogram",
            Value::Time(_) => "*time.Time",
            Value::Duration(_) => "*time.Duration",
            Value::Alert(_) => {
                "struct { Labels map[string]string; ExternalLabels map[string]string; \
                 ExternalURL string; Value interface {} }"
            }
            Value::Interface(_) => "interface {}",
        }
    }

    /// Whether the value is not the zero of its type.
    pub fn is_true(&self) -> bool {
        match self.held() {
            Value::Nil => false,
            Value::Bool(value) => *value,
            Value::Int(value, _) => *value != 0,
            Value::Float(value) => *value != 0.0,
            Value::String(text) | Value::Html(text) => !text.is_empty(),
            Value::Labels(labels) => !labels.is_empty(),
            Value::Map(map) => !map.is_empty(),
            Value::Vector(samples) => !samples.is_empty(),
            _ => true,
        }
    }

    pub fn basic(&self) -> Basic {
        match self.held() {
            Value::Bool(_) => Basic::Bool,
            Value::Int(_, IntType::Uint8) => Basic::Uint,
            Value::Int(..) => Basic::Int,
            Value::Float(_) => Basic::Float,
            Value::String(_) | Value::Html(_) => Basic::String,
            _ => Basic::Other,
        }
    }

    /// The text of a string, or of what has strings as its kind.
    pub fn text(&self) -> Option<&Rc<str>> {
        match self.held() {
            Value::String(text) | Value::Html(text) => Some(text),
            _ => None,
        }
    }

    /// Bytes that a copy of the value's text takes; what bounds look at.
    pub fn text_bytes(&self) -> usize {
        self.text().map_or(0, |text| text.len())
    }
}
