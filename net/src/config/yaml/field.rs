//! How a value of a configuration takes a YAML node, and what it prints as.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, hash_map};
use std::fmt;
use std::path::Path;
use std::rc::Rc;

use super::emit::Yaml;
use super::node::{Node, Value};
use super::scalar::{Scalar, resolve};
use crate::wire::quote::quoted;

/// A fault that ends decoding at once, with the line of the section it was found in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Abort {
    /// From 1; 0 if no single line is at fault.
    pub line: usize,
    pub message: String,
}

impl Abort {
    pub fn at(line: usize, message: impl Into<String>) -> Abort {
        Abort { line, message: message.into() }
    }
}

impl fmt::Display for Abort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// `true` if the value was taken, `false` if a fault was noted in the decoder.
pub type Decoded = Result<bool, Abort>;

/// How a document is read; by default as go-yaml v2 reads, strictly.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading {
    /// Fields that a section does not know are passed over.
    pub unknown_fields: bool,
    /// As go-yaml v3: a mapping with a key that stands twice is not taken at all.
    pub v3: bool,
}

/// Collects the faults of one document, as many as it has.
pub struct Decoder {
    reading: Reading,
    faults: Vec<String>,
    /// Line of the first fault.
    line: usize,
    /// Nodes decoded so far; aliases make this larger than the document.
    decoded_count: usize,
    decoded_count_max: usize,
}

impl Decoder {
    pub fn new(node_count: usize, reading: Reading) -> Decoder {
        // As go-yaml: of a document that is not small, at most 99 % may come from aliases.
        let decoded_count_max = 1000 + 100 * node_count;
        Decoder { reading, faults: Vec::new(), line: 0, decoded_count: 0, decoded_count_max }
    }

    /// Decodes `node` into `field`. Null becomes the type's zero value, never its default.
    pub fn decode(&mut self, node: &Node, field: &mut (impl Field + ?Sized)) -> Decoded {
        self.decoded_count += 1;
        if self.decoded_count > self.decoded_count_max {
            return Err(Abort::at(node.line, "yaml: document contains excessive aliasing"));
        }
        check_tag(node)?;
        if node.is_null() {
            field.set_zero();
            return Ok(true);
        }
        if self.reading.v3
            && let Value::Mapping(pairs) = &node.value
            && self.notes_repeated(pairs)
        {
            return Ok(false);
        }
        field.decode(self, node)
    }

    /// Notes every key that stands a second time; whether there was one.
    fn notes_repeated(&mut self, pairs: &[(Rc<Node>, Rc<Node>)]) -> bool {
        let fault_count = self.faults.len();
        let mut seen: HashMap<&str, usize> = HashMap::new();
        for (key, _) in pairs {
            let Value::Scalar { text, .. } = &key.value else { continue };
            match seen.entry(text) {
                hash_map::Entry::Vacant(vacant) => drop(vacant.insert(key.line)),
                hash_map::Entry::Occupied(first) => {
                    let text = format!(
                        "mapping key {} already defined at line {}",
                        quoted(text.as_bytes()),
                        first.get()
                    );
                    self.note(key.line, &text);
                }
            }
        }
        self.faults.len() > fault_count
    }

    /// Decodes under Go's own names of types: in the faults that are noted meanwhile, each name on
    /// the left becomes that on the right.
    pub fn named(
        &mut self,
        names: &[(&str, &str)],
        decode: impl FnOnce(&mut Decoder) -> Decoded,
    ) -> Decoded {
        let before = self.faults.len();
        let decoded = decode(self);
        for fault in &mut self.faults[before..] {
            let Some((head, go_type)) = fault.rsplit_once(" into ") else { continue };
            if let Some((_, name)) = names.iter().find(|(plain, _)| *plain == go_type) {
                *fault = format!("{head} into {name}");
            }
        }
        decoded
    }

    pub fn takes_unknown_fields(&self) -> bool {
        self.reading.unknown_fields
    }

    /// Number of faults noted so far.
    pub fn fault_count(&self) -> usize {
        self.faults.len()
    }

    pub fn note(&mut self, line: usize, text: &str) {
        if self.faults.is_empty() {
            self.line = line;
        }
        self.faults.push(format!("line {line}: {text}"));
    }

    /// Notes that `node` cannot become a `go_type`; always `false`.
    pub fn mismatch(&mut self, node: &Node, go_type: &str) -> bool {
        let text = match &node.value {
            Value::Sequence(_) => "!!seq".to_owned(),
            Value::Mapping(_) => "!!map".to_owned(),
            Value::Scalar { text, .. } => {
                let tag = scalar(node, text).tag();
                match text.char_indices().nth(7) {
                    Some((at, _)) if text.len() > 10 => format!("{tag} `{}...`", &text[..at]),
                    _ => format!("{tag} `{text}`"),
                }
            }
        };
        self.note(node.line, &format!("cannot unmarshal {text} into {go_type}"));
        false
    }

    /// The document's verdict: one text with all faults.
    pub fn finish(self) -> Result<(), Abort> {
        if self.faults.is_empty() {
            return Ok(());
        }
        let message = format!("yaml: unmarshal errors:\n  {}", self.faults.join("\n  "));
        Err(Abort { line: self.line, message })
    }
}

/// A value that a YAML node can become and that can be printed again.
pub trait Field {
    /// Go's name of the type, which error texts carry.
    fn go_type() -> String
    where
        Self: Sized;
    fn zero() -> Self
    where
        Self: Sized;
    fn set_zero(&mut self);
    /// Whether the value is left out when its field says so.
    fn is_empty(&self) -> bool;
    /// Takes a node that is not null.
    fn decode(&mut self, decoder: &mut Decoder, node: &Node) -> Decoded;
    fn to_yaml(&self) -> Yaml;
    /// Resolves relative paths of files against `dir`.
    fn join_dir(&mut self, _dir: &Path) {}
}

/// Refuses a scalar that is not what its own tag says.
fn check_tag(node: &Node) -> Result<(), Abort> {
    let Value::Scalar { text, .. } = &node.value else { return Ok(()) };
    let wanted = match node.tag.as_str() {
        "tag:yaml.org,2002:int" => "!!int",
        "tag:yaml.org,2002:float" => "!!float",
        "tag:yaml.org,2002:bool" => "!!bool",
        _ => return Ok(()),
    };
    let found = resolve(text).tag();
    if found == wanted || (wanted, found) == ("!!float", "!!int") {
        return Ok(());
    }
    Err(Abort::at(node.line, format!("yaml: cannot decode {found} `{text}` as a {wanted}")))
}

pub(super) fn scalar(node: &Node, text: &str) -> Scalar {
    match node.tag.as_str() {
        "" if matches!(node.value, Value::Scalar { plain: true, .. }) => resolve(text),
        "tag:yaml.org,2002:int" | "tag:yaml.org,2002:float" | "tag:yaml.org,2002:bool" => {
            resolve(text)
        }
        _ => Scalar::Text,
    }
}

/// The text of a scalar node for a field of type string, any kind of plain scalar included.
/// `None` if the node is a collection, which is noted as a fault.
pub(super) fn text(
    decoder: &mut Decoder,
    node: &Node,
    go_type: &str,
) -> Result<Option<String>, Abort> {
    match &node.value {
        Value::Scalar { .. } if node.tag == BINARY_TAG => {
            let bytes = binary(node)?.unwrap_or_default();
            match String::from_utf8(bytes) {
                Ok(text) => Ok(Some(text)),
                Err(_) => Err(Abort::at(node.line, "yaml: !!binary value is not valid UTF-8")),
            }
        }
        Value::Scalar { text, .. } => Ok(Some(text.clone())),
        _ => {
            decoder.mismatch(node, go_type);
            Ok(None)
        }
    }
}

const BINARY_TAG: &str = "tag:yaml.org,2002:binary";

/// The bytes of a scalar tagged `!!binary`; `None` for any other node.
pub fn binary(node: &Node) -> Result<Option<Vec<u8>>, Abort> {
    match &node.value {
        Value::Scalar { text, .. } if node.tag == BINARY_TAG => {
            let bytes = decode_base64(text.as_bytes()).ok_or_else(|| {
                Abort::at(node.line, "yaml: !!binary value contains invalid base64 data")
            })?;
            Ok(Some(bytes))
        }
        _ => Ok(None),
    }
}

fn decode_base64(text: &[u8]) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.iter().copied().filter(|b| !b"\r\n".contains(b)).collect();
    if !digits.len().is_multiple_of(4) {
        return None;
    }
    let padding = digits.iter().rev().take_while(|b| **b == b'=').count();
    if padding > 2 {
        return None;
    }
    let mut out = Vec::with_capacity(digits.len() / 4 * 3);
    let (mut bits, mut bit_count) = (0_u32, 0);
    for &byte in &digits[..digits.len() - padding] {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        bit_count += 6;
        if bit_count >= 8 {
            bit_count -= 8;
            out.push((bits >> bit_count) as u8);
        }
    }
    Some(out)
}

/// The parts of [`Field`] that are the same for every plain value.
macro_rules! plain_field {
    ($go:literal, $zero:expr, |$value:ident| $empty:expr) => {
        fn go_type() -> String {
            $go.to_owned()
        }
        fn zero() -> Self {
            $zero
        }
        fn set_zero(&mut self) {
            *self = $zero;
        }
        fn is_empty(&self) -> bool {
            let $value = self;
            $empty
        }
    };
}
pub(crate) use plain_field;

impl Field for String {
    plain_field!("string", String::new(), |value| value.as_str().is_empty());

    fn decode(&mut self, decoder: &mut Decoder, node: &Node) -> Decoded {
        match text(decoder, node, "string")? {
            Some(text) => {
                *self = text;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    fn to_yaml(&self) -> Yaml {
        Yaml::Text(self.clone())
    }
}

impl Field for bool {
    plain_field!("bool", false, |value| !value);

    fn decode(&mut self, decoder: &mut Decoder, node: &Node) -> Decoded {
        if let Value::Scalar { text, .. } = &node.value
            && let Scalar::Bool(value) = scalar(node, text)
        {
            *self = value;
            return Ok(true);
        }
        Ok(decoder.mismatch(node, "bool"))
    }

    fn to_yaml(&self) -> Yaml {
        Yaml::Plain(self.to_string())
    }
}

/// Whole numbers take floats too, cut to their whole part, as go-yaml does.
macro_rules! int_field {
    ($type:ty, $go:literal) => {
        impl Field for $type {
            plain_field!($go, 0, |value| *value == 0);

            fn decode(&mut self, decoder: &mut Decoder, node: &Node) -> Decoded {
                if let Value::Scalar { text, .. } = &node.value {
                    let value = match scalar(node, text) {
                        Scalar::Int(value) => <$type>::try_from(value).ok(),
                        Scalar::Float(value)
                            if (<$type>::MIN as f64..<$type>::MAX as f64).contains(&value) =>
                        {
                            Some(value as $type)
                        }
                        _ => None,
                    };
                    if let Some(value) = value {
                        *self = value;
                        return Ok(true);
                    }
                }
                Ok(decoder.mismatch(node, $go))
            }

            fn to_yaml(&self) -> Yaml {
                Yaml::Plain(self.to_string())
            }
        }
    };
}
int_field!(i64, "int");
int_field!(u64, "uint");

impl Field for f64 {
    plain_field!("float64", 0.0, |value| *value == 0.0);

    fn decode(&mut self, decoder: &mut Decoder, node: &Node) -> Decoded {
        if let Value::Scalar { text, .. } = &node.value {
            match scalar(node, text) {
                Scalar::Int(value) => {
                    *self = value as f64;
                    return Ok(true);
                }
                Scalar::Float(value) => {
                    *self = value;
                    return Ok(true);
                }
                _ => {}
            }
        }
        Ok(decoder.mismatch(node, "float64"))
    }

    fn to_yaml(&self) -> Yaml {
        Yaml::Plain(super::emit::float_text(*self))
    }
}

impl<T: Field> Field for Option<T> {
    fn go_type() -> String {
        T::go_type()
    }
    fn zero() -> Self {
        None
    }
    fn set_zero(&mut self) {
        *self = None;
    }
    fn is_empty(&self) -> bool {
        self.is_none()
    }
    fn decode(&mut self, decoder: &mut Decoder, node: &Node) -> Decoded {
        self.get_or_insert_with(T::zero).decode(decoder, node)
    }
    fn to_yaml(&self) -> Yaml {
        self.as_ref().map_or(Yaml::Null, Field::to_yaml)
    }
    fn join_dir(&mut self, dir: &Path) {
        if let Some(value) = self {
            value.join_dir(dir);
        }
    }
}

impl<T: Field> Field for Vec<T> {
    fn go_type() -> String {
        format!("[]{}", T::go_type())
    }
    fn zero() -> Self {
        Vec::new()
    }
    fn set_zero(&mut self) {
        self.clear();
    }
    fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }
    fn decode(&mut self, decoder: &mut Decoder, node: &Node) -> Decoded {
        let Value::Sequence(items) = &node.value else {
            return Ok(decoder.mismatch(node, &Self::go_type()));
        };
        self.clear();
        for item in items {
            let mut value = T::zero();
            if decoder.decode(item, &mut value)? {
                self.push(value);
            }
        }
        Ok(true)
    }
    fn to_yaml(&self) -> Yaml {
        Yaml::Sequence(self.iter().map(Field::to_yaml).collect())
    }
    fn join_dir(&mut self, dir: &Path) {
        self.iter_mut().for_each(|value| value.join_dir(dir));
    }
}

impl<T: Field> Field for BTreeMap<String, T> {
    fn go_type() -> String {
        format!("map[string]{}", T::go_type())
    }
    fn zero() -> Self {
        BTreeMap::new()
    }
    fn set_zero(&mut self) {
        self.clear();
    }
    fn is_empty(&self) -> bool {
        BTreeMap::is_empty(self)
    }
    fn decode(&mut self, decoder: &mut Decoder, node: &Node) -> Decoded {
        let Value::Mapping(pairs) = &node.value else {
            return Ok(decoder.mismatch(node, &Self::go_type()));
        };
        for (key, value) in pairs {
            if key.is_merge() {
                merge(decoder, value, &mut |decoder, node| self.decode(decoder, node))?;
                continue;
            }
            let mut name = String::new();
            if !decoder.decode(key, &mut name)? {
                continue;
            }
            let mut taken = T::zero();
            if !decoder.decode(value, &mut taken)? {
                continue;
            }
            match self.entry(name) {
                Entry::Vacant(vacant) => drop(vacant.insert(taken)),
                Entry::Occupied(occupied) => {
                    let name = quoted(occupied.key().as_bytes());
                    decoder.note(value.line, &format!("key {name} already set in map"));
                }
            }
        }
        Ok(true)
    }
    fn to_yaml(&self) -> Yaml {
        Yaml::sorted_mapping(self.iter().map(|(key, value)| (key.clone(), value.to_yaml())))
    }
    fn join_dir(&mut self, dir: &Path) {
        self.values_mut().for_each(|value| value.join_dir(dir));
    }
}

/// A value of any shape, kept as it would be printed.
impl Field for Yaml {
    plain_field!("interface {}", Yaml::Null, |value| *value == Yaml::Null);

    fn decode(&mut self, decoder: &mut Decoder, node: &Node) -> Decoded {
        *self = match &node.value {
            Value::Scalar { text, .. } => match scalar(node, text) {
                Scalar::Null => Yaml::Null,
                Scalar::Bool(value) => Yaml::Plain(value.to_string()),
                Scalar::Int(value) => Yaml::Plain(value.to_string()),
                Scalar::Float(value) => Yaml::Plain(super::emit::float_text(value)),
                Scalar::Text | Scalar::Timestamp | Scalar::Merge => Yaml::Text(text.clone()),
            },
            Value::Sequence(_) => {
                let mut items = Vec::new();
                items.decode(decoder, node)?;
                Yaml::Sequence(items)
            }
            Value::Mapping(_) => {
                let mut pairs = BTreeMap::new();
                pairs.decode(decoder, node)?;
                Yaml::sorted_mapping(pairs.into_iter())
            }
        };
        Ok(true)
    }

    fn to_yaml(&self) -> Yaml {
        self.clone()
    }
}

/// Feeds the mappings that a merge key names to `take`; of a list, the last comes first, so that
/// earlier ones win.
pub(super) fn merge(
    decoder: &mut Decoder,
    node: &Node,
    take: &mut dyn FnMut(&mut Decoder, &Node) -> Decoded,
) -> Result<(), Abort> {
    let refused = || {
        let text = "yaml: map merge requires map or sequence of maps as the value";
        Err(Abort::at(node.line, text))
    };
    let mut one = |decoder: &mut Decoder, node: &Rc<Node>| match node.value {
        Value::Mapping(_) => take(decoder, node).map(|_| ()),
        _ => refused(),
    };
    match &node.value {
        Value::Mapping(_) => take(decoder, node).map(|_| ()),
        Value::Sequence(items) => items.iter().rev().try_for_each(|item| one(decoder, item)),
        Value::Scalar { .. } => refused(),
    }
}
