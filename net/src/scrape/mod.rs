//! Scraping: targets, their loops, and the way of a page into a batch.
//!
//! ```text
//! control thread                      the shard that owns the target
//! config + discovery                  loop: tick -> http::client -> page -> Batch -> Shard::ingest
//!   -> populate -> pools of targets      cache: raw text -> labels      report: up, durations
//!   -> lists by shard ──────────────>  set: starts and stops loops
//! ```
//!
//! A target belongs to the shard that its hash names. What others want to know of it (health, last
//! error, metadata) stands in its [`target::Target`], written once a scrape.
//!
//! Source: Prometheus `scrape/{scrape,target,manager}.go`.

pub mod append;
#[cfg(test)]
mod append_tests;
pub mod cache;
mod collect;
mod commit;
mod failure_log;
pub mod job;
pub mod metadata;
pub mod mutate;
pub mod populate;
pub mod report;
mod run;
pub mod set;
pub mod stats;
pub mod target;
pub mod ticker;
