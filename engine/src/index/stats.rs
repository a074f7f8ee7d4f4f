//! Where the cardinality is: what `/api/v1/status/tsdb` shows.
//!
//! Source: Prometheus `tsdb/index/postings.go`, `MemPostings.Stats`.

use super::Index;
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

impl Index {
    /// The `count_max` largest of each kind. O(pairs).
    pub fn stats(&self, count_max: usize) -> Stats {
        let mut metric_names = Top::new(count_max);
        let mut value_counts = Top::new(count_max);
        let mut memory = Top::new(count_max);
        let mut pairs = Top::new(count_max);
        let mut label_pair_count = 0;
        for name_id in 0..self.dictionary.name_count() {
            let name = self.dictionary.name(name_id);
            let (mut value_count, mut bytes) = (0, 0);
            for &pair_id in &self.dictionary.name_pairs[name_id as usize] {
                let series_count = u64::from(self.pair_series_count(pair_id));
                if series_count == 0 {
                    continue;
                }
                let value = self.dictionary.value(pair_id);
                value_count += 1;
                bytes += (encoded_bytes(name) + encoded_bytes(value)) * series_count;
                if name == METRIC_NAME {
                    metric_names.offer(series_count, &[value]);
                }
                pairs.offer(series_count, &[name, b"=", value]);
            }
            if value_count > 0 {
                label_pair_count += value_count;
                value_counts.offer(value_count, &[name]);
                memory.offer(bytes, &[name]);
            }
        }
        Stats {
            series_count: u64::from(self.series_count()),
            label_pair_count,
            series_count_by_metric_name: metric_names.finish(),
            label_value_count_by_label_name: value_counts.finish(),
            memory_bytes_by_label_name: memory.finish(),
            series_count_by_label_pair: pairs.finish(),
        }
    }
}

/// Bytes of a string in Prometheus's label sets, whose figure this is: the length takes one byte,
/// or four.
pub(crate) fn encoded_bytes(string: &[u8]) -> u64 {
    let length_bytes = if string.len() < 255 { 1 } else { 4 };
    string.len() as u64 + length_bytes
}

/// Keeps the largest of many.
pub(crate) struct Top {
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
            self.count_min = self.stats.last().map_or(0, |stat| stat.count);
        }
    }

    fn shrink(&mut self) {
        self.stats.sort_unstable_by(|a, b| b.count.cmp(&a.count).then_with(|| a.name.cmp(&b.name)));
        self.stats.truncate(self.count_max);
    }

    pub fn finish(mut self) -> Vec<Stat> {
        self.shrink();
        self.stats
    }
}
