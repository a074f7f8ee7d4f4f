//! Floats as text: the same digits on the wire as in labels and messages.

pub use engine::model::float::*;
