//! Operators over step batches: the evaluation of PromQL.

pub mod source;
