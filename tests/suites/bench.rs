//! Every scenario of the bench runs, with small parameters and with hearth only, finds what it wrote,
//! and leaves its raw numbers. The numbers themselves say nothing here.

use std::process::Command;

use tests::workspace::{TemporaryFolder, built, hearth_binary};

#[test]
fn every_scenario_runs() {
    let folder = TemporaryFolder::new("bench");
    let results = folder.path().join("results");
    let programs = hearth_binary().parent().expect("a program lies in a folder");
    let output = Command::new(built("bench"))
        .args(["all", "--size=trial", "--servers=hearth"])
        .arg(format!("--programs={}", programs.display()))
        .arg(format!("--work-dir={}", folder.path().join("work").display()))
        .arg(format!("--results={}", results.display()))
        .output()
        .expect("the bench runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let summary = std::fs::read_to_string(results.join("summary.md")).expect("a summary");
    let rows: Vec<&str> = summary.lines().skip(2).collect();
    assert!(rows.len() >= 10, "{summary}");
    for row in rows {
        let name = row.split(" | ").next().and_then(|name| name.strip_prefix("| "));
        let name = name.expect("a row begins with its name");
        let raw = std::fs::read_to_string(results.join(format!("{name}.json")));
        let raw: serde_json::Value =
            serde_json::from_str(&raw.expect("raw numbers are kept")).expect("they are JSON");
        let figures = raw["results"][0]["figures"].as_object().expect("a server has figures");
        // A moment is too short for some: no tick of CPU time passes in it.
        let mut measured = figures.values().filter_map(|figure| figure.as_f64());
        assert!(measured.any(|figure| figure > 0.0), "{name}: {raw}");
    }
}
