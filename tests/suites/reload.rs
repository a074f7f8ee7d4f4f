//! `--config.auto-reload` from outside: a change of any file of the configuration is in force soon
//! after, and one that does not load changes nothing.

use std::path::Path;

use serde_json::Value;
use tests::workspace::TemporaryFolder;
use tests::{Hearth, Options};

/// Writes a file so that nobody reads half of it.
fn put(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).expect("the folder is writable");
    std::fs::rename(&new, path).expect("a file of the same folder");
}

fn job(name: &str) -> String {
    format!(
        "scrape_configs:\n- job_name: {name}\n  static_configs: [{{targets: ['127.0.0.1:9']}}]\n"
    )
}

fn rule(name: &str) -> String {
    format!("groups:\n- name: g\n  rules:\n  - record: {name}\n    expr: vector(1)\n")
}

fn main_file(interval: &str) -> String {
    format!(
        "global: {{scrape_interval: {interval}}}\nscrape_config_files: [jobs.yml]\n\
         rule_files: [rules.yml]\n"
    )
}

/// What is in force: the interval, the jobs, the rules.
fn in_force(hearth: &Hearth) -> (String, Value, Vec<String>) {
    let yaml = hearth.get("/api/v1/status/config").json()["data"]["yaml"].clone();
    let yaml = yaml.as_str().unwrap_or_default().to_owned();
    let interval = yaml.lines().find(|line| line.contains("scrape_interval")).unwrap_or_default();
    let pools = hearth.get("/api/v1/scrape_pools").json()["data"]["scrapePools"].clone();
    let groups = hearth.get("/api/v1/rules").json()["data"]["groups"].clone();
    let groups = groups.as_array().cloned().unwrap_or_default();
    let rules = groups.iter().flat_map(|group| group["rules"].as_array().cloned());
    let names = rules.flatten().map(|rule| rule["name"].as_str().unwrap_or_default().to_owned());
    (interval.trim().to_owned(), pools, names.collect())
}

#[track_caller]
fn check(hearth: &Hearth, interval: &str, pool: &str, rule: &str) {
    let interval = format!("scrape_interval: {interval}");
    let expected = (interval, Value::from(vec![pool]), vec![rule.to_owned()]);
    hearth.wait_for(&format!("{expected:?} is in force"), |hearth| {
        (in_force(hearth) == expected).then_some(())
    });
}

fn is_last_reload_good(hearth: &Hearth) -> bool {
    let metrics = hearth.get("/metrics").text();
    metrics.lines().any(|line| line == "prometheus_config_last_reload_successful 1")
}

#[test]
fn every_file_of_the_configuration_is_followed() {
    let folder = TemporaryFolder::new("reload");
    let (jobs, rules) = (folder.path().join("jobs.yml"), folder.path().join("rules.yml"));
    put(&jobs, &job("a"));
    put(&rules, &rule("x"));
    let options = Options {
        config: Some(main_file("30s")),
        args: vec![
            "--config.auto-reload".to_owned(),
            "--config.auto-reload-interval=1s".to_owned(),
        ],
    };
    let hearth = Hearth::start_in(options, folder);
    let main = hearth.config_file();
    check(&hearth, "30s", "a", "x");
    put(&main, &main_file("20s"));
    check(&hearth, "20s", "a", "x");
    put(&jobs, &job("b"));
    check(&hearth, "20s", "b", "x");
    put(&rules, &rule("y"));
    check(&hearth, "20s", "b", "y");

    // A mistake in one file keeps what is good in another from being in force, too.
    put(&rules, "groups: [{name: g, rules: [{record: z, expr: 'vector('}]}]\n");
    hearth.wait_for("the mistake is seen", |hearth| (!is_last_reload_good(hearth)).then_some(()));
    put(&main, &main_file("10s"));
    let tried = || hearth.log().matches("Error reloading config").count();
    let before = tried();
    hearth.wait_for("it is tried again", |_| (tried() > before + 1).then_some(()));
    check(&hearth, "20s", "b", "y");
    put(&rules, &rule("z"));
    check(&hearth, "10s", "b", "z");
    assert!(is_last_reload_good(&hearth));
}
