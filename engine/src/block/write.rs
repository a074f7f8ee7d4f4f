//! Writing a block: series in order of their labels, front to back.
//!
//! ```text
//! header | ( columns of timestamps, run of chunks )* | strings | names … columns | sums, footer
//! ```
//!
//! Nothing is ever written behind: what is only known at the end stands at the end. So a sink needs
//! no seeking, and every call hands out bytes as soon as they are final. Samples of one series are
//! in memory at a time; of each series remain its labels as numbers, its hash and its place: about
//! 150 bytes and what its new label values take.

use super::columns::ColumnWriter;
use super::dictionary::DictionaryWriter;
use super::error::{BlockError, Problem};
use super::finish::{Finish, Tables};
use super::id::BlockId;
use super::meta::BlockMeta;
use super::pages::PageWriter;
use super::run::{RunChunk, RunWriter};
use super::samples::SeriesSamples;
use crate::encode::{self, ValueCodec};
use crate::model::{HistogramSample, Labels, LabelsRef};

pub(super) const MAGIC: &[u8; 8] = b"HEARTHBK";
pub(super) const VERSION: u32 = 2;

/// Versions that are read. The first has plain tables, and no values shared between series.
pub(super) const VERSIONS: [u32; 2] = [1, VERSION];

const HEADER_BYTES: usize = 64;

/// Most samples of a chunk that is encoded here.
pub(super) const CHUNK_COUNT_GOOD: usize = 2048;

/// Chunks end at multiples of this, so that series that came or went at different times still
/// share columns of timestamps.
const CHUNK_GRID_MS: i64 = 2 * 60 * 60 * 1000;

/// Fewer samples than this do not end a chunk at the grid.
pub(super) const CHUNK_COUNT_MIN: usize = 240;

/// What a new block will be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockPlan {
    pub id: BlockId,
    pub shard: u16,
    pub shard_count: u16,
    pub level: u32,
    pub is_out_of_order: bool,
    pub parents: Vec<BlockId>,
    /// The time that the block will stand for, `start..end`.
    pub range_start_ms: i64,
    pub range_end_ms: i64,
}

/// Where a series' run stands and what time it spans.
#[derive(Clone, Copy, Debug)]
pub(super) struct SeriesPlace {
    pub place: u64,
    pub min_ms: i64,
    pub max_ms: i64,
}

/// Writes one block. Bytes for the file are appended to the `out` of each call; the caller takes
/// them from there whenever it likes.
#[derive(Debug)]
pub struct BlockWriter {
    meta: BlockMeta,
    pages: PageWriter,
    columns: ColumnWriter,
    dictionary: DictionaryWriter,
    hashes: Vec<u8>,
    places: Vec<SeriesPlace>,
    last_labels: Labels,
    run: RunWriter,
    /// Of the series that is being written.
    min_ms: i64,
    max_ms: i64,
    float_count: u64,
    histogram_count: u64,
    work: encode::Columns,
    values: Vec<u8>,
    starts: Vec<u8>,
    encoded: Vec<u8>,
    /// How far the end of the file is written.
    finish: Option<Finish>,
}

/// How many of `timestamps_ms`, from the first on, go into one chunk.
pub(super) fn chunk_count(timestamps_ms: &[i64]) -> usize {
    let count_max = timestamps_ms.len().min(CHUNK_COUNT_GOOD);
    let candidates = &timestamps_ms[..count_max];
    if count_max <= CHUNK_COUNT_MIN {
        return count_max;
    }
    // The first end on the grid that leaves enough samples before it.
    let least_ms = candidates[CHUNK_COUNT_MIN - 1];
    let cell_end_ms = least_ms.div_euclid(CHUNK_GRID_MS).saturating_add(1);
    let cell_end_ms = cell_end_ms.saturating_mul(CHUNK_GRID_MS);
    candidates.partition_point(|&timestamp_ms| timestamp_ms < cell_end_ms).max(CHUNK_COUNT_MIN)
}

impl BlockWriter {
    pub fn new(plan: BlockPlan, out: &mut Vec<u8>) -> BlockWriter {
        assert!(plan.shard < plan.shard_count);
        let mut pages = PageWriter::default();
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(&plan.shard.to_le_bytes());
        header.extend_from_slice(&plan.shard_count.to_le_bytes());
        header.extend_from_slice(&plan.id.0);
        header.resize(HEADER_BYTES, 0);
        pages.push(out, &header);
        let meta = BlockMeta {
            id: plan.id,
            shard: plan.shard,
            shard_count: plan.shard_count,
            level: plan.level,
            is_out_of_order: plan.is_out_of_order,
            parents: plan.parents,
            range_start_ms: plan.range_start_ms,
            range_end_ms: plan.range_end_ms,
            min_ms: i64::MAX,
            max_ms: i64::MIN,
            ..BlockMeta::default()
        };
        BlockWriter {
            meta,
            pages,
            columns: ColumnWriter::default(),
            dictionary: DictionaryWriter::default(),
            hashes: vec![],
            places: vec![],
            last_labels: Labels::default(),
            run: RunWriter::default(),
            min_ms: i64::MAX,
            max_ms: i64::MIN,
            float_count: 0,
            histogram_count: 0,
            work: encode::Columns::default(),
            values: vec![],
            starts: vec![],
            encoded: vec![],
            finish: None,
        }
    }

    /// Series written so far.
    pub fn series_count(&self) -> usize {
        self.places.len()
    }

    /// Bytes of the file so far.
    pub fn file_bytes(&self) -> u64 {
        self.pages.position()
    }

    /// Bytes on the heap that grow with series, about.
    pub fn bytes(&self) -> usize {
        self.dictionary.bytes()
            + self.hashes.capacity()
            + self.places.capacity() * size_of::<SeriesPlace>()
            + self.columns.rows.capacity()
    }

    /// Writes a series with all its samples, which are not none. `hash` is the stable hash of
    /// `labels`, which come after those of the series before.
    ///
    /// Errors: the labels are out of order, or there is no room for more; the block is of no use
    /// then.
    ///
    /// # Panics
    ///
    /// On columns that do not fit each other.
    pub fn push_series(
        &mut self,
        labels: LabelsRef<'_>,
        hash: u64,
        samples: &SeriesSamples,
        out: &mut Vec<u8>,
    ) -> Result<(), BlockError> {
        self.push_samples(samples, out);
        self.end_series(labels, hash, out)
    }

    /// Encodes samples of the series that is written now: newer than those of the calls before.
    fn push_samples(&mut self, samples: &SeriesSamples, out: &mut Vec<u8>) {
        samples.assert_columns();
        self.push_floats(samples, out);
        self.push_histograms(samples, None, out);
    }

    pub(super) fn push_floats(&mut self, samples: &SeriesSamples, out: &mut Vec<u8>) {
        let mut start = 0;
        while start < samples.timestamps_ms.len() {
            let end = start + chunk_count(&samples.timestamps_ms[start..]);
            let column =
                self.columns.column(&samples.timestamps_ms[start..end], &mut self.pages, out);
            self.values.clear();
            let codec =
                encode::push_floats(&mut self.values, &samples.values[start..end], &mut self.work);
            self.encode_starts(samples.starts_ms.get(start..end));
            self.push_encoded(ValueCodec::Floats(codec), column);
            self.float_count += (end - start) as u64;
            start = end;
        }
    }

    /// `before` is the histogram of this series written last.
    pub(super) fn push_histograms(
        &mut self,
        samples: &SeriesSamples,
        before: Option<&HistogramSample>,
        out: &mut Vec<u8>,
    ) {
        let mut start = 0;
        while start < samples.histograms.len() {
            let most = start + chunk_count(&samples.histogram_timestamps_ms[start..]);
            let candidates = &samples.histograms[start..most];
            let before = if start == 0 { before } else { samples.histograms.get(start - 1) };
            let (count, resets) = encode::histogram_run(candidates, before);
            let end = start + count;
            let timestamps_ms = &samples.histogram_timestamps_ms[start..end];
            let column = self.columns.column(timestamps_ms, &mut self.pages, out);
            self.values.clear();
            let histograms = &candidates[..count];
            encode::push_histograms(&mut self.values, histograms, resets, &mut self.work);
            self.encode_starts(samples.histogram_starts_ms.get(start..end));
            let is_integer = histograms[0].is_integer;
            self.push_encoded(ValueCodec::Histograms { is_integer }, column);
            self.histogram_count += count as u64;
            start = end;
        }
    }

    fn encode_starts(&mut self, starts_ms: Option<&[i64]>) {
        self.starts.clear();
        if let Some(starts_ms) = starts_ms
            && starts_ms.iter().any(|&start_ms| start_ms != 0)
        {
            encode::push_starts(&mut self.starts, starts_ms, &mut self.work);
        }
    }

    fn push_encoded(&mut self, codec: ValueCodec, column: u32) {
        let row = self.columns.row(column);
        self.min_ms = self.min_ms.min(row.min_ms);
        self.max_ms = self.max_ms.max(row.max_ms);
        self.run.push(RunChunk { codec, column, values: &self.values, starts: &self.starts });
    }

    /// Takes over a chunk as it is. `timestamps_ms` are those of its column, unless the caller
    /// knows the column's number here, from an earlier chunk. Returns that number.
    pub(super) fn push_chunk(
        &mut self,
        chunk: RunChunk<'_>,
        column: Result<u32, &[i64]>,
        out: &mut Vec<u8>,
    ) -> u32 {
        let column = match column {
            Ok(column) => column,
            Err(timestamps_ms) => self.columns.column(timestamps_ms, &mut self.pages, out),
        };
        let row = self.columns.row(column);
        self.min_ms = self.min_ms.min(row.min_ms);
        self.max_ms = self.max_ms.max(row.max_ms);
        match chunk.codec {
            ValueCodec::Floats(_) => self.float_count += u64::from(row.count),
            ValueCodec::Histograms { .. } => self.histogram_count += u64::from(row.count),
        }
        self.run.push(RunChunk { column, ..chunk });
        column
    }

    /// Ends the series that is written now. One without chunks leaves nothing.
    pub(super) fn end_series(
        &mut self,
        labels: LabelsRef<'_>,
        hash: u64,
        out: &mut Vec<u8>,
    ) -> Result<(), BlockError> {
        debug_assert!(hash == labels.stable_hash());
        if self.run.count() == 0 {
            return Ok(());
        }
        let is_next = self.places.is_empty() || self.last_labels.as_ref().compare(labels).is_lt();
        if !is_next {
            return Err(self.error(Problem::Broken("order of series")));
        }
        if self.places.len() >= u32::MAX as usize {
            return Err(self.full("series"));
        }
        if self.columns.count() >= u32::MAX as usize {
            return Err(self.full("timestamp columns"));
        }
        self.last_labels = labels.to_owned();
        let place = self.pages.position();
        let (min_ms, max_ms) = (self.min_ms, self.max_ms);
        self.places.push(SeriesPlace { place, min_ms, max_ms });
        self.hashes.extend_from_slice(&hash.to_le_bytes());
        self.dictionary.push(labels);
        self.encoded.clear();
        self.run.write(place, &mut self.encoded);
        self.pages.push(out, &self.encoded);

        let meta = &mut self.meta;
        meta.min_ms = meta.min_ms.min(self.min_ms);
        meta.max_ms = meta.max_ms.max(self.max_ms);
        meta.series_count += 1;
        meta.chunk_count += self.run.count() as u64;
        meta.float_count += std::mem::take(&mut self.float_count);
        meta.histogram_count += std::mem::take(&mut self.histogram_count);
        self.run.clear();
        (self.min_ms, self.max_ms) = (i64::MAX, i64::MIN);
        Ok(())
    }

    fn error(&self, problem: Problem) -> BlockError {
        BlockError { file: format!("block {}", self.meta.id).into(), problem }
    }

    fn full(&self, what: &'static str) -> BlockError {
        self.error(Problem::Full(what))
    }

    /// Writes what stands at the end: the file is complete then. A block without series is of no
    /// use; the caller drops it.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<BlockMeta, BlockError> {
        loop {
            if let Some(meta) = self.finish_some(usize::MAX, out)? {
                return Ok(meta);
            }
        }
    }

    /// As [`BlockWriter::finish`], in turns of about `work_max` strings, sets or series. `Some` when
    /// the file is complete; no call comes after that, and no series after the first call.
    pub fn finish_some(
        &mut self,
        work_max: usize,
        out: &mut Vec<u8>,
    ) -> Result<Option<BlockMeta>, BlockError> {
        let mut finish = match self.finish.take() {
            Some(finish) => finish,
            None => Finish::new(self.meta.min_ms, &mut self.pages, out),
        };
        let tables = Tables {
            dictionary: &mut self.dictionary,
            hashes: &mut self.hashes,
            places: &self.places,
            columns: &self.columns,
        };
        let is_done =
            finish.step(work_max, tables, &mut self.pages, out).map_err(|what| self.full(what))?;
        if !is_done {
            self.finish = Some(finish);
            return Ok(None);
        }
        let body = self.meta.encode(&finish.sections);
        std::mem::take(&mut self.pages).finish(out, MAGIC, VERSION, &body);
        Ok(Some(std::mem::take(&mut self.meta)))
    }
}
