//! The command line: Prometheus's flags in kingpin's syntax, and hearth's own.
//!
//! ```text
//! flags     the table: one row a flag, with what hearth does about it
//! parse     arguments -> Flags (values by name)      usage    --help, --version
//! features  --enable-feature
//! ```
//!
//! Source: Prometheus `cmd/prometheus/main.go`; alecthomas/kingpin `parser.go`, `usage.go`.

mod features;
mod flags;
mod parse;
mod usage;

#[cfg(test)]
mod tests;

pub use features::Features;
pub use flags::{FLAGS, Fate, Flag, Kind, Scope};
pub use parse::{Flags, WalSync, parse};
pub use usage::{help, version};

/// What the arguments ask for.
#[derive(Clone, Debug)]
pub enum Command {
    Run(Box<Flags>),
    Help,
    Version,
}

/// Text for standard error when [`parse`] fails; the process then exits with status 1.
pub fn refusal(program: &str, error: &str) -> String {
    format!("Error parsing command line arguments: {error}\n{program}: error: {error}\n")
}
