//! From a file to a complete configuration, or to one error: nothing in between.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::path::glob;
use super::yaml::{self, Abort, Field, section};
use super::{Config, Millis, RetentionConfig, ScrapeConfig, ValidationScheme};
use crate::wire::quote::quoted;

/// What runs when no configuration file is named: hearth scrapes itself.
pub const EMBEDDED: &str = "\
global:
  scrape_interval: 15s
  evaluation_interval: 15s
scrape_configs:
  - job_name: hearth
    static_configs:
      - targets: ['localhost:9090']
";

/// What the command line says about a configuration.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Refuse what an agent has no use for.
    pub agent: bool,
    /// Holds where the file says nothing of retention.
    pub retention: RetentionConfig,
    /// Ask for protobuf first where the file names no protocols.
    pub proto_first: bool,
    pub extra_scrape_metrics: bool,
}

impl Default for LoadOptions {
    fn default() -> Self {
        LoadOptions {
            agent: false,
            retention: RetentionConfig {
                time: Millis::seconds(15 * 86_400),
                ..RetentionConfig::default()
            },
            proto_first: false,
            extra_scrape_metrics: false,
        }
    }
}

/// A configuration with everything that other files add to it.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    /// The jobs of the main file and then those of `scrape_config_files`.
    pub jobs: Vec<Arc<ScrapeConfig>>,
    /// What an operator should know, a sentence each.
    pub warnings: Vec<String>,
}

/// Why a configuration was refused. Displays Prometheus's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    pub file: Option<PathBuf>,
    /// Line of the field, or of the first line of the section, that is at fault; from 1.
    pub line: Option<usize>,
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ConfigError {}

impl ConfigError {
    fn new(file: Option<&Path>, abort: Abort, prefix: &str) -> ConfigError {
        ConfigError {
            file: file.map(Path::to_path_buf),
            line: (abort.line > 0).then_some(abort.line),
            message: format!("{prefix}{}", abort.message),
        }
    }
}

section! {
    /// A file of `scrape_config_files`.
    pub struct JobsFile("config.ScrapeConfigs");
    omit scrape_configs: Vec<ScrapeConfig>, null "empty or null scrape config section",
        go "[]config.ScrapeConfig" => "[]*config.ScrapeConfig";
}

impl Config {
    /// Reads a configuration without any other file; relative paths stay as they are. `lookup`
    /// gives the environment's variables, which external labels may name.
    pub fn parse(
        text: &str,
        options: &LoadOptions,
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<(Config, Vec<String>), Abort> {
        let mut config = Config::default();
        yaml::decode(text, &mut config)?;
        config.fill(options).map_err(|text| Abort::at(0, text))?;
        let mut warnings = Vec::new();
        for value in config.global.external_labels.0.values_mut() {
            *value = expand(value, |name| {
                let found = lookup(name).filter(|value| !value.is_empty());
                found.unwrap_or_else(|| {
                    warnings.push(format!("external label names an empty variable: {name}"));
                    String::new()
                })
            });
        }
        let legacy = config.global.metric_name_validation_scheme == ValidationScheme::Legacy;
        config.otlp.check_strategy(legacy).map_err(|text| Abort::at(0, text))?;
        Ok((config, warnings))
    }
}

impl Loaded {
    /// Loads a file and the files it names. Nothing else changes: the caller puts the result in
    /// place of the running configuration, or keeps that one.
    pub fn from_file(path: &Path, options: &LoadOptions) -> Result<Loaded, ConfigError> {
        Loaded::from_main_file(path, options)?.with_job_files()
    }

    /// Loads a file alone: without the jobs of `scrape_config_files`.
    pub fn from_main_file(path: &Path, options: &LoadOptions) -> Result<Loaded, ConfigError> {
        let at_path =
            |message: String| ConfigError { file: Some(path.to_path_buf()), line: None, message };
        let text = std::fs::read_to_string(path)
            .map_err(|error| at_path(format!("open {}: {}", path.display(), cause(&error))))?;
        let prefix = format!("parsing YAML file {}: ", path.display());
        let (mut config, warnings) = Config::parse(&text, options, environment)
            .map_err(|abort| ConfigError::new(Some(path), abort, &prefix))?;
        if options.agent {
            let alerting = &config.alerting;
            let refused = [
                (!alerting.is_empty(), "alerting"),
                (!config.rule_files.is_empty(), "rule_files"),
                (!config.remote_read.is_empty(), "remote_read"),
            ];
            if let Some((_, field)) = refused.iter().find(|(given, _)| *given) {
                return Err(at_path(format!("field {field} is not allowed in agent mode")));
            }
        }
        config.join_dir(path.parent().unwrap_or(Path::new("")));
        Ok(Loaded::of_main(config, warnings))
    }

    /// The configuration of a process that was given none.
    pub fn embedded(options: &LoadOptions) -> Loaded {
        match Config::parse(EMBEDDED, options, environment) {
            Ok((config, warnings)) => Loaded::of_main(config, warnings),
            Err(abort) => panic!("the embedded configuration must load: {abort}"),
        }
    }

    fn of_main(config: Config, warnings: Vec<String>) -> Loaded {
        let jobs = config.scrape_configs.iter().cloned().map(Arc::new).collect();
        Loaded { config, jobs, warnings }
    }

    /// Adds the jobs of `scrape_config_files`; a name that two jobs have is refused.
    pub fn with_job_files(self) -> Result<Loaded, ConfigError> {
        let Loaded { config, mut jobs, warnings } = self;
        let mut origins = vec!["main config file".to_owned(); jobs.len()];
        for pattern in &config.scrape_config_files {
            let files = glob(pattern).map_err(|error| {
                let pattern = quoted(pattern.as_bytes());
                let text = format!("error retrieving scrape config files for {pattern}: {error}");
                ConfigError::new(None, Abort::at(0, text), "")
            })?;
            for file in files {
                let absolute = std::path::absolute(&file).unwrap_or_else(|_| file.clone());
                let name = quoted(absolute.display().to_string().as_bytes());
                let refuse = |abort| ConfigError::new(Some(&file), abort, &format!("{name}: "));
                for job in read_jobs(&file, &config).map_err(refuse)? {
                    if let Some(at) = jobs.iter().position(|other| other.job_name == job.job_name) {
                        let text = format!(
                            "found multiple scrape configs with job name {}, first found in {}",
                            quoted(job.job_name.as_bytes()),
                            origins[at]
                        );
                        return Err(refuse(Abort::at(0, text)));
                    }
                    jobs.push(Arc::new(job));
                    origins.push(name.clone());
                }
            }
        }
        Ok(Loaded { config, jobs, warnings })
    }
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The cause as the C library words it, in lower case as Go prints it.
pub(super) fn cause(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or("").to_lowercase()
}

fn read_jobs(file: &Path, config: &Config) -> Result<Vec<ScrapeConfig>, Abort> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Abort::at(0, format!("open {}: {}", file.display(), cause(&error))))?;
    let mut content = JobsFile::default();
    yaml::decode(&text, &mut content)?;
    let dir = file.parent().unwrap_or(Path::new(""));
    for job in &mut content.scrape_configs {
        job.fill(&config.global).map_err(|text| Abort::at(0, text))?;
        job.join_dir(dir);
    }
    Ok(content.scrape_configs)
}

/// Replaces `$name` and `${name}`; `$$` is a dollar sign.
///
/// Source: Go `os.Expand`: malformed `${` is dropped, a dollar sign without a name stays.
fn expand(text: &str, mut value: impl FnMut(&str) -> String) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let (name, len) = variable(after);
        match name {
            "" if len == 0 => out.push('$'),
            "" => {}
            "$" => out.push('$'),
            name => out.push_str(&value(name)),
        }
        rest = &after[len..];
    }
    out.push_str(rest);
    out
}

/// The name of a variable at the start of `text` and how many bytes spell it.
fn variable(text: &str) -> (&str, usize) {
    let special = |byte: u8| b"*#$@!?-0123456789".contains(&byte);
    match text.as_bytes() {
        [b'{', inner @ ..] => match inner.iter().position(|byte| *byte == b'}') {
            Some(0) => ("", 2),
            Some(len) => (&text[1..=len], len + 2),
            None => ("", 1),
        },
        [first, ..] if special(*first) => (&text[..1], 1),
        bytes => {
            let named = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
            let len = bytes.iter().take_while(|byte| named(byte)).count();
            (&text[..len], len)
        }
    }
}
