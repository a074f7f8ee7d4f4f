//! From the bytes of the log back to the store.

use super::Store;
use crate::block::part::PartTombstones;
use crate::head::{Head, StoredExemplar};
use crate::model::{HistogramSample, SeriesId};
use crate::wal::{
    Chain, Damage, DamageKind, DecodedWhen, Event, ExemplarsRecord, Frame, HistogramsRecord,
    LabelSet, LoggedExemplar, Record, Records, Replay, SamplesRecord, SegmentError, SegmentHeader,
};

/// Ids of a page of [`IdMap`].
const PAGE_COUNT: usize = 4096;

const UNKNOWN: u32 = u32::MAX;

/// What the replay of one segment did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplayReport {
    pub frame_count: usize,
    /// Samples read.
    pub sample_count: usize,
    /// Of these, samples that were new.
    pub appended_count: usize,
    /// Samples whose series was in a damaged frame: lost with it.
    pub orphaned_count: usize,
    /// Samples of series that were refused, because the shard has as many as it may.
    pub refused_count: usize,
    /// Records of types that a later version writes.
    pub unknown_record_count: usize,
    /// Records that a whole frame holds and that do not parse.
    pub malformed_count: usize,
    /// Timestamp of the newest sample in the segment.
    pub max_ms: Option<i64>,
    /// Offset behind the last whole frame.
    pub end_offset: usize,
    /// Places that could not be read.
    pub lost: Vec<LostRange>,
}

/// Damage, and what its neighbours say about the time of the samples lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostRange {
    pub damage: Damage,
    /// Newest timestamp in the last frame with samples before the damage.
    pub after_ms: Option<i64>,
    /// Newest timestamp in the first frame with samples behind it.
    pub before_ms: Option<i64>,
}

impl LostRange {
    /// Whether acknowledged data may be missing: a torn tail is what a crash leaves behind, and was
    /// never acknowledged.
    pub fn is_loss(&self) -> bool {
        self.damage.kind != DamageKind::TornTail
    }
}

/// A segment whose frames are replayed in pieces.
pub struct SegmentReplay<'a> {
    replay: Replay<'a>,
    report: ReplayReport,
}

impl SegmentReplay<'_> {
    /// What was done so far.
    pub fn report(&self) -> &ReplayReport {
        &self.report
    }
}

/// What parts hold of a log already, and where the log goes on behind them.
#[derive(Clone, Debug, Default)]
pub struct Flushed {
    /// Frames before this are in the parts.
    pub next_lsn: u64,
    /// The epoch in which the last part was written, and the head's id of each series that it
    /// knew: `(id in that epoch, id now)`, `None` for series of other shards. Later frames of that epoch need not name them.
    pub epoch: Option<u32>,
    pub ids: Vec<(u32, Option<SeriesId>)>,
    /// The log is of a former number of shards: what was deleted from own parts came later.
    pub is_former: bool,
}

/// What the replay of a log carries from segment to segment.
#[derive(Debug, Default)]
pub(super) struct ReplayState {
    ids: IdMap,
    /// Ids that frames of this epoch may use without naming them.
    flushed_ids: Option<(u32, IdMap)>,
    /// Frames before this are passed over.
    first_lsn: u64,
    /// See [`Flushed::is_former`].
    is_former: bool,
    /// Epoch of the record read last, whose ids `ids` has.
    epoch: Option<u32>,
    chain: Option<Chain>,
    set: LabelSet,
    when: DecodedWhen,
    /// Series of the samples that are kept.
    series: Vec<SeriesId>,
    values: Vec<f64>,
    histograms: Vec<HistogramSample>,
}

impl ReplayState {
    /// Gives the memory back: the log is read.
    pub(super) fn end(&mut self) {
        *self = ReplayState::default();
    }
}

/// From the log's series ids to the head's, in pages: an id costs a page at most, however large.
#[derive(Debug, Default)]
struct IdMap {
    pages: Vec<Option<Box<[u32]>>>,
}

impl IdMap {
    fn set(&mut self, wal_id: u32, id: u32) {
        let page = wal_id as usize / PAGE_COUNT;
        if self.pages.len() <= page {
            self.pages.resize(page + 1, None);
        }
        let ids = self.pages[page].get_or_insert_with(|| vec![UNKNOWN; PAGE_COUNT].into());
        ids[wal_id as usize % PAGE_COUNT] = id;
    }

    #[inline]
    fn get(&self, wal_id: u32) -> u32 {
        match self.pages.get(wal_id as usize / PAGE_COUNT) {
            Some(Some(ids)) => ids[wal_id as usize % PAGE_COUNT],
            _ => UNKNOWN,
        }
    }
}

impl Store {
    /// Appends everything whole in a segment's bytes. Segments come in order of number, all of
    /// them before the first [`Store::begin_segment`].
    ///
    /// Samples that are there already are passed over, so a retried request in the log does no
    /// harm. Cost: about 60 ns a sample.
    ///
    /// # Errors
    ///
    /// When the bytes are no segment of this format; the store is then as it was, and the caller
    /// decides: [`SegmentError::Unused`] is the end of the log.
    pub fn replay_segment(&mut self, bytes: &[u8]) -> Result<ReplayReport, SegmentError> {
        self.replay_segment_of(bytes, |_| true)
    }

    /// As [`Store::replay_segment`], for the series only whose stable hash `keep` wants: of a log
    /// that another number of shards wrote. Samples of the others are not counted.
    pub fn replay_segment_of(
        &mut self,
        bytes: &[u8],
        keep: impl Fn(u64) -> bool,
    ) -> Result<ReplayReport, SegmentError> {
        let mut segment = self.begin_replay(bytes)?;
        while !self.replay_frames(&mut segment, &keep, || false) {}
        Ok(segment.report)
    }

    /// Begins the replay of a segment in pieces: [`Store::replay_frames`] until it is read.
    ///
    /// Errors: see [`Store::replay_segment`].
    pub fn begin_replay<'a>(&mut self, bytes: &'a [u8]) -> Result<SegmentReplay<'a>, SegmentError> {
        let previous = self.replay.chain.or_else(|| self.chain_before(bytes));
        let replay = Replay::new(bytes, previous)?;
        if let Some(header) = replay.header() {
            self.epoch = self.epoch.max(header.epoch.saturating_add(1));
        }
        Ok(SegmentReplay { replay, report: ReplayReport::default() })
    }

    /// Where the log stood before its first segment that is left, if parts hold what was before:
    /// they know its LSN, the segment itself what it continues.
    fn chain_before(&self, bytes: &[u8]) -> Option<Chain> {
        let next_lsn = Some(self.replay.first_lsn).filter(|&first_lsn| first_lsn > 0)?;
        let last_crc = SegmentHeader::decode(bytes).ok()?.previous_crc;
        Some(Chain { next_lsn, last_crc })
    }

    /// Replays frames of `segment` until `is_enough`, which is asked after each. True when the
    /// segment is read to its end.
    pub fn replay_frames(
        &mut self,
        segment: &mut SegmentReplay<'_>,
        keep: impl Fn(u64) -> bool,
        mut is_enough: impl FnMut() -> bool,
    ) -> bool {
        let SegmentReplay { replay, report } = segment;
        for event in &mut *replay {
            match event {
                Event::Frame(frame) => {
                    self.replay_frame(frame, &keep, report);
                    if is_enough() {
                        return false;
                    }
                }
                Event::Damage(damage) => {
                    if !damage.lsns.is_empty() && damage.lsns.end <= self.replay.first_lsn {
                        continue; // Parts hold what was there.
                    }
                    let after_ms = report.max_ms;
                    report.lost.push(LostRange { damage, after_ms, before_ms: None });
                }
            }
        }
        let end = replay.end_chain();
        self.replay.chain = Some(end);
        // Parts may hold frames that the log lost, because nobody had made them durable there. Their
        // LSNs are not given again: a frame that had one would pass for flushed.
        self.chain = Chain { next_lsn: end.next_lsn.max(self.replay.first_lsn), ..end };
        report.end_offset = replay.end_offset();
        true
    }

    /// The segments that follow are of another log: nothing of the former one continues there, and
    /// new frames continue the last of these logs.
    pub fn begin_log(&mut self) {
        self.replay.end();
        self.chain = Chain::default();
    }

    /// As [`Store::begin_log`], of a log whose beginning is in parts.
    pub fn begin_log_after(&mut self, flushed: &Flushed) {
        self.begin_log();
        self.replay.is_former = flushed.is_former;
        let mut ids = IdMap::default();
        for &(epoch_id, id) in &flushed.ids {
            ids.set(epoch_id, id.map_or(ELSEWHERE, |id| id.0));
        }
        let Some(epoch) = flushed.epoch else { return };
        self.chain = Chain { next_lsn: flushed.next_lsn, last_crc: 0 };
        self.epoch = self.epoch.max(epoch.saturating_add(1));
        self.replay.first_lsn = flushed.next_lsn;
        self.replay.flushed_ids = Some((epoch, ids));
    }

    fn replay_frame(
        &mut self,
        frame: Frame<'_>,
        keep: impl Fn(u64) -> bool,
        report: &mut ReplayReport,
    ) {
        if frame.lsn < self.replay.first_lsn {
            return;
        }
        report.frame_count += 1;
        let mut set = std::mem::take(&mut self.replay.set);
        for record in Records::new(frame.payload) {
            match record {
                Record::Series(mut series) => {
                    self.enter_epoch(series.epoch);
                    while let Some(entry) = series.next(&mut set) {
                        let Some((wal_id, labels)) = entry else {
                            report.malformed_count += 1;
                            break;
                        };
                        let id = match keep(labels.stable_hash()) {
                            true => self.head.find_or_insert(labels).map_or(REFUSED, |id| id.0),
                            false => ELSEWHERE,
                        };
                        self.replay.ids.set(wal_id, id);
                    }
                }
                Record::Samples(samples) => {
                    self.enter_epoch(samples.header.epoch);
                    self.replay_samples(samples, report);
                }
                Record::Histograms(histograms) => {
                    self.enter_epoch(histograms.header.epoch);
                    self.replay_histograms(histograms, report);
                }
                Record::Metadata(record) => {
                    self.metadata.set(record.family, record.kind, record.help, record.unit);
                }
                Record::Exemplars(exemplars) => {
                    self.enter_epoch(exemplars.epoch);
                    self.replay_exemplars(exemplars, report);
                }
                Record::Unknown { .. } => report.unknown_record_count += 1,
                Record::Malformed => report.malformed_count += 1,
            }
        }
        self.replay.set = set;
    }

    /// Forgets the ids of another epoch than `epoch`.
    fn enter_epoch(&mut self, epoch: u32) {
        if self.replay.epoch != Some(epoch) {
            self.replay.epoch = Some(epoch);
            let flushed = self.replay.flushed_ids.take_if(|(flushed, _)| *flushed == epoch);
            self.replay.ids = flushed.map(|(_, ids)| ids).unwrap_or_default();
            self.epoch = self.epoch.max(epoch.saturating_add(1));
        }
    }

    fn replay_samples(&mut self, samples: SamplesRecord<'_>, report: &mut ReplayReport) {
        let state = &mut self.replay;
        if samples.decode(&mut state.when, &mut state.values).is_none() {
            report.malformed_count += 1;
            return;
        }
        let ReplayState { ids, when, series, values, is_former, .. } = state;
        find_series(ids, when, values, series, report);
        if *is_former {
            drop_deleted(&self.head_tombstones, when, values, series);
        }
        let append = match samples.header.is_out_of_order {
            true => Head::append_replayed_late,
            false => Head::append_replayed,
        };
        let values = &values[..series.len()];
        report.appended_count +=
            append(&mut self.head, series, &when.timestamps_ms, values, &when.starts_ms);
    }

    fn replay_histograms(&mut self, record: HistogramsRecord<'_>, report: &mut ReplayReport) {
        let state = &mut self.replay;
        if record.decode(&mut state.when, &mut state.histograms).is_none() {
            report.malformed_count += 1;
            return;
        }
        let ReplayState { ids, when, series, histograms, is_former, .. } = state;
        find_series(ids, when, histograms, series, report);
        if *is_former {
            drop_deleted(&self.head_tombstones, when, histograms, series);
        }
        let append = match record.header.is_out_of_order {
            true => Head::append_replayed_late_histograms,
            false => Head::append_replayed_histograms,
        };
        let histograms = &histograms[..series.len()];
        report.appended_count +=
            append(&mut self.head, series, &when.timestamps_ms, histograms, &when.starts_ms);
    }
}

impl Store {
    /// Keeps the exemplars of a record that are new; those of series elsewhere or lost are not.
    fn replay_exemplars(&mut self, record: ExemplarsRecord<'_>, report: &mut ReplayReport) {
        let mut buffer = vec![];
        for logged in record {
            let Some(LoggedExemplar { series, timestamp_ms, value, labels }) = logged else {
                report.malformed_count += 1;
                return;
            };
            let id = SeriesId(self.replay.ids.get(series));
            if let Some(of) = self.head.labels(id, &mut buffer) {
                let labels = labels.to_owned();
                let own = StoredExemplar { labels, value, timestamp_ms, has_timestamp: true };
                self.exemplars.add(id, of, &own);
            }
        }
    }
}

/// Finds the series of a record's samples. Samples without one are moved behind the others, whose
/// order stays; `when` is cut to those, and `samples` is not.
fn find_series<T>(
    ids: &IdMap,
    when: &mut DecodedWhen,
    samples: &mut [T],
    series: &mut Vec<SeriesId>,
    report: &mut ReplayReport,
) {
    series.clear();
    let has_starts = !when.starts_ms.is_empty();
    let mut elsewhere_count = 0;
    for sample in 0..when.series.len() {
        match ids.get(when.series[sample]) {
            UNKNOWN => report.orphaned_count += 1,
            REFUSED => report.refused_count += 1,
            ELSEWHERE => elsewhere_count += 1,
            id => {
                let kept = series.len();
                series.push(SeriesId(id));
                when.timestamps_ms[kept] = when.timestamps_ms[sample];
                if has_starts {
                    when.starts_ms[kept] = when.starts_ms[sample];
                }
                samples.swap(kept, sample);
            }
        }
    }
    report.sample_count += when.series.len() - elsewhere_count;
    when.timestamps_ms.truncate(series.len());
    if let Some(newest_ms) = when.timestamps_ms.iter().copied().max() {
        report.max_ms = report.max_ms.max(Some(newest_ms));
        for lost in report.lost.iter_mut().filter(|lost| lost.before_ms.is_none()) {
            lost.before_ms = Some(newest_ms);
        }
    }
}

/// Moves samples that were deleted since behind the others, as [`find_series`] does those without a
/// series.
fn drop_deleted<T>(
    tombstones: &PartTombstones,
    when: &mut DecodedWhen,
    samples: &mut [T],
    series: &mut Vec<SeriesId>,
) {
    if tombstones.is_empty() {
        return;
    }
    let has_starts = !when.starts_ms.is_empty();
    let mut kept = 0;
    for sample in 0..series.len() {
        let (id, time_ms) = (series[sample], when.timestamps_ms[sample]);
        let deleted = tombstones.of_series(id.0);
        if deleted.iter().any(|gone| gone.min_ms <= time_ms && time_ms <= gone.max_ms) {
            continue;
        }
        (series[kept], when.timestamps_ms[kept]) = (id, time_ms);
        if has_starts {
            when.starts_ms[kept] = when.starts_ms[sample];
        }
        samples.swap(kept, sample);
        kept += 1;
    }
    series.truncate(kept);
    when.timestamps_ms.truncate(kept);
}

/// A series of the log that the head did not take.
const REFUSED: u32 = u32::MAX - 1;

/// A series of the log that lives on another shard now.
const ELSEWHERE: u32 = u32::MAX - 2;

const _: () = assert!(crate::limits::SERIES_COUNT_MAX < ELSEWHERE as usize);
