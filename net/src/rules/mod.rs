//! Rules at work: from rule files to groups on shards, and what they give to the store and to
//! Alertmanagers.
//!
//! ```text
//! control thread                    the shard that has the group
//! manager: files -> groups          set: starts and stops loops
//!   -> lists by shard ───────────>  run: slot -> engine::rules::Group -> host
//!                                     host: Shard::query, Shard::ingest, notify
//! API, /metrics  <── cell: what others see of a group
//! ```
//!
//! Source: Prometheus `rules/{manager,group}.go`.

pub mod cell;
pub mod manager;
pub mod set;

mod host;
mod run;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::notify::Notifier;
use crate::observe::durations::Durations;

/// What the loops of all shards have in common.
pub struct Environment {
    pub notifier: Notifier,
    pub outage_tolerance_ms: i64,
    pub grace_ms: i64,
    pub resend_delay_ms: i64,
    /// Independent rules of a group are evaluated together, whatever stands between them; else only
    /// neighbours are.
    pub concurrent: bool,
    pub metrics: Arc<RuleMetrics>,
}

/// How long rules and groups take, and what becomes of templates.
#[derive(Debug, Default)]
pub struct RuleMetrics {
    pub evaluations: Durations,
    pub iterations: Durations,
    pub expansions: AtomicU64,
    pub expansion_failures: AtomicU64,
}
