//! The table of commands.

use std::fmt::Write as _;

use super::arguments::{COMMON_FLAGS, Command, Flag, Kind};
use super::{check_config, check_rules, check_web_config, test_rules};

pub(super) const COMMANDS: &[Command] = &[
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
        words: &["check", "rules"],
        flags: &[check_rules::FLAGS],
        positionals: check_rules::POSITIONALS,
        help: "Check if the rule files are valid or not; without files, standard input is read.",
        run: check_rules::run,
    },
    Command {
        words: &["test", "rules"],
        flags: &[test_rules::FLAGS],
        positionals: test_rules::POSITIONALS,
        help: "Unit tests for rules.",
        run: test_rules::run,
    },
];

/// Help on all commands, or on those that the words among `arguments` begin.
pub(super) fn usage(arguments: &[&str]) -> String {
    let words = arguments.iter().take_while(|word| !word.starts_with('-'));
    let words: Vec<&str> = words.copied().collect();
    let begins = |count: usize, command: &Command| command.words.starts_with(&words[..count]);
    let is_known = |count: &usize| COMMANDS.iter().any(|command| begins(*count, command));
    let count = (0..=words.len()).rev().find(is_known).unwrap_or(0);
    let mut out = String::from("usage: hearth <command> [<flags>] [<args> ...]\n\n");
    for command in COMMANDS.iter().filter(|command| begins(count, command)) {
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
