//! The configuration that is carried out: jobs, and the targets that discovery finds for them.

use std::fs::File;
use std::sync::Arc;
use std::time::Instant;

use engine::model::Labels;
use engine::promql::ParseOptions;
use xxhash_rust::xxh3::xxh3_64;

use crate::api::context::{NamedPool, hostname};
use crate::config::Loaded;
use crate::discovery::TargetGroup;
use crate::notify::NotifyPlan;
use crate::observe::query_log::QueryLog;
use crate::rules::manager::RulePlan;
use crate::scrape::job::{Job, ScrapeFeatures};
use crate::scrape::populate::{Pool, pool};
use crate::scrape::stats::{PoolSetStats, PoolStats};

/// One job with what it has found.
struct Entry {
    job: Arc<Job>,
    yaml: Arc<str>,
    groups: Vec<Arc<TargetGroup>>,
    pool: Pool,
    stats: Arc<PoolStats>,
}

/// Jobs by name.
pub struct State {
    features: ScrapeFeatures,
    parse: ParseOptions,
    external_url: Arc<str>,
    entries: Vec<Entry>,
    pub stats: Arc<PoolSetStats>,
}

/// A configuration made ready, but not yet in force: building it may fail, applying may not.
pub struct Plan {
    pub jobs: Vec<Arc<Job>>,
    /// Where queries are logged from now on.
    pub query_log: Option<File>,
    pub rules: RulePlan,
    pub notify: NotifyPlan,
}

impl State {
    pub fn new(features: ScrapeFeatures, parse: ParseOptions, external_url: Arc<str>) -> State {
        let (entries, stats) = Default::default();
        State { features, parse, external_url, entries, stats }
    }

    /// Compiles the jobs of `loaded`. A job that did not change stays the same object, and so do
    /// its targets and their loops.
    ///
    /// Errors: the first rule that does not compile, with its job; a log that cannot be opened.
    pub fn plan(&self, loaded: &Loaded) -> Result<Plan, String> {
        let mut jobs = vec![];
        for config in &loaded.jobs {
            let same = self.entries.iter().find(|entry| entry.job.config == **config);
            jobs.push(match same {
                Some(entry) => entry.job.clone(),
                None => {
                    let job = Job::build(config, self.features);
                    Arc::new(job.map_err(|why| format!("job {:?}: {why}", config.job_name))?)
                }
            });
        }
        let query_log = QueryLog::file(&loaded.config.global.query_log_file)?;
        let config = &loaded.config;
        let rules = RulePlan::new(config, self.parse, &self.external_url)?;
        let notify = NotifyPlan::new(config)?;
        Ok(Plan { jobs, query_log, rules, notify })
    }

    pub fn apply(&mut self, jobs: Vec<Arc<Job>>) {
        let mut entries = vec![];
        for job in jobs {
            let before = self.entries.iter_mut().find(|entry| entry.job.name() == job.name());
            match &before {
                None => self.stats.created.add(1),
                Some(before) if !Arc::ptr_eq(&before.job, &job) => self.stats.reloads.add(1),
                Some(_) => {}
            }
            let (groups, pool, stats) = before.map_or_else(Default::default, |entry| {
                let groups = std::mem::take(&mut entry.groups);
                (groups, std::mem::take(&mut entry.pool), entry.stats.clone())
            });
            let yaml = crate::config::yaml::print(&job.config).into();
            entries.push(Entry { job, yaml, groups, pool, stats });
        }
        entries.sort_by(|a, b| a.job.name().cmp(b.job.name()));
        self.entries = entries;
    }

    /// Takes what discovery found for a job.
    pub fn set_groups(&mut self, job: &str, groups: Vec<Arc<TargetGroup>>) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.job.name() == job) {
            entry.groups = groups;
        }
    }

    /// Makes targets of all groups; returns failures as (job, why).
    pub fn sync(&mut self) -> Vec<(String, String)> {
        let mut failures = vec![];
        for entry in &mut self.entries {
            let start = Instant::now();
            entry.pool = pool(&entry.job, &entry.groups, &entry.pool.targets);
            entry.stats.syncs.add(start, start.elapsed().as_secs_f64());
            entry.stats.failures.add(entry.pool.failures.len() as u64);
            self.stats.target_limit_exceeded.add(u64::from(entry.pool.is_over_limit));
            let name = entry.job.name();
            failures.extend(entry.pool.failures.iter().map(|why| (name.to_owned(), why.clone())));
        }
        failures
    }

    pub fn pools(&self) -> Vec<NamedPool> {
        let named = |entry: &Entry| NamedPool {
            name: entry.job.name().to_owned(),
            yaml: entry.yaml.clone(),
            job: entry.job.clone(),
            stats: entry.stats.clone(),
            pool: entry.pool.clone(),
        };
        self.entries.iter().map(named).collect()
    }
}

/// What spreads the scrapes of several servers with the same targets.
pub fn offset_seed(loaded: &Loaded) -> u64 {
    let external = Labels::from_pairs(loaded.config.global.external_labels.iter());
    xxh3_64(format!("{}{external}", hostname()).as_bytes())
}
