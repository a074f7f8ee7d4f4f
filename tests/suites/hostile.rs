//! Targets that mean harm or are broken: each fails with a clear reason, none holds memory or time,
//! and the good target beside them is scraped as if they were not there.

use std::time::{Duration, Instant};

use serde_json::Value;
use tests::hostile_targets::{BEHAVIOURS, serve};
use tests::{Hearth, Options};

/// Longest that all targets may take to be scraped once.
const WITHIN: Duration = Duration::from_secs(30);

/// Growth of resident memory that the hostile targets may cause together, in bytes.
const GROWTH_BYTES_MAX: u64 = 64 << 20;

#[test]
fn hostile_targets_harm_nobody_but_themselves() {
    let address = serve();
    let mut config = "global: {scrape_interval: 1s, scrape_timeout: 500ms}\n\
                      scrape_configs:\n"
        .to_owned();
    for (name, _) in BEHAVIOURS {
        config.push_str(&format!(
            "- job_name: {name}\n  metrics_path: /{name}\n  body_size_limit: 4MB\n  \
             sample_limit: 1000\n  label_limit: 50\n  label_value_length_limit: 1000\n  \
             static_configs: [{{targets: ['{address}']}}]\n"
        ));
    }
    let args = vec!["--shards=1".to_owned()];
    let hearth = Hearth::start(Options { config: Some(config), args });
    let before = hearth.peak_resident_bytes();
    let begun = Instant::now();
    let targets = loop {
        let answer = hearth.get("/api/v1/targets?state=active").json();
        let targets = answer["data"]["activeTargets"].as_array().cloned().unwrap_or_default();
        let is_scraped = |target: &Value| target["health"] != "unknown";
        if targets.len() == BEHAVIOURS.len() && targets.iter().all(is_scraped) {
            break targets;
        }
        assert!(begun.elapsed() < WITHIN, "not scraped: {answer}");
        std::thread::sleep(Duration::from_millis(20));
    };
    let mut problems = vec![];
    for (name, expected) in BEHAVIOURS {
        let target = targets.iter().find(|target| target["scrapePool"] == *name).expect("its job");
        let error = target["lastError"].as_str().unwrap_or_default();
        let health = target["health"].as_str().unwrap_or_default();
        let is_good = match expected {
            None => health == "up" && error.is_empty(),
            Some(expected) => health == "down" && error.contains(expected),
        };
        if !is_good {
            problems.push(format!("{name}: {health} {error}"));
        }
        let duration = target["lastScrapeDuration"].as_f64().unwrap_or(f64::MAX);
        assert!(duration < 5.0, "{name} took {duration} s");
    }
    assert!(problems.is_empty(), "{problems:#?}");
    // The good one, the one in the future, the one with twins.
    hearth.wait_query("sum(up)", |data| data["result"][0]["value"][1] == "3");
    let growth = hearth.peak_resident_bytes().saturating_sub(before);
    assert!(growth < GROWTH_BYTES_MAX, "grew by {growth} bytes");
}
