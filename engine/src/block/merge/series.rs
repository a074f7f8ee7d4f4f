//! Merging one series: chunk by chunk, decoding only what has to be.

use super::super::columns::ColumnRow;
use super::super::error::{BlockError, Problem};
use super::super::merge_samples::merge_series_samples;
use super::super::part::PartChunk;
use super::super::read::{Block, Scratch};
use super::super::run::RunChunk;
use super::super::samples::{SamplesOut, SeriesSamples};
use super::super::tombstones::{covers, delete_from_series, touches};
use super::super::write::{BlockWriter, CHUNK_COUNT_GOOD, CHUNK_COUNT_MIN, chunk_count};
use super::MergeScope;
use super::source::{Cursor, MergeSource};
use crate::encode::{self, ChunkHeader, ValueCodec};
use crate::model::histogram::CounterReset;
use crate::model::{HistogramSample, Samples, TimeRange};

const ALL_TIME: TimeRange = TimeRange { min_ms: i64::MIN, max_ms: i64::MAX };

/// Stands for a column that the new block does not have yet.
const NO_COLUMN: u32 = u32::MAX;

/// A chunk of one of the sources.
#[derive(Clone, Copy)]
struct Candidate<'a> {
    /// Cursor that has it.
    cursor: usize,
    /// In the order in which chunks count: of two samples the lower one's stays.
    rank: usize,
    /// Number of the part that has it; zero: a block does.
    part: u64,
    chunk: Chunk<'a>,
    min_ms: i64,
    max_ms: i64,
}

#[derive(Clone, Copy)]
enum Chunk<'a> {
    Block(&'a Block, RunChunk<'a>, ColumnRow),
    Part(PartChunk<'a>),
}

/// Merges one series after the other; keeps room, and what is known about columns.
#[derive(Debug)]
pub(super) struct SeriesMerger {
    /// By cursor: number in the new block of each column of its block.
    columns: Vec<Vec<u32>>,
    scratch: Scratch,
    decoded: Samples,
    chunk: SeriesSamples,
    cluster: SeriesSamples,
    /// Decoded and not yet written.
    pending: SeriesSamples,
    /// The histogram of the series encoded last, unless a chunk was taken over since.
    last_histogram: Option<HistogramSample>,
}

impl SeriesMerger {
    pub fn new(sources: &[MergeSource]) -> SeriesMerger {
        let columns = sources.iter().map(|source| match source {
            MergeSource::Block { block, .. } => vec![NO_COLUMN; block.column_count()],
            MergeSource::Parts { .. } => vec![],
        });
        SeriesMerger {
            columns: columns.collect(),
            scratch: Scratch::default(),
            decoded: Samples::default(),
            chunk: SeriesSamples::default(),
            cluster: SeriesSamples::default(),
            pending: SeriesSamples::default(),
            last_histogram: None,
        }
    }

    /// Writes the chunks of the series at which the cursors `least` stand. Returns the samples read.
    pub fn merge(
        &mut self,
        cursors: &[Cursor],
        least: &[usize],
        scope: &MergeScope,
        writer: &mut BlockWriter,
        out: &mut Vec<u8>,
    ) -> Result<usize, BlockError> {
        let mut candidates = vec![];
        for &index in least {
            collect(cursors, index, scope.range, &mut candidates)?;
        }
        candidates.sort_by_key(|candidate| candidate.min_ms);
        self.last_histogram = None;
        let mut work = 1;
        let mut rest = &candidates[..];
        while let Some(first) = rest.first() {
            let mut end_ms = first.max_ms;
            let mut count = 1;
            while rest.get(count).is_some_and(|next| next.min_ms <= end_ms) {
                end_ms = end_ms.max(rest[count].max_ms);
                count += 1;
            }
            let (cluster, after) = rest.split_at(count);
            rest = after;
            let is_one_block = cluster.iter().all(|candidate| {
                candidate.cursor == first.cursor && matches!(candidate.chunk, Chunk::Block(..))
            });
            if is_one_block {
                for candidate in cluster {
                    work += self.take_or_join(candidate, cursors, scope, writer, out)?;
                }
            } else {
                work += self.join(cluster, cursors, scope)?;
                self.write_full(writer, out);
            }
        }
        self.write_floats(writer, out);
        self.write_histograms(writer, out);
        Ok(work)
    }

    /// Takes a chunk over as it is, if it is large and nothing has to change; else decodes it.
    fn take_or_join(
        &mut self,
        candidate: &Candidate<'_>,
        cursors: &[Cursor],
        scope: &MergeScope,
        writer: &mut BlockWriter,
        out: &mut Vec<u8>,
    ) -> Result<usize, BlockError> {
        let Chunk::Block(block, chunk, row) = candidate.chunk else {
            unreachable!("only blocks' chunks come here");
        };
        let is_float = matches!(chunk.codec, ValueCodec::Floats(_));
        let pending =
            if is_float { self.pending.values.len() } else { self.pending.histograms.len() };
        let deleted = cursors[candidate.cursor].deleted(candidate.part);
        let stays = row.count as usize >= CHUNK_COUNT_MIN
            && (pending == 0 || pending >= CHUNK_COUNT_MIN)
            && scope.range.min_ms <= row.min_ms
            && row.max_ms <= scope.range.max_ms
            && !touches(&deleted, row.min_ms, row.max_ms);
        if !stays {
            let work = self.join(&[*candidate], cursors, scope)?;
            self.write_full(writer, out);
            return Ok(work);
        }
        if is_float {
            self.write_floats(writer, out);
        } else {
            self.write_histograms(writer, out);
            self.last_histogram = None;
        }
        // Bytes that are handed on are verified by their checksum, and by being a chunk's: a block
        // that was written wrong must not be written again.
        let known = self.columns[candidate.cursor][chunk.column as usize];
        let column = if known == NO_COLUMN {
            Err(block.timestamps(chunk.column, &row, &mut self.scratch.columns)?)
        } else {
            Ok(known)
        };
        let column = writer.push_chunk(chunk, column, out);
        self.columns[candidate.cursor][chunk.column as usize] = column;
        Ok(row.count as usize / 16 + 1)
    }

    /// Decodes chunks, the first source's first, and puts what is kept of them behind what is
    /// pending. Returns the samples decoded.
    fn join(
        &mut self,
        cluster: &[Candidate<'_>],
        cursors: &[Cursor],
        scope: &MergeScope,
    ) -> Result<usize, BlockError> {
        self.cluster.clear();
        let mut work = 0;
        let mut ranked: Vec<&Candidate<'_>> = cluster.iter().collect();
        ranked.sort_unstable_by_key(|candidate| candidate.rank);
        for candidate in ranked {
            self.chunk.clear();
            self.decode(candidate)?;
            work += self.chunk.len();
            let deleted = cursors[candidate.cursor].deleted(candidate.part);
            delete_from_series(&mut self.chunk, &deleted);
            merge_series_samples(&mut self.cluster, &self.chunk, scope.range);
        }
        if cluster.len() > 1 {
            // Neighbours may have come from elsewhere: compare anew.
            for sample in &mut self.cluster.histograms {
                if sample.histogram.counter_reset == CounterReset::NotReset {
                    sample.histogram.counter_reset = CounterReset::Unknown;
                }
            }
        }
        merge_series_samples(&mut self.pending, &self.cluster, ALL_TIME);
        Ok(work)
    }

    /// Decodes all samples of a chunk. What its header knows about a reset goes to its first
    /// histogram.
    fn decode(&mut self, candidate: &Candidate<'_>) -> Result<(), BlockError> {
        let resets = match candidate.chunk {
            Chunk::Block(block, chunk, row) => {
                block.read_chunk(chunk, &row, &mut self.chunk, &mut self.scratch)?;
                match chunk.codec {
                    ValueCodec::Floats(_) => None,
                    ValueCodec::Histograms { .. } => encode::histogram_resets(chunk.values),
                }
            }
            Chunk::Part(chunk) => {
                self.decoded.clear();
                // The part verified its bytes; what does not decode was encoded wrong.
                let broken =
                    |_| BlockError { file: "part".into(), problem: Problem::Broken("chunks") };
                encode::decode_samples(chunk.bytes, &mut self.decoded).map_err(broken)?;
                let is_integer =
                    chunk.header.value_codec == ValueCodec::Histograms { is_integer: true };
                move_samples(&mut self.decoded, is_integer, &mut self.chunk);
                ChunkHeader::resets(chunk.bytes).map_err(broken)?
            }
        };
        if resets == Some(CounterReset::Reset)
            && let Some(first) = self.chunk.histograms.first_mut()
        {
            first.histogram.counter_reset = CounterReset::Reset;
        }
        Ok(())
    }

    /// Writes chunks as long as more is pending than one takes.
    fn write_full(&mut self, writer: &mut BlockWriter, out: &mut Vec<u8>) {
        let mut count = 0;
        while self.pending.values.len() - count > CHUNK_COUNT_GOOD {
            count += chunk_count(&self.pending.timestamps_ms[count..]);
        }
        if count > 0 {
            writer.push_floats(&self.pending.take_floats(count), out);
        }
        if self.pending.histograms.len() > CHUNK_COUNT_GOOD {
            let mut full = self.pending.take_histograms(CHUNK_COUNT_GOOD);
            writer.push_histograms(&full, self.last_histogram.as_ref(), out);
            self.last_histogram = full.histograms.pop();
        }
    }

    fn write_floats(&mut self, writer: &mut BlockWriter, out: &mut Vec<u8>) {
        writer.push_floats(&self.pending, out);
        self.pending.clear_floats();
    }

    fn write_histograms(&mut self, writer: &mut BlockWriter, out: &mut Vec<u8>) {
        writer.push_histograms(&self.pending, self.last_histogram.as_ref(), out);
        let last = self.pending.histograms.pop();
        self.last_histogram = last.or(self.last_histogram.take());
        self.pending.clear_histograms();
    }
}

/// The chunks of a cursor's series that have samples in `range` which are not deleted, perhaps.
fn collect<'a>(
    cursors: &'a [Cursor],
    index: usize,
    range: TimeRange,
    out: &mut Vec<Candidate<'a>>,
) -> Result<(), BlockError> {
    let cursor = &cursors[index];
    let mut push = |chunk, deleted: &[TimeRange], part, (min_ms, max_ms)| {
        let is_in_range = min_ms <= range.max_ms && range.min_ms <= max_ms;
        if is_in_range && !covers(deleted, min_ms, max_ms) {
            out.push(Candidate { cursor: index, rank: out.len(), part, chunk, min_ms, max_ms });
        }
    };
    match cursor.source() {
        MergeSource::Block { block, .. } => {
            let deleted = cursor.deleted(0);
            for chunk in block.chunks(cursor.series())? {
                let (chunk, row) = chunk?;
                push(Chunk::Block(block, chunk, row), &deleted, 0, (row.min_ms, row.max_ms));
            }
        }
        MergeSource::Parts { parts, .. } => {
            for part in parts.iter().filter(|part| part.overlaps(range)) {
                let number = part.meta().number;
                let deleted = cursor.deleted(number);
                for chunk in part.chunks(cursor.series())? {
                    let chunk = chunk?;
                    let span = (chunk.header.min_ms, chunk.header.max_ms);
                    push(Chunk::Part(chunk), &deleted, number, span);
                }
            }
        }
    }
    Ok(())
}

fn move_samples(from: &mut Samples, is_integer: bool, to: &mut SeriesSamples) {
    std::mem::swap(&mut from.timestamps_ms, &mut to.timestamps_ms);
    std::mem::swap(&mut from.values, &mut to.values);
    std::mem::swap(&mut from.starts_ms, &mut to.starts_ms);
    std::mem::swap(&mut from.histogram_timestamps_ms, &mut to.histogram_timestamps_ms);
    std::mem::swap(&mut from.histogram_starts_ms, &mut to.histogram_starts_ms);
    to.push_histograms(&mut from.histograms, is_integer);
}
