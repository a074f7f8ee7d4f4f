//! One shard on its way up: it serves, reads what it holds, and is handed to whoever serves.

use std::cell::RefCell;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;

use futures_lite::future::or;
use futures_util::FutureExt;

use super::open::OpenPlan;
use super::{Ready, Starting};
use crate::disk::DirTree;
use crate::fair::Semaphore;
use crate::guests::{GUESTS, Guests, ImportBarrier};
use crate::query::{ActiveQueries, QueryOptions};
use crate::runtime::{Class, blocking, set_reporter, sleep, spawn};
use crate::shard::{HEARTBEAT, Inner, Lanes, Shard};
use crate::wal::Replayed;

/// What a shard is made of, on its way to its thread.
pub(super) struct Seed {
    pub lanes: Lanes,
    pub query: QueryOptions,
    pub storage: OpenPlan<DirTree>,
    pub guests: Arc<Guests>,
    pub import: Arc<ImportBarrier>,
}

/// Where a shard waits for the others.
pub(super) struct Gates {
    pub ready: async_channel::Sender<Ready>,
    /// Closed when all logs are read, or the start has failed.
    pub go: async_channel::Receiver<()>,
    /// Dropped when this shard serves no more; `served` is closed when all have dropped theirs.
    pub serving: async_channel::Sender<()>,
    pub served: async_channel::Receiver<()>,
}

/// The main future of a shard's thread.
pub(super) async fn run<F, Fut>(seed: Seed, gates: Gates, serve: F) -> Result<(), String>
where
    F: Fn(Starting) -> Fut,
    Fut: Future<Output = ()> + 'static,
{
    let OpenPlan { id, reporter, stop, stats, .. } = &seed.storage;
    set_reporter(reporter.clone());
    let (id, stop) = (*id, stop.clone());
    let (hand_over, shard) = async_channel::bounded(1);
    let starting = Starting { id, stats: stats.clone(), stop: stop.clone(), shard };
    let risen = Rc::new(RefCell::new(None));
    let Gates { ready, go, serving, served } = gates;
    let rising = spawn(Class::Storage, rise(seed, ready, go, hand_over, risen.clone()));

    let ended = AssertUnwindSafe(async { serve(starting).await }).catch_unwind().await;
    // One shard that serves no more is the end of all: parts of the data would be missing.
    stop.cancel();
    drop(serving);
    let _ = served.recv().await;
    rising.await;
    let shard: Option<Shard> = risen.take();
    if let Some(shard) = shard {
        shard.stop_services().await.map_err(|error| error.to_string())?;
    }
    ended.map_err(|_| format!("shard {} panicked while serving", id.0))
}

/// Reads what the shard holds, and hands it over when all shards have.
async fn rise(
    seed: Seed,
    ready: async_channel::Sender<Ready>,
    go: async_channel::Receiver<()>,
    hand_over: async_channel::Sender<Shard>,
    risen: Rc<RefCell<Option<Shard>>>,
) {
    let OpenPlan { id, stop, stats, .. } = &seed.storage;
    let (stop, stats) = (stop.clone(), stats[id.index()].clone());
    let beat = async {
        loop {
            stats.heartbeats.add(1);
            sleep(HEARTBEAT).await;
        }
    };
    match or(seed.grow(), beat).await {
        Ok((shard, replayed)) => {
            let _ = ready.try_send(Ok(replayed));
            drop(ready);
            let _ = go.recv().await;
            shard.start_services();
            if !stop.is_canceled() {
                let _ = hand_over.try_send(shard.clone());
            }
            risen.replace(Some(shard));
        }
        Err(message) => drop(ready.try_send(Err(message))),
    }
}

impl Seed {
    /// Opens the storage and makes the shard of it.
    async fn grow(self) -> Result<(Shard, Replayed), String> {
        let shard_count = self.storage.stats.len();
        let (storage, mut replayed) = self.storage.open().await?;
        let guests = self.guests;
        let (id, stop) = (storage.id(), storage.0.stop.clone());
        let opened = {
            let guests = guests.clone();
            blocking(move || {
                guests.open(id, shard_count, &stop);
                (guests.of_shard(id), guests.losses())
            })
        };
        let (own, losses) = opened.await;
        storage.0.store.borrow_mut().replace_guests(&[], own);
        if id == GUESTS {
            replayed.losses.extend(losses);
        }
        guests.import(&storage, &self.import, &mut replayed.losses).await?;
        let inner = Inner {
            storage,
            lanes: self.lanes,
            split: RefCell::default(),
            query_places: Semaphore::new(self.query.places(shard_count)),
            query_options: self.query,
            active_queries: ActiveQueries::default(),
            guests,
        };
        Ok((Shard(Rc::new(inner)), replayed))
    }
}
