//! Scraping: targets, their loops, and the way of a page into a batch.
//!
//! ```text
//! control thread                      a thread beside the shard that owns the target
//! config + discovery                  loop: tick -> http::client -> page -> samples by id, batch
//!   -> populate -> pools of targets      cache: raw text -> labels, owner   report: up, durations
//!   -> lists by thread ─────────────> set: starts and stops loops
//!
//! feed: samples of many scrapes, a message a shard -> Shard::ingest_known, Shard::ingest
//! ```
//!
//! A target belongs to the thread that its hash names. What others want to know of it (health, last
//! error, metadata) stands in its [`target::Target`], written once a scrape.
//!
//! Source: Prometheus `scrape/{scrape,target,manager}.go`.

pub mod append;
pub mod cache;
mod collect;
mod commit;
mod failure_log;
pub mod feed;
pub mod job;
pub mod metadata;
pub mod mutate;
mod page;
pub mod populate;
pub mod report;
mod run;
pub mod samples;
mod set;
pub mod stats;
pub mod target;
pub mod ticker;
pub mod worker;
