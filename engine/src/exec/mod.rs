//! Operators over step batches: the evaluation of PromQL.

pub use crate::model::source;
