//! Records: the parts of a frame. Every record has a type and a length, so that a reader steps
//! over types it does not know.

use super::segment::le_u32;
use crate::mem::varint::{
    VARINT_BYTES_MAX, push_i64, push_u64, take_bytes, take_i64, take_u64, zigzag,
};
use crate::model::LabelsRef;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum RecordType {
    Series = 1,
    Samples = 2,
    Metadata = 3,
    // 4 is kept for tombstones, 5 for native histograms, 6 for exemplars.
}

/// How the timestamps of a samples record are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum TimestampForm {
    /// All equal to the base: nothing is written.
    Same = 0,
    /// Differences to the timestamp before, the first one's to the base.
    Deltas = 1,
}

/// Bits of each value, little end first. Other forms would need another number here.
const VALUES_RAW: u8 = 0;

/// Epoch, count, base, the two forms.
const SAMPLES_HEADER_BYTES: usize = 4 + 4 + 8 + 1 + 1;

/// Epoch.
const SERIES_HEADER_BYTES: usize = 4;

/// Most bytes that one sample takes in a samples record: id, timestamp, value.
pub(super) const SAMPLE_BYTES_MAX: usize = 5 + VARINT_BYTES_MAX + 8;

/// Most bytes that one series takes in a series record, besides its labels: id and length.
pub(super) const SERIES_BYTES_MAX: usize = 5 + 5;

/// Bytes of a record's type and length.
const RECORD_HEAD_BYTES: usize = 1 + 4;

/// Most bytes of a series record and a samples record together, besides what is in them.
pub(super) const RECORDS_BYTES_MAX: usize =
    2 * RECORD_HEAD_BYTES + SERIES_HEADER_BYTES + SAMPLES_HEADER_BYTES;

/// Appends the body of a samples record. Columns of equal length, not empty.
pub(super) fn push_samples(
    out: &mut Vec<u8>,
    epoch: u32,
    series: &[u32],
    timestamps_ms: &[i64],
    values: &[f64],
) {
    let base_ms = timestamps_ms[0];
    let form = match timestamps_ms.iter().all(|&timestamp_ms| timestamp_ms == base_ms) {
        true => TimestampForm::Same,
        false => TimestampForm::Deltas,
    };
    out.reserve(SAMPLES_HEADER_BYTES + values.len() * (5 + 8));
    out.extend_from_slice(&epoch.to_le_bytes());
    out.extend_from_slice(&(values.len() as u32).to_le_bytes());
    out.extend_from_slice(&base_ms.to_le_bytes());
    out.push(form as u8);
    out.push(VALUES_RAW);
    let mut previous = 0i64;
    for &id in series {
        push_short(out, zigzag(i64::from(id) - previous));
        previous = i64::from(id);
    }
    if form == TimestampForm::Deltas {
        let mut previous_ms = base_ms;
        for &timestamp_ms in timestamps_ms {
            push_i64(out, timestamp_ms.wrapping_sub(previous_ms));
            previous_ms = timestamp_ms;
        }
    }
    out.extend(values.iter().flat_map(|value| value.to_bits().to_le_bytes()));
}

/// A varint whose common case of one byte stays in line.
#[inline(always)]
fn push_short(out: &mut Vec<u8>, value: u64) {
    if value < 0x80 {
        out.push(value as u8);
    } else {
        push_u64(out, value);
    }
}

/// The records of a frame's payload, in the order written.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
}

/// One record. A payload whose checksum holds and that does not parse was written wrong: the
/// iterator answers [`Record::Malformed`] and ends.
#[derive(Clone, Debug)]
pub enum Record<'a> {
    Series(SeriesRecord<'a>),
    Samples(SamplesRecord<'a>),
    Metadata(MetadataRecord<'a>),
    /// A type of a later version.
    Unknown {
        record_type: u8,
    },
    Malformed,
}

impl<'a> Records<'a> {
    pub fn new(payload: &'a [u8]) -> Self {
        Records { rest: payload }
    }

    fn take(&mut self) -> Option<Record<'a>> {
        let (&record_type, mut rest) = self.rest.split_first()?;
        let length = take_bytes(&mut rest, 4).map(|bytes| le_u32(bytes, 0) as usize)?;
        let body = take_bytes(&mut rest, length)?;
        self.rest = rest;
        const SERIES: u8 = RecordType::Series as u8;
        const SAMPLES: u8 = RecordType::Samples as u8;
        const METADATA: u8 = RecordType::Metadata as u8;
        match record_type {
            SERIES => SeriesRecord::parse(body).map(Record::Series),
            SAMPLES => SamplesRecord::parse(body).map(Record::Samples),
            METADATA => MetadataRecord::parse(body).map(Record::Metadata),
            _ => Some(Record::Unknown { record_type }),
        }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let record = self.take();
        if record.is_none() {
            self.rest = &[];
        }
        Some(record.unwrap_or(Record::Malformed))
    }
}

/// Series ids with their label sets.
#[derive(Clone, Debug)]
pub struct SeriesRecord<'a> {
    /// Which start of the process gave the ids.
    pub epoch: u32,
    rest: &'a [u8],
}

impl<'a> SeriesRecord<'a> {
    fn parse(body: &'a [u8]) -> Option<Self> {
        let (epoch, rest) = body.split_at_checked(SERIES_HEADER_BYTES)?;
        Some(SeriesRecord { epoch: le_u32(epoch, 0), rest })
    }
}

impl<'a> Iterator for SeriesRecord<'a> {
    /// `None` inside: the record is malformed from here on.
    type Item = Option<(u32, LabelsRef<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let mut rest = self.rest;
        let mut take = || -> Option<(u32, LabelsRef<'a>)> {
            let id = u32::try_from(take_u64(&mut rest)?).ok()?;
            let length = usize::try_from(take_u64(&mut rest)?).ok()?;
            let labels = LabelsRef::from_untrusted(take_bytes(&mut rest, length)?)?;
            Some((id, labels))
        };
        let item = take();
        self.rest = if item.is_some() { rest } else { &[] };
        Some(item)
    }
}

/// Samples of many series: columns that are decoded into a caller's.
#[derive(Clone, Copy, Debug)]
pub struct SamplesRecord<'a> {
    /// Which start of the process gave the ids.
    pub epoch: u32,
    count: usize,
    base_ms: i64,
    form: TimestampForm,
    /// Series ids, then timestamps if the form has any.
    ids_and_timestamps: &'a [u8],
    values: &'a [u8],
}

impl<'a> SamplesRecord<'a> {
    fn parse(body: &'a [u8]) -> Option<Self> {
        let (header, rest) = body.split_at_checked(SAMPLES_HEADER_BYTES)?;
        let count = le_u32(header, 4) as usize;
        let form = match header[16] {
            0 => TimestampForm::Same,
            1 => TimestampForm::Deltas,
            _ => return None,
        };
        let values_bytes = count.checked_mul(8)?;
        if header[17] != VALUES_RAW {
            return None;
        }
        let (ids_and_timestamps, values) =
            rest.split_at_checked(rest.len().checked_sub(values_bytes)?)?;
        let base_ms = i64::from_le_bytes(*header[8..].first_chunk()?);
        (ids_and_timestamps.len() <= 2 * VARINT_BYTES_MAX * count).then_some(SamplesRecord {
            epoch: le_u32(header, 0),
            count,
            base_ms,
            form,
            ids_and_timestamps,
            values,
        })
    }

    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Replaces the three columns by the record's; `None` when it is malformed, and the columns
    /// then hold nothing of use.
    pub fn decode(
        &self,
        series: &mut Vec<u32>,
        timestamps_ms: &mut Vec<i64>,
        values: &mut Vec<f64>,
    ) -> Option<()> {
        series.clear();
        timestamps_ms.clear();
        values.clear();
        let mut rest = self.ids_and_timestamps;
        let mut previous = 0i64;
        for _ in 0..self.count {
            previous = previous.checked_add(take_i64(&mut rest)?)?;
            series.push(u32::try_from(previous).ok()?);
        }
        match self.form {
            TimestampForm::Same => timestamps_ms.resize(self.count, self.base_ms),
            TimestampForm::Deltas => {
                let mut previous_ms = self.base_ms;
                for _ in 0..self.count {
                    previous_ms = previous_ms.wrapping_add(take_i64(&mut rest)?);
                    timestamps_ms.push(previous_ms);
                }
            }
        }
        let bits = self.values.as_chunks::<8>().0;
        values.extend(bits.iter().map(|&bits| f64::from_bits(u64::from_le_bytes(bits))));
        rest.is_empty().then_some(())
    }
}

/// What is known about a metric family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetadataRecord<'a> {
    pub family: &'a str,
    /// Type as the exposition formats write it: `counter`, `gauge`, …
    pub kind: &'a str,
    pub help: &'a str,
    pub unit: &'a str,
}

impl<'a> MetadataRecord<'a> {
    pub(super) fn push(&self, out: &mut Vec<u8>) {
        for text in [self.family, self.kind, self.help, self.unit] {
            push_u64(out, text.len() as u64);
            out.extend_from_slice(text.as_bytes());
        }
    }

    fn parse(body: &'a [u8]) -> Option<Self> {
        let mut rest = body;
        let mut text = || -> Option<&'a str> {
            let length = usize::try_from(take_u64(&mut rest)?).ok()?;
            str::from_utf8(take_bytes(&mut rest, length)?).ok()
        };
        let (family, kind, help, unit) = (text()?, text()?, text()?, text()?);
        rest.is_empty().then_some(MetadataRecord { family, kind, help, unit })
    }
}
