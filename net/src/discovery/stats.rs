//! Counts over all providers of the process, written by the control thread, read by whoever
//! answers `/metrics`.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::file::FileStats;

/// By mechanism and by the job that asked for it first.
pub type ProviderKey = (&'static str, String);

#[derive(Clone, Copy, Debug, Default)]
pub struct ProviderStats {
    pub refreshes: u64,
    pub refresh_seconds: f64,
    pub failures: u64,
    pub last_update_seconds: f64,
}

#[derive(Debug, Default)]
pub struct DiscoveryStats {
    pub file: FileStats,
    counts: Mutex<Counts>,
}

#[derive(Clone, Debug, Default)]
pub struct Counts {
    pub providers: BTreeMap<ProviderKey, ProviderStats>,
    /// Groups that providers sent.
    pub received: u64,
    /// Groups that were handed on.
    pub sent: u64,
    /// Providers that cannot even begin.
    pub failed_configs: u64,
    /// Events of watches, by role and kind.
    pub kubernetes_events: BTreeMap<(String, &'static str), u64>,
    pub kubernetes_failures: u64,
    pub dns_lookups: u64,
    pub dns_failures: u64,
}

impl DiscoveryStats {
    pub fn counts(&self) -> MutexGuard<'_, Counts> {
        // Numbers, whole after every assignment.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
