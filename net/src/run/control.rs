//! The control thread: signals, reloads, discovery. It alone changes what is scraped.
//!
//! A thread of its own with a tokio executor, unpinned: nothing here may hold a shard, and nothing
//! a shard does may hold a signal.

use std::sync::Arc;

use async_channel::{Receiver, Sender};
use shards::route::shard_of;
use shards::{Retention, Stopper, StorageSettings, runtime};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tokio::task::{LocalSet, spawn_local};

use crate::api::context::{Command, Context, Readiness};
use crate::cli::Flags;
use crate::config::{AlertmanagerConfig, Loaded};
use crate::discovery::{self, DiscoveryStats, Source, Update};
use crate::notify::Notifier;
use crate::rules::manager::Manager;
use crate::{log_error, log_info, log_warn};

use super::auto_reload::AutoReload;
use super::load;
use super::options;
use super::options::set_retention;
use super::serve::TargetList;
use super::state::{Plan, State};
use super::web_file::WebFile;

/// Updates of discovery that wait: a full channel slows discovery, nothing else.
const UPDATE_COUNT_MAX: usize = 64;

pub struct Control {
    pub flags: Flags,
    pub context: Arc<Context>,
    pub state: State,
    pub settings: Arc<StorageSettings>,
    /// By shard.
    pub lists: Vec<Sender<TargetList>>,
    pub rules: Manager,
    pub notifier: Notifier,
    /// How long samples are kept.
    pub retention: Arc<Retention>,
    pub stopper: Stopper,
    pub web_file: WebFile,
}

/// The discovery that runs, for jobs and for sections of Alertmanagers.
struct Watches {
    targets: Watch,
    alertmanagers: Watch,
}

/// Before the number of a section of Alertmanagers, as Prometheus names it in metrics.
const SECTION_PREFIX: &str = "config-";

/// What discovery is to watch, and what it finds.
struct Watch {
    sources: Sender<Vec<Source>>,
    updates: Receiver<Update>,
}

impl Watch {
    /// Starts discovery on this thread. Nothing is watched yet.
    fn start(name: &'static str, stats: Arc<DiscoveryStats>) -> Watch {
        let (sources, ordered) = async_channel::unbounded();
        let (sender, updates) = async_channel::bounded(UPDATE_COUNT_MAX);
        spawn_local(discovery::watch(name, ordered, stats, sender));
        Watch { sources, updates }
    }
}

impl Control {
    /// Starts the threads. They live as long as the process.
    pub fn start(
        self,
        loaded: Loaded,
        plan: Plan,
        commands: Receiver<Command>,
    ) -> Result<(), String> {
        let cannot = |error: std::io::Error| format!("control thread: {error}");
        let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(cannot)?;
        let (tell, told) = async_channel::bounded(4);
        let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
        thread("signals")
            .spawn(move || {
                for signal in &mut signals {
                    if tell.send_blocking(signal).is_err() {
                        return;
                    }
                }
            })
            .map_err(cannot)?;
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
        thread("control")
            .spawn(move || {
                // Clients of discovery stay on this thread.
                let set = LocalSet::new();
                set.block_on(&runtime, self.run(loaded, plan, commands, told));
            })
            .map_err(cannot)?;
        Ok(())
    }

    async fn run(
        mut self,
        loaded: Loaded,
        plan: Plan,
        commands: Receiver<Command>,
        signals: Receiver<i32>,
    ) {
        let watches = Watches {
            targets: Watch::start("scrape", self.context.discovery.clone()),
            alertmanagers: Watch::start("notify", self.context.discovery.clone()),
        };
        self.apply(&loaded, plan, &watches);
        let mut auto_reload = AutoReload::new(&self.flags);
        loop {
            tokio::select! {
                Ok(signal) = signals.recv() => {
                    if signal != SIGHUP {
                        let name = if signal == SIGTERM { "terminated" } else { "interrupt" };
                        let message = "Received an OS signal, exiting gracefully...";
                        log_warn!(message, "signal" = name);
                        return self.stop();
                    }
                    match self.reload(&watches) {
                        Ok(()) => auto_reload.note(),
                        Err(why) => log_error!("Error reloading config", "err" = why),
                    }
                }
                () = auto_reload.changed() => {
                    match self.reload(&watches) {
                        Ok(()) => auto_reload.note(),
                        Err(why) => log_error!("Error reloading config", "err" = why),
                    }
                }
                () = self.web_file.follow() => {}
                Ok(command) = commands.recv() => match command {
                    Command::Quit => {
                        log_warn!("Received termination request via web service, exiting gracefully...");
                        return self.stop();
                    }
                    Command::Reload(answer) => {
                        let outcome = self.reload(&watches);
                        match &outcome {
                            Ok(()) => auto_reload.note(),
                            Err(why) => log_error!("Error reloading config", "err" = why),
                        }
                        // Whoever asked may be gone.
                        let _ = answer.try_send(outcome);
                    }
                },
                Ok(update) = watches.targets.updates.recv() => {
                    self.state.set_groups(&update.name, update.groups);
                    while let Ok(more) = watches.targets.updates.try_recv() {
                        self.state.set_groups(&more.name, more.groups);
                    }
                    self.sync();
                }
                Ok(update) = watches.alertmanagers.updates.recv() => {
                    // Its name is the number of its section.
                    let section = update.name.strip_prefix(SECTION_PREFIX);
                    if let Some(section) = section.and_then(|index| index.parse().ok()) {
                        self.notifier.set_groups(section, update.groups);
                    }
                }
                else => return,
            }
        }
    }

    fn stop(self) {
        self.context.set_readiness(Readiness::Stopping);
        self.stopper.stop();
    }

    /// Puts the configuration file in force as it is now, or keeps the one in force.
    fn reload(&mut self, watches: &Watches) -> Result<(), String> {
        let file = self.flags.text("config.file").to_owned();
        log_info!("Loading configuration file", "filename" = file);
        let loaded = load(&self.flags).and_then(|loaded| {
            let plan = self.state.plan(&loaded)?;
            let web = self.web_file.read().map_err(|why| format!("web configuration: {why}"))?;
            Ok((loaded, plan, web))
        });
        match loaded {
            Ok((loaded, plan, web)) => {
                self.web_file.apply(web);
                self.apply(&loaded, plan, watches);
                log_info!("Completed loading of configuration file", "filename" = file);
                Ok(())
            }
            Err(why) => {
                self.context.update_loaded(|loaded| loaded.is_last_reload_good = false);
                Err(format!("couldn't load configuration (--config.file={file:?}): {why}"))
            }
        }
    }

    /// Puts a configuration in force. Cannot fail.
    fn apply(&mut self, loaded: &Loaded, mut plan: Plan, watches: &Watches) {
        for warning in loaded.warnings.iter().chain(&not_carried_out(loaded)) {
            log_warn!(warning);
        }
        self.context.query_log.set_file(plan.query_log.take());
        let tsdb = loaded.config.storage.tsdb.as_ref();
        let retention = tsdb.and_then(|tsdb| tsdb.retention.clone());
        let retention = retention.unwrap_or_else(|| self.flags.retention());
        set_retention(&self.retention, &retention, &self.flags.data_dir());
        self.context.set_subquery_step_ms(loaded.config.global.evaluation_interval.ms());
        options::set_storage(&self.settings, &self.flags, loaded);
        self.state.apply(plan.jobs);
        self.notifier.configure(plan.notify);
        let rules = self.rules.apply(plan.rules);
        self.context.update_loaded(|context| {
            context.rules = rules;
            context.yaml = loaded.config.to_yaml_text().into();
            context.external_labels = Arc::new(loaded.config.global.external_labels.0.clone());
            context.is_last_reload_good = true;
            context.last_good_reload_ms = runtime::unix_ms();
        });
        self.sync();
        let source = |job: &Arc<crate::config::ScrapeConfig>| Source {
            name: job.job_name.clone(),
            configs: job.discovery.clone(),
        };
        let section = |(index, section): (usize, &AlertmanagerConfig)| Source {
            name: format!("{SECTION_PREFIX}{index}"),
            configs: section.discovery.clone(),
        };
        let sections = loaded.config.alerting.alertmanagers.iter().enumerate();
        // Discovery listens as long as this thread lives.
        let _ = watches.targets.sources.try_send(loaded.jobs.iter().map(source).collect());
        let _ = watches.alertmanagers.sources.try_send(sections.map(section).collect());
    }

    /// Makes targets of what was found and gives each shard its own.
    fn sync(&mut self) {
        for (job, why) in self.state.sync() {
            log_error!("Creating target failed", "scrape_pool" = job, "err" = why);
        }
        let pools = self.state.pools();
        let mut lists: Vec<TargetList> = vec![vec![]; self.lists.len()];
        for target in pools.iter().flat_map(|pool| &pool.pool.targets) {
            lists[shard_of(target.hash, self.lists.len()).index()].push(target.clone());
        }
        self.context.update_loaded(|context| context.pools = Arc::new(pools));
        for (sender, list) in self.lists.iter().zip(lists) {
            // A shard that is gone scrapes nothing.
            let _ = sender.try_send(list);
        }
    }
}

/// Sections that are read and checked, but not carried out yet: a sentence each.
fn not_carried_out(loaded: &Loaded) -> Vec<String> {
    let config = &loaded.config;
    let mut sentences = vec![];
    for (section, is_used) in [
        ("remote_write", !config.remote_write.is_empty()),
        ("remote_read", !config.remote_read.is_empty()),
    ] {
        if is_used {
            sentences.push(format!(
                "{section} is read and checked, but hearth does not carry it out yet"
            ));
        }
    }
    sentences
}
