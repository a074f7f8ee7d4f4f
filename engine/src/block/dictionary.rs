//! Names, values and postings of a block that is being written.
//!
//! Series come in order of their labels. Each name keeps its values sorted from the start, so that
//! nothing has to be sorted at the end; each value collects the series that have it.

use std::collections::{BTreeMap, btree_map};

use super::packed::PackedWriter;
use super::pages::{PageWriter, Section};
use super::postings::PostingsBuilder;
use crate::mem::varint::push_u64;
use crate::model::LabelsRef;

/// Sizes of rows: strings, and postings, begin where their row says and end where the next begins.
pub(super) const NAME_ROW_BYTES: usize = 12;
/// In the first version of the format.
pub(super) const PAIR_ROW_BYTES: usize = 8;

#[derive(Debug, Default)]
struct Name {
    /// Id of each value, given in order of appearance.
    values: BTreeMap<Box<[u8]>, u32>,
    /// Value and id seen last: neighbours share most labels.
    last: Option<(Box<[u8]>, u32)>,
    postings: PostingsBuilder,
    /// In order of names; known at the end.
    rank: u32,
}

#[derive(Debug, Default)]
pub(super) struct DictionaryWriter {
    /// Id of each name.
    names: BTreeMap<Box<[u8]>, u32>,
    by_id: Vec<Name>,
    /// By pair id.
    pair_postings: Vec<PostingsBuilder>,
    /// Place of each pair among the values of its name; known at the end.
    pair_ranks: Vec<u32>,
    /// Labels of each series: name and pair, and where each series ends.
    labels: Vec<(u32, u32)>,
    label_ends: Vec<u64>,
    rows: Rows,
    /// Values of the name whose strings are being written.
    values: Option<btree_map::IntoIter<Box<[u8]>, u32>>,
}

/// What a section grew beyond.
pub(super) type TooMany = &'static str;

impl DictionaryWriter {
    pub fn series_count(&self) -> usize {
        self.label_ends.len()
    }

    /// Adds the next series, which has the number [`DictionaryWriter::series_count`].
    pub fn push(&mut self, labels: LabelsRef<'_>) {
        let series = self.series_count() as u32;
        for (name, value) in labels.iter() {
            let name_id = match self.names.get(name) {
                Some(&name_id) => name_id,
                None => {
                    let name_id = self.by_id.len() as u32;
                    self.names.insert(name.into(), name_id);
                    self.by_id.push(Name::default());
                    name_id
                }
            };
            let name = &mut self.by_id[name_id as usize];
            name.postings.push(series);
            let pair = match &name.last {
                Some((last, pair)) if **last == *value => *pair,
                _ => {
                    let pair = match name.values.get(value) {
                        Some(&pair) => pair,
                        None => {
                            let pair = self.pair_postings.len() as u32;
                            name.values.insert(value.into(), pair);
                            self.pair_postings.push(PostingsBuilder::default());
                            pair
                        }
                    };
                    name.last = Some((value.into(), pair));
                    pair
                }
            };
            self.pair_postings[pair as usize].push(series);
            self.labels.push((name_id, pair));
        }
        self.label_ends.push(self.labels.len() as u64);
    }

    /// Bytes on the heap, about.
    pub fn bytes(&self) -> usize {
        /// A value in a tree, its text aside.
        const VALUE_BYTES: usize = 48;
        let postings: usize = self.pair_postings.iter().map(PostingsBuilder::bytes).sum();
        self.labels.capacity() * 8
            + self.label_ends.capacity() * 8
            + self.pair_postings.len() * (size_of::<PostingsBuilder>() + VALUE_BYTES)
            + postings
    }

    /// Writes strings until about `work` is used up: the names, then the values of each. `true` when
    /// all are written.
    pub fn write_strings(
        &mut self,
        start: u64,
        work: &mut usize,
        pages: &mut PageWriter,
        out: &mut Vec<u8>,
    ) -> Result<bool, TooMany> {
        let rows = &mut self.rows;
        if rows.name_strings.is_empty() {
            for (rank, (name, name_id)) in std::mem::take(&mut self.names).into_iter().enumerate() {
                rows.name_strings.push((pages.position() - start) as u32);
                rows.names.push(name_id);
                self.by_id[name_id as usize].rank = rank as u32;
                pages.push(out, &name);
            }
            rows.name_strings.push((pages.position() - start) as u32);
            self.pair_ranks = vec![0; self.pair_postings.len()];
        }
        while *work > 0 {
            let values = match &mut self.values {
                Some(values) => values,
                None => {
                    let next_name = rows.name_pairs.len();
                    rows.name_pairs.push(rows.pairs.len() as u32);
                    let Some(&name_id) = rows.names.get(next_name) else {
                        rows.pair_strings.push((pages.position() - start) as u32);
                        return Ok(true);
                    };
                    let values = std::mem::take(&mut self.by_id[name_id as usize].values);
                    self.values.insert(values.into_iter())
                }
            };
            let Some((value, pair)) = values.next() else {
                self.values = None;
                continue;
            };
            let first = rows.name_pairs.last().expect("the name has begun");
            self.pair_ranks[pair as usize] = rows.pairs.len() as u32 - first;
            rows.pair_strings.push((pages.position() - start) as u32);
            rows.pairs.push(pair);
            pages.push(out, &value);
            *work -= 1;
            if pages.position() - start > u64::from(u32::MAX) {
                return Err("bytes of label names and values");
            }
        }
        Ok(false)
    }

    /// Writes postings, of the names, then of the pairs: as [`DictionaryWriter::write_strings`].
    pub fn write_postings(
        &mut self,
        start: u64,
        work: &mut usize,
        pages: &mut PageWriter,
        out: &mut Vec<u8>,
    ) -> Result<bool, TooMany> {
        let rows = &mut self.rows;
        let mut list = vec![];
        while *work > 0 {
            let at = pages.position() - start;
            if at > u64::from(u32::MAX) {
                return Err("bytes of postings");
            }
            let (name, pair) = (rows.name_postings.len(), rows.pair_postings.len());
            let postings = if let Some(&name_id) = rows.names.get(name) {
                rows.name_postings.push(at as u32);
                &mut self.by_id[name_id as usize].postings
            } else if let Some(&pair) = rows.pairs.get(pair) {
                rows.pair_postings.push(at as u32);
                &mut self.pair_postings[pair as usize]
            } else {
                rows.name_postings.push(rows.pair_postings.first().copied().unwrap_or(0));
                rows.pair_postings.push(at as u32);
                return Ok(true);
            };
            list.clear();
            std::mem::take(postings).finish(&mut list);
            pages.push(out, &list);
            *work = work.saturating_sub(1 + list.len() / 16);
        }
        Ok(false)
    }

    /// Writes the rows of names and those of pairs.
    pub fn write_rows(&self, pages: &mut PageWriter, out: &mut Vec<u8>) -> (Section, Section) {
        self.rows.write(pages, out)
    }

    /// Writes labels of series, from number `offsets.row_count()` on, and their offsets into
    /// `offsets`: as [`DictionaryWriter::write_strings`].
    pub fn write_labels(
        &self,
        offsets: &mut PackedWriter<1>,
        start: u64,
        work: &mut usize,
        pages: &mut PageWriter,
        out: &mut Vec<u8>,
    ) -> Result<bool, TooMany> {
        let mut encoded = vec![];
        while *work > 0 {
            let at = pages.position() - start;
            if at > u64::from(u32::MAX) {
                return Err("bytes of labels");
            }
            let series = offsets.row_count();
            offsets.push([at]);
            let Some(&end) = self.label_ends.get(series) else { return Ok(true) };
            let first = if series == 0 { 0 } else { self.label_ends[series - 1] };
            encoded.clear();
            for &(name_id, pair) in &self.labels[first as usize..end as usize] {
                push_u64(&mut encoded, u64::from(self.by_id[name_id as usize].rank));
                push_u64(&mut encoded, u64::from(self.pair_ranks[pair as usize]));
            }
            pages.push(out, &encoded);
            *work -= 1;
        }
        Ok(false)
    }
}

/// Columns of the rows of names and of pairs; each has an end more than it has rows.
#[derive(Debug, Default)]
struct Rows {
    /// Ids in order.
    names: Vec<u32>,
    pairs: Vec<u32>,
    name_strings: Vec<u32>,
    name_pairs: Vec<u32>,
    name_postings: Vec<u32>,
    pair_strings: Vec<u32>,
    pair_postings: Vec<u32>,
}

impl Rows {
    /// Writes the rows of names and those of pairs.
    fn write(&self, pages: &mut PageWriter, out: &mut Vec<u8>) -> (Section, Section) {
        let mut names = Vec::with_capacity(self.name_strings.len() * NAME_ROW_BYTES);
        let columns = self.name_strings.iter().zip(&self.name_pairs).zip(&self.name_postings);
        for ((&string, &pair), &postings) in columns {
            [string, pair, postings].iter().for_each(|n| names.extend_from_slice(&n.to_le_bytes()));
        }
        let mut pairs = PackedWriter::default();
        for (&string, &postings) in self.pair_strings.iter().zip(&self.pair_postings) {
            pairs.push([string.into(), postings.into()]);
        }
        (write_section(pages, out, &names), write_section(pages, out, &pairs.finish()))
    }
}

pub(super) fn write_section(pages: &mut PageWriter, out: &mut Vec<u8>, bytes: &[u8]) -> Section {
    pages.align(out);
    let start = pages.position();
    pages.push(out, bytes);
    Section { start, bytes: bytes.len() as u64 }
}
