//! Exemplars of a shard: judged after the samples of their batch, logged in its frame.

use roaring::RoaringBitmap;

use super::Store;
use super::matching::compile_all;
use crate::head::{
    AppendOutcome, ExemplarCounts, ExemplarVerdict, ExemplarsByLabels, StoredExemplar,
};
use crate::index::CompiledMatcher;
use crate::model::{Batch, Matcher, SeriesId, SourceError, TimeRange};

/// What became of the exemplars of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExemplarReport {
    pub accepted_count: usize,
    /// Exemplars neither accepted nor repeated, ascending by their index in the batch. None while
    /// exemplars are not kept.
    pub refused: Vec<(u32, ExemplarVerdict)>,
}

/// An accepted exemplar, for the log.
pub(super) struct AcceptedExemplar {
    pub series: SeriesId,
    pub exemplar: StoredExemplar,
}

impl Store {
    /// How many exemplars are kept from now on, the newest received; zero: none.
    pub fn set_exemplar_count_max(&mut self, count_max: usize) {
        self.exemplars.set_count_max(count_max);
    }

    /// Judges the exemplars of a batch whose samples were appended, and keeps those that may be.
    pub(super) fn append_exemplars(
        &mut self,
        batch: &Batch,
        max_timestamp_ms: i64,
        outcome: &mut AppendOutcome,
    ) -> (ExemplarReport, Vec<AcceptedExemplar>) {
        let (mut report, mut accepted) = (ExemplarReport::default(), vec![]);
        let mut buffer = vec![];
        for (index, exemplar) in batch.exemplars().iter().enumerate() {
            let given_ms = exemplar.timestamp_ms;
            let own = StoredExemplar {
                labels: exemplar.labels.clone(),
                value: exemplar.value,
                timestamp_ms: given_ms.unwrap_or_else(|| beside_ms(batch, exemplar.series)),
                has_timestamp: given_ms.is_some_and(|given_ms| given_ms != 0),
            };
            let id = outcome.series[exemplar.series as usize];
            let verdict = match self.head.labels(SeriesId(id), &mut buffer) {
                _ if own.timestamp_ms > max_timestamp_ms => ExemplarVerdict::TooFarInFuture,
                None => ExemplarVerdict::UnknownSeries,
                Some(labels) => self.exemplars.add(SeriesId(id), labels, &own),
            };
            match verdict {
                ExemplarVerdict::Accepted => {
                    if self.head.note_logged(id) {
                        outcome.unlogged.push(SeriesId(id));
                    }
                    report.accepted_count += 1;
                    accepted.push(AcceptedExemplar { series: SeriesId(id), exemplar: own });
                }
                ExemplarVerdict::Repeated | ExemplarVerdict::Disabled => {}
                verdict => report.refused.push((index as u32, verdict)),
            }
        }
        (report, accepted)
    }

    pub fn exemplar_counts(&self) -> ExemplarCounts {
        self.exemplars.counts()
    }
}

/// Exemplars that are looked at, at once: some 100 us.
const EXEMPLARS_AT_ONCE: usize = 256;

/// What each of them costs, in decoded samples.
const EXEMPLAR_WORK: usize = 32;

/// The exemplars in a range of the series that match one set of matchers at least, in the making. Those
/// are found that are there all the time, and perhaps some that come meanwhile.
pub struct ExemplarLookup {
    sets: Vec<Vec<CompiledMatcher>>,
    range: TimeRange,
    /// Those before are done; `None` when all are.
    next: Option<u64>,
    /// Series that match, and those that do not, as far as they were looked at.
    matching: RoaringBitmap,
    other: RoaringBitmap,
    found: ExemplarsByLabels,
    count_max: usize,
}

impl ExemplarLookup {
    /// Errors: an expression of a matcher is none.
    pub fn new(
        matcher_sets: &[Vec<Matcher>],
        range: TimeRange,
    ) -> Result<ExemplarLookup, SourceError> {
        Ok(ExemplarLookup {
            sets: compile_all(matcher_sets)?,
            range,
            next: Some(0),
            matching: RoaringBitmap::new(),
            other: RoaringBitmap::new(),
            found: ExemplarsByLabels::default(),
            count_max: EXEMPLARS_AT_ONCE,
        })
    }

    /// Looks at so many at once from now on.
    #[cfg(test)]
    pub fn set_count_max(&mut self, count_max: usize) {
        self.count_max = count_max;
    }

    /// Does the next step, in the same store. Returns what it cost, in decoded samples; `None` when
    /// nothing was left to do. Cost: some 100 us.
    pub fn step(&mut self, store: &Store) -> Option<usize> {
        let (some, next) = store.exemplars.some(self.next?, self.count_max);
        for (SeriesId(series), labels, exemplar) in some {
            let in_range = (self.range.min_ms..=self.range.max_ms).contains(&exemplar.timestamp_ms);
            if !in_range || self.other.contains(series) {
                continue;
            }
            if !self.matching.contains(series) {
                let is_met =
                    |set: &Vec<CompiledMatcher>| set.iter().all(|m| m.matches(labels.as_ref()));
                if !self.sets.iter().any(is_met) {
                    self.other.insert(series);
                    continue;
                }
                self.matching.insert(series);
            }
            self.found.add(labels, exemplar);
        }
        self.next = next;
        Some(self.count_max * EXEMPLAR_WORK)
    }

    /// What was found, when no step is left.
    pub fn into_found(self) -> ExemplarsByLabels {
        self.found
    }
}

/// Timestamp of the newest sample of a series in a batch; zero when it has none.
fn beside_ms(batch: &Batch, series: u32) -> i64 {
    let newest = |column: &[u32], timestamps_ms: &[i64]| {
        let end = column.partition_point(|&other| other <= series);
        (end > 0 && column[end - 1] == series).then(|| timestamps_ms[end - 1])
    };
    newest(batch.sample_series(), batch.timestamps_ms())
        .max(newest(batch.histogram_series(), batch.histogram_timestamps_ms()))
        .unwrap_or(0)
}
