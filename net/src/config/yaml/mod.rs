//! YAML as Prometheus reads and writes it: values of YAML 1.1 as go-yaml resolves them, strict
//! fields, error texts with lines, and printing that go-yaml would have produced.
//!
//! ```text
//! text -> node (tree with lines) -> field (a value takes a node) -> section (struct of fields)
//!         a value                -> Yaml (what is to be printed)  -> emit (text)
//! ```
//!
//! A struct's fields are written once, in [`section!`]: name, type, default and whether an empty
//! value is left out. Decoding, zero values, joining of relative paths and printing follow from
//! that table.
//!
//! Source: go-yaml v2 (`decode.go`, `resolve.go`, `encode.go`, `emitterc.go`), what is observable.

mod emit;
mod field;
mod node;
mod scalar;
mod section;
#[cfg(test)]
mod tests;

use std::rc::Rc;

pub use emit::{Yaml, natural_order};
pub(crate) use field::plain_field;
pub use field::{Abort, Decoded, Decoder, Field, Reading, binary};
pub use node::{Node, Value};
pub(crate) use section::section;
pub use section::{
    Mode, Section, Slot, decode_section, section_is_empty, section_join_dir, section_to_yaml,
};

/// Decodes one YAML document into `field`. An empty document leaves `field` as it is.
///
/// # Errors
///
/// The text go-yaml gives (`yaml: unmarshal errors:` with one line for each fault), or the text
/// of the first check that failed, with the line of its section.
pub fn decode<T: Field>(text: &str, field: &mut T) -> Result<(), Abort> {
    decode_as(text, Reading::default(), field).map(|_| ())
}

/// As [`decode`], read in another way; whether another document follows, which is not read.
pub fn decode_as<T: Field>(text: &str, reading: Reading, field: &mut T) -> Result<bool, Abort> {
    let Some(document) = node::parse(text)? else { return Ok(false) };
    let mut decoder = Decoder::new(document.node_count, reading);
    decoder.decode(&document.root, field)?;
    decoder.finish()?;
    Ok(document.more)
}

/// The first document of `text` as a tree; none if there is none.
///
/// # Errors
///
/// Text that is no YAML.
pub fn tree(text: &str) -> Result<Option<Rc<Node>>, Abort> {
    Ok(node::parse(text)?.map(|document| document.root))
}

/// Prints `field` as go-yaml does, with a final line break.
pub fn print(field: &impl Field) -> String {
    emit::print(&field.to_yaml())
}
