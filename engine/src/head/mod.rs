//! The newest data of one shard: series, their labels, their samples, in memory.
//!
//! ```text
//! table    hash of the labels -> handle of a set       one line a lookup
//! index    handle -> id, pairs of labels               one line, verified byte by byte
//! open     id -> newest sample, open chunk             32 bytes: all that an append touches
//! slots    samples of open chunks that are not constant
//! sealed   id -> encoded chunks                        touched once in 64 to 120 samples; no memory before
//! aside    id -> native histograms, start timestamps   touched by series that have some
//! late     id -> samples out of order                  the same
//! index    labels -> ids, id -> labels                 touched by new series and by queries
//! ```
//!
//! Ids are dense and given in order; the id of a series that retention removed is not given again
//! while the process lives. A series' samples ascend strictly by timestamp; its sealed chunks lie
//! before its open one.
//!
//! Memory latency is what an append costs, so a batch goes through in groups, and each group in
//! passes that ask for the next pass's lines: see `append.rs`.
//!
//! Not here: the log (`wal`, and `store` which writes it), files.

mod append;
mod append_aside;
mod append_known;
mod aside;
mod exemplars;
mod expire;
mod flush;
mod histograms;
mod late;
mod lateness;
mod metadata;
mod open;
mod read;
mod restore;
mod sealed;
mod starts;
mod table;
#[cfg(test)]
mod tests;
mod verdict;

pub use append::{AppendBounds, AppendOutcome};
pub use append_known::KnownOutcome;
pub use exemplars::{
    ExemplarCounts, ExemplarRing, ExemplarVerdict, ExemplarsByLabels, SeriesExemplars,
    StoredExemplar,
};
pub use expire::Expired;
pub use flush::Flushed;
pub use late::LateSamples;
pub use lateness::{LATENESS_BOUNDS_MS, Lateness};
pub use metadata::{Metadata, MetadataStore};
pub use restore::{Newest, newest_of};
pub use verdict::{Refusal, Verdict};

use crate::encode;
use crate::index::Index;
use crate::limits::SERIES_COUNT_MAX;
use crate::mem::{Column, SlotPool};
use crate::model::{LabelsRef, SeriesId};
use aside::Asides;
use late::Lates;
use open::Open;
use sealed::SealedChunks;
use table::Table;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadOptions {
    /// Series of this shard at most. Known series go on when it is reached.
    pub series_count_max: usize,
    /// Half of this behind the newest sample of the shard is as far back as a sample may be.
    /// Prometheus's block range: two hours.
    pub chunk_range_ms: i64,
}

impl Default for HeadOptions {
    fn default() -> Self {
        HeadOptions { series_count_max: SERIES_COUNT_MAX, chunk_range_ms: 2 * 60 * 60 * 1000 }
    }
}

#[derive(Debug)]
pub struct Head {
    options: HeadOptions,
    table: Table,
    /// The labels of all series, and which series have which; holds exactly the series that were not
    /// removed.
    index: Index,
    /// By series id.
    open: Column<Open>,
    slots: SlotPool,
    sealed: SealedChunks,
    aside: Asides,
    late: Lates,
    lateness: Lateness,
    /// How far behind the newest sample late ones are taken; zero: none are.
    late_window_ms: i64,
    /// Series that were not removed.
    live_count: usize,
    /// Batches may make series.
    takes_series: bool,
    /// Oldest and newest sample accepted and not expired; crossed while there is none.
    min_ms: i64,
    max_ms: i64,
    /// Newest sample of the process, as far as this shard was told; the lowest timestamp: nothing.
    told_newest_ms: i64,
    /// Samples before this are refused, whatever the newest is: retention has passed it.
    floor_ms: i64,
    /// Counts how often the log began to name series anew, from one: a fresh series is in none.
    log_round: u16,
    work: Work,
}

/// Room kept between calls, so that they allocate nothing.
#[derive(Debug, Default)]
struct Work {
    candidates: Vec<u32>,
    timestamps_ms: Vec<i64>,
    values: Vec<f64>,
    integers: Vec<i64>,
    columns: encode::Columns,
    chunk: Vec<u8>,
    labels: Vec<u8>,
}

/// Bytes of memory by what they hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeadBytes {
    pub labels: usize,
    pub index: usize,
    pub table: usize,
    /// Column of fixed width: an entry a series.
    pub series: usize,
    pub open_chunks: usize,
    pub sealed_chunks: usize,
    pub chunk_lists: usize,
    /// Native histograms, start timestamps, late samples.
    pub aside: usize,
}

impl HeadBytes {
    /// Each with its name.
    pub fn parts(&self) -> [(&'static str, usize); 8] {
        [
            ("labels", self.labels),
            ("index", self.index),
            ("table", self.table),
            ("series", self.series),
            ("open chunks", self.open_chunks),
            ("sealed chunks", self.sealed_chunks),
            ("chunk lists", self.chunk_lists),
            ("aside", self.aside),
        ]
    }

    pub fn total(&self) -> usize {
        self.parts().iter().map(|(_, bytes)| bytes).sum()
    }
}

impl std::ops::AddAssign for HeadBytes {
    fn add_assign(&mut self, other: HeadBytes) {
        self.labels += other.labels;
        self.index += other.index;
        self.table += other.table;
        self.series += other.series;
        self.open_chunks += other.open_chunks;
        self.sealed_chunks += other.sealed_chunks;
        self.chunk_lists += other.chunk_lists;
        self.aside += other.aside;
    }
}

impl Head {
    pub fn new(options: HeadOptions) -> Self {
        assert!(options.series_count_max <= SERIES_COUNT_MAX);
        assert!(options.chunk_range_ms > 0);
        Head {
            options,
            table: Table::default(),
            index: Index::default(),
            open: Column::default(),
            slots: SlotPool::default(),
            sealed: SealedChunks::default(),
            aside: Asides::default(),
            late: Lates::default(),
            lateness: Lateness::default(),
            late_window_ms: 0,
            live_count: 0,
            takes_series: true,
            min_ms: i64::MAX,
            max_ms: i64::MIN,
            told_newest_ms: i64::MIN,
            floor_ms: i64::MIN,
            log_round: 1,
            work: Work::default(),
        }
    }

    /// Series that have not been removed.
    pub fn series_count(&self) -> usize {
        self.live_count
    }

    /// Ids given so far: every id is below.
    pub fn id_count(&self) -> usize {
        self.open.len()
    }

    /// Sealed chunks and runs of native histograms; open chunks that have samples are one more each.
    pub fn sealed_chunk_count(&self) -> usize {
        self.sealed.chunk_count() + self.aside.run_count + self.late.chunk_count()
    }

    /// Bytes of sealed chunks as encoded.
    pub fn sealed_chunk_bytes(&self) -> usize {
        self.sealed.chunk_bytes()
    }

    /// Timestamps of the oldest and the newest sample; `None` before the first one.
    pub fn time_span_ms(&self) -> Option<(i64, i64)> {
        (self.min_ms <= self.max_ms).then_some((self.min_ms, self.max_ms))
    }

    /// Whether the series is there: it was made, and not removed since.
    pub fn has(&self, series: SeriesId) -> bool {
        self.index.contains(series.0)
    }

    /// The labels of a series, written to `buffer`; `None` when it was removed or never was.
    pub fn labels<'b>(&self, series: SeriesId, buffer: &'b mut Vec<u8>) -> Option<LabelsRef<'b>> {
        self.index.labels(series.0, buffer)
    }

    /// The index of all series that were not removed.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// The series with these labels.
    pub fn find(&self, labels: LabelsRef<'_>) -> Option<SeriesId> {
        self.find_hashed(labels, labels.stable_hash())
    }

    fn find_hashed(&self, labels: LabelsRef<'_>, hash: u64) -> Option<SeriesId> {
        let handle = self.table.find(hash, |handle| self.index.is_set(handle, labels))?;
        Some(SeriesId(self.index.series_of(handle)))
    }

    /// Another shard has a sample of this time: from now on the bound of old samples lies behind it,
    /// as if all shards were one.
    pub fn tell_newest(&mut self, newest_ms: i64) {
        self.told_newest_ms = self.told_newest_ms.max(newest_ms);
    }

    /// Takes samples out of order that are at most so much older than the newest one; zero: none.
    /// May change at any time. What was taken stays.
    pub fn set_late_window(&mut self, window_ms: i64) {
        self.late_window_ms = window_ms.max(0);
    }

    /// How late samples out of order were, all that batches had.
    pub fn lateness(&self) -> Lateness {
        self.lateness
    }

    /// Whether a batch may make series. Those that are there go on either way, and so does whatever
    /// is read back.
    pub fn set_takes_series(&mut self, takes_series: bool) {
        self.takes_series = takes_series;
    }

    /// From now on every series counts as unknown to the log, and is named with its labels at its
    /// next sample: see [`AppendOutcome`].
    pub fn begin_log_round(&mut self) {
        self.log_round = self.log_round.checked_add(1).unwrap_or_else(|| {
            self.open.iter_mut().for_each(|open| open.logged_in = 0);
            1
        });
    }

    /// Gives back memory that is kept for what comes next: called now and then, so that little is done
    /// about a slot that is taken and given back in turn.
    pub fn release_idle(&mut self) {
        self.table.release_idle();
        self.slots.release_idle();
        self.sealed.release_idle();
        self.index.release_idle();
    }

    /// Memory in use. O(arena blocks and what the index needs to count).
    pub fn bytes(&self) -> HeadBytes {
        let (sealed_chunks, chunk_lists) = self.sealed.bytes();
        let (labels, index) = self.index.bytes();
        HeadBytes {
            labels,
            index,
            table: self.table.bytes(),
            series: self.open.bytes(),
            open_chunks: self.slots.bytes(),
            sealed_chunks,
            chunk_lists,
            aside: self.aside.bytes() + self.late.bytes(),
        }
    }

    /// Encodes the open chunk of a series, if it has samples, and puts it behind the sealed ones.
    fn seal(&mut self, series: usize) {
        if self.open[series].count() == 0 {
            return;
        }
        self.encode_open(series);
        self.open[series].clear(&mut self.slots);
        let Work { timestamps_ms, chunk, .. } = &self.work;
        self.sealed.push(series, timestamps_ms[0], chunk);
    }

    /// Encodes the open chunk of a series, which is not empty, into the chunk of `work`, and its times
    /// there.
    fn encode_open(&mut self, series: usize) {
        let open = &self.open[series];
        let Work { timestamps_ms, values, integers, columns, chunk, .. } = &mut self.work;
        chunk.clear();
        // Most chunks hold integers already: they need not become doubles and be found once more.
        let is_encoded =
            open.read_decimals(&self.slots, timestamps_ms, integers).is_some_and(|exponent| {
                encode::encode_decimals(timestamps_ms, integers, exponent, columns, chunk)
            });
        if !is_encoded {
            timestamps_ms.clear();
            values.clear();
            open.read(&self.slots, i64::MIN, timestamps_ms, values);
            encode::encode(timestamps_ms, values, columns, chunk);
        }
    }

    fn assert_columns(&self) {
        assert!(self.live_count <= self.open.len());
    }
}
