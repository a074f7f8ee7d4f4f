//! Where the cardinality is: what `/api/v1/status/tsdb` shows.
//!
//! Source: Prometheus `tsdb/index/postings.go`, `MemPostings.Stats`.

use std::cmp::Ordering;

use super::Index;
use crate::model::LabelsRef;
use crate::model::labels::METRIC_NAME;

/// One line: a name, a value or `name=value`, with its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    pub name: Vec<u8>,
    pub count: u64,
}

/// The largest of each kind, the largest first; among equals by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub series_count: u64,
    /// Pairs of a name and a value that have series.
    pub label_pair_count: u64,
    pub series_count_by_metric_name: Vec<Stat>,
    pub label_value_count_by_label_name: Vec<Stat>,
    /// Bytes of name and value, for each series that has them.
    pub memory_bytes_by_label_name: Vec<Stat>,
    pub series_count_by_label_pair: Vec<Stat>,
}

/// How far the pairs of an index were gone through.
#[derive(Clone, Copy, Debug, Default)]
pub struct PairScan {
    name: u32,
    /// Of its pairs those before are left; all if `None`.
    left: Option<u32>,
}

impl Index {
    /// Goes through `count` pairs more, name by name, and calls `f` with each that has series, and how
    /// many. False when none is left. Pairs that come or go meanwhile may be missed, or come twice.
    pub fn scan_pairs(
        &self,
        scan: &mut PairScan,
        mut count: usize,
        mut f: impl FnMut(LabelsRef<'_>, u64),
    ) -> bool {
        while scan.name < self.dictionary.name_count() {
            if count == 0 {
                return true;
            }
            let pairs = &self.dictionary.name_pairs[scan.name as usize];
            // From the last to the first: one that is dropped makes room for the last one.
            let end = pairs.len().min(scan.left.map_or(usize::MAX, |left| left as usize));
            let start = end.saturating_sub(count);
            for &pair in &pairs[start..end] {
                let series_count = self.pair_series_count(pair);
                if series_count > 0 {
                    f(self.dictionary.pair(pair), u64::from(series_count));
                }
            }
            // A name without pairs takes its time, too.
            count -= (end - start).max(1);
            *scan = match start {
                0 => PairScan { name: scan.name + 1, left: None },
                _ => PairScan { left: Some(start as u32), ..*scan },
            };
        }
        false
    }

    /// The `count_max` largest of each kind. O(pairs), at once: for whoever shares nothing.
    pub fn stats(&self, count_max: usize) -> Stats {
        let mut counted = StatsFold::new(count_max);
        self.scan_pairs(&mut PairScan::default(), usize::MAX, |pair, count| {
            counted.add_pair(pair, count);
        });
        counted.finish(u64::from(self.series_count()))
    }
}

/// Stats in the making: pairs come name by name.
pub struct StatsFold {
    /// The name that comes, how many values it has, and their bytes.
    name: Vec<u8>,
    value_count: u64,
    bytes: u64,
    label_pair_count: u64,
    metric_names: Top,
    value_counts: Top,
    memory: Top,
    pairs: Top,
}

impl StatsFold {
    /// For the `count_max` largest of each kind.
    pub fn new(count_max: usize) -> StatsFold {
        let [metric_names, value_counts, memory, pairs] = [(); 4].map(|()| Top::new(count_max));
        let (name, value_count, bytes, label_pair_count) = (vec![], 0, 0, 0);
        StatsFold {
            name,
            value_count,
            bytes,
            label_pair_count,
            metric_names,
            value_counts,
            memory,
            pairs,
        }
    }

    /// Adds a pair, which is one label, and how many series have it. Amortised O(1).
    pub fn add_pair(&mut self, pair: LabelsRef<'_>, series_count: u64) {
        if let Some((name, value)) = pair.iter().next() {
            self.add(name, value, series_count);
        }
    }

    pub(crate) fn add(&mut self, name: &[u8], value: &[u8], series_count: u64) {
        if name != self.name {
            self.end_name();
            self.name = name.to_vec();
        }
        self.value_count += 1;
        self.bytes += (encoded_bytes(name) + encoded_bytes(value)) * series_count;
        if name == METRIC_NAME {
            self.metric_names.offer(series_count, &[value]);
        }
        self.pairs.offer(series_count, &[name, b"=", value]);
    }

    fn end_name(&mut self) {
        let value_count = std::mem::take(&mut self.value_count);
        let bytes = std::mem::take(&mut self.bytes);
        if value_count > 0 {
            self.label_pair_count += value_count;
            self.value_counts.offer(value_count, &[&self.name]);
            self.memory.offer(bytes, &[&self.name]);
        }
    }

    /// What there is, of `series_count` series.
    pub fn finish(mut self, series_count: u64) -> Stats {
        self.end_name();
        Stats {
            series_count,
            label_pair_count: self.label_pair_count,
            series_count_by_metric_name: self.metric_names.finish(),
            label_value_count_by_label_name: self.value_counts.finish(),
            memory_bytes_by_label_name: self.memory.finish(),
            series_count_by_label_pair: self.pairs.finish(),
        }
    }
}

/// Bytes of a string in Prometheus's label sets, whose figure this is: the length takes one byte,
/// or four.
fn encoded_bytes(string: &[u8]) -> u64 {
    let length_bytes = if string.len() < 255 { 1 } else { 4 };
    string.len() as u64 + length_bytes
}

/// Keeps the largest of many.
struct Top {
    count_max: usize,
    /// At most twice `count_max`.
    stats: Vec<Stat>,
    /// What is smaller is not among the largest.
    count_min: u64,
}

impl Top {
    pub fn new(count_max: usize) -> Top {
        Top { count_max, stats: vec![], count_min: 0 }
    }

    pub fn offer(&mut self, count: u64, name: &[&[u8]]) {
        if count < self.count_min || self.count_max == 0 {
            return;
        }
        self.stats.push(Stat { name: name.concat(), count });
        if self.stats.len() >= self.count_max.saturating_mul(2) {
            self.shrink();
        }
    }

    fn order(a: &Stat, b: &Stat) -> Ordering {
        b.count.cmp(&a.count).then_with(|| a.name.cmp(&b.name))
    }

    /// Keeps the largest. O(n).
    fn shrink(&mut self) {
        if self.count_max < self.stats.len() {
            self.stats.select_nth_unstable_by(self.count_max, Top::order);
            self.stats.truncate(self.count_max);
        }
        self.count_min = self.stats.iter().map(|stat| stat.count).min().unwrap_or(0);
    }

    pub fn finish(mut self) -> Vec<Stat> {
        self.shrink();
        self.stats.sort_unstable_by(Top::order);
        self.stats
    }
}
