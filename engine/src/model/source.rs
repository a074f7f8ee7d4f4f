//! Where an evaluation gets its series and samples from, and where it pauses.
//!
//! `store` is a source; the tests' naive store is another. All calls are synchronous and short;
//! between two batches of them the executor asks its [`Turns`] whether to pause, so that a query
//! never holds a shard. Nothing borrowed from a source lives across a pause: series are named by
//! id, and an id stays valid as long as the query runs.
//!
//! It stands here and not in `exec`, because `store` implements it and comes before `exec`.

use super::{Labels, LabelsRef, Matcher, SeriesId};

/// Timestamps `min_ms..=max_ms`, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    pub min_ms: i64,
    pub max_ms: i64,
}

/// Samples of one series, ascending by timestamp, no two of the same timestamp. Float samples
/// only; staleness markers are among them, by bits.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    pub timestamps_ms: Vec<i64>,
    pub values: Vec<f64>,
}

impl Samples {
    pub fn clear(&mut self) {
        self.timestamps_ms.clear();
        self.values.clear();
    }
}

/// What a source could not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceError {
    pub message: String,
}

pub trait Source {
    /// The series that match all of `matchers` and may have samples in `range`, in ascending
    /// order of id.
    fn select(&self, matchers: &[Matcher], range: TimeRange) -> Result<Vec<SeriesId>, SourceError>;

    /// Calls `f` with the labels of `series`. (A call instead of a return value, so that a source
    /// behind a cell can lend from its arena.)
    fn with_labels(&self, series: SeriesId, f: &mut dyn FnMut(LabelsRef<'_>));

    /// Appends the samples of `series` in `range` to `out`.
    fn samples(
        &self,
        series: SeriesId,
        range: TimeRange,
        out: &mut Samples,
    ) -> Result<(), SourceError>;

    /// Says that the samples of these series will be asked for next: some tens at a time, so that
    /// their memory arrives together. A hint.
    fn prefetch(&self, _series: &[SeriesId]) {}

    fn labels(&self, series: SeriesId) -> Labels {
        let mut labels = Labels::default();
        self.with_labels(series, &mut |lent| labels = lent.to_owned());
        labels
    }
}

/// Where CPU-heavy work gives its shard back.
///
/// The executor calls `spend` after each batch with the work done, in units of about one decoded
/// sample; when it answers true, the turn is over and the executor awaits `pause`, which may also
/// end the query (deadline passed, cancelled).
pub trait Turns {
    fn spend(&self, work: usize) -> bool;

    fn pause(&self) -> impl Future<Output = Result<(), Interrupted>>;
}

/// Why a query was ended from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupted {
    /// Its deadline passed.
    TimedOut,
    /// The client went away, or someone cancelled it.
    Canceled,
}

/// For tests and tools: never pauses.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPause;

impl Turns for NoPause {
    fn spend(&self, _work: usize) -> bool {
        false
    }

    async fn pause(&self) -> Result<(), Interrupted> {
        Ok(())
    }
}
