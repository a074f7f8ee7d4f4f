//! What a start costs in memory and processor: `cargo run --release -p engine --example start [SERIES [ROUNDS]]`.
//!
//! A store takes ROUNDS samples of each series. Its flush is restored, as after a stop in order; its log
//! is replayed, as after a kill. No disk. Prints nanoseconds a series and a sample.

mod work;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use engine::block::part::Part;
use engine::model::{Batch, Labels};
use engine::store::{Restore, Store, StoreOptions};
use work::{BATCH_SERIES, labels, nanoseconds, value};

fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse().expect("a number"));
    let series_count: usize = arguments.next().unwrap_or(500_000);
    let rounds: usize = arguments.next().unwrap_or(20);

    let sets: Vec<Labels> = (0..series_count).map(labels).collect();
    let mut store = Store::new(StoreOptions::default());
    let (mut batch, mut log) = (Batch::default(), vec![]);
    store.begin_segment(0, &mut log);
    for round in 0..rounds {
        for first in (0..series_count).step_by(BATCH_SERIES) {
            batch.clear();
            for (series, labels) in sets.iter().enumerate().skip(first).take(BATCH_SERIES) {
                let index = batch.push_series(labels.as_ref());
                batch.push_sample(index, round as i64 * 15_000, value(series, round));
            }
            store.append(&batch, i64::MAX, &mut log);
        }
    }
    drop(sets);
    let bytes = store.bytes().head;
    println!("{} B of memory a series: {bytes:?}", bytes.total() / series_count);

    let mut again = Store::new(StoreOptions::default());
    let begun = Instant::now();
    let report = again.replay_segment(&log).expect("a whole log");
    let sample_count = report.appended_count;
    println!(
        "replay: {:.1} ns a sample of {sample_count}",
        nanoseconds(begun.elapsed(), sample_count)
    );
    drop((again, log));

    let mut file = vec![];
    let begun = Instant::now();
    let mut flush = store.begin_flush(true, &mut file);
    while !store.flush_some(&mut flush, &mut file, || false).expect("sound memory") {}
    store.end_flush(flush, &mut file);
    println!(
        "flush: {:.1} ns a sample, {:.2} B a sample",
        nanoseconds(begun.elapsed(), sample_count),
        file.len() as f64 / sample_count as f64
    );
    drop(store);

    let part = Arc::new(Part::open(Arc::new(file)).expect("a whole part"));
    let begun = Instant::now();
    let mut again = Store::new(StoreOptions::default());
    let mut restore = Restore::new(vec![part]).expect("a whole part");
    while !again.restore_some(&mut restore, || false).expect("a whole part") {}
    let restored = begun.elapsed();
    let begun = Instant::now();
    black_box(again.flushed());
    println!(
        "restore: {:.0} ns a series, and {:.0} for ids of the log",
        nanoseconds(restored, series_count),
        nanoseconds(begun.elapsed(), series_count)
    );
}
