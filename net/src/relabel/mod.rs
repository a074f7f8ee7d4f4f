//! Relabelling: rules that rewrite, keep or drop a label set.
//!
//! [`RelabelConfig`] is what the configuration file says, plain data; [`RelabelConfig::validate`]
//! judges it in Prometheus's words. [`Rules`] are compiled and applied to a
//! [`engine::model::LabelsBuilder`].
//!
//! Source: Prometheus `model/relabel/relabel.go`.

mod case;
mod config;
mod rules;

#[cfg(test)]
mod tests;

pub use config::{Action, RelabelConfig};
pub use rules::Rules;
