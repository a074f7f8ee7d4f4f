//! What the steps work on: two thousand series of the usual workload.

use std::cell::RefCell;
use std::rc::Rc;

use engine::head::AppendBounds;
use engine::model::{Batch, Labels, SeriesId};
use engine::plan::{Plan, PlanOptions, QueryTimes};
use engine::promql::{ParseOptions, parse};
use engine::store::{Store, StoreOptions};
use net::wire::remote_write::known::{Keys, KnownSeries, Owner, SECRET_BYTES};
use net::wire::remote_write::{Decoded, Decoder, Protocol, decompress};

use crate::body::Template;
use crate::workload::{Rng, Values, instance_series};

pub const SERIES_COUNT: usize = 2000;
pub const START_MS: i64 = 1_700_000_000_000;
pub const INTERVAL_MS: i64 = 15_000;

/// A request of all series.
pub struct Requests {
    protocol: Protocol,
    pub body: Vec<u8>,
    pub message: Vec<u8>,
}

impl Requests {
    pub fn new(protocol: Protocol) -> Requests {
        let series = instance_series(0, SERIES_COUNT);
        let own = match protocol {
            Protocol::V1 => crate::body::Protocol::V1,
            Protocol::V2 => crate::body::Protocol::V2,
        };
        let mut values = Values::new(series.iter().map(|one| one.kind), 1);
        let mut body = Vec::new();
        let mut encoder = snap::raw::Encoder::new();
        Template::new(own, &series).fill(START_MS, &mut values, 0, &mut encoder, &mut body);
        let mut message = Vec::new();
        decompress(&body, &mut message).expect("it was just compressed");
        Requests { protocol, body, message }
    }

    /// What a receiver knows after the request came often enough.
    pub fn known(&self) -> KnownSeries {
        let mut known = nothing_known();
        let (mut decoder, mut decoded) = (Decoder::default(), Decoded::default());
        for _ in 0..3 {
            decoder
                .decode_known(self.protocol, &self.message, &mut known, &mut decoded)
                .expect("the request is whole");
            for (key, series) in decoded.keys.iter().zip(0..) {
                let owner = Owner { shard: 0, series: SeriesId(series) };
                known.insert(key.expect("it is as encoders write it"), owner);
            }
        }
        known
    }

    pub fn batch(&self) -> Batch {
        let mut decoded = Decoded::default();
        let decoding = Decoder::default().decode(self.protocol, &self.message, &mut decoded);
        decoding.expect("the request is whole");
        decoded.batch
    }
}

/// A receiver that knows no series.
pub fn nothing_known() -> KnownSeries {
    KnownSeries::new(Keys::new([7; SECRET_BYTES]))
}

/// Requests whose series nobody has seen: those of instances that were all replaced.
pub struct Replaced {
    template: Template,
    generation: u32,
}

impl Replaced {
    pub fn new() -> Replaced {
        let series = instance_series(0, SERIES_COUNT);
        let mut template = Template::new(crate::body::Protocol::V1, &series);
        let mut values = Values::new(series.iter().map(|one| one.kind), 1);
        template.fill(START_MS, &mut values, 0, &mut snap::raw::Encoder::new(), &mut Vec::new());
        Replaced { template, generation: 0 }
    }

    /// The next one, of protocol 1.
    pub fn next(&mut self) -> &[u8] {
        self.generation += 1;
        self.template.set_generation(self.generation % 100_000);
        self.template.request()
    }

    /// The next one as a batch.
    pub fn batch(&mut self) -> Batch {
        let mut decoded = Decoded::default();
        let decoding = Decoder::default().decode(Protocol::V1, self.next(), &mut decoded);
        decoding.expect("the request is whole");
        decoded.batch
    }
}

/// How many of the series are of this metric.
pub fn count_of(metric: &str) -> usize {
    let is_of = |one: &&crate::workload::Series| one.labels[0].1 == metric;
    instance_series(0, SERIES_COUNT).iter().filter(is_of).count()
}

/// A store with so many samples of each series, a batch of all series, and their ids.
pub fn loaded_store(rounds: usize) -> (Rc<RefCell<Store>>, Batch, Vec<SeriesId>) {
    let series = instance_series(0, SERIES_COUNT);
    let mut values = Values::new(series.iter().map(|one| one.kind), 1);
    let mut store = Store::new(StoreOptions::default());
    let (mut batch, mut log) = (Batch::default(), Vec::new());
    store.begin_segment(0, &mut log);
    for round in 0..rounds as i64 {
        batch.clear();
        for (index, one) in series.iter().enumerate() {
            let pairs = one.labels.iter().map(|(name, value)| (*name, value.as_str()));
            let place = batch.push_series(Labels::from_pairs(pairs).as_ref());
            batch.push_sample(place, START_MS + round * INTERVAL_MS, values.step(index));
        }
        log.clear();
        store.append_all(&batch, &Default::default(), AppendBounds::until(i64::MAX), &mut log);
    }
    let ids = store.appended_series().map(|id| id.expect("it was made")).collect();
    (Rc::new(RefCell::new(store)), batch, ids)
}

/// The same series again, each with one sample at `at_ms`: its labels copied, its hash kept.
pub fn again(batch: &Batch, at_ms: i64, out: &mut Batch) {
    out.clear();
    for (series, &hash) in batch.hashes().iter().enumerate() {
        let series = out.push_series_hashed(batch.labels(series as u32), hash);
        out.push_sample(series, at_ms, at_ms as f64);
    }
}

/// A counter that grows by less than `step` each time.
pub fn walk(count: usize, step: u64) -> impl Iterator<Item = f64> {
    let mut random = Rng::new(3);
    let mut value = 0;
    std::iter::repeat_with(move || {
        value += random.next_u64() % step;
        value as f64
    })
    .take(count)
}

/// A query at the times of the last `steps` of the samples that [`loaded_store`] has.
pub fn plan(text: &str, rounds: usize, steps: usize) -> Plan {
    let ast = parse(text, &ParseOptions::ALL).expect("the text is PromQL");
    let end_ms = START_MS + (rounds as i64 - 1) * INTERVAL_MS;
    let times = QueryTimes {
        start_ms: end_ms - (steps as i64 - 1) * INTERVAL_MS,
        end_ms,
        step_ms: INTERVAL_MS,
        lookback_ms: 5 * 60_000,
        subquery_step_ms: 60_000,
    };
    Plan::new(&ast, times, &PlanOptions::default()).expect("the plan is made")
}
