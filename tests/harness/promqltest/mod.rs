//! The test language of PromQL: scripts that load series and say what expressions give.
//!
//! ```text
//! script      text -> commands
//! nhcb        classic histograms as native ones, for `load_with_nhcb`
//! engine      what a script runs against: the evaluation over some shards
//! variants    the same question with `@` on every selector, which must not change the answer
//! check       answer against expectation
//! run         commands -> a verdict per evaluation
//! ```
//!
//! The language is Prometheus's: see `promql/promqltest/README.md` there. Where its runner asks a
//! question more than once (as a range, with `@`), this one does, too.

pub mod check;
pub mod engine;
pub mod nhcb;
pub mod run;
pub mod script;
pub mod variants;

#[cfg(test)]
mod tests;

pub use engine::{Answer, Engine, LocalEngine, Point, Values};
pub use run::{Report, run};
