//! `test rules`: unit tests of rules, in promtool's file format.
//!
//! ```text
//! file       what the file says        store     series, and what rules write
//! run        one group of tests        report    texts of what differs; JUnit
//! diff       the same in colours
//! ```
//!
//! Source: Prometheus `cmd/promtool/unittest.go`, `util/junitxml`.

mod diff;
mod file;
mod report;
mod run;
mod store;

use std::path::Path;

use engine::promql::ParseOptions;
use engine::regex::CaptureRegex;

use super::arguments::{Arguments, Flag, Kind, Positional, flag, many};
use super::{BAD, Console, GOOD, check_rules, say};
use crate::config::rules::RuleOptions;
use crate::config::{glob, yaml};
use file::TestFile;
use report::Suite;
pub(super) use report::go_duration;

pub(super) const FLAGS: &[Flag] = &[
    flag("run", Kind::Text, "Only groups of tests whose names match; can stand many times."),
    flag("diff", Kind::Switch, "Show what differs in colours."),
    flag("debug", Kind::Switch, "Dump what series there were."),
    flag("junit", Kind::Text, "File for the results as JUnit XML."),
    flag("ignore-unknown-fields", Kind::Switch, "Pass over fields that are not known."),
];
pub(super) const POSITIONALS: &[Positional] = &[many("test-rule-file", Kind::File, true)];

/// What all groups of tests are run with.
struct Settings {
    rules: RuleOptions,
    promql: ParseOptions,
    delayed_names: bool,
    debug: bool,
    diff: bool,
    run: Option<CaptureRegex>,
}

pub(super) fn run(arguments: &Arguments, console: &mut Console<'_>) -> Result<u8, String> {
    let patterns: Vec<&str> = arguments.values("run").collect();
    let settings = Settings {
        rules: check_rules::options(arguments),
        promql: arguments.promql(),
        delayed_names: arguments.delayed_names(),
        debug: arguments.is_set("debug"),
        diff: arguments.is_set("diff"),
        run: match patterns.is_empty() {
            true => None,
            false => {
                let pattern = patterns.join("|");
                Some(CaptureRegex::unanchored(&pattern).map_err(|error| error.to_string())?)
            }
        },
    };
    let mut suites = Vec::new();
    let mut failed = false;
    for name in arguments.values("test-rule-file") {
        let mut suite = Suite::new(name);
        let faults = run_file(Path::new(name), &settings, &mut suite, console);
        suites.push(suite);
        if faults.is_empty() {
            say!(console.out, "  SUCCESS");
        } else {
            say!(console.err, "  FAILED:");
            for fault in &faults {
                say!(console.err, "{fault}");
                say!(console.out);
            }
            failed = true;
        }
        say!(console.out);
    }
    if let Some(path) = arguments.value("junit")
        && let Err(error) = std::fs::write(path, report::junit(&suites))
    {
        say!(console.err, "failed to write JUnit XML: {error}");
    }
    Ok(if failed { BAD } else { GOOD })
}

/// Runs the tests of a file; what went wrong.
fn run_file(
    path: &Path,
    settings: &Settings,
    suite: &mut Suite,
    console: &mut Console<'_>,
) -> Vec<String> {
    let (file, rule_files) = match read(path, console) {
        Ok(read) => read,
        Err(fault) => {
            suite.abort(&fault);
            return vec![fault];
        }
    };
    let mut faults = Vec::new();
    for (index, group) in file.tests.iter().enumerate() {
        if settings.run.as_ref().is_some_and(|run| !run.is_match(group.name.as_bytes())) {
            continue;
        }
        let name = match group.name.as_str() {
            "" => format!("unnamed#{index}"),
            name => name.to_owned(),
        };
        if settings.debug {
            say!(console.err, "DEBUG: Starting test {name}");
        }
        let found = run::run_group(&file, group, &rule_files, settings, console);
        if settings.debug {
            say!(console.err, "DEBUG: Test {name} finished");
        }
        suite.add(&name, &found);
        faults.extend(found);
    }
    faults
}

/// The file, complete, and the rule files that its patterns find.
fn read(
    path: &Path,
    console: &mut Console<'_>,
) -> Result<(TestFile, Vec<std::path::PathBuf>), String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("open {}: {error}", path.display()))?;
    let mut file = TestFile::default();
    yaml::decode(&text, &mut file).map_err(|abort| abort.message)?;
    file.fill(path.parent().unwrap_or(Path::new("")))?;
    let mut rule_files = Vec::new();
    for pattern in &file.rule_files {
        let found = glob(pattern)?;
        if found.is_empty() {
            say!(console.err, "  WARNING: no file match pattern {}", &**pattern);
        }
        rule_files.extend(found);
    }
    Ok((file, rule_files))
}
