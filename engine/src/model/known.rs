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

    /// Adds all of `other`.
    pub fn extend(&mut self, other: &KnownSamples) {
        self.series.extend_from_slice(&other.series);
        self.timestamps_ms.extend_from_slice(&other.timestamps_ms);
        self.values.extend_from_slice(&other.values);
    }

    /// A copy of the samples in `range`.
    pub fn part(&self, range: std::ops::Range<usize>) -> KnownSamples {
        KnownSamples {
            series: self.series[range.clone()].to_vec(),
            timestamps_ms: self.timestamps_ms[range.clone()].to_vec(),
            values: self.values[range].to_vec(),
        }
    }

    #[inline]
    pub fn push(&mut self, series: SeriesId, timestamp_ms: i64, value: f64) {
        self.series.push(series);
        self.timestamps_ms.push(timestamp_ms);
        self.values.push(value);
    }
}
