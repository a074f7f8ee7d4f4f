//! Reading a block: nothing is copied when it is opened, everything is verified when it is read.

use std::fmt;
use std::ops::Range;

use super::columns::{COLUMN_ROW_BYTES, ColumnRow};
use super::error::{BlockError, Problem};
use super::finish::SERIES_ROW_BYTES;
use super::id::BlockId;
use super::meta::{BlockMeta, SectionName, Sections};
use super::packed::packed_rows;
use super::pages::{FileBytes, PAGE_BYTES, Pages, Section, le_u32, le_u64};
use super::run::{Run, RunChunk, RunValues, SHARED_BYTES_MAX};
use super::samples::{SamplesOut, cut_samples};
use super::write::{MAGIC, VERSIONS};
use crate::encode::{self, DecodeError, ValueCodec};
use crate::mem::varint::take_u64;
use crate::model::labels::push_string;
use crate::model::{FloatHistogram, LabelsRef, Samples, TimeRange};

/// An open block: a view of its bytes.
pub struct Block {
    meta: BlockMeta,
    pub(super) pages: Pages,
    sections: Sections,
    /// The first version of the format.
    pub(super) has_plain_tables: bool,
}

/// Room for reading, and the timestamp columns read lately: neighbours share them. A megabyte or two
/// at most; made to be kept for as long as blocks are read.
#[derive(Debug, Default)]
pub struct Scratch {
    /// At the column's number modulo [`SCRATCH_COLUMN_COUNT`]; the columns of a series follow each
    /// other.
    pub(super) columns: Vec<ScratchColumn>,
    /// Room for the histograms of a chunk.
    pub(crate) histograms: Vec<FloatHistogram>,
}

#[derive(Debug, Default)]
pub(super) struct ScratchColumn {
    column: Option<(BlockId, u32)>,
    timestamps_ms: Vec<i64>,
}

/// A month in columns of two hours would be three times that.
const SCRATCH_COLUMN_COUNT: usize = 128;

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Block").field("meta", &self.meta).finish_non_exhaustive()
    }
}

/// What a series' row says.
struct SeriesRow {
    place: u64,
    end: u64,
    min_s: u32,
    max_s: u32,
}

impl Block {
    /// Opens a block. Reads and verifies its footer only: some microseconds, and a bit of heap for
    /// each page of the file.
    ///
    /// Errors: it is no whole block of this format.
    pub fn open(bytes: FileBytes) -> Result<Block, BlockError> {
        let (mut pages, body) = Pages::open(bytes, "block", MAGIC, &VERSIONS)?;
        let Some((meta, sections)) = BlockMeta::decode(&body) else {
            return Err(pages.broken("footer"));
        };
        pages.name = format!("block {}", meta.id).into();
        let contents = pages.contents_bytes();
        let is_inside = |section: &Section| {
            section.start.checked_add(section.bytes).is_some_and(|end| end <= contents)
        };
        let width = |name: SectionName, bytes: u64| sections[name as usize].bytes == bytes;
        let series_count = meta.series_count;
        let has_plain_tables = pages.version == 1;
        let are_counted = width(SectionName::Hashes, 8 * series_count)
            && (!has_plain_tables
                || width(SectionName::LabelOffsets, 4 * (series_count + 1))
                    && width(SectionName::Series, SERIES_ROW_BYTES as u64 * (series_count + 1)));
        if !sections.iter().all(is_inside) || !are_counted {
            return Err(pages.broken("footer"));
        }
        Ok(Block { meta, pages, sections, has_plain_tables })
    }

    pub fn meta(&self) -> &BlockMeta {
        &self.meta
    }

    pub fn id(&self) -> BlockId {
        self.meta.id
    }

    pub fn series_count(&self) -> u32 {
        self.meta.series_count as u32
    }

    /// Bytes of the file.
    pub fn file_bytes(&self) -> u64 {
        self.pages.file_bytes()
    }

    /// The file, to bring pages into memory before they are read.
    pub fn bytes(&self) -> &FileBytes {
        self.pages.bytes()
    }

    /// Verifies pages `page..page + count` of the file that were not verified yet: a scrub, in
    /// turns. Returns where to go on, `None` when all is done.
    pub fn verify(&self, page: usize, count: usize) -> Result<Option<usize>, BlockError> {
        self.pages.verify_some(page, count)
    }

    pub(super) fn section(&self, name: SectionName) -> Section {
        self.sections[name as usize]
    }

    /// The stable hash of a series' labels.
    pub fn hash(&self, series: u32) -> Result<u64, BlockError> {
        self.section(SectionName::Hashes).u64_at(&self.pages, u64::from(series))
    }

    /// The labels of a series as numbers: name, and place of the value among those of the name.
    pub(super) fn label_numbers(
        &self,
        series: u32,
    ) -> Result<impl Iterator<Item = Option<(u32, u32)>> + '_, BlockError> {
        let offsets = self.section(SectionName::LabelOffsets);
        let (start, end) = if self.has_plain_tables {
            let bounds = offsets.get(&self.pages, 4 * u64::from(series), 8)?;
            (le_u32(bounds, 0).into(), le_u32(bounds, 4).into())
        } else {
            let [[start], [end]] = packed_rows(offsets, &self.pages, series)?;
            (start, end)
        };
        let length = end.checked_sub(start).ok_or_else(|| self.pages.broken("label offsets"))?;
        let labels = self.section(SectionName::Labels);
        let mut rest = labels.get(&self.pages, start, length as usize)?;
        Ok(std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let pair = (|| {
                let name = u32::try_from(take_u64(&mut rest)?).ok()?;
                Some((name, u32::try_from(take_u64(&mut rest)?).ok()?))
            })();
            if pair.is_none() {
                rest = &[];
            }
            Some(pair)
        }))
    }

    /// The labels of a series, written into `buffer`. Cost: two look-ups and two copies a label.
    pub fn labels<'b>(
        &self,
        series: u32,
        buffer: &'b mut Vec<u8>,
    ) -> Result<LabelsRef<'b>, BlockError> {
        buffer.clear();
        for pair in self.label_numbers(series)? {
            let (name, value) = pair.ok_or_else(|| self.pages.broken("labels"))?;
            let row = self.name_row(name)?;
            push_string(buffer, self.string(row.strings)?);
            push_string(buffer, self.value_in_row(&row, value)?);
        }
        // Names ascend by their numbers; what the writer wrote wrong is noticed here at the latest.
        LabelsRef::from_untrusted(buffer).ok_or_else(|| self.pages.broken("labels"))
    }

    fn series_row(&self, series: u32) -> Result<SeriesRow, BlockError> {
        let at = SERIES_ROW_BYTES as u64 * u64::from(series);
        let section = self.section(SectionName::Series);
        if !self.has_plain_tables {
            let [[place, min_s, max_s], [end, ..]] = packed_rows(section, &self.pages, series)?;
            let second = |s: u64| u32::try_from(s).unwrap_or(u32::MAX);
            return Ok(SeriesRow { place, end, min_s: second(min_s), max_s: second(max_s) });
        }
        let row = section.get(&self.pages, at, SERIES_ROW_BYTES + 8)?;
        Ok(SeriesRow {
            place: le_u64(row, 0),
            min_s: le_u32(row, 8),
            max_s: le_u32(row, 12),
            end: le_u64(row, SERIES_ROW_BYTES),
        })
    }

    /// Whether a series may have samples in `range`, to the second.
    pub fn may_have_samples(&self, series: u32, range: TimeRange) -> Result<bool, BlockError> {
        Ok(self.reaches(&self.series_row(series)?, range))
    }

    fn reaches(&self, row: &SeriesRow, range: TimeRange) -> bool {
        let time_ms = |seconds: u32| self.meta.min_ms.saturating_add(1000 * i64::from(seconds));
        let ends_before = row.max_s != u32::MAX && time_ms(row.max_s) < range.min_ms;
        !ends_before && time_ms(row.min_s) <= range.max_ms
    }

    /// The bytes of the file that [`Block::samples`] reads for a series, whole pages: its run and
    /// values before it, and not the columns of timestamps it shares with others. None where it has no
    /// samples in `range`.
    pub fn byte_range(&self, series: u32, range: TimeRange) -> Result<Range<u64>, BlockError> {
        let row = self.series_row(series)?;
        if !self.reaches(&row, range) {
            return Ok(0..0);
        }
        let page = PAGE_BYTES as u64;
        let end = row.end.max(row.place).min(self.pages.contents_bytes());
        let shared_bytes = if self.has_plain_tables { 0 } else { SHARED_BYTES_MAX };
        let start = row.place.saturating_sub(shared_bytes);
        Ok(start / page * page..end.next_multiple_of(page).min(self.pages.file_bytes()))
    }

    /// The bytes of the file that hold labels, postings and tables: what selecting reads.
    pub fn index_byte_range(&self) -> Range<u64> {
        let start = self.section(SectionName::Strings).start;
        start / PAGE_BYTES as u64 * PAGE_BYTES as u64..self.pages.file_bytes()
    }

    /// Bytes of a series' run; what stands between it and the next is columns of timestamps.
    pub(super) fn run_bytes(&self, series: u32) -> Result<u64, BlockError> {
        let row = self.series_row(series)?;
        let run = self.run_at(&row)?;
        let behind = run.bytes_behind().ok_or_else(|| self.pages.broken("chunks"))?;
        Ok(row.end.saturating_sub(row.place).saturating_sub(behind as u64))
    }

    pub(super) fn run(&self, series: u32) -> Result<Run<'_>, BlockError> {
        self.run_at(&self.series_row(series)?)
    }

    fn run_at(&self, row: &SeriesRow) -> Result<Run<'_>, BlockError> {
        let length = row.end.checked_sub(row.place).and_then(|length| usize::try_from(length).ok());
        let length = length.ok_or_else(|| self.pages.broken("series table"))?;
        let bytes = self.pages.get(row.place, length)?;
        Run::new(bytes).ok_or_else(|| self.pages.broken("chunks"))
    }

    /// Columns of timestamps, which series share.
    pub fn column_count(&self) -> usize {
        (self.section(SectionName::Columns).bytes / COLUMN_ROW_BYTES as u64) as usize
    }

    pub(super) fn column_row(&self, column: u32) -> Result<ColumnRow, BlockError> {
        let at = COLUMN_ROW_BYTES as u64 * u64::from(column);
        let row = self.section(SectionName::Columns).get(&self.pages, at, COLUMN_ROW_BYTES)?;
        ColumnRow::decode(row).ok_or_else(|| self.pages.broken("timestamp columns"))
    }

    /// Timestamps of a column, from the scratch or decoded into it.
    pub(super) fn timestamps<'s>(
        &self,
        column: u32,
        row: &ColumnRow,
        scratch: &'s mut Vec<ScratchColumn>,
    ) -> Result<&'s [i64], BlockError> {
        scratch.resize_with(SCRATCH_COLUMN_COUNT, ScratchColumn::default);
        let slot = &mut scratch[column as usize % SCRATCH_COLUMN_COUNT];
        if slot.column != Some((self.meta.id, column)) {
            slot.column = None;
            slot.timestamps_ms.clear();
            let bytes = self.pages.get(row.place, row.bytes as usize)?;
            let (count, out) = (row.count as usize, &mut slot.timestamps_ms);
            encode::decode_timestamps(bytes, row.codec, row.min_ms, row.max_ms, count, out)
                .map_err(|error| self.undecodable(error))?;
            slot.column = Some((self.meta.id, column));
        }
        Ok(&slot.timestamps_ms)
    }

    fn undecodable(&self, error: DecodeError) -> BlockError {
        self.pages.error(Problem::Broken(match error {
            DecodeError::Header => "chunk header",
            DecodeError::Timestamps => "timestamps",
            DecodeError::Values => "values",
            DecodeError::Starts => "start timestamps",
        }))
    }

    /// The chunks of a series, each with the row of its column.
    pub(super) fn chunks(
        &self,
        series: u32,
    ) -> Result<impl Iterator<Item = Result<(RunChunk<'_>, ColumnRow), BlockError>>, BlockError>
    {
        self.chunks_of(self.series_row(series)?)
    }

    fn chunks_of(
        &self,
        row: SeriesRow,
    ) -> Result<impl Iterator<Item = Result<(RunChunk<'_>, ColumnRow), BlockError>>, BlockError>
    {
        Ok(self.run_at(&row)?.map(move |head| {
            let head = head.ok_or_else(|| self.pages.broken("chunks"))?;
            let values = match head.values {
                RunValues::Here(values) => values,
                RunValues::Before { distance, bytes } => {
                    let start = row.place.checked_sub(distance).filter(|_| {
                        !self.has_plain_tables && (1..=SHARED_BYTES_MAX).contains(&distance)
                    });
                    let start = start.ok_or_else(|| self.pages.broken("chunks"))?;
                    self.pages.get(start, bytes)?
                }
            };
            let (codec, column, starts) = (head.codec, head.column, head.starts);
            let chunk = RunChunk { codec, column, values, starts };
            Ok((chunk, self.column_row(column)?))
        }))
    }

    /// Appends the samples of a series in `range` to `out`, floats and histograms each ascending.
    ///
    /// Cost: decodes the chunks that overlap the range. Errors: the block is damaged here; `out`
    /// may then hold some of the samples.
    pub fn samples(
        &self,
        series: u32,
        range: TimeRange,
        out: &mut Samples,
        scratch: &mut Scratch,
    ) -> Result<(), BlockError> {
        self.read(series, range, out, scratch)
    }

    pub(super) fn read(
        &self,
        series: u32,
        range: TimeRange,
        out: &mut impl SamplesOut,
        scratch: &mut Scratch,
    ) -> Result<(), BlockError> {
        let row = self.series_row(series)?;
        if !self.reaches(&row, range) {
            return Ok(());
        }
        let float_start = out.floats().0.len();
        let histogram_start = out.histogram_times().0.len();
        for chunk in self.chunks_of(row)? {
            let (chunk, row) = chunk?;
            if row.min_ms <= range.max_ms && range.min_ms <= row.max_ms {
                self.read_chunk(chunk, &row, out, scratch)?;
            }
        }
        cut_samples(out, (float_start, histogram_start), range);
        Ok(())
    }

    /// Appends all samples of a chunk.
    pub(super) fn read_chunk(
        &self,
        chunk: RunChunk<'_>,
        row: &ColumnRow,
        out: &mut impl SamplesOut,
        scratch: &mut Scratch,
    ) -> Result<(), BlockError> {
        let Scratch { columns, histograms } = scratch;
        let column_ms = self.timestamps(chunk.column, row, columns)?;
        let undecodable = |error| self.undecodable(error);
        let count = row.count as usize;
        match chunk.codec {
            ValueCodec::Floats(codec) => {
                let (timestamps_ms, values, starts_ms) = out.floats();
                let before = timestamps_ms.len();
                encode::decode_floats(chunk.values, codec, count, values).map_err(undecodable)?;
                timestamps_ms.extend_from_slice(column_ms);
                push_starts(chunk.starts, before, count, starts_ms).map_err(undecodable)
            }
            ValueCodec::Histograms { is_integer } => {
                histograms.clear();
                encode::decode_histograms(chunk.values, count, histograms).map_err(undecodable)?;
                out.push_histograms(histograms, is_integer);
                let (timestamps_ms, starts_ms) = out.histogram_times();
                let before = timestamps_ms.len();
                timestamps_ms.extend_from_slice(column_ms);
                push_starts(chunk.starts, before, count, starts_ms).map_err(undecodable)
            }
        }
    }
}

/// Appends start timestamps behind `before` samples; zeros where the chunk has none but others do.
pub(super) fn push_starts(
    bytes: &[u8],
    before: usize,
    count: usize,
    out: &mut Vec<i64>,
) -> Result<(), DecodeError> {
    if bytes.is_empty() {
        if !out.is_empty() {
            out.resize(before + count, 0);
        }
        return Ok(());
    }
    out.resize(before, 0);
    encode::decode_starts(bytes, count, out)
}
