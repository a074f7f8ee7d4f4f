//! `check rules`: whether rule files are valid, and whether a rule stands twice.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use super::arguments::{Arguments, Flag, Kind, Positional, flag, many};
use super::lint::{LINT_FATAL, Lint};
use super::{BAD, Console, GOOD, LINT, say};
use crate::config::rules::{RuleGroups, RuleOptions};

pub(super) const FLAGS: &[Flag] = &[
    flag("lint", Kind::Text, "all, duplicate-rules, none.").or("duplicate-rules"),
    LINT_FATAL,
    flag("ignore-unknown-fields", Kind::Switch, "Pass over fields that are not known."),
];
pub(super) const POSITIONALS: &[Positional] = &[many("rule-files", Kind::File, false)];

/// What came of some files.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Verdict {
    pub has_errors: bool,
    pub has_lint: bool,
}

impl Verdict {
    pub fn merge(&mut self, other: Verdict) {
        self.has_errors |= other.has_errors;
        self.has_lint |= other.has_lint;
    }

    pub fn code(self, lint: Lint) -> u8 {
        match self {
            Verdict { has_errors: true, .. } => BAD,
            Verdict { has_lint: true, .. } if lint.is_fatal => LINT,
            _ => GOOD,
        }
    }
}

pub(super) fn options(arguments: &Arguments) -> RuleOptions {
    RuleOptions {
        ignore_unknown_fields: arguments.is_set("ignore-unknown-fields"),
        promql: arguments.promql(),
        ..RuleOptions::default()
    }
}

pub(super) fn run(arguments: &Arguments, console: &mut Console<'_>) -> Result<u8, String> {
    let lint = Lint::of_rules(arguments, console);
    let options = options(arguments);
    let mut verdict = Verdict::default();
    if arguments.value("rule-files").is_none() {
        say!(console.out, "Checking standard input");
        let mut text = String::new();
        match console.input.read_to_string(&mut text) {
            Ok(_) => verdict = judge(RuleGroups::parse(&text, &options), lint, console),
            Err(error) => {
                say!(console.err, "  FAILED: {error}");
                verdict.has_errors = true;
            }
        }
    }
    for file in arguments.values("rule-files") {
        verdict.merge(check_file(Path::new(file), &options, lint, console));
    }
    Ok(verdict.code(lint))
}

pub(super) fn check_file(
    file: &Path,
    options: &RuleOptions,
    lint: Lint,
    console: &mut Console<'_>,
) -> Verdict {
    say!(console.out, "Checking {}", file.display());
    judge(RuleGroups::from_file(file, options), lint, console)
}

/// Tells what was found in one file.
fn judge(
    parsed: Result<RuleGroups, Vec<String>>,
    lint: Lint,
    console: &mut Console<'_>,
) -> Verdict {
    let file = match parsed {
        Ok(file) => file,
        Err(faults) => {
            say!(console.err, "  FAILED:");
            faults.iter().for_each(|fault| {
                say!(console.err, "{fault}");
            });
            return Verdict { has_errors: true, has_lint: false };
        }
    };
    file.warnings.iter().for_each(|warning| {
        say!(console.err, "  WARNING: {warning}");
    });
    let found = if lint.duplicate_rules { duplicates(&file) } else { None };
    let has_lint = found.is_some();
    match found {
        Some(text) => {
            say!(console.err, "  FAILED:");
            say!(console.err, "lint error {text}");
        }
        None => {
            let count: usize = file.groups.iter().map(|group| group.rules.len()).sum();
            say!(console.out, "  SUCCESS: {count} rules found");
        }
    }
    say!(console.out);
    Verdict { has_errors: false, has_lint }
}

/// The rules that stand more than once with the same name and labels, if there are any.
fn duplicates(file: &RuleGroups) -> Option<String> {
    let mut counts: BTreeMap<(&str, BTreeMap<&String, &String>), usize> = BTreeMap::new();
    for group in &file.groups {
        for rule in &group.rules {
            let mut labels: BTreeMap<_, _> = group.labels.iter().collect();
            labels.extend(&rule.labels);
            *counts.entry((rule.name(), labels)).or_default() += 1;
        }
    }
    counts.retain(|_, count| *count > 1);
    if counts.is_empty() {
        return None;
    }
    let mut text = format!("{} duplicate rule(s) found.\n", counts.len());
    for (name, labels) in counts.keys() {
        let _ = write!(text, "Metric: {name}\nLabel(s):\n");
        for (name, value) in labels {
            let _ = writeln!(text, "\t{name}: {value}");
        }
    }
    text.push_str("Might cause inconsistency while recording expressions");
    Some(text)
}
