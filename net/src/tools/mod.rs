//! promtool's commands, in the one binary: `hearth check rules FILE…`, `hearth test rules FILE…`.
//!
//! ```text
//! arguments      flags and files of a command
//! check_rules    check_config      verdicts on files
//! test_rules     unit tests of rules, on the engine's own state machine
//! ```
//!
//! Texts and exit codes are promtool's: 0 good, 1 bad, 3 for what lint finds with `--lint-fatal`.
//!
//! Source: Prometheus `cmd/promtool`.

mod arguments;
mod check_config;
mod check_rules;
mod test_rules;
#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::process::ExitCode;

use arguments::Arguments;

/// Where a command writes.
pub struct Console<'a> {
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

const USAGE: &str = "\
usage: hearth <command> [<flags>] [<files>...]

  check rules [<rule-files>...]     Check if the rule files are valid or not; reads standard input
                                    without files.
      --lint=duplicate-rules        all, duplicate-rules, none
      --lint-fatal                  Make lint errors exit with exit code 3.
      --ignore-unknown-fields
  check config <config-files>...    Check if the config files are valid or not.
      --syntax-only                 Look at no other file.
      --lint=duplicate-rules        all, duplicate-rules, too-long-scrape-interval, none
      --lint-fatal
      --ignore-unknown-fields
      --query.lookback-delta=5m
      --agent
  test rules <test-rule-file>...    Unit tests for rules.
      --run=REGEX ...               Only groups of tests whose names match.
      --debug                       Dump what series there were.
      --junit=FILE                  Write the results as JUnit XML.
      --ignore-unknown-fields

  --enable-feature=NAME ...         promql-experimental-functions, promql-delayed-name-removal,
                                    promql-extended-range-selectors, promql-binop-fill-modifiers
";

/// Whether arguments ask for a command instead of the server.
pub fn is_command(arguments: &[String]) -> bool {
    matches!(arguments.first().map(String::as_str), Some("check" | "test"))
}

/// Carries out a command.
pub fn run(program: &str, arguments: &[String]) -> ExitCode {
    let (mut out, mut err) = (io::stdout().lock(), io::stderr().lock());
    let mut console = Console { out: &mut out, err: &mut err };
    ExitCode::from(run_on(program, arguments, &mut io::stdin().lock(), &mut console))
}

fn run_on(
    program: &str,
    arguments: &[String],
    input: &mut dyn io::Read,
    console: &mut Console<'_>,
) -> u8 {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let rest = arguments.get(2..).unwrap_or_default();
    let done = match words[..] {
        _ if words.iter().any(|word| matches!(*word, "--help" | "-h")) => {
            let _ = console.out.write_all(USAGE.as_bytes());
            Ok(GOOD)
        }
        ["check", "rules", ..] => Arguments::parse(rest, check_rules::FLAGS)
            .and_then(|arguments| check_rules::run(&arguments, input, console)),
        ["check", "config", ..] => Arguments::parse(rest, check_config::FLAGS)
            .and_then(|arguments| check_config::run(&arguments, console)),
        ["test", "rules", ..] => Arguments::parse(rest, test_rules::FLAGS)
            .and_then(|arguments| test_rules::run(&arguments, console)),
        [_, command, ..] => Err(format!("expected command but got \"{command}\"")),
        _ => Err("must select a subcommand".to_owned()),
    };
    done.unwrap_or_else(|error| {
        say!(console.err, "{program}: error: {error}, try --help");
        BAD
    })
}
