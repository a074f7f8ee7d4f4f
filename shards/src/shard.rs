//! One shard: what a core owns, and what it does for the others.

use std::cell::RefCell;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::disk::DirTree;
use crate::fair::Semaphore;
use crate::guests::{GUESTS, Guests};
use crate::mesh::{Gone, Lane};
use crate::message::{IngestAnswer, IngestQuestion, Job, JobAnswer, unpack};
use crate::query::{ActiveQueries, QueryOptions};
use crate::route::{ShardId, Split};
use crate::runtime::{Class, count_rounds, panic_count, return_freed_memory, sleep, spawn};
use crate::stats::ShardStats;
use crate::storage::{Storage, StorageInner};
use crate::turns::{TurnQueue, Work};

/// Requests under way between two shards, by lane. Memory: so many sub-batches at most.
pub(crate) const INGEST_CREDITS: usize = 32;
pub(crate) const JOB_CREDITS: usize = 64;

/// How often a shard shows that it turns, and counts what it holds.
pub(crate) const HEARTBEAT: Duration = Duration::from_millis(250);

/// Freed memory goes back to the system every so many heartbeats.
const RETURN_MEMORY_BEATS: u64 = 8;

/// Of so many heartbeats one counts the bytes of the store: it looks at every bitmap of the index,
/// which at a million series takes a hundredth of a core if each does.
const BYTES_COUNTED_BEATS: u64 = 8;

/// The shard that this thread runs. Cheap to clone; stays on its thread.
#[derive(Clone)]
pub struct Shard(pub(crate) Rc<Inner>);

/// A shard is what it stores, and how it speaks to the others.
pub(crate) struct Inner {
    pub storage: Storage<DirTree>,
    pub lanes: Lanes,
    pub split: RefCell<Split>,
    pub query_places: Semaphore,
    pub query_options: QueryOptions,
    pub active_queries: ActiveQueries,
    /// Blocks of Prometheus; of all shards.
    pub guests: Arc<Guests>,
}

impl Deref for Inner {
    type Target = StorageInner<DirTree>;

    fn deref(&self) -> &StorageInner<DirTree> {
        &self.storage.0
    }
}

/// This shard's ends of the conversations, the earliest in the order of who may ask whom last.
pub(crate) struct Lanes {
    pub control: Lane<Job, JobAnswer>,
    pub query: Lane<Job, JobAnswer>,
    pub ingest: Lane<IngestQuestion, IngestAnswer>,
}

impl Lanes {
    /// The ends of all lanes, by shard.
    pub fn ends(shard_count: usize) -> Vec<Lanes> {
        let control = Lane::ends(shard_count, JOB_CREDITS);
        let query = Lane::ends(shard_count, JOB_CREDITS);
        let ingest = Lane::ends(shard_count, INGEST_CREDITS);
        let ends = control.into_iter().zip(query).zip(ingest);
        ends.map(|((control, query), ingest)| Lanes { control, query, ingest }).collect()
    }

    fn close(&self) {
        self.control.close();
        self.query.close();
        self.ingest.close();
    }
}

impl Shard {
    pub fn id(&self) -> ShardId {
        self.0.id
    }

    /// Shards of this process.
    pub fn count(&self) -> usize {
        self.0.stats.len()
    }

    /// Resolves when the process was asked to stop. Whoever serves ends then: takes nothing new,
    /// answers what it has, and returns.
    pub async fn stopping(&self) {
        self.0.stop.canceled().await;
    }

    pub fn is_stopping(&self) -> bool {
        self.0.stop.is_canceled()
    }

    /// Counters of all shards, by id.
    pub fn stats(&self) -> &Arc<[Arc<ShardStats>]> {
        &self.0.stats
    }

    /// This shard's turns: for whoever computes for longer than a moment.
    pub fn turns(&self) -> &TurnQueue {
        &self.0.turns
    }

    pub(crate) fn own_stats(&self) -> &ShardStats {
        &self.0.stats[self.0.id.index()]
    }

    /// Runs `call` on the shard `target` and awaits its answer: for target lists, lookups and the
    /// like. It runs in one go and must be short.
    ///
    /// Errors: [`Gone`] while the process stops, or when `call` panicked.
    pub async fn call<R: Send + 'static>(
        &self,
        target: ShardId,
        call: impl FnOnce(&Shard) -> R + Send + 'static,
    ) -> Result<R, Gone> {
        if target == self.0.id {
            return Ok(call(self));
        }
        let job = Job::new(move |shard: Shard| async move { call(&shard) });
        self.0.lanes.control.ask(target, job).await.map(unpack)
    }

    /// Computes on the shard `target`, in one of its turns: for some hundred microseconds at most.
    ///
    /// Errors: [`Gone`] while the process stops, or when `compute` panicked.
    pub async fn compute<R: Send + 'static>(
        &self,
        target: ShardId,
        work: Work,
        compute: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, Gone> {
        let in_turn = async move |shard: &Shard| {
            let _turn = shard.turns().begin(work).await;
            compute()
        };
        if target == self.0.id {
            return Ok(in_turn(self).await);
        }
        let job = Job::new(move |shard: Shard| async move { in_turn(&shard).await });
        self.0.lanes.query.ask(target, job).await.map(unpack)
    }

    /// Starts what this shard does for the others and for itself.
    pub(crate) fn start_services(&self) {
        let inner = &self.0;
        spawn(Class::Storage, inner.storage.clone().maintain()).detach();
        spawn(Class::Storage, inner.storage.clone().watch_space()).detach();
        spawn(Class::Storage, self.clone().scrub()).detach();
        spawn(Class::Storage, self.clone().serve_ingest()).detach();
        spawn(Class::Storage, self.clone().serve_jobs(|lanes| &lanes.control)).detach();
        spawn(Class::Storage, self.clone().serve_jobs(|lanes| &lanes.query)).detach();
        spawn(Class::Storage, inner.storage.clone().rest()).detach();
        spawn(Class::Storage, self.clone().keep_guests()).detach();
        spawn(Class::Storage, self.clone().beat()).detach();
    }

    /// Serves one of the lanes of jobs until it is closed.
    async fn serve_jobs(self, lane: impl Fn(&Lanes) -> &Lane<Job, JobAnswer> + 'static) {
        while let Some(request) = lane(&self.0.lanes).next().await {
            let shard = self.clone();
            // A panic ends this one: its asker hears that nobody answers.
            spawn(Class::Request, async move {
                let answer = request.question.run(shard).await;
                request.answer.send(answer);
            })
            .detach();
        }
    }

    async fn beat(self) {
        let stats = self.own_stats();
        count_rounds(stats.rounds.clone());
        loop {
            stats.heartbeats.add(1);
            stats.task_panics.set(panic_count());
            if stats.heartbeats.get().is_multiple_of(RETURN_MEMORY_BEATS) {
                self.0.store.borrow_mut().release_idle();
                return_freed_memory();
            }
            {
                let mut store = self.0.store.borrow_mut();
                self.0.settings.apply(&mut store, self.count());
                self.0.settings.raise_newest(&store);
                let exemplars = store.exemplar_counts();
                stats.exemplars.set(exemplars.exemplars as u64);
                stats.exemplar_series.set(exemplars.series as u64);
                stats.exemplars_max.set(exemplars.exemplars_max as u64);
                stats.exemplar_oldest_ms.set(exemplars.oldest_ms.unwrap_or(0).max(0) as u64);
                let head = store.head();
                stats.series.set(head.series_count() as u64);
                stats.lateness.set(head.lateness());
                stats.chunks.set((head.sealed_chunk_count() + head.series_count()) as u64);
                stats.maintenance.parts.set(store.parts().count() as u64);
                let part_bytes = store.parts().map(|part| part.file_bytes()).sum();
                stats.maintenance.part_bytes.set(part_bytes);
                let blocks = store.blocks();
                // Those of Prometheus are every shard's; one counts them.
                let guests = if self.id() == GUESTS { store.guests() } else { &[] };
                stats.maintenance.blocks.set((blocks.len() + guests.len()) as u64);
                let guest_bytes: u64 = guests.iter().map(|guest| guest.block.file_bytes()).sum();
                let block_bytes: u64 = blocks.iter().map(|open| open.block.file_bytes()).sum();
                let block_bytes = block_bytes + guest_bytes;
                stats.maintenance.block_bytes.set(block_bytes);
                let spans = store.parts().map(|part| part.meta().min_ms);
                let spans = spans.chain(blocks.iter().map(|open| open.block.meta().min_ms));
                let spans = spans.chain(guests.iter().map(|guest| guest.summary().min_ms));
                let head_span_ms = head.time_span_ms();
                let (head_oldest_ms, head_newest_ms) = head_span_ms.unwrap_or((i64::MAX, i64::MIN));
                let oldest_ms = spans.fold(head_oldest_ms, i64::min);
                stats.head_oldest_ms.set(head_oldest_ms as u64);
                stats.head_newest_ms.set(head_newest_ms as u64);
                stats.oldest_ms.set(oldest_ms as u64);
                let retention = &self.0.keep.retention;
                stats.maintenance.retention_ms.set(retention.time_ms().unwrap_or(0) as u64);
                stats.maintenance.retention_bytes.set(retention.bytes().unwrap_or(0));
                if stats.heartbeats.get() % BYTES_COUNTED_BEATS == 1 {
                    let bytes = store.bytes();
                    stats.store_bytes.set((bytes.head.total() + bytes.metadata) as u64);
                }
            }
            sleep(HEARTBEAT).await;
        }
    }

    /// Ends the services: what other shards sent is still served, the head is flushed, the log
    /// written out. Called when nobody asks any more.
    pub(crate) async fn stop_services(&self) -> Result<(), crate::wal::WalError> {
        self.0.lanes.close();
        self.0.storage.close().await
    }
}
