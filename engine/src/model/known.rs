//! Samples of series that the writer knows by id.

use super::SeriesId;

/// Samples for one shard, as columns of equal length: what its owner met before needs no labels.
#[derive(Clone, Debug, Default)]
pub struct KnownSamples {
    pub series: Vec<SeriesId>,
    pub timestamps_ms: Vec<i64>,
    pub values: Vec<f64>,
}

impl KnownSamples {
    pub fn clear(&mut self) {
        self.series.clear();
        self.timestamps_ms.clear();
        self.values.clear();
    }

    pub fn len(&self) -> usize {
        self.values.len()
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    #[inline]
    pub fn push(&mut self, series: SeriesId, timestamp_ms: i64, value: f64) {
        self.series.push(series);
        self.timestamps_ms.push(timestamp_ms);
        self.values.push(value);
    }
}
