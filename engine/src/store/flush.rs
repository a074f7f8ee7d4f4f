//! From the head to a part, and back at a start. In pieces: the caller says when one is enough.
//!
//! ```text
//! begin_flush ─► flush_some … ─► end_flush ─► the file is durable ─► install_part ─► forget_flushed …
//! restore_part, of every part ─► replay of the log behind the last
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Store;
use super::select::source_error;
use crate::block::part::{
    Part, PartExemplar, PartLabels, PartMeta, PartMetadata, PartPlan, PartRuns, PartWriter,
};
use crate::head::{FlushedSeries, Head, StoredExemplar, newest_of};
use crate::model::{LabelsRef, Samples, SeriesId, SourceError};

/// A part that is being written. Bytes for its file come out of every call.
#[derive(Debug)]
pub struct Flush {
    writer: PartWriter,
    number: u64,
    /// The series whose chunks, or behind the last of them whose labels, come next.
    next: u32,
    is_at_labels: bool,
    /// Ids given when the flush began.
    id_count: u32,
    /// Series from here on are named: the others are, in earlier parts.
    named_count: u32,
    flushed: Vec<FlushedSeries>,
}

/// What parts of this store say, between them.
#[derive(Debug)]
pub(super) struct Parts {
    /// In the order they were written, with the time before which blocks have their samples.
    pub(super) list: Vec<(Arc<Part>, i64)>,
    /// Series whose ids are below are named in a part.
    named_count: u32,
    /// Series of those that are gone since the last part.
    removed: BTreeSet<u32>,
    /// Blocks have been made of all ranges before this. Late samples of parts may lie there.
    pub(super) cut_ms: i64,
}

impl Default for Parts {
    fn default() -> Self {
        Parts { list: vec![], named_count: 0, removed: BTreeSet::new(), cut_ms: i64::MIN }
    }
}

impl Parts {
    /// Number of the part that was written last; zero while there is none.
    pub(super) fn last_number(&self) -> u64 {
        self.list.last().map_or(0, |(last, _)| last.meta().number)
    }

    /// Notes series that have left the head.
    pub(super) fn note_removed(&mut self, series: &[SeriesId]) {
        let named = series.iter().map(|series| series.0).filter(|&id| id < self.named_count);
        self.removed.extend(named);
    }
}

impl Flush {
    /// Number of the part.
    pub fn number(&self) -> u64 {
        self.number
    }
}

impl Store {
    /// Begins a part with everything that the head holds now. As a base it names all series, so that
    /// earlier parts are needed for their samples only.
    ///
    /// The caller has one flush at a time, and removes no series meanwhile.
    pub fn begin_flush(&mut self, is_base: bool, out: &mut Vec<u8>) -> Flush {
        let parts = &self.parts;
        // What was deleted from a part that was damaged and is gone is not deleted from this one.
        let last_number = parts.last_number().max(self.head_tombstones.last_part());
        let number = last_number.saturating_add(1);
        let is_base = is_base || parts.list.is_empty();
        let id_count = self.head.id_count() as u32; // At most SERIES_COUNT_MAX.
        let writer = PartWriter::new(
            PartPlan {
                number,
                shard: self.options.shard,
                shard_count: self.options.shard_count,
                epoch: self.epoch,
                is_base,
                next_lsn: self.chain.next_lsn,
                id_count: u64::from(id_count),
            },
            out,
        );
        Flush {
            writer,
            number,
            next: 0,
            is_at_labels: false,
            id_count,
            named_count: if is_base { 0 } else { parts.named_count },
            flushed: vec![],
        }
    }

    /// Writes series until `is_enough`, which is asked after some of them. True when all are
    /// written.
    ///
    /// Errors: memory was damaged.
    pub fn flush_some(
        &mut self,
        flush: &mut Flush,
        out: &mut Vec<u8>,
        mut is_enough: impl FnMut() -> bool,
    ) -> Result<bool, SourceError> {
        /// Series between two looks at the clock.
        const LOOK_COUNT: u32 = 32;
        while flush.next < flush.id_count || !flush.is_at_labels {
            if flush.next == flush.id_count {
                (flush.is_at_labels, flush.next) = (true, flush.named_count.min(flush.id_count));
                continue;
            }
            let id = flush.next;
            flush.next += 1;
            if flush.is_at_labels {
                if let Some(labels) = self.head.labels(SeriesId(id), &mut self.label_buffer) {
                    flush.writer.push_labels(id, labels, out);
                }
            } else {
                let writer = &mut flush.writer;
                let push = |chunk: &[u8], is_late| writer.push_chunk(id, chunk, is_late, out);
                let flushed = self.head.flush_series(SeriesId(id), push).map_err(source_error)?;
                flush.flushed.extend(flushed);
            }
            if id.is_multiple_of(LOOK_COUNT) && is_enough() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Ends the file. Returns what it says about itself, and what [`Store::forget_flushed`] may drop
    /// from the head once the file is durable and [`Store::install_part`] has it.
    pub fn end_flush(&self, flush: Flush, out: &mut Vec<u8>) -> (PartMeta, Vec<FlushedSeries>) {
        let Flush { mut writer, flushed, .. } = flush;
        self.parts.removed.iter().for_each(|&series| writer.push_removed(series));
        for (family, metadata) in self.metadata.iter() {
            let (kind, help, unit) = (&*metadata.kind, &*metadata.help, &*metadata.unit);
            writer.push_metadata(PartMetadata { family, kind, help, unit });
        }
        for (series, exemplar) in self.exemplars.all() {
            writer.push_exemplar(PartExemplar {
                series: series.0,
                timestamp_ms: exemplar.timestamp_ms,
                value: exemplar.value,
                labels: exemplar.labels.as_ref(),
            });
        }
        (writer.finish(out), flushed)
    }

    /// Reads samples from a part from now on, which was flushed just now.
    pub fn install_part(&mut self, part: Arc<Part>) {
        self.parts.named_count = part.meta().id_count as u32;
        self.parts.removed.clear();
        self.parts.list.push((part, i64::MIN));
    }

    /// Drops what a part holds from the head.
    pub fn forget_flushed(&mut self, flushed: &[FlushedSeries]) {
        flushed.iter().for_each(|&flushed| self.head.forget_flushed(flushed));
    }

    /// Whether a flush now would write anything that no part holds.
    pub fn has_unflushed(&self) -> bool {
        let last_lsn = self.parts.list.last().map_or(1, |(last, _)| last.meta().next_lsn);
        last_lsn < self.chain.next_lsn || !self.parts.removed.is_empty()
    }

    /// Parts, in the order they were written.
    pub fn parts(&self) -> impl Iterator<Item = &Arc<Part>> {
        self.parts.list.iter().map(|(part, _)| part)
    }

    /// Forgets parts all of whose samples are in blocks, and whose series a later part names; returns
    /// their numbers. Their files may be removed.
    pub fn drop_cut_parts(&mut self) -> Vec<u64> {
        let base = self.parts.list.iter().rev().find(|(part, _)| part.meta().is_base);
        let base_number = base.map_or(0, |(part, _)| part.meta().number);
        let mut dropped = vec![];
        self.parts.list.retain(|(part, before_ms)| {
            let meta = part.meta();
            let is_needed = meta.number >= base_number
                || (*before_ms <= meta.max_ms && meta.min_ms <= meta.max_ms);
            if !is_needed {
                dropped.push(meta.number);
            }
            is_needed
        });
        dropped
    }

    /// Reads from `part` from now on instead of the damaged one of its number; without one no more.
    pub fn replace_part(&mut self, number: u64, part: Option<Arc<Part>>) {
        let list = &mut self.parts.list;
        let Some(at) = list.iter().position(|(part, _)| part.meta().number == number) else {
            return;
        };
        match part {
            Some(part) => list[at].0 = part,
            None => drop(list.remove(at)),
        }
    }
}

/// Taking parts back at a start, in pieces. In order of number; labels from the last base on.
pub struct Restore {
    parts: Vec<Arc<Part>>,
    base: usize,
    removed: BTreeSet<u32>,
    stage: Stage,
    /// Room to decode in.
    samples: Samples,
    group: LabelGroup,
}

/// Series that are taken back together, so that their places in the head's table are asked for before
/// they are needed.
#[derive(Default)]
struct LabelGroup {
    bytes: Vec<u8>,
    /// Id, hash, and where the labels end.
    rows: Vec<(u32, u64, usize)>,
}

/// Series of a [`LabelGroup`].
const GROUP_COUNT: usize = 32;

impl LabelGroup {
    /// Reads the next series of `part`; false at its end.
    fn read(
        &mut self,
        labels: &mut PartLabels,
        part: &Part,
        removed: &BTreeSet<u32>,
    ) -> Result<bool, SourceError> {
        self.bytes.clear();
        self.rows.clear();
        while self.rows.len() < GROUP_COUNT {
            let Some((id, labels)) = labels.next(part).map_err(source_error)? else {
                return Ok(!self.rows.is_empty());
            };
            if !removed.contains(&id) {
                self.bytes.extend_from_slice(labels.as_bytes());
                self.rows.push((id, labels.stable_hash(), self.bytes.len()));
            }
        }
        Ok(true)
    }

    fn restore(&self, head: &mut Head) {
        self.rows.iter().for_each(|&(_, hash, _)| head.prefetch_hash(hash));
        let mut start = 0;
        for &(id, hash, end) in &self.rows {
            let labels = LabelsRef::from_canonical(&self.bytes[start..end]);
            head.restore(SeriesId(id), labels, hash);
            start = end;
        }
    }
}

enum Stage {
    /// Of the part at this place.
    Labels(usize, PartLabels),
    /// Of the part at this place, the last first; whether each series is known to have a newest
    /// sample.
    Newest(usize, PartRuns, Vec<bool>),
    Done,
}

impl Restore {
    /// `parts` in order of number.
    ///
    /// Errors: a part that cannot be read.
    pub fn new(parts: Vec<Arc<Part>>) -> Result<Restore, SourceError> {
        let base = parts.iter().rposition(|part| part.meta().is_base).unwrap_or(0);
        let mut removed = BTreeSet::new();
        for part in parts.iter().skip(base) {
            removed.extend(part.removed().map_err(source_error)?);
        }
        let stage = match parts.get(base) {
            Some(part) => Stage::Labels(base, part.labels()),
            None => Stage::Done,
        };
        let (samples, group) = Default::default();
        Ok(Restore { parts, base, removed, stage, samples, group })
    }
}

impl Store {
    /// Takes series back until `is_enough`; true when all are. The log is replayed behind that: see
    /// [`Store::flushed`].
    ///
    /// Errors: a part that cannot be read.
    pub fn restore_some(
        &mut self,
        restore: &mut Restore,
        mut is_enough: impl FnMut() -> bool,
    ) -> Result<bool, SourceError> {
        /// Series between two looks at the clock.
        const LOOK_COUNT: usize = 32;
        for number in 1usize.. {
            let Restore { parts, base, removed, stage, samples, group } = restore;
            match stage {
                Stage::Labels(at, labels) => match group.read(labels, &parts[*at], removed)? {
                    true => {
                        group.restore(&mut self.head);
                        if is_enough() {
                            return Ok(false);
                        }
                    }
                    false => {
                        let next = *at + 1;
                        *stage = match parts.get(next) {
                            Some(part) => Stage::Labels(next, part.labels()),
                            None => self.begin_newest(parts.len(), parts),
                        };
                    }
                },
                Stage::Newest(at, runs, is_known) => {
                    let part = &parts[*at];
                    match runs.next(part).map_err(source_error)? {
                        Some((id, chunks)) => {
                            let series = SeriesId(id);
                            let is_new = is_known.get(id as usize) == Some(&false);
                            if (is_new || part.meta().has_late) && self.head.has(series) {
                                let mut newest = None;
                                for chunk in chunks {
                                    let chunk = chunk.map_err(source_error)?;
                                    let max_ms = chunk.header.max_ms;
                                    if chunk.is_late {
                                        self.head.note_late(series, max_ms);
                                    } else if newest.is_none_or(|(newest_ms, _)| newest_ms < max_ms)
                                    {
                                        newest = Some((max_ms, chunk.bytes));
                                    }
                                }
                                if let Some((max_ms, bytes)) = newest.filter(|_| is_new) {
                                    is_known[id as usize] = true;
                                    let newest = newest_of(bytes, samples).map_err(source_error)?;
                                    self.head.set_newest(series, max_ms, newest);
                                }
                            }
                        }
                        None => {
                            let (at, is_known) = (*at, std::mem::take(is_known));
                            *stage = match at.checked_sub(1) {
                                Some(at) => Stage::Newest(at, parts[at].runs(), is_known),
                                None => Stage::Done,
                            };
                        }
                    }
                }
                Stage::Done => {
                    self.end_restore(std::mem::take(parts), *base)?;
                    return Ok(true);
                }
            }
            if number.is_multiple_of(LOOK_COUNT) && is_enough() {
                return Ok(false);
            }
        }
        Ok(false)
    }

    fn begin_newest(&mut self, count: usize, parts: &[Arc<Part>]) -> Stage {
        let id_count = parts.iter().map(|part| part.meta().id_count).max().unwrap_or(0);
        self.head.pass_ids(id_count as usize);
        match count.checked_sub(1) {
            Some(last) => {
                let is_known = vec![false; self.head.id_count()];
                Stage::Newest(last, parts[last].runs(), is_known)
            }
            None => Stage::Done,
        }
    }

    fn end_restore(&mut self, parts: Vec<Arc<Part>>, base: usize) -> Result<(), SourceError> {
        for part in &parts {
            let meta = part.meta();
            if meta.min_ms <= meta.max_ms {
                self.head.widen_span(meta.min_ms, meta.max_ms);
            }
        }
        for part in parts.iter().skip(base) {
            for PartMetadata { family, kind, help, unit } in
                part.metadata().map_err(source_error)?
            {
                self.metadata.set(family, kind, help, unit);
            }
        }
        if let Some(last) = parts.last() {
            // Each part has all that were kept when it was written.
            let mut buffer = vec![];
            for exemplar in last.exemplars().map_err(source_error)? {
                let own = StoredExemplar {
                    labels: exemplar.labels.to_owned(),
                    value: exemplar.value,
                    timestamp_ms: exemplar.timestamp_ms,
                    has_timestamp: true,
                };
                let series = SeriesId(exemplar.series);
                if let Some(labels) = self.head.labels(series, &mut buffer) {
                    self.exemplars.add(series, labels, &own);
                }
            }
            self.parts.named_count = last.meta().id_count as u32;
        }
        self.parts.list = parts.into_iter().map(|part| (part, i64::MIN)).collect();
        Ok(())
    }

    /// Where the log goes on behind the parts that were restored.
    pub fn flushed(&self) -> super::Flushed {
        let Some(last) = self.parts.list.last().map(|(part, _)| *part.meta()) else {
            return super::Flushed::default();
        };
        let ids = (0..last.id_count as u32).filter(|&id| self.head.has(SeriesId(id)));
        super::Flushed {
            next_lsn: last.next_lsn,
            epoch: Some(last.epoch),
            ids: ids.map(|id| (id, Some(SeriesId(id)))).collect(),
            is_former: false,
        }
    }
}
