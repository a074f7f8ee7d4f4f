//! The way of samples from the scraping threads into the shards.
//!
//! ```text
//! scraping thread                                        shard
//! loop ─ samples by id ─> Outbox: ten rounds a second ─> serve: one frame a message
//!      ─ a batch ──────────────────────────────────────> serve: Shard::ingest
//! ```
//!
//! A shard that is woken for every scrape pays more for waking than for the samples. So those that
//! go by id wait for others: rounds of all threads go out together, every tenth of a second, and
//! large ones at once. Nobody waits for a scrape's samples but its own loop, and they are durable
//! later still.

use std::cell::{Cell, OnceCell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use async_channel::{Receiver, Sender};
use engine::head::LateSamples;
use engine::model::{Batch, KnownSamples};
use futures_util::future::join_all;
use shards::runtime::{Class, spawn, unix_ms};
use shards::{IngestError, IngestOptions, IngestReport, Shard};
use tokio::task::spawn_local;

use super::samples::{KnownLines, Line};

/// Distance of two rounds, on the wall clock: the longest that a sample waits for others.
const ROUND_MS: i64 = 100;

/// A round of this many samples goes out at once: a quarter of a millisecond of a shard's time.
const ROUND_SAMPLE_COUNT_MAX: usize = 16 << 10;

/// Rooms of past rounds that are kept.
const SPARE_COUNT_MAX: usize = 16;

/// What a shard is sent. One channel a shard.
#[allow(clippy::large_enum_variant)] // Few wait at a time, and a box would be allocated for each.
pub enum Delivery {
    /// Samples of series that this shard owns.
    Known { samples: KnownSamples, answer: Sender<KnownAnswer> },
    /// Samples of any series.
    Batch { batch: Batch, answer: Sender<BatchAnswer> },
}

/// The room of the samples, and which of them are to come again with their labels.
pub type KnownAnswer = (KnownSamples, Result<Vec<u32>, IngestError>);
pub type BatchAnswer = (Batch, Result<IngestReport, IngestError>);

/// Takes what comes to this shard, until nobody sends any more.
pub async fn serve(shard: Shard, deliveries: Receiver<Delivery>) {
    while let Ok(delivery) = deliveries.recv().await {
        match delivery {
            Delivery::Known { samples, answer } => {
                let mut open = Vec::new();
                let taken = shard.ingest_known(&samples, &mut open);
                // A loop that is gone needs no answer.
                let _ = answer.try_send((samples, taken.map(|()| open)));
            }
            Delivery::Batch { batch, answer } => {
                let shard = shard.clone();
                spawn(Class::Scrape, async move {
                    // How far ahead a sample may be was judged when the page was read.
                    let options = IngestOptions {
                        wait: false,
                        max_timestamp_ms: i64::MAX,
                        late: LateSamples::MarkersRefused,
                    };
                    let report = shard.ingest(&batch, options).await;
                    let _ = answer.try_send((batch, report));
                })
                .detach();
            }
        }
    }
}

/// A scraping thread's end.
pub struct Outbox {
    /// By shard.
    shards: Vec<Sender<Delivery>>,
    /// The shard beside this thread.
    home: usize,
    round: RefCell<Option<Round>>,
    rounds: Cell<u64>,
    spare: RefCell<Vec<KnownSamples>>,
}

/// What waits to go out together.
struct Round {
    number: u64,
    /// By shard.
    parts: Vec<KnownSamples>,
    outcome: Rc<Outcome>,
}

impl Drop for Round {
    /// Nobody waits for a round that is lost with whoever was to send it.
    fn drop(&mut self) {
        if self.outcome.parts.get().is_none() {
            self.outcome.set(vec![]);
        }
    }
}

/// What became of a round: for each shard the indices of samples that are to come again; of a lost
/// round nothing.
#[derive(Default)]
struct Outcome {
    parts: OnceCell<Vec<Result<Vec<u32>, IngestError>>>,
    /// Of the loops that wait for it, all of one thread.
    waiting: RefCell<Vec<Waker>>,
}

impl Outcome {
    async fn wait(&self) -> &[Result<Vec<u32>, IngestError>] {
        poll_fn(|cx| match self.parts.get() {
            Some(parts) => Poll::Ready(&parts[..]),
            None => {
                self.waiting.borrow_mut().push(cx.waker().clone());
                Poll::Pending
            }
        })
        .await
    }

    fn set(&self, parts: Vec<Result<Vec<u32>, IngestError>>) {
        // A round is sent once.
        let _ = self.parts.set(parts);
        self.waiting.take().into_iter().for_each(Waker::wake);
    }
}

impl Outbox {
    pub fn new(shards: Vec<Sender<Delivery>>, home: usize) -> Rc<Outbox> {
        let (round, rounds, spare) = Default::default();
        Rc::new(Outbox { shards, home, round, rounds, spare })
    }

    /// Has the owners take `known`, by shard; returns the lines of samples to be written again with
    /// their labels, each with its time and value.
    ///
    /// Errors: a shard could not take its part.
    pub async fn deliver(
        self: &Rc<Self>,
        known: &[KnownLines],
    ) -> Result<Vec<(Line, i64, f64)>, IngestError> {
        if known.iter().all(|known| known.lines.is_empty()) {
            return Ok(vec![]);
        }
        let (starts, outcome) = self.add(known);
        let outcome = outcome.wait().await;
        if outcome.is_empty() {
            return Err(IngestError::Stopping);
        }
        let mut lines = vec![];
        for ((known, start), outcome) in known.iter().zip(starts).zip(outcome) {
            if known.lines.is_empty() {
                continue;
            }
            let open = outcome.as_ref().map_err(IngestError::clone)?;
            let first = open.partition_point(|&index| (index as usize) < start);
            let own = open[first..].iter().map(|&index| index as usize - start);
            for index in own.take_while(|&index| index < known.lines.len()) {
                let KnownSamples { timestamps_ms, values, .. } = &known.samples;
                lines.push((known.lines[index], timestamps_ms[index], values[index]));
            }
        }
        Ok(lines)
    }

    /// Adds to the round under way; where the samples stand in it, and where its outcome will be.
    fn add(self: &Rc<Self>, known: &[KnownLines]) -> (Vec<usize>, Rc<Outcome>) {
        let mut under_way = self.round.borrow_mut();
        let round = under_way.get_or_insert_with(|| self.begin());
        let starts = round.parts.iter().map(KnownSamples::len).collect();
        for (part, known) in round.parts.iter_mut().zip(known) {
            part.extend(&known.samples);
        }
        let waited = (starts, round.outcome.clone());
        if round.parts.iter().map(KnownSamples::len).sum::<usize>() >= ROUND_SAMPLE_COUNT_MAX
            && let Some(round) = under_way.take()
        {
            spawn_local(self.clone().send(round));
        }
        waited
    }

    fn begin(self: &Rc<Self>) -> Round {
        let number = self.rounds.get();
        self.rounds.set(number + 1);
        let mut spare = self.spare.borrow_mut();
        let parts = self.shards.iter().map(|_| spare.pop().unwrap_or_default()).collect();
        let outbox = self.clone();
        spawn_local(async move {
            let wait_ms = ROUND_MS - unix_ms().rem_euclid(ROUND_MS);
            tokio::time::sleep(Duration::from_millis(wait_ms as u64)).await;
            let due = outbox.round.borrow_mut().take_if(|round| round.number == number);
            if let Some(round) = due {
                outbox.send(round).await;
            }
        });
        Round { number, parts, outcome: Rc::default() }
    }

    /// Sends a round and awaits what became of it.
    async fn send(self: Rc<Self>, mut round: Round) {
        let parts = std::mem::take(&mut round.parts);
        let sends = self.shards.iter().zip(parts).map(|(shard, samples)| async {
            if samples.is_empty() {
                return (samples, Ok(vec![]));
            }
            let (answer, answered) = async_channel::bounded(1);
            let sent = shard.send(Delivery::Known { samples, answer }).await;
            match (sent, answered.recv().await) {
                (Ok(()), Ok(answer)) => answer,
                _ => (KnownSamples::default(), Err(IngestError::Stopping)),
            }
        });
        let answers = join_all(sends).await;
        let mut spare = self.spare.borrow_mut();
        let outcome = answers.into_iter().map(|(mut samples, outcome)| {
            if spare.len() < SPARE_COUNT_MAX {
                samples.clear();
                spare.push(samples);
            }
            outcome
        });
        round.outcome.set(outcome.collect());
    }

    /// Sends what waits, and awaits what became of it: before the thread ends.
    pub async fn finish(self: &Rc<Self>) {
        let round = self.round.borrow_mut().take();
        if let Some(round) = round {
            self.clone().send(round).await;
        }
    }

    /// Has the shards take a batch, at once; its room comes back with the report.
    pub async fn ingest(&self, batch: Batch) -> BatchAnswer {
        let (answer, answered) = async_channel::bounded(1);
        let sent = self.shards[self.home].send(Delivery::Batch { batch, answer }).await;
        match (sent, answered.recv().await) {
            (Ok(()), Ok(answer)) => answer,
            _ => (Batch::default(), Err(IngestError::Stopping)),
        }
    }
}
