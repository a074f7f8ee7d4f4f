//! remote_write requests, both protocols, straight into a [`Batch`].
//!
//! ```text
//! headers    Content-Type, Content-Encoding -> Protocol, or a refusal
//! snappy     body -> request bytes, within limits
//! v1, v2     request bytes -> Decoded
//! known      series that were met before, by their bytes (keys); repeats: whole requests
//! encode     the other way: for tests and load generators
//! ```
//!
//! A request that is broken as a whole is a [`Refusal`]. A series that is broken alone is left out
//! and reported: counted in protocol 1, with Prometheus's text in protocol 2.
//!
//! Sources: Prometheus `storage/remote/write_handler.go`, `prompb/{remote,types}.proto`,
//! `prompb/io/prometheus/write/v2/types.proto`; client_golang `exp/api/remote/remote_api.go`.

use engine::model::{Batch, KnownSamples, MetricType};

pub mod encode;
mod exemplar;
mod headers;
mod histogram;
mod keys;
pub mod known;
mod labels;
mod plain;
mod proto;
mod repeats;
mod snappy;
mod type_and_unit;
mod v1;
mod v2;

#[cfg(test)]
mod known_tests;
#[cfg(test)]
mod tests;

pub use headers::{check_body_bytes, check_content_encoding, protocol_of};
pub use snappy::decompress;

use histogram::ReadHistogram;
use known::{Cursor, Key, Keys, KnownSeries, Owner, Rowless};
use labels::LabelChecker;
use proto::Sample;

/// Most bytes of a request, compressed or not. Protects memory; every other column of a request
/// is bounded by it or by the limits below.
pub const REQUEST_BYTES_MAX: usize = 32 << 20;

/// Most samples of a request. A sample may take two bytes on the wire and takes twenty in a batch.
pub const SAMPLE_COUNT_MAX: usize = 1 << 20;

/// Most native histograms and most exemplars of a request. An empty one takes two bytes on the wire
/// and takes three hundred in a batch.
pub const HISTOGRAM_COUNT_MAX: usize = 1 << 17;
pub const EXEMPLAR_COUNT_MAX: usize = 1 << 17;

/// Most bytes of all native histograms of a request. A bucket may take a byte on the wire and takes
/// eight in a batch.
pub const HISTOGRAM_BYTES_MAX: usize = 16 << 20;

/// Most symbols of a request of protocol 2. A symbol may take two bytes on the wire and takes
/// twenty in the table.
pub const SYMBOL_COUNT_MAX: usize = 1 << 20;

/// Most bytes of label sets that a request may grow to. In protocol 2 one large symbol can stand
/// in millions of sets.
pub const LABEL_BYTES_MAX: usize = REQUEST_BYTES_MAX;

/// Most metadata entries of a request.
pub const METADATA_COUNT_MAX: usize = 1 << 20;

/// Most texts about refused series that are kept; the rest is counted.
pub const SERIES_ERROR_COUNT_MAX: usize = 1000;

const _: () = {
    assert!(LABEL_BYTES_MAX + engine::limits::LABEL_SET_BYTES_MAX <= u32::MAX as usize);
    assert!(REQUEST_BYTES_MAX <= u32::MAX as usize); // Spans of a request are 32 bits.
};

/// A remote_write protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `prometheus.WriteRequest`
    V1,
    /// `io.prometheus.write.v2.Request`
    V2,
}

impl Protocol {
    /// Full name of the protobuf message.
    pub fn message_name(self) -> &'static str {
        match self {
            Protocol::V1 => "prometheus.WriteRequest",
            Protocol::V2 => "io.prometheus.write.v2.Request",
        }
    }
}

/// The answer to a request that cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: u16,
    pub message: String,
}

impl Refusal {
    fn new(status: u16, message: impl Into<String>) -> Refusal {
        Refusal { status, message: message.into() }
    }
}

/// Bytes `start..end` of the request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub start: u32,
    pub end: u32,
}

impl Span {
    /// The bytes in the request that was decoded.
    pub fn of(self, request: &[u8]) -> &[u8] {
        &request[self.start as usize..self.end as usize]
    }
}

/// Whose metadata an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetadataOwner {
    /// A metric family, by name: protocol 1.
    Family(Span),
    /// A series of the batch: protocol 2.
    Series(u32),
}

/// What a request says about a metric beside its samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    pub owner: MetadataOwner,
    pub metric_type: MetricType,
    pub help: Span,
    pub unit: Span,
}

/// Why one series of a request of protocol 2 is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesError {
    /// Its place among the request's series: answers list errors in their order.
    pub place: u32,
    pub message: String,
}

/// A decoded request. Reused: decoding clears it and keeps its room.
#[derive(Clone, Debug, Default)]
pub struct Decoded {
    /// The valid series that have samples, in the order of the request. Two may be equal.
    pub batch: Batch,
    pub metadata: Vec<Metadata>,
    /// Series that are left out; of protocol 2 each has a text below.
    pub series_errors: Vec<SeriesError>,
    /// Series whose texts were not kept, see [`SERIES_ERROR_COUNT_MAX`].
    pub series_errors_left_out: usize,
    /// What `prometheus_api_remote_write_invalid_labels_samples_total` grows by. (Prometheus
    /// counts series in protocol 1, samples in protocol 2.)
    pub invalid_labels_count: usize,
    /// Exemplars of valid series that are not in the batch: their labels are no text, or far longer
    /// than any receiver stores.
    pub exemplars_left_out: usize,
    /// For each series of the batch the key by which it may be known from now on.
    pub keys: Vec<Option<Key>>,
    /// For each series of the batch its place among the request's series.
    pub places: Vec<u32>,
    /// Samples of series that are known, by their shard: not in the batch.
    pub known: Vec<KnownSamples>,
    pub known_count: usize,
    /// For each series of the request, by its place, the shard to which its sample goes as one of a
    /// known series; [`BY_LABELS`] for every other.
    pub ways: Vec<u16>,
    /// Protocol 2: the key of the table of symbols.
    pub table: Option<Key>,
}

/// See [`Decoded::ways`].
const BY_LABELS: u16 = u16::MAX;
const _: () = assert!(engine::limits::SHARD_COUNT_MAX <= BY_LABELS as usize);

impl Decoded {
    fn clear(&mut self) {
        self.batch.clear();
        self.metadata.clear();
        self.series_errors.clear();
        self.series_errors_left_out = 0;
        self.invalid_labels_count = 0;
        self.exemplars_left_out = 0;
        self.keys.clear();
        self.places.clear();
        self.ways.clear();
        self.table = None;
        self.known.iter_mut().for_each(KnownSamples::clear);
        self.known_count = 0;
    }

    /// Adds a sample of a known series.
    #[inline]
    fn push_known(&mut self, owner: Owner, timestamp_ms: i64, value: f64) -> Result<(), Refusal> {
        self.admit_samples(1)?;
        let shard = usize::from(owner.shard);
        if self.known.len() <= shard {
            self.known.resize_with(shard + 1, KnownSamples::default);
        }
        self.known[shard].push(owner.series, timestamp_ms, value);
        self.known_count += 1;
        self.ways.push(owner.shard);
        Ok(())
    }

    /// Places of known samples, each by its shard and its index among that shard's; ascending.
    pub fn places_of_known(&self, samples: &[(u16, u32)]) -> Vec<u32> {
        let mut wanted: Vec<Vec<u32>> = vec![];
        for &(shard, index) in samples {
            let shard = usize::from(shard);
            if wanted.len() <= shard {
                wanted.resize(shard + 1, vec![]);
            }
            wanted[shard].push(index);
        }
        wanted.iter_mut().for_each(|indices| indices.sort_unstable());
        let mut counts = vec![0; wanted.len()];
        let is_wanted = |&(_, &shard): &(u32, &u16)| {
            let Some(count) = counts.get_mut(usize::from(shard)) else { return false };
            *count += 1;
            wanted[usize::from(shard)].binary_search(&(*count - 1)).is_ok()
        };
        (0..).zip(&self.ways).filter(is_wanted).map(|(place, _)| place).collect()
    }

    /// Judges the number of samples before another `count`.
    #[inline]
    fn admit_samples(&self, count: usize) -> Result<(), Refusal> {
        if self.batch.sample_count() + self.known_count + count > SAMPLE_COUNT_MAX {
            let message = format!("request holds more than {SAMPLE_COUNT_MAX} samples");
            return Err(Refusal::new(400, message));
        }
        Ok(())
    }

    /// Notes a refused series; the text is made only if it is kept.
    fn refuse_series(&mut self, message: impl FnOnce() -> String) {
        if self.series_errors.len() == SERIES_ERROR_COUNT_MAX {
            self.series_errors_left_out += 1;
            return;
        }
        let place = self.ways.len() as u32; // Of the series at hand: its way comes when it is done.
        self.series_errors.push(SeriesError { place, message: message() });
    }

    fn push_metadata(&mut self, metadata: Metadata) -> Result<(), Refusal> {
        if self.metadata.len() == METADATA_COUNT_MAX {
            let message = format!("request holds more than {METADATA_COUNT_MAX} metadata entries");
            return Err(Refusal::new(400, message));
        }
        self.metadata.push(metadata);
        Ok(())
    }

    /// Adds a valid series with its samples and histograms; `histograms` is empty afterwards.
    fn push_series(
        &mut self,
        labels: &LabelChecker,
        request: &[u8],
        key: Option<Key>,
        samples: &[Sample],
        histograms: &mut Vec<ReadHistogram>,
    ) -> Result<u32, Refusal> {
        if self.batch.label_bytes().len() + labels.canonical_bytes_max() > LABEL_BYTES_MAX {
            let message =
                format!("label sets of the request exceed the {LABEL_BYTES_MAX} bytes limit");
            return Err(Refusal::new(400, message));
        }
        self.admit_samples(samples.len())?;
        if self.batch.histogram_count() + histograms.len() > HISTOGRAM_COUNT_MAX {
            let message = format!("request holds more than {HISTOGRAM_COUNT_MAX} histograms");
            return Err(Refusal::new(400, message));
        }
        let series = self.batch.push_series_with(|out| labels.write(request, out));
        self.keys.push(key);
        self.places.push(self.ways.len() as u32);
        for &Sample { timestamp_ms, value, start_ms } in samples {
            self.batch.push_sample(series, timestamp_ms, value);
            if start_ms != 0 {
                self.batch.set_start(start_ms);
            }
        }
        for ReadHistogram { timestamp_ms, start_ms, sample } in histograms.drain(..) {
            self.batch.push_histogram(series, timestamp_ms, sample);
            self.batch.set_histogram_start(start_ms);
        }
        Ok(series)
    }

    /// Judges the number of exemplars before another `count`.
    fn admit_exemplars(&self, count: usize) -> Result<(), Refusal> {
        if self.batch.exemplars().len() + count > EXEMPLAR_COUNT_MAX {
            let message = format!("request holds more than {EXEMPLAR_COUNT_MAX} exemplars");
            return Err(Refusal::new(400, message));
        }
        Ok(())
    }
}

/// Decodes requests. Holds scratch columns only: nothing of a request outlives its call.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    labels: LabelChecker,
    /// Samples, histograms, and where the exemplars stand, of the series at hand.
    samples: Vec<Sample>,
    histograms: Vec<ReadHistogram>,
    exemplars: Vec<Span>,
    /// Bytes of the native histograms read so far of the request.
    histogram_bytes: usize,
    /// Protocol 2: label references of the series at hand, and the request's symbols.
    references: Vec<u32>,
    symbols: v2::Symbols,
    /// Series that may be known, while their rows are on their way from memory.
    staged: Vec<Staged>,
    /// Protocol 2: series get labels of their type and unit.
    pub type_and_unit: bool,
    /// Where the request is in the order of what is known.
    cursor: Cursor,
    /// Series that came where they were expected, and could not have been found otherwise.
    rowless: Vec<Rowless>,
    /// The series before this one did not come where it was expected.
    was_lost: bool,
    /// Series in a row that were looked for and not known.
    missed_count: usize,
}

/// Series whose rows are asked for together.
const STAGE_COUNT: usize = 64;

/// After so many series in a row that are not known, the request's others hardly are either: of them
/// only the leading ones ([`Key::is_leading`]) are looked for, until one is known. A look costs a line from
/// memory, and a series that is known and not looked for comes by its labels.
const MISSED_COUNT: usize = 2 * STAGE_COUNT;

/// A series message with one plain sample and the key of its labels, or any other, without a key.
#[derive(Clone, Copy, Debug)]
struct Staged {
    span: Span,
    key: Option<Key>,
    /// Protocol 1: bytes before the sample, if nothing but labels seems to stand there; or zero.
    label_bytes: u32,
    /// Of a series that came where it was expected.
    owner: Option<Owner>,
    /// It is to be looked for.
    is_sought: bool,
    timestamp_ms: i64,
    value: f64,
}

/// What is done about series that may be known.
#[derive(Clone, Copy)]
enum Knowledge<'a> {
    None,
    /// Keys are made.
    Gathered(&'a Keys),
    /// Keys are made; only the series at these places, which ascend, are decoded.
    Only(&'a Keys, &'a [u32]),
    /// Keys are made, and plain samples of known series go another way.
    Used(&'a KnownSeries),
}

impl<'a> Knowledge<'a> {
    fn keys(self) -> Option<&'a Keys> {
        match self {
            Knowledge::None => None,
            Knowledge::Gathered(keys) | Knowledge::Only(keys, _) => Some(keys),
            Knowledge::Used(known) => Some(&known.keys),
        }
    }
}

impl Knowledge<'_> {
    /// Whether the series at `place` is to be decoded.
    fn wants(self, place: usize) -> bool {
        match self {
            Knowledge::Only(_, places) => places.binary_search(&(place as u32)).is_ok(),
            _ => true,
        }
    }
}

impl Staged {
    fn other(span: Span) -> Staged {
        Staged {
            span,
            key: None,
            label_bytes: 0,
            owner: None,
            is_sought: false,
            timestamp_ms: 0,
            value: 0.0,
        }
    }
}

impl Decoder {
    /// Decodes `request`, which [`decompress`] gave, into `out`.
    ///
    /// Cost: O(bytes); no allocation in steady state but for native histograms, exemplars, and texts
    /// about refused series.
    ///
    /// # Errors
    ///
    /// The request is refused as a whole; what `out` then holds has no meaning.
    pub fn decode(
        &mut self,
        protocol: Protocol,
        request: &[u8],
        out: &mut Decoded,
    ) -> Result<(), Refusal> {
        self.decode_with(protocol, request, Knowledge::None, out)
    }

    /// As [`Decoder::decode`], but plain samples of series that `known` has go to
    /// [`Decoded::known`]: about a third of the cost. [`Decoded::keys`] says how the others may be
    /// known.
    pub fn decode_known(
        &mut self,
        protocol: Protocol,
        request: &[u8],
        known: &mut KnownSeries,
        out: &mut Decoded,
    ) -> Result<(), Refusal> {
        if protocol == Protocol::V2 {
            let is_repeated = self.decode_repeated(request, known, out);
            known.give_rows(&mut self.rowless);
            if is_repeated? {
                self.label(request, out);
                return Ok(());
            }
        }
        let table = out.table;
        let decoded = self.decode_with(protocol, request, Knowledge::Used(known), out);
        known.give_rows(&mut self.rowless);
        decoded?;
        out.table = table;
        Ok(())
    }

    /// As [`Decoder::decode`], with the keys by which series may be known.
    pub fn decode_with_keys(
        &mut self,
        protocol: Protocol,
        request: &[u8],
        keys: &Keys,
        out: &mut Decoded,
    ) -> Result<(), Refusal> {
        self.decode_with(protocol, request, Knowledge::Gathered(keys), out)
    }

    /// As [`Decoder::decode_with_keys`], of the series at `places`, ascending, of a request that was
    /// decoded before.
    pub fn decode_only(
        &mut self,
        protocol: Protocol,
        request: &[u8],
        keys: &Keys,
        places: &[u32],
        out: &mut Decoded,
    ) -> Result<(), Refusal> {
        self.decode_with(protocol, request, Knowledge::Only(keys, places), out)
    }

    fn decode_with(
        &mut self,
        protocol: Protocol,
        request: &[u8],
        knowledge: Knowledge<'_>,
        out: &mut Decoded,
    ) -> Result<(), Refusal> {
        self.begin(request, out)?;
        match protocol {
            Protocol::V1 => self.decode_v1(request, knowledge, out),
            Protocol::V2 => {
                self.decode_v2(request, knowledge, out)?;
                self.label(request, out);
                Ok(())
            }
        }
    }

    /// What is left to do with a request of protocol 2.
    fn label(&self, request: &[u8], out: &mut Decoded) {
        if self.type_and_unit {
            out.add_type_and_unit(request);
        }
    }

    /// Stages a series; where it was not expected, its row is asked for. Whether all that is staged is
    /// to be settled now.
    ///
    /// The first one that is lost is looked up at once, because those behind it then follow it. When
    /// the next one is lost, too, nothing follows anything, and rows are asked for many at a time.
    #[inline]
    fn stage(&mut self, mut staged: Staged, known: &KnownSeries) -> bool {
        let mut is_lost = false;
        if let Some(key) = staged.key {
            staged.owner = known.follow(&mut self.cursor, key);
            is_lost = staged.owner.is_none();
            if !is_lost {
                self.rowless.extend(self.cursor.rowless(key));
            } else {
                staged.is_sought = self.missed_count < MISSED_COUNT || key.is_leading();
            }
            if staged.is_sought {
                known.prefetch(key);
            }
        }
        self.staged.push(staged);
        let is_first = is_lost && !self.was_lost;
        self.was_lost = is_lost;
        is_first || self.staged.len() >= STAGE_COUNT
    }

    /// Whose a staged series is.
    #[inline]
    fn owner_of(&mut self, staged: &Staged, known: &KnownSeries) -> Option<Owner> {
        if staged.owner.is_some() || !staged.is_sought {
            return staged.owner;
        }
        let found = known.find(&mut self.cursor, staged.key?);
        self.missed_count = if found.is_some() { 0 } else { self.missed_count + 1 };
        found
    }

    fn begin(&mut self, request: &[u8], out: &mut Decoded) -> Result<(), Refusal> {
        out.clear();
        self.staged.clear();
        self.missed_count = 0;
        self.rowless.clear();
        self.histogram_bytes = 0;
        if request.len() > REQUEST_BYTES_MAX {
            return Err(snappy::too_large());
        }
        Ok(())
    }
}
