//! The index of a block: its symbols, its series with their chunks, and which series have which
//! labels. Read in place.
//!
//! ```text
//! magic: 0xBAAAD700 | version: 1 | symbols | series | … | postings | … | postings table | contents
//!
//! section    length: 4 | content | CRC32C: 4
//! symbols    count: 4 | ( length: uvarint, bytes )*        sorted; a number is a place in the list
//! series     length: uvarint | labels: ( name, value )* | chunks | CRC32C      at multiples of 16
//! postings   count: 4 | ( series: 4 )*                      ascending: in order of labels
//! table      count: 4 | ( 2 | name | value | place: uvarint )*           sorted since version 2
//! contents   six places of 8, the last 52 bytes with their CRC32C
//! ```
//!
//! A series is named by a sixteenth of its place. In version 1 it is named by its place, symbols by
//! theirs, and the table is not sorted. Symbols and table are verified when an index is opened,
//! series and postings whenever they are read.
//!
//! Source: Prometheus `tsdb/docs/format/index.md`, `tsdb/index/index.go`.

use std::ops::Range;

use roaring::RoaringBitmap;

use super::floats::Broken;
use crate::disk::FileBytes;
use crate::mem::varint::{take_bytes, take_i64, take_u64};
use crate::model::LabelsRef;
use crate::model::labels::push_string;

pub(super) const MAGIC: [u8; 4] = 0xbaaa_d700u32.to_be_bytes();
pub(super) const VERSION: u8 = 2;
const VERSION_MAX: u8 = 3;
pub(super) const CONTENTS_BYTES: usize = 6 * 8 + 4;
pub(super) const SERIES_ALIGN: usize = 16;

/// Of every so many symbols and values the place is kept in memory.
const SYMBOL_STRIDE: usize = 8;
const VALUE_STRIDE: usize = 32;

/// A chunk of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkMeta {
    /// Timestamps of the first and the last sample.
    pub min_ms: i64,
    pub max_ms: i64,
    /// Number of the segment in the upper, place in it in the lower 32 bits.
    pub reference: u64,
}

/// The values of a name, and where they stand in the table.
pub(super) struct Name {
    pub name: Box<[u8]>,
    /// Places in the file of every [`VALUE_STRIDE`]th entry; of all of them in version 1.
    places: Vec<u32>,
    pub count: u32,
}

pub(super) struct Index {
    bytes: FileBytes,
    version: u8,
    /// Places of every [`SYMBOL_STRIDE`]th symbol behind `symbols_start`.
    symbols: Vec<u32>,
    symbols_start: usize,
    symbols_end: usize,
    symbol_count: u32,
    /// Place of the table's content; places in `names` count from it.
    table_start: usize,
    table_end: usize,
    /// Sorted; the first may be the empty name, under which all series stand.
    names: Vec<Name>,
}

/// An entry of the postings table: a value and the place of its series.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    pub value: &'a [u8],
    pub postings: u64,
    /// Where it stands in the table.
    pub place: u32,
}

fn be_u32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_be_bytes)
}

/// The content of the section at `at`, and its checksum.
fn unverified(bytes: &[u8], at: u64) -> Option<(&[u8], u32)> {
    let at = usize::try_from(at).ok()?;
    let length = be_u32(bytes, at)? as usize;
    let start = at + 4;
    let content = bytes.get(start..start.checked_add(length)?)?;
    Some((content, be_u32(bytes, start + length)?))
}

/// The content of the section at `at`, if its checksum holds.
fn section(bytes: &[u8], at: u64) -> Option<&[u8]> {
    let (content, crc) = unverified(bytes, at)?;
    (crc32c::crc32c(content) == crc).then_some(content)
}

fn take_string<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take_u64(bytes)?).ok()?;
    take_bytes(bytes, length)
}

/// Name and entry at the front of `bytes`, which are what is left of a table of so many.
fn take_entry<'a>(bytes: &mut &'a [u8], table_bytes: usize) -> Option<(&'a [u8], Entry<'a>)> {
    let place = (table_bytes - bytes.len()) as u32;
    (take_u64(bytes)? == 2).then_some(())?;
    let name = take_string(bytes)?;
    let value = take_string(bytes)?;
    let postings = take_u64(bytes)?;
    Some((name, Entry { value, postings, place }))
}

impl Index {
    /// Opens an index. Reads and verifies symbols and table: about a millisecond a megabyte of them.
    pub fn open(bytes: FileBytes) -> Result<Index, Broken> {
        let file = (*bytes).as_ref();
        if file.get(..4) != Some(&MAGIC) {
            return Err("index header");
        }
        let version = *file.get(4).ok_or("index header")?;
        if !(1..=VERSION_MAX).contains(&version) {
            return Err("index version");
        }
        let contents_start = file.len().checked_sub(CONTENTS_BYTES).ok_or("table of contents")?;
        let contents = &file[contents_start..];
        let (places, crc) = contents.split_at(CONTENTS_BYTES - 4);
        if crc32c::crc32c(places).to_be_bytes() != *crc {
            return Err("table of contents");
        }
        let place = |number: usize| {
            u64::from_be_bytes(places[8 * number..8 * number + 8].try_into().expect("eight bytes"))
        };
        let offset_of = |content: &[u8]| content.as_ptr() as usize - file.as_ptr() as usize;
        let symbols = section(file, place(0)).ok_or("symbols")?;
        let table = section(file, place(5)).ok_or("postings table")?;
        let mut index = Index {
            version,
            symbols: vec![],
            symbols_start: offset_of(symbols),
            symbols_end: offset_of(symbols) + symbols.len(),
            symbol_count: be_u32(symbols, 0).ok_or("symbols")?,
            table_start: offset_of(table),
            table_end: offset_of(table) + table.len(),
            names: vec![],
            bytes: bytes.clone(),
        };
        index.read_symbols(symbols).ok_or("symbols")?;
        index.read_table(table).ok_or("postings table")?;
        Ok(index)
    }

    fn read_symbols(&mut self, content: &[u8]) -> Option<()> {
        let mut rest = &content[4..];
        for number in 0..self.symbol_count as usize {
            if number.is_multiple_of(SYMBOL_STRIDE) {
                self.symbols.push((content.len() - rest.len()) as u32);
            }
            take_string(&mut rest)?;
        }
        rest.is_empty().then_some(())
    }

    fn read_table(&mut self, content: &[u8]) -> Option<()> {
        let count = be_u32(content, 0)?;
        let mut rest = &content[4..];
        if self.version == 1 {
            let mut entries = vec![];
            for _ in 0..count {
                let (name, entry) = take_entry(&mut rest, content.len())?;
                entries.push((name, entry.value, entry.place));
            }
            entries.sort_unstable();
            for (name, _, place) in entries {
                self.name_for(name).places.push(place);
                self.name_for(name).count += 1;
            }
            return rest.is_empty().then_some(());
        }
        let mut last: Option<(&[u8], &[u8])> = None;
        for _ in 0..count {
            let (name, entry) = take_entry(&mut rest, content.len())?;
            if last.is_some_and(|last| last >= (name, entry.value)) {
                return None;
            }
            last = Some((name, entry.value));
            let of_name = self.name_for(name);
            if (of_name.count as usize).is_multiple_of(VALUE_STRIDE) {
                of_name.places.push(entry.place);
            }
            of_name.count += 1;
        }
        rest.is_empty().then_some(())
    }

    /// The last name, or a new one behind it.
    fn name_for(&mut self, name: &[u8]) -> &mut Name {
        if self.names.last().is_none_or(|last| *last.name != *name) {
            self.names.push(Name { name: name.into(), places: vec![], count: 0 });
        }
        self.names.last_mut().expect("a name was pushed")
    }

    fn file(&self) -> &[u8] {
        (*self.bytes).as_ref()
    }

    pub fn bytes(&self) -> &FileBytes {
        &self.bytes
    }

    pub fn version(&self) -> u8 {
        self.version
    }

    /// As [`Index::names`], and that under which all series stand.
    pub fn all_names(&self) -> impl Iterator<Item = &Name> {
        self.names.iter()
    }

    /// The names of labels, sorted.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.names.iter().filter(|name| !name.name.is_empty())
    }

    /// Which of all names it is.
    pub fn name_number(&self, name: &[u8]) -> Option<usize> {
        self.names.binary_search_by(|candidate| (*candidate.name).cmp(name)).ok()
    }

    pub fn name(&self, number: usize) -> &Name {
        &self.names[number]
    }

    pub fn find_name(&self, name: &[u8]) -> Option<&Name> {
        self.name_number(name).map(|number| self.name(number))
    }

    pub fn symbol_count(&self) -> u32 {
        self.symbol_count
    }

    /// The symbol of a number; of a place in version 1.
    fn symbol(&self, number: u32) -> Option<&[u8]> {
        if self.version == 1 {
            let end = self.symbols_end.min(self.file().len());
            return take_string(&mut self.file().get(number as usize..end)?);
        }
        if number >= self.symbol_count {
            return None;
        }
        let at = *self.symbols.get(number as usize / SYMBOL_STRIDE)? as usize;
        let mut rest = self.file().get(self.symbols_start + at..self.symbols_end)?;
        for _ in 0..number as usize % SYMBOL_STRIDE {
            take_string(&mut rest)?;
        }
        take_string(&mut rest)
    }

    fn table_bytes(&self) -> usize {
        self.table_end - self.table_start
    }

    /// The entry at a place of the table.
    pub fn entry_at(&self, place: u32) -> Option<Entry<'_>> {
        let mut rest = self.file().get(self.table_start + place as usize..self.table_end)?;
        Some(take_entry(&mut rest, self.table_bytes())?.1)
    }

    fn stride(&self) -> usize {
        if self.version == 1 { 1 } else { VALUE_STRIDE }
    }

    /// Entries of a name in order of value, the first of which stands at `places[from]`.
    fn entries_from<'a>(
        &'a self,
        name: &'a Name,
        from: usize,
    ) -> impl Iterator<Item = Entry<'a>> + 'a {
        let count = (name.count as usize).saturating_sub(from * self.stride());
        let mut rest: &[u8] = &[];
        (0..count).map_while(move |number| {
            if self.version == 1 {
                return self.entry_at(*name.places.get(from + number)?);
            }
            if number == 0 {
                let place = *name.places.get(from)? as usize;
                rest = self.file().get(self.table_start + place..self.table_end)?;
            }
            Some(take_entry(&mut rest, self.table_bytes())?.1)
        })
    }

    /// All entries of a name, in order of value.
    pub fn entries<'a>(&'a self, name: &'a Name) -> impl Iterator<Item = Entry<'a>> + 'a {
        self.entries_from(name, 0)
    }

    /// As [`Index::entries`], those whose value is not less than `value`.
    pub fn entries_since<'a>(
        &'a self,
        name: &'a Name,
        value: &'a [u8],
    ) -> impl Iterator<Item = Entry<'a>> + 'a {
        let is_before =
            |place: &u32| self.entry_at(*place).is_some_and(|entry| entry.value <= value);
        let from = name.places.partition_point(is_before).saturating_sub(1);
        self.entries_from(name, from).skip_while(move |entry| entry.value < value)
    }

    /// The entries of a name at some places in order of value.
    pub fn entries_at<'a>(
        &'a self,
        name: &'a Name,
        places: Range<u32>,
    ) -> impl Iterator<Item = Entry<'a>> + 'a {
        let (start, stride) = (places.start as usize, self.stride());
        self.entries_from(name, start / stride).skip(start % stride).take(places.len())
    }

    /// How many values of a name stand before the first for which `is_before` does not hold; it holds
    /// for none behind.
    pub fn count_before(&self, name: &Name, is_before: impl Fn(&[u8]) -> bool) -> u32 {
        let at_place = |place: &u32| self.entry_at(*place).is_some_and(|e| is_before(e.value));
        let from = name.places.partition_point(at_place).saturating_sub(1);
        let behind = self.entries_from(name, from).take_while(|entry| is_before(entry.value));
        (from * self.stride() + behind.count()) as u32
    }

    /// The entry of a value.
    pub fn entry<'a>(&'a self, name: &'a Name, value: &'a [u8]) -> Option<Entry<'a>> {
        self.entries_since(name, value).next().filter(|entry| entry.value == value)
    }

    /// Adds some series of an entry to `out`: at most `count` from the one at `from` on, so that a long
    /// list is read in turns. Returns how many are left behind. All of the list is verified with its
    /// first series.
    pub fn add_some_postings(
        &self,
        entry: Entry<'_>,
        from: usize,
        count: usize,
        out: &mut Vec<u32>,
    ) -> Result<usize, Broken> {
        let (content, crc) = unverified(self.file(), entry.postings).ok_or("postings")?;
        if from == 0 && crc32c::crc32c(content) != crc {
            return Err("postings");
        }
        let listed = be_u32(content, 0).ok_or("postings")? as usize;
        let (series, rest) = content[4..].as_chunks::<4>();
        if series.len() != listed || !rest.is_empty() {
            return Err("postings");
        }
        let series = series.get(from..).ok_or("postings")?;
        let (now, left) = series.split_at(count.min(series.len()));
        out.extend(now.iter().map(|&series| u32::from_be_bytes(series)));
        Ok(left.len())
    }

    /// Adds all series of an entry to `out`.
    pub fn add_postings(&self, entry: Entry<'_>, out: &mut Vec<u32>) -> Result<(), Broken> {
        self.add_some_postings(entry, 0, usize::MAX, out).map(|_| ())
    }

    /// The series of an entry.
    pub fn postings(&self, entry: Entry<'_>) -> Result<RoaringBitmap, Broken> {
        let mut series = vec![];
        self.add_postings(entry, &mut series)?;
        RoaringBitmap::from_sorted_iter(series).map_err(|_| "postings")
    }

    /// The series of the entry at a place of the table.
    pub fn postings_at(&self, place: u32) -> Result<RoaringBitmap, Broken> {
        self.postings(self.entry_at(place).ok_or("postings table")?)
    }

    /// The series that have a label of this name. Reads the postings of all values.
    pub fn series_of_name(&self, name: &Name) -> Result<RoaringBitmap, Broken> {
        let mut all = RoaringBitmap::new();
        for entry in self.entries(name) {
            all |= self.postings(entry)?;
        }
        Ok(all)
    }

    /// All series.
    pub fn all_series(&self) -> Result<RoaringBitmap, Broken> {
        match self.find_name(b"").and_then(|name| self.entry(name, b"")) {
            Some(entry) => self.postings(entry),
            None => Ok(RoaringBitmap::new()),
        }
    }

    /// Where a series stands in the file.
    pub fn series_place(&self, series: u32) -> usize {
        let align = if self.version == 1 { 1 } else { SERIES_ALIGN };
        series as usize * align
    }

    fn series_body(&self, series: u32) -> Option<&[u8]> {
        let mut rest = self.file().get(self.series_place(series)..)?;
        let body = take_string(&mut rest)?;
        (be_u32(rest, 0)? == crc32c::crc32c(body)).then_some(body)
    }

    /// The labels of a series, written to `buffer`, and what follows them: see [`take_chunks`].
    pub fn series<'i, 'b>(
        &'i self,
        series: u32,
        buffer: &'b mut Vec<u8>,
    ) -> Result<(LabelsRef<'b>, Chunks<'i>), Broken> {
        let mut body = self.series_body(series).ok_or("series")?;
        buffer.clear();
        let pairs = take_u64(&mut body).ok_or("series")?;
        for _ in 0..pairs {
            let mut symbol = || self.symbol(u32::try_from(take_u64(&mut body)?).ok()?);
            let name = symbol().ok_or("series labels")?;
            let value = symbol().ok_or("series labels")?;
            // An empty value is no label.
            if !value.is_empty() {
                push_string(buffer, name);
                push_string(buffer, value);
            }
        }
        let labels = LabelsRef::from_untrusted(buffer).ok_or("series labels")?;
        Ok((labels, Chunks::new(body).ok_or("series chunks")?))
    }

    /// The chunks of a series, in order of time.
    pub fn chunks(&self, series: u32) -> Result<Chunks<'_>, Broken> {
        let mut body = self.series_body(series).ok_or("series")?;
        let pairs = take_u64(&mut body).ok_or("series")?;
        for _ in 0..2 * pairs {
            take_u64(&mut body).ok_or("series labels")?;
        }
        Chunks::new(body).ok_or("series chunks")
    }
}

/// The chunks of a series as its entry lists them.
pub struct Chunks<'a> {
    rest: &'a [u8],
    left: u64,
    last: Option<ChunkMeta>,
}

impl<'a> Chunks<'a> {
    fn new(mut rest: &'a [u8]) -> Option<Chunks<'a>> {
        let left = take_u64(&mut rest)?;
        Some(Chunks { rest, left, last: None })
    }

    fn take(&mut self) -> Option<ChunkMeta> {
        let rest = &mut self.rest;
        let (min_ms, max_ms, reference) = match self.last {
            None => {
                let min_ms = take_i64(rest)?;
                (min_ms, min_ms.checked_add_unsigned(take_u64(rest)?)?, take_u64(rest)?)
            }
            Some(last) => {
                let min_ms = last.max_ms.wrapping_add(take_u64(rest)? as i64);
                let max_ms = min_ms.checked_add_unsigned(take_u64(rest)?)?;
                (min_ms, max_ms, last.reference.checked_add_signed(take_i64(rest)?)?)
            }
        };
        self.last = Some(ChunkMeta { min_ms, max_ms, reference });
        self.last
    }
}

impl Iterator for Chunks<'_> {
    type Item = Result<ChunkMeta, Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let chunk = self.take();
        if chunk.is_none() {
            self.left = 0;
        }
        Some(chunk.ok_or("series chunks"))
    }
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index").field("version", &self.version).finish_non_exhaustive()
    }
}
