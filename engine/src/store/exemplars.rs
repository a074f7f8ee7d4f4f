//! Exemplars of a shard: judged after the samples of their batch, logged in its frame.

use super::Store;
use crate::head::{
    AppendOutcome, ExemplarCounts, ExemplarVerdict, SeriesExemplars, StoredExemplar,
};
use crate::index::CompiledMatcher;
use crate::model::{Batch, LabelsRef, Matcher, SeriesId, SourceError, TimeRange};

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

    /// The exemplars in `range` of the series that match one set of matchers at least, in order of
    /// labels. O(exemplars kept).
    ///
    /// # Errors
    ///
    /// An expression of a matcher is none.
    pub fn exemplars(
        &self,
        matcher_sets: &[Vec<Matcher>],
        range: TimeRange,
    ) -> Result<Vec<SeriesExemplars>, SourceError> {
        let compiled = matcher_sets.iter().map(|set| CompiledMatcher::compile(set));
        let compiled =
            compiled.collect::<Result<Vec<_>, _>>().map_err(super::select::source_error)?;
        let is_wanted = |labels: LabelsRef<'_>| {
            compiled.iter().any(|set| set.iter().all(|matcher| matcher.matches(labels)))
        };
        Ok(SeriesExemplars::merged(self.exemplars.select(is_wanted, range)))
    }

    pub fn exemplar_counts(&self) -> ExemplarCounts {
        self.exemplars.counts()
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
