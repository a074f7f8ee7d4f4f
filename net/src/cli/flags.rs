//! The table of flags.

/// How a flag's value is spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No value: `--x` is true, `--no-x` is false.
    Bool,
    Text,
    /// A whole number; `5e7` is one.
    Int,
    Float,
    /// `1h30m`, Prometheus's spelling.
    Duration,
    /// `512MB`.
    Bytes,
    /// May be repeated.
    List,
    /// One of the words.
    Word(&'static [&'static str]),
    /// `batch`, `interval=<duration>` or `os`.
    WalSync,
}

/// In which mode a flag may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Any,
    Server,
    Agent,
}

/// What hearth does about a flag that is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Carried,
    /// Accepted, with a line in the log that says why it changes nothing.
    Warned(&'static str),
    /// Not accepted: what it asks for is not there, and to go on without would be wrong.
    Refused(&'static str),
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    pub name: &'static str,
    pub kind: Kind,
    /// Spelled as on the command line; empty for the kind's zero.
    pub default: &'static str,
    pub scope: Scope,
    pub hidden: bool,
    pub fate: Fate,
    pub help: &'static str,
}

use Fate::{Carried, Refused, Warned};
use Kind::*;

const fn flag(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Flag {
    Flag { name, kind, default, scope: Scope::Any, hidden: false, fate: Carried, help }
}

impl Flag {
    const fn server(self) -> Flag {
        Flag { scope: Scope::Server, ..self }
    }

    const fn agent(self) -> Flag {
        Flag { scope: Scope::Agent, fate: Refused(NO_AGENT), ..self }
    }

    const fn hidden(self) -> Flag {
        Flag { hidden: true, ..self }
    }

    const fn warned(self, why: &'static str) -> Flag {
        Flag { fate: Warned(why), ..self }
    }

    const fn refused(self, why: &'static str) -> Flag {
        Flag { fate: Refused(why), ..self }
    }
}

const NOT_YET: &str = "hearth does not carry it out yet";
const NO_AGENT: &str = "hearth has no agent mode";
const NO_GO: &str = "hearth does not run on Go's runtime";
const NO_CONSOLES: &str = "console templates are not carried out";
const OWN_WAL: &str = "hearth's write-ahead log has a form of its own";
const OWN_BLOCKS: &str = "hearth chooses blocks and chunks by itself";

pub(super) const MAX_BLOCK_DURATION: &str = "storage.tsdb.max-block-duration";

const MESSAGES: &str = "prometheus.WriteRequest,io.prometheus.write.v2.Request";

/// All flags, in the order help lists them.
pub const FLAGS: &[Flag] = &[
    flag(
        "config.file",
        Text,
        "prometheus.yml",
        "Configuration file. If it is not named and there is none, hearth scrapes itself.",
    ),
    flag("config.auto-reload", Bool, "", "Reload the configuration when its files change."),
    flag("config.auto-reload-interval", Duration, "30s", "How often to look for such changes."),
    flag("web.listen-address", List, "0.0.0.0:9090", "Address of the web server. Can be repeated."),
    flag("auto-gomaxprocs", Bool, "true", "Has no effect.").warned(NO_GO),
    flag("auto-gomemlimit", Bool, "true", "Follow the memory limit of the container or machine."),
    flag("auto-gomemlimit.ratio", Float, "0.9", "Share of that limit that hearth uses."),
    flag("auto-gomemlimit.refresh-interval", Duration, "0s", "How often to read the limit again.")
        .warned("the memory limit is read once, at start"),
    flag("web.config.file", Text, "", "File that enables TLS or authentication."),
    flag(
        "web.read-timeout",
        Duration,
        "5m",
        "Longest time to read a request or keep a connection idle.",
    ),
    flag("web.max-connections", Int, "512", "Most connections at once, over all listeners."),
    flag("web.max-notifications-subscribers", Int, "16", "Most subscribers to live notifications.")
        .warned(NOT_YET),
    flag("web.external-url", Text, "", "URL under which hearth is reached from outside."),
    flag(
        "web.route-prefix",
        Text,
        "",
        "Prefix of all paths; by default the path of --web.external-url.",
    ),
    flag("web.user-assets", Text, "", "Directory served under /user.").warned(NOT_YET),
    flag("web.enable-lifecycle", Bool, "", "Allow shutdown and reload over HTTP."),
    flag("web.enable-admin-api", Bool, "", "Allow administration over HTTP."),
    flag("web.enable-remote-write-receiver", Bool, "", "Accept remote write requests."),
    flag(
        "web.remote-write-receiver.accepted-protobuf-messages",
        List,
        MESSAGES,
        "Messages of remote write to accept.",
    ),
    flag("web.enable-otlp-receiver", Bool, "", "Accept metrics over OTLP."),
    flag("web.console.templates", Text, "consoles", "Directory of console templates.")
        .warned(NO_CONSOLES),
    flag("web.console.libraries", Text, "console_libraries", "Directory of console libraries.")
        .warned(NO_CONSOLES),
    flag(
        "web.page-title",
        Text,
        "Prometheus Time Series Collection and Processing Server",
        "Title of the web pages.",
    ),
    flag("web.cors.origin", Text, ".*", "Anchored regex of origins that may ask from other sites."),
    flag("storage.tsdb.path", Text, "data/", "Directory of the data.").server(),
    flag("storage.tsdb.min-block-duration", Duration, "2h", "Time that one block spans at least.")
        .server()
        .hidden(),
    flag("storage.tsdb.max-block-duration", Duration, "", "Time that one block spans at most.")
        .server()
        .hidden(),
    flag("storage.tsdb.max-block-chunk-segment-size", Bytes, "", "Largest segment of chunks.")
        .server()
        .hidden()
        .warned(OWN_BLOCKS),
    flag("storage.tsdb.wal-segment-size", Bytes, "", "Size of a segment of the write-ahead log.")
        .server()
        .hidden()
        .warned(NOT_YET),
    flag(
        "storage.tsdb.retention.time",
        Duration,
        "",
        "How long to keep samples; 15d if no bound is set. Prefer the configuration file.",
    )
    .server(),
    flag(
        "storage.tsdb.retention.size",
        Bytes,
        "",
        "How many bytes of blocks to keep. Prefer the configuration file.",
    )
    .server(),
    flag("storage.tsdb.no-lockfile", Bool, "", "Do not lock the data directory.")
        .server()
        .warned(NOT_YET),
    flag(
        "storage.tsdb.allow-overlapping-compaction",
        Bool,
        "true",
        "Merge blocks that overlap in time.",
    )
    .server()
    .hidden()
    .warned(OWN_BLOCKS),
    flag("storage.tsdb.wal-compression", Bool, "true", "Compress the write-ahead log.")
        .server()
        .hidden()
        .warned(OWN_WAL),
    flag(
        "storage.tsdb.wal-compression-type",
        Word(&["snappy", "zstd"]),
        "snappy",
        "How to compress it.",
    )
    .server()
    .hidden()
    .warned(OWN_WAL),
    flag(
        "storage.tsdb.head-chunks-write-queue-size",
        Int,
        "0",
        "Queue of chunks on their way to disk.",
    )
    .server()
    .warned(OWN_BLOCKS),
    flag("storage.tsdb.samples-per-chunk", Int, "120", "Samples of one chunk.")
        .server()
        .hidden()
        .warned(OWN_BLOCKS),
    flag(
        "storage.tsdb.delayed-compaction.max-percent",
        Int,
        "10",
        "Bound of the random delay of a compaction.",
    )
    .server()
    .hidden()
    .warned(OWN_BLOCKS),
    flag(
        "storage.tsdb.delay-compact-file.path",
        Text,
        "",
        "File that names blocks already uploaded.",
    )
    .server()
    .refused("compaction does not wait for uploads"),
    flag(
        "storage.tsdb.block-reload-interval",
        Duration,
        "1m",
        "How often to look for blocks that others placed.",
    )
    .server()
    .hidden()
    .warned(OWN_BLOCKS),
    flag("storage.agent.path", Text, "data-agent/", "Directory of the data.").agent(),
    flag("storage.agent.wal-segment-size", Bytes, "", "Size of a segment of the write-ahead log.")
        .agent()
        .hidden(),
    flag("storage.agent.wal-compression", Bool, "true", "Compress the write-ahead log.").agent(),
    flag(
        "storage.agent.wal-compression-type",
        Word(&["snappy", "zstd"]),
        "snappy",
        "How to compress it.",
    )
    .agent()
    .hidden(),
    flag("storage.agent.wal-truncate-frequency", Duration, "", "How often to cut the log.")
        .agent()
        .hidden(),
    flag(
        "storage.agent.retention.min-time",
        Duration,
        "5m",
        "Age at which samples may be dropped.",
    )
    .agent(),
    flag(
        "storage.agent.retention.max-time",
        Duration,
        "4h",
        "Age at which samples must be dropped.",
    )
    .agent(),
    flag(
        "storage.agent.checkpoint-from-in-memory-series",
        Bool,
        "",
        "Build checkpoints from memory.",
    )
    .agent(),
    flag("storage.agent.checkpoint-batch-size", Int, "1000", "Size of one entry of a checkpoint.")
        .agent(),
    flag("storage.agent.no-lockfile", Bool, "", "Do not lock the data directory.").agent(),
    flag(
        "storage.remote.flush-deadline",
        Duration,
        "1m",
        "How long to flush samples at shutdown or reload.",
    )
    .warned(NOT_YET),
    flag(
        "storage.remote.read-sample-limit",
        Int,
        "5e7",
        "Most samples of one remote read; 0 is no limit.",
    )
    .server()
    .warned(NOT_YET),
    flag(
        "storage.remote.read-concurrent-limit",
        Int,
        "10",
        "Most remote reads at once; 0 is no limit.",
    )
    .server()
    .warned(NOT_YET),
    flag(
        "storage.remote.read-max-bytes-in-frame",
        Int,
        "1048576",
        "Most bytes of a frame of a streamed remote read.",
    )
    .server()
    .warned(NOT_YET),
    flag(
        "web.search.max-limit",
        Int,
        "10000",
        "Largest limit the search API takes; 0 is no bound.",
    )
    .server(),
    flag(
        "rules.alert.for-outage-tolerance",
        Duration,
        "1h",
        "Longest outage after which the state of alerts is restored.",
    )
    .server(),
    flag(
        "rules.alert.for-grace-period",
        Duration,
        "10m",
        "Least time between an alert and its restored state.",
    )
    .server(),
    flag("rules.alert.resend-delay", Duration, "1m", "Least time before an alert is sent again.")
        .server(),
    flag("rules.max-concurrent-evals", Int, "4", "Most independent rules that run at once.")
        .server(),
    flag(
        "scrape.adjust-timestamps",
        Bool,
        "true",
        "Align the time of scrapes with their schedule.",
    )
    .hidden()
    .warned(NOT_YET),
    flag("scrape.timestamp-tolerance", Duration, "2ms", "How far times are moved to align them.")
        .hidden()
        .warned(NOT_YET),
    flag(
        "alertmanager.notification-queue-capacity",
        Int,
        "10000",
        "Most alerts that wait to be sent.",
    )
    .server(),
    flag("alertmanager.notification-batch-size", Int, "256", "Most alerts of one notification.")
        .server(),
    flag(
        "alertmanager.drain-notification-queue-on-shutdown",
        Bool,
        "true",
        "Send waiting alerts before stopping.",
    )
    .server(),
    flag("query.lookback-delta", Duration, "5m", "How far back an instant looks for a sample.")
        .server(),
    flag("query.timeout", Duration, "2m", "Longest time of a query.").server(),
    flag("query.max-concurrency", Int, "20", "Most queries at once.").server(),
    flag("query.max-samples", Int, "50000000", "Most samples one query may hold in memory.")
        .server(),
    flag(
        "scrape.discovery-reload-interval",
        Duration,
        "5s",
        "Least time between two updates of targets.",
    )
    .hidden()
    .warned(NOT_YET),
    flag("enable-feature", List, "", "Features to enable, separated by commas. Can be repeated."),
    flag("agent", Bool, "", "Run without local storage.").refused(NO_AGENT),
    flag(
        "log.level",
        Word(&["debug", "info", "warn", "error"]),
        "info",
        "Least level of lines that are logged.",
    ),
    flag("log.format", Word(&["logfmt", "json"]), "logfmt", "Format of log lines."),
    flag("write-documentation", Bool, "", "Has no effect.")
        .hidden()
        .refused("the documentation is in the README"),
    flag("shards", Int, "0", "Own: number of shards; 0 is one for each physical core."),
    flag(
        "query.max-bytes",
        Bytes,
        "2GB",
        "Own: most memory one query may hold on each shard and where its parts meet; 0 is no bound.",
    ),
    flag(
        "storage.wal.sync",
        WalSync,
        "batch",
        "Own: when an acknowledged sample is on disk: before the answer (batch), within a time \
         (interval=1s), or when the system writes it (os).",
    ),
    flag(
        "storage.flush-interval",
        Duration,
        "10m",
        "Own: how often samples move from memory to disk, and the log is cut.",
    ),
    flag(
        "storage.min-free-space",
        Bytes,
        "64MB",
        "Own: samples are refused, with 503, while the disk has less than this left.",
    ),
    flag(
        "storage.ship.to",
        Text,
        "",
        "Own: directory that finished blocks are copied to, as Thanos and Mimir lay them out; in builds \
         with the features ship-aws, ship-gcp or ship-azure also a URL as s3://bucket/path.",
    ),
    flag(
        "storage.ship.interval",
        Duration,
        "30s",
        "Own: how often it is looked for finished blocks to copy.",
    ),
    flag(
        "storage.scrub-rate",
        Bytes,
        "8MB",
        "Own: so much of parts and blocks is read and verified in a second, once a day all; 0 is nothing.",
    ),
    flag(
        "storage.memory-limit",
        Bytes,
        "0B",
        "Own: memory that hearth may use; near it new series are refused and known ones go on; 0 \
         follows --auto-gomemlimit.",
    ),
];
