//! What hearth says about itself: log lines, version, counters, the page of its own metrics.

pub mod exposition;
pub mod log;
pub mod metrics;
pub mod process;
pub mod stats;
mod storage;
pub mod version;
