//! One shard's data as one thing: append, select, recover.
//!
//! ```text
//! batch -> head (judged, in memory) -> one frame of the log, in the caller's buffer
//! log   -> replay -> head
//! query -> index -> ids -> samples from the head
//! ```
//!
//! The caller writes frames in the order they were made, begins a segment before the first, and
//! acknowledges a request when its frame is durable. Samples can be read as soon as they are
//! appended. Nothing here reads a clock or a file.

mod adopt;
mod block_heads;
mod blocks;
mod combine;
#[cfg(test)]
mod delete_tests;
mod deletion;
mod exemplars;
mod flush;
#[cfg(test)]
mod flush_tests;
mod guests;
mod import;
mod lookup;
#[cfg(test)]
mod lookup_tests;
mod matching;
#[cfg(test)]
mod mixed_tests;
mod replay;
mod restore;
mod select;
mod selecting;
#[cfg(test)]
mod selecting_tests;
mod selection;
#[cfg(test)]
mod tests;

pub use adopt::Adopt;
pub use blocks::OpenBlock;
pub use deletion::{Deleted, Deletion};
pub use exemplars::{ExemplarLookup, ExemplarReport};
pub use flush::Flush;
pub use guests::OpenGuest;
pub use import::{Import, ImportReport, ImportedLog};
pub use lookup::{Lookup, Wanted, pair_count};
pub use replay::{Flushed, LostRange, ReplayReport, SegmentReplay};
pub use restore::Restore;
pub use select::HeadStats;
pub use selection::StoreSelection;

use std::sync::Arc;

use block_heads::BlockHeads;
use flush::Parts;

use crate::block::part::PartTombstones;
use crate::head::{
    AppendBounds, AppendOutcome, ExemplarRing, Expired, Head, HeadBytes, HeadOptions, KnownOutcome,
    MetadataStore, Refusal,
};
use crate::model::{Batch, KnownSamples, SeriesId};
use crate::wal::{
    Chain, FrameWriter, HistogramColumns, LoggedExemplar, MetadataRecord, SampleColumns,
    SegmentHeader, WhenColumns,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    pub shard: u16,
    pub shard_count: u16,
    pub head: HeadOptions,
}

impl Default for StoreOptions {
    fn default() -> Self {
        StoreOptions { shard: 0, shard_count: 1, head: HeadOptions::default() }
    }
}

/// Labels take at most one part in this many of the log, new series aside. Raising it lets a damaged
/// frame orphan the samples of its new series for longer, and removes segments later.
const LABELS_EVERY: usize = 8;

/// What became of one request's part for this shard.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AppendReport {
    /// Samples stored.
    pub accepted_count: usize,
    /// Of these, samples out of order.
    pub late_count: usize,
    /// Samples of both kinds that were there already: success, nothing stored.
    pub repeated_count: usize,
    /// Samples of series known by id that were not plain, ascending by their index: nothing of them
    /// was stored, the writer is to come again with labels.
    pub open: Vec<u32>,
    /// Nothing of the whole request was judged or stored, because a series stands in it both by its
    /// labels and by its id: the writer is to come again with labels for all of it, in its order.
    pub is_left: bool,
    pub new_series_count: usize,
    /// Samples refused, ascending by their index in the batch.
    pub refused: Vec<Refusal>,
    /// Native histograms stored, and those refused, ascending by their index in the batch.
    pub accepted_histogram_count: usize,
    pub late_histogram_count: usize,
    pub refused_histograms: Vec<Refusal>,
    pub exemplars: ExemplarReport,
    /// LSN of the frame that must be durable before the request is acknowledged; `None` when there
    /// was nothing to log.
    pub lsn: Option<u64>,
}

/// Bytes of memory by what they hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreBytes {
    pub head: HeadBytes,
    pub metadata: usize,
}

#[derive(Debug)]
pub struct Store {
    options: StoreOptions,
    head: Head,
    metadata: MetadataStore,
    parts: Parts,
    exemplars: ExemplarRing,
    /// By time, the oldest first.
    blocks: Vec<OpenBlock>,
    block_heads: BlockHeads,
    /// Blocks of Prometheus, by time.
    guests: Vec<OpenGuest>,
    head_tombstones: Arc<PartTombstones>,
    chain: Chain,
    /// Starts of the process on this log: one more than the replayed segments say.
    epoch: u32,
    /// Bytes of frames since labels were begun to be logged anew.
    bytes_since_labels: usize,
    replay: replay::ReplayState,
    outcome: AppendOutcome,
    known_outcome: KnownOutcome,
    work: LogColumns,
    label_buffer: Vec<u8>,
}

/// Columns of a samples record, kept between calls.
#[derive(Debug, Default)]
struct LogColumns {
    series: Vec<u32>,
    timestamps_ms: Vec<i64>,
    values: Vec<f64>,
    starts_ms: Vec<i64>,
}

impl LogColumns {
    fn clear(&mut self) {
        self.series.clear();
        self.timestamps_ms.clear();
        self.values.clear();
        self.starts_ms.clear();
    }

    fn when(&self) -> WhenColumns<'_> {
        WhenColumns {
            series: &self.series,
            timestamps_ms: &self.timestamps_ms,
            starts_ms: &self.starts_ms,
            is_out_of_order: false,
        }
    }

    fn late(&self) -> WhenColumns<'_> {
        WhenColumns { is_out_of_order: true, ..self.when() }
    }
}

impl Store {
    pub fn new(options: StoreOptions) -> Self {
        Store {
            options,
            head: Head::new(options.head),
            metadata: MetadataStore::default(),
            parts: Parts::default(),
            exemplars: ExemplarRing::default(),
            blocks: vec![],
            block_heads: BlockHeads::default(),
            guests: vec![],
            head_tombstones: Arc::default(),
            chain: Chain::default(),
            epoch: 0,
            bytes_since_labels: usize::MAX, // Due at once.
            replay: replay::ReplayState::default(),
            outcome: AppendOutcome::default(),
            known_outcome: KnownOutcome::default(),
            work: LogColumns::default(),
            label_buffer: vec![],
        }
    }

    pub fn head(&self) -> &Head {
        &self.head
    }

    /// See [`Head::tell_newest`].
    pub fn tell_newest(&mut self, newest_ms: i64) {
        self.head.tell_newest(newest_ms);
    }

    /// See [`Head::set_late_window`].
    pub fn set_late_window(&mut self, window_ms: i64) {
        self.head.set_late_window(window_ms);
    }

    /// See [`Head::set_takes_series`].
    pub fn set_takes_series(&mut self, takes_series: bool) {
        self.head.set_takes_series(takes_series);
    }

    pub fn metadata(&self) -> &MetadataStore {
        &self.metadata
    }

    /// Where the log stands: the LSN of the next frame and the checksum it will name.
    pub fn chain(&self) -> Chain {
        self.chain
    }

    /// Begins the log's next segment: appends its header to `out`; otherwise as
    /// [`Store::forget_logged`]. Frames appended before this call belong into the former segment.
    pub fn begin_segment(&mut self, segment: u64, out: &mut Vec<u8>) -> SegmentHeader {
        self.forget_logged();
        let header = SegmentHeader {
            shard: self.options.shard,
            shard_count: self.options.shard_count,
            epoch: self.epoch,
            segment,
            first_lsn: self.chain.next_lsn,
            previous_crc: self.chain.last_crc,
        };
        header.encode(out);
        header
    }

    /// The next frame is the first of a segment whose header someone else wrote.
    ///
    /// Whether the labels of series are logged anew from here on, each with its series' next sample:
    /// then this segment and the later ones need no earlier one. That is so in the first segment of
    /// an epoch, and whenever the log has grown by [`LABELS_EVERY`] times the bytes of all labels
    /// since: in every segment it would cost more than the samples when series are many.
    pub fn forget_logged(&mut self) -> bool {
        self.replay.end();
        let is_due = self.bytes_since_labels >= LABELS_EVERY * self.head.index().text_bytes();
        if is_due {
            self.head.begin_log_round();
            self.bytes_since_labels = 0;
        }
        is_due
    }

    /// What the next segments say in their headers.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Judges and appends `batch`, and appends its frame to `frame_out` if anything is to be
    /// logged.
    ///
    /// Shapes: `frame_out` ends at a multiple of eight bytes of its segment (it does when only
    /// headers and frames are in it). Cost: see [`Head::append`], and about 5 ns a sample for the
    /// frame; allocates only as memory and the caller's buffer grow, and for refusals.
    pub fn append(
        &mut self,
        batch: &Batch,
        max_timestamp_ms: i64,
        frame_out: &mut Vec<u8>,
    ) -> AppendReport {
        let bounds = AppendBounds::until(max_timestamp_ms);
        self.append_all(batch, &KnownSamples::default(), bounds, frame_out)
    }

    /// As [`Store::append`], with samples of series that the writer knows by id: all in one frame.
    /// Of `known` only what is plain is stored, see [`Head::append_known`]; nothing of either where
    /// they have a series in common, see [`AppendReport::is_left`].
    pub fn append_all(
        &mut self,
        batch: &Batch,
        known: &KnownSamples,
        bounds: AppendBounds,
        frame_out: &mut Vec<u8>,
    ) -> AppendReport {
        if self.head.is_any_in_both(batch, known) {
            return AppendReport { is_left: true, ..AppendReport::default() };
        }
        self.head.append_known(known, bounds, &mut self.known_outcome);
        let mut outcome = std::mem::take(&mut self.outcome);
        self.head.append(batch, bounds, &mut outcome);
        let (exemplars, accepted_exemplars) =
            self.append_exemplars(batch, bounds.max_timestamp_ms, &mut outcome);
        let known_outcome = &self.known_outcome;
        let work = &mut self.work;
        work.clear();
        // What is all known and all accepted stands in its columns as the log wants it.
        let is_plain = batch.is_empty() && known_outcome.accepted.len() == known.len();
        let columns = if is_plain {
            let series = SeriesId::positions(&known.series);
            SampleColumns::plain(series, &known.timestamps_ms, &known.values)
        } else {
            gather_accepted(batch, &outcome, known, known_outcome, work)
        };
        let start = frame_out.len();
        let mut frame = FrameWriter::begin(frame_out).of_epoch(self.epoch);
        let unlogged = known_outcome.unlogged.iter().chain(&outcome.unlogged);
        frame.series(unlogged.map(|id| id.0), self.head.index());
        frame.samples(columns);
        if !outcome.late.is_empty() {
            log_late(&mut frame, batch, &outcome, work);
        }
        log_histograms(&mut frame, batch, &outcome, false, work);
        log_histograms(&mut frame, batch, &outcome, true, work);
        frame.exemplars(accepted_exemplars.iter().map(|accepted| LoggedExemplar {
            series: accepted.series.0,
            timestamp_ms: accepted.exemplar.timestamp_ms,
            value: accepted.exemplar.value,
            labels: accepted.exemplar.labels.as_ref(),
        }));
        let lsn = frame.finish(&mut self.chain);
        self.bytes_since_labels = self.bytes_since_labels.saturating_add(frame_out.len() - start);
        let report = AppendReport {
            accepted_count: self.known_outcome.accepted.len()
                + outcome.accepted.len()
                + outcome.late.len(),
            late_count: outcome.late.len(),
            repeated_count: self.known_outcome.repeated_count + outcome.repeated_count,
            open: std::mem::take(&mut self.known_outcome.open),
            is_left: false,
            new_series_count: outcome.new_series.len(),
            refused: std::mem::take(&mut outcome.refused),
            accepted_histogram_count: outcome.accepted_histograms.len()
                + outcome.late_histograms.len(),
            late_histogram_count: outcome.late_histograms.len(),
            refused_histograms: std::mem::take(&mut outcome.refused_histograms),
            exemplars,
            lsn,
        };
        self.outcome = outcome;
        report
    }

    /// Ids of the series of the batch appended last, by their index in it; `None` where the series
    /// was not made. Until it is removed, a series may be known by its id.
    pub fn appended_series(&self) -> impl Iterator<Item = Option<SeriesId>> {
        self.outcome.ids()
    }

    /// Most bytes that [`Store::append_all`] appends.
    pub fn frame_bytes_max(&self, batch: &Batch, known: &KnownSamples) -> usize {
        let each = FrameWriter::known_bytes_max(self.head.index().text_bytes_longest());
        FrameWriter::bytes_max(batch) + known.len() * each
    }

    /// Replaces what is known about metric families, and appends a frame with what changed.
    /// Returns its LSN; `None` when nothing changed.
    pub fn append_metadata<'a>(
        &mut self,
        records: impl IntoIterator<Item = MetadataRecord<'a>>,
        frame_out: &mut Vec<u8>,
    ) -> Option<u64> {
        let mut frame = FrameWriter::begin(frame_out);
        for record in records {
            if self.metadata.set(record.family, record.kind, record.help, record.unit) {
                frame.metadata(record);
            }
        }
        frame.finish(&mut self.chain)
    }

    /// Appends a frame with all metadata: so that segments before it may be removed.
    pub fn log_all_metadata(&mut self, frame_out: &mut Vec<u8>) -> Option<u64> {
        let mut frame = FrameWriter::begin(frame_out);
        for (family, metadata) in self.metadata.iter() {
            let (kind, help, unit) = (&*metadata.kind, &*metadata.help, &*metadata.unit);
            frame.metadata(MetadataRecord { family, kind, help, unit });
        }
        frame.finish(&mut self.chain)
    }

    /// Forgets chunks and series that are older than `before_ms`; see [`Head::expire`].
    pub fn expire(&mut self, before_ms: i64) -> Expired {
        let expired = self.head.expire(before_ms);
        self.parts.note_removed(&expired.series);
        expired
    }

    /// Puts series that had no sample since `before_ms` into less memory; see [`Head::seal_idle`].
    pub fn seal_idle(&mut self, before_ms: i64) -> usize {
        self.head.seal_idle(before_ms)
    }

    /// Gives back memory that is kept for what comes next; see [`Head::release_idle`].
    pub fn release_idle(&mut self) {
        self.head.release_idle();
    }

    /// Memory in use.
    pub fn bytes(&self) -> StoreBytes {
        StoreBytes { head: self.head.bytes(), metadata: self.metadata.bytes() }
    }
}

/// The accepted samples of both kinds, those of known series first, as columns in `work`.
fn gather_accepted<'w>(
    batch: &Batch,
    outcome: &AppendOutcome,
    known: &KnownSamples,
    known_outcome: &KnownOutcome,
    work: &'w mut LogColumns,
) -> SampleColumns<'w> {
    for &sample in &known_outcome.accepted {
        let sample = sample as usize;
        work.series.push(known.series[sample].0);
        work.timestamps_ms.push(known.timestamps_ms[sample]);
        work.values.push(known.values[sample]);
    }
    for &sample in &outcome.accepted {
        work.series.push(outcome.series_of(batch, sample).0);
        work.timestamps_ms.push(batch.timestamps_ms()[sample as usize]);
        work.values.push(batch.values()[sample as usize]);
    }
    if batch.has_starts() {
        work.starts_ms.resize(known_outcome.accepted.len(), 0);
        let accepted = outcome.accepted.iter();
        work.starts_ms.extend(accepted.map(|&sample| batch.start_ms(sample as usize)));
    }
    SampleColumns { when: work.when(), values: &work.values }
}

/// Adds the late floats of a batch to its frame.
#[cold]
fn log_late(
    frame: &mut FrameWriter<'_>,
    batch: &Batch,
    outcome: &AppendOutcome,
    work: &mut LogColumns,
) {
    work.clear();
    for &sample in &outcome.late {
        work.series.push(outcome.series_of(batch, sample).0);
        work.timestamps_ms.push(batch.timestamps_ms()[sample as usize]);
        work.values.push(batch.values()[sample as usize]);
        if batch.has_starts() {
            work.starts_ms.push(batch.start_ms(sample as usize));
        }
    }
    frame.samples(SampleColumns { when: work.late(), values: &work.values });
}

/// Adds the accepted histograms of a batch to its frame: those in order, or the late ones.
fn log_histograms(
    frame: &mut FrameWriter<'_>,
    batch: &Batch,
    outcome: &AppendOutcome,
    is_late: bool,
    work: &mut LogColumns,
) {
    let accepted = if is_late { &outcome.late_histograms } else { &outcome.accepted_histograms };
    if accepted.is_empty() {
        return;
    }
    work.clear();
    let mut histograms = vec![];
    for &index in accepted {
        work.series.push(outcome.series_of_histogram(batch, index).0);
        work.timestamps_ms.push(batch.histogram_timestamps_ms()[index as usize]);
        if batch.has_starts() {
            work.starts_ms.push(batch.histogram_start_ms(index as usize));
        }
        histograms.push(&batch.histograms()[index as usize]);
    }
    let when = if is_late { work.late() } else { work.when() };
    frame.histograms(HistogramColumns { when, histograms: &histograms });
}
