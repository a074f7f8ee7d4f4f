//! Writing the index of a block.
//!
//! Symbols stand before the series and are sorted, so that no series can be written before the last
//! is known. Until then labels are numbers of pairs, in the order in which pairs came.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashTable};

use super::index::{ChunkMeta, MAGIC, SERIES_ALIGN, VERSION};
use super::write::{BlockFile, Pieces};
use crate::mem::varint::{push_i64, push_u64};
use crate::model::LabelsRef;

/// Series, lists or values that are written in one call.
const COUNT_PER_CALL: usize = 4096;

/// Strings, each once.
#[derive(Debug, Default)]
struct Strings {
    bytes: Vec<u8>,
    ends: Vec<u32>,
    table: HashTable<u32>,
    hasher: RandomState,
}

impl Strings {
    fn get(&self, number: u32) -> &[u8] {
        string(&self.bytes, &self.ends, number)
    }

    /// `None` when there is no room for more.
    fn number(&mut self, text: &[u8]) -> Option<u32> {
        let hash = self.hasher.hash_one(text);
        let Strings { bytes, ends, table, hasher } = self;
        if let Some(&found) = table.find(hash, |&number| string(bytes, ends, number) == text) {
            return Some(found);
        }
        let number = u32::try_from(ends.len()).ok()?;
        bytes.extend_from_slice(text);
        ends.push(u32::try_from(bytes.len()).ok()?);
        table.insert_unique(hash, number, |&number| hasher.hash_one(string(bytes, ends, number)));
        Some(number)
    }
}

fn string<'b>(bytes: &'b [u8], ends: &[u32], number: u32) -> &'b [u8] {
    let number = number as usize;
    let start = if number == 0 { 0 } else { ends[number - 1] as usize };
    &bytes[start..ends[number] as usize]
}

/// How far the index is written.
#[derive(Debug, Default)]
enum Stage {
    #[default]
    Symbols,
    /// The series that comes next, and where its labels and chunks begin.
    Series {
        next: usize,
        label: usize,
        chunk: usize,
    },
    Postings {
        next: usize,
    },
    Table,
    Done,
}

#[derive(Debug, Default)]
pub(super) struct IndexWriter {
    strings: Strings,
    /// Numbers of the strings of a pair.
    pairs: Vec<(u32, u32)>,
    pair_numbers: HashMap<(u32, u32), u32, RandomState>,
    /// Series that have the pair.
    pair_counts: Vec<u32>,
    /// Of all series one behind the other: pairs, and chunks as they will stand in the file.
    labels: Vec<u32>,
    label_ends: Vec<usize>,
    chunks: Vec<u8>,
    chunk_ends: Vec<usize>,
    stage: Stage,
    /// Bytes of the file so far.
    position: u64,
    /// Numbers of strings among the sorted ones.
    symbols: Vec<u32>,
    /// Pairs in order of name and value.
    pair_order: Vec<u32>,
    /// Numbers of the series, and of those of each pair one behind the other.
    series: Vec<u32>,
    postings: Vec<u32>,
    /// Where those of a pair begin; while they are filled, where the next goes.
    postings_starts: Vec<usize>,
    /// Places of lists in the file: that of all series first, then in order of pairs.
    places: Vec<u64>,
    contents: Contents,
    work: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Contents {
    series: u64,
    label_indices: u64,
    postings: u64,
    table: u64,
}

impl IndexWriter {
    /// Bytes on the heap, about.
    pub fn bytes(&self) -> usize {
        self.strings.bytes.capacity()
            + 8 * self.strings.ends.capacity()
            + 28 * self.pairs.capacity()
            + 4 * self.labels.capacity()
            + self.chunks.capacity()
            + 16 * self.label_ends.capacity()
    }

    /// Takes a series; what is too much of when there is no room for more.
    pub fn push_series(
        &mut self,
        labels: LabelsRef<'_>,
        chunks: &[ChunkMeta],
    ) -> Result<(), &'static str> {
        for (name, value) in labels.iter() {
            let name = self.strings.number(name).ok_or("label values")?;
            let value = self.strings.number(value).ok_or("label values")?;
            let next = self.pairs.len() as u32;
            let pair = *self.pair_numbers.entry((name, value)).or_insert(next);
            if pair == next {
                self.pairs.push((name, value));
                self.pair_counts.push(0);
            }
            self.pair_counts[pair as usize] += 1;
            self.labels.push(pair);
        }
        self.label_ends.push(self.labels.len());
        push_u64(&mut self.chunks, chunks.len() as u64);
        let mut last: Option<&ChunkMeta> = None;
        for chunk in chunks {
            match last {
                None => push_i64(&mut self.chunks, chunk.min_ms),
                Some(last) => push_u64(&mut self.chunks, (chunk.min_ms - last.max_ms) as u64),
            }
            push_u64(&mut self.chunks, chunk.max_ms.wrapping_sub(chunk.min_ms) as u64);
            match last {
                None => push_u64(&mut self.chunks, chunk.reference),
                Some(last) => {
                    push_i64(&mut self.chunks, chunk.reference.wrapping_sub(last.reference) as i64);
                }
            }
            last = Some(chunk);
        }
        self.chunk_ends.push(self.chunks.len());
        Ok(())
    }

    /// Writes a part; whether all is written.
    pub fn finish(&mut self, out: &mut Pieces) -> Result<bool, &'static str> {
        let file = out.of(BlockFile::Index);
        let before = file.len();
        match self.stage {
            Stage::Symbols => self.push_symbols(file)?,
            Stage::Series { next, label, chunk } => {
                self.push_some_series(file, next, label, chunk)?;
            }
            Stage::Postings { next } => self.push_some_postings(file, next)?,
            Stage::Table => self.push_table(file)?,
            Stage::Done => return Ok(true),
        }
        self.position += (file.len() - before) as u64;
        Ok(matches!(self.stage, Stage::Done))
    }

    fn push_symbols(&mut self, out: &mut Vec<u8>) -> Result<(), &'static str> {
        out.extend_from_slice(&MAGIC);
        out.push(VERSION);
        let strings = &self.strings;
        let mut order: Vec<u32> = (0..strings.ends.len() as u32).collect();
        order.sort_unstable_by_key(|&number| strings.get(number));
        self.symbols = vec![0; order.len()];
        for (symbol, &number) in (0..).zip(&order) {
            self.symbols[number as usize] = symbol;
        }
        let start = begin_section(out);
        out.extend_from_slice(&(order.len() as u32).to_be_bytes());
        for &number in &order {
            push_string(out, strings.get(number));
        }
        end_section(out, start).ok_or("label values")?;
        self.contents.series = out.len() as u64;
        self.pair_order = (0..self.pairs.len() as u32).collect();
        let (pairs, symbols) = (&self.pairs, &self.symbols);
        self.pair_order.sort_unstable_by_key(|&pair| {
            let (name, value) = pairs[pair as usize];
            (symbols[name as usize], symbols[value as usize])
        });
        // Those of each pair stand one behind the other, in order of the pairs.
        self.postings = vec![0; self.labels.len()];
        self.postings_starts = vec![0; self.pairs.len()];
        let mut next = 0;
        for &pair in &self.pair_order {
            self.postings_starts[pair as usize] = next;
            next += self.pair_counts[pair as usize] as usize;
        }
        self.stage = Stage::Series { next: 0, label: 0, chunk: 0 };
        Ok(())
    }

    fn push_some_series(
        &mut self,
        out: &mut Vec<u8>,
        first: usize,
        mut label: usize,
        mut chunk: usize,
    ) -> Result<(), &'static str> {
        let offset = self.position - out.len() as u64;
        let end = self.label_ends.len().min(first + COUNT_PER_CALL);
        for series in first..end {
            pad(out, offset, SERIES_ALIGN);
            let place = (offset + out.len() as u64) / SERIES_ALIGN as u64;
            let place = u32::try_from(place).map_err(|_| "series")?;
            self.series.push(place);
            let body = &mut self.work;
            body.clear();
            let pairs = &self.labels[label..self.label_ends[series]];
            push_u64(body, pairs.len() as u64);
            for &pair in pairs {
                let (name, value) = self.pairs[pair as usize];
                push_u64(body, u64::from(self.symbols[name as usize]));
                push_u64(body, u64::from(self.symbols[value as usize]));
                let next = &mut self.postings_starts[pair as usize];
                self.postings[*next] = place;
                *next += 1;
            }
            body.extend_from_slice(&self.chunks[chunk..self.chunk_ends[series]]);
            push_u64(out, body.len() as u64);
            out.extend_from_slice(body);
            out.extend_from_slice(&crc32c::crc32c(body).to_be_bytes());
            (label, chunk) = (self.label_ends[series], self.chunk_ends[series]);
        }
        self.stage = Stage::Series { next: end, label, chunk };
        if end == self.label_ends.len() {
            // Not needed any more.
            (self.labels, self.chunks) = (vec![], vec![]);
            self.contents.label_indices = offset + out.len() as u64;
            self.contents.postings = self.contents.label_indices;
            pad(out, offset, 4);
            self.places.push(offset + out.len() as u64);
            push_list(out, &self.series).ok_or("series")?;
            self.stage = Stage::Postings { next: 0 };
        }
        Ok(())
    }

    fn push_some_postings(&mut self, out: &mut Vec<u8>, first: usize) -> Result<(), &'static str> {
        let offset = self.position - out.len() as u64;
        let end = self.pair_order.len().min(first + COUNT_PER_CALL);
        for &pair in &self.pair_order[first..end] {
            pad(out, offset, 4);
            self.places.push(offset + out.len() as u64);
            let end = self.postings_starts[pair as usize];
            let start = end - self.pair_counts[pair as usize] as usize;
            push_list(out, &self.postings[start..end]).ok_or("series")?;
        }
        self.stage = match end == self.pair_order.len() {
            true => Stage::Table,
            false => Stage::Postings { next: end },
        };
        Ok(())
    }

    fn push_table(&mut self, out: &mut Vec<u8>) -> Result<(), &'static str> {
        let offset = self.position - out.len() as u64;
        self.contents.table = self.position;
        let start = begin_section(out);
        out.extend_from_slice(&(self.places.len() as u32).to_be_bytes());
        let texts = self.pair_order.iter().map(|&pair| {
            let (name, value) = self.pairs[pair as usize];
            (self.strings.get(name), self.strings.get(value))
        });
        let all: (&[u8], &[u8]) = (b"", b"");
        for ((name, value), &place) in [all].into_iter().chain(texts).zip(&self.places) {
            out.push(2);
            push_string(out, name);
            push_string(out, value);
            push_u64(out, place);
        }
        end_section(out, start).ok_or("label values")?;
        debug_assert!(offset + start as u64 == self.contents.table);
        let Contents { series, label_indices, postings, table } = self.contents;
        let start = out.len();
        let symbols = MAGIC.len() as u64 + 1;
        // Lists of values are not written any more: their table is that of postings.
        for place in [symbols, series, label_indices, table, postings, table] {
            out.extend_from_slice(&place.to_be_bytes());
        }
        let crc = crc32c::crc32c(&out[start..]);
        out.extend_from_slice(&crc.to_be_bytes());
        self.stage = Stage::Done;
        Ok(())
    }
}

fn push_string(out: &mut Vec<u8>, text: &[u8]) {
    push_u64(out, text.len() as u64);
    out.extend_from_slice(text);
}

/// Zeros up to a multiple of `align` in the file, which `offset` bytes precede `out`.
fn pad(out: &mut Vec<u8>, offset: u64, align: usize) {
    while !(offset + out.len() as u64).is_multiple_of(align as u64) {
        out.push(0);
    }
}

/// Leaves room for a length; where it is.
fn begin_section(out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(&[0; 4]);
    out.len() - 4
}

/// Fills in the length and appends the checksum; `None` when it is too long.
fn end_section(out: &mut Vec<u8>, start: usize) -> Option<()> {
    let length = u32::try_from(out.len() - start - 4).ok()?;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    let crc = crc32c::crc32c(&out[start + 4..]);
    out.extend_from_slice(&crc.to_be_bytes());
    Some(())
}

fn push_list(out: &mut Vec<u8>, series: &[u32]) -> Option<()> {
    let start = begin_section(out);
    out.extend_from_slice(&(series.len() as u32).to_be_bytes());
    for series in series {
        out.extend_from_slice(&series.to_be_bytes());
    }
    end_section(out, start)
}
