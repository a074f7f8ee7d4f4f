//! `check service-discovery`: which targets a job has, before and after relabelling.
//!
//! Source: Prometheus `cmd/promtool/sd.go`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::task::LocalSet;
use tokio::time::{Instant, timeout_at};

use super::arguments::{Arguments, Flag, Positional, flag, one};
use super::{Console, GOOD, Kind};
use crate::config::{LoadOptions, Loaded, ScrapeConfig};
use crate::discovery::{DiscoveryStats, Source, TargetGroup, watch};
use crate::scrape::job::Job;
use crate::scrape::populate;

pub(super) const FLAGS: &[Flag] =
    &[flag("timeout", Kind::Duration, "The time to wait for discovery results.").or("30s")];
pub(super) const POSITIONALS: &[Positional] =
    &[one("config-file", Kind::File), one("job", Kind::Text)];

/// Updates that wait to be read; each replaces the one before.
const UPDATE_COUNT_MAX: usize = 16;

pub(super) fn run(arguments: &Arguments, console: &mut Console<'_>) -> Result<u8, String> {
    let file = Path::new(arguments.text("config-file"));
    let loaded = Loaded::from_file(file, &LoadOptions::default())
        .map_err(|error| format!("Cannot load config {error}"))?;
    let name = arguments.text("job");
    let Some(job) = loaded.jobs.iter().find(|job| job.job_name == name) else {
        let names = loaded.jobs.iter().map(|job| format!("\n\t{}", job.job_name));
        let names: String = names.collect();
        return Err(format!("Job {name} not found. Select one of:{names}"));
    };
    let within = Duration::from_millis(arguments.duration("timeout").ms().max(0) as u64);
    let groups = discover(job, within)?;
    let job = Arc::new(Job::for_looking(job)?);
    let mut results: Vec<Value> = Vec::new();
    for (discovered, outcome) in populate::each(&job, &groups) {
        let labels = |labels: Option<&engine::model::Labels>| -> Value {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let pairs = labels.into_iter().flat_map(|labels| labels.iter());
            let fields: Map<String, Value> =
                pairs.map(|(name, value)| (text(name), text(value).into())).collect();
            fields.into()
        };
        let mut result = json!({"discoveredLabels": labels(Some(&discovered))});
        match &outcome {
            Ok(target) => result["labels"] = labels(target.as_ref().map(|target| &target.labels)),
            Err(why) => {
                result["labels"] = labels(None);
                result["error"] = why.as_str().into();
            }
        }
        if !results.contains(&result) {
            results.push(result);
        }
    }
    let text = serde_json::to_string_pretty(&results).map_err(|error| error.to_string())?;
    // A reader that went away is no fault of the command.
    let _ = console.out.write_all(text.as_bytes());
    Ok(GOOD)
}

/// What all providers of a job find in some time, as it was found last.
fn discover(job: &ScrapeConfig, within: Duration) -> Result<Vec<Arc<TargetGroup>>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let source = Source { name: job.job_name.clone(), configs: job.discovery.clone() };
    // Static groups and files are there at once; whoever has nothing else need not wait.
    let mut asks_others = job.discovery.clone();
    asks_others.static_configs.clear();
    asks_others.file_sd_configs.clear();
    let waits = asks_others != Default::default();
    let found = async {
        let deadline = Instant::now() + within;
        let (orders, sources) = async_channel::bounded(1);
        let (updates, received) = async_channel::bounded(UPDATE_COUNT_MAX);
        // The channel has room for it.
        let _ = orders.try_send(vec![source]);
        let watching = tokio::task::spawn_local(watch(
            "scrape",
            sources,
            Arc::<DiscoveryStats>::default(),
            updates,
        ));
        let mut groups = Vec::new();
        while let Ok(Ok(update)) = timeout_at(deadline, received.recv()).await {
            groups = update.groups;
            if !waits {
                break;
            }
        }
        watching.abort();
        groups
    };
    Ok(LocalSet::new().block_on(&runtime, found))
}
