//! Records: the parts of a frame. Every record has a type and a length, so that a reader steps
//! over types it does not know.

use super::columns::{
    COLUMNS_BYTES_MAX, COLUMNS_HEADER_BYTES, ColumnsHeader, DecodedWhen, ID_BYTES_MAX, WhenColumns,
};
use super::exemplars::ExemplarsRecord;
use super::segment::le_u32;
use super::series::SeriesRecord;
use crate::encode::{push_histogram, take_histogram};
use crate::mem::varint::{push_u64, take_bytes, take_u64};
use crate::model::HistogramSample;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum RecordType {
    /// Of the first version; read only.
    Series = 1,
    Samples = 2,
    Metadata = 3,
    // 4 is kept for tombstones.
    Histograms = 5,
    Exemplars = 6,
    SharedSeries = 7,
}

/// Bits of each value, little end first. Other forms would need another number here.
const VALUES_RAW: u8 = 0;

/// Most bytes that one sample takes in a samples record: the columns all have, and the value.
pub(super) const SAMPLE_BYTES_MAX: usize = COLUMNS_BYTES_MAX + 8;

/// Bytes of a record's type and length.
const RECORD_HEAD_BYTES: usize = 1 + 4;

/// Most bytes of one record of each type of a batch together, besides what is in them: series,
/// samples in order and out of order, histograms the same, exemplars.
pub(super) const RECORDS_BYTES_MAX: usize = 6 * (RECORD_HEAD_BYTES + COLUMNS_HEADER_BYTES + 1);

/// Samples of many series in columns of equal length.
#[derive(Clone, Copy, Debug)]
pub struct SampleColumns<'a> {
    pub when: WhenColumns<'a>,
    pub values: &'a [f64],
}

impl<'a> SampleColumns<'a> {
    /// Samples in order, without start timestamps.
    pub fn plain(series: &'a [u32], timestamps_ms: &'a [i64], values: &'a [f64]) -> Self {
        let when = WhenColumns { series, timestamps_ms, starts_ms: &[], is_out_of_order: false };
        SampleColumns { when, values }
    }
}

/// Appends the body of a samples record, which is not empty.
pub(super) fn push_samples(out: &mut Vec<u8>, epoch: u32, samples: SampleColumns<'_>) {
    let SampleColumns { when, values } = samples;
    assert!(when.series.len() == values.len());
    out.reserve(COLUMNS_HEADER_BYTES + 1 + values.len() * (ID_BYTES_MAX + 8));
    let form = when.push_header(out, epoch);
    out.push(VALUES_RAW);
    when.push(form, out);
    let start = out.len();
    out.resize(start + size_of_val(values), 0);
    let cells = out[start..].as_chunks_mut::<8>().0;
    cells.iter_mut().zip(values).for_each(|(cell, value)| *cell = value.to_bits().to_le_bytes());
}

/// Native histograms of many series in columns of equal length.
#[derive(Clone, Copy, Debug)]
pub struct HistogramColumns<'a> {
    pub when: WhenColumns<'a>,
    pub histograms: &'a [&'a HistogramSample],
}

/// Appends the body of a histograms record, which is not empty.
pub(super) fn push_histograms(out: &mut Vec<u8>, epoch: u32, samples: HistogramColumns<'_>) {
    let HistogramColumns { when, histograms } = samples;
    assert!(when.series.len() == histograms.len());
    let form = when.push_header(out, epoch);
    when.push(form, out);
    for histogram in histograms {
        push_histogram(out, histogram, None);
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
    Histograms(HistogramsRecord<'a>),
    Exemplars(ExemplarsRecord<'a>),
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
        const SHARED_SERIES: u8 = RecordType::SharedSeries as u8;
        const SAMPLES: u8 = RecordType::Samples as u8;
        const METADATA: u8 = RecordType::Metadata as u8;
        const HISTOGRAMS: u8 = RecordType::Histograms as u8;
        const EXEMPLARS: u8 = RecordType::Exemplars as u8;
        match record_type {
            SERIES => SeriesRecord::parse_whole(body).map(Record::Series),
            SHARED_SERIES => SeriesRecord::parse_shared(body).map(Record::Series),
            SAMPLES => SamplesRecord::parse(body).map(Record::Samples),
            METADATA => MetadataRecord::parse(body).map(Record::Metadata),
            HISTOGRAMS => HistogramsRecord::parse(body).map(Record::Histograms),
            EXEMPLARS => ExemplarsRecord::parse(body).map(Record::Exemplars),
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

/// Samples of many series: columns that are decoded into a caller's.
#[derive(Clone, Copy, Debug)]
pub struct SamplesRecord<'a> {
    pub header: ColumnsHeader,
    when: &'a [u8],
    values: &'a [u8],
}

impl<'a> SamplesRecord<'a> {
    fn parse(body: &'a [u8]) -> Option<Self> {
        let (header, rest) = ColumnsHeader::parse(body)?;
        let (&form, rest) = rest.split_first()?;
        let values_bytes = header.count.checked_mul(8)?;
        if form != VALUES_RAW {
            return None;
        }
        let (when, values) = rest.split_at_checked(rest.len().checked_sub(values_bytes)?)?;
        Some(SamplesRecord { header, when, values })
    }

    /// Replaces the columns by the record's; `None` when it is malformed, and the columns then hold
    /// nothing of use.
    pub fn decode(&self, when: &mut DecodedWhen, values: &mut Vec<f64>) -> Option<()> {
        values.clear();
        let mut rest = self.when;
        self.header.take(&mut rest, when)?;
        let bits = self.values.as_chunks::<8>().0;
        values.extend(bits.iter().map(|&bits| f64::from_bits(u64::from_le_bytes(bits))));
        rest.is_empty().then_some(())
    }
}

/// Native histograms of many series.
#[derive(Clone, Copy, Debug)]
pub struct HistogramsRecord<'a> {
    pub header: ColumnsHeader,
    rest: &'a [u8],
}

impl<'a> HistogramsRecord<'a> {
    fn parse(body: &'a [u8]) -> Option<Self> {
        let (header, rest) = ColumnsHeader::parse(body)?;
        Some(HistogramsRecord { header, rest })
    }

    /// As [`SamplesRecord::decode`].
    pub fn decode(
        &self,
        when: &mut DecodedWhen,
        histograms: &mut Vec<HistogramSample>,
    ) -> Option<()> {
        histograms.clear();
        let mut rest = self.rest;
        self.header.take(&mut rest, when)?;
        for _ in 0..self.header.count {
            let mut sample = HistogramSample::default();
            take_histogram(&mut rest, &mut sample)?;
            histograms.push(sample);
        }
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
