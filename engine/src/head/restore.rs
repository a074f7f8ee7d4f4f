//! Taking series back from parts: each under the id it had, then what its newest sample is.

use super::Head;
use super::open::Open;
use crate::encode::{self, ChunkHeader, DecodeError};
use crate::index::PairMap;
use crate::limits::SERIES_COUNT_MAX;
use crate::model::{HistogramSample, LabelsRef, Samples, SeriesId};

/// The newest sample of a series, as those after it are judged by.
#[derive(Clone, Debug)]
pub enum Newest {
    /// A float's bits.
    Float(u64),
    Histogram(HistogramSample),
}

impl Head {
    /// Asks for the line of the table that a series of this hash begins with.
    pub fn prefetch_hash(&self, hash: u64) {
        self.table.prefetch(hash);
    }

    /// Takes a series back under the id it had; `hash` is the stable one of its labels, which come as
    /// numbers: see [`Index::insert_numbered`]. Ids between are those of series that are gone.
    ///
    /// False when the series was not taken: ids ascend, no two series have the same labels, and
    /// the bounds of the head hold.
    pub fn restore<'l>(
        &mut self,
        series: SeriesId,
        hash: u64,
        numbers: &[u32],
        map: &mut PairMap,
        label: impl Fn(u32) -> LabelsRef<'l>,
    ) -> bool {
        let is_there = |handle| self.index.is_numbered_set(handle, numbers, &label);
        if series.index() < self.open.len()
            || series.index() >= SERIES_COUNT_MAX
            || self.live_count >= self.options.series_count_max
            || self.table.find(hash, is_there).is_some()
        {
            return false;
        }
        self.pass_ids(series.index());
        self.index.begin_many();
        let Ok(handle) = self.index.insert_numbered(series.0, numbers, map, label) else {
            return false;
        };
        self.add_row(hash, handle, series);
        true
    }

    /// So many series will be restored: their places are made at once.
    pub fn expect_series(&mut self, count: usize) {
        self.table.reserve(count);
    }

    /// All series are restored. Until then none can be searched by its labels.
    pub fn end_restore(&mut self) {
        self.index.end_many();
    }

    /// Gives no id below `id_count` any more: they were given in an earlier life.
    pub fn pass_ids(&mut self, id_count: usize) {
        while self.open.len() < id_count.min(SERIES_COUNT_MAX) {
            let index = self.open.len();
            let mut nobody = Open::new(SeriesId(index as u32));
            nobody.newest_ms = i64::MAX; // As that of a removed series.
            self.open.push(nobody);
            self.open.release(index);
        }
        self.index.pass_ids(self.open.len() as u32);
    }

    /// Says what the newest sample of a restored series is, which is in a part.
    pub fn set_newest(&mut self, series: SeriesId, timestamp_ms: i64, newest: Newest) {
        let open = &mut self.open[series.index()];
        match newest {
            Newest::Float(bits) => (open.newest_ms, open.newest_bits) = (timestamp_ms, bits),
            Newest::Histogram(sample) => {
                open.set_aside();
                open.set_histogram(timestamp_ms);
                self.aside.update(series.0, |aside| aside.histograms.set_newest(sample));
            }
        }
    }

    /// Says that a part has late samples of a restored series, up to here.
    pub fn note_late(&mut self, series: SeriesId, newest_ms: i64) {
        self.late.note(series.0, newest_ms);
    }

    /// Takes in that samples of this time are there, in parts.
    pub fn widen_span(&mut self, min_ms: i64, max_ms: i64) {
        self.min_ms = self.min_ms.min(min_ms);
        self.max_ms = self.max_ms.max(max_ms);
    }

    /// Timestamp of the newest sample of a series, late ones included; `None` before the first.
    pub fn newest_ms(&self, series: SeriesId) -> Option<i64> {
        let newest_ms = self.open.get(series.index())?.newest_ms;
        let late_ms = if self.late.is_empty() { None } else { self.late.newest_ms(series.0) };
        let newest_ms = late_ms.map_or(newest_ms, |late_ms| newest_ms.max(late_ms));
        (newest_ms != i64::MIN).then_some(newest_ms)
    }
}

/// The newest sample of a chunk. `samples` is room to decode in.
pub fn newest_of(chunk: &[u8], samples: &mut Samples) -> Result<Newest, DecodeError> {
    samples.clear();
    if let Some(value) = encode::last_float(chunk, &mut samples.values)? {
        return Ok(Newest::Float(value.to_bits()));
    }
    encode::decode_samples(chunk, samples)?;
    let histogram = samples.histograms.pop().ok_or(DecodeError::Values)?;
    let codec = ChunkHeader::decode(chunk)?.value_codec;
    let is_integer = codec == encode::ValueCodec::Histograms { is_integer: true };
    Ok(Newest::Histogram(HistogramSample { histogram, is_integer }))
}
