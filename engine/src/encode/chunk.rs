//! Chunks: the columns of some samples behind a header that describes them.

use super::columns::{self, is_count};
use super::floats::{self, FloatCodec};
use super::histogram;
use super::starts;
use super::timestamps::{self, TimestampCodec};
use super::{CHUNK_COUNT_MAX, Columns, DecodeError};
use crate::mem::varint::{push_i64, push_u64, take_bytes, take_i64, take_u64};
use crate::model::histogram::CounterReset;
use crate::model::{HistogramSample, Samples};

/// How the values of a chunk are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueCodec {
    Floats(FloatCodec),
    /// Native histograms; whether their counts were whole when they came.
    Histograms {
        is_integer: bool,
    },
}

/// Codes of [`ValueCodec`] behind those of floats.
const HISTOGRAMS: u8 = 16;
const INTEGER_HISTOGRAMS: u8 = 17;

/// Bit of the codecs' byte: the chunk has start timestamps.
const HAS_STARTS: u8 = 1 << 2;

impl ValueCodec {
    pub fn code(self) -> u8 {
        match self {
            ValueCodec::Floats(codec) => codec as u8,
            ValueCodec::Histograms { is_integer: false } => HISTOGRAMS,
            ValueCodec::Histograms { is_integer: true } => INTEGER_HISTOGRAMS,
        }
    }

    pub fn from_code(code: u8) -> Option<Self> {
        match code {
            HISTOGRAMS => Some(ValueCodec::Histograms { is_integer: false }),
            INTEGER_HISTOGRAMS => Some(ValueCodec::Histograms { is_integer: true }),
            _ => FloatCodec::from_code(code).map(ValueCodec::Floats),
        }
    }
}

/// What a chunk says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkHeader {
    /// Samples, at least one.
    pub count: usize,
    /// Timestamp of the first sample.
    pub min_ms: i64,
    /// Timestamp of the last sample.
    pub max_ms: i64,
    pub timestamp_codec: TimestampCodec,
    pub value_codec: ValueCodec,
    pub has_starts: bool,
    header_bytes: usize,
    timestamp_bytes: usize,
    value_bytes: usize,
    start_bytes: usize,
}

/// Appends a chunk of `timestamps_ms` and `values`, each column with the codec that suits it best.
///
/// Shapes: columns of equal length, 1 to [`CHUNK_COUNT_MAX`]; timestamps ascend strictly. Cost:
/// about 10 ns a sample; no allocation once `work` and `out` have room.
///
/// # Panics
///
/// On other shapes: a bug of the caller.
pub fn encode(timestamps_ms: &[i64], values: &[f64], work: &mut Columns, out: &mut Vec<u8>) {
    encode_floats(timestamps_ms, &[], values, work, out);
}

/// As [`encode`], with start timestamps; `starts_ms` is empty, or as long as the others.
pub fn encode_floats(
    timestamps_ms: &[i64],
    starts_ms: &[i64],
    values: &[f64],
    work: &mut Columns,
    out: &mut Vec<u8>,
) {
    assert!(timestamps_ms.len() == values.len());
    encode_by(timestamps_ms, starts_ms, work, out, |sections, work| {
        let timestamp_codec = timestamps::push_best(sections, timestamps_ms, work);
        let timestamp_bytes = sections.len();
        let float_codec = floats::push_best(sections, values, work);
        Some((timestamp_codec, timestamp_bytes, ValueCodec::Floats(float_codec)))
    });
}

/// As [`encode`], of the decimals `integers / 10^exponent`, each of which has those bits. `false`, and
/// nothing appended, where [`encode`] may find something shorter than their integers.
pub fn encode_decimals(
    timestamps_ms: &[i64],
    integers: &[i64],
    exponent: u8,
    work: &mut Columns,
    out: &mut Vec<u8>,
) -> bool {
    assert!(timestamps_ms.len() == integers.len());
    encode_by(timestamps_ms, &[], work, out, |sections, work| {
        let timestamp_codec = timestamps::push_best(sections, timestamps_ms, work);
        let timestamp_bytes = sections.len();
        let codec = floats::push_integers(sections, integers, exponent, work)?;
        Some((timestamp_codec, timestamp_bytes, ValueCodec::Floats(codec)))
    })
}

/// Appends a chunk of native histograms that [`super::histogram_run`] put together.
///
/// Shapes and panics: as [`encode_floats`].
pub fn encode_histograms(
    timestamps_ms: &[i64],
    starts_ms: &[i64],
    histograms: &[HistogramSample],
    resets: CounterReset,
    work: &mut Columns,
    out: &mut Vec<u8>,
) {
    assert!(timestamps_ms.len() == histograms.len());
    encode_by(timestamps_ms, starts_ms, work, out, |sections, work| {
        let timestamp_codec = timestamps::push_best(sections, timestamps_ms, work);
        let timestamp_bytes = sections.len();
        histogram::push(sections, histograms, resets, work);
        let is_integer = histograms[0].is_integer;
        Some((timestamp_codec, timestamp_bytes, ValueCodec::Histograms { is_integer }))
    });
}

/// As [`encode`] with given codecs: for tests and measurements. `false`, and nothing appended, when
/// one of them cannot hold its column.
pub fn encode_with(
    timestamp_codec: TimestampCodec,
    float_codec: FloatCodec,
    timestamps_ms: &[i64],
    values: &[f64],
    work: &mut Columns,
    out: &mut Vec<u8>,
) -> bool {
    assert!(timestamps_ms.len() == values.len());
    encode_by(timestamps_ms, &[], work, out, |sections, work| {
        if !timestamps::push(sections, timestamps_ms, timestamp_codec, work) {
            return None;
        }
        let timestamp_bytes = sections.len();
        floats::push(sections, values, float_codec, work).then_some((
            timestamp_codec,
            timestamp_bytes,
            ValueCodec::Floats(float_codec),
        ))
    })
}

fn encode_by(
    timestamps_ms: &[i64],
    starts_ms: &[i64],
    work: &mut Columns,
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>, &mut Columns) -> Option<(TimestampCodec, usize, ValueCodec)>,
) -> bool {
    let count = timestamps_ms.len();
    assert!((1..=CHUNK_COUNT_MAX).contains(&count));
    assert!(starts_ms.is_empty() || starts_ms.len() == count);
    debug_assert!(timestamps_ms.is_sorted_by(|left, right| left < right));
    let mut sections = std::mem::take(&mut work.sections);
    sections.clear();
    let written = write(&mut sections, work);
    if let Some((timestamp_codec, timestamp_bytes, value_codec)) = written {
        let value_bytes = sections.len() - timestamp_bytes;
        let has_starts = starts_ms.iter().any(|&start_ms| start_ms != 0);
        if has_starts {
            starts::push(&mut sections, starts_ms, work);
        }
        let (min_ms, max_ms) = (timestamps_ms[0], timestamps_ms[count - 1]);
        let flag = if has_starts { HAS_STARTS } else { 0 };
        out.push(timestamp_codec as u8 | flag | value_codec.code() << 3);
        push_u64(out, count as u64);
        push_i64(out, min_ms);
        push_u64(out, max_ms.wrapping_sub(min_ms) as u64);
        push_u64(out, timestamp_bytes as u64);
        push_u64(out, value_bytes as u64);
        if has_starts {
            push_u64(out, (sections.len() - timestamp_bytes - value_bytes) as u64);
        }
        out.extend_from_slice(&sections);
    }
    work.sections = sections;
    written.is_some()
}

/// A chunk's columns as bytes.
struct Sections<'a> {
    timestamps: &'a [u8],
    values: &'a [u8],
    starts: &'a [u8],
}

impl ChunkHeader {
    /// Takes a header off the front of `bytes`.
    fn take(bytes: &mut &[u8]) -> Option<ChunkHeader> {
        let with_header = bytes.len();
        let codecs = take_bytes(bytes, 1)?[0];
        let count = usize::try_from(take_u64(bytes)?).ok()?;
        let min_ms = take_i64(bytes)?;
        let max_ms = min_ms.checked_add_unsigned(take_u64(bytes)?)?;
        let take_length = |bytes: &mut &[u8]| usize::try_from(take_u64(bytes)?).ok();
        let has_starts = codecs & HAS_STARTS != 0;
        let mut header = ChunkHeader {
            count,
            min_ms,
            max_ms,
            timestamp_codec: TimestampCodec::from_code(codecs & 3)?,
            value_codec: ValueCodec::from_code(codecs >> 3)?,
            has_starts,
            header_bytes: 0,
            timestamp_bytes: take_length(bytes)?,
            value_bytes: take_length(bytes)?,
            start_bytes: if has_starts { take_length(bytes)? } else { 0 },
        };
        header.header_bytes = with_header - bytes.len();
        is_count(count, min_ms, max_ms).then_some(header)
    }

    /// Reads the header at the start of `bytes`.
    pub fn decode(mut bytes: &[u8]) -> Result<ChunkHeader, DecodeError> {
        ChunkHeader::take(&mut bytes).ok_or(DecodeError::Header)
    }

    /// Splits the chunk `bytes` (the whole of it and no more).
    fn split(bytes: &[u8]) -> Option<(ChunkHeader, Sections<'_>)> {
        let header = ChunkHeader::take(&mut &*bytes)?;
        Some((header, header.sections(bytes)?))
    }

    /// The columns of the chunk `bytes` (the whole of it and no more) whose header this is.
    fn sections<'a>(&self, bytes: &'a [u8]) -> Option<Sections<'a>> {
        let (_, mut rest) = bytes.split_at_checked(self.header_bytes)?;
        let timestamps = take_bytes(&mut rest, self.timestamp_bytes)?;
        let values = take_bytes(&mut rest, self.value_bytes)?;
        let starts = take_bytes(&mut rest, self.start_bytes)?;
        rest.is_empty().then_some(Sections { timestamps, values, starts })
    }

    /// What a chunk of histograms knows about a reset before it; `None` of one of floats.
    pub fn resets(bytes: &[u8]) -> Result<Option<CounterReset>, DecodeError> {
        let (header, sections) = ChunkHeader::split(bytes).ok_or(DecodeError::Header)?;
        match header.value_codec {
            ValueCodec::Floats(_) => Ok(None),
            ValueCodec::Histograms { .. } => {
                histogram::resets(sections.values).map(Some).ok_or(DecodeError::Values)
            }
        }
    }

    fn timestamps(&self, sections: &Sections<'_>, out: &mut Vec<i64>) -> Result<(), DecodeError> {
        let codec = self.timestamp_codec;
        let (min_ms, max_ms) = (self.min_ms, self.max_ms);
        columns::decode_timestamps(sections.timestamps, codec, min_ms, max_ms, self.count, out)
    }

    /// Appends the starts to `out`, zeros where the chunk has none. `out` is empty and stays so as
    /// long as no chunk has any; `before_count` samples stand before this chunk.
    fn starts(
        &self,
        sections: &Sections<'_>,
        before_count: usize,
        out: &mut Vec<i64>,
    ) -> Result<(), DecodeError> {
        if self.has_starts {
            out.resize(before_count, 0);
            columns::decode_starts(sections.starts, self.count, out)?;
        } else if !out.is_empty() {
            out.resize(before_count + self.count, 0);
        }
        Ok(())
    }
}

/// Appends the samples of the chunk `bytes` (the whole of it and no more) of floats to two columns.
///
/// Cost: 0.3 to 2 ns a sample by codec, about 5 with XOR; no allocation once the columns have
/// room.
///
/// # Errors
///
/// On bytes that no encoder wrote, and on a chunk of histograms; the columns are then as they were.
pub fn decode(
    bytes: &[u8],
    timestamps_ms: &mut Vec<i64>,
    values: &mut Vec<f64>,
) -> Result<(), DecodeError> {
    let header = ChunkHeader::decode(bytes)?;
    decode_behind(&header, bytes, timestamps_ms, values)
}

/// As [`decode`], of a chunk whose header was read before.
pub fn decode_behind(
    header: &ChunkHeader,
    bytes: &[u8],
    timestamps_ms: &mut Vec<i64>,
    values: &mut Vec<f64>,
) -> Result<(), DecodeError> {
    let sections = header.sections(bytes).ok_or(DecodeError::Header)?;
    let ValueCodec::Floats(codec) = header.value_codec else { return Err(DecodeError::Header) };
    let start = timestamps_ms.len();
    header.timestamps(&sections, timestamps_ms)?;
    let decoded = columns::decode_floats(sections.values, codec, header.count, values);
    if decoded.is_err() {
        timestamps_ms.truncate(start);
    }
    decoded
}

/// The last value of the chunk `bytes` (the whole of it and no more) of floats, without its
/// timestamps; `None` of a chunk of histograms. `values` is room to decode in.
///
/// Errors: bytes that no encoder wrote.
pub fn last_float(bytes: &[u8], values: &mut Vec<f64>) -> Result<Option<f64>, DecodeError> {
    let (header, sections) = ChunkHeader::split(bytes).ok_or(DecodeError::Header)?;
    let ValueCodec::Floats(codec) = header.value_codec else { return Ok(None) };
    columns::last_float(sections.values, codec, header.count, values).map(Some)
}

/// Appends the samples of the chunk `bytes` (the whole of it and no more) of either kind to `out`.
///
/// Errors: bytes that no encoder wrote; `out` is then as it was.
pub fn decode_samples(bytes: &[u8], out: &mut Samples) -> Result<(), DecodeError> {
    let (header, sections) = ChunkHeader::split(bytes).ok_or(DecodeError::Header)?;
    decode_sections(&header, &sections, out)
}

/// As [`decode_samples`], of a chunk whose header was read before.
pub fn decode_samples_behind(
    header: &ChunkHeader,
    bytes: &[u8],
    out: &mut Samples,
) -> Result<(), DecodeError> {
    let sections = header.sections(bytes).ok_or(DecodeError::Header)?;
    decode_sections(header, &sections, out)
}

fn decode_sections(
    header: &ChunkHeader,
    sections: &Sections<'_>,
    out: &mut Samples,
) -> Result<(), DecodeError> {
    let (floats, histograms) = (out.values.len(), out.histograms.len());
    let (float_starts, histogram_starts) = (out.starts_ms.len(), out.histogram_starts_ms.len());
    let decoded = match header.value_codec {
        ValueCodec::Floats(codec) => header
            .timestamps(sections, &mut out.timestamps_ms)
            .and_then(|()| {
                columns::decode_floats(sections.values, codec, header.count, &mut out.values)
            })
            .and_then(|()| header.starts(sections, floats, &mut out.starts_ms)),
        ValueCodec::Histograms { .. } => header
            .timestamps(sections, &mut out.histogram_timestamps_ms)
            .and_then(|()| {
                columns::decode_histograms(sections.values, header.count, &mut out.histograms)
            })
            .and_then(|()| header.starts(sections, histograms, &mut out.histogram_starts_ms)),
    };
    if decoded.is_err() {
        out.timestamps_ms.truncate(floats);
        out.values.truncate(floats);
        out.starts_ms.truncate(float_starts);
        out.histogram_timestamps_ms.truncate(histograms);
        out.histograms.truncate(histograms);
        out.histogram_starts_ms.truncate(histogram_starts);
    }
    decoded
}
