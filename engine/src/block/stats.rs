//! Where the cardinality of a block is: the same figures as `index` gives of the head.

use super::error::BlockError;
use super::postings;
use super::read::Block;
use crate::index::{Stats, Top, encoded_bytes};
use crate::model::labels::METRIC_NAME;

impl Block {
    /// The `count_max` largest of each kind. O(label pairs).
    pub fn stats(&self, count_max: usize) -> Result<Stats, BlockError> {
        let mut metric_names = Top::new(count_max);
        let mut value_counts = Top::new(count_max);
        let mut memory = Top::new(count_max);
        let mut pairs = Top::new(count_max);
        let mut label_pair_count = 0;
        for name in 0..self.name_count() {
            let row = self.name_row(name)?;
            let name = self.string(row.strings)?;
            let mut bytes = 0;
            for pair in row.pairs.0..row.pairs.1 {
                let [string, postings] = self.pair_row(pair)?;
                let count = postings::count(self.postings_bytes(postings)?);
                let count = u64::from(count.ok_or_else(|| self.pages.broken("postings"))?);
                let value = self.string(string)?;
                bytes += (encoded_bytes(name) + encoded_bytes(value)) * count;
                if name == METRIC_NAME {
                    metric_names.offer(count, &[value]);
                }
                pairs.offer(count, &[name, b"=", value]);
            }
            let value_count = u64::from(row.pairs.1.saturating_sub(row.pairs.0));
            label_pair_count += value_count;
            value_counts.offer(value_count, &[name]);
            memory.offer(bytes, &[name]);
        }
        Ok(Stats {
            series_count: u64::from(self.series_count()),
            label_pair_count,
            series_count_by_metric_name: metric_names.finish(),
            label_value_count_by_label_name: value_counts.finish(),
            memory_bytes_by_label_name: memory.finish(),
            series_count_by_label_pair: pairs.finish(),
        })
    }
}
