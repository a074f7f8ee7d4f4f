//! The tables of commands.

use std::fmt::Write as _;

use super::arguments::{COMMON_FLAGS, Command, Flag, Kind};
use super::{
    check_config, check_metrics, check_rules, check_sd, check_server, check_web_config, debug,
    promql, push, query, test_rules, tsdb,
};

pub(super) const TABLES: &[&[Command]] = &[COMMANDS, tsdb::COMMANDS];

const COMMANDS: &[Command] = &[
    Command {
        words: &["check", "service-discovery"],
        flags: &[check_sd::FLAGS],
        positionals: check_sd::POSITIONALS,
        help: "Perform service discovery for a job and report the results, with relabeling.",
        run: check_sd::run,
    },
    Command {
        words: &["check", "config"],
        flags: &[check_config::FLAGS],
        positionals: check_config::POSITIONALS,
        help: "Check if the config files are valid or not.",
        run: check_config::run,
    },
    Command {
        words: &["check", "web-config"],
        flags: &[],
        positionals: check_web_config::POSITIONALS,
        help: "Check if the web config files are valid or not.",
        run: check_web_config::run,
    },
    Command {
        words: &["check", "healthy"],
        flags: &[check_server::FLAGS],
        positionals: &[],
        help: "Check if the server is healthy.",
        run: check_server::healthy,
    },
    Command {
        words: &["check", "ready"],
        flags: &[check_server::FLAGS],
        positionals: &[],
        help: "Check if the server is ready.",
        run: check_server::ready,
    },
    Command {
        words: &["check", "rules"],
        flags: &[check_rules::FLAGS],
        positionals: check_rules::POSITIONALS,
        help: "Check if the rule files are valid or not; without files, standard input is read.",
        run: check_rules::run,
    },
    Command {
        words: &["check", "metrics"],
        flags: &[check_metrics::FLAGS],
        positionals: &[],
        help: "Check a page of metrics on standard input for the conventions of names.",
        run: check_metrics::run,
    },
    Command {
        words: &["query", "instant"],
        flags: &[query::FLAGS, query::INSTANT_FLAGS],
        positionals: query::EXPR,
        help: "Run instant query.",
        run: query::instant,
    },
    Command {
        words: &["query", "range"],
        flags: &[query::FLAGS, query::RANGE_FLAGS],
        positionals: query::EXPR,
        help: "Run range query.",
        run: query::range,
    },
    Command {
        words: &["query", "series"],
        flags: &[query::FLAGS, query::SERIES_FLAGS],
        positionals: query::SERVER,
        help: "Run series query.",
        run: query::series,
    },
    Command {
        words: &["query", "labels"],
        flags: &[query::FLAGS, query::LABELS_FLAGS],
        positionals: query::NAME,
        help: "Run labels query.",
        run: query::labels,
    },
    Command {
        words: &["query", "analyze"],
        flags: &[query::analyze::FLAGS],
        positionals: &[],
        help: "Analyze the buckets of histograms.",
        run: query::analyze::run,
    },
    Command {
        words: &["debug", "pprof"],
        flags: &[],
        positionals: debug::POSITIONALS,
        help: "Fetch profiling debug information.",
        run: debug::pprof,
    },
    Command {
        words: &["debug", "metrics"],
        flags: &[],
        positionals: debug::POSITIONALS,
        help: "Fetch metrics debug information.",
        run: debug::metrics,
    },
    Command {
        words: &["debug", "all"],
        flags: &[],
        positionals: debug::POSITIONALS,
        help: "Fetch all debug information.",
        run: debug::all,
    },
    Command {
        words: &["push", "metrics"],
        flags: &[push::FLAGS],
        positionals: push::POSITIONALS,
        help: "Push metrics by remote_write (for testing purpose only).",
        run: push::run,
    },
    Command {
        words: &["test", "rules"],
        flags: &[test_rules::FLAGS],
        positionals: test_rules::POSITIONALS,
        help: "Unit tests for rules.",
        run: test_rules::run,
    },
    Command {
        words: &["promql", "format"],
        flags: &[],
        positionals: promql::QUERY,
        help: "Format a query; requires --experimental.",
        run: promql::format,
    },
    Command {
        words: &["promql", "label-matchers", "set"],
        flags: &[promql::SET_FLAGS],
        positionals: promql::SET,
        help: "Set a label matcher in a query; requires --experimental.",
        run: promql::set,
    },
    Command {
        words: &["promql", "label-matchers", "delete"],
        flags: &[],
        positionals: promql::DELETE,
        help: "Delete a label from a query; requires --experimental.",
        run: promql::delete,
    },
];

/// Help on all commands, or on those that the words among `arguments` begin.
pub(super) fn usage(arguments: &[&str]) -> String {
    let words = arguments.iter().take_while(|word| !word.starts_with('-'));
    let words: Vec<&str> = words.copied().collect();
    let begins = |count: usize, command: &Command| command.words.starts_with(&words[..count]);
    let all = || TABLES.iter().copied().flatten();
    let is_known = |count: &usize| all().any(|command| begins(*count, command));
    let count = (0..=words.len()).rev().find(is_known).unwrap_or(0);
    let mut out = String::from("usage: hearth <command> [<flags>] [<args> ...]\n\n");
    for command in all().filter(|command| begins(count, command)) {
        let _ = write!(out, "  {}", command.words.join(" "));
        for positional in command.positionals {
            let dots = if positional.is_many { "..." } else { "" };
            let _ = match positional.is_required {
                true => write!(out, " <{}>{dots}", positional.name),
                false => write!(out, " [<{}>{dots}]", positional.name),
            };
        }
        let _ = writeln!(out, "\n      {}", command.help);
        command.flags.iter().copied().flatten().for_each(|flag| push_flag(&mut out, flag));
    }
    out.push_str("\nFlags of all commands:\n");
    COMMON_FLAGS.iter().for_each(|flag| push_flag(&mut out, flag));
    out
}

fn push_flag(out: &mut String, flag: &Flag) {
    let short = flag.short.map(|short| format!("-{short}, ")).unwrap_or_default();
    let value = match flag.kind {
        Kind::Switch => String::new(),
        Kind::Enum(known) if flag.default.is_empty() => format!("={}", known.join("|")),
        _ if !flag.default.is_empty() => format!("={}", flag.default),
        kind => format!("={}", format!("{kind:?}").to_uppercase()),
    };
    let _ = writeln!(out, "        {short}--{}{value}  {}", flag.name, flag.help);
}
