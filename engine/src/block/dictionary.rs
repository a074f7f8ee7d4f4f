//! Names, values and postings of a block that is being written.
//!
//! Series come in order of their labels. Each name keeps its values sorted from the start, so that
//! nothing has to be sorted at the end; each value collects the series that have it.

use std::collections::BTreeMap;

use super::pages::{PageWriter, Section};
use super::postings::PostingsBuilder;
use crate::mem::varint::push_u64;
use crate::model::LabelsRef;

/// Sizes of rows: strings, and postings, begin where their row says and end where the next begins.
pub(super) const NAME_ROW_BYTES: usize = 12;
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

    /// Writes the strings: names, then the values of each name.
    pub fn write_strings(
        &mut self,
        pages: &mut PageWriter,
        out: &mut Vec<u8>,
        rows: &mut Rows,
    ) -> Result<Section, TooMany> {
        let start = pages.position();
        for (rank, (name, name_id)) in self.names.iter().enumerate() {
            rows.name_strings.push((pages.position() - start) as u32);
            rows.names.push(*name_id);
            self.by_id[*name_id as usize].rank = rank as u32;
            pages.push(out, name);
        }
        rows.name_strings.push((pages.position() - start) as u32);
        self.pair_ranks = vec![0; self.pair_postings.len()];
        for &name_id in &rows.names {
            rows.name_pairs.push(rows.pairs.len() as u32);
            for (rank, (value, &pair)) in self.by_id[name_id as usize].values.iter().enumerate() {
                rows.pair_strings.push((pages.position() - start) as u32);
                rows.pairs.push(pair);
                self.pair_ranks[pair as usize] = rank as u32;
                pages.push(out, value);
            }
        }
        rows.name_pairs.push(rows.pairs.len() as u32);
        rows.pair_strings.push((pages.position() - start) as u32);
        let bytes = pages.position() - start;
        if bytes > u64::from(u32::MAX) {
            return Err("bytes of label names and values");
        }
        Ok(Section { start, bytes })
    }

    /// Writes the postings: of the names, then of the pairs.
    pub fn write_postings(
        &mut self,
        pages: &mut PageWriter,
        out: &mut Vec<u8>,
        rows: &mut Rows,
    ) -> Result<Section, TooMany> {
        let start = pages.position();
        let mut list = vec![];
        let mut write = |postings: &mut PostingsBuilder, ends: &mut Vec<u32>| {
            ends.push((pages.position() - start) as u32);
            list.clear();
            std::mem::take(postings).finish(&mut list);
            pages.push(out, &list);
        };
        for &name_id in &rows.names {
            write(&mut self.by_id[name_id as usize].postings, &mut rows.name_postings);
        }
        for &pair in &rows.pairs {
            write(&mut self.pair_postings[pair as usize], &mut rows.pair_postings);
        }
        let bytes = pages.position() - start;
        if bytes > u64::from(u32::MAX) {
            return Err("bytes of postings");
        }
        rows.name_postings.push(rows.pair_postings.first().copied().unwrap_or(0));
        rows.pair_postings.push(bytes as u32);
        Ok(Section { start, bytes })
    }

    /// Writes the labels of all series, and where each begins: offsets, then labels.
    pub fn write_labels(
        &self,
        pages: &mut PageWriter,
        out: &mut Vec<u8>,
    ) -> Result<(Section, Section), TooMany> {
        let mut labels = vec![];
        let mut offsets: Vec<u8> = Vec::with_capacity(4 * (self.series_count() + 1));
        let mut at = 0;
        for &end in &self.label_ends {
            offsets.extend_from_slice(&(labels.len() as u32).to_le_bytes());
            for &(name_id, pair) in &self.labels[at as usize..end as usize] {
                push_u64(&mut labels, u64::from(self.by_id[name_id as usize].rank));
                push_u64(&mut labels, u64::from(self.pair_ranks[pair as usize]));
            }
            at = end;
        }
        offsets.extend_from_slice(&(labels.len() as u32).to_le_bytes());
        if labels.len() > u32::MAX as usize {
            return Err("bytes of labels");
        }
        let offsets = write_section(pages, out, &offsets);
        Ok((offsets, write_section(pages, out, &labels)))
    }
}

/// Columns of the rows of names and of pairs; each has an end more than it has rows.
#[derive(Debug, Default)]
pub(super) struct Rows {
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
    pub fn write(&self, pages: &mut PageWriter, out: &mut Vec<u8>) -> (Section, Section) {
        let mut names = Vec::with_capacity(self.name_strings.len() * NAME_ROW_BYTES);
        let columns = self.name_strings.iter().zip(&self.name_pairs).zip(&self.name_postings);
        for ((&string, &pair), &postings) in columns {
            [string, pair, postings].iter().for_each(|n| names.extend_from_slice(&n.to_le_bytes()));
        }
        let mut pairs = Vec::with_capacity(self.pair_strings.len() * PAIR_ROW_BYTES);
        for (&string, &postings) in self.pair_strings.iter().zip(&self.pair_postings) {
            [string, postings].iter().for_each(|n| pairs.extend_from_slice(&n.to_le_bytes()));
        }
        (write_section(pages, out, &names), write_section(pages, out, &pairs))
    }
}

pub(super) fn write_section(pages: &mut PageWriter, out: &mut Vec<u8>, bytes: &[u8]) -> Section {
    pages.align(out);
    let start = pages.position();
    pages.push(out, bytes);
    Section { start, bytes: bytes.len() as u64 }
}
