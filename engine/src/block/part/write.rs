//! Writing a part: chunks by id, then labels by id, then the rest.

use super::super::dictionary::write_section;
use super::super::pages::{PageWriter, Section};
use super::labels::LabelsWriter;
use super::{
    GROUP_COUNT, GROUP_ROW_BYTES, LATE_FOLLOWS, MAGIC, PartExemplar, PartMeta, PartMetadata,
    SectionName, Sections, VERSION,
};
use crate::encode::ChunkHeader;
use crate::index::Index;
use crate::mem::varint::{push_i64, push_u64};
use crate::model::labels::push_string;

const HEADER_BYTES: usize = 64;

/// What a new part will be: see [`PartMeta`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartPlan {
    pub number: u64,
    pub shard: u16,
    pub shard_count: u16,
    pub epoch: u32,
    pub is_base: bool,
    pub next_lsn: u64,
    pub id_count: u64,
}

/// Writes one part. Bytes for the file are appended to the `out` of each call; the caller takes them
/// from there whenever it likes. Of the chunks, a group of series is in memory at a time.
#[derive(Debug)]
pub struct PartWriter {
    meta: PartMeta,
    pages: PageWriter,
    /// Heads and runs of the group that is not full yet.
    group_heads: Vec<u8>,
    group_runs: Vec<u8>,
    group_count: usize,
    group_first: u32,
    group_rows: Vec<u8>,
    /// Series whose run is being written, and where that begins in `group_runs`.
    run_series: Option<u32>,
    run_start: usize,
    /// The run has come to its late chunks.
    is_run_late: bool,
    previous_in_group: u32,
    /// The rows of the groups, once they are written.
    groups: Section,
    /// Where the labels begin; `None` while chunks are written.
    labels_start: Option<u64>,
    labels: LabelsWriter,
    removed: Vec<u8>,
    last_removed: u32,
    metadata: Vec<u8>,
    exemplars: Vec<u8>,
    encoded: Vec<u8>,
}

impl PartWriter {
    pub fn new(plan: PartPlan, out: &mut Vec<u8>) -> PartWriter {
        assert!(plan.shard < plan.shard_count);
        let mut pages = PageWriter::default();
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(&plan.shard.to_le_bytes());
        header.extend_from_slice(&plan.shard_count.to_le_bytes());
        header.extend_from_slice(&plan.number.to_le_bytes());
        header.resize(HEADER_BYTES, 0);
        pages.push(out, &header);
        PartWriter {
            meta: PartMeta {
                number: plan.number,
                shard: plan.shard,
                shard_count: plan.shard_count,
                epoch: plan.epoch,
                is_base: plan.is_base,
                next_lsn: plan.next_lsn,
                id_count: plan.id_count,
                min_ms: i64::MAX,
                max_ms: i64::MIN,
                ..PartMeta::default()
            },
            pages,
            group_heads: vec![],
            group_runs: vec![],
            group_count: 0,
            group_first: 0,
            group_rows: vec![],
            run_series: None,
            run_start: 0,
            is_run_late: false,
            previous_in_group: 0,
            groups: Section::default(),
            labels_start: None,
            labels: LabelsWriter::default(),
            removed: vec![],
            last_removed: 0,
            metadata: vec![],
            exemplars: vec![],
            encoded: vec![],
        }
    }

    /// Bytes of the file so far.
    pub fn file_bytes(&self) -> u64 {
        self.pages.position()
    }

    /// Writes a chunk of `encode`. Series come with ascending ids, the chunks of one in the order in
    /// which they count: of samples with one timestamp that of the earlier chunk stays. Chunks of
    /// samples that came in order ascend by time; those of late ones (`is_late`) stand behind them.
    ///
    /// # Panics
    ///
    /// On series out of order, on chunks in order behind late ones, on chunks behind labels, and on
    /// bytes that are no chunk.
    pub fn push_chunk(&mut self, series: u32, chunk: &[u8], is_late: bool, out: &mut Vec<u8>) {
        assert!(self.labels_start.is_none(), "chunks stand before labels");
        let header = ChunkHeader::decode(chunk).expect("chunks come from the encoder");
        if self.run_series != Some(series) {
            assert!(self.run_series.is_none_or(|last| last < series), "series ids ascend");
            self.end_run();
            if self.group_count == GROUP_COUNT {
                self.end_group(out);
            }
            if self.group_count == 0 {
                (self.group_first, self.previous_in_group) = (series, series);
            }
            (self.run_series, self.run_start) = (Some(series), self.group_runs.len());
            self.is_run_late = false;
        }
        assert!(is_late || !self.is_run_late, "late chunks stand behind the others");
        if is_late && !self.is_run_late {
            self.is_run_late = true;
            push_u64(&mut self.group_runs, LATE_FOLLOWS);
        }
        push_u64(&mut self.group_runs, chunk.len() as u64);
        self.group_runs.extend_from_slice(chunk);
        let meta = &mut self.meta;
        meta.min_ms = meta.min_ms.min(header.min_ms);
        meta.max_ms = meta.max_ms.max(header.max_ms);
        meta.has_late |= is_late;
        meta.chunk_count += 1;
        meta.sample_count += header.count as u64;
    }

    fn end_run(&mut self) {
        let Some(series) = self.run_series else { return };
        push_u64(&mut self.group_heads, u64::from(series - self.previous_in_group));
        push_u64(&mut self.group_heads, (self.group_runs.len() - self.run_start) as u64);
        self.previous_in_group = series;
        self.group_count += 1;
        self.meta.series_count += 1;
    }

    fn end_group(&mut self, out: &mut Vec<u8>) {
        if self.group_count == 0 {
            return;
        }
        self.group_rows.extend_from_slice(&self.pages.position().to_le_bytes());
        self.group_rows.extend_from_slice(&self.group_first.to_le_bytes());
        self.encoded.clear();
        push_u64(&mut self.encoded, self.group_count as u64);
        self.pages.push(out, &self.encoded);
        self.pages.push(out, &self.group_heads);
        self.pages.push(out, &self.group_runs);
        self.group_heads.clear();
        self.group_runs.clear();
        self.group_count = 0;
    }

    /// Ends the chunks and writes the rows of their groups.
    fn end_chunks(&mut self, out: &mut Vec<u8>) {
        self.end_run();
        self.run_series = None;
        self.end_group(out);
        self.group_rows.extend_from_slice(&self.pages.position().to_le_bytes());
        self.group_rows.extend_from_slice(&u32::MAX.to_le_bytes());
        let rows = std::mem::take(&mut self.group_rows);
        debug_assert!(rows.len().is_multiple_of(GROUP_ROW_BYTES));
        self.groups = write_section(&mut self.pages, out, &rows);
    }

    fn begin_labels(&mut self, out: &mut Vec<u8>) {
        if self.labels_start.is_none() {
            self.end_chunks(out);
            self.pages.align(out);
            self.labels_start = Some(self.pages.position());
        }
    }

    /// Writes the labels of a series of `index`, and their stable hash; ids ascend. No pair of the index
    /// is dropped between the first call and the last.
    ///
    /// # Panics
    ///
    /// On series out of order.
    pub fn push_labels(&mut self, series: u32, hash: u64, index: &Index, out: &mut Vec<u8>) {
        self.begin_labels(out);
        self.encoded.clear();
        self.labels.push(series, hash, index, &mut self.encoded);
        self.pages.push(out, &self.encoded);
        self.meta.labels_count += 1;
    }

    /// Notes that a series is no more; ids ascend.
    pub fn push_removed(&mut self, series: u32) {
        assert!(self.removed.is_empty() || self.last_removed < series, "series ids ascend");
        push_u64(&mut self.removed, u64::from(series - self.last_removed));
        self.last_removed = series;
    }

    pub fn push_metadata(&mut self, metadata: PartMetadata<'_>) {
        for text in [metadata.family, metadata.kind, metadata.help, metadata.unit] {
            push_string(&mut self.metadata, text.as_bytes());
        }
    }

    /// Notes an exemplar, in the order in which they came.
    pub fn push_exemplar(&mut self, exemplar: PartExemplar<'_>) {
        push_u64(&mut self.exemplars, u64::from(exemplar.series));
        push_i64(&mut self.exemplars, exemplar.timestamp_ms);
        self.exemplars.extend_from_slice(&exemplar.value.to_bits().to_le_bytes());
        push_string(&mut self.exemplars, exemplar.labels.as_bytes());
    }

    /// Writes what stands at the end: the file is complete then.
    pub fn finish(mut self, out: &mut Vec<u8>) -> PartMeta {
        let mut sections = Sections::default();
        self.begin_labels(out);
        let mut put = |name: SectionName, section| sections[name as usize] = section;
        put(SectionName::Groups, self.groups);
        let start = self.labels_start.expect("they began above");
        put(SectionName::Labels, Section { start, bytes: self.pages.position() - start });
        for (name, bytes) in [
            (SectionName::Removed, &self.removed),
            (SectionName::Metadata, &self.metadata),
            (SectionName::Exemplars, &self.exemplars),
        ] {
            put(name, write_section(&mut self.pages, out, bytes));
        }
        let body = self.meta.encode(&sections);
        self.pages.finish(out, MAGIC, VERSION, &body);
        self.meta
    }
}
