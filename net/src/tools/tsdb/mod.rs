//! `tsdb`: what stands in a data directory, and ways in and out.
//!
//! ```text
//! store    everything of a directory, opened to be read       files    its blocks one by one
//! list analyze verify      about files                        dump     samples as text
//! bench    scrapes into a new directory, measured
//! writer   a block of Prometheus on disk                      ranges   which times a block spans
//! export   samples to blocks        import    blocks of Prometheus into a directory
//! openmetrics rules        blocks from a page, or from a server's answers     gather   samples of one
//! progress what a long command says on its way
//! ```
//!
//! Commands of promtool have its texts; they read directories of hearth and of Prometheus alike.
//!
//! Source: Prometheus `cmd/promtool/{tsdb,backfill,rules}.go`.

mod analyze;
mod bench;
mod compaction;
mod dump;
mod export;
mod files;
mod gather;
mod import;
mod list;
mod openmetrics;
mod progress;
mod ranges;
mod rules;
mod store;
mod verify;
mod writer;

use super::arguments::{Command, Flag, Positional, flag, many, one, optional};
use super::server::HTTP_CONFIG;
use super::{Console, GOOD, Kind, say};

const DB_PATH: Positional = optional("db path", Kind::Text, "data/");
const DB: &[Positional] = &[DB_PATH];
const DB_AND_BLOCK: &[Positional] = &[DB_PATH, optional("block id", Kind::Text, "")];
const DB_AND_OUT: &[Positional] =
    &[one("db path", Kind::Text), one("output directory", Kind::Text)];
const SOURCES_AND_DB: &[Positional] =
    &[one("db path", Kind::Text), many("block directories", Kind::Text, true)];
const SERIES_FILE: &[Positional] =
    &[optional("file", Kind::Text, "../../tsdb/testdata/20kseries.json")];
const PAGE: &[Positional] =
    &[one("input file", Kind::Text), optional("output directory", Kind::Text, "data/")];
const RULE_FILES: &[Positional] = &[many("rule-files", Kind::File, true)];

const HUMAN: Flag = flag("human-readable", Kind::Switch, "Print human readable values.").short('r');
const MATCH: Flag = flag("match", Kind::Text, "Series selector; can stand many times.");
const MIN_TIME: Flag =
    flag("min-time", Kind::Int, "First timestamp, in milliseconds since the Unix epoch.");
const MAX_TIME: Flag =
    flag("max-time", Kind::Int, "Last timestamp, in milliseconds since the Unix epoch.");
const BLOCK_DURATION: Flag = flag(
    "max-block-duration",
    Kind::Duration,
    "Longest time of a block; 2h and three times as much again and again.",
);
const QUIET: Flag = flag("quiet", Kind::Switch, "Do not print created blocks.").short('q');

const BENCH: &[Flag] = &[
    flag("out", Kind::Text, "Set the output path; what is there is removed.").or("benchout"),
    flag("metrics", Kind::Int, "Number of metrics to read.").or("10000"),
    flag("scrapes", Kind::Int, "Number of scrapes to simulate.").or("3000"),
];
const ANALYZE: &[Flag] = &[
    flag("limit", Kind::Int, "How many items to show in each list.").or("20"),
    flag("extended", Kind::Switch, "Run extended analysis."),
    flag("match", Kind::Text, "Series selector to analyze."),
];
const SELECTION: &[Flag] = &[
    MIN_TIME,
    MAX_TIME,
    MATCH,
    flag("sandbox-dir-root", Kind::Text, "Has no effect: nothing is written."),
];
const DUMP: &[Flag] =
    &[flag("format", Kind::Enum(&["prom", "seriesjson"]), "Output format.").or("prom")];
const EXPORT: &[Flag] = &[
    BLOCK_DURATION,
    HUMAN,
    QUIET,
    flag(
        "no-start-timestamps",
        Kind::Switch,
        "Leave start timestamps out, for Prometheus before 3.14.",
    ),
];
const CREATE: &[Flag] = &[HUMAN, QUIET, BLOCK_DURATION];
const OPENMETRICS: &[Flag] =
    &[flag("label", Kind::Pair, "Label to attach to metrics; can stand many times.")];
const RULES: &[Flag] = &[
    HTTP_CONFIG,
    flag("url", Kind::Url, "The server with the data.").or("http://localhost:9090"),
    flag("start", Kind::Text, "First time (RFC 3339 or Unix timestamp).").required(),
    flag("end", Kind::Text, "Last time; 3 hours ago unless it is given."),
    flag("output-dir", Kind::Text, "Directory for the blocks.").or("data/"),
    flag("eval-interval", Kind::Duration, "Interval of groups that name none.").or("60s"),
];

const fn command(
    words: &'static [&'static str],
    flags: &'static [&'static [Flag]],
    positionals: &'static [Positional],
    help: &'static str,
    run: fn(&super::arguments::Arguments, &mut Console<'_>) -> Result<u8, String>,
) -> Command {
    Command { words, flags, positionals, help, run }
}

pub(super) const COMMANDS: &[Command] = &[
    command(
        &["tsdb", "bench", "write"],
        &[BENCH],
        SERIES_FILE,
        "Run a write performance benchmark.",
        bench::run,
    ),
    command(
        &["tsdb", "analyze"],
        &[ANALYZE],
        DB_AND_BLOCK,
        "Analyze churn, label pair cardinality and compaction efficiency.",
        analyze::run,
    ),
    command(&["tsdb", "list"], &[&[HUMAN]], DB, "List tsdb blocks.", list::run),
    command(
        &["tsdb", "dump"],
        &[SELECTION, DUMP],
        DB,
        "Dump samples (or series alone) from a directory.",
        dump::run,
    ),
    command(
        &["tsdb", "dump-openmetrics"],
        &[SELECTION],
        DB,
        "Dump samples into OpenMetrics text, without native histograms.",
        dump::openmetrics,
    ),
    command(
        &["tsdb", "verify"],
        &[],
        DB,
        "Read every block and part, and compare all checksums.",
        verify::run,
    ),
    command(
        &["tsdb", "export"],
        &[SELECTION, EXPORT],
        DB_AND_OUT,
        "Write samples as blocks of Prometheus.",
        export::run,
    ),
    command(
        &["tsdb", "import"],
        &[&[HUMAN, QUIET]],
        SOURCES_AND_DB,
        "Copy blocks of Prometheus, read whole before, into a data directory.",
        import::run,
    ),
    command(
        &["tsdb", "create-blocks-from", "openmetrics"],
        &[CREATE, OPENMETRICS],
        PAGE,
        "Import samples from OpenMetrics input and produce TSDB blocks.",
        openmetrics::run,
    ),
    command(
        &["tsdb", "create-blocks-from", "rules"],
        &[CREATE, RULES],
        RULE_FILES,
        "Create blocks of data for new recording rules.",
        rules::run,
    ),
    command(
        &["rules", "backfill"],
        &[CREATE, RULES],
        RULE_FILES,
        "As tsdb create-blocks-from rules.",
        rules::run,
    ),
];
