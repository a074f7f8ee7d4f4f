//! One counting sort of a batch into one part per shard.

use engine::model::{Batch, Exemplar, KnownSamples, SeriesId};

use super::{ShardId, shard_of};

/// What one shard gets of a batch.
#[derive(Clone, Debug, Default)]
pub struct Part {
    /// Newest sample of all shards when the batch came in.
    pub newest_ms: i64,
    pub batch: Batch,
    /// Samples of series that the asker knows by id.
    pub known: KnownSamples,
    /// For each series of `batch` its index in the batch that was split, and, in an answer, its id.
    pub series_indices: Vec<u32>,
    pub series_ids: Vec<Option<SeriesId>>,
    /// For each sample of `batch` its index in the batch that was split.
    pub sample_indices: Vec<u32>,
    /// The same of native histograms and of exemplars.
    pub histogram_indices: Vec<u32>,
    pub exemplar_indices: Vec<u32>,
}

impl Part {
    pub fn clear(&mut self) {
        self.batch.clear();
        self.known.clear();
        self.series_indices.clear();
        self.series_ids.clear();
        self.sample_indices.clear();
        self.histogram_indices.clear();
        self.exemplar_indices.clear();
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
    /// Splits `batch` over `shard_count` shards, and adds what `known` has for each; `parts` gets
    /// the shards that have a series in it, ascending, each with its part. Order within a part is
    /// the order of `batch`. `known` is empty or has an entry a shard, which is left empty.
    ///
    /// Cost: O(series + samples + label bytes): the bytes are copied, because the parts leave for
    /// other cores.
    pub fn split(
        &mut self,
        batch: &Batch,
        known: &mut [KnownSamples],
        shard_count: usize,
        parts: &mut Vec<(ShardId, Part)>,
    ) {
        batch.assert_columns();
        assert!(parts.is_empty());
        parts.extend(ShardId::all(shard_count).map(|shard| {
            (shard, self.spare.pop().unwrap_or_default()) // Cleared by `give_back`.
        }));
        let (sample_series, timestamps_ms, values) =
            (batch.sample_series(), batch.timestamps_ms(), batch.values());
        let has_starts = batch.has_starts();
        let (mut sample, mut histogram) = (0, 0);
        for (series, &hash) in batch.hashes().iter().enumerate() {
            let series = series as u32; // Lossless: a batch counts its series in 32 bits.
            let part = &mut parts[shard_of(hash, shard_count).index()].1;
            let routed = part.batch.push_series_hashed(batch.labels(series), hash);
            part.series_indices.push(series);
            while sample < values.len() && sample_series[sample] == series {
                part.batch.push_sample(routed, timestamps_ms[sample], values[sample]);
                if has_starts {
                    part.batch.set_start(batch.start_ms(sample));
                }
                part.sample_indices.push(sample as u32);
                sample += 1;
            }
            while batch.histogram_series().get(histogram) == Some(&series) {
                let timestamp_ms = batch.histogram_timestamps_ms()[histogram];
                let sample = batch.histograms()[histogram].clone();
                part.batch.push_histogram(routed, timestamp_ms, sample);
                part.batch.set_histogram_start(batch.histogram_start_ms(histogram));
                part.histogram_indices.push(histogram as u32);
                histogram += 1;
            }
        }
        assert!(sample == values.len());
        assert!(histogram == batch.histogram_count());
        split_exemplars(batch, shard_count, parts);
        assert!(known.len() <= parts.len());
        for ((_, part), known) in parts.iter_mut().zip(known) {
            std::mem::swap(&mut part.known, known);
        }
        parts.retain_mut(|(_, part)| {
            let wanted = !part.batch.is_empty() || !part.known.is_empty();
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

/// Sends exemplars, which are few, after their series; in each part in their order.
fn split_exemplars(batch: &Batch, shard_count: usize, parts: &mut [(ShardId, Part)]) {
    if batch.exemplars().is_empty() {
        return;
    }
    // Where each series went: its place among those of its part.
    let mut counts = vec![0; parts.len()];
    let place = |&hash: &u64| {
        let shard = shard_of(hash, shard_count).index();
        counts[shard] += 1;
        (shard, counts[shard] - 1)
    };
    let places: Vec<(usize, u32)> = batch.hashes().iter().map(place).collect();
    for (index, exemplar) in batch.exemplars().iter().enumerate() {
        let (shard, series) = places[exemplar.series as usize];
        let part = &mut parts[shard].1;
        part.batch.push_exemplar(Exemplar { series, ..exemplar.clone() });
        part.exemplar_indices.push(index as u32);
    }
}

#[cfg(test)]
mod tests {
    use engine::model::{Batch, Exemplar, HistogramSample, Labels};

    use super::{Split, shard_of};

    #[test]
    fn every_sample_reaches_the_shard_of_its_series_once() {
        let mut batch = Batch::default();
        for number in 0..500 {
            let name = format!("series_{number}");
            let series = batch.push_series(Labels::from_pairs([("__name__", &name)]).as_ref());
            for sample in 0..number % 4 {
                batch.push_sample(series, sample, number as f64);
                batch.set_start(number % 3);
            }
            for sample in 0..number % 3 {
                let mut histogram = HistogramSample::default();
                histogram.histogram.sum = number as f64;
                batch.push_histogram(series, sample, histogram);
                batch.set_histogram_start(number % 5);
            }
            if number % 7 == 0 {
                let (labels, value) = (Labels::default(), number as f64);
                batch.push_exemplar(Exemplar { series, labels, value, timestamp_ms: None });
            }
        }
        let mut split = Split::default();
        for shard_count in [1, 2, 3, 16, 2] {
            let mut parts = Vec::new();
            split.split(&batch, &mut [], shard_count, &mut parts);
            let mut seen = vec![0; batch.sample_count()];
            let mut histograms_seen = vec![0; batch.histogram_count()];
            let mut exemplars_seen = vec![0; batch.exemplars().len()];
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
                    assert_eq!(part.batch.start_ms(at), batch.start_ms(index));
                }
                for (at, &index) in part.histogram_indices.iter().enumerate() {
                    let (index, series) = (index as usize, part.batch.histogram_series()[at]);
                    histograms_seen[index] += 1;
                    let labels = batch.labels(batch.histogram_series()[index]);
                    assert_eq!(part.batch.labels(series), labels);
                    let (own, whole) = (&part.batch.histograms()[at], &batch.histograms()[index]);
                    assert!(own.equals(whole));
                    assert_eq!(part.batch.histogram_start_ms(at), batch.histogram_start_ms(index));
                }
                for (at, &index) in part.exemplar_indices.iter().enumerate() {
                    exemplars_seen[index as usize] += 1;
                    let own = &part.batch.exemplars()[at];
                    let whole = &batch.exemplars()[index as usize];
                    assert_eq!(part.batch.labels(own.series), batch.labels(whole.series));
                    assert_eq!(own.value, whole.value);
                }
            }
            assert_eq!(series_count, 500);
            seen.extend(histograms_seen.iter().chain(&exemplars_seen));
            assert!(seen.iter().all(|&count| count == 1));
            parts.drain(..).for_each(|(_, part)| split.give_back(part));
        }
    }

    #[test]
    fn shards_without_a_series_get_nothing() {
        let mut batch = Batch::default();
        batch.push_series(Labels::from_pairs([("__name__", "up")]).as_ref());
        let mut parts = Vec::new();
        Split::default().split(&batch, &mut [], 8, &mut parts);
        assert_eq!(parts.len(), 1);
    }
}
