//! Appending samples whose series the writer knows by id: two passes instead of five.
//!
//! Only the plain case is decided here: a series that is there, a sample within bounds and newer
//! than its newest, or the newest itself once more. Everything else is left open, nothing of
//! it is stored, and the writer comes again with labels, by [`Head::append`].

use hashbrown::HashSet;

use super::Head;
use super::append::{AppendBounds, GROUP_COUNT, Window};
use crate::model::{Batch, KnownSamples, SeriesId};

/// What became of known samples. Reused: `append_known` clears it.
#[derive(Clone, Debug, Default)]
pub struct KnownOutcome {
    /// Accepted samples, as indices into the columns, ascending.
    pub(crate) accepted: Vec<u32>,
    /// Samples that were there already.
    pub repeated_count: usize,
    /// Samples to be written again with their labels, as indices into the columns, ascending.
    pub open: Vec<u32>,
    /// Series with accepted samples that were not named in this round of the log.
    pub(crate) unlogged: Vec<SeriesId>,
}

impl KnownOutcome {
    pub(crate) fn clear(&mut self) {
        self.accepted.clear();
        self.open.clear();
        self.unlogged.clear();
        self.repeated_count = 0;
    }
}

impl Head {
    /// Appends what is plain of `known`. About 20 ns a sample at a million series.
    pub fn append_known(
        &mut self,
        known: &KnownSamples,
        bounds: AppendBounds,
        outcome: &mut KnownOutcome,
    ) {
        let KnownSamples { series, timestamps_ms, values } = known;
        assert!(series.len() == values.len());
        assert!(timestamps_ms.len() == values.len());
        outcome.clear();
        if self.time_span_ms().is_none() {
            outcome.open.extend(0..values.len() as u32); // An empty head has none of these series.
            return;
        }
        let window = self.window_behind(self.newest_known_ms(), bounds);
        let groups = series.chunks(GROUP_COUNT);
        // The lines of a group are asked for while the group before it is appended.
        self.prefetch_open(groups.clone().next().unwrap_or_default());
        let mut next_groups = groups.clone().skip(1);
        for (group, start) in groups.zip((0..).step_by(GROUP_COUNT)) {
            for id in group {
                if let Some(open) = self.open.get(id.index()) {
                    open.prefetch(&self.slots);
                }
            }
            self.prefetch_open(next_groups.next().unwrap_or_default());
            for sample in start..start + group.len() {
                let (id, timestamp_ms) = (series[sample], timestamps_ms[sample]);
                self.append_known_sample(id, timestamp_ms, values[sample], sample, window, outcome);
            }
        }
    }

    /// Whether a series of `batch` stands in `known` too. Then only whoever has both in one order can
    /// append them.
    ///
    /// Cost: nothing where either is empty; a lookup for each series of the batch and, if one of
    /// them is there, a look at every known sample.
    pub fn is_any_in_both(&self, batch: &Batch, known: &KnownSamples) -> bool {
        if batch.is_empty() || known.is_empty() {
            return false;
        }
        let mut there = HashSet::<SeriesId, foldhash::fast::RandomState>::default();
        for (hashes, start) in batch.hashes().chunks(GROUP_COUNT).zip((0u32..).step_by(GROUP_COUNT))
        {
            hashes.iter().for_each(|&hash| self.table.prefetch(hash));
            let labelled = hashes.iter().zip(start..);
            there.extend(labelled.filter_map(|(&hash, series)| {
                self.find_hashed(batch.labels(series), hash) // None of a new series.
            }));
        }
        !there.is_empty() && known.series.iter().any(|id| there.contains(id))
    }

    fn prefetch_open(&self, series: &[SeriesId]) {
        series.iter().for_each(|id| self.open.prefetch(id.index()));
    }

    #[inline]
    fn append_known_sample(
        &mut self,
        id: SeriesId,
        timestamp_ms: i64,
        value: f64,
        sample: usize,
        window: Window,
        outcome: &mut KnownOutcome,
    ) {
        let Some(open) = self.open.get(id.index()).filter(|open| {
            // A removed series' newest is after everything.
            let is_plain = timestamp_ms >= open.newest_ms && !open.is_histogram();
            let has_starts = self.aside.has_starts && self.aside.get(id.0).is_some();
            is_plain && !has_starts && window.judge(timestamp_ms).is_none()
        }) else {
            outcome.open.push(sample as u32);
            return;
        };
        if timestamp_ms == open.newest_ms {
            match value.to_bits() == open.newest_bits {
                true => outcome.repeated_count += 1,
                false => outcome.open.push(sample as u32),
            }
            return;
        }
        if self.note_logged(id.0) {
            outcome.unlogged.push(id);
        }
        self.store(id.0, timestamp_ms, value.to_bits());
        outcome.accepted.push(sample as u32);
    }
}
