//! Targets, scrape pools and the metadata that targets state.
//!
//! Source: Prometheus `web/api/v1/api.go` (`targets`, `getGlobalURL`, `scrapePools`,
//! `targetMetadata`, `metricMetadata`).

use std::collections::{BTreeMap, BTreeSet};

use engine::index::CompiledMatcher;
use engine::model::{Labels, LabelsBuilder};
use engine::promql::parse_selector;
use shards::{FamilyMetadata, Shard};

use crate::http::url::{Url, split_host_port};
use crate::http::{Form, Response};
use crate::relabel::RelabelConfig;
use crate::scrape::metadata::FamilyMetadata as TargetMetadata;
use crate::scrape::populate::{SCRAPE_INTERVAL, SCRAPE_TIMEOUT};
use crate::scrape::target::Target;

use super::answer::{ApiError, ErrorKind, Notes, success};
use super::context::{Context, NamedPool, WebOptions};
use super::json::Json;
use super::params::parse_int;
use super::time::rfc3339;

const LOOPBACK: [&str; 3] = ["127.0.0.1", "localhost", "::1"];

pub fn scrape_pools(context: &Context) -> Response {
    let loaded = context.loaded();
    let names: Vec<&str> = loaded.pools.iter().map(|pool| pool.name.as_str()).collect();
    success(&Notes::default(), |json| {
        json.begin_object();
        json.field("scrapePools").texts(&names);
        json.end_object();
    })
}

pub fn scrape_pool_config(context: &Context, form: &Form) -> Result<Response, ApiError> {
    let name = form.get("scrapePool");
    if name.is_empty() {
        return Err(ApiError::bad_data("no scrapePool parameter provided"));
    }
    let loaded = context.loaded();
    let pool = find_pool(&loaded.pools, name)?;
    Ok(success(&Notes::default(), |json| {
        json.begin_object();
        json.field("yaml").text(&pool.yaml);
        json.end_object();
    }))
}

fn find_pool<'p>(pools: &'p [NamedPool], name: &str) -> Result<&'p NamedPool, ApiError> {
    let found = pools.iter().find(|pool| pool.name == name);
    found.ok_or_else(|| {
        let why = format!("error retrieving scrape config: scrape pool {name:?} not found");
        ApiError::bad_data(why)
    })
}

pub fn targets(context: &Context, form: &Form) -> Response {
    let wanted_pool = form.get("scrapePool");
    let state = form.get("state").to_lowercase();
    let shows = |which: &str| state.is_empty() || state == "any" || state == which;
    let loaded = context.loaded();
    let pools = || loaded.pools.iter().filter(|p| wanted_pool.is_empty() || p.name == wanted_pool);
    success(&Notes::default(), |json| {
        json.begin_object();
        json.field("activeTargets").begin_array();
        if shows("active") {
            for pool in pools() {
                for target in &pool.pool.targets {
                    write_target(json, target, &context.web);
                }
            }
        }
        json.end_array();
        json.field("droppedTargets").begin_array();
        if shows("dropped") {
            for pool in pools() {
                for labels in &pool.pool.dropped {
                    json.begin_object();
                    json.field("discoveredLabels").labels(labels.as_ref());
                    json.field("scrapePool").text(&pool.name);
                    json.end_object();
                }
            }
        }
        json.end_array();
        json.field("droppedTargetCounts");
        if shows("dropped") {
            json.begin_object();
            for pool in loaded.pools.iter() {
                json.field(&pool.name).int(pool.pool.dropped_count as i64);
            }
            json.end_object();
        } else {
            json.raw(b"null");
        }
        json.end_object();
    })
}

fn write_target(json: &mut Json<'_>, target: &Target, web: &WebOptions) {
    let status = target.status().clone();
    let label = |name| String::from_utf8_lossy(target.labels.get(name)).into_owned();
    json.begin_object();
    json.field("discoveredLabels").labels(status.discovered.as_ref());
    json.field("labels").labels(target.public.as_ref());
    json.field("scrapePool").text(target.job.name());
    json.field("scrapeUrl").text(&target.url.to_string());
    json.field("globalUrl").text(&global_url(&target.url, web).to_string());
    json.field("lastError").text(&status.last_error);
    json.field("lastScrape").text(&rfc3339(status.last_scrape_ms));
    json.field("lastScrapeDuration").float(status.last_duration_seconds);
    json.field("health").text(status.health.as_str());
    json.field("scrapeInterval").text(&label(SCRAPE_INTERVAL));
    json.field("scrapeTimeout").text(&label(SCRAPE_TIMEOUT));
    json.end_object();
}

/// The URL under which somebody elsewhere reaches the target: loopback names are replaced by this
/// server's own name.
fn global_url(url: &Url, web: &WebOptions) -> Url {
    let (host, port) = split_host_port(&url.authority);
    if !LOOPBACK.contains(&host) {
        return url.clone();
    }
    if port == web.listen_port.to_string() {
        let (scheme, authority) = (web.external_scheme.clone(), web.external_host.clone());
        return Url { scheme, authority, ..url.clone() };
    }
    let (own, _) = split_host_port(&web.external_host);
    let own = if own.contains(':') { format!("[{own}]") } else { own.to_owned() };
    let authority = if port.is_empty() { own } else { format!("{own}:{port}") };
    Url { authority, ..url.clone() }
}

/// `/metadata`: what the targets state, by family; what senders of remote_write state where no
/// target does.
pub async fn metadata(shard: &Shard, context: &Context, form: &Form) -> Result<Response, ApiError> {
    let limit = number(form, "limit")?;
    let limit_per_metric = number(form, "limit_per_metric")?.filter(|limit| *limit > 0);
    let metric = form.get("metric");
    let mut families: BTreeMap<String, BTreeSet<(String, String, String)>> = BTreeMap::new();
    each_metadata(context, |_, family| {
        if !metric.is_empty() && *family.family != *metric {
            return;
        }
        let known = families.entry(family.family.to_string()).or_default();
        if limit_per_metric.is_none_or(|limit| known.len() < limit) {
            let text = |text: &str| text.to_owned();
            known.insert((text(&family.metric_type), text(&family.help), text(&family.unit)));
        }
    });
    let wanted = (!metric.is_empty()).then_some(metric);
    let stored = shard.metadata(wanted, usize::MAX).await;
    let stored = stored.map_err(|gone| ApiError::new(ErrorKind::Unavailable, gone.to_string()))?;
    for FamilyMetadata { family, kind, help, unit } in stored {
        families
            .entry(family.into())
            .or_insert_with(|| BTreeSet::from([(kind.into(), help.into(), unit.into())]));
    }
    Ok(success(&Notes::default(), |json| {
        json.begin_object();
        for (family, known) in families.iter().take(limit.unwrap_or(usize::MAX)) {
            json.field(family).begin_array();
            for (metric_type, help, unit) in known {
                json.begin_object();
                json.field("type").text(metric_type);
                json.field("unit").text(unit);
                json.field("help").text(help);
                json.end_object();
            }
            json.end_array();
        }
        json.end_object();
    }))
}

/// `/targets/metadata`: the same by target. The limit is looked at between targets, as Prometheus
/// does: the last one is shown whole.
pub fn targets_metadata(context: &Context, form: &Form) -> Result<Response, ApiError> {
    let limit = match form.get("limit") {
        "" => None,
        _ => number(form, "limit")?,
    };
    let matchers = match form.get("match_target") {
        "" => vec![],
        text => compiled(text).map_err(|why| ApiError::parameter("match_target", &why))?,
    };
    let is_wanted =
        |target: &Target| matchers.iter().all(|matcher| matcher.matches(target.public.as_ref()));
    let metric = form.get("metric");
    let mut count = 0;
    Ok(success(&Notes::default(), |json| {
        json.begin_array();
        let loaded = context.loaded();
        let targets = loaded.pools.iter().flat_map(|pool| &pool.pool.targets);
        for target in targets.filter(|target| is_wanted(target)) {
            if limit.is_some_and(|limit| count >= limit) {
                break;
            }
            let metadata = target.status().metadata.clone();
            for family in metadata.iter() {
                if !metric.is_empty() && *family.family != *metric {
                    continue;
                }
                count += 1;
                json.begin_object();
                json.field("target").labels(target.public.as_ref());
                if metric.is_empty() {
                    json.field("metric").text(&family.family);
                }
                json.field("type").text(&family.metric_type);
                json.field("help").text(&family.help);
                json.field("unit").text(&family.unit);
                json.end_object();
            }
        }
        json.end_array();
    }))
}

/// `/targets/relabel_steps`: what each rule of a job makes of a set of labels.
pub fn relabel_steps(context: &Context, form: &Form) -> Result<Response, ApiError> {
    let name = form.get("scrapePool");
    if name.is_empty() {
        return Err(ApiError::bad_data("no scrapePool parameter provided"));
    }
    let text = form.get("labels");
    if text.is_empty() {
        return Err(ApiError::bad_data("no labels parameter provided"));
    }
    let labels: BTreeMap<String, String> = serde_json::from_str(text)
        .map_err(|error| ApiError::bad_data(format!("error parsing labels: {error}")))?;
    let loaded = context.loaded();
    let pool = find_pool(&loaded.pools, name)?;
    let mut labels = LabelsBuilder::from_labels(Labels::from_pairs(labels.iter()).as_ref());
    let mut is_kept = true;
    let rules = &pool.job.config.relabel_configs;
    Ok(success(&Notes::default(), |json| {
        json.begin_object();
        json.field("steps").begin_array();
        for (index, rule) in rules.iter().enumerate() {
            is_kept = is_kept && pool.job.relabel.apply_one(index, &mut labels);
            let output = if is_kept { labels.clone().finish() } else { Labels::default() };
            json.begin_object();
            json.field("rule");
            write_rule(json, rule);
            json.field("output").labels(output.as_ref());
            json.field("keep").bool(is_kept);
            json.end_object();
        }
        json.end_array();
        json.end_object();
    }))
}

fn write_rule(json: &mut Json<'_>, rule: &RelabelConfig) {
    json.begin_object();
    if let Some(names) = &rule.source_labels {
        let names: Vec<&str> = names.iter().map(|name| &**name).collect();
        json.field("source_labels").texts(&names);
    }
    json.field("separator").text(&rule.separator);
    json.field("regex").text(rule.regex.as_deref().unwrap_or(RelabelConfig::REGEX));
    if rule.modulus != 0 {
        json.field("modulus").raw(rule.modulus.to_string().as_bytes());
    }
    if !rule.target_label.is_empty() {
        json.field("target_label").text(&rule.target_label);
    }
    json.field("replacement").text(&rule.replacement);
    json.field("action").text(rule.action.as_str());
    json.end_object();
}

fn compiled(text: &str) -> Result<Vec<CompiledMatcher>, String> {
    let matchers = parse_selector(text).map_err(|errors| errors.to_string())?;
    CompiledMatcher::compile(&matchers).map_err(|error| error.to_string())
}

fn each_metadata(context: &Context, mut visit: impl FnMut(&Target, &TargetMetadata)) {
    for pool in context.loaded().pools.iter() {
        for target in &pool.pool.targets {
            let metadata = target.status().metadata.clone();
            metadata.iter().for_each(|family| visit(target, family));
        }
    }
}

/// An optional limit; negative means none.
fn number(form: &Form, name: &str) -> Result<Option<usize>, ApiError> {
    match form.get(name) {
        "" => Ok(None),
        text => match parse_int(text) {
            Ok(number) => Ok(usize::try_from(number).ok()),
            Err(_) => Err(ApiError::bad_data(format!("{name} must be a number"))),
        },
    }
}
