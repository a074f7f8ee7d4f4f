//! The language's own test scripts, over one shard and over several: ours, and Prometheus's where
//! they are at hand.

use std::path::{Path, PathBuf};

use tests::promqltest::{LocalEngine, Report, run};
use tests::workspace::{conformance, root};

fn scripts(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder of scripts");
    let mut scripts: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    scripts.retain(|path| path.extension().is_some_and(|extension| extension == "test"));
    scripts.sort();
    scripts
}

/// Runs all scripts of a folder, prints a row for each, and wants no evaluation to fail.
fn run_folder(folder: &Path, engine: impl Fn() -> LocalEngine) {
    let mut total = Report::default();
    let mut failures = Vec::new();
    let mut table = format!("\n{:<28}{:>8}{:>8}\n", "script", "passed", "failed");
    for script in &scripts(folder) {
        let name = script.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        let text = std::fs::read_to_string(script).expect("a readable script");
        let report =
            run(&text, &mut engine()).unwrap_or_else(|message| panic!("{name}: {message}"));
        table += &format!("{name:<28}{:>8}{:>8}\n", report.passed, report.failed.len());
        for (line, text, message) in &report.failed {
            failures.push(format!("{name}:{line}: {text}\n    {message}"));
        }
        total.merge(report);
    }
    let (passed, failed) = (total.passed, total.failed.len());
    let shard_count = engine().shard_count();
    eprintln!("{table}{shard_count} shard(s): passed {passed}, failed {failed}");
    assert!(failures.is_empty(), "{} failed\n{}", failures.len(), failures.join("\n"));
}

/// Our scripts and Prometheus's.
fn run_all(engine: impl Fn() -> LocalEngine) {
    run_folder(&root().join("tests/corpus/promql"), &engine);
    if let Some(folder) = conformance("promqltest") {
        run_folder(&folder, &engine);
    }
}

#[test]
fn scripts_hold_over_one_shard() {
    run_all(|| LocalEngine::new(1));
}

#[test]
fn scripts_hold_over_two_shards() {
    run_all(|| LocalEngine::new(2));
}

#[test]
fn scripts_hold_over_three_shards_with_each_rewrite_and_without() {
    run_all(|| LocalEngine::new(3).with_rewrites_compared());
}

#[test]
fn scripts_hold_over_five_shards() {
    run_all(|| LocalEngine::new(5));
}
