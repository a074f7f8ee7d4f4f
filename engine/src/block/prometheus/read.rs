//! Reading a block of Prometheus in place.

use std::ops::Range;
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::super::error::{BlockError, Problem};
use super::super::id::BlockId;
use super::super::merge_samples::merge_series_samples;
use super::super::samples::{SamplesOut, SeriesSamples, cut_samples};
use super::chunk::{Chunk, SEGMENT_MAGIC};
use super::floats::Broken;
use super::index::{ChunkMeta, Chunks, Index};
use super::meta::Meta;
use crate::disk::FileBytes;
use crate::model::{FloatHistogram, LabelsRef, Samples, TimeRange};

/// The files of a block.
pub struct BlockFiles {
    /// Content of `meta.json`.
    pub meta: Vec<u8>,
    pub index: FileBytes,
    /// Files in `chunks/`, in order of their numbers.
    pub segments: Vec<FileBytes>,
}

/// An open block: a view of its files, and about a byte for each of its symbols.
#[derive(Debug)]
pub struct PrometheusBlock {
    meta: Meta,
    name: Box<str>,
    pub(super) index: Index,
    segments: Vec<Segment>,
}

struct Segment(FileBytes);

impl std::fmt::Debug for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Segment({} bytes)", self.bytes().len())
    }
}

impl Segment {
    fn bytes(&self) -> &[u8] {
        (*self.0).as_ref()
    }
}

/// What a look at all series of a block says: see [`PrometheusBlock::survey`].
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// The series of each shard.
    pub of_shard: Vec<Arc<RoaringBitmap>>,
    /// Timestamps of the first and the last sample; crossed when there is none.
    pub min_ms: i64,
    pub max_ms: i64,
    pub series_count: u64,
    pub chunk_count: u64,
}

/// Bytes that a chunk takes at most, mostly: so many are brought into memory with it.
const CHUNK_BYTES_GOOD: u64 = 2048;

impl PrometheusBlock {
    /// Opens a block. Reads its meta, its symbols and the table of its postings: about a
    /// millisecond for each megabyte of these.
    ///
    /// Errors: it is none, or one of these is damaged.
    pub fn open(files: BlockFiles) -> Result<PrometheusBlock, BlockError> {
        let meta = Meta::decode(&files.meta)?;
        let name: Box<str> = format!("block {}", meta.id).into();
        let broken = |what| BlockError { file: name.clone(), problem: Problem::Broken(what) };
        let index = Index::open(files.index).map_err(broken)?;
        let segments: Vec<Segment> = files.segments.into_iter().map(Segment).collect();
        let is_segment = |segment: &Segment| {
            // Three bytes of the header are padding.
            segment.bytes().len() >= SEGMENT_MAGIC.len()
                && segment.bytes()[..5] == SEGMENT_MAGIC[..5]
        };
        if !segments.iter().all(is_segment) {
            return Err(broken("header of chunks"));
        }
        Ok(PrometheusBlock { meta, name, index, segments })
    }

    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    pub fn id(&self) -> BlockId {
        self.meta.id
    }

    /// Version of the index's format.
    pub fn index_version(&self) -> u8 {
        self.index.version()
    }

    pub fn symbol_count(&self) -> u32 {
        self.index.symbol_count()
    }

    /// Bytes of index and chunks.
    pub fn file_bytes(&self) -> u64 {
        let chunks = self.segments.iter().map(|segment| segment.bytes().len() as u64);
        chunks.sum::<u64>() + (**self.index.bytes()).as_ref().len() as u64
    }

    pub(super) fn error(&self, what: Broken) -> BlockError {
        BlockError { file: self.name.clone(), problem: Problem::Broken(what) }
    }

    /// All series, ascending: in order of their labels. A series is named by its place in the
    /// index, so the numbers have gaps.
    pub fn all_series(&self) -> Result<RoaringBitmap, BlockError> {
        self.index.all_series().map_err(|what| self.error(what))
    }

    /// The labels of a series, written to `buffer`.
    pub fn labels<'b>(
        &self,
        series: u32,
        buffer: &'b mut Vec<u8>,
    ) -> Result<LabelsRef<'b>, BlockError> {
        let read = self.index.series(series, buffer).map_err(|what| self.error(what))?;
        Ok(read.0)
    }

    /// The chunks of a series, in order of time.
    pub fn chunks(
        &self,
        series: u32,
    ) -> Result<impl Iterator<Item = Result<ChunkMeta, BlockError>> + '_, BlockError> {
        let chunks = self.index.chunks(series).map_err(|what| self.error(what))?;
        Ok(chunks.map(|chunk| chunk.map_err(|what| self.error(what))))
    }

    /// The data of a chunk.
    pub fn chunk(&self, meta: &ChunkMeta) -> Result<Chunk<'_>, BlockError> {
        self.chunk_at(meta.reference).map_err(|what| self.error(what))
    }

    fn chunk_at(&self, reference: u64) -> Result<Chunk<'_>, Broken> {
        let segment = self.segments.get((reference >> 32) as usize).ok_or("place of a chunk")?;
        let place = reference as u32 as usize;
        let bytes = segment.bytes().get(place..).ok_or("place of a chunk")?;
        if place < SEGMENT_MAGIC.len() {
            return Err("place of a chunk");
        }
        Ok(Chunk::at(bytes)?.0)
    }

    /// Looks at all series: which shard each of them lives on, by `shard_of` its stable hash, and
    /// what time they span. Between two parts of the work asks `is_stopped`; `None` when it was.
    ///
    /// Cost: about 300 ns a series.
    pub fn survey(
        &self,
        shard_count: usize,
        shard_of: impl Fn(u64) -> usize,
        mut is_stopped: impl FnMut() -> bool,
    ) -> Result<Option<Survey>, BlockError> {
        const SERIES_PER_LOOK: u64 = 4096;
        let mut of_shard = vec![vec![]; shard_count];
        let mut survey = Survey { min_ms: i64::MAX, max_ms: i64::MIN, ..Survey::default() };
        let mut buffer = vec![];
        for series in &self.all_series()? {
            let read = self.index.series(series, &mut buffer).map_err(|what| self.error(what))?;
            let (labels, chunks) = read;
            of_shard[shard_of(labels.stable_hash())].push(series);
            for chunk in chunks {
                let chunk = chunk.map_err(|what| self.error(what))?;
                survey.min_ms = survey.min_ms.min(chunk.min_ms);
                survey.max_ms = survey.max_ms.max(chunk.max_ms);
                survey.chunk_count += 1;
            }
            survey.series_count += 1;
            if survey.series_count.is_multiple_of(SERIES_PER_LOOK) && is_stopped() {
                return Ok(None);
            }
        }
        let bitmap = |series| RoaringBitmap::from_sorted_iter(series).expect("a bitmap ascends");
        survey.of_shard = of_shard.into_iter().map(bitmap).map(Arc::new).collect();
        Ok(Some(survey))
    }

    /// Whether a series has a chunk that overlaps `range`.
    pub fn may_have_samples(&self, series: u32, range: TimeRange) -> Result<bool, BlockError> {
        for chunk in self.chunks(series)? {
            let chunk = chunk?;
            if overlaps(&chunk, range) {
                return Ok(true);
            }
            if chunk.min_ms > range.max_ms {
                break;
            }
        }
        Ok(false)
    }

    /// Appends the samples of a series in `range` to `out`, floats and histograms each ascending.
    /// `histograms` is room.
    ///
    /// Cost: decodes the chunks that overlap the range, about 5 ns a float. Errors: the block is
    /// damaged here; `out` may then hold some of the samples.
    pub fn samples(
        &self,
        series: u32,
        range: TimeRange,
        out: &mut Samples,
        histograms: &mut Vec<FloatHistogram>,
    ) -> Result<(), BlockError> {
        self.read(series, range, out, histograms)
    }

    /// As [`PrometheusBlock::samples`], with what a copy needs to be the same: for merges and tools.
    pub fn series_samples(
        &self,
        series: u32,
        range: TimeRange,
        out: &mut SeriesSamples,
    ) -> Result<(), BlockError> {
        self.read(series, range, out, &mut vec![])
    }

    fn read(
        &self,
        series: u32,
        range: TimeRange,
        out: &mut impl SamplesOut,
        histograms: &mut Vec<FloatHistogram>,
    ) -> Result<(), BlockError> {
        let before = (out.floats().0.len(), out.histogram_times().0.len());
        let chunks: Chunks<'_> = self.index.chunks(series).map_err(|what| self.error(what))?;
        let mut end_ms = i64::MIN;
        let mut has_overlap = false;
        for chunk in chunks {
            let chunk = chunk.map_err(|what| self.error(what))?;
            if !overlaps(&chunk, range) {
                continue;
            }
            has_overlap |= chunk.min_ms <= end_ms && end_ms != i64::MIN;
            end_ms = end_ms.max(chunk.max_ms);
            let data = self.chunk_at(chunk.reference).map_err(|what| self.error(what))?;
            data.decode(out, histograms).map_err(|what| self.error(what))?;
        }
        if has_overlap {
            // Old writers left such blocks. The way is slow, and rare.
            out.truncate(before);
            return self.read_overlapping(series, range, out);
        }
        cut_samples(out, before, range);
        Ok(())
    }

    /// Reads a series whose chunks overlap: of two samples of one timestamp the first counts.
    fn read_overlapping(
        &self,
        series: u32,
        range: TimeRange,
        out: &mut impl SamplesOut,
    ) -> Result<(), BlockError> {
        let mut merged = SeriesSamples::default();
        for chunk in self.index.chunks(series).map_err(|what| self.error(what))? {
            let chunk = chunk.map_err(|what| self.error(what))?;
            if overlaps(&chunk, range) {
                let mut own = SeriesSamples::default();
                let data = self.chunk_at(chunk.reference).map_err(|what| self.error(what))?;
                data.decode(&mut own, &mut vec![]).map_err(|what| self.error(what))?;
                merge_series_samples(&mut merged, &own, range);
            }
        }
        out.append_series(merged);
        Ok(())
    }

    /// The bytes of files that [`PrometheusBlock::samples`] reads for a series in `range`, to bring
    /// them into memory before.
    pub fn byte_ranges(&self, series: u32, range: TimeRange) -> Vec<(&FileBytes, Range<usize>)> {
        let mut ranges: Vec<(usize, Range<u64>)> = vec![];
        // What cannot be read says so when it is read.
        for chunk in self.index.chunks(series).into_iter().flatten().flatten() {
            if !overlaps(&chunk, range) {
                continue;
            }
            let (segment, place) =
                ((chunk.reference >> 32) as usize, chunk.reference & 0xffff_ffff);
            match ranges.last_mut() {
                Some((last, range)) if *last == segment && place >= range.start => {
                    range.end = range.end.max(place + CHUNK_BYTES_GOOD);
                }
                _ => ranges.push((segment, place..place + CHUNK_BYTES_GOOD)),
            }
        }
        let of_segment = |(segment, range): (usize, Range<u64>)| {
            let segment = self.segments.get(segment)?;
            let length = segment.bytes().len();
            let end = (range.end as usize).min(length);
            Some((&segment.0, (range.start as usize).min(end)..end))
        };
        ranges.into_iter().filter_map(of_segment).collect()
    }

    /// Whether there is a file that is longer than where a chunk begins.
    pub(super) fn has_place(&self, reference: u64) -> bool {
        let segment = self.segments.get((reference >> 32) as usize);
        segment.is_some_and(|segment| (reference as u32 as usize) < segment.bytes().len())
    }

    /// The files of chunks.
    pub(super) fn segments(&self) -> impl Iterator<Item = &FileBytes> {
        self.segments.iter().map(|segment| &segment.0)
    }

    /// The whole index, to bring it into memory before series are selected.
    pub fn index_bytes(&self) -> &FileBytes {
        self.index.bytes()
    }
}

fn overlaps(chunk: &ChunkMeta, range: TimeRange) -> bool {
    chunk.min_ms <= range.max_ms && range.min_ms <= chunk.max_ms
}
