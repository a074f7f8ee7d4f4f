//! promtool's commands, in the one binary: `hearth check rules FILE…`, `hearth test rules FILE…`.
//!
//! ```text
//! commands       the table of them          arguments      flags and values of a command
//! check_rules    check_config    check_web_config          verdicts on files
//! check_sd       which targets a job has     check_metrics     pages, by families
//! test_rules     unit tests of rules, on the engine's own state machine
//! server         whom commands ask           query push debug check_server
//! tsdb           data directories
//! promql         queries in their long form  table             columns as Go aligns them
//! ```
//!
//! Texts and exit codes are promtool's: 0 good, 1 bad, 3 for what lint finds with `--lint-fatal`.
//!
//! Source: Prometheus `cmd/promtool`.

mod arguments;
mod check_config;
mod check_metrics;
mod check_rules;
mod check_sd;
mod check_server;
mod check_web_config;
mod commands;
mod debug;
mod families;
mod lint;
mod promql;
mod push;
mod query;
mod server;
mod table;
mod test_rules;
#[cfg(test)]
mod tests;
mod tsdb;

use std::io::{self, Read, Write};
use std::process::ExitCode;

use arguments::Kind;

/// What a command reads and where it writes.
pub struct Console<'a> {
    pub input: &'a mut dyn Read,
    pub out: &'a mut dyn Write,
    pub err: &'a mut dyn Write,
}

/// Writes a line to one of the console's ends. A reader that went away is no fault of the command.
macro_rules! say {
    ($end:expr) => {
        let _ = writeln!($end);
    };
    ($end:expr, $($part:tt)*) => {
        let _ = writeln!($end, $($part)*);
    };
}
use say;

const GOOD: u8 = 0;
const BAD: u8 = 1;
const LINT: u8 = 3;

/// Whether arguments ask for a command instead of the server, which takes flags alone.
pub fn is_command(arguments: &[String]) -> bool {
    let of_all = |argument: &&String| {
        arguments::COMMON_FLAGS.iter().any(|flag| {
            argument
                .strip_prefix("--")
                .is_some_and(|body| body.split('=').next() == Some(flag.name))
        })
    };
    let first = arguments.iter().find(|argument| !of_all(argument));
    first.is_some_and(|first| {
        commands::TABLES.iter().copied().flatten().any(|command| command.words[0] == first)
    })
}

/// Carries out a command.
pub fn run(program: &str, arguments: &[String]) -> ExitCode {
    let (mut input, mut out, mut err) = (io::stdin().lock(), io::stdout().lock(), io::stderr());
    let mut console = Console { input: &mut input, out: &mut out, err: &mut err };
    ExitCode::from(run_on(program, arguments, &mut console))
}

fn run_on(program: &str, arguments: &[String], console: &mut Console<'_>) -> u8 {
    if arguments.iter().any(|word| matches!(&**word, "--help" | "-h")) {
        let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let _ = console.out.write_all(commands::usage(&words).as_bytes());
        return GOOD;
    }
    let (command, arguments) = match arguments::parse(arguments, commands::TABLES) {
        Ok(parsed) => parsed,
        Err(error) => {
            say!(console.err, "{program}: error: {error}, try --help");
            return BAD;
        }
    };
    arguments.warn_of_features(console);
    (command.run)(&arguments, console).unwrap_or_else(|error| {
        say!(console.err, "{error}");
        BAD
    })
}
