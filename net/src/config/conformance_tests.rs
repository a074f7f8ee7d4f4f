//! Prometheus's own good and bad configuration files.

use std::path::{Path, PathBuf};

use super::{LoadOptions, Loaded};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/conformance/config");

/// Files that do not yet do as they should, with the reason.
const EXCEPTIONS: &[(&str, &str)] = &[];

/// The text a file must be refused with, or `None` if it must load.
fn expectation(name: &str, errors: &[(String, String)]) -> Option<String> {
    let listed = errors.iter().find(|(file, _)| file == name);
    let agent = match name {
        "agent_mode.with_alert_manager.yml" | "agent_mode.with_alert_relabels.yml" => "alerting",
        "agent_mode.with_rule_files.yml" => "rule_files",
        "agent_mode.with_remote_reads.yml" => "remote_read",
        _ => "",
    };
    match listed {
        Some((_, text)) => Some(text.clone()),
        None if !agent.is_empty() => Some(format!("field {agent} is not allowed in agent mode")),
        None if name.contains(".bad.") || name.contains(".incompatible.") => Some(String::new()),
        None if name == "config_with_deprecated_am_api_config.yml" => Some(String::new()),
        None => None,
    }
}

fn verdict(path: &Path, expected: Option<&str>) -> Result<(), String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let options = LoadOptions { agent: name.starts_with("agent_mode"), ..Default::default() };
    let loaded = Loaded::from_file(path, &options);
    match (loaded, expected) {
        (Ok(_), None) => Ok(()),
        (Ok(_), Some(text)) => Err(format!("loads, must fail with {text}")),
        (Err(error), None) => Err(format!("must load: {error}")),
        (Err(error), Some(text)) if error.message.contains(text) => Ok(()),
        (Err(error), Some(text)) => Err(format!("says {error}\n    must say {text}")),
    }
}

#[test]
fn prometheus_files_load_or_are_refused_in_its_words() {
    let Ok(entries) = std::fs::read_dir(FOLDER) else {
        eprintln!("skipped: no conformance files at {FOLDER}");
        return;
    };
    let table =
        std::fs::read_to_string(Path::new(FOLDER).join("expected_errors.tsv")).unwrap_or_default();
    let errors: Vec<(String, String)> = table
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once('\t'))
        .map(|(file, text)| {
            let text = text.replace("testdata/", &format!("{FOLDER}/")).replace("\\\\", "\\");
            (file.to_owned(), text)
        })
        .collect();
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yml"));
    paths.sort();
    let mut failed = Vec::new();
    for path in &paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Err(text) = verdict(path, expectation(&name, &errors).as_deref()) {
            failed.push((name, text));
        }
    }
    println!("{} of {} configuration files", paths.len() - failed.len(), paths.len());
    let names: Vec<&str> = failed.iter().map(|(name, _)| name.as_str()).collect();
    let known: Vec<&str> = EXCEPTIONS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, known, "{failed:#?}");
}
