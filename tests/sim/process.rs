//! The storage of a process: the real one, over a simulated disk, without the rest of hearth.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::head::{HeadOptions, LateSamples};
use engine::model::{KnownSamples, MatchOp, Matcher, Samples, Selection, Source, TimeRange};
use futures_util::future::join_all;
use shards::boot::OpenPlan;
use shards::layout::Layout;
use shards::observe::{Event, Reporter, SharedReporter};
use shards::route::{ShardId, shard_of};
use shards::runtime::{Class, sleep, spawn};
use shards::stats::ShardStats;
use shards::storage::Storage;
use shards::wal::WalOptions;
use shards::{Adoption, CancelToken, IngestOptions, KeepOptions, StorageSettings};

use super::disk::SimTree;
use super::ledger::{
    Found, Ledger, SERIES_COUNT, Series, batch, float_bits, histogram_bits, labels,
};

/// Time that a block spans at least, and at most: merges come soon.
const BLOCK_MS: [i64; 2] = [10_000, 90_000];

/// How far behind the newest sample late ones are taken.
pub const LATE_WINDOW_MS: i64 = 20_000;

/// Attempts to have a batch acknowledged, about a second apart.
const ATTEMPT_COUNT: u32 = 20;

pub type SharedLedger = Rc<std::cell::RefCell<Ledger>>;

/// Keeps what is told.
#[derive(Default)]
struct Told(Mutex<Vec<Event>>);

impl Reporter for Told {
    fn report(&self, event: Event) {
        self.0.lock().expect("nobody panics while it is held").push(event);
    }
}

/// Shards that are open.
pub struct Process {
    pub shards: Vec<Storage<SimTree>>,
    pub stop: CancelToken,
    /// What was read with loss, as a start tells it.
    pub losses: Vec<String>,
    told: Arc<Told>,
}

/// All samples, and what of them could not be read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    pub found: Found,
    pub errors: Vec<String>,
}

impl Process {
    /// Opens what `tree` holds, with `shard_count` shards.
    pub async fn open(
        tree: &SimTree,
        shard_count: usize,
        retention_ms: Option<i64>,
    ) -> Result<Process, String> {
        let told = Arc::<Told>::default();
        let reporter: SharedReporter = told.clone();
        let layout = Layout::take(tree, shard_count, &reporter).await;
        let layout = layout.map_err(|error| error.to_string())?;
        let keep = KeepOptions {
            block_ms_min: BLOCK_MS[0],
            block_ms_max: BLOCK_MS[1],
            flush_every: Duration::from_secs(1 << 20),
            ..KeepOptions::default()
        };
        keep.retention.set(retention_ms, None);
        let stats: Arc<[Arc<ShardStats>]> = (0..shard_count).map(|_| Arc::default()).collect();
        let adoption = Arc::<Adoption>::default();
        let stop = CancelToken::default();
        let settings = Arc::<StorageSettings>::default();
        settings.set_late_window(LATE_WINDOW_MS);
        let plans = ShardId::all(shard_count).map(|id| OpenPlan {
            id,
            tree: tree.clone(),
            layout: layout.clone(),
            wal: WalOptions {
                segment_bytes: WalOptions::SEGMENT_BYTES_MIN,
                ..WalOptions::default()
            },
            head: HeadOptions { chunk_range_ms: BLOCK_MS[0], ..HeadOptions::default() },
            keep: keep.clone(),
            settings: Arc::clone(&settings),
            reporter: reporter.clone(),
            adoption: adoption.clone(),
            stop: stop.clone(),
            stats: stats.clone(),
        });
        let (mut shards, mut losses) = (vec![], vec![]);
        for opened in join_all(plans.map(OpenPlan::open)).await {
            let (storage, replayed) = opened?;
            losses.extend(replayed.losses.iter().map(|(name, what)| format!("{name}: {what}")));
            spawn(Class::Storage, storage.clone().rest()).detach();
            shards.push(storage);
        }
        Ok(Process { shards, stop, losses, told })
    }

    /// Damage that was told since the start, at it and later.
    pub fn told(&self) -> Vec<String> {
        let told = self.told.0.lock().expect("nobody panics while it is held");
        let events = told.iter().filter(|event| {
            matches!(event, Event::LogDamaged { .. } | Event::MaintenanceFailed { .. })
        });
        self.losses.iter().cloned().chain(events.map(|event| format!("{event:?}"))).collect()
    }

    /// Has one sample of every series stored, and acknowledged, however often that must be tried;
    /// false when it never is.
    pub async fn ingest(&self, ledger: &SharedLedger, timestamp_ms: i64) -> Result<bool, String> {
        self.ingest_of(ledger, 0..SERIES_COUNT, timestamp_ms).await
    }

    /// As [`Process::ingest`], of some series.
    pub async fn ingest_of(
        &self,
        ledger: &SharedLedger,
        series: impl Iterator<Item = Series> + Clone,
        timestamp_ms: i64,
    ) -> Result<bool, String> {
        let count = self.shards.len();
        let all = &series;
        let sent = self.shards.iter().map(|storage| async move {
            let owns = |series: &Series| {
                shard_of(labels(*series).as_ref().stable_hash(), count) == storage.id()
            };
            let own: Vec<Series> = all.clone().filter(owns).collect();
            if own.is_empty() {
                return Ok(true);
            }
            let batch = batch(own.iter().copied(), timestamp_ms);
            own.iter().for_each(|&series| ledger.borrow_mut().attempt(series, timestamp_ms));
            for _ in 0..ATTEMPT_COUNT {
                if count > 1 {
                    storage.store().borrow_mut().tell_newest(timestamp_ms);
                }
                let options = IngestOptions {
                    wait: true,
                    max_timestamp_ms: i64::MAX,
                    late: LateSamples::Taken,
                };
                let appended =
                    storage.append(&batch, &KnownSamples::default(), &mut vec![], options);
                let durable = match appended {
                    Ok((report, lsn)) => {
                        if !report.refused.is_empty() || !report.refused_histograms.is_empty() {
                            return Err(format!("refused at {timestamp_ms} ms: {report:?}"));
                        }
                        storage.wal().durable(lsn).await
                    }
                    Err(error) => Err(error),
                };
                if durable.is_ok() {
                    let mut ledger = ledger.borrow_mut();
                    own.iter().for_each(|&series| ledger.acknowledge(series, timestamp_ms));
                    return Ok(true);
                }
                sleep(Duration::from_secs(1)).await;
            }
            Ok(false)
        });
        let mut all = true;
        for sent in join_all(sent).await {
            all &= sent?;
        }
        Ok(all)
    }

    /// Reads every sample.
    pub fn read(&self) -> Result<Reading, String> {
        let all = TimeRange { min_ms: i64::MIN, max_ms: i64::MAX };
        let any = [Matcher::new("__name__", MatchOp::NotEqual, "")];
        let mut reading = Reading::default();
        let mut samples = Samples::default();
        for storage in &self.shards {
            let store = storage.store().borrow();
            let selection = match store.select(&any, all) {
                Ok(selection) => selection,
                Err(error) => {
                    reading.errors.push(error.message);
                    continue;
                }
            };
            let mut seen = BTreeSet::new();
            for index in 0..selection.len() {
                let mut series = None;
                let lent = store.with_labels(&selection, index, &mut |labels| {
                    let number = std::str::from_utf8(labels.get(b"number")).ok();
                    series = Some(number.and_then(|number| number.parse::<Series>().ok()));
                });
                if let Err(error) = lent {
                    reading.errors.push(error.message);
                    continue;
                }
                let Some(series) = series else { continue };
                let series = series.ok_or("a series that was never sent")?;
                if !seen.insert(series) {
                    return Err(format!("series {series} is there twice"));
                }
                samples.clear();
                if let Err(error) = store.samples(&selection, index, all, &mut samples) {
                    reading.errors.push(error.message);
                    continue;
                }
                collect(&samples, series, &mut reading.found)?;
            }
        }
        Ok(reading)
    }

    /// Does what is due on every shard. Errors: what failed.
    pub async fn maintain(&self) -> Result<(), String> {
        let done = join_all(self.shards.iter().map(Storage::maintain_now)).await;
        done.into_iter().collect::<Result<_, _>>().map_err(|error| error.to_string())
    }

    /// Reads all blocks, and puts aside what is damaged.
    pub async fn scrub(&self) {
        join_all(self.shards.iter().map(Storage::scrub_now)).await;
    }

    /// Deletes the samples of `series` from `min_ms` to `max_ms`, and has the ledger know.
    pub async fn delete(
        &self,
        ledger: &SharedLedger,
        series: Series,
        [min_ms, max_ms]: [i64; 2],
    ) -> Result<(), String> {
        let matchers = [Matcher::new("number", MatchOp::Equal, &series.to_string())];
        ledger.borrow_mut().delete(series, min_ms..=max_ms, false);
        for storage in &self.shards {
            let done = storage.delete_here(&matchers, TimeRange { min_ms, max_ms }).await;
            done.map_err(|error| error.to_string())?;
        }
        ledger.borrow_mut().delete(series, min_ms..=max_ms, true);
        Ok(())
    }

    /// Ends as a process that is told to.
    pub async fn close(self) -> Result<(), String> {
        let closed = join_all(self.shards.iter().map(Storage::close)).await;
        self.stop.cancel();
        closed.into_iter().collect::<Result<_, _>>().map_err(|error| error.to_string())
    }
}

/// Adds the samples of a series.
fn collect(samples: &Samples, series: Series, found: &mut Found) -> Result<(), String> {
    let starts = |starts: &[i64], at: usize| starts.get(at).copied().unwrap_or(0);
    for (at, (&timestamp_ms, &value)) in
        samples.timestamps_ms.iter().zip(&samples.values).enumerate()
    {
        let bits = float_bits(value, starts(&samples.starts_ms, at));
        if found.insert((series, timestamp_ms), bits).is_some() {
            return Err(format!("series {series} has two samples at {timestamp_ms} ms"));
        }
    }
    for (&timestamp_ms, histogram) in
        samples.histogram_timestamps_ms.iter().zip(&samples.histograms)
    {
        if found.insert((series, timestamp_ms), histogram_bits(histogram)).is_some() {
            return Err(format!("series {series} has two samples at {timestamp_ms} ms"));
        }
    }
    let ascend = |all: &[i64]| all.windows(2).all(|two| two[0] < two[1]);
    if !ascend(&samples.timestamps_ms) || !ascend(&samples.histogram_timestamps_ms) {
        return Err(format!("samples of series {series} are out of order"));
    }
    Ok(())
}
