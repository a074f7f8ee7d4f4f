//! The end of a block's file, in turns: the dictionary, and the tables by series.

use super::columns::ColumnWriter;
use super::dictionary::{DictionaryWriter, TooMany, write_section};
use super::meta::{SectionName, Sections};
use super::packed::PackedWriter;
use super::pages::{PageWriter, Section};
use super::write::SeriesPlace;

/// What is written next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Strings,
    Postings,
    Rows,
    Labels,
    Hashes,
    Series,
    Columns,
}

#[derive(Debug)]
pub(super) struct Finish {
    pub sections: Sections,
    stage: Stage,
    /// Where the section that is being written begins.
    start: u64,
    /// Where the last run ends.
    runs_end: u64,
    /// First timestamp of the block.
    base_ms: i64,
    label_offsets: PackedWriter<1>,
    series_rows: PackedWriter<3>,
}

/// What the writer collected.
pub(super) struct Tables<'a> {
    pub dictionary: &'a mut DictionaryWriter,
    /// Of each series, as they will be written.
    pub hashes: &'a mut Vec<u8>,
    pub places: &'a [SeriesPlace],
    pub columns: &'a ColumnWriter,
}

impl Finish {
    pub fn new(base_ms: i64, pages: &mut PageWriter, out: &mut Vec<u8>) -> Finish {
        let runs_end = pages.position();
        pages.align(out);
        Finish {
            sections: Sections::default(),
            stage: Stage::Strings,
            start: pages.position(),
            runs_end,
            base_ms,
            label_offsets: PackedWriter::default(),
            series_rows: PackedWriter::default(),
        }
    }

    /// Goes on until about `work` is used up; `true` when all sections are written.
    pub fn step(
        &mut self,
        mut work: usize,
        tables: Tables<'_>,
        pages: &mut PageWriter,
        out: &mut Vec<u8>,
    ) -> Result<bool, TooMany> {
        let Tables { dictionary, hashes, places, columns } = tables;
        while work > 0 {
            match self.stage {
                Stage::Strings => {
                    if dictionary.write_strings(self.start, &mut work, pages, out)? {
                        self.end_section(SectionName::Strings, Stage::Postings, pages, out);
                    }
                }
                Stage::Postings => {
                    if dictionary.write_postings(self.start, &mut work, pages, out)? {
                        self.end_section(SectionName::Postings, Stage::Rows, pages, out);
                    }
                }
                Stage::Rows => {
                    let (names, pairs) = dictionary.write_rows(pages, out);
                    self.put(SectionName::Names, names);
                    self.put(SectionName::Pairs, pairs);
                    pages.align(out);
                    (self.stage, self.start) = (Stage::Labels, pages.position());
                }
                Stage::Labels => {
                    let offsets = &mut self.label_offsets;
                    if dictionary.write_labels(offsets, self.start, &mut work, pages, out)? {
                        self.end_section(SectionName::Labels, Stage::Hashes, pages, out);
                        let offsets = std::mem::take(&mut self.label_offsets).finish();
                        let offsets = write_section(pages, out, &offsets);
                        self.put(SectionName::LabelOffsets, offsets);
                    }
                }
                Stage::Hashes => {
                    let section = write_section(pages, out, &std::mem::take(hashes));
                    self.put(SectionName::Hashes, section);
                    self.stage = Stage::Series;
                }
                Stage::Series => {
                    if self.push_series_rows(places, &mut work) {
                        let rows = std::mem::take(&mut self.series_rows).finish();
                        let section = write_section(pages, out, &rows);
                        self.put(SectionName::Series, section);
                        self.stage = Stage::Columns;
                    }
                }
                Stage::Columns => {
                    let section = write_section(pages, out, &columns.rows);
                    self.put(SectionName::Columns, section);
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Appends rows of series, and the one for the end: `true` when all are there.
    fn push_series_rows(&mut self, places: &[SeriesPlace], work: &mut usize) -> bool {
        let (rows, base_ms) = (&mut self.series_rows, self.base_ms);
        while *work > 0 {
            let next = places.get(rows.row_count());
            // The end has the times of the last series: numbers that differ take bits.
            let Some(series) = next.or(places.last()) else { return true };
            let place = next.map_or(self.runs_end, |series| series.place);
            let min_s = seconds_down(series.min_ms, base_ms);
            let max_s = seconds_up(series.max_ms, base_ms);
            rows.push([place, min_s.into(), max_s.into()]);
            if next.is_none() {
                return true;
            }
            *work -= 1;
        }
        false
    }

    fn put(&mut self, name: SectionName, section: Section) {
        self.sections[name as usize] = section;
    }

    fn end_section(
        &mut self,
        name: SectionName,
        next: Stage,
        pages: &mut PageWriter,
        out: &mut Vec<u8>,
    ) {
        let bytes = pages.position() - self.start;
        self.put(name, Section { start: self.start, bytes });
        pages.align(out);
        (self.stage, self.start) = (next, pages.position());
    }
}

/// In the first version of the format: place of the run: 8, first and last second since the first
/// timestamp of the block: 4 each.
pub(super) const SERIES_ROW_BYTES: usize = 16;

/// Whole seconds from `base_ms` to `time_ms`, rounded down; as many as there is room for.
fn seconds_down(time_ms: i64, base_ms: i64) -> u32 {
    u32::try_from(time_ms.wrapping_sub(base_ms) as u64 / 1000).unwrap_or(u32::MAX)
}

/// As [`seconds_down`], rounded up; the largest stands for all beyond.
fn seconds_up(time_ms: i64, base_ms: i64) -> u32 {
    u32::try_from((time_ms.wrapping_sub(base_ms) as u64).div_ceil(1000)).unwrap_or(u32::MAX)
}
