//! Notices of alerts to Alertmanagers.
//!
//! ```text
//! shards (rules) ── notices ──┐
//! control ── configuration ───┼─► thread: external labels, relabelling ─► set ─► a queue an Alertmanager ─► POST
//!            what was found ──┘
//! ```
//!
//! A thread of its own, so that no shard and no signal waits for an Alertmanager. It ends when its
//! orders are closed, after its loops have sent what waits.
//!
//! Source: Prometheus `notifier/`.

pub mod notice;
pub mod stats;

mod send_loop;
mod set;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use async_channel::{Receiver, Sender};
use engine::model::Labels;
use tokio::task::{JoinHandle, LocalSet};

use crate::config::Config;
use crate::discovery::TargetGroup;
use crate::relabel::Rules;

pub use notice::Notice;
use set::{AlertmanagerSet, SetPlan};
use stats::{Alertmanagers, NotifyStats};

/// Orders that wait for the thread; it is quick, so more of them mean that it is stuck.
const ORDER_COUNT_MAX: usize = 4096;

#[derive(Clone, Copy, Debug)]
pub struct NotifyOptions {
    /// Most notices that wait for one Alertmanager.
    pub queue_capacity: usize,
    /// Most notices of one request.
    pub batch_max: usize,
    /// What waits when an Alertmanager goes or the server stops is sent.
    pub drains: bool,
}

/// A configuration made ready.
pub struct NotifyPlan {
    external_labels: Labels,
    relabel: Rules,
    sets: Vec<SetPlan>,
}

impl NotifyPlan {
    /// Errors: what does not compile.
    pub fn new(config: &Config) -> Result<NotifyPlan, String> {
        let alerting = &config.alerting;
        Ok(NotifyPlan {
            external_labels: Labels::from_pairs(config.global.external_labels.iter()),
            relabel: Rules::new(&alerting.alert_relabel_configs)?,
            sets: alerting.alertmanagers.iter().map(SetPlan::new).collect::<Result<_, String>>()?,
        })
    }
}

enum Order {
    Configure(NotifyPlan),
    /// What discovery found for a section, by its number.
    Groups(usize, Vec<Arc<TargetGroup>>),
    Notices(Vec<Notice>),
}

/// Gives orders to the thread, from anywhere.
#[derive(Clone)]
pub struct Notifier {
    orders: Sender<Order>,
    pub stats: Arc<NotifyStats>,
}

/// The thread.
pub struct Running(thread::JoinHandle<()>);

impl Notifier {
    pub fn start(options: NotifyOptions) -> Result<(Notifier, Running), String> {
        let cannot = |error: std::io::Error| format!("notifier: {error}");
        let (orders, received) = async_channel::bounded(ORDER_COUNT_MAX);
        let stats = Arc::new(NotifyStats::default());
        stats.queue_capacity.set(options.queue_capacity as u64);
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
        let shown = stats.clone();
        let thread = thread::Builder::new()
            .name("notify".to_owned())
            .spawn(move || {
                let manager = Manager {
                    options,
                    stats: shown,
                    external_labels: Labels::default(),
                    relabel: Rules::default(),
                    sets: vec![],
                    loops: vec![],
                };
                LocalSet::new().block_on(&runtime, manager.run(received));
            })
            .map_err(cannot)?;
        Ok((Notifier { orders, stats }, Running(thread)))
    }

    /// Puts a configuration in force.
    pub fn configure(&self, plan: NotifyPlan) {
        // The thread is gone only when the server is.
        let _ = self.orders.send_blocking(Order::Configure(plan));
    }

    /// Says which targets discovery found for the section `set`.
    pub fn set_groups(&self, set: usize, groups: Vec<Arc<TargetGroup>>) {
        let _ = self.orders.send_blocking(Order::Groups(set, groups));
    }

    /// Hands notices over; never waits.
    pub fn send(&self, notices: Vec<Notice>) {
        let count = notices.len() as u64;
        if self.orders.try_send(Order::Notices(notices)).is_err() {
            self.stats.not_taken.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Ends the thread once it has done what it was told, and waits for that.
    pub fn finish(&self, running: Running) {
        self.orders.close();
        // A panic was reported by the thread itself.
        let _ = running.0.join();
    }
}

struct Manager {
    options: NotifyOptions,
    stats: Arc<NotifyStats>,
    external_labels: Labels,
    relabel: Rules,
    sets: Vec<AlertmanagerSet>,
    loops: Vec<JoinHandle<()>>,
}

impl Manager {
    async fn run(mut self, orders: Receiver<Order>) {
        while let Ok(order) = orders.recv().await {
            match order {
                Order::Configure(plan) => self.configure(plan),
                Order::Groups(set, groups) => {
                    if let Some(set) = self.sets.get_mut(set) {
                        self.loops.extend(set.sync(&groups));
                    }
                }
                Order::Notices(notices) => {
                    let notices = notice::relabel(&self.relabel, &self.external_labels, notices);
                    self.sets.iter().for_each(|set| set.send(&notices));
                    continue;
                }
            }
            self.loops.retain(|send_loop| !send_loop.is_finished());
            let mut shown = Alertmanagers::default();
            self.sets.iter().for_each(|set| set.show(&mut shown));
            self.stats.set_alertmanagers(shown);
        }
        self.sets.iter().for_each(AlertmanagerSet::stop);
        for send_loop in self.loops {
            // A loop that panicked has nothing more to send.
            let _ = send_loop.await;
        }
    }

    /// A section that did not change keeps its Alertmanagers and their queues.
    fn configure(&mut self, plan: NotifyPlan) {
        (self.external_labels, self.relabel) = (plan.external_labels, plan.relabel);
        let mut before = std::mem::take(&mut self.sets);
        for plan in plan.sets {
            let same = before.iter().position(|set| set.is_same(&plan));
            self.sets.push(match same {
                Some(index) => before.remove(index),
                None => AlertmanagerSet::new(plan, self.options),
            });
        }
        before.iter().for_each(AlertmanagerSet::stop);
    }
}
