//! A request like those before it allocates nothing on its way from the wire through the decoder,
//! the split over shards, the heads and the log's frames.

use engine::head::AppendBounds;
use engine::model::KnownSamples;
use engine::store::{Store, StoreOptions};
use net::wire::remote_write::encode::{Series, encode_v1, encode_v2};
use net::wire::remote_write::known::{Keys, KnownSeries, Owner, SECRET_BYTES};
use net::wire::remote_write::{Decoded, Decoder, Protocol, decompress};

const SERIES_COUNT: usize = 2000;
const SHARD_COUNT: usize = 2;

/// One shard of a process, without its runtime: what it keeps between requests.
struct Shards {
    stores: Vec<Store>,
    log: Vec<u8>,
    known: KnownSeries,
    decoder: Decoder,
    decoded: Decoded,
    message: Vec<u8>,
}

impl Shards {
    fn new() -> Shards {
        let keys = Keys::new([7; SECRET_BYTES]);
        let mut log = Vec::with_capacity(4 << 20);
        let mut stores: Vec<_> =
            (0..SHARD_COUNT).map(|_| Store::new(StoreOptions::default())).collect();
        stores.iter_mut().for_each(|store| {
            store.begin_segment(0, &mut log);
        });
        Shards {
            stores,
            log,
            known: KnownSeries::new(keys),
            decoder: Decoder::default(),
            decoded: Decoded::default(),
            message: Vec::new(),
        }
    }

    fn write(&mut self, protocol: Protocol, body: &[u8]) {
        decompress(body, &mut self.message).unwrap();
        let decoded = &mut self.decoded;
        self.decoder.decode_known(protocol, &self.message, &mut self.known, decoded).unwrap();
        // All that is not known goes to the first shard.
        for (shard, store) in self.stores.iter_mut().enumerate() {
            self.log.clear();
            let none = KnownSamples::default();
            let known = decoded.known.get(shard).unwrap_or(&none);
            let empty = engine::model::Batch::default();
            let batch = if shard == 0 { &decoded.batch } else { &empty };
            let report =
                store.append_all(batch, known, AppendBounds::until(i64::MAX), &mut self.log);
            assert_eq!((report.refused.len(), report.open.len()), (0, 0));
            if shard == 0 {
                let mut ids = store.appended_series();
                self.known.learn(&decoded.places, &decoded.keys, |_| {
                    Some(Owner { shard: 0, series: ids.next()?.unwrap() })
                });
            }
        }
    }
}

/// Compressed requests of `round_count` rounds over the same series.
fn bodies(protocol: Protocol, round_count: usize) -> Vec<Vec<u8>> {
    let names: Vec<String> = (0..SERIES_COUNT).map(|series| format!("metric_{series}")).collect();
    let body = |round: usize| {
        let sample = [(1_700_000_000_000 + round as i64 * 15_000, round as f64 / 3.0)];
        let labels: Vec<_> = names
            .iter()
            .map(|name| [("__name__", name.as_str()), ("instance", "a:9100"), ("job", "node")])
            .collect();
        let series: Vec<_> =
            labels.iter().map(|labels| Series { labels, samples: &sample }).collect();
        let mut request = Vec::new();
        match protocol {
            Protocol::V1 => encode_v1(&series, &mut request),
            Protocol::V2 => encode_v2(&series, &mut request),
        }
        snap::raw::Encoder::new().compress_vec(&request).unwrap()
    };
    (0..round_count).map(body).collect()
}

/// Rounds in which memory reaches its size: chunks grow, and are sealed for the first time.
const WARM_COUNT: usize = 130;

#[test]
fn a_request_of_known_series_allocates_nothing_but_what_it_keeps() {
    for protocol in [Protocol::V1, Protocol::V2] {
        let mut shards = Shards::new();
        let bodies = bodies(protocol, WARM_COUNT + 20);
        let (warm, measured) = bodies.split_at(WARM_COUNT);
        warm.iter().for_each(|body| shards.write(protocol, body));
        let counts = measured
            .iter()
            .map(|body| allocation_counter::measure(|| shards.write(protocol, body)).count_total);
        let counts: Vec<u64> = counts.collect();
        // What is kept: an arena of sealed chunks takes its next block now and then.
        let is_kept = |&count: &u64| count <= 1;
        assert!(counts.iter().all(is_kept) && counts.iter().sum::<u64>() <= 3, "{counts:?}");
    }
}
