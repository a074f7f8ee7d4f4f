//! From the head to a part, in pieces: the caller says when one is enough. The way back is `restore`.
//!
//! ```text
//! begin_flush ─► flush_some … ─► end_flush ─► the file is durable ─► install_part ─► forget_flushed …
//! ```

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use super::Store;
use super::select::source_error;
use crate::block::part::{Part, PartExemplar, PartMeta, PartMetadata, PartPlan, PartWriter};
use crate::head::Flushed;
use crate::model::{SeriesId, SourceError};

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
    flushed: Flushed,
}

/// What parts of this store say, between them.
#[derive(Debug)]
pub(super) struct Parts {
    /// In the order they were written, with the time before which blocks have their samples.
    pub(super) list: Vec<(Arc<Part>, i64)>,
    /// Series whose ids are below are named in a part.
    pub(super) named_count: u32,
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
            flushed: Flushed::new(id_count as usize),
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
                    let hash = labels.stable_hash();
                    flush.writer.push_labels(id, hash, self.head.index(), out);
                }
            } else {
                let writer = &mut flush.writer;
                let push = |chunk: &[u8], is_late| writer.push_chunk(id, chunk, is_late, out);
                let flushed = &mut flush.flushed;
                self.head.flush_series(SeriesId(id), flushed, push).map_err(source_error)?;
            }
            if id.is_multiple_of(LOOK_COUNT) && is_enough() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Ends the file. Returns what it says about itself, and what [`Store::forget_flushed`] may drop
    /// from the head once the file is durable and [`Store::install_part`] has it.
    pub fn end_flush(&self, flush: Flush, out: &mut Vec<u8>) -> (PartMeta, Flushed) {
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

    /// Drops what a part holds of the series `ids` from the head.
    ///
    /// # Errors
    ///
    /// Memory was damaged.
    pub fn forget_flushed(
        &mut self,
        flushed: &Flushed,
        ids: Range<u32>,
    ) -> Result<(), SourceError> {
        self.head.forget_flushed(flushed, ids).map_err(source_error)
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
