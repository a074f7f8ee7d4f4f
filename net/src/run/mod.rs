//! From flags to a running server and to its end.
//!
//! ```text
//! main thread      flags -> configuration -> boot -> waits
//! each shard       serve: HTTP, scrape loops
//! control thread   control: signals, reloads, discovery -> lists of targets to the shards
//! ```

mod addresses;
mod auto_reload;
mod control;
mod options;
mod report;
mod serve;
mod state;
mod web_file;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use shards::runtime;

use crate::api::context::{Context, ContextParts};
use crate::cli::Flags;
use crate::config::Loaded;
use crate::http::url::split_host_port;
use crate::notify::Notifier;
use crate::observe::query_log::QueryLog;
use crate::observe::{log, version};
use crate::rules::manager::Manager;
use crate::{log_error, log_info, log_warn};

use control::Control;
use serve::ShardServer;
use state::State;
use web_file::WebFile;

/// Prometheus's: 2 for a configuration that cannot be loaded, 1 for everything else.
const CONFIG_FAILED: u8 = 2;
const FAILED: u8 = 1;

/// Long enough for the buffers of a burst of requests, short enough for the columns of a query.
const FREED_MEMORY_KEPT: Duration = Duration::from_millis(10);

/// Runs the server until it is told to stop.
pub fn run(flags: Flags) -> ExitCode {
    runtime::use_base_pages();
    runtime::return_freed_memory_after(FREED_MEMORY_KEPT);
    let (level, format) = flags.log();
    log::configure(level, format);
    let started_ms = runtime::unix_ms();
    let of_features = match flags.features().warnings() {
        Ok(warnings) => warnings,
        Err(why) => {
            log_error!("Error parsing features", "err" = why);
            return ExitCode::from(FAILED);
        }
    };
    for warning in flags.warnings().into_iter().chain(of_features) {
        log_warn!(warning);
    }
    let loaded = match load(&flags) {
        Ok(loaded) => loaded,
        Err(why) => {
            let file = flags.text("config.file");
            log_error!(format!("Error loading config (--config.file={file})"), "err" = why);
            return ExitCode::from(CONFIG_FAILED);
        }
    };
    match start(flags, loaded, started_ms) {
        Ok(()) => {
            log_info!("See you next time!");
            ExitCode::SUCCESS
        }
        Err(why) => {
            log_error!("hearth cannot run", "err" = why);
            ExitCode::from(FAILED)
        }
    }
}

/// The configuration that the flags name.
fn load(flags: &Flags) -> Result<Loaded, String> {
    let options = flags.load_options();
    match flags.config_file() {
        Some(path) => Loaded::from_file(&path, &options).map_err(|error| error.to_string()),
        None => {
            let mut loaded = Loaded::embedded(&options);
            scrape_own_address(&mut loaded, flags);
            Ok(loaded)
        }
    }
}

/// Gives the embedded configuration, which scrapes hearth itself, the port hearth listens on.
fn scrape_own_address(loaded: &mut Loaded, flags: &Flags) {
    let Some(address) = flags.list("web.listen-address").first() else { return };
    let (_, port) = split_host_port(address);
    for config in &mut loaded.config.scrape_configs {
        for group in &mut config.discovery.static_configs {
            group.targets = vec![format!("localhost:{port}")];
        }
    }
    loaded.jobs = loaded.config.scrape_configs.iter().cloned().map(Arc::new).collect();
}

fn start(flags: Flags, loaded: Loaded, started_ms: i64) -> Result<(), String> {
    let web_file = WebFile::load(&flags)
        .map_err(|why| format!("Unable to validate web configuration file: {why}"))?;
    let addresses = addresses::resolve(flags.list("web.listen-address"))?;
    let web = options::web(&flags, &addresses)?;
    let (scrape, parse) = (options::scrape(&flags), options::parse(&flags));
    let state = State::new(scrape, parse, web.external_url.clone());
    let plan = state.plan(&loaded)?;
    let (notifier, notifying) = Notifier::start(options::notify(&flags))?;
    let environment = Arc::new(options::rules(&flags, notifier.clone()));
    let boot = options::boot(&flags);
    let settings = boot.settings.clone();
    options::set_storage(&settings, &flags, &loaded);
    let shard_count = boot.shard_count.unwrap_or_else(shards::topology::default_shard_count);
    let (commands, orders) = async_channel::bounded(16);
    let shipping = options::shipping(&flags).map_err(|why| format!("--storage.ship.to: {why}"))?;
    let retention = flags.retention();
    let values = flags.status(&retention).into_iter();
    let context = Arc::new(Context::new(ContextParts {
        web,
        flags: values.map(|(name, value)| (name.to_owned(), value)).collect(),
        started_ms,
        storage_retention: options::retention_text(&retention),
        shard_count,
        commands,
        query_log: QueryLog::start().map_err(|error| format!("query log: {error}"))?,
        notify: notifier.stats.clone(),
        rule_metrics: environment.metrics.clone(),
        pool_stats: state.stats.clone(),
        ship: shipping.as_ref().map(|shipping| shipping.stats.clone()),
    }));
    let data = flags.text("storage.tsdb.path").to_owned();
    log_info!("Starting", "version" = version::HEARTH, "shards" = shard_count, "data" = data);
    let (senders, lists) = (0..shard_count).map(|_| async_channel::unbounded()).unzip();
    let (rule_senders, rules) = (0..shard_count).map(|_| async_channel::unbounded()).unzip();
    let server = ShardServer {
        context: context.clone(),
        addresses,
        options: options::server(&flags, web_file.guard(), context.connections.clone()),
        lists,
        feeds: (0..shard_count).map(|_| async_channel::unbounded()).collect(),
        rules,
        environment,
        seed: state::offset_seed(&loaded),
        serving: Arc::new(AtomicUsize::new(0)),
        shipping,
    };
    let kept = boot.keep.retention.clone();
    let rising = shards::start(boot, move |starting| server.clone().serve(starting))
        .map_err(|error| error.to_string())?;
    let control = Control {
        flags,
        context,
        state,
        settings,
        lists: senders,
        rules: Manager::new(rule_senders),
        notifier: notifier.clone(),
        retention: kept,
        stopper: rising.stopper(),
        web_file,
    };
    control.start(loaded, plan, orders)?;
    let ended = rising.ready().map_err(|error| error.to_string())?.wait();
    // Rules have ended: what they told last is still sent.
    notifier.finish(notifying);
    ended
}
