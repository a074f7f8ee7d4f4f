//! Operators over rows of steps: the evaluation of PromQL, exact as Prometheus.
//!
//! ```text
//! a shard     scan ─► window, stage ─► rows | aggregate ─► a Partial
//! the gather  Partials ─► binary, aggregate_all, functions ─► an Outcome
//! ```
//!
//! [`run_ask`] runs on every shard against its [`crate::model::Source`]; [`evaluate`] runs where
//! the query came in and reaches the shards through a [`Scatter`]. Values are [`Matrix`]es: dense
//! columns of steps with a bit for each point. Nothing here waits but for turns and for the
//! scatter.

pub mod aggregate;
pub mod annotations;
pub mod calendar;
pub mod error;
pub mod format;
pub mod gather;
pub mod group;
pub mod histograms;
pub mod label_table;
pub mod matrix;
pub mod outcome;
pub mod ranges;
pub mod row;
pub mod scan;
pub mod stats;
pub mod testing;

mod aggregate_all;
mod aggregate_histograms;
mod best;
mod binary;
mod bits;
mod elementwise;
mod functions;
mod histogram_binary;
mod histogram_sum;
mod lookup;
mod merge_rows;
mod one_step;
mod part_run;
mod ratio;
mod remarks;
mod series;
mod shapes;
mod stage;
mod stage_histograms;
mod step_block;
mod sum;
mod turn;
mod window;

#[cfg(test)]
mod counts_tests;
#[cfg(test)]
mod histogram_tests;
#[cfg(test)]
mod one_step_tests;
#[cfg(test)]
mod tests;

pub use annotations::{Annotations, Severity};
pub use error::ExecError;
pub use gather::{Given, Scatter, evaluate, evaluate_given};
pub use group::ask_group;
pub use matrix::Matrix;
pub use outcome::{Outcome, Value};
pub use scan::{Partial, PartialValue, run_ask};
pub use stats::SampleStats;
pub use turn::spend;
