//! What some rules give at one evaluation, as one batch for the store, and which sample of which
//! rule each of the batch is.
//!
//! ```text
//! rule 0: samples, markers | rule 1: samples, markers | …      the order of the batch
//! ```

use crate::head::Verdict;
use crate::model::sample::stale_nan;
use crate::model::{Batch, HistogramSample, Labels};

use super::host::Refused;
use super::sample::{RuleSample, RuleValue};

/// Where a sample of the batch comes from.
#[derive(Clone, Copy)]
struct Origin {
    /// By position among the rules.
    rule: u32,
    /// [`MARKER`] of a staleness marker.
    sample: u32,
}

const MARKER: u32 = u32::MAX;

#[derive(Default)]
pub(super) struct Outputs {
    pub batch: Batch,
    floats: Vec<Origin>,
    histograms: Vec<Origin>,
    rule_count: u32,
}

/// A sample that was refused: its rule and its number there.
pub(super) struct RefusedSample {
    pub rule: usize,
    pub sample: usize,
    pub verdict: Verdict,
}

impl Outputs {
    /// Adds what the next rule gives: its samples, then a marker for each series that is `gone`.
    /// Returns whether there is anything.
    pub fn push<'a>(
        &mut self,
        samples: &[RuleSample],
        gone: impl Iterator<Item = &'a Labels>,
        time_ms: i64,
    ) -> bool {
        let before = self.batch.series_count();
        let rule = self.rule_count;
        self.rule_count += 1;
        for (sample, number) in samples.iter().zip(0..) {
            let series = self.batch.push_series(sample.labels.as_ref());
            let origin = Origin { rule, sample: number };
            match &sample.value {
                RuleValue::Float(value) => {
                    self.batch.push_sample(series, time_ms, *value);
                    self.floats.push(origin);
                }
                RuleValue::Histogram(histogram) => {
                    let histogram = (**histogram).clone();
                    let sample = HistogramSample { histogram, is_integer: false };
                    self.batch.push_histogram(series, time_ms, sample);
                    self.histograms.push(origin);
                }
            }
        }
        push_markers(&mut self.batch, gone, time_ms);
        self.floats.resize(self.batch.sample_count(), Origin { rule, sample: MARKER });
        self.batch.series_count() > before
    }

    /// The samples that were refused. A marker is refused as a matter of course where another rule
    /// wrote the series.
    pub fn refused(&self, refused: &Refused) -> Vec<RefusedSample> {
        let floats = refused.floats.iter().map(|refusal| (refusal, &self.floats));
        let histograms = refused.histograms.iter().map(|refusal| (refusal, &self.histograms));
        let located = floats.chain(histograms).filter_map(|(refusal, origins)| {
            let Origin { rule, sample } = *origins.get(refusal.sample as usize)?;
            let located = RefusedSample {
                rule: rule as usize,
                sample: sample as usize,
                verdict: refusal.verdict,
            };
            (sample != MARKER).then_some(located)
        });
        located.collect()
    }
}

pub(super) fn push_markers<'a>(
    batch: &mut Batch,
    series: impl Iterator<Item = &'a Labels>,
    time_ms: i64,
) {
    for labels in series {
        let series = batch.push_series(labels.as_ref());
        batch.push_sample(series, time_ms, stale_nan());
    }
}
