//! From what discovery found to targets: defaults, relabelling, checks, identity.
//!
//! Source: Prometheus `scrape/target.go` (`PopulateLabels`, `TargetsFromGroup`, `URL`),
//! `scrape/scrape.go` (`Sync`).

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::model::{Labels, LabelsBuilder};
use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::config::{Millis, ScrapeConfig};
use crate::discovery::TargetGroup;
use crate::http::url::{Url, escape_path, escape_query};

use super::job::Job;
use super::target::Target;

const ADDRESS: &[u8] = b"__address__";
const SCHEME: &[u8] = b"__scheme__";
const METRICS_PATH: &[u8] = b"__metrics_path__";
pub const SCRAPE_INTERVAL: &[u8] = b"__scrape_interval__";
pub const SCRAPE_TIMEOUT: &[u8] = b"__scrape_timeout__";
const PARAM: &[u8] = b"__param_";
const META: &[u8] = b"__meta_";
const INSTANCE: &[u8] = b"instance";
const JOB: &[u8] = b"job";

/// Labels by which a target may override its job, with what an error calls them.
const BOOL_LABELS: [(&[u8], &str); 3] = [
    (b"__convert_classic_histograms_to_nhcb__", "convert classic histograms to nhcb"),
    (b"__always_scrape_classic_histograms__", "always scrape classic histograms"),
    (b"__scrape_native_histograms__", "scrape native histograms"),
];

/// The targets of one job.
#[derive(Clone, Default)]
pub struct Pool {
    pub targets: Vec<Arc<Target>>,
    /// Labels of targets that relabelling dropped, as many as the configuration keeps.
    pub dropped: Vec<Labels>,
    pub dropped_count: usize,
    /// Targets that could not be made, and why.
    pub failures: Vec<String>,
    pub is_over_limit: bool,
}

/// Makes the job's targets. Those that `earlier` has, by identity and job, stay the same object;
/// of those whose job changed the status is taken over.
pub fn pool(job: &Arc<Job>, groups: &[Arc<TargetGroup>], earlier: &[Arc<Target>]) -> Pool {
    let earlier: HashMap<u64, &Arc<Target>, RandomState> =
        earlier.iter().map(|target| (target.hash, target)).collect();
    let mut pool = Pool::default();
    let mut seen: HashMap<u64, usize, RandomState> = HashMap::default();
    for group in groups {
        for (index, labels) in group.targets.iter().enumerate() {
            let discovered = discovered_labels(&job.config, labels, &group.labels);
            match populate(job, &discovered) {
                Err(why) => {
                    pool.failures
                        .push(format!("instance {index} in group {}: {why}", group.source));
                }
                Ok(None) => {
                    let kept = job.config.keep_dropped_targets;
                    if kept == 0 || (pool.dropped.len() as u64) < kept {
                        pool.dropped.push(discovered);
                    }
                    pool.dropped_count += 1;
                }
                Ok(Some(target)) => {
                    match seen.get(&target.hash) {
                        None => {
                            seen.insert(target.hash, pool.targets.len());
                            pool.targets.push(adopt(target, discovered, &earlier));
                        }
                        // One target, shown as it was found last.
                        Some(&index) => pool.targets[index].status().discovered = discovered,
                    }
                }
            }
        }
    }
    pool.is_over_limit = job.limit_targets(pool.targets.len());
    pool
}

/// Labels before relabelling and what becomes of each target, for whoever looks at them all.
pub fn each(
    job: &Arc<Job>,
    groups: &[Arc<TargetGroup>],
) -> Vec<(Labels, Result<Option<Target>, String>)> {
    let found = groups.iter().flat_map(|group| group.targets.iter().map(move |own| (own, group)));
    found
        .map(|(own, group)| {
            let discovered = discovered_labels(&job.config, own, &group.labels);
            let outcome = populate(job, &discovered);
            (discovered, outcome)
        })
        .collect()
}

fn adopt(
    target: Target,
    discovered: Labels,
    earlier: &HashMap<u64, &Arc<Target>, RandomState>,
) -> Arc<Target> {
    match earlier.get(&target.hash) {
        Some(&same) if Arc::ptr_eq(&same.job, &target.job) => {
            same.status().discovered = discovered;
            same.clone()
        }
        Some(&before) => {
            let mut status = before.status().clone();
            status.discovered = discovered;
            *target.status() = status;
            Arc::new(target)
        }
        None => Arc::new(target),
    }
}

/// The labels of a target before relabelling: its own, its group's, its job's.
fn discovered_labels(config: &ScrapeConfig, own: &Labels, group: &Labels) -> Labels {
    let mut builder = LabelsBuilder::from_labels(own.as_ref());
    let mut default = |name: &[u8], value: &str| {
        if builder.get(name).is_empty() {
            builder.set(name, value.as_bytes());
        }
    };
    for (name, value) in group.iter() {
        if own.get(name).is_empty() {
            default(name, &String::from_utf8_lossy(value));
        }
    }
    default(JOB, &config.job_name);
    default(SCRAPE_INTERVAL, &config.scrape_interval.to_string());
    default(SCRAPE_TIMEOUT, &config.scrape_timeout.to_string());
    default(METRICS_PATH, &config.metrics_path);
    default(SCHEME, &config.scheme);
    let bools = [
        config.converts_classic_histograms(),
        config.always_scrapes_classic_histograms(),
        config.scrapes_native_histograms(),
    ];
    for ((name, _), value) in BOOL_LABELS.iter().zip(bools) {
        default(name, if value { "true" } else { "false" });
    }
    for (name, values) in &config.params {
        if let Some(first) = values.first() {
            default(&[PARAM, name.as_bytes()].concat(), first);
        }
    }
    builder.finish()
}

/// Relabels and checks; none if relabelling drops the target.
fn populate(job: &Arc<Job>, discovered: &Labels) -> Result<Option<Target>, String> {
    let mut builder = LabelsBuilder::from_labels(discovered.as_ref());
    if !job.relabel.apply(&mut builder) {
        return Ok(None);
    }
    let text = |name: &[u8]| String::from_utf8_lossy(builder.get(name)).into_owned();
    let address = text(ADDRESS);
    if address.is_empty() {
        return Err("no address".into());
    }
    if address.contains('/') {
        return Err(format!("{address:?} is not a valid hostname"));
    }
    let times = interval_and_timeout(&text(SCRAPE_INTERVAL), &text(SCRAPE_TIMEOUT))?;
    for (name, description) in BOOL_LABELS {
        check_bool(&text(name)).map_err(|why| format!("error parsing {description}: {why}"))?;
    }
    builder.retain(|name, _| !name.starts_with(META));
    if builder.get(INSTANCE).is_empty() {
        builder.set(INSTANCE, address.as_bytes());
    }
    let labels = builder.finish();
    if let Some((name, value)) =
        labels.iter().find(|(_, value)| simdutf8::basic::from_utf8(value).is_err())
    {
        let (name, value) = (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
        return Err(format!("invalid label value for {name:?}: {value:?}"));
    }
    let url = url(&job.config, &labels);
    Ok(Some(Target::new(job.clone(), labels, url, times, discovered.clone())))
}

fn interval_and_timeout(interval: &str, timeout: &str) -> Result<(i64, i64), String> {
    let parse = |text, what: &str| {
        Millis::parse(text).map_err(|why| format!("error parsing scrape {what}: {why}"))
    };
    let interval_ms = parse(interval, "interval")?.ms();
    if interval_ms == 0 {
        return Err("scrape interval cannot be 0".into());
    }
    let timeout_ms = parse(timeout, "timeout")?.ms();
    if timeout_ms == 0 {
        return Err("scrape timeout cannot be 0".into());
    }
    if timeout_ms > interval_ms {
        return Err(format!(
            "scrape timeout cannot be greater than scrape interval ({timeout:?} > {interval:?})"
        ));
    }
    Ok((interval_ms, timeout_ms))
}

/// Go's `strconv.ParseBool`; absent is fine.
fn check_bool(text: &str) -> Result<(), String> {
    const WORDS: [&str; 13] =
        ["", "1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False"];
    if WORDS.contains(&text) {
        return Ok(());
    }
    Err(format!("strconv.ParseBool: parsing {text:?}: invalid syntax"))
}

/// Where the target is scraped. A `__param_x` label replaces the first value of parameter `x`.
fn url(config: &ScrapeConfig, labels: &Labels) -> Url {
    let mut params: BTreeMap<String, Vec<String>> = config.params.clone();
    for (name, value) in labels.iter() {
        if let Some(name) = name.strip_prefix(PARAM) {
            let values = params.entry(String::from_utf8_lossy(name).into_owned()).or_default();
            let value = String::from_utf8_lossy(value).into_owned();
            match values.first_mut() {
                Some(first) => *first = value,
                None => values.push(value),
            }
        }
    }
    let pairs = params.iter().flat_map(|(name, values)| values.iter().map(move |v| (name, v)));
    let pairs: Vec<String> =
        pairs.map(|(n, v)| format!("{}={}", escape_query(n), escape_query(v))).collect();
    let text = |name: &[u8]| String::from_utf8_lossy(labels.get(name)).into_owned();
    let path = text(METRICS_PATH);
    let slash = if path.is_empty() || path.starts_with('/') { "" } else { "/" };
    Url {
        scheme: text(SCHEME),
        user: None,
        authority: text(ADDRESS),
        path: escape_path(&format!("{slash}{path}")).replace('?', "%3F"),
        query: pairs.join("&"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ScrapeConfig;
    use crate::config::yaml;
    use crate::scrape::job::ScrapeFeatures;

    /// Targets as `labels before relabelling -> URL`, under `relabel_configs`.
    #[track_caller]
    fn check(relabel: &str, addresses: &[&str], expected: &[&str]) {
        let mut config = ScrapeConfig::default();
        let text = format!(
            "job_name: j\nscheme: http\nscrape_interval: 1s\nscrape_timeout: 1s\n\
             relabel_configs: [{relabel}]"
        );
        yaml::decode(&text, &mut config).unwrap_or_else(|abort| panic!("{}", abort.message));
        let job = Arc::new(Job::build(&config, ScrapeFeatures::default()).unwrap());
        let own = |address: &&str| Labels::from_pairs([("__address__", *address)]);
        let targets = addresses.iter().map(own).collect();
        let (source, labels) = ("s".into(), Labels::default());
        let group = Arc::new(TargetGroup { source, labels, targets });
        let pool = pool(&job, &[group], &[]);
        let shown = |target: &Arc<Target>| {
            let discovered = target.status().discovered.clone();
            let address = String::from_utf8_lossy(discovered.get(ADDRESS)).into_owned();
            format!("{address} -> {}", target.url)
        };
        assert_eq!(pool.targets.iter().map(shown).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn equal_targets_are_one_as_it_was_found_last() {
        let one = "{target_label: __address__, replacement: 'c:3'}";
        check("", &["a:1", "b:2"], &["a:1 -> http://a:1/metrics", "b:2 -> http://b:2/metrics"]);
        check(one, &["a:1", "b:2"], &["b:2 -> http://c:3/metrics"]);
    }
}
