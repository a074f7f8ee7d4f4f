//! Writing a block of Prometheus: series in order of their labels, every file front to back.
//!
//! ```text
//! push_series *      chunks/000001, 000002, …
//! finish until done  index ─► tombstones ─► meta.json
//! ```
//!
//! Bytes come out in [`Pieces`], each with the file that it is appended to; the caller takes them from
//! there after every call. Samples of one series are in memory at a time; of each series remain its
//! labels as numbers and its chunks as the index lists them: about 100 bytes, and what its new label
//! values take. Twice that while the index is written.
//!
//! Source: Prometheus `tsdb/compact.go`, `tsdb/chunks/chunks.go`.

use super::super::error::{BlockError, Problem};
use super::super::id::BlockId;
use super::super::samples::SeriesSamples;
use super::super::tombstones::Tombstones;
use super::bits::BitWriter;
use super::chunk::{Encoded, SEGMENT_MAGIC, encode_floats, encode_some_histograms, push_chunk};
use super::index::ChunkMeta;
use super::meta::{Meta, Parent, Stats};
use super::tombstones::encode_tombstones;
use super::write_index::IndexWriter;
use crate::model::{Labels, LabelsRef};

/// Most bytes of a file of chunks.
const SEGMENT_BYTES_MAX: u64 = 512 << 20;

/// Length, encoding and checksum of a chunk at most.
const FRAME_BYTES_MAX: u64 = 5 + 1 + 4;

/// A file of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BlockFile {
    /// Numbered from one.
    Chunks(u32),
    Index,
    Tombstones,
    Meta,
}

impl BlockFile {
    /// Its path within the block's directory.
    pub fn path(self) -> String {
        match self {
            BlockFile::Chunks(number) => format!("chunks/{number:06}"),
            BlockFile::Index => "index".to_owned(),
            BlockFile::Tombstones => "tombstones".to_owned(),
            BlockFile::Meta => "meta.json".to_owned(),
        }
    }
}

/// Bytes on their way to files: in order, each appended to what its file has. A file is whole when a
/// piece of the next appears.
#[derive(Debug, Default)]
pub struct Pieces {
    list: Vec<(BlockFile, Vec<u8>)>,
}

impl Pieces {
    /// Takes all pieces out.
    pub fn drain(&mut self) -> impl Iterator<Item = (BlockFile, Vec<u8>)> + '_ {
        self.list.drain(..)
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.list.iter().map(|(_, bytes)| bytes.len()).sum()
    }

    /// Where bytes for `file` are appended.
    pub(super) fn of(&mut self, file: BlockFile) -> &mut Vec<u8> {
        if self.list.last().is_none_or(|(last, _)| *last != file) {
            self.list.push((file, vec![]));
        }
        &mut self.list.last_mut().expect("a piece was pushed").1
    }
}

/// Whether start timestamps are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartTimestamps {
    /// Where a series has some, in encodings that Prometheus knows since 3.14.
    #[default]
    Keep,
    /// Left out: every Prometheus reads the block.
    Drop,
}

/// What a new block will be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewBlock {
    pub id: BlockId,
    /// The time it stands for, `start..end`: all its samples lie there.
    pub start_ms: i64,
    pub end_ms: i64,
    /// One for a block made of samples; of a merge one more than the highest of its parents.
    pub level: u32,
    /// First blocks that went into it; none: itself.
    pub sources: Vec<BlockId>,
    pub parents: Vec<Parent>,
    pub is_out_of_order: bool,
}

/// Writes one block.
#[derive(Debug)]
pub struct PrometheusWriter {
    new: NewBlock,
    starts: StartTimestamps,
    stats: Stats,
    last_labels: Labels,
    /// Number of the file of chunks that is written, from one; zero before the first.
    segment: u32,
    /// Its bytes so far.
    segment_bytes: u64,
    bits: BitWriter,
    chunks: Vec<ChunkMeta>,
    index: IndexWriter,
}

impl PrometheusWriter {
    pub fn new(new: NewBlock, starts: StartTimestamps) -> PrometheusWriter {
        PrometheusWriter {
            new,
            starts,
            stats: Stats::default(),
            last_labels: Labels::default(),
            segment: 0,
            segment_bytes: 0,
            bits: BitWriter::default(),
            chunks: vec![],
            index: IndexWriter::default(),
        }
    }

    /// Series written so far.
    pub fn series_count(&self) -> u64 {
        self.stats.series_count
    }

    pub fn sample_count(&self) -> u64 {
        self.stats.sample_count
    }

    /// Bytes on the heap that grow with series, about.
    pub fn bytes(&self) -> usize {
        self.index.bytes()
    }

    fn error(&self, problem: Problem) -> BlockError {
        BlockError { file: format!("block {}", self.new.id).into(), problem }
    }

    /// Writes a series with all its samples; one without samples is left out. `labels` come after
    /// those of the series before.
    ///
    /// Cost: about 20 ns a float. Errors: the labels are out of order, or there is no room for
    /// more; the block is of no use then.
    ///
    /// # Panics
    ///
    /// On columns that do not fit each other.
    pub fn push_series(
        &mut self,
        labels: LabelsRef<'_>,
        samples: &SeriesSamples,
        out: &mut Pieces,
    ) -> Result<(), BlockError> {
        samples.assert_columns();
        if samples.is_empty() {
            return Ok(());
        }
        if self.stats.series_count > 0 && labels.compare(self.last_labels.as_ref()).is_le() {
            return Err(self.error(Problem::Broken("order of series")));
        }
        self.last_labels = labels.to_owned();
        let without_starts;
        let samples = match self.starts {
            StartTimestamps::Keep => samples,
            StartTimestamps::Drop
                if samples.starts_ms.is_empty() && samples.histogram_starts_ms.is_empty() =>
            {
                samples
            }
            StartTimestamps::Drop => {
                without_starts = SeriesSamples {
                    starts_ms: vec![],
                    histogram_starts_ms: vec![],
                    ..samples.clone()
                };
                &without_starts
            }
        };
        self.push_chunks(samples, out)?;
        self.index
            .push_series(labels, &self.chunks)
            .map_err(|what| self.error(Problem::Full(what)))?;
        self.stats.series_count += 1;
        self.stats.chunk_count += self.chunks.len() as u64;
        self.stats.float_count += samples.values.len() as u64;
        self.stats.histogram_count += samples.histograms.len() as u64;
        self.stats.sample_count += samples.len() as u64;
        Ok(())
    }

    /// Writes the chunks of a series in order of time: one of floats ends before the next histogram.
    fn push_chunks(&mut self, samples: &SeriesSamples, out: &mut Pieces) -> Result<(), BlockError> {
        self.chunks.clear();
        let (float_ms, histogram_ms) = (&samples.timestamps_ms, &samples.histogram_timestamps_ms);
        let (mut float, mut histogram) = (0, 0);
        // Whether the chunk before is one of histograms.
        let mut follows = false;
        loop {
            let next = (float_ms.get(float), histogram_ms.get(histogram));
            let is_float = match next {
                (None, None) => return Ok(()),
                (Some(float_ms), Some(histogram_ms)) => float_ms < histogram_ms,
                (float_ms, _) => float_ms.is_some(),
            };
            let encoded = if is_float {
                let end = end_before(float_ms, float, next.1);
                let encoded = encode_floats(samples, float..end, &mut self.bits);
                float += encoded.count;
                encoded
            } else {
                let end = end_before(histogram_ms, histogram, next.0);
                let before = histogram.checked_sub(1).filter(|_| follows);
                let before = before.map(|before| &samples.histograms[before]);
                let range = histogram..end;
                let encoded = encode_some_histograms(samples, range, before, &mut self.bits);
                histogram += encoded.count;
                encoded
            };
            follows = !is_float;
            self.push_chunk(encoded, out)?;
        }
    }

    fn push_chunk(&mut self, encoded: Encoded, out: &mut Pieces) -> Result<(), BlockError> {
        let bytes = self.bits.bytes.len() as u64 + FRAME_BYTES_MAX;
        if self.segment == 0 || self.segment_bytes + bytes > SEGMENT_BYTES_MAX {
            self.segment += 1;
            self.segment_bytes = SEGMENT_MAGIC.len() as u64;
            out.of(BlockFile::Chunks(self.segment)).extend_from_slice(&SEGMENT_MAGIC);
        }
        let Encoded { encoding, min_ms, max_ms, .. } = encoded;
        if min_ms < self.new.start_ms || max_ms >= self.new.end_ms {
            return Err(self.error(Problem::Broken("time of a sample")));
        }
        let reference = u64::from(self.segment - 1) << 32 | self.segment_bytes;
        self.chunks.push(ChunkMeta { min_ms, max_ms, reference });
        let file = out.of(BlockFile::Chunks(self.segment));
        let before = file.len();
        push_chunk(file, encoding, &self.bits.bytes);
        self.segment_bytes += (file.len() - before) as u64;
        Ok(())
    }

    /// Does a part of what is left: to be called until it gives the block's meta. A block without
    /// series is of no use to anyone, but whole.
    ///
    /// Errors: there are more labels or series than the format has room for.
    pub fn finish(&mut self, out: &mut Pieces) -> Result<Option<Meta>, BlockError> {
        if !self.index.finish(out).map_err(|what| self.error(Problem::Full(what)))? {
            return Ok(None);
        }
        let no_tombstones = encode_tombstones(&Tombstones::default());
        out.of(BlockFile::Tombstones).extend_from_slice(&no_tombstones);
        let new = &self.new;
        let itself = vec![new.id];
        let meta = Meta {
            id: new.id,
            start_ms: new.start_ms,
            end_ms: new.end_ms,
            stats: self.stats,
            level: new.level,
            sources: if new.sources.is_empty() { itself } else { new.sources.clone() },
            parents: new.parents.clone(),
            is_out_of_order: new.is_out_of_order,
            ..Meta::default()
        };
        out.of(BlockFile::Meta).extend_from_slice(&meta.encode());
        Ok(Some(meta))
    }
}

/// The end of what lies before `bound_ms` from `start` on, one at least.
fn end_before(timestamps_ms: &[i64], start: usize, bound_ms: Option<&i64>) -> usize {
    match bound_ms {
        None => timestamps_ms.len(),
        Some(bound_ms) => {
            let before = timestamps_ms[start..].partition_point(|time_ms| time_ms < bound_ms);
            start + before.max(1)
        }
    }
}
