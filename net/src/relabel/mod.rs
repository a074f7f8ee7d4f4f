//! Relabelling: rules that rewrite, keep or drop a label set.
//!
//! [`RelabelConfig`] is what the configuration file says, plain data; [`RelabelConfig::validate`]
//! judges it in Prometheus's words.
//!
//! Source: Prometheus `model/relabel/relabel.go`.

mod config;

pub use config::{Action, RelabelConfig};
