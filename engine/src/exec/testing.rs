//! A naive source and a scatter over several of them: what tests and tools evaluate against.
//!
//! Nothing here is fast; everything is plain enough to be believed.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::index::CompiledMatcher;
use crate::model::histogram::CounterReset;
use crate::model::source::{NoPause, Turns};
use crate::model::{
    FloatHistogram, Labels, LabelsRef, Matcher, Samples, SeriesId, Source, SourceError, TimeRange,
    is_stale_nan,
};
use crate::plan::Ask;
use crate::promql::series::{Element, expand, parse_series_description};

use super::error::ExecError;
use super::gather::Scatter;
use super::scan::{Partial, run_ask};

/// What a sample holds.
#[derive(Clone, Debug)]
pub enum Sample {
    Float(f64),
    Histogram(FloatHistogram),
}

/// Series as maps from time to sample.
#[derive(Clone, Debug, Default)]
pub struct MemSource {
    series: Vec<(Labels, MemSeries)>,
}

/// Samples and their start timestamps, zero where unknown.
type MemSeries = BTreeMap<i64, (Sample, i64)>;

impl MemSource {
    /// Adds a sample; one of the same time is replaced.
    pub fn append(&mut self, labels: &Labels, timestamp_ms: i64, value: f64) {
        self.append_sample(labels, timestamp_ms, 0, Sample::Float(value));
    }

    /// Adds a sample of any kind. What a histogram says about resets becomes what a store would
    /// say of it.
    pub fn append_sample(
        &mut self,
        labels: &Labels,
        timestamp_ms: i64,
        start_ms: i64,
        mut sample: Sample,
    ) {
        let known = self.series.iter_mut().find(|(known, _)| known == labels);
        let samples = match known {
            Some((_, samples)) => samples,
            None => {
                self.series.push((labels.clone(), MemSeries::default()));
                &mut self.series.last_mut().expect("just pushed").1
            }
        };
        if let Sample::Histogram(histogram) = &mut sample {
            let before = samples.range(..timestamp_ms).next_back().map(|(_, (sample, _))| sample);
            histogram.counter_reset = stored_hint(before, histogram);
        }
        samples.insert(timestamp_ms, (sample, start_ms));
    }
}

/// What a store knows about a reset before `histogram`: that there was none, if it went on from
/// the sample before; else nothing.
///
/// Source: Prometheus `tsdb/chunkenc/float_histogram.go`, `appendable`; `histogram_meta.go`,
/// `counterResetHint`.
fn stored_hint(before: Option<&Sample>, histogram: &FloatHistogram) -> CounterReset {
    use CounterReset::{Gauge, NotReset, Reset, Unknown};
    if histogram.counter_reset == Gauge {
        return Gauge;
    }
    let Some(Sample::Histogram(before)) = before else { return Unknown };
    let goes_on = before.counter_reset != Gauge
        && histogram.counter_reset != Reset
        && (is_stale_nan(histogram.sum) || !is_stale_nan(before.sum))
        && histogram.schema == before.schema
        && histogram.zero_threshold == before.zero_threshold
        && histogram.custom_bounds == before.custom_bounds
        && !FloatHistogram { counter_reset: Unknown, ..histogram.clone() }.detect_reset(before);
    if goes_on { NotReset } else { Unknown }
}

impl Source for MemSource {
    type Selection = Vec<SeriesId>;

    fn begin_select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<SeriesId>, SourceError> {
        let compiled = CompiledMatcher::compile(matchers)
            .map_err(|error| SourceError { message: error.to_string() })?;
        let is_selected = |(labels, samples): &(Labels, MemSeries)| {
            range.min_ms <= range.max_ms
                && samples.range(range.min_ms..=range.max_ms).next().is_some()
                && compiled.iter().all(|matcher| matcher.matches(labels.as_ref()))
        };
        let ids = 0..self.series.len() as u32;
        Ok(ids.map(SeriesId).filter(|id| is_selected(&self.series[id.index()])).collect())
    }

    fn with_labels(
        &self,
        selection: &Vec<SeriesId>,
        index: usize,
        f: &mut dyn FnMut(LabelsRef<'_>),
    ) -> Result<(), SourceError> {
        f(self.series[selection[index].index()].0.as_ref());
        Ok(())
    }

    fn samples(
        &self,
        selection: &Vec<SeriesId>,
        index: usize,
        range: TimeRange,
        out: &mut Samples,
    ) -> Result<(), SourceError> {
        let samples = &self.series[selection[index].index()].1;
        let in_range = || samples.range(range.min_ms..=range.max_ms);
        // Start timestamps are rare: their columns stand only where there is any.
        let has_starts = in_range().any(|(_, (_, start_ms))| *start_ms != 0);
        for (&timestamp_ms, (sample, start_ms)) in in_range() {
            let starts_ms = match sample {
                Sample::Float(value) => {
                    out.timestamps_ms.push(timestamp_ms);
                    out.values.push(*value);
                    &mut out.starts_ms
                }
                Sample::Histogram(histogram) => {
                    out.histogram_timestamps_ms.push(timestamp_ms);
                    out.histograms.push(histogram.clone());
                    &mut out.histogram_starts_ms
                }
            };
            if has_starts {
                starts_ms.push(*start_ms);
            }
        }
        Ok(())
    }
}

/// Several sources, among which series are dealt out by their stable hash, as shards have them.
#[derive(Clone, Debug)]
pub struct LocalScatter {
    pub sources: Vec<MemSource>,
    /// Scans that were run: what a test of a rewrite looks at.
    pub scan_count: Cell<usize>,
    turns: NoPause,
}

impl LocalScatter {
    pub fn new(source_count: usize) -> LocalScatter {
        let sources = vec![MemSource::default(); source_count];
        LocalScatter { sources, scan_count: Cell::new(0), turns: NoPause }
    }

    /// The series of `lines`, written as in the language's test scripts, a value every ten seconds
    /// from zero on.
    ///
    /// # Panics
    ///
    /// When a line is no series.
    pub fn load(lines: &[&str], source_count: usize) -> LocalScatter {
        let mut scatter = LocalScatter::new(source_count);
        for line in lines {
            let (labels, values) = parse_series_description(line).expect("a series");
            for (index, value) in expand(&values).expect("samples").into_iter().enumerate() {
                let sample = match value {
                    Element::Omitted => continue,
                    Element::Float(value) => Sample::Float(value),
                    Element::Histogram { histogram, .. } => Sample::Histogram(histogram),
                };
                scatter.append_sample(&labels, index as i64 * 10_000, 0, sample);
            }
        }
        scatter
    }

    pub fn append(&mut self, labels: &Labels, timestamp_ms: i64, value: f64) {
        self.append_sample(labels, timestamp_ms, 0, Sample::Float(value));
    }

    /// As [`MemSource::append_sample`].
    pub fn append_sample(
        &mut self,
        labels: &Labels,
        timestamp_ms: i64,
        start_ms: i64,
        sample: Sample,
    ) {
        let source = labels.as_ref().stable_hash() % self.sources.len() as u64;
        self.sources[source as usize].append_sample(labels, timestamp_ms, start_ms, sample);
    }
}

impl Scatter for LocalScatter {
    async fn run(&self, ask: Arc<Ask>) -> Result<Vec<Vec<Result<Partial, ExecError>>>, ExecError> {
        self.scan_count.set(self.scan_count.get() + ask.scans.len());
        let mut answers = Vec::new();
        for source in &self.sources {
            answers.push(run_ask(source, &ask, &self.turns).await);
        }
        Ok(answers)
    }

    fn turns(&self) -> &impl Turns {
        &self.turns
    }
}

/// Runs a future that never waits for anything outside.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let std::task::Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}
