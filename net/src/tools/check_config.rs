//! `check config`: whether a configuration and the files it names are valid.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::model::LabelsBuilder;

use super::arguments::{Arguments, Flag, Kind, Positional, flag, many};
use super::check_rules::{self, Verdict};
use super::lint::{LINT_FATAL, Lint};
use super::{Console, say};
use crate::config::{
    AlertmanagerConfig, DiscoveryConfigs, LoadOptions, Loaded, Millis, ScrapeConfig, TlsConfig,
    glob,
};
use crate::discovery::{TargetGroup, check_file as check_target_file, static_groups};
use crate::relabel::Rules;
use crate::scrape::job::Job;
use crate::scrape::populate;
use crate::wire::quote::quoted;

pub(super) const FLAGS: &[Flag] = &[
    flag("syntax-only", Kind::Switch, "Look at no other file."),
    flag("lint", Kind::Text, "all, duplicate-rules, none, too-long-scrape-interval.")
        .or("duplicate-rules"),
    LINT_FATAL,
    flag("ignore-unknown-fields", Kind::Switch, "Pass over fields of rules that are not known."),
    flag("query.lookback-delta", Kind::Duration, "The server's lookback.").or("5m"),
    flag("agent", Kind::Switch, "Check for agent mode."),
];
pub(super) const POSITIONALS: &[Positional] = &[many("config-files", Kind::File, true)];

pub(super) fn run(arguments: &Arguments, console: &mut Console<'_>) -> Result<u8, String> {
    let lint = Lint::of_config(arguments, console);
    let lookback = Millis(arguments.duration("query.lookback-delta").ms());
    let syntax_only = arguments.is_set("syntax-only");
    let load = LoadOptions { agent: arguments.is_set("agent"), ..LoadOptions::default() };
    let mut verdict = Verdict::default();
    for file in arguments.values("config-files") {
        say!(console.out, "Checking {file}");
        let checked = check(Path::new(file), &load, syntax_only, console);
        let (rule_files, jobs) = match checked {
            Ok((rule_files, loaded)) => {
                if !rule_files.is_empty() {
                    say!(console.out, "  SUCCESS: {} rule files found", rule_files.len());
                }
                say!(console.out, " SUCCESS: {file} is valid prometheus config file syntax");
                (rule_files, loaded.jobs)
            }
            Err(error) => {
                say!(console.err, "  FAILED: {error}");
                verdict.has_errors = true;
                (Vec::new(), Vec::new())
            }
        };
        say!(console.out);
        if syntax_only {
            continue;
        }
        let is_long = |job: &&Arc<ScrapeConfig>| job.scrape_interval >= lookback;
        if lint.long_intervals
            && lookback > Millis(0)
            && let Some(job) = jobs.iter().find(is_long)
        {
            say!(
                console.err,
                "  FAILED: too long scrape interval found, data point will be marked as stale - \
                 job: {}, interval: {}",
                job.job_name,
                job.scrape_interval
            );
            verdict.has_lint = true;
        }
        let options = check_rules::options(arguments);
        for rule_file in &rule_files {
            verdict.merge(check_rules::check_file(rule_file, &options, lint, console));
        }
    }
    Ok(verdict.code(lint))
}

/// The rule files and the configuration itself; why it is refused.
fn check(
    file: &Path,
    options: &LoadOptions,
    syntax_only: bool,
    console: &mut Console<'_>,
) -> Result<(Vec<PathBuf>, Loaded), String> {
    let mut loaded = Loaded::from_main_file(file, options).map_err(|error| error.to_string())?;
    let mut rule_files = Vec::new();
    if !syntax_only {
        for pattern in &loaded.config.rule_files {
            let found = glob(pattern)?;
            let pattern = &**pattern;
            if !pattern.contains('*') && !found.iter().any(|file| file.exists()) {
                let pattern = quoted(pattern.as_bytes());
                return Err(format!("{pattern} does not point to an existing file"));
            }
            rule_files.extend(found);
        }
        loaded = loaded
            .with_job_files()
            .map_err(|error| format!("error loading scrape configs: {error}"))?;
    }
    for job in &loaded.jobs {
        if !syntax_only && let Some(authorization) = &job.http.authorization {
            require(
                &authorization.credentials_file,
                "error checking authorization credentials or bearer token file",
            )?;
        }
        check_tls(&job.http.tls_config, syntax_only)?;
        let place = format!("in scrape job {}", quoted(job.job_name.as_bytes()));
        let groups = target_groups(&job.discovery, &place, syntax_only, console)?;
        let job = Arc::new(Job::for_looking(job)?);
        if let Some(failure) = populate::pool(&job, &groups, &[]).failures.into_iter().next() {
            return Err(failure);
        }
    }
    for alertmanager in &loaded.config.alerting.alertmanagers {
        let place = "in alertmanager config";
        let groups = target_groups(&alertmanager.discovery, place, syntax_only, console)?;
        check_alertmanagers(alertmanager, &groups)?;
    }
    Ok((rule_files, loaded))
}

/// A file that is named must be there.
fn require(file: &str, what: &str) -> Result<(), String> {
    if !file.is_empty() && !Path::new(file).exists() {
        let name = quoted(file.as_bytes());
        return Err(format!("{what} {name}: stat {file}: no such file or directory"));
    }
    Ok(())
}

fn check_tls(tls: &TlsConfig, syntax_only: bool) -> Result<(), String> {
    let (cert, key) = (&*tls.cert_file, &*tls.key_file);
    if !cert.is_empty() && key.is_empty() {
        let cert = quoted(cert.as_bytes());
        return Err(format!("client cert file {cert} specified without client key file"));
    }
    if !key.is_empty() && cert.is_empty() {
        let key = quoted(key.as_bytes());
        return Err(format!("client key file {key} specified without client cert file"));
    }
    if syntax_only {
        return Ok(());
    }
    require(cert, "error checking client cert file")?;
    require(key, "error checking client key file")
}

/// What is found without asking anybody: the static groups, and those of files.
fn target_groups(
    discovery: &DiscoveryConfigs,
    place: &str,
    syntax_only: bool,
    console: &mut Console<'_>,
) -> Result<Vec<Arc<TargetGroup>>, String> {
    let mut groups = static_groups(&discovery.static_configs);
    let sections = discovery.file_sd_configs.iter().filter(|_| !syntax_only);
    for pattern in sections.flat_map(|section| &section.files) {
        let found = glob(pattern)?;
        let name = quoted(pattern.as_bytes());
        if found.is_empty() {
            say!(console.out, "  WARNING: file {name} for file_sd {place} does not exist");
        }
        for file in found {
            let of_file = check_target_file(&file);
            groups.extend(of_file.map_err(|error| format!("checking SD file {name}: {error}"))?);
        }
    }
    Ok(groups)
}

/// The addresses of Alertmanagers must be addresses once they are relabelled.
fn check_alertmanagers(
    config: &AlertmanagerConfig,
    groups: &[Arc<TargetGroup>],
) -> Result<(), String> {
    let relabel = Rules::new(&config.relabel_configs)?;
    for group in groups {
        for target in &group.targets {
            let mut labels = LabelsBuilder::from_labels(group.labels.as_ref());
            labels.set(b"__scheme__", config.scheme.as_bytes());
            for (name, value) in target.iter() {
                labels.set(name, value);
            }
            let address = match relabel.apply(&mut labels) {
                true => labels.get(b"__address__"),
                false => continue,
            };
            if address.contains(&b'/') {
                return Err(format!("{} is not a valid hostname", quoted(address)));
            }
        }
    }
    Ok(())
}
