//! Parts taken back at a start, in pieces: the caller says when one is enough.
//!
//! ```text
//! labels of every part, from the last base on ─► newest samples, the last part first
//! ─► replay of the log behind the last
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Store;
use super::select::source_error;
use crate::block::BlockError;
use crate::block::part::{Part, PartGroup, PartLabels, PartMetadata, PartRuns};
use crate::head::{Head, StoredExemplar, newest_of};
use crate::index::PairMap;
use crate::model::{Samples, SeriesId, SourceError};

/// Taking parts back at a start, in pieces. In order of number; labels from the last base on.
pub struct Restore {
    parts: Vec<Arc<Part>>,
    base: usize,
    removed: BTreeSet<u32>,
    stage: Stage,
    /// Labels that parts have, until they are expected.
    series_count: Option<usize>,
    /// Room to decode in.
    samples: Samples,
    group: LabelGroup,
}

/// Series that are taken back together, so that their places in the head's table are asked for before
/// they are needed.
#[derive(Default)]
struct LabelGroup {
    /// Of all rows.
    numbers: Vec<u32>,
    rows: Vec<LabelRow>,
    /// Of the part that is read.
    map: PairMap,
}

struct LabelRow {
    id: u32,
    hash: u64,
    /// Where the numbers of its labels end.
    end: usize,
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
        self.numbers.clear();
        self.rows.clear();
        while self.rows.len() < GROUP_COUNT {
            let Some((id, hash)) = labels.next_set(part).map_err(source_error)? else { break };
            if removed.is_empty() || !removed.contains(&id) {
                self.numbers.extend_from_slice(labels.numbers());
                self.rows.push(LabelRow { id, hash, end: self.numbers.len() });
            }
        }
        Ok(!self.rows.is_empty())
    }

    fn restore(&mut self, labels: &PartLabels, head: &mut Head) {
        self.rows.iter().for_each(|row| head.prefetch_hash(row.hash));
        let mut start = 0;
        for &LabelRow { id, hash, end } in &self.rows {
            let numbers = &self.numbers[start..end];
            head.restore(SeriesId(id), hash, numbers, &mut self.map, |number| labels.label(number));
            start = end;
        }
    }
}

/// Most series for which room is made before they are read: some 32 MB.
const EXPECTED_COUNT_MAX: usize = 2 << 20;

enum Stage {
    /// Of the part at this place.
    Labels(usize, Box<PartLabels>),
    /// Of the part at this place, the last first.
    Newest(usize, PartRuns, Known),
    Done,
}

/// Of which series the newest sample is known, or need not be: they are gone.
struct Known {
    is_known: Vec<bool>,
    /// Series before this were looked at in this part.
    from: usize,
    /// Those from there on and before this are known.
    unknown: usize,
}

impl Known {
    fn new(head: &Head) -> Known {
        let ids = 0..head.id_count() as u32;
        Known { is_known: ids.map(|id| !head.has(SeriesId(id))).collect(), from: 0, unknown: 0 }
    }

    /// The next series of which nothing is known.
    fn next_unknown(&mut self) -> Option<u32> {
        self.unknown = self.unknown.max(self.from);
        let rest = self.is_known.get(self.unknown..)?;
        self.unknown += rest.iter().position(|is_known| !is_known)?;
        Some(self.unknown as u32)
    }

    /// Begins with the next part.
    fn rewind(&mut self) {
        (self.from, self.unknown) = (0, 0);
    }
}

/// The next group of `part` that may say something new: mostly the last parts say all.
fn next_group<'a>(
    part: &'a Part,
    runs: &mut PartRuns,
    known: &mut Known,
) -> Result<Option<PartGroup<'a>>, BlockError> {
    if !part.meta().has_late {
        match known.next_unknown() {
            None => return Ok(None),
            Some(id) if id as usize > known.from => runs.skip_to(part, id)?,
            Some(_) => {}
        }
    }
    runs.next_group(part)
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
            Some(part) => Stage::Labels(base, Box::new(part.labels())),
            None => Stage::Done,
        };
        let labels = parts.iter().skip(base).map(|part| part.meta().labels_count as usize);
        // What a part says is no reason to take any memory.
        let series_count = Some(labels.sum::<usize>().min(EXPECTED_COUNT_MAX));
        let (samples, group) = Default::default();
        Ok(Restore { parts, base, removed, stage, series_count, samples, group })
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
        if let Some(count) = restore.series_count.take() {
            self.head.expect_series(count);
        }
        loop {
            let Restore { parts, base, removed, stage, samples, group, .. } = restore;
            match stage {
                Stage::Labels(at, labels) => match group.read(labels, &parts[*at], removed)? {
                    true => group.restore(labels, &mut self.head),
                    false => {
                        let next = *at + 1;
                        group.map.clear();
                        *stage = match parts.get(next) {
                            Some(part) => Stage::Labels(next, Box::new(part.labels())),
                            None => self.begin_newest(parts.len(), parts),
                        };
                    }
                },
                Stage::Newest(at, runs, known) => {
                    let part = &parts[*at];
                    match next_group(part, runs, known).map_err(source_error)? {
                        Some(group) => self.take_newest(part, group, known, samples)?,
                        None => {
                            known.rewind();
                            match at.checked_sub(1) {
                                Some(before) => (*at, *runs) = (before, parts[before].runs()),
                                None => *stage = Stage::Done,
                            }
                        }
                    }
                }
                Stage::Done => {
                    self.end_restore(std::mem::take(parts), *base)?;
                    return Ok(true);
                }
            }
            if is_enough() {
                return Ok(false);
            }
        }
    }

    /// Takes the newest samples of a group of `part`.
    fn take_newest(
        &mut self,
        part: &Part,
        mut group: PartGroup<'_>,
        known: &mut Known,
        samples: &mut Samples,
    ) -> Result<(), SourceError> {
        let has_late = part.meta().has_late;
        while let Some((id, chunks)) = group.next_series().map_err(source_error)? {
            let series = SeriesId(id);
            let is_new = known.is_known.get(id as usize) == Some(&false);
            known.from = id as usize + 1;
            if !(is_new || has_late && self.head.has(series)) {
                continue;
            }
            let mut newest = None;
            for chunk in chunks {
                let chunk = chunk.map_err(source_error)?;
                let max_ms = chunk.header.max_ms;
                if chunk.is_late {
                    self.head.note_late(series, max_ms);
                } else if newest.is_none_or(|(newest_ms, _)| newest_ms < max_ms) {
                    newest = Some((max_ms, chunk.bytes));
                }
            }
            if let Some((max_ms, bytes)) = newest.filter(|_| is_new) {
                known.is_known[id as usize] = true;
                let newest = newest_of(bytes, samples).map_err(source_error)?;
                self.head.set_newest(series, max_ms, newest);
            }
        }
        Ok(())
    }

    fn begin_newest(&mut self, count: usize, parts: &[Arc<Part>]) -> Stage {
        let id_count = parts.iter().map(|part| part.meta().id_count).max().unwrap_or(0);
        self.head.pass_ids(id_count as usize);
        self.head.end_restore();
        match count.checked_sub(1) {
            Some(last) => Stage::Newest(last, parts[last].runs(), Known::new(&self.head)),
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
