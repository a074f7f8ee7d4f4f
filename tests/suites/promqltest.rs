//! The language's own test scripts, over one shard and over three: ours, and Prometheus's where
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

/// Runs all scripts of a folder, over several shards with every rewrite and without, prints a row for each, and wants no evaluation to fail.
fn run_folder(folder: &Path) {
    let scripts = scripts(folder);
    for shard_count in [1, 3] {
        let mut total = Report::default();
        let mut failures = Vec::new();
        eprintln!(
            "\n{shard_count} shard(s)\n{:<28}{:>8}{:>9}{:>8}",
            "script", "passed", "skipped", "failed"
        );
        let engine = || match shard_count {
            1 => LocalEngine::new(1),
            _ => LocalEngine::new(shard_count).with_rewrites_compared(),
        };
        for script in &scripts {
            let name = script.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
            let text = std::fs::read_to_string(script).expect("a readable script");
            let report =
                run(&text, &mut engine()).unwrap_or_else(|message| panic!("{name}: {message}"));
            let skipped: usize = report.skipped.values().sum();
            let failed = report.failed.len();
            eprintln!("{name:<28}{:>8}{skipped:>9}{failed:>8}", report.passed);
            for (line, text, message) in &report.failed {
                failures.push(format!("{name}:{line}: {text}\n    {message}"));
            }
            total.merge(report);
        }
        eprintln!("passed {}, failed {}", total.passed, total.failed.len());
        for (reason, count) in &total.skipped {
            eprintln!("skipped {count}: {reason}");
        }
        assert!(failures.is_empty(), "{} failed\n{}", failures.len(), failures.join("\n"));
    }
}

#[test]
fn our_scripts_hold() {
    run_folder(&root().join("tests/corpus/promql"));
}

#[test]
fn prometheus_scripts_hold() {
    if let Some(folder) = conformance("promqltest") {
        run_folder(&folder);
    }
}
