//! The storage alone, in this process: index, head and the encoding of the log, no network and no
//! disk. A thread a shard, each with its own store and its own series, as in a running hearth.
//!
//! Every frame is encoded whole, checksum included, into a buffer that is used again.

use std::sync::Barrier;
use std::time::Instant;

use engine::head::{AppendBounds, HeadBytes};
use engine::model::{Batch, KnownSamples, Labels};
use engine::store::{Store, StoreOptions};

use serde_json::json;

use super::{Common, Scenario, figures, finish};
use crate::options::Options;
use crate::report::{Outcome, Run};
use crate::server::{Kind, cpu_seconds};
use crate::workload::{Values, instance_series};

pub const SCENARIO: Scenario = Scenario {
    name: "append",
    usage: ": hearth's storage in this process, no network and no disk
  --series=N          active series (1000000)
  --request, --interval-ms, --seed as of remote-write
  --by=labels|id      how samples name their series (labels)
  --threads=N         shards, a thread each (all cores)
  --rounds=N          measured samples of each series (100)
",
    run: run_with,
};

/// How a sample names its series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// By its labels, which are looked up and compared: a writer that is met for the first time.
    Labels,
    /// By its id: a writer that was met before, as all are after their first request.
    Id,
}

#[derive(Clone, Debug)]
pub struct Parameters {
    pub by: By,
    pub series_count: usize,
    pub series_per_batch: usize,
    pub thread_count: usize,
    /// Samples of each series that are measured; one before them makes the series.
    pub rounds: usize,
    pub interval_ms: i64,
    pub seed: u64,
}

/// What was measured, over all threads.
#[derive(Clone, Copy, Debug, Default)]
pub struct Measured {
    pub samples: usize,
    pub seconds: f64,
    pub cpu_seconds: f64,
    /// Series made a second, in the round before.
    pub new_series_per_second: f64,
    pub log_bytes: usize,
    /// Memory of the heads at the end, by what it holds.
    pub head_bytes: HeadBytes,
}

/// A batch of fixed series, and the same by id.
struct Request {
    batch: Batch,
    labels: Vec<Labels>,
    known: KnownSamples,
    first_value: usize,
}

struct Shard {
    store: Store,
    requests: Vec<Request>,
    values: Values,
    log: Vec<u8>,
    log_bytes: usize,
    accepted_count: usize,
}

fn run_with(_: &Common, mut options: Options) -> Result<Run, String> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let parameters = Parameters {
        by: options.choice("by", &[("labels", By::Labels), ("id", By::Id)])?,
        series_count: options.count("series", 1_000_000)?,
        series_per_batch: options.count("request", 2000)?,
        thread_count: options.count("threads", cores)?,
        rounds: options.count("rounds", 100)?,
        interval_ms: options.number("interval-ms", 15_000)?,
        seed: options.number("seed", 1)?,
    };
    let shown = json!({
        "by": format!("{:?}", parameters.by),
        "series": parameters.series_count,
        "series_per_batch": parameters.series_per_batch,
        "threads": parameters.thread_count,
        "rounds": parameters.rounds,
        "interval_ms": parameters.interval_ms,
        "seed": parameters.seed,
    });
    finish(options, shown, || {
        let measured = run(&parameters);
        let samples = measured.samples as f64;
        let each = |bytes: usize| bytes as f64 / parameters.series_count as f64;
        let mut figures = figures([
            ("samples per second, all threads", samples / measured.seconds),
            ("samples per CPU second", samples / measured.cpu_seconds),
            ("CPU ns per sample", measured.cpu_seconds * 1e9 / samples),
            ("log bytes per sample", measured.log_bytes as f64 / samples),
            ("new series per second, all threads", measured.new_series_per_second),
            ("bytes of memory per series", each(measured.head_bytes.total())),
        ]);
        let parts = measured.head_bytes.parts().into_iter();
        figures.extend(parts.map(|(what, bytes)| (format!("… {what}").into(), each(bytes))));
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Ok(vec![Outcome {
            kind: Kind::Hearth,
            version,
            ack: "nothing: it is not written",
            figures,
            failure: None,
        }])
    })
}

const START_MS: i64 = 1_700_000_000_000;
const SERIES_PER_INSTANCE: usize = 1000;

pub fn run(parameters: &Parameters) -> Measured {
    let barrier = &Barrier::new(parameters.thread_count + 1);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..parameters.thread_count)
            .map(|thread| scope.spawn(move || drive(thread, parameters, barrier)))
            .collect();
        let lap = || {
            barrier.wait();
            (Instant::now(), cpu_seconds("self").unwrap_or(f64::NAN))
        };
        let [ready, made, done] = [lap(), lap(), lap()];
        let mut measured = Measured {
            seconds: (done.0 - made.0).as_secs_f64(),
            cpu_seconds: done.1 - made.1,
            ..Measured::default()
        };
        for thread in threads {
            let shard = thread.join().expect("a store does not panic");
            measured.samples += shard.accepted_count;
            measured.log_bytes += shard.log_bytes;
            measured.head_bytes += shard.store.bytes().head;
        }
        measured.new_series_per_second =
            parameters.series_count as f64 / (made.0 - ready.0).as_secs_f64();
        // The first sample of each made its series, before.
        measured.samples -= parameters.series_count;
        measured
    })
}

fn drive(thread: usize, parameters: &Parameters, barrier: &Barrier) -> Shard {
    let mut shard = Shard::new(thread, parameters);
    barrier.wait();
    for request in 0..shard.requests.len() {
        shard.append(request, START_MS, By::Labels);
        shard.learn(request);
    }
    shard.log_bytes = 0;
    barrier.wait();
    for round in 1..=parameters.rounds as i64 {
        for request in 0..shard.requests.len() {
            shard.append(request, START_MS + round * parameters.interval_ms, parameters.by);
        }
    }
    barrier.wait();
    shard
}

impl Shard {
    fn new(thread: usize, parameters: &Parameters) -> Shard {
        let instances = parameters.series_count.div_ceil(SERIES_PER_INSTANCE);
        let (mut requests, mut kinds, mut pending) = (vec![], vec![], vec![]);
        let mut push = |labels: Vec<Labels>, first_value| {
            let (batch, known) = (Batch::default(), KnownSamples::default());
            requests.push(Request { batch, labels, known, first_value });
        };
        for instance in (thread..instances).step_by(parameters.thread_count) {
            let left = parameters.series_count - instance * SERIES_PER_INSTANCE;
            for one in instance_series(instance, left.min(SERIES_PER_INSTANCE)) {
                let pairs = one.labels.iter().map(|(name, value)| (*name, value.as_str()));
                pending.push(Labels::from_pairs(pairs));
                kinds.push(one.kind);
                if pending.len() == parameters.series_per_batch {
                    push(std::mem::take(&mut pending), kinds.len() - parameters.series_per_batch);
                }
            }
        }
        if !pending.is_empty() {
            let first_value = kinds.len() - pending.len();
            push(pending, first_value);
        }
        let mut store = Store::new(StoreOptions::default());
        let mut log = vec![];
        store.begin_segment(0, &mut log);
        let values = Values::new(kinds, parameters.seed + thread as u64);
        Shard { store, requests, values, log, log_bytes: 0, accepted_count: 0 }
    }

    fn append(&mut self, request: usize, timestamp_ms: i64, by: By) {
        let Request { batch, labels, known, first_value } = &mut self.requests[request];
        batch.clear();
        known.values.clear();
        match by {
            By::Labels => {
                for (index, labels) in labels.iter().enumerate() {
                    let series = batch.push_series(labels.as_ref());
                    let value = self.values.step(*first_value + index);
                    batch.push_sample(series, timestamp_ms, value);
                }
            }
            By::Id => {
                let values = (0..labels.len()).map(|index| self.values.step(*first_value + index));
                known.values.extend(values);
                known.timestamps_ms.fill(timestamp_ms);
            }
        }
        let none = KnownSamples::default();
        let known = if by == By::Id { known } else { &none };
        self.log.clear();
        let report =
            self.store.append_all(batch, known, AppendBounds::until(i64::MAX), &mut self.log);
        assert!(report.refused.is_empty() && report.open.is_empty(), "{report:?}");
        self.accepted_count += report.accepted_count;
        self.log_bytes += self.log.len();
    }

    /// Notes the ids of a batch that was just appended.
    fn learn(&mut self, request: usize) {
        let known = &mut self.requests[request].known;
        known.series.extend(self.store.appended_series().map(|id| id.expect("it was made")));
        known.timestamps_ms.resize(known.series.len(), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::{By, Parameters, run};

    #[test]
    fn every_sample_is_appended_either_way() {
        for by in [By::Labels, By::Id] {
            let measured = run(&Parameters {
                by,
                series_count: 3100,
                series_per_batch: 500,
                thread_count: 2,
                rounds: 3,
                interval_ms: 15_000,
                seed: 1,
            });
            assert_eq!(measured.samples, 3 * 3100, "{by:?}");
            assert!(measured.log_bytes > 0 && measured.head_bytes.total() > 0);
        }
    }
}
