//! A naive source and a scatter over several of them: what tests and tools evaluate against.
//!
//! Nothing here is fast; everything is plain enough to be believed.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::index::CompiledMatcher;
use crate::model::source::{NoPause, Turns};
use crate::model::{Labels, LabelsRef, Matcher, Samples, SeriesId, Source, SourceError, TimeRange};
use crate::plan::ShardPart;

use super::error::ExecError;
use super::gather::Scatter;
use super::scan::{Partial, run_part};

/// Series as maps from time to value.
#[derive(Clone, Debug, Default)]
pub struct MemSource {
    series: Vec<(Labels, BTreeMap<i64, f64>)>,
}

impl MemSource {
    /// Adds a sample; one of the same time is replaced.
    pub fn append(&mut self, labels: &Labels, timestamp_ms: i64, value: f64) {
        let known = self.series.iter_mut().find(|(known, _)| known == labels);
        let samples = match known {
            Some((_, samples)) => samples,
            None => {
                self.series.push((labels.clone(), BTreeMap::new()));
                &mut self.series.last_mut().expect("just pushed").1
            }
        };
        samples.insert(timestamp_ms, value);
    }
}

impl Source for MemSource {
    type Selection = Vec<SeriesId>;

    fn select(&self, matchers: &[Matcher], range: TimeRange) -> Result<Vec<SeriesId>, SourceError> {
        let compiled = CompiledMatcher::compile(matchers)
            .map_err(|error| SourceError { message: error.to_string() })?;
        let is_selected = |(labels, samples): &(Labels, BTreeMap<i64, f64>)| {
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
    ) {
        f(self.series[selection[index].index()].0.as_ref());
    }

    fn samples(
        &self,
        selection: &Vec<SeriesId>,
        index: usize,
        range: TimeRange,
        out: &mut Samples,
    ) -> Result<(), SourceError> {
        for (&timestamp_ms, &value) in
            self.series[selection[index].index()].1.range(range.min_ms..=range.max_ms)
        {
            out.timestamps_ms.push(timestamp_ms);
            out.values.push(value);
        }
        Ok(())
    }
}

/// Several sources, among which series are dealt out by their stable hash, as shards have them.
#[derive(Clone, Debug)]
pub struct LocalScatter {
    pub sources: Vec<MemSource>,
    /// Parts that were run: what a test of a rewrite looks at.
    pub part_count: Cell<usize>,
    turns: NoPause,
}

impl LocalScatter {
    pub fn new(source_count: usize) -> LocalScatter {
        let sources = vec![MemSource::default(); source_count];
        LocalScatter { sources, part_count: Cell::new(0), turns: NoPause }
    }

    pub fn append(&mut self, labels: &Labels, timestamp_ms: i64, value: f64) {
        let source = labels.as_ref().stable_hash() % self.sources.len() as u64;
        self.sources[source as usize].append(labels, timestamp_ms, value);
    }
}

impl Scatter for LocalScatter {
    async fn run(&self, part: Arc<ShardPart>) -> Result<Vec<Partial>, ExecError> {
        self.part_count.set(self.part_count.get() + 1);
        let mut partials = Vec::new();
        for source in &self.sources {
            partials.push(run_part(source, &part, &self.turns).await?);
        }
        Ok(partials)
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
