//! What a record of Prometheus's log says.
//!
//! ```text
//! series        1 | ( id: 8, labels )*
//! samples       2 | first id: 8, first time: 8 | ( id: varint, time: varint, value: 8 )*
//! tombstones    3 | ( id: 8, first: varint, last: varint )*
//! exemplars     4 | as samples, labels behind each
//! markers       5   places of chunks: not needed here
//! metadata      6 | ( id, type: 1, fields: ( name, value )* )*
//! histograms    7, 9 whole counts, 8, 10 float counts | as samples, a histogram in place of a value
//! with starts   11 samples, 12, 13 histograms | each behind the one before, time behind the first
//! ```
//!
//! Source: Prometheus `tsdb/record/record.go`.

use crate::mem::varint::{take_bytes, take_i64, take_u64};
use crate::model::histogram::{CounterReset, SCHEMA_CUSTOM, Side, Span, is_known_schema};
use crate::model::{FloatHistogram, HistogramSample, Labels, TimeRange};

/// Kinds of start timestamps.
const NO_START: u8 = 0;
const SAME_START: u8 = 1;

/// The bytes of a record are not what its type says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// What was decoded: where it stands in [`PrometheusRecords`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    Series,
    Samples,
    Histograms,
    Tombstones,
    Exemplars,
    Metadata,
    /// Nothing that is needed, or of a type that is not known.
    Other,
}

/// An exemplar of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct ExemplarRow {
    pub series: u64,
    pub timestamp_ms: i64,
    pub value: f64,
    pub labels: Labels,
}

/// Metadata of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataRow {
    pub series: u64,
    /// As in the text format.
    pub kind: &'static str,
    pub unit: String,
    pub help: String,
}

/// The record decoded last, in columns that are kept between records. Series are named by the log's
/// own ids.
#[derive(Debug, Default)]
pub struct PrometheusRecords {
    pub labels: Vec<(u64, Labels)>,
    /// Of samples and histograms: columns as long as `values`, or as `histograms`.
    pub series: Vec<u64>,
    pub timestamps_ms: Vec<i64>,
    /// Zero where unknown.
    pub starts_ms: Vec<i64>,
    pub values: Vec<f64>,
    pub histograms: Vec<HistogramSample>,
    pub tombstones: Vec<(u64, TimeRange)>,
    pub exemplars: Vec<ExemplarRow>,
    pub metadata: Vec<MetadataRow>,
}

fn take_be(bytes: &mut &[u8]) -> Option<u64> {
    let taken = take_bytes(bytes, 8)?;
    Some(u64::from_be_bytes(taken.try_into().expect("eight bytes")))
}

fn take_float(bytes: &mut &[u8]) -> Option<f64> {
    take_be(bytes).map(f64::from_bits)
}

fn take_text<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(take_u64(bytes)?).ok()?;
    take_bytes(bytes, length)
}

fn take_labels(bytes: &mut &[u8]) -> Option<Labels> {
    let count = take_u64(bytes)?;
    let mut pairs = vec![];
    for _ in 0..count {
        pairs.push((take_text(bytes)?, take_text(bytes)?));
    }
    Some(Labels::from_pairs(pairs))
}

/// How many entries of `bytes_each` bytes at least follow; `None` when there is no room for them.
fn take_count(bytes: &mut &[u8], bytes_each: usize) -> Option<usize> {
    let count = usize::try_from(take_u64(bytes)?).ok()?;
    (count <= bytes.len() / bytes_each).then_some(count)
}

fn take_spans(bytes: &mut &[u8]) -> Option<Vec<Span>> {
    let count = take_count(bytes, 2)?;
    let mut span = || {
        let offset = take_i64(bytes)? as i32;
        Some(Span { offset, length: u32::try_from(take_u64(bytes)?).ok()? })
    };
    (0..count).map(|_| span()).collect()
}

fn take_histogram(bytes: &mut &[u8], is_integer: bool) -> Option<HistogramSample> {
    let counter_reset = match *take_bytes(bytes, 1)?.first()? {
        1 => CounterReset::Reset,
        2 => CounterReset::NotReset,
        3 => CounterReset::Gauge,
        _ => CounterReset::Unknown,
    };
    let schema = take_i64(bytes)? as i32;
    let zero_threshold = take_float(bytes)?;
    let count_of = |bytes: &mut &[u8]| match is_integer {
        true => take_u64(bytes).map(|count| count as f64),
        false => take_float(bytes),
    };
    let zero_count = count_of(bytes)?;
    let count = count_of(bytes)?;
    let sum = take_float(bytes)?;
    let (positive, negative) = (take_spans(bytes)?, take_spans(bytes)?);
    let buckets = |bytes: &mut &[u8]| {
        let count = take_count(bytes, if is_integer { 1 } else { 8 })?;
        let mut whole = 0i64;
        let mut bucket = || {
            if !is_integer {
                return take_float(bytes);
            }
            whole = whole.wrapping_add(take_i64(bytes)?);
            Some(whole as f64)
        };
        (0..count).map(|_| bucket()).collect::<Option<Vec<f64>>>()
    };
    let (positive_buckets, negative_buckets) = (buckets(bytes)?, buckets(bytes)?);
    let mut bounds = vec![];
    if schema == SCHEMA_CUSTOM {
        for _ in 0..take_count(bytes, 8)? {
            bounds.push(take_float(bytes)?);
        }
    }
    let histogram = FloatHistogram {
        counter_reset,
        schema,
        zero_threshold,
        zero_count,
        count,
        sum,
        positive: Side { spans: positive, buckets: positive_buckets },
        negative: Side { spans: negative, buckets: negative_buckets },
        custom_bounds: bounds.into(),
    };
    Some(HistogramSample { histogram, is_integer })
}

impl PrometheusRecords {
    /// Decodes a record; what was decoded before is gone.
    pub fn decode(&mut self, record: &[u8]) -> Result<Decoded, Malformed> {
        let Some((&kind, rest)) = record.split_first() else { return Err(Malformed) };
        self.series.clear();
        self.timestamps_ms.clear();
        self.starts_ms.clear();
        self.values.clear();
        self.histograms.clear();
        let (read, decoded) = match kind {
            1 => (self.take_series(rest), Decoded::Series),
            2 => (self.take_samples(rest, take_value), Decoded::Samples),
            3 => (self.take_tombstones(rest), Decoded::Tombstones),
            4 => (self.take_exemplars(rest), Decoded::Exemplars),
            6 => (self.take_metadata(rest), Decoded::Metadata),
            7 | 9 => (self.take_samples(rest, take_whole), Decoded::Histograms),
            8 | 10 => (self.take_samples(rest, take_floating), Decoded::Histograms),
            11 => (self.take_started(rest, take_value), Decoded::Samples),
            12 => (self.take_started(rest, take_whole), Decoded::Histograms),
            13 => (self.take_started(rest, take_floating), Decoded::Histograms),
            _ => return Ok(Decoded::Other),
        };
        read.map(|()| decoded).ok_or(Malformed)
    }

    fn take_series(&mut self, mut bytes: &[u8]) -> Option<()> {
        self.labels.clear();
        while !bytes.is_empty() {
            self.labels.push((take_be(&mut bytes)?, take_labels(&mut bytes)?));
        }
        Some(())
    }

    /// Samples that count from the first's series and time.
    fn take_samples(
        &mut self,
        mut bytes: &[u8],
        take: fn(&mut PrometheusRecords, &mut &[u8]) -> Option<bool>,
    ) -> Option<()> {
        if bytes.is_empty() {
            return Some(());
        }
        let (series, time_ms) = (take_be(&mut bytes)?, take_be(&mut bytes)? as i64);
        while !bytes.is_empty() {
            let own = series.wrapping_add(take_i64(&mut bytes)? as u64);
            let own_ms = time_ms.wrapping_add(take_i64(&mut bytes)?);
            if take(self, &mut bytes)? {
                self.push_when(own, own_ms, 0);
            }
        }
        Some(())
    }

    /// Samples with start timestamps.
    fn take_started(
        &mut self,
        mut bytes: &[u8],
        take: fn(&mut PrometheusRecords, &mut &[u8]) -> Option<bool>,
    ) -> Option<()> {
        if bytes.is_empty() {
            return Some(());
        }
        let mut series = take_i64(&mut bytes)?;
        let first_ms = take_i64(&mut bytes)?;
        let first_start_ms = take_i64(&mut bytes)?;
        let (mut time_ms, mut start_ms) = (first_ms, first_start_ms);
        loop {
            if take(self, &mut bytes)? {
                self.push_when(series as u64, time_ms, start_ms);
            }
            if bytes.is_empty() {
                return Some(());
            }
            series = series.wrapping_add(take_i64(&mut bytes)?);
            time_ms = first_ms.wrapping_add(take_i64(&mut bytes)?);
            start_ms = match *take_bytes(&mut bytes, 1)?.first()? {
                NO_START => 0,
                SAME_START => start_ms,
                _ => first_start_ms.wrapping_add(take_i64(&mut bytes)?),
            };
        }
    }

    fn push_when(&mut self, series: u64, timestamp_ms: i64, start_ms: i64) {
        self.series.push(series);
        self.timestamps_ms.push(timestamp_ms);
        self.starts_ms.push(start_ms);
    }

    fn take_tombstones(&mut self, mut bytes: &[u8]) -> Option<()> {
        self.tombstones.clear();
        while !bytes.is_empty() {
            let series = take_be(&mut bytes)?;
            let (min_ms, max_ms) = (take_i64(&mut bytes)?, take_i64(&mut bytes)?);
            self.tombstones.push((series, TimeRange { min_ms, max_ms }));
        }
        Some(())
    }

    fn take_exemplars(&mut self, mut bytes: &[u8]) -> Option<()> {
        self.exemplars.clear();
        if bytes.is_empty() {
            return Some(());
        }
        let (series, time_ms) = (take_be(&mut bytes)?, take_be(&mut bytes)? as i64);
        while !bytes.is_empty() {
            self.exemplars.push(ExemplarRow {
                series: series.wrapping_add(take_i64(&mut bytes)? as u64),
                timestamp_ms: time_ms.wrapping_add(take_i64(&mut bytes)?),
                value: take_float(&mut bytes)?,
                labels: take_labels(&mut bytes)?,
            });
        }
        Some(())
    }

    fn take_metadata(&mut self, mut bytes: &[u8]) -> Option<()> {
        self.metadata.clear();
        while !bytes.is_empty() {
            let series = take_u64(&mut bytes)?;
            let kind = match *take_bytes(&mut bytes, 1)?.first()? {
                1 => "counter",
                2 => "gauge",
                3 => "histogram",
                4 => "gaugehistogram",
                5 => "summary",
                6 => "info",
                7 => "stateset",
                _ => "unknown",
            };
            let mut row = MetadataRow { series, kind, unit: String::new(), help: String::new() };
            for _ in 0..take_u64(&mut bytes)? {
                let (name, value) = (take_text(&mut bytes)?, take_text(&mut bytes)?);
                let value = String::from_utf8_lossy(value).into_owned();
                match name {
                    b"UNIT" => row.unit = value,
                    b"HELP" => row.help = value,
                    _ => {}
                }
            }
            self.metadata.push(row);
        }
        Some(())
    }
}

fn take_value(out: &mut PrometheusRecords, bytes: &mut &[u8]) -> Option<bool> {
    out.values.push(take_float(bytes)?);
    Some(true)
}

fn take_whole(out: &mut PrometheusRecords, bytes: &mut &[u8]) -> Option<bool> {
    Some(out.push_histogram(take_histogram(bytes, true)?))
}

fn take_floating(out: &mut PrometheusRecords, bytes: &mut &[u8]) -> Option<bool> {
    Some(out.push_histogram(take_histogram(bytes, false)?))
}

impl PrometheusRecords {
    /// Keeps a histogram that can be understood.
    fn push_histogram(&mut self, mut sample: HistogramSample) -> bool {
        sample.reduce_to_known_schema();
        if sample.is_stale() {
            sample = HistogramSample::stale(sample.is_integer);
        }
        let is_known = is_known_schema(sample.histogram.schema);
        if is_known {
            self.histograms.push(sample);
        }
        is_known
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mem::varint::{push_i64, push_u64};

    fn text(out: &mut Vec<u8>, text: &str) {
        push_u64(out, text.len() as u64);
        out.extend_from_slice(text.as_bytes());
    }

    /// Every shorter record is malformed, or has fewer entries.
    #[track_caller]
    fn check(record: &[u8], expected: Decoded) -> PrometheusRecords {
        let mut records = PrometheusRecords::default();
        for length in 0..record.len() {
            let _ = records.decode(&record[..length]);
        }
        assert_eq!(records.decode(record), Ok(expected));
        records
    }

    #[test]
    fn series_and_samples() {
        let mut record = vec![1];
        record.extend_from_slice(&7u64.to_be_bytes());
        record.push(2);
        for part in ["__name__", "up", "job", "a"] {
            text(&mut record, part);
        }
        let labels = Labels::from_pairs([("__name__", "up"), ("job", "a")]);
        assert_eq!(check(&record, Decoded::Series).labels, [(7, labels)]);

        let mut record = vec![2];
        record.extend_from_slice(&7u64.to_be_bytes());
        record.extend_from_slice(&1000u64.to_be_bytes());
        for (series, time, value) in [(0, 0, 0.5f64), (-2, 15, -1.0)] {
            push_i64(&mut record, series);
            push_i64(&mut record, time);
            record.extend_from_slice(&value.to_be_bytes());
        }
        let records = check(&record, Decoded::Samples);
        assert_eq!((&records.series[..], &records.values[..]), (&[7, 5][..], &[0.5, -1.0][..]));
        assert_eq!(records.timestamps_ms, [1000, 1015]);
        assert_eq!(records.starts_ms, [0, 0]);

        let mut record = vec![11];
        for number in [7, 1000, 900] {
            push_i64(&mut record, number);
        }
        record.extend_from_slice(&1f64.to_be_bytes());
        for (series, time, start) in
            [(1, 1, vec![SAME_START]), (1, 2, vec![NO_START]), (-2, 3, vec![2, 3])]
        {
            push_i64(&mut record, series);
            push_i64(&mut record, time);
            record.extend(start);
            record.extend_from_slice(&2f64.to_be_bytes());
        }
        let records = check(&record, Decoded::Samples);
        assert_eq!(records.series, [7, 8, 9, 7]);
        assert_eq!(records.timestamps_ms, [1000, 1001, 1002, 1003]);
        assert_eq!(records.starts_ms, [900, 900, 0, 898]);
    }

    #[test]
    fn histograms() {
        let mut record = vec![9];
        record.extend_from_slice(&7u64.to_be_bytes());
        record.extend_from_slice(&1000u64.to_be_bytes());
        push_i64(&mut record, 0);
        push_i64(&mut record, 0);
        record.push(3);
        push_i64(&mut record, i64::from(SCHEMA_CUSTOM));
        record.extend_from_slice(&0f64.to_be_bytes());
        push_u64(&mut record, 0);
        push_u64(&mut record, 5);
        record.extend_from_slice(&2.5f64.to_be_bytes());
        push_u64(&mut record, 1);
        push_i64(&mut record, 0);
        push_u64(&mut record, 2);
        push_u64(&mut record, 0);
        push_u64(&mut record, 2);
        push_i64(&mut record, 2);
        push_i64(&mut record, 1);
        push_u64(&mut record, 0);
        push_u64(&mut record, 1);
        record.extend_from_slice(&0.25f64.to_be_bytes());
        let records = check(&record, Decoded::Histograms);
        let histogram = &records.histograms[0].histogram;
        assert!(records.histograms[0].is_integer);
        assert_eq!(histogram.counter_reset, CounterReset::Gauge);
        assert_eq!((histogram.count, histogram.sum), (5.0, 2.5));
        assert_eq!(histogram.positive.buckets, [2.0, 3.0]);
        assert_eq!(*histogram.custom_bounds, [0.25]);
    }

    #[test]
    fn the_other_kinds() {
        let mut record = vec![3];
        record.extend_from_slice(&9u64.to_be_bytes());
        push_i64(&mut record, -5);
        push_i64(&mut record, 5);
        let range = TimeRange { min_ms: -5, max_ms: 5 };
        assert_eq!(check(&record, Decoded::Tombstones).tombstones, [(9, range)]);

        let mut record = vec![6, 9, 1, 2];
        for part in ["UNIT", "seconds", "HELP", "How long."] {
            text(&mut record, part);
        }
        let metadata = &check(&record, Decoded::Metadata).metadata;
        let MetadataRow { series, kind, unit, help } = &metadata[0];
        assert_eq!((*series, *kind, &**unit, &**help), (9, "counter", "seconds", "How long."));
        check(&[5, 1, 2, 3], Decoded::Other);
        check(&[77], Decoded::Other);
        assert_eq!(PrometheusRecords::default().decode(&[]), Err(Malformed));
    }
}
