//! Frames: what one request leaves in the log, whole or not at all.
//!
//! A frame's checksum covers its header and its records; its header names the checksum of the
//! frame before it, so that a hole, a cut at a frame's border or a block from another place does
//! not pass for a log.

use super::columns::COLUMNS_BYTES_MAX;
use super::exemplars::{EXEMPLAR_BYTES_MAX, LoggedExemplar};
use super::record::{
    HistogramColumns, MetadataRecord, RECORDS_BYTES_MAX, RecordType, SAMPLE_BYTES_MAX,
    SampleColumns, push_histograms, push_samples,
};
use super::segment::{le_u32, le_u64};
use super::series::{LabelSets, SERIES_BYTES_MAX, push_series};
use crate::encode::histogram_bytes_max;
use crate::limits::WAL_FRAME_BYTES_MAX;
use crate::model::Batch;

/// Bytes before a frame's records.
pub const FRAME_HEADER_BYTES: usize = 24;

/// Frames start at multiples of this, counted from the start of the segment, so that a reader that
/// lost its way tries one place in eight.
pub(super) const FRAME_ALIGN: usize = 8;

pub(super) const FRAME_MAGIC: [u8; 4] = [0xf5, b'H', b'W', 0x9a];

/// Where the log stands: what the next frame must say about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    /// LSN of the next frame. LSNs count frames of one shard and start at one.
    pub next_lsn: u64,
    /// CRC of the last frame; zero before the first.
    pub last_crc: u32,
}

impl Default for Chain {
    fn default() -> Self {
        Chain { next_lsn: 1, last_crc: 0 }
    }
}

/// Appends one frame to a caller's buffer.
///
/// The buffer's start must stand at a multiple of eight in its segment, and so must every frame in
/// it: `finish` pads. Dropping a writer without `finish` leaves a broken frame in the buffer.
pub struct FrameWriter<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    epoch: u32,
}

impl<'a> FrameWriter<'a> {
    /// Most bytes of a frame, its padding included, of all that is in `batch`: what a writer
    /// reserves before it appends.
    pub fn bytes_max(batch: &Batch) -> usize {
        let series = batch.series_count() * SERIES_BYTES_MAX + batch.label_bytes().len();
        let samples = batch.sample_count() * SAMPLE_BYTES_MAX;
        let histograms = batch.histograms().iter();
        let histograms: usize =
            histograms.map(|sample| COLUMNS_BYTES_MAX + histogram_bytes_max(sample)).sum();
        let exemplars = batch.exemplars().iter();
        let exemplars: usize = exemplars
            .map(|exemplar| EXEMPLAR_BYTES_MAX + exemplar.labels.as_ref().as_bytes().len())
            .sum();
        let records = RECORDS_BYTES_MAX + series + samples + histograms + exemplars;
        (FRAME_HEADER_BYTES + records).next_multiple_of(FRAME_ALIGN)
    }

    /// Most bytes that a sample of a series known by id adds, when the series' label set has
    /// `label_bytes`: the log may have to name it.
    pub fn known_bytes_max(label_bytes: usize) -> usize {
        SAMPLE_BYTES_MAX + SERIES_BYTES_MAX + label_bytes
    }

    pub fn begin(out: &'a mut Vec<u8>) -> Self {
        debug_assert!(out.len().is_multiple_of(FRAME_ALIGN));
        let start = out.len();
        out.resize(start + FRAME_HEADER_BYTES, 0);
        FrameWriter { out, start, epoch: 0 }
    }

    /// Says which start of the process on this log gave the ids of series; zero is the first.
    pub fn of_epoch(self, epoch: u32) -> Self {
        FrameWriter { epoch, ..self }
    }

    /// Runs `write` between the head of a record and its end, where its length is set.
    fn record(&mut self, record: RecordType, write: impl FnOnce(&mut Vec<u8>)) {
        self.out.push(record as u8);
        let length_at = self.out.len();
        self.out.extend_from_slice(&[0; 4]);
        write(self.out);
        let length = (self.out.len() - length_at - 4) as u32;
        self.out[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
    }

    /// Adds the label sets of series that samples name by id from here on; `sets` has them. Writes
    /// nothing for an empty iterator.
    ///
    /// Cost: about 10 bytes and as many nanoseconds a series, and each label that is not that of the
    /// series before.
    pub fn series(&mut self, series: impl IntoIterator<Item = u32>, sets: &impl LabelSets) {
        let epoch = self.epoch;
        let mut series = series.into_iter().peekable();
        if series.peek().is_some() {
            self.record(RecordType::SharedSeries, |out| push_series(out, epoch, series, sets));
        }
    }

    /// Adds samples as columns; writes nothing when they are empty.
    ///
    /// Cost: about 10 bytes and 3 ns a sample when the ids are near each other and the timestamps
    /// equal.
    ///
    /// # Panics
    ///
    /// On columns of unequal length.
    pub fn samples(&mut self, samples: SampleColumns<'_>) {
        if !samples.values.is_empty() {
            let epoch = self.epoch;
            self.record(RecordType::Samples, |out| push_samples(out, epoch, samples));
        }
    }

    /// As [`FrameWriter::samples`], of native histograms.
    pub fn histograms(&mut self, samples: HistogramColumns<'_>) {
        if !samples.histograms.is_empty() {
            let epoch = self.epoch;
            self.record(RecordType::Histograms, |out| push_histograms(out, epoch, samples));
        }
    }

    /// Adds exemplars; writes nothing for an empty iterator.
    pub fn exemplars<'l>(&mut self, exemplars: impl IntoIterator<Item = LoggedExemplar<'l>>) {
        let epoch = self.epoch;
        let mut exemplars = exemplars.into_iter().peekable();
        if exemplars.peek().is_some() {
            self.record(RecordType::Exemplars, |out| {
                out.extend_from_slice(&epoch.to_le_bytes());
                exemplars.for_each(|exemplar| exemplar.push(out));
            });
        }
    }

    /// Adds the metadata of one metric family.
    pub fn metadata(&mut self, metadata: MetadataRecord<'_>) {
        self.record(RecordType::Metadata, |out| metadata.push(out));
    }

    /// Whether no record was added.
    pub fn is_empty(&self) -> bool {
        self.out.len() == self.start + FRAME_HEADER_BYTES
    }

    /// Seals the frame and moves the chain on. Returns its LSN, or `None` when there was no record:
    /// then the buffer is as it was and the chain stays.
    pub fn finish(self, chain: &mut Chain) -> Option<u64> {
        if self.is_empty() {
            self.out.truncate(self.start);
            return None;
        }
        let payload_bytes = self.out.len() - self.start - FRAME_HEADER_BYTES;
        assert!(payload_bytes <= WAL_FRAME_BYTES_MAX, "a request fits one frame");
        let frame = &mut self.out[self.start..];
        frame[..4].copy_from_slice(&FRAME_MAGIC);
        frame[4..8].copy_from_slice(&(payload_bytes as u32).to_le_bytes());
        frame[8..16].copy_from_slice(&chain.next_lsn.to_le_bytes());
        frame[16..20].copy_from_slice(&chain.last_crc.to_le_bytes());
        let crc = frame_crc(frame);
        frame[20..24].copy_from_slice(&crc.to_le_bytes());
        self.out.resize(self.out.len().next_multiple_of(FRAME_ALIGN), 0);
        let lsn = chain.next_lsn;
        *chain = Chain { next_lsn: lsn + 1, last_crc: crc };
        Some(lsn)
    }
}

/// CRC32C of everything in `frame` but the place where it is stored.
fn frame_crc(frame: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&frame[..20]);
    crc32c::crc32c_append(crc, &frame[FRAME_HEADER_BYTES..])
}

/// A frame whose checksum holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    pub lsn: u64,
    pub crc: u32,
    pub previous_crc: u32,
    /// The records, for [`super::Records`].
    pub payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The frame at the start of `bytes`, if one stands there whole.
    pub(super) fn decode(bytes: &'a [u8]) -> Option<Frame<'a>> {
        let header = bytes.first_chunk::<FRAME_HEADER_BYTES>()?;
        if header[..4] != FRAME_MAGIC {
            return None;
        }
        let payload_bytes = le_u32(header, 4) as usize;
        if payload_bytes > WAL_FRAME_BYTES_MAX {
            return None;
        }
        let frame = bytes.get(..FRAME_HEADER_BYTES + payload_bytes)?;
        let crc = le_u32(header, 20);
        (frame_crc(frame) == crc).then(|| Frame {
            lsn: le_u64(header, 8),
            crc,
            previous_crc: le_u32(header, 16),
            payload: &frame[FRAME_HEADER_BYTES..],
        })
    }

    /// Bytes from this frame's start to the next one's.
    pub(super) fn stride_bytes(&self) -> usize {
        (FRAME_HEADER_BYTES + self.payload.len()).next_multiple_of(FRAME_ALIGN)
    }
}
