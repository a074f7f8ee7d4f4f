//! Every hot step by itself, with what it should cost by arithmetic: `cargo bench -p bench --features
//! micro`.
//!
//! `benches/micro.rs` has criterion time the steps; a test runs each.

mod data;

use std::cell::{Cell, RefCell};
use std::hint::black_box;
use std::rc::Rc;
use std::sync::Arc;

use engine::encode::{self, Columns, FloatCodec, TimestampCodec};
use engine::exec::{ExecError, Partial, Scatter, evaluate, run_ask};
use engine::head::AppendBounds;
use engine::model::source::{NoPause, Turns};
use engine::model::{Batch, KnownSamples, SeriesId};
use engine::plan::Ask;
use engine::store::{Store, StoreOptions};
use engine::wal::{Chain, FrameWriter, SampleColumns, WhenColumns};
use net::wire::json;
use net::wire::remote_write::known::{KnownSeries, Owner};
use net::wire::remote_write::{Decoded, Decoder, Protocol, decompress};
use shards::route::Split;

use data::{Requests, SERIES_COUNT, loaded_store};

/// One step: what a call of `run` does, and to how many things.
pub struct Step {
    pub name: &'static str,
    /// What one thing should cost, and why.
    pub expected: &'static str,
    /// Things of one call.
    pub count: usize,
    pub run: Box<dyn FnMut()>,
}

fn step(
    name: &'static str,
    expected: &'static str,
    count: usize,
    run: impl FnMut() + 'static,
) -> Step {
    Step { name, expected, count, run: Box::new(run) }
}

/// All steps, in the order of a sample's way.
pub fn steps() -> Vec<Step> {
    let mut steps = decoding();
    steps.extend(storing());
    steps.extend(making());
    steps.extend(chunks());
    steps.extend(asking());
    steps
}

/// From a request's body to a batch.
fn decoding() -> Vec<Step> {
    let mut steps = Vec::new();
    for (protocol, names) in [
        (
            Protocol::V1,
            [
                ("snappy, protocol 1", "18 ns: 165 bytes, copied from cache at 9 GB/s"),
                ("decode, protocol 1, by labels", "60 ns: walk 25, checks 10, copy 10, hash 10"),
                ("decode, protocol 1, known", "25 ns: hash of 140 bytes 15, row 5, columns 5"),
            ],
        ),
        (
            Protocol::V2,
            [
                ("snappy, protocol 2", "6 ns: 45 bytes, more literals than copies"),
                ("decode, protocol 2, by symbols", "75 ns: as protocol 1, and references 15"),
                ("decode, protocol 2, repeated", "10 ns: hash of 20 bytes 4, row 2, columns 4"),
            ],
        ),
    ] {
        let requests = Requests::new(protocol);
        let (body, message) = (requests.body.clone(), requests.message.clone());
        let [snappy, by_labels, known] = names;
        let mut out = Vec::new();
        steps.push(step(snappy.0, snappy.1, SERIES_COUNT, move || {
            decompress(&body, &mut out).expect("the body is whole");
        }));
        let (mut decoder, mut decoded) = (Decoder::default(), Decoded::default());
        let request = message.clone();
        steps.push(step(by_labels.0, by_labels.1, SERIES_COUNT, move || {
            decoder.decode(protocol, &request, &mut decoded).expect("the request is whole");
            assert!(decoded.batch.sample_count() == SERIES_COUNT);
        }));
        let mut known_series: KnownSeries = requests.known();
        let (mut decoder, mut decoded) = (Decoder::default(), Decoded::default());
        steps.push(step(known.0, known.1, SERIES_COUNT, move || {
            decoder
                .decode_known(protocol, &message, &mut known_series, &mut decoded)
                .expect("the request is whole");
            assert!(decoded.known_count == SERIES_COUNT);
        }));
    }
    let batch = Requests::new(Protocol::V1).batch();
    let hashed = batch.clone();
    steps.push(step("hash", "7 ns: 140 bytes at 20 GB/s", SERIES_COUNT, move || {
        for series in 0..hashed.series_count() as u32 {
            black_box(hashed.labels(series).stable_hash());
        }
    }));
    let (mut split, mut parts) = (Split::default(), Vec::new());
    steps.push(step("split over 2 shards", "25 ns: 140 bytes copied", SERIES_COUNT, move || {
        split.split(&batch, &mut [], 2, &mut parts);
        parts.drain(..).for_each(|(_, part)| split.give_back(part));
    }));
    steps
}

/// A store that gets samples of the same series again and again.
struct Appending {
    store: Rc<RefCell<Store>>,
    log: Vec<u8>,
    series: Batch,
    batch: Batch,
    known: KnownSamples,
    at_ms: i64,
}

impl Appending {
    fn new() -> Appending {
        let (store, series, ids) = loaded_store(1);
        let known = KnownSamples {
            timestamps_ms: vec![0; ids.len()],
            values: (0..ids.len()).map(|index| index as f64).collect(),
            series: ids,
        };
        let (log, batch) = (Vec::new(), Batch::default());
        Appending { store, log, series, batch, known, at_ms: data::START_MS }
    }

    fn append(&mut self, by_labels: bool) {
        self.at_ms += data::INTERVAL_MS;
        self.log.clear();
        let mut store = self.store.borrow_mut();
        let none = (Batch::default(), KnownSamples::default());
        let bounds = AppendBounds::until(i64::MAX);
        let report = if by_labels {
            data::again(&self.series, self.at_ms, &mut self.batch);
            store.append_all(&self.batch, &none.1, bounds, &mut self.log)
        } else {
            self.known.timestamps_ms.fill(self.at_ms);
            self.known.values.iter_mut().for_each(|value| *value += 1.0);
            store.append_all(&none.0, &self.known, bounds, &mut self.log)
        };
        assert!(report.accepted_count == SERIES_COUNT);
    }
}

/// From a batch to the store and to the log's frame.
fn storing() -> Vec<Step> {
    let mut by_labels = Appending::new();
    let mut by_id = Appending::new();
    let series: Vec<u32> = (0..SERIES_COUNT as u32).collect();
    let timestamps_ms = vec![data::START_MS; SERIES_COUNT];
    let values: Vec<f64> = (0..SERIES_COUNT).map(|index| index as f64 * 1.01).collect();
    let (mut frame, mut chain) = (Vec::new(), Chain::default());
    let bytes = vec![7u8; 64 << 10];
    vec![
        step(
            "append by labels, with its frame",
            "55 ns: copied 10, lookup 10, compared 10, append 10, frame 10; in cache",
            SERIES_COUNT,
            move || by_labels.append(true),
        ),
        step(
            "append by id, with its frame",
            "20 ns: append 8, frame 10, in cache",
            SERIES_COUNT,
            move || by_id.append(false),
        ),
        step(
            "frame of samples, with its checksum",
            "8 ns: 14 bytes written, 3 ns; read again at 10 GB/s",
            SERIES_COUNT,
            move || {
                frame.clear();
                let mut writer = FrameWriter::begin(&mut frame);
                let when = WhenColumns {
                    series: &series,
                    timestamps_ms: &timestamps_ms,
                    starts_ms: &[],
                    is_out_of_order: false,
                };
                writer.samples(SampleColumns { when, values: &values });
                writer.finish(&mut chain);
            },
        ),
        step("crc32c, a byte", "0.05 ns: 20 GB/s with three in flight", bytes.len(), move || {
            black_box(crc32c::crc32c(black_box(&bytes)));
        }),
    ]
}

/// Requests after which all that was made of them is dropped. As many as leave the caches behind.
const REQUEST_COUNT: usize = 64;

/// Series that nobody has seen, from a request to the store and to the log's frame.
fn making() -> Vec<Step> {
    let mut requests = data::Replaced::new();
    let (mut known, mut called) = (data::nothing_known(), 0);
    let (mut decoder, mut decoded) = (Decoder::default(), Decoded::default());
    let decode = step(
        "decode of new series, and their keys learned",
        "100 ns: key 15, missed 10, walk 25, copy 10, hash 10; 24 bytes of fresh memory 30",
        SERIES_COUNT,
        move || {
            called += 1;
            if called % REQUEST_COUNT == 0 {
                known = data::nothing_known();
            }
            decoder
                .decode_known(Protocol::V1, requests.next(), &mut known, &mut decoded)
                .expect("the request is whole");
            assert!(decoded.keys.len() == SERIES_COUNT);
            for (key, series) in decoded.keys.iter().zip(0..) {
                let owner = Owner { shard: 0, series: SeriesId(series) };
                known.insert(key.expect("it is as encoders write it"), owner);
            }
        },
    );
    let mut requests = data::Replaced::new();
    let batches: Vec<Batch> = (0..REQUEST_COUNT).map(|_| requests.batch()).collect();
    let (mut store, mut log, mut at) = (Store::new(StoreOptions::default()), Vec::new(), 0);
    let append = step(
        "append of new series, with its frame",
        "150 ns: missed 10, five labels looked up 40, postings 20, 120 bytes of fresh memory 60, frame 15",
        SERIES_COUNT,
        move || {
            if at % REQUEST_COUNT == 0 {
                store = Store::new(StoreOptions::default());
            }
            log.clear();
            let none = KnownSamples::default();
            let batch = &batches[at % REQUEST_COUNT];
            let bounds = AppendBounds::until(i64::MAX);
            let report = store.append_all(batch, &none, bounds, &mut log);
            assert!(report.new_series_count == SERIES_COUNT);
            at += 1;
        },
    );
    vec![decode, append]
}

/// Samples of a chunk.
const CHUNK_COUNT: usize = 120;

/// Decoding of sealed chunks, and encoding.
fn chunks() -> Vec<Step> {
    let timestamps_ms: Vec<i64> = (0..CHUNK_COUNT as i64).map(|index| index * 15_000).collect();
    let counter: Vec<f64> = data::walk(CHUNK_COUNT, 200).collect();
    let mut steps = Vec::new();
    for (name, expected, codec) in [
        ("decode of a chunk, XOR", "6 ns: one sample waits for the other", FloatCodec::Xor),
        (
            "decode of a chunk, decimal",
            "0.5 ns: 8 bytes written, 8 lanes at a time",
            FloatCodec::Decimal,
        ),
        (
            "decode of a chunk, decimal differences",
            "0.8 ns: as decimal, and a sum along it",
            FloatCodec::DecimalDeltas,
        ),
    ] {
        let (mut work, mut chunk) = (Columns::default(), Vec::new());
        let (when, values) = (&timestamps_ms, &counter);
        let is_encoded =
            encode::encode_with(TimestampCodec::Step, codec, when, values, &mut work, &mut chunk);
        assert!(is_encoded, "every codec holds a counter");
        let (mut times, mut values) = (Vec::new(), Vec::new());
        steps.push(step(name, expected, CHUNK_COUNT, move || {
            times.clear();
            values.clear();
            encode::decode(&chunk, &mut times, &mut values).expect("the chunk is whole");
        }));
    }
    let (mut work, mut chunk) = (Columns::default(), Vec::new());
    steps.push(step(
        "encode a chunk",
        "10 ns: the best of several codecs",
        CHUNK_COUNT,
        move || {
            chunk.clear();
            encode::encode(&timestamps_ms, &counter, &mut work, &mut chunk);
        },
    ));
    steps
}

/// One store, as a query asks it.
struct One<'a>(&'a Store);

impl Scatter for One<'_> {
    async fn run(&self, ask: Arc<Ask>) -> Result<Vec<Vec<Result<Partial, ExecError>>>, ExecError> {
        Ok(vec![run_ask(self.0, &ask, &NoPause).await])
    }

    fn turns(&self) -> &impl Turns {
        &NoPause
    }
}

/// Scan, window and aggregate, and how an answer is written.
fn asking() -> Vec<Step> {
    const ROUNDS: usize = 240;
    const METRIC: &str = "node_cpu_seconds_total";
    let (store, ..) = loaded_store(ROUNDS);
    let series_count = data::count_of(METRIC);
    let mut steps = Vec::new();
    for (name, expected, text, step_count) in [
        (
            "sum over steps",
            "5 ns: decode 1, lookback 2, addition 1",
            format!("sum({METRIC})"),
            ROUNDS,
        ),
        (
            "sum of rates over steps",
            "8 ns: decode 1, window 4, addition 1",
            format!("sum(rate({METRIC}[5m]))"),
            ROUNDS,
        ),
        (
            "sum by mode of rates at one time",
            "100 ns: 20 samples of 2, window 20, key and group 20, lines in the cache 20",
            format!("sum by (mode) (rate({METRIC}[5m]))"),
            1,
        ),
        (
            "sum by mode at one time",
            "20 ns: the newest sample 5, key and group 15",
            format!("sum by (mode) ({METRIC})"),
            1,
        ),
    ] {
        let plan = data::plan(&text, ROUNDS, step_count);
        let (store, count) = (store.clone(), series_count * step_count);
        steps.push(step(name, expected, count, move || {
            let store = store.borrow();
            engine::exec::testing::block_on(evaluate(&plan, &One(&store))).expect("it is answered");
        }));
    }
    let values: Vec<f64> = data::walk(1000, 1 << 40).map(|value| value / 1e3).collect();
    let (mut out, at) = (Vec::new(), Cell::new(0));
    steps.push(step("float as JSON", "25 ns: 15 digits", values.len(), move || {
        out.clear();
        at.set(at.get() + 1);
        values.iter().for_each(|&value| json::push_point(&mut out, at.get(), value));
    }));
    steps
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_step_runs_more_than_once() {
        let mut steps = super::steps();
        assert!(steps.iter().all(|step| step.count > 0 && !step.expected.is_empty()));
        steps.iter_mut().for_each(|step| (0..3).for_each(|_| (step.run)()));
    }
}
