//! From flags to the options of the floors below.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use engine::promql::ParseOptions;
use engine::regex::Regex;
use shards::wal::{WalOptions, WalSync};
use shards::{BootOptions, KeepOptions, QueryOptions, Retention, StorageSettings};

use crate::api::context::{WebOptions, hostname};
use crate::cli::{self, Flags};
use crate::config::{
    ByteSize, Loaded, MAX_EXEMPLARS, MESSAGE_V1, MESSAGE_V2, Millis, RetentionConfig,
};
use crate::http::guard::Guard;
use crate::http::server::ServerOptions;
use crate::http::url::Url;
use crate::notify::{Notifier, NotifyOptions};
use crate::observe::connections::ListenerStats;
use crate::rules::Environment;
use crate::scrape::job::ScrapeFeatures;
use crate::ship::{Destination, Shipping};
use crate::wire::remote_write::Protocol;

use crate::log_warn;

use super::report::LogReporter;

/// What is taken of pages beside samples.
pub fn scrape(flags: &Flags) -> ScrapeFeatures {
    let features = flags.features();
    ScrapeFeatures {
        exemplars: features.has("exemplar-storage"),
        starts: features.has("created-timestamp-zero-ingestion") || features.has("st-storage"),
        type_and_unit: features.has("type-and-unit-labels"),
    }
}

/// Which expressions are taken, of users and of rules.
pub fn parse(flags: &Flags) -> ParseOptions {
    let features = flags.features();
    ParseOptions {
        experimental_functions: features.has("promql-experimental-functions"),
        extended_range_selectors: features.has("promql-extended-range-selectors"),
        fill_modifiers: features.has("promql-binop-fill-modifiers"),
        ..ParseOptions::default()
    }
}

pub fn notify(flags: &Flags) -> NotifyOptions {
    let count = |name| usize::try_from(flags.int(name)).unwrap_or(0);
    NotifyOptions {
        queue_capacity: count("alertmanager.notification-queue-capacity"),
        batch_max: match count("alertmanager.notification-batch-size") {
            0 => 256,
            batch_max => batch_max,
        },
        drains: flags.bool("alertmanager.drain-notification-queue-on-shutdown"),
    }
}

pub fn rules(flags: &Flags, notifier: Notifier) -> Environment {
    let ms = |name| flags.duration(name).ms();
    let concurrency = usize::try_from(flags.int("rules.max-concurrent-evals")).unwrap_or(0);
    let is_concurrent = flags.features().has("concurrent-rule-eval");
    Environment {
        notifier,
        outage_tolerance_ms: ms("rules.alert.for-outage-tolerance"),
        grace_ms: ms("rules.alert.for-grace-period"),
        resend_delay_ms: ms("rules.alert.resend-delay"),
        concurrent: is_concurrent && concurrency > 0,
        metrics: Arc::default(),
    }
}

pub fn boot(flags: &Flags) -> BootOptions {
    let features = flags.features();
    let sync = match flags.wal_sync() {
        cli::WalSync::Batch => WalSync::Batch,
        cli::WalSync::Interval(interval) => WalSync::Interval(interval.duration()),
        cli::WalSync::Os => WalSync::Os,
    };
    let parse = parse(flags);
    let positive = |name| usize::try_from(flags.int(name)).unwrap_or(0).max(1);
    BootOptions {
        shard_count: usize::try_from(flags.int("shards")).ok().filter(|count| *count > 0),
        wal: WalOptions { sync, ..WalOptions::default() },
        query: QueryOptions {
            samples_max: positive("query.max-samples"),
            bytes_max: match usize::try_from(flags.bytes("query.max-bytes").0) {
                Ok(bytes_max) if bytes_max > 0 => bytes_max,
                _ => usize::MAX,
            },
            concurrency_max: positive("query.max-concurrency"),
            timeout: flags.duration("query.timeout").duration(),
            lookback_ms: flags.duration("query.lookback-delta").ms(),
            parse,
            delayed_names: features.has("promql-delayed-name-removal"),
            type_and_unit: features.has("type-and-unit-labels"),
            start_timestamps: features.has("use-start-timestamps"),
            per_step_stats: features.has("promql-per-step-stats"),
            ..QueryOptions::default()
        },
        keep: KeepOptions {
            free_bytes_min: u64::try_from(flags.bytes("storage.min-free-space").0).unwrap_or(0),
            flush_every: flags.duration("storage.flush-interval").duration(),
            scrub_bytes_per_second: u64::try_from(flags.bytes("storage.scrub-rate").0).unwrap_or(0),
            block_ms_min: flags.duration("storage.tsdb.min-block-duration").ms().max(1),
            block_ms_max: flags.max_block_duration(&flags.retention()).ms(),
            ..KeepOptions::default()
        },
        memory_limit_bytes: memory_limit_bytes(flags),
        reporter: Arc::new(LogReporter),
        ..BootOptions::new(flags.data_dir())
    }
}

/// What ships finished blocks; none, when the flag names no destination.
pub fn shipping(flags: &Flags) -> Result<Option<Shipping>, String> {
    let to = flags.text("storage.ship.to");
    if to.is_empty() {
        return Ok(None);
    }
    Ok(Some(Shipping {
        destination: Arc::new(Destination::parse(to)?),
        to: to.to_owned(),
        dir: flags.data_dir().join("ship"),
        range_ms: flags.duration("storage.tsdb.min-block-duration").ms().max(1),
        look_every: flags.duration("storage.ship.interval").duration(),
        stats: Arc::default(),
    }))
}

/// What the flag says; without it the flags of Go's runtime, and what the machine or the control
/// group has.
fn memory_limit_bytes(flags: &Flags) -> Option<u64> {
    let named = u64::try_from(flags.bytes("storage.memory-limit").0).unwrap_or(0);
    if named > 0 {
        return Some(named);
    }
    if !flags.bool("auto-gomemlimit") {
        return None;
    }
    let available_bytes = shards::memory::available_bytes()?;
    Some((available_bytes as f64 * flags.float("auto-gomemlimit.ratio")) as u64)
}

/// What the configuration says about the storage, and a reload may change.
pub fn set_storage(settings: &StorageSettings, flags: &Flags, loaded: &Loaded) {
    let exemplars = loaded.config.storage.exemplars.as_ref();
    let count_max = exemplars.map_or(MAX_EXEMPLARS, |section| section.max_exemplars);
    let is_kept = flags.features().has("exemplar-storage");
    settings.set_exemplar_count_max(if is_kept { count_max.max(0) as usize } else { 0 });
    let tsdb = loaded.config.storage.tsdb.as_ref();
    settings.set_late_window(tsdb.map_or(0, |tsdb| tsdb.outofordertimewindow).max(0));
    settings.set_stale_share(tsdb.map_or(0.0, |tsdb| tsdb.stale_series_compaction_threshold));
}

/// Puts the retention of a configuration in force. A share of the disk is a number of bytes, and
/// prevails.
pub fn set_retention(keep: &Retention, config: &RetentionConfig, data_dir: &Path) {
    let mut bytes = u64::try_from(config.size.0).unwrap_or(0);
    if config.percentage > 0.0 {
        match shards::disk::space(data_dir) {
            Ok(space) => bytes = (space.total_bytes as f64 * config.percentage / 100.0) as u64,
            Err(error) => log_warn!(
                "The size of the disk is not known, so that storage.tsdb.retention.percentage has \
                 no effect",
                "err" = error
            ),
        }
    }
    keep.set(Some(config.time.ms()), Some(bytes));
}

/// As the runtime information words it: `15d or 512MB`.
pub fn retention_text(retention: &RetentionConfig) -> String {
    let time = (retention.time > Millis(0)).then(|| retention.time.to_string());
    let size = (retention.size > ByteSize(0)).then(|| retention.size.to_string());
    [time, size].into_iter().flatten().collect::<Vec<_>>().join(" or ")
}

pub fn server(flags: &Flags, guard: Arc<Guard>, connections: Arc<ListenerStats>) -> ServerOptions {
    ServerOptions {
        guard,
        read_timeout: flags.duration("web.read-timeout").duration(),
        connection_count_max: flags.int("web.max-connections").max(1) as usize,
        connections,
    }
}

pub fn web(flags: &Flags, addresses: &[SocketAddr]) -> Result<WebOptions, String> {
    let listen_port = addresses.first().map_or(0, SocketAddr::port);
    let external = external_url(flags.text("web.external-url"), listen_port)?;
    let prefix = match flags.text("web.route-prefix") {
        "" => external.path.as_str(),
        prefix => prefix,
    };
    let prefix = prefix.trim_matches('/');
    let origin = flags.text("web.cors.origin");
    Ok(WebOptions {
        external_scheme: external.scheme.clone(),
        external_host: external.authority.clone(),
        external_url: external.to_string().trim_end_matches('/').into(),
        route_prefix: if prefix.is_empty() { String::new() } else { format!("/{prefix}") },
        listen_port,
        page_title: flags.text("web.page-title").to_owned(),
        has_lifecycle: flags.bool("web.enable-lifecycle"),
        has_admin_api: flags.bool("web.enable-admin-api"),
        has_remote_write_receiver: flags.bool("web.enable-remote-write-receiver"),
        has_otlp_receiver: flags.bool("web.enable-otlp-receiver"),
        remote_write_protocols: protocols(flags)?,
        type_and_unit: flags.features().has("type-and-unit-labels"),
        cors_origin: Regex::new(origin)
            .map_err(|error| format!("--web.cors.origin {origin:?}: {error}"))?,
    })
}

/// The URL under which others reach this server; by default the machine's name and the port.
fn external_url(text: &str, port: u16) -> Result<Url, String> {
    let text = match text {
        "" => format!("http://{}:{port}/", hostname()),
        text if text.contains("://") => text.to_owned(),
        text => format!("http://{text}"),
    };
    Url::parse(&text).map_err(|why| format!("parse external URL {text:?}: {why}"))
}

fn protocols(flags: &Flags) -> Result<Vec<Protocol>, String> {
    let lists = flags.list("web.remote-write-receiver.accepted-protobuf-messages");
    let names = lists.iter().flat_map(|list| list.split(','));
    let protocol = |name: &str| match name.trim() {
        MESSAGE_V1 => Ok(Protocol::V1),
        MESSAGE_V2 => Ok(Protocol::V2),
        other => Err(format!("unknown type for remote write protobuf message {other}")),
    };
    names.map(protocol).collect()
}
