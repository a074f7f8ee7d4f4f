//! What others see of the notifier.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shards::stats::Counter;

use crate::observe::durations::Durations;

/// Counters of one Alertmanager, written by the notifier's thread.
#[derive(Debug, Default)]
pub struct LoopStats {
    pub url: String,
    pub sent: Counter,
    pub errors: Counter,
    pub dropped: Counter,
    pub queue_length: Counter,
    pub latency: Durations,
}

/// Which Alertmanagers there are.
#[derive(Clone, Debug, Default)]
pub struct Alertmanagers {
    pub active: Vec<String>,
    pub dropped: Vec<String>,
    pub loops: Vec<Arc<LoopStats>>,
}

#[derive(Debug, Default)]
pub struct NotifyStats {
    pub queue_capacity: Counter,
    /// Notices that shards could not hand over, because too many waited.
    pub not_taken: AtomicU64,
    alertmanagers: Mutex<Alertmanagers>,
}

impl NotifyStats {
    fn lock(&self) -> MutexGuard<'_, Alertmanagers> {
        // Lists, whole after every assignment.
        self.alertmanagers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn alertmanagers(&self) -> Alertmanagers {
        self.lock().clone()
    }

    pub fn set_alertmanagers(&self, alertmanagers: Alertmanagers) {
        *self.lock() = alertmanagers;
    }
}
