//! Where an evaluation gets its series and samples from, and where it pauses.
//!
//! `store` is a source; the tests' naive store is another. All calls are synchronous and short;
//! between two batches of them the executor asks its [`Turns`] whether to pause, so that a query
//! never holds a shard. Nothing borrowed from a source lives across a pause: series are named by
//! id, and an id stays valid as long as the query runs.
//!
//! It stands here and not in `exec`, because `store` implements it and comes before `exec`.

use std::ops::Range;

use super::{FloatHistogram, KeptLabels, LabelKeys, LabelsRef, Matcher, SeriesId};

/// Timestamps `min_ms..=max_ms`, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    pub min_ms: i64,
    pub max_ms: i64,
}

/// Samples of one series: floats and native histograms apart, each ascending by timestamp; no
/// timestamp stands twice, neither in one of them nor in both. Staleness markers are among them: a
/// float by its bits, a histogram by those of its sum.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    pub timestamps_ms: Vec<i64>,
    pub values: Vec<f64>,
    /// Start timestamps of the floats, zero where unknown. Empty when none has one, else as long
    /// as `values`.
    pub starts_ms: Vec<i64>,
    pub histogram_timestamps_ms: Vec<i64>,
    pub histograms: Vec<FloatHistogram>,
    /// As `starts_ms`, of the histograms.
    pub histogram_starts_ms: Vec<i64>,
}

impl Samples {
    pub fn clear(&mut self) {
        self.timestamps_ms.clear();
        self.values.clear();
        self.starts_ms.clear();
        self.histogram_timestamps_ms.clear();
        self.histograms.clear();
        self.histogram_starts_ms.clear();
    }

    /// Samples of both kinds.
    pub fn len(&self) -> usize {
        self.values.len() + self.histograms.len()
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty() && self.histograms.is_empty()
    }
}

/// What a source could not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceError {
    pub message: String,
}

/// The series that a selection found, by position. It keeps alive what it names.
pub trait Selection {
    fn len(&self) -> usize;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Selection for Vec<SeriesId> {
    fn len(&self) -> usize {
        self.as_slice().len()
    }
}

/// What of some series will be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touched {
    /// Of the samples in a range only the newest of each series.
    pub newest_only: bool,
    /// Labels, or keys of them.
    pub labels: bool,
}

impl Touched {
    /// All that there is.
    pub const ALL: Touched = Touched { newest_only: false, labels: true };
}

pub trait Source {
    type Selection: Selection;

    /// Begins to select the series that match all of `matchers` and may have samples in `range`: each
    /// label set once, in no particular order. They are there when [`Source::select_more`] says so; series
    /// that come or go before may be among them or not.
    fn begin_select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Self::Selection, SourceError>;

    /// Goes on with a selection, a short while. Returns what that cost, in decoded samples; `None` when
    /// it is complete.
    fn select_more(&self, _selection: &mut Self::Selection) -> Result<Option<usize>, SourceError> {
        Ok(None)
    }

    /// All of a selection at once: for whoever shares nothing.
    fn select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Self::Selection, SourceError> {
        let mut selection = self.begin_select(matchers, range)?;
        while self.select_more(&mut selection)?.is_some() {}
        Ok(selection)
    }

    /// Calls `f` with the labels of the series at `index` of a selection; not at all when the
    /// series was removed since. (A call instead of a return value, so that a source behind a cell
    /// can lend from its arena.)
    ///
    /// Errors: they cannot be read.
    fn with_labels(
        &self,
        selection: &Self::Selection,
        index: usize,
        f: &mut dyn FnMut(LabelsRef<'_>),
    ) -> Result<(), SourceError>;

    /// Appends the samples in `range` of the series at `index` to `out`.
    fn samples(
        &self,
        selection: &Self::Selection,
        index: usize,
        range: TimeRange,
        out: &mut Samples,
    ) -> Result<(), SourceError>;

    /// As [`Source::samples`] of the series at `indexes`, one after the other: the floats of each end in
    /// `out` where `ends` says. With `newest_only` there may be others before the newest of each, or not.
    fn samples_of(
        &self,
        selection: &Self::Selection,
        indexes: Range<usize>,
        range: TimeRange,
        _newest_only: bool,
        out: &mut Samples,
        ends: &mut Vec<usize>,
    ) -> Result<(), SourceError> {
        for index in indexes {
            self.samples(selection, index, range, out)?;
            ends.push(out.values.len());
        }
        Ok(())
    }

    /// Keys of what `kept` keeps of the labels of the series at `indexes`, as far as the source has
    /// them.
    fn label_keys(
        &self,
        _selection: &Self::Selection,
        indexes: Range<usize>,
        _kept: &KeptLabels,
        out: &mut LabelKeys,
    ) {
        out.clear();
        indexes.for_each(|_| out.push(|_, _| false));
    }

    /// Brings the samples in `range` of some tens of series to where [`Source::samples`] reads them
    /// without waiting: from disk to memory, from memory to the cache.
    fn warm(
        &self,
        _selection: &Self::Selection,
        _indexes: Range<usize>,
        _range: TimeRange,
        _touched: Touched,
    ) -> impl Future<Output = Result<(), SourceError>> {
        std::future::ready(Ok(()))
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
