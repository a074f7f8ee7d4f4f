//! Which lint checks a command makes.
//!
//! Source: Prometheus `cmd/promtool/main.go`.

use super::arguments::{Arguments, Flag, Kind, flag};
use super::{Console, say};
use crate::wire::quote::quoted;

pub(super) const LINT_FATAL: Flag =
    flag("lint-fatal", Kind::Switch, "Make lint errors exit with exit code 3.");

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lint {
    pub duplicate_rules: bool,
    pub long_intervals: bool,
    pub is_fatal: bool,
}

impl Lint {
    /// The checks asked for. What is unknown is told, and passed over.
    pub fn of_rules(arguments: &Arguments, console: &mut Console<'_>) -> Lint {
        let mut lint = Lint { is_fatal: arguments.is_set("lint-fatal"), ..Lint::default() };
        for name in arguments.text("lint").split(',').filter(|name| !name.is_empty()) {
            lint.take(name, console);
        }
        lint
    }

    /// As [`Lint::of_rules`], with the checks of jobs; `none` rules out all others.
    pub fn of_config(arguments: &Arguments, console: &mut Console<'_>) -> Lint {
        let names: Vec<&str> = arguments.text("lint").split(',').collect();
        let mut lint = Lint { is_fatal: arguments.is_set("lint-fatal"), ..Lint::default() };
        if names.contains(&"none") {
            return lint;
        }
        for name in names {
            match name {
                "too-long-scrape-interval" => lint.long_intervals = true,
                "all" => (lint.duplicate_rules, lint.long_intervals) = (true, true),
                "" => {}
                name => lint.take(name, console),
            }
        }
        lint
    }

    fn take(&mut self, name: &str, console: &mut Console<'_>) {
        match name {
            "all" | "duplicate-rules" => self.duplicate_rules = true,
            "none" => {}
            _ => {
                let name = quoted(name.as_bytes());
                say!(console.out, "WARNING: unknown lint option: {name}");
            }
        }
    }
}
