//! Target groups from files, JSON or YAML.
//!
//! A file is looked at when the kernel tells of a change beside it, and once a second. It is read when
//! its stamp (time of change and length) differs from the last one, or when its section's interval
//! has passed. What cannot be read keeps the groups it had.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use shards::runtime;

use super::TargetGroup;
use super::file_events::DirEvents;
use crate::config::{FilePath, FileSdConfig, LabelSet, StaticConfig, glob, yaml};
use crate::observe::durations::Durations;
use crate::wire::quote::quoted;
use crate::{log_debug, log_error};

/// Label that names the file of a group.
const FILEPATH_LABEL: &str = "__meta_filepath";

/// Longest file that is read.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// Counts over all file sections of the process.
#[derive(Debug, Default)]
pub struct FileStats {
    /// `prometheus_sd_file_read_errors_total`
    pub read_error_count: AtomicU64,
    /// `prometheus_sd_file_watcher_errors_total`
    pub watch_error_count: AtomicU64,
    /// `prometheus_sd_file_scan_duration_seconds`
    pub scans: Durations,
    /// `prometheus_sd_file_mtime_seconds` by file name, of files that were read well.
    mtime_seconds: Mutex<BTreeMap<String, f64>>,
}

impl FileStats {
    pub fn mtimes(&self) -> BTreeMap<String, f64> {
        self.mtime_seconds.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_mtime(&self, path: &Path, seconds: Option<f64>) {
        let mut mtimes = self.mtime_seconds.lock().unwrap_or_else(PoisonError::into_inner);
        let path = path.display().to_string();
        match seconds {
            Some(seconds) => mtimes.insert(path, seconds),
            None => mtimes.remove(&path),
        };
    }
}

type Stamp = (Option<SystemTime>, u64);

fn stamp(metadata: &Metadata) -> Stamp {
    (metadata.modified().ok(), metadata.len())
}

/// The files of one section.
pub struct Files {
    config: FileSdConfig,
    known: BTreeMap<PathBuf, Known>,
}

#[derive(Default)]
struct Known {
    /// Of the last attempt to read, well or not.
    stamp: Option<Stamp>,
    groups: Vec<Arc<TargetGroup>>,
}

impl Files {
    pub fn new(config: FileSdConfig) -> Files {
        Files { config, known: BTreeMap::new() }
    }

    pub fn refresh_interval(&self) -> Duration {
        self.config.refresh_interval.duration()
    }

    /// The groups of all files, by the files' names.
    pub fn groups(&self) -> impl Iterator<Item = &Arc<TargetGroup>> {
        self.known.values().flat_map(|known| &known.groups)
    }

    /// What the kernel tells of the directories of all patterns.
    pub fn events(&self, stats: &FileStats) -> DirEvents {
        let dir = |path: &FilePath| {
            let dir = Path::new(&path.0).parent().unwrap_or(Path::new(""));
            if dir.as_os_str().is_empty() { PathBuf::from(".") } else { dir.to_owned() }
        };
        DirEvents::new(self.config.files.iter().map(dir), stats)
    }

    /// Reads what changed, everything with `reread`; whether the groups are others now.
    pub fn refresh(&mut self, reread: bool, stats: &FileStats) -> bool {
        let begun = runtime::now();
        let changed = self.read_changed(reread, stats);
        // Looks that found nothing to read are no scans.
        if reread || changed {
            stats.scans.add(runtime::now(), begun.elapsed().as_secs_f64());
        }
        changed
    }

    fn read_changed(&mut self, reread: bool, stats: &FileStats) -> bool {
        let mut paths = Vec::new();
        for pattern in &self.config.files {
            match glob(pattern) {
                Ok(found) => paths.extend(found),
                Err(error) => {
                    log_error!("Error expanding glob", "glob" = pattern.0, "err" = error);
                }
            }
        }
        let mut changed = false;
        for path in &paths {
            let known = self.known.entry(path.clone()).or_default();
            let now = path.metadata().ok().as_ref().map(stamp);
            if !reread && now.is_some() && known.stamp == now {
                continue;
            }
            known.stamp = now;
            match read(path) {
                Ok((groups, modified)) => {
                    stats.set_mtime(path, Some(modified));
                    if known.groups != groups {
                        known.groups = groups;
                        changed = true;
                    }
                }
                Err(error) => {
                    stats.read_error_count.fetch_add(1, Ordering::Relaxed);
                    log_error!("Error reading file", "path" = path.display(), "err" = error);
                }
            }
        }
        self.known.retain(|path, known| {
            let stays = paths.contains(path);
            if !stays {
                log_debug!("a file of targets is gone", "file" = path.display());
                stats.set_mtime(path, None);
                changed |= !known.groups.is_empty();
            }
            stays
        });
        changed
    }
}

/// The groups of a file and its time of change, in seconds since the Unix epoch.
fn read(path: &Path) -> Result<(Vec<Arc<TargetGroup>>, f64), String> {
    let cause = |error: std::io::Error| format!("{}: {error}", path.display());
    let file = File::open(path).map_err(cause)?;
    let metadata = file.metadata().map_err(cause)?;
    let mut text = String::new();
    let len = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(cause)? as u64;
    if len > FILE_BYTES_MAX {
        return Err(format!("file has more than {FILE_BYTES_MAX} bytes"));
    }
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let is_json = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json"));
    let configs = if is_json { parse_json(&text)? } else { parse_yaml(&text)? };
    let name = path.display().to_string();
    let group = |(index, mut config): (usize, StaticConfig)| {
        config.labels.0.insert(FILEPATH_LABEL.to_owned(), name.clone());
        Arc::new(TargetGroup::new(format!("{name}:{index}"), &config.targets, &config.labels))
    };
    let groups = configs.into_iter().enumerate().map(group).collect();
    Ok((groups, modified.map_or(0.0, |since| since.as_secs() as f64)))
}

/// Reads a file of targets and forgets it: whether it can be read.
pub fn check_file(path: &Path) -> Result<Vec<Arc<TargetGroup>>, String> {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    match ending.as_deref() {
        Some("json" | "yml" | "yaml") => read(path).map(|(groups, _)| groups),
        other => {
            let shown = other.map_or_else(String::new, |ending| format!(".{ending}"));
            Err(format!("invalid file extension: {}", quoted(shown.as_bytes())))
        }
    }
}

const NULL_GROUP: &str = "nil target group item found";

fn parse_yaml(text: &str) -> Result<Vec<StaticConfig>, String> {
    let mut groups: Vec<Option<StaticConfig>> = Vec::new();
    yaml::decode(text, &mut groups).map_err(|abort| abort.message)?;
    groups.into_iter().map(|group| group.ok_or_else(|| NULL_GROUP.to_owned())).collect()
}

/// A group in JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonGroup {
    #[serde(default)]
    targets: Option<Vec<String>>,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

pub(super) fn parse_json(text: &str) -> Result<Vec<StaticConfig>, String> {
    let groups: Option<Vec<Option<JsonGroup>>> =
        serde_json::from_str(text).map_err(|error| error.to_string())?;
    let group = |group: Option<JsonGroup>| {
        let group = group.ok_or(NULL_GROUP)?;
        let labels = group.labels.unwrap_or_default();
        if let Some(name) = labels.keys().find(|name| name.is_empty()) {
            return Err(format!("{} is not a valid label name", quoted(name.as_bytes())));
        }
        Ok(StaticConfig { targets: group.targets.unwrap_or_default(), labels: LabelSet(labels) })
    };
    groups.unwrap_or_default().into_iter().map(group).collect()
}
