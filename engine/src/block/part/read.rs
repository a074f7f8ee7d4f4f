//! Reading a part: chunks of a series, and what a start needs.

use std::fmt;
use std::ops::Range;

use super::super::error::{BlockError, Problem};
use super::super::merge_samples::merge_samples;
use super::super::pages::{FileBytes, PAGE_BYTES, Pages, Section, le_u32, le_u64};
use super::super::samples::cut_samples;
use super::{
    GROUP_COUNT, GROUP_ROW_BYTES, LATE_FOLLOWS, MAGIC, PartExemplar, PartLabels, PartMeta,
    PartMetadata, SectionName, Sections, VERSIONS,
};
use crate::encode::{self, ChunkHeader};
use crate::mem::varint::{self, take_bytes, take_i64, take_u64};
use crate::model::{LabelsRef, Samples, TimeRange};

/// An open part: a view of its bytes.
pub struct Part {
    meta: PartMeta,
    pub(super) pages: Pages,
    sections: Sections,
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part").field("meta", &self.meta).finish_non_exhaustive()
    }
}

/// A chunk as the head sealed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartChunk<'a> {
    pub header: ChunkHeader,
    /// All of it, for `encode`.
    pub bytes: &'a [u8],
    /// Its samples came out of order.
    pub is_late: bool,
}

/// A group: the heads of its runs and the runs.
#[derive(Clone, Copy)]
pub(super) struct Group<'a> {
    pub first: u32,
    pub heads: &'a [u8],
    pub runs: &'a [u8],
    pub count: usize,
}

impl Part {
    /// Opens a part. Reads and verifies its footer only.
    ///
    /// Errors: it is no whole part of this format.
    pub fn open(bytes: FileBytes) -> Result<Part, BlockError> {
        let (mut pages, body) = Pages::open(bytes, "part", MAGIC, &VERSIONS)?;
        let Some((meta, sections)) = PartMeta::decode(&body) else {
            return Err(pages.broken("footer"));
        };
        pages.name = format!("part {}", meta.number).into();
        let contents = pages.contents_bytes();
        let are_inside = sections.iter().all(|section| {
            section.start.checked_add(section.bytes).is_some_and(|end| end <= contents)
        });
        let rows = sections[SectionName::Groups as usize].bytes;
        let width = GROUP_ROW_BYTES as u64;
        if !are_inside || rows < width || !rows.is_multiple_of(width) {
            return Err(pages.broken("footer"));
        }
        Ok(Part { meta, pages, sections })
    }

    pub fn meta(&self) -> &PartMeta {
        &self.meta
    }

    pub fn overlaps(&self, range: TimeRange) -> bool {
        self.meta.min_ms <= range.max_ms && range.min_ms <= self.meta.max_ms
    }

    /// Bytes of the file.
    pub fn file_bytes(&self) -> u64 {
        self.pages.file_bytes()
    }

    /// The file, to bring pages into memory before they are read.
    pub fn bytes(&self) -> &FileBytes {
        self.pages.bytes()
    }

    /// As [`super::super::Block::verify`].
    pub fn verify(&self, page: usize, count: usize) -> Result<Option<usize>, BlockError> {
        self.pages.verify_some(page, count)
    }

    pub(super) fn broken(&self, what: &'static str) -> BlockError {
        self.pages.error(Problem::Broken(what))
    }

    fn section(&self, name: SectionName) -> Result<&[u8], BlockError> {
        let section = self.sections[name as usize];
        self.pages.get(section.start, section.bytes as usize)
    }

    pub(super) fn labels_section(&self) -> Section {
        self.sections[SectionName::Labels as usize]
    }

    pub(super) fn group_count(&self) -> u64 {
        self.sections[SectionName::Groups as usize].bytes / GROUP_ROW_BYTES as u64 - 1
    }

    /// First id of a group, its place and where the next begins.
    pub(super) fn group_row(&self, group: u64) -> Result<(u32, u64, u64), BlockError> {
        let section = self.sections[SectionName::Groups as usize];
        let at = group * GROUP_ROW_BYTES as u64;
        let rows = section.get(&self.pages, at, GROUP_ROW_BYTES + 8)?;
        Ok((le_u32(rows, 8), le_u64(rows, 0), le_u64(rows, GROUP_ROW_BYTES)))
    }

    /// First id of a group; behind the last, the greatest there is.
    pub(super) fn group_first(&self, group: u64) -> Result<u32, BlockError> {
        let section = self.sections[SectionName::Groups as usize];
        let row = section.get(&self.pages, group * GROUP_ROW_BYTES as u64, GROUP_ROW_BYTES)?;
        Ok(le_u32(row, 8))
    }

    /// First id of a group, and its bytes.
    fn group_bytes(&self, group: u64) -> Result<(u32, &[u8]), BlockError> {
        let (first, start, end) = self.group_row(group)?;
        let length = end.checked_sub(start).and_then(|length| usize::try_from(length).ok());
        Ok((first, self.pages.get(start, length.ok_or_else(|| self.broken("groups"))?)?))
    }

    pub(super) fn group(&self, group: u64) -> Result<Group<'_>, BlockError> {
        let (first, mut bytes) = self.group_bytes(group)?;
        let broken = || self.broken("groups");
        let count = take_u64(&mut bytes).filter(|&count| count <= GROUP_COUNT as u64);
        let count = count.ok_or_else(broken)? as usize;
        let heads = bytes;
        varint::skip(&mut bytes, 2 * count).ok_or_else(broken)?;
        Ok(Group { first, heads, runs: bytes, count })
    }

    /// Gives the series of a group to `take`, each with its chunks, but for those whose chunks are none.
    ///
    /// Errors: the group cannot be read, or not to its end.
    pub(super) fn walk_group(
        &self,
        group: u64,
        mut take: impl FnMut(u32, Vec<PartChunk<'_>>),
    ) -> Result<(), BlockError> {
        let mut group = self.group(group)?;
        let mut id = group.first;
        while let Some((step, run)) = group.next().ok_or_else(|| self.broken("groups"))? {
            id = id.wrapping_add(step);
            if let Ok(chunks) = self.chunks_of(run).collect::<Result<Vec<_>, _>>() {
                take(id, chunks);
            }
        }
        Ok(())
    }

    /// What is left of a group behind a place in it.
    fn group_from(&self, group: u64, within: Within) -> Result<Group<'_>, BlockError> {
        let (first, bytes) = self.group_bytes(group)?;
        let broken = || self.broken("groups");
        let heads = bytes.len().checked_sub(within.head_bytes).ok_or_else(broken)?;
        let runs = bytes.len().checked_sub(within.run_bytes).ok_or_else(broken)?;
        Ok(Group { first, heads: &bytes[heads..], runs: &bytes[runs..], count: within.count })
    }

    /// The group that has `series`, if one has.
    pub(super) fn find_group(&self, series: u32) -> Result<Option<u64>, BlockError> {
        let count = self.group_count();
        let (mut start, mut end) = (0, count);
        // Mostly all series have chunks: then the group is known, and what is beside it says so.
        let guess = u64::from(series).saturating_mul(count) / self.meta.id_count.max(1);
        for near in [guess, guess + 1, guess.wrapping_sub(1)] {
            if start <= near && near < end {
                match self.group_row(near)?.0 <= series {
                    true => start = near + 1,
                    false => end = near,
                }
            }
        }
        while start < end {
            let middle = start + (end - start) / 2;
            if self.group_row(middle)?.0 <= series {
                start = middle + 1;
            } else {
                end = middle;
            }
        }
        Ok(start.checked_sub(1))
    }

    fn run(&self, series: u32) -> Result<&[u8], BlockError> {
        let Some(group) = self.find_group(series)? else { return Ok(&[]) };
        let mut group = self.group(group)?;
        let mut id = group.first;
        while let Some((step, run)) = group.next().ok_or_else(|| self.broken("groups"))? {
            id = id.wrapping_add(step);
            if id >= series {
                return Ok(if id == series { run } else { &[] });
            }
        }
        Ok(&[])
    }

    /// The chunks of a series, in the order in which they were written; none if it has none.
    ///
    /// Cost: a search among groups and half a group.
    pub fn chunks(
        &self,
        series: u32,
    ) -> Result<impl Iterator<Item = Result<PartChunk<'_>, BlockError>>, BlockError> {
        Ok(self.chunks_of(self.run(series)?))
    }

    pub(super) fn chunks_of<'a>(
        &'a self,
        mut run: &'a [u8],
    ) -> impl Iterator<Item = Result<PartChunk<'a>, BlockError>> {
        let mut is_late = false;
        std::iter::from_fn(move || {
            if run.is_empty() {
                return None;
            }
            let chunk = take_chunk(&mut run, &mut is_late);
            if chunk.is_none() {
                run = &[];
            }
            Some(chunk.ok_or_else(|| self.broken("chunks")))
        })
    }

    /// Merges the samples of a series in `range` into `out`, ascending. Of two with one timestamp,
    /// that of `out` stays, and of two chunks that of the one written first.
    ///
    /// Errors: the part is damaged here; `out` may then hold some of the samples.
    pub fn samples(
        &self,
        series: u32,
        range: TimeRange,
        out: &mut Samples,
    ) -> Result<(), BlockError> {
        if !self.overlaps(range) {
            return Ok(());
        }
        let mut apart = None;
        for chunk in self.chunks(series)? {
            let chunk = chunk?;
            if range.max_ms < chunk.header.min_ms || chunk.header.max_ms < range.min_ms {
                continue;
            }
            let ends_ms = [out.timestamps_ms.last(), out.histogram_timestamps_ms.last()];
            let is_behind = ends_ms.into_iter().flatten().all(|&ms| ms < chunk.header.min_ms);
            let broken = |_| self.broken("chunks");
            if is_behind {
                let before = (out.timestamps_ms.len(), out.histograms.len());
                encode::decode_samples_behind(&chunk.header, chunk.bytes, out).map_err(broken)?;
                cut_samples(out, before, range);
            } else {
                let apart = apart.get_or_insert_with(Samples::default);
                apart.clear();
                encode::decode_samples_behind(&chunk.header, chunk.bytes, apart).map_err(broken)?;
                merge_samples(out, apart, range);
            }
        }
        Ok(())
    }

    /// The bytes of the file that hold the chunks of a series, whole pages, and the ids of the series
    /// whose chunks are there.
    pub fn byte_range(&self, series: u32) -> Result<(Range<u64>, Range<u32>), BlockError> {
        let Some(group) = self.find_group(series)? else {
            return Ok((0..0, 0..self.group_first(0)?));
        };
        let (first, start, end) = self.group_row(group)?;
        let page = PAGE_BYTES as u64;
        let end = end.max(start).next_multiple_of(page).min(self.pages.file_bytes());
        // Behind the last group stands the greatest id.
        Ok((start / page * page..end, first..self.group_first(group + 1)?))
    }

    /// All series with chunks, ascending by id: to be walked in turns.
    pub fn runs(&self) -> PartRuns {
        PartRuns::default()
    }

    /// The labels that stand here, ascending by id: to be walked in turns.
    pub fn labels(&self) -> PartLabels {
        PartLabels::default()
    }

    /// Ids of series that are no more, ascending.
    pub fn removed(&self) -> Result<Vec<u32>, BlockError> {
        let mut bytes = self.section(SectionName::Removed)?;
        let (mut removed, mut id) = (vec![], 0u32);
        while !bytes.is_empty() {
            let step = take_u64(&mut bytes).and_then(|step| u32::try_from(step).ok());
            id = step
                .and_then(|step| id.checked_add(step))
                .ok_or_else(|| self.broken("removed series"))?;
            removed.push(id);
        }
        Ok(removed)
    }

    /// What is known about metric families, in the order in which it was written.
    pub fn metadata(&self) -> Result<Vec<PartMetadata<'_>>, BlockError> {
        let mut bytes = self.section(SectionName::Metadata)?;
        let mut all = vec![];
        while !bytes.is_empty() {
            let mut text = || {
                let length = usize::try_from(take_u64(&mut bytes)?).ok()?;
                std::str::from_utf8(take_bytes(&mut bytes, length)?).ok()
            };
            let metadata = (|| {
                Some(PartMetadata { family: text()?, kind: text()?, help: text()?, unit: text()? })
            })();
            all.push(metadata.ok_or_else(|| self.broken("metadata"))?);
        }
        Ok(all)
    }

    /// The exemplars, in the order in which they were written.
    pub fn exemplars(&self) -> Result<Vec<PartExemplar<'_>>, BlockError> {
        let mut bytes = self.section(SectionName::Exemplars)?;
        let mut all = vec![];
        while !bytes.is_empty() {
            let exemplar = take_exemplar(&mut bytes);
            all.push(exemplar.ok_or_else(|| self.broken("exemplars"))?);
        }
        Ok(all)
    }
}

impl<'a> Group<'a> {
    /// Difference of the next id to the one before (the first to `first`), and its run;
    /// `Some(None)` behind the last, `None` when the bytes are no group.
    #[allow(clippy::option_option)]
    fn next(&mut self) -> Option<Option<(u32, &'a [u8])>> {
        if self.count == 0 {
            return Some(None);
        }
        self.count -= 1;
        let step = u32::try_from(take_u64(&mut self.heads)?).ok()?;
        let length = usize::try_from(take_u64(&mut self.heads)?).ok()?;
        Some(Some((step, take_bytes(&mut self.runs, length)?)))
    }
}

fn take_chunk<'a>(run: &mut &'a [u8], is_late: &mut bool) -> Option<PartChunk<'a>> {
    let mut length = take_u64(run)?;
    if length == LATE_FOLLOWS {
        *is_late = true;
        length = take_u64(run)?;
    }
    let bytes = take_bytes(run, usize::try_from(length).ok()?)?;
    let header = ChunkHeader::decode(bytes).ok()?;
    Some(PartChunk { header, bytes, is_late: *is_late })
}

fn take_exemplar<'a>(bytes: &mut &'a [u8]) -> Option<PartExemplar<'a>> {
    let series = u32::try_from(take_u64(bytes)?).ok()?;
    let timestamp_ms = take_i64(bytes)?;
    let value = f64::from_bits(u64::from_le_bytes(*take_bytes(bytes, 8)?.first_chunk()?));
    let length = usize::try_from(take_u64(bytes)?).ok()?;
    let labels = LabelsRef::from_untrusted(take_bytes(bytes, length)?)?;
    Some(PartExemplar { series, timestamp_ms, value, labels })
}

/// A place among the series of a part that have chunks.
#[derive(Clone, Debug, Default)]
pub struct PartRuns {
    group: u64,
    /// Of the group, where it has been begun.
    within: Option<Within>,
}

/// The series of a group, one after the other.
pub struct PartGroup<'a> {
    part: &'a Part,
    group: Group<'a>,
    id: u32,
}

impl<'a> PartGroup<'a> {
    /// The next series and its chunks.
    #[inline]
    pub fn next_series(
        &mut self,
    ) -> Result<
        Option<(u32, impl Iterator<Item = Result<PartChunk<'a>, BlockError>> + use<'a>)>,
        BlockError,
    > {
        let part = self.part;
        let next = self.group.next().ok_or_else(|| part.broken("groups"))?;
        Ok(next.map(|(step, run)| {
            self.id = self.id.wrapping_add(step);
            (self.id, part.chunks_of(run))
        }))
    }
}

/// A place within a group: the series before it, series left, and bytes left of heads and runs.
#[derive(Clone, Copy, Debug)]
struct Within {
    id: u32,
    count: usize,
    head_bytes: usize,
    run_bytes: usize,
}

impl PartRuns {
    /// Goes on to the group that has `series`, if it lies behind the one where this stands.
    pub fn skip_to(&mut self, part: &Part, series: u32) -> Result<(), BlockError> {
        let next = self.group + 1;
        if next < part.group_count()
            && part.group_row(next)?.0 <= series
            && let Some(group) = part.find_group(series)?
        {
            (self.group, self.within) = (group, None);
        }
        Ok(())
    }

    /// The next group as a whole.
    pub fn next_group<'a>(&mut self, part: &'a Part) -> Result<Option<PartGroup<'a>>, BlockError> {
        if self.group >= part.group_count() {
            return Ok(None);
        }
        let group = part.group(self.group)?;
        (self.group, self.within) = (self.group + 1, None);
        Ok(Some(PartGroup { part, id: group.first, group }))
    }

    /// The next series and its chunks.
    pub fn next<'a>(
        &mut self,
        part: &'a Part,
    ) -> Result<
        Option<(u32, impl Iterator<Item = Result<PartChunk<'a>, BlockError>> + use<'a>)>,
        BlockError,
    > {
        while self.group < part.group_count() {
            let broken = || part.broken("groups");
            let (mut group, id) = match self.within {
                Some(within) => (part.group_from(self.group, within)?, within.id),
                None => {
                    let group = part.group(self.group)?;
                    (group, group.first)
                }
            };
            if let Some((step, run)) = group.next().ok_or_else(broken)? {
                let id = id.wrapping_add(step);
                self.within = Some(Within {
                    id,
                    count: group.count,
                    head_bytes: group.heads.len(),
                    run_bytes: group.runs.len(),
                });
                return Ok(Some((id, part.chunks_of(run))));
            }
            (self.group, self.within) = (self.group + 1, None);
        }
        Ok(None)
    }
}
