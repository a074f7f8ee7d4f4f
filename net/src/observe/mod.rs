//! What hearth says about itself: log lines, version, counters, the page of its own metrics.

pub mod alerting;
pub mod connections;
mod discovery;
pub mod durations;
pub mod log;
pub mod metrics;
mod page;
pub mod process;
pub mod queries;
pub mod query_log;
mod scraping;
pub mod stats;
mod storage;
pub mod version;
