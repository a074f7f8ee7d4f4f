//! One counting sort of a batch into one part per shard.

use engine::model::Batch;

use super::{ShardId, shard_of};

/// What one shard gets of a batch.
#[derive(Clone, Debug, Default)]
pub struct Part {
    pub batch: Batch,
    /// For each sample of `batch` its index in the batch that was split.
    pub sample_indices: Vec<u32>,
}

impl Part {
    pub fn clear(&mut self) {
        self.batch.clear();
        self.sample_indices.clear();
    }
}

/// Splits batches; keeps the room of its parts.
#[derive(Debug, Default)]
pub struct Split {
    /// Parts that came back, cleared.
    spare: Vec<Part>,
}

/// Parts kept for the next batch. More than a few shards' worth in flight is overload.
const SPARE_COUNT_MAX: usize = 64;

impl Split {
    /// Splits `batch` over `shard_count` shards; `parts` gets the shards that have a series in it,
    /// ascending, each with its part. Order within a part is the order of `batch`.
    ///
    /// Cost: O(series + samples + label bytes): the bytes are copied, because the parts leave for
    /// other cores.
    pub fn split(&mut self, batch: &Batch, shard_count: usize, parts: &mut Vec<(ShardId, Part)>) {
        batch.assert_columns();
        assert!(parts.is_empty());
        parts.extend(ShardId::all(shard_count).map(|shard| {
            (shard, self.spare.pop().unwrap_or_default()) // Cleared by `give_back`.
        }));
        let (sample_series, timestamps_ms, values) =
            (batch.sample_series(), batch.timestamps_ms(), batch.values());
        let mut sample = 0;
        for (series, &hash) in batch.hashes().iter().enumerate() {
            let series = series as u32; // Lossless: a batch counts its series in 32 bits.
            let part = &mut parts[shard_of(hash, shard_count).index()].1;
            let routed = part.batch.push_series_hashed(batch.labels(series), hash);
            while sample < values.len() && sample_series[sample] == series {
                part.batch.push_sample(routed, timestamps_ms[sample], values[sample]);
                part.sample_indices.push(sample as u32);
                sample += 1;
            }
        }
        assert!(sample == values.len());
        parts.retain_mut(|(_, part)| {
            let wanted = !part.batch.is_empty();
            if !wanted {
                self.give_back(std::mem::take(part));
            }
            wanted
        });
    }

    /// Keeps a part's room for a later batch.
    pub fn give_back(&mut self, mut part: Part) {
        if self.spare.len() < SPARE_COUNT_MAX {
            part.clear();
            self.spare.push(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use engine::model::{Batch, Labels};

    use super::{Split, shard_of};

    #[test]
    fn every_sample_reaches_the_shard_of_its_series_once() {
        let mut batch = Batch::default();
        for number in 0..500 {
            let name = format!("series_{number}");
            let series = batch.push_series(Labels::from_pairs([("__name__", &name)]).as_ref());
            for sample in 0..number % 4 {
                batch.push_sample(series, sample, number as f64);
            }
        }
        let mut split = Split::default();
        for shard_count in [1, 2, 3, 16, 2] {
            let mut parts = Vec::new();
            split.split(&batch, shard_count, &mut parts);
            let mut seen = vec![0; batch.sample_count()];
            let mut series_count = 0;
            for (shard, part) in &parts {
                part.batch.assert_columns();
                series_count += part.batch.series_count();
                assert!(part.sample_indices.is_sorted());
                assert_eq!(part.sample_indices.len(), part.batch.sample_count());
                for (at, &index) in part.sample_indices.iter().enumerate() {
                    let (index, series) = (index as usize, part.batch.sample_series()[at]);
                    seen[index] += 1;
                    assert_eq!(part.batch.values()[at], batch.values()[index]);
                    assert_eq!(part.batch.timestamps_ms()[at], batch.timestamps_ms()[index]);
                    let labels = batch.labels(batch.sample_series()[index]);
                    assert_eq!(part.batch.labels(series), labels);
                    assert_eq!(shard_of(labels.stable_hash(), shard_count), *shard);
                }
            }
            assert_eq!(series_count, 500);
            assert!(seen.iter().all(|&count| count == 1));
            parts.drain(..).for_each(|(_, part)| split.give_back(part));
        }
    }

    #[test]
    fn shards_without_a_series_get_nothing() {
        let mut batch = Batch::default();
        batch.push_series(Labels::from_pairs([("__name__", "up")]).as_ref());
        let mut parts = Vec::new();
        Split::default().split(&batch, 8, &mut parts);
        assert_eq!(parts.len(), 1);
    }
}
