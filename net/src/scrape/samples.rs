//! What one scrape gives: samples of series whose owner is known, by id, and a batch of all others.

use engine::model::{Batch, KnownSamples, LabelsRef};
use shards::SeriesOwner;

use super::cache::EntryId;

/// Whose sample it is: an entry of the target's cache, or a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    Entry(EntryId),
    /// Index of the report series.
    Report(u32),
    /// A series that was not kept in the cache.
    Uncached,
}

/// Samples for one shard, and whose they are: columns of equal length.
#[derive(Clone, Debug, Default)]
pub struct KnownLines {
    pub samples: KnownSamples,
    pub lines: Vec<Line>,
}

/// Reused from scrape to scrape.
#[derive(Clone, Debug, Default)]
pub struct ScrapeSamples {
    /// By shard; grows as owners come up.
    pub known: Vec<KnownLines>,
    pub batch: Batch,
    /// Of each series of `batch`.
    pub lines: Vec<Line>,
    /// Most that was in use before it was cleared.
    bytes_max: usize,
}

/// Of a sample and whose it is, in the columns.
const SAMPLE_BYTES: usize = 32;

impl ScrapeSamples {
    /// Bytes of memory, about: what is in use now or was in use before.
    pub fn bytes(&self) -> usize {
        let labels = self.batch.label_bytes().len();
        (self.sample_count() * SAMPLE_BYTES + labels).max(self.bytes_max)
    }

    pub fn clear(&mut self) {
        self.bytes_max = self.bytes();
        for known in &mut self.known {
            known.samples.clear();
            known.lines.clear();
        }
        self.clear_batch();
    }

    pub fn clear_batch(&mut self) {
        self.batch.clear();
        self.lines.clear();
    }

    pub fn sample_count(&self) -> usize {
        let known = self.known.iter().map(|known| known.lines.len()).sum::<usize>();
        known + self.batch.sample_count() + self.batch.histogram_count()
    }

    #[inline]
    pub fn push_known(&mut self, owner: SeriesOwner, line: Line, timestamp_ms: i64, value: f64) {
        let shard = owner.shard.index();
        if shard >= self.known.len() {
            self.known.resize(shard + 1, KnownLines::default());
        }
        let known = &mut self.known[shard];
        known.samples.push(owner.series, timestamp_ms, value);
        known.lines.push(line);
    }

    /// Adds a series to the batch; its samples follow.
    pub fn push_series(&mut self, line: Line, (labels, hash): (LabelsRef<'_>, u64)) -> u32 {
        self.lines.push(line);
        self.batch.push_series_hashed(labels, hash)
    }

    /// Adds a sample by its owner or, if that is not known, by its labels.
    #[inline]
    pub fn push<'l>(
        &mut self,
        owner: Option<SeriesOwner>,
        line: Line,
        identity: impl FnOnce() -> (LabelsRef<'l>, u64),
        timestamp_ms: i64,
        value: f64,
    ) {
        match owner {
            Some(owner) => self.push_known(owner, line, timestamp_ms, value),
            None => {
                let series = self.push_series(line, identity());
                self.batch.push_sample(series, timestamp_ms, value);
            }
        }
    }
}
