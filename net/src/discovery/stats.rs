//! Counts over all providers of the process, written by the control thread, read by whoever
//! answers `/metrics`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::file::FileStats;
use crate::observe::durations::Durations;

/// By mechanism and by the job that asked for it first.
pub type ProviderKey = (&'static str, String);

/// Refreshes of one provider that is asked again and again.
#[derive(Clone, Debug, Default)]
pub struct RefreshStats {
    pub failures: u64,
    pub durations: Arc<Durations>,
}

/// What one user of targets has now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ConfigStats {
    pub target_count: u64,
    /// Seconds since the Unix epoch.
    pub last_update_seconds: f64,
}

/// One watch: that of scrape jobs, or that of Alertmanagers.
#[derive(Clone, Debug, Default)]
pub struct ManagerStats {
    /// Findings of providers.
    pub received: u64,
    /// Updates that were handed on.
    pub sent: u64,
    /// Updates that had to wait for a place.
    pub delayed: u64,
    /// Providers of the current configuration that cannot even begin.
    pub failed_configs: u64,
    pub configs: BTreeMap<String, ConfigStats>,
}

#[derive(Debug, Default)]
pub struct DiscoveryStats {
    pub file: FileStats,
    counts: Mutex<Counts>,
}

#[derive(Clone, Debug, Default)]
pub struct Counts {
    pub managers: BTreeMap<&'static str, ManagerStats>,
    pub refreshes: BTreeMap<ProviderKey, RefreshStats>,
    /// Of all refreshes since the start.
    pub durations: BTreeMap<&'static str, Arc<Durations>>,
    /// Failures by mechanism since the start.
    pub failures: BTreeMap<&'static str, u64>,
    /// Requests to Consul: `service` and `services`.
    pub consul_durations: BTreeMap<&'static str, Arc<Durations>>,
    /// Events of watches, by role and kind.
    pub kubernetes_events: BTreeMap<(String, &'static str), u64>,
    pub kubernetes_failures: u64,
    /// Requests by the status of their answers, `<error>` without one.
    pub kubernetes_requests: BTreeMap<String, u64>,
    /// How long the API took to answer, by the path that was asked.
    pub kubernetes_durations: BTreeMap<String, Arc<Durations>>,
    pub dns_lookups: u64,
    pub dns_failures: u64,
    /// Interfaces that were not asked for again.
    pub azure_cache_hits: u64,
    /// Fetches that were answered with no change.
    pub kuma_skipped: u64,
    /// Nodes of ZooKeeper under watch.
    pub zookeeper_nodes: u64,
}

impl DiscoveryStats {
    pub fn counts(&self) -> MutexGuard<'_, Counts> {
        // Numbers, whole after every assignment.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
