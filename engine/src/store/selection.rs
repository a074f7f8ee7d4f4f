//! What a query selects: each label set once, with the places that have samples of it.
//!
//! ```text
//! heads    head id, if any                              one for each entry
//! chains   first and last place in blocks, oldest first one for each entry, once a block has one
//! ```
//!
//! A selection keeps its blocks and parts alive: they may leave the store, and their files the disk,
//! while a query runs.

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::sync::Arc;

use super::Store;
use super::combine::Combine;
use super::guests::AnyBlock;
use super::select::source_error;
use super::selecting::Selecting;
use crate::block::part::{Part, PartChunk, PartPlace, PartTombstones};
use crate::block::{BlockError, Scratch, delete_intervals};
use crate::disk::FileBytes;
use crate::encode::{self, ChunkHeader};
use crate::model::source::Touched;
use crate::model::{
    KeptLabels, LabelKeys, LabelsRef, Matcher, Samples, Selection, SeriesId, Source, SourceError,
    TimeRange,
};

/// Stands for no series of the head, and for no further place.
pub(super) const NONE: u32 = u32::MAX;

/// Where the places of one label set begin and end.
#[derive(Clone, Copy, Debug)]
struct Chain {
    first: u32,
    last: u32,
}

const NO_CHAIN: Chain = Chain { first: NONE, last: NONE };

/// A series of a block, and the next place of its entry.
#[derive(Clone, Copy, Debug)]
struct Place {
    block: u32,
    series: u32,
    next: u32,
}

#[derive(Default)]
pub struct StoreSelection {
    pub(super) heads: Vec<u32>,
    chains: Vec<Chain>,
    places: Vec<Place>,
    /// Oldest first.
    pub(super) blocks: Vec<AnyBlock>,
    /// In the order they were written, with the time before which blocks have their samples.
    parts: Vec<(Arc<Part>, i64)>,
    /// Where each of them was read last: series come in the order of their ids.
    part_places: RefCell<Vec<PartPlace>>,
    /// Number of the last part that there was, in range or not.
    last_part: u64,
    /// Of parts.
    tombstones: Arc<PartTombstones>,
    /// What is left of making it.
    selecting: Option<Box<Selecting>>,
}

impl Selection for StoreSelection {
    fn len(&self) -> usize {
        self.heads.len()
    }
}

thread_local! {
    /// Room for decoding, one a thread: what a source reads into is the caller's.
    static SCRATCH: RefCell<Scratch> = RefCell::default();

    /// Room for the labels that are lent.
    static LABELS: Cell<Vec<u8>> = Cell::default();
}

impl StoreSelection {
    /// Some series of the head.
    #[cfg(test)]
    pub(super) fn of_head(ids: &[SeriesId]) -> StoreSelection {
        let heads = ids.iter().map(|id| id.0).collect();
        StoreSelection { heads, ..StoreSelection::default() }
    }

    /// Ids of those that the head has.
    #[cfg(test)]
    pub(super) fn head_ids(&self) -> Vec<u32> {
        self.heads.iter().copied().filter(|&head| head != NONE).collect()
    }

    /// Searches of series do so much at once from now on.
    #[cfg(test)]
    pub(super) fn set_search_work(&mut self, work_max: usize) {
        if let Some(selecting) = &mut self.selecting {
            selecting.set_search_work(work_max);
        }
    }

    fn chain(&self, index: usize) -> Chain {
        self.chains.get(index).copied().unwrap_or(NO_CHAIN)
    }

    fn places_of(&self, index: usize) -> impl Iterator<Item = Place> + '_ {
        let mut next = self.chain(index).first;
        std::iter::from_fn(move || {
            let place = *self.places.get(next as usize)?;
            next = place.next;
            Some(place)
        })
    }

    pub(super) fn add_place(&mut self, entry: u32, block: u32, series: u32) {
        let at = self.places.len() as u32;
        self.places.push(Place { block, series, next: NONE });
        self.chains.resize(self.heads.len(), NO_CHAIN);
        let chain = &mut self.chains[entry as usize];
        match chain.first {
            NONE => chain.first = at,
            _ => self.places[chain.last as usize].next = at,
        }
        chain.last = at;
    }

    /// Whether nothing of it lies in files.
    pub fn is_in_memory(&self) -> bool {
        self.places.is_empty() && self.parts.is_empty()
    }

    /// What [`Source::samples`] will read of files in `range` for the series at `indexes`: ranges of
    /// bytes that may not be in memory.
    pub fn file_ranges(
        &self,
        indexes: Range<usize>,
        range: TimeRange,
    ) -> Vec<(FileBytes, Range<usize>)> {
        let mut ranges: Vec<(FileBytes, Range<usize>)> = vec![];
        // Where the last range of each own block stands: of neighbours they are mostly one.
        let mut last = vec![usize::MAX; self.blocks.len()];
        for place in indexes.clone().flat_map(|index| self.places_of(index)) {
            let block = &self.blocks[place.block as usize];
            let Some(bytes) = block.own_byte_range(place.series, range) else {
                ranges.extend(block.guest_byte_ranges(place.series, range));
                continue;
            };
            let last = &mut last[place.block as usize];
            match ranges.get_mut(*last) {
                _ if bytes.is_empty() => {}
                Some((_, before)) if (before.start..=before.end).contains(&bytes.start) => {
                    before.end = before.end.max(bytes.end);
                }
                _ => {
                    *last = ranges.len();
                    ranges.extend(block.bytes().map(|file| (file.clone(), bytes)));
                }
            }
        }
        for (part, _) in &self.parts {
            // Of neighbours chunks mostly stand together.
            let mut known = 0..0;
            for &head in &self.heads[indexes.clone()] {
                if head == NONE || known.contains(&head) {
                    continue;
                }
                // What cannot be read says so when it is read.
                let Ok((bytes, ids)) = part.byte_range(head) else { continue };
                known = ids;
                if !bytes.is_empty() {
                    let bytes = bytes.start as usize..bytes.end as usize;
                    ranges.push((part.bytes().clone(), bytes));
                }
            }
        }
        let file = |bytes: &FileBytes| (**bytes).as_ref().as_ptr() as usize;
        ranges.sort_unstable_by_key(|(bytes, range)| (file(bytes), range.start));
        let mut joined: Vec<(FileBytes, Range<usize>)> = vec![];
        for (bytes, range) in ranges {
            match joined.last_mut() {
                Some((last, before)) if file(last) == file(&bytes) && range.start <= before.end => {
                    before.end = before.end.max(range.end);
                }
                _ => joined.push((bytes, range)),
            }
        }
        joined
    }
}

impl Store {
    /// Calls `f` with the labels of an entry; `None` when its series has left the head since, and
    /// no block has it.
    pub(super) fn entry_labels<R>(
        &self,
        selection: &StoreSelection,
        index: usize,
        buffer: &mut Vec<u8>,
        f: impl FnOnce(LabelsRef<'_>) -> R,
    ) -> Result<Option<R>, SourceError> {
        let head = selection.heads[index];
        if head != NONE
            && let Some(labels) = self.head.labels(SeriesId(head), buffer)
        {
            return Ok(Some(f(labels)));
        }
        let Some(place) = selection.places_of(index).next() else { return Ok(None) };
        let block = &selection.blocks[place.block as usize];
        let (labels, _) = block.labels(place.series, buffer).map_err(source_error)?;
        Ok(Some(f(labels)))
    }
}

/// Appends the samples of a part that are not `deleted`.
fn part_samples<'a>(
    chunks: impl Iterator<Item = Result<PartChunk<'a>, BlockError>>,
    range: TimeRange,
    deleted: &[TimeRange],
    out: &mut Samples,
    combine: &mut Combine,
) -> Result<(), SourceError> {
    for chunk in chunks {
        let chunk = chunk.map_err(source_error)?;
        chunk_samples(chunk.bytes, &chunk.header, range, deleted, out, combine)?;
    }
    Ok(())
}

/// Appends the samples of a chunk that are not `deleted`.
fn chunk_samples(
    chunk: &[u8],
    header: &ChunkHeader,
    range: TimeRange,
    deleted: &[TimeRange],
    out: &mut Samples,
    combine: &mut Combine,
) -> Result<(), SourceError> {
    if header.min_ms > range.max_ms || header.max_ms < range.min_ms {
        return Ok(());
    }
    let before = (out.values.len(), out.histograms.len());
    encode::decode_samples_behind(header, chunk, out).map_err(source_error)?;
    // What was deleted is gone before it can hide anything of another place.
    if !deleted.is_empty() {
        delete_intervals(out, before, deleted);
    }
    if header.min_ms < range.min_ms || header.max_ms > range.max_ms {
        combine.trim(out, range);
    }
    combine.take(out);
    Ok(())
}

impl Source for Store {
    type Selection = StoreSelection;

    fn begin_select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<StoreSelection, SourceError> {
        let selecting = Selecting::new(self, matchers, range)?;
        let parts: Vec<_> = self.parts.in_range(range).cloned().collect();
        Ok(StoreSelection {
            part_places: vec![PartPlace::default(); parts.len()].into(),
            parts,
            last_part: self.parts.last_number(),
            tombstones: self.head_tombstones.clone(),
            selecting: Some(Box::new(selecting)),
            ..StoreSelection::default()
        })
    }

    fn select_more(&self, selection: &mut StoreSelection) -> Result<Option<usize>, SourceError> {
        let Some(mut selecting) = selection.selecting.take() else { return Ok(None) };
        let work = selecting.step(self, selection)?;
        if work.is_some() {
            selection.selecting = Some(selecting);
        }
        Ok(work)
    }

    fn with_labels(
        &self,
        selection: &StoreSelection,
        index: usize,
        f: &mut dyn FnMut(LabelsRef<'_>),
    ) -> Result<(), SourceError> {
        let mut buffer = LABELS.take();
        let lent = self.entry_labels(selection, index, &mut buffer, f);
        LABELS.set(buffer);
        lent.map(|_| ())
    }

    fn samples(
        &self,
        selection: &StoreSelection,
        index: usize,
        range: TimeRange,
        out: &mut Samples,
    ) -> Result<(), SourceError> {
        let head = selection.heads[index];
        let is_flushed_since = self.parts.last_number() != selection.last_part;
        let is_plain =
            selection.chain(index).first == NONE && selection.parts.is_empty() && !is_flushed_since;
        if is_plain && !self.head.has_late(SeriesId(head)) {
            return self.head_samples(SeriesId(head), range, out);
        }
        let mut combine = Combine::begin(out);
        SCRATCH.with_borrow_mut(|scratch| {
            for place in selection.places_of(index) {
                let block = &selection.blocks[place.block as usize];
                let before = (out.values.len(), out.histograms.len());
                block.samples(place.series, range, out, scratch).map_err(source_error)?;
                let deleted = block.deleted(place.series);
                if !deleted.is_empty() {
                    delete_intervals(out, before, deleted);
                }
                combine.take(out);
            }
            Ok(())
        })?;
        if head == NONE {
            combine.finish(out);
            return Ok(());
        }
        let part_range = |part: &Part, before_ms: i64| {
            let range = TimeRange { min_ms: range.min_ms.max(before_ms), ..range };
            (part.overlaps(range) && range.min_ms <= range.max_ms).then_some(range)
        };
        let mut places = selection.part_places.borrow_mut();
        for ((part, before_ms), place) in selection.parts.iter().zip(places.iter_mut()) {
            if let Some(range) = part_range(part, *before_ms) {
                let deleted = selection.tombstones.get(head, part.meta().number);
                let chunks = part.chunks_near(head, place).map_err(source_error)?;
                part_samples(chunks, range, &deleted, out, &mut combine)?;
            }
        }
        // What has left the head since the selection was made.
        let since = if is_flushed_since { &self.parts.list[..] } else { &[] };
        let since = since.iter().filter(|(part, _)| part.meta().number > selection.last_part);
        for (part, before_ms) in since {
            if let Some(range) = part_range(part, *before_ms) {
                let deleted = selection.tombstones.get(head, part.meta().number);
                let chunks = part.chunks(head).map_err(source_error)?;
                part_samples(chunks, range, &deleted, out, &mut combine)?;
            }
        }
        self.head_samples(SeriesId(head), range, out)?;
        combine.take(out);
        self.late_samples(SeriesId(head), range, out, &mut combine)?;
        combine.finish(out);
        Ok(())
    }

    fn samples_of(
        &self,
        selection: &StoreSelection,
        indexes: Range<usize>,
        range: TimeRange,
        newest_only: bool,
        out: &mut Samples,
        ends: &mut Vec<usize>,
    ) -> Result<(), SourceError> {
        // A sample that is newer than all parts is the newest: what comes late is older.
        let in_parts_ms = selection.parts.iter().map(|(part, _)| part.meta().max_ms).max();
        let is_all_known = self.parts.last_number() == selection.last_part;
        let behind_parts = TimeRange {
            min_ms: in_parts_ms.map_or(range.min_ms, |max_ms| range.min_ms.max(max_ms + 1)),
            ..range
        };
        for index in indexes {
            let head = selection.heads[index];
            let is_found = newest_only
                && is_all_known
                && selection.chain(index).first == NONE
                && self.head.push_newest(SeriesId(head), behind_parts, out);
            if !is_found {
                self.samples(selection, index, range, out)?;
            }
            ends.push(out.values.len());
        }
        Ok(())
    }

    fn label_keys(
        &self,
        selection: &StoreSelection,
        indexes: Range<usize>,
        kept: &KeptLabels,
        out: &mut LabelKeys,
    ) {
        let index = self.head.index();
        index.begin_keys(kept, out);
        for &head in &selection.heads[indexes] {
            out.push(|names, ids| head != NONE && index.push_key(head, names, kept.without, ids));
        }
    }

    async fn warm(
        &self,
        selection: &StoreSelection,
        indexes: Range<usize>,
        _range: TimeRange,
        touched: Touched,
    ) -> Result<(), SourceError> {
        self.prefetch(selection, indexes, touched);
        Ok(())
    }
}

impl Store {
    /// Asks for the memory that [`Source::samples`] touches first, and for labels.
    pub fn prefetch(&self, selection: &StoreSelection, indexes: Range<usize>, touched: Touched) {
        // The head has no series of the id that stands for none.
        self.head.prefetch(SeriesId::at(&selection.heads[indexes]), touched);
    }

    fn head_samples(
        &self,
        series: SeriesId,
        range: TimeRange,
        out: &mut Samples,
    ) -> Result<(), SourceError> {
        self.head.samples(series, range, out).map_err(source_error)
    }

    fn late_samples(
        &self,
        series: SeriesId,
        range: TimeRange,
        out: &mut Samples,
        combine: &mut Combine,
    ) -> Result<(), SourceError> {
        if !self.head.has_late(series) {
            return Ok(());
        }
        for chunk in self.head.late_chunks(series) {
            let header = ChunkHeader::decode(chunk).map_err(source_error)?;
            chunk_samples(chunk, &header, range, &[], out, combine)?;
        }
        self.head.open_late_samples(series, range, out);
        combine.take(out);
        Ok(())
    }
}

/// A store that its shard shares between ingest and queries: borrowed for one call at a time.
impl Source for RefCell<Store> {
    type Selection = StoreSelection;

    fn begin_select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<StoreSelection, SourceError> {
        self.borrow().begin_select(matchers, range)
    }

    fn select_more(&self, selection: &mut StoreSelection) -> Result<Option<usize>, SourceError> {
        self.borrow().select_more(selection)
    }

    fn with_labels(
        &self,
        selection: &StoreSelection,
        index: usize,
        f: &mut dyn FnMut(LabelsRef<'_>),
    ) -> Result<(), SourceError> {
        self.borrow().with_labels(selection, index, f)
    }

    fn samples(
        &self,
        selection: &StoreSelection,
        index: usize,
        range: TimeRange,
        out: &mut Samples,
    ) -> Result<(), SourceError> {
        self.borrow().samples(selection, index, range, out)
    }

    fn samples_of(
        &self,
        selection: &StoreSelection,
        indexes: Range<usize>,
        range: TimeRange,
        newest_only: bool,
        out: &mut Samples,
        ends: &mut Vec<usize>,
    ) -> Result<(), SourceError> {
        self.borrow().samples_of(selection, indexes, range, newest_only, out, ends)
    }

    fn label_keys(
        &self,
        selection: &StoreSelection,
        indexes: Range<usize>,
        kept: &KeptLabels,
        out: &mut LabelKeys,
    ) {
        self.borrow().label_keys(selection, indexes, kept, out);
    }

    async fn warm(
        &self,
        selection: &StoreSelection,
        indexes: Range<usize>,
        _range: TimeRange,
        touched: Touched,
    ) -> Result<(), SourceError> {
        self.borrow().prefetch(selection, indexes, touched);
        Ok(())
    }
}
