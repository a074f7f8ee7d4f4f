//! The scraping threads: one beside each shard, on the same core.
//!
//! They fetch and read pages by themselves, so that a slow, large or hostile page costs no shard
//! more than its samples, and a wake-up costs one system call. A thread inherits the core of the
//! shard that starts it.

use std::future::Future;
use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_channel::{Receiver, Sender};
use futures_util::FutureExt;
use futures_util::future::{Either, select};
use shards::runtime;
use tokio::sync::oneshot;
use tokio::task::{LocalSet, spawn_local};

use super::feed::{Delivery, Outbox};
use super::run::Shelves;
use super::set;
use super::stats::ScrapeStats;
use super::target::Target;
use crate::log_error;

/// What a thread works with.
pub struct Work {
    /// Number of the shard beside it.
    pub shard: usize,
    /// Targets that come here, each time all of them.
    pub lists: Receiver<Vec<Arc<Target>>>,
    pub seed: u64,
    pub stats: Arc<ScrapeStats>,
    /// By shard.
    pub feeds: Vec<Sender<Delivery>>,
}

/// What all loops of a thread share.
#[derive(Clone)]
pub struct Desk {
    pub clock: Clock,
    pub seed: u64,
    pub stats: Arc<ScrapeStats>,
    pub outbox: Rc<Outbox>,
    pub shelves: Rc<Shelves>,
}

/// The wall clock as it was when the thread started, carried on by the monotonic one: places in the
/// interval are the same moments for all of the thread's loops, so that one waking serves several.
#[derive(Clone, Copy)]
pub struct Clock {
    start: Instant,
    start_ms: i64,
}

impl Clock {
    fn start() -> Clock {
        Clock { start: runtime::now(), start_ms: runtime::unix_ms() }
    }

    pub fn now_ms(self) -> i64 {
        self.start_ms + runtime::now().duration_since(self.start).as_millis() as i64
    }

    /// When the clock shows `ms`; its start for anything before.
    pub fn moment(self, ms: i64) -> Instant {
        self.start + Duration::from_millis((ms - self.start_ms).max(0) as u64)
    }
}

/// A running thread.
pub struct Worker {
    stop: Sender<()>,
    ended: Receiver<()>,
}

impl Worker {
    /// Starts the thread.
    pub fn start(work: Work) -> io::Result<Worker> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopping) = async_channel::bounded::<()>(1);
        let (ending, ended) = async_channel::bounded(1);
        let name = format!("scrape-{}", work.shard);
        std::thread::Builder::new().name(name).spawn(move || {
            let outbox = Outbox::new(work.feeds, work.shard);
            let shelves = Rc::default();
            let clock = Clock::start();
            let desk = Desk { clock, seed: work.seed, stats: work.stats, outbox, shelves };
            LocalSet::new().block_on(&runtime, async move {
                // A task of its own: what stands here is looked at with every waking.
                let outbox = desk.outbox.clone();
                let scraping = set::run(work.lists, desk);
                let (done, whole) = oneshot::channel::<()>();
                spawn_local(async move {
                    let (scraping, stopping) = (pin!(scraping), pin!(stopping.recv()));
                    if let Either::Right(_) = select(scraping, stopping).await {
                        outbox.finish().await;
                    }
                    drop(done);
                });
                // Ends with an error: nothing is ever sent.
                let _ = whole.await;
            });
            drop(ending);
        })?;
        Ok(Worker { stop, ended })
    }

    /// Ends the loops, without staleness markers: a server that comes back goes on where it was.
    pub async fn stop(self) {
        self.stop.close();
        // Ends with an error: nothing is ever sent.
        let _ = self.ended.recv().await;
    }
}

/// Starts a task of which a panic ends nothing else.
pub fn spawn_caught(what: &'static str, future: impl Future<Output = ()> + 'static) {
    spawn_local(async move {
        if AssertUnwindSafe(future).catch_unwind().await.is_err() {
            log_error!("Task panicked", "task" = what);
        }
    });
}
