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
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::notify::Notifier;
use crate::observe::durations::Durations;

/// What the loops of all shards have in common.
pub struct Environment {
    pub notifier: Notifier,
    pub outage_tolerance_ms: i64,
    pub grace_ms: i64,
    pub resend_delay_ms: i64,
    /// Of independent rules that run at the same time; none: rules run one by one.
    pub places: Option<Places>,
    pub metrics: Arc<RuleMetrics>,
}

/// How long rules and groups take.
#[derive(Debug, Default)]
pub struct RuleMetrics {
    pub evaluations: Durations,
    pub iterations: Durations,
}

/// Places of rules that run beside others, for the whole process.
pub struct Places(Arc<AtomicUsize>);

/// Given back when dropped.
pub struct Place(Arc<AtomicUsize>);

impl Places {
    pub fn new(count: usize) -> Places {
        Places(Arc::new(AtomicUsize::new(count)))
    }

    /// A place if there is one; never waits.
    pub fn take(&self) -> Option<Place> {
        let taken =
            self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| count.checked_sub(1));
        taken.ok().map(|_| Place(self.0.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}
