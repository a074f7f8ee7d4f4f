//! What the answers of all shards have in common: options, state of the configuration, targets.
//!
//! Written by the control thread, read by every shard. Locks here are taken once a request for
//! what they hold, never per sample.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use async_channel::Sender;
use engine::regex::Regex;
use shards::query::QueryOutcome;
use shards::{QueryOptions, Shard, runtime};

use crate::discovery::DiscoveryStats;
use crate::notify::stats::NotifyStats;
use crate::observe::connections::ListenerStats;
use crate::observe::query_log::QueryLog;
use crate::observe::stats::ShardStats;
use crate::rules::RuleMetrics;
use crate::rules::cell::GroupCell;
use crate::scrape::job::Job;
use crate::scrape::populate::Pool;
use crate::scrape::stats::{PoolSetStats, PoolStats};
use crate::ship::ShipStats;
use crate::wire::remote_write::Protocol;

/// What flags say about the web.
pub struct WebOptions {
    /// Host and port under which others reach this server, and the scheme.
    pub external_scheme: String,
    pub external_host: String,
    /// The same with the path, without a slash at its end.
    pub external_url: Arc<str>,
    /// Path before every route; empty for none.
    pub route_prefix: String,
    pub listen_port: u16,
    pub page_title: String,
    pub has_lifecycle: bool,
    pub has_admin_api: bool,
    pub has_remote_write_receiver: bool,
    pub has_otlp_receiver: bool,
    /// Remote write messages that are taken.
    pub remote_write_protocols: Vec<Protocol>,
    /// Series that come with their metadata get labels of type and unit.
    pub type_and_unit: bool,
    /// Origins that browsers may call from; whole values.
    pub cors_origin: Regex,
}

/// Whether requests are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    Starting,
    Ready,
    Stopping,
}

/// What somebody asks the control thread to do.
pub enum Command {
    /// Read the configuration again; the answer is Prometheus's text of what was wrong.
    Reload(Sender<Result<(), String>>),
    Quit,
}

/// The configuration as it is carried out.
#[derive(Clone, Default)]
pub struct Loaded {
    /// The file with all defaults, secrets masked.
    pub yaml: Arc<str>,
    pub is_last_reload_good: bool,
    pub last_good_reload_ms: i64,
    /// By job, in the order of their names.
    pub pools: Arc<Vec<NamedPool>>,
    /// By file and name.
    pub rules: Arc<Vec<Arc<GroupCell>>>,
    /// `global.external_labels`.
    pub external_labels: Arc<BTreeMap<String, String>>,
}

#[derive(Clone)]
pub struct NamedPool {
    pub name: String,
    /// The job's section of the configuration.
    pub yaml: Arc<str>,
    pub job: Arc<Job>,
    pub pool: Pool,
    pub stats: Arc<PoolStats>,
}

pub struct Context {
    pub web: WebOptions,
    /// Every flag with its value, ascending.
    pub flags: Vec<(String, String)>,
    pub started_ms: i64,
    pub working_directory: String,
    pub hostname: String,
    pub storage_retention: String,
    pub shard_count: usize,
    /// One a shard.
    pub stats: Vec<Arc<ShardStats>>,
    pub commands: Sender<Command>,
    pub query_log: QueryLog,
    pub discovery: Arc<DiscoveryStats>,
    pub notify: Arc<NotifyStats>,
    pub rule_metrics: Arc<RuleMetrics>,
    pub pool_stats: Arc<PoolSetStats>,
    pub connections: Arc<ListenerStats>,
    /// When blocks are shipped.
    pub ship: Option<Arc<ShipStats>>,
    readiness: AtomicU8,
    /// `global.evaluation_interval`: the step of a subquery that names none.
    subquery_step_ms: AtomicI64,
    loaded: RwLock<Loaded>,
}

impl Context {
    pub fn new(parts: ContextParts) -> Context {
        Context {
            web: parts.web,
            flags: parts.flags,
            started_ms: parts.started_ms,
            working_directory: std::env::current_dir().map_or_else(
                |_| "<error retrieving current working directory>".to_owned(),
                |path| path.display().to_string(),
            ),
            hostname: hostname(),
            storage_retention: parts.storage_retention,
            shard_count: parts.shard_count,
            stats: (0..parts.shard_count).map(|_| Arc::default()).collect(),
            commands: parts.commands,
            query_log: parts.query_log,
            discovery: Arc::default(),
            notify: parts.notify,
            rule_metrics: parts.rule_metrics,
            pool_stats: parts.pool_stats,
            connections: Arc::default(),
            ship: parts.ship,
            subquery_step_ms: AtomicI64::new(QueryOptions::default().subquery_step_ms),
            readiness: AtomicU8::new(Readiness::Starting as u8),
            loaded: RwLock::default(),
        }
    }

    pub fn readiness(&self) -> Readiness {
        match self.readiness.load(Ordering::Relaxed) {
            0 => Readiness::Starting,
            1 => Readiness::Ready,
            _ => Readiness::Stopping,
        }
    }

    pub fn set_readiness(&self, readiness: Readiness) {
        self.readiness.store(readiness as u8, Ordering::Relaxed);
    }

    pub fn subquery_step_ms(&self) -> i64 {
        self.subquery_step_ms.load(Ordering::Relaxed)
    }

    pub fn set_subquery_step_ms(&self, step_ms: i64) {
        self.subquery_step_ms.store(step_ms, Ordering::Relaxed);
    }

    /// The value of a flag, as it is shown.
    pub fn flag(&self, name: &str) -> Option<&str> {
        self.flags.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    /// Counts a query that `shard` answered.
    pub fn count_query(&self, shard: &Shard, outcome: &QueryOutcome) {
        self.stats[shard.id().index()].queries.count(outcome, runtime::now());
    }

    pub fn loaded(&self) -> Loaded {
        // Plain values, whole after every assignment.
        self.loaded.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn update_loaded(&self, update: impl FnOnce(&mut Loaded)) {
        update(&mut self.loaded.write().unwrap_or_else(PoisonError::into_inner));
    }
}

/// What a context is made of, beside what the machine says.
pub struct ContextParts {
    pub web: WebOptions,
    pub flags: Vec<(String, String)>,
    pub started_ms: i64,
    pub storage_retention: String,
    pub shard_count: usize,
    pub commands: Sender<Command>,
    pub query_log: QueryLog,
    pub notify: Arc<NotifyStats>,
    pub rule_metrics: Arc<RuleMetrics>,
    pub pool_stats: Arc<PoolSetStats>,
    pub ship: Option<Arc<ShipStats>>,
}

pub fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "localhost".to_owned(), |name| name.trim().to_owned())
}
