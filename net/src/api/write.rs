//! `POST /api/v1/write`: remote_write 1.0 and 2.0.
//!
//! Each sample is judged by itself; the good ones of a request are stored whatever the others are.
//! Protocol 2 wants it so. For protocol 1 Prometheus takes the whole request back, which hearth
//! does not, on purpose: the answer is the same 400, and senders do not send such a request again.
//!
//! Metadata that cannot be stored does not fail a request, as in Prometheus.
//!
//! Source: Prometheus `storage/remote/write_handler.go`, client_golang `exp/api/remote`.

use std::cell::RefCell;
use std::fmt::Display;
use std::hash::BuildHasher;

use engine::head::LateSamples;
use http::{HeaderName, HeaderValue, StatusCode, header};
use shards::{IngestOptions, IngestReport, SeriesOwner, Shard};

use crate::http::{BodyError, Request, Response, text, text_error};
use crate::observe::stats::RemoteWriteStats;
use crate::scrape::append::AHEAD_MS_MAX;
use crate::wire::remote_write::known::{Keys, KnownSeries, Owner, SECRET_BYTES, SeriesCounts};
use crate::wire::remote_write::{self as wire, Decoded, Decoder, Protocol, REQUEST_BYTES_MAX};

use super::admission::Admission;
use super::context::WebOptions;
use super::refusals::Refusals;
use super::stated::Stated;

const SAMPLES_WRITTEN: HeaderName =
    HeaderName::from_static("x-prometheus-remote-write-samples-written");
const HISTOGRAMS_WRITTEN: HeaderName =
    HeaderName::from_static("x-prometheus-remote-write-histograms-written");
const EXEMPLARS_WRITTEN: HeaderName =
    HeaderName::from_static("x-prometheus-remote-write-exemplars-written");

/// Most bytes that a buffer kept for the next request may hold, and how many sets are kept.
const KEPT_BYTES_MAX: usize = 16 << 20;
const KEPT_COUNT_MAX: usize = 16;

/// Of a body that is not wanted so many bytes are taken off its connection, to keep that.
const DISCARDED_BYTES_MAX: usize = 1 << 20;

/// A request has to wait for its place with others of its kind if series by their labels are more
/// than one part in so many of it.
const BY_LABELS_PART: usize = 8;

const OVERLOADED: &str = "too many requests are under way";

/// Buffers of one request; reused, so that a request like those before allocates nothing.
#[derive(Default)]
struct Buffers {
    body: Vec<u8>,
    decoded: Decoded,
    /// What had to be decoded once more, by labels.
    again: Decoded,
}

/// What bodies are read with, one after the other: ten times as large as they, a message stays in the
/// cache as long as all requests share its room. Nothing of a request is left in it when the shard
/// turns to another; who needs it later reads the body again.
#[derive(Default)]
struct Reader {
    message: Vec<u8>,
    decoder: Decoder,
}

/// The receiver of one shard.
pub struct Receiver {
    idle: RefCell<Vec<Buffers>>,
    reader: RefCell<Reader>,
    admission: Admission,
    stated: RefCell<Stated>,
    /// Series that this shard's senders have written before.
    known: RefCell<KnownSeries>,
}

impl Default for Receiver {
    fn default() -> Self {
        let random = std::hash::RandomState::new();
        let secret: Vec<u8> = (0..SECRET_BYTES as u64 / 8)
            .flat_map(|word| random.hash_one(word).to_le_bytes())
            .collect();
        let keys = Keys::new(secret.try_into().expect("eight bytes a word"));
        Receiver {
            idle: RefCell::default(),
            reader: RefCell::default(),
            admission: Admission::default(),
            stated: RefCell::default(),
            known: RefCell::new(KnownSeries::new(keys)),
        }
    }
}

impl Receiver {
    pub async fn receive(
        &self,
        shard: &Shard,
        web: &WebOptions,
        stats: &RemoteWriteStats,
        now_ms: i64,
        mut request: Request,
    ) -> Response {
        if !web.has_remote_write_receiver {
            let why = "remote write receiver needs to be enabled with \
                       --web.enable-remote-write-receiver";
            return text_error(StatusCode::NOT_FOUND, why);
        }
        stats.requests.add(1);
        let protocol = match protocol_of(&request, &web.remote_write_protocols) {
            Ok(protocol) => protocol,
            Err(refusal) => return refused(&refusal),
        };
        let Some(mut entry) = self.admission.enter(request.announced_bytes()).await else {
            stats.requests_refused.add(1);
            request.discard_body(DISCARDED_BYTES_MAX).await;
            return unavailable(&OVERLOADED);
        };
        let mut buffers = self.idle.borrow_mut().pop().unwrap_or_default();
        self.reader.borrow_mut().decoder.type_and_unit = web.type_and_unit;
        let response = match entry.read(buffers.read(&mut request)).await {
            Ok(()) => self.take(shard, stats, now_ms, protocol, &mut buffers).await,
            Err(refusal) => refused(&refusal),
        };
        self.keep(buffers);
        response
    }

    /// Takes a request whose body has been read, when it has a place.
    async fn take(
        &self,
        shard: &Shard,
        stats: &RemoteWriteStats,
        now_ms: i64,
        protocol: Protocol,
        buffers: &mut Buffers,
    ) -> Response {
        let place = self.admission.place().await;
        if let Err(refusal) = self.decode(protocol, buffers) {
            return refused(&refusal);
        }
        let place = if buffers.is_mostly_by_labels() {
            drop(place);
            self.admission.maker().await
        } else {
            Some(place)
        };
        let Some(_place) = place else {
            stats.requests_refused.add(1);
            return unavailable(&OVERLOADED);
        };
        let response = self.store(shard, stats, now_ms, protocol, buffers).await;
        self.store_metadata(shard, buffers).await;
        response
    }

    fn decode(&self, protocol: Protocol, buffers: &mut Buffers) -> Result<(), wire::Refusal> {
        let Reader { message, decoder } = &mut *self.reader.borrow_mut();
        if message.capacity() > KEPT_BYTES_MAX {
            *message = Vec::new();
        }
        wire::decompress(&buffers.body, message)?;
        let known = &mut self.known.borrow_mut();
        decoder.decode_known(protocol, message, known, &mut buffers.decoded)
    }

    /// Decodes the series at `places`, which ascend, by their labels.
    fn decode_again(
        &self,
        protocol: Protocol,
        places: &[u32],
        buffers: &mut Buffers,
    ) -> Result<(), wire::Refusal> {
        let Reader { message, decoder } = &mut *self.reader.borrow_mut();
        wire::decompress(&buffers.body, message)?;
        let known = &mut self.known.borrow_mut();
        if let Some(table) = buffers.decoded.table {
            known.forget_repeats(table);
        }
        decoder.decode_only(protocol, message, &known.keys, places, &mut buffers.again)
    }

    async fn store_metadata(&self, shard: &Shard, buffers: &Buffers) {
        if buffers.decoded.metadata.is_empty() {
            return;
        }
        let new = {
            let message = &mut self.reader.borrow_mut().message;
            wire::decompress(&buffers.body, message).expect("a body that was read before");
            self.stated.borrow_mut().take_new(&buffers.decoded, message)
        };
        if !new.is_empty() && shard.write_metadata(new).await.is_err() {
            self.stated.borrow_mut().forget();
        }
    }

    fn keep(&self, mut buffers: Buffers) {
        buffers.body.clear();
        let mut idle = self.idle.borrow_mut();
        if buffers.body.capacity() <= KEPT_BYTES_MAX && idle.len() < KEPT_COUNT_MAX {
            idle.push(buffers);
        }
    }

    async fn store(
        &self,
        shard: &Shard,
        stats: &RemoteWriteStats,
        now_ms: i64,
        protocol: Protocol,
        buffers: &mut Buffers,
    ) -> Response {
        let known = &self.known;
        let decoded = &mut buffers.decoded;
        stats.samples_with_invalid_labels.add(decoded.invalid_labels_count as u64);
        let max_timestamp_ms = now_ms.saturating_add(AHEAD_MS_MAX);
        let options = IngestOptions { wait: true, max_timestamp_ms, late: LateSamples::Taken };
        let report = match shard.ingest_all(&decoded.batch, &mut decoded.known, options).await {
            Ok(report) => report,
            Err(error) => return unavailable(&error),
        };
        learn(&mut known.borrow_mut(), decoded, &report.owners, shard);
        let mut refusals = Refusals::of(protocol);
        refusals.add(decoded, &report);
        refusals.add_series(decoded);
        if !report.open.is_empty() || !report.left_series.is_empty() {
            // Some need to be judged with their labels.
            let places = open_places(decoded, &report);
            if let Err(refusal) = self.decode_again(protocol, &places, buffers) {
                return refused(&refusal);
            }
            let again = &buffers.again;
            let report = match shard.ingest(&again.batch, options).await {
                Ok(report) => report,
                Err(error) => return unavailable(&error),
            };
            learn(&mut known.borrow_mut(), again, &report.owners, shard);
            refusals.add(again, &report);
        }
        let decoded = &buffers.decoded;
        let exemplars_written = decoded.batch.exemplars().len() - refusals.exemplar_count;
        let exemplars_dropped = refusals.exemplar_count + decoded.exemplars_left_out;
        stats.exemplars_dropped.add(exemplars_dropped as u64);
        let written = [
            (
                SAMPLES_WRITTEN,
                decoded.known_count + decoded.batch.sample_count() - refusals.sample_count,
            ),
            (HISTOGRAMS_WRITTEN, decoded.batch.histogram_count() - refusals.histogram_count),
            // As Prometheus counts: also those that were there, and those of a store without room.
            (EXEMPLARS_WRITTEN, exemplars_written),
        ];
        let errors = refusals.text();
        let mut response = if errors.is_empty() {
            let mut response = text(StatusCode::NO_CONTENT, "");
            response.headers_mut().remove(header::CONTENT_TYPE);
            response
        } else {
            text_error(StatusCode::BAD_REQUEST, &errors)
        };
        if protocol == Protocol::V2 {
            for (name, count) in written {
                response.headers_mut().insert(name, HeaderValue::from(count));
            }
        }
        response
    }
}

fn refused(refusal: &wire::Refusal) -> Response {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST);
    text_error(status, &refusal.message)
}

/// What the head says of the body.
fn protocol_of(request: &Request, accepted: &[Protocol]) -> Result<Protocol, wire::Refusal> {
    let content_type = request.header(header::CONTENT_TYPE.as_str());
    let protocol = wire::protocol_of(content_type, accepted)?;
    wire::check_content_encoding(request.header(header::CONTENT_ENCODING.as_str()))?;
    Ok(protocol)
}

impl Buffers {
    async fn read(&mut self, request: &mut Request) -> Result<(), wire::Refusal> {
        request.read_body(REQUEST_BYTES_MAX, &mut self.body).await.map_err(|error| {
            let status = match error {
                BodyError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
                BodyError::Broken(_) => StatusCode::BAD_REQUEST,
            };
            wire::Refusal { status: status.as_u16(), message: error.to_string() }
        })
    }

    /// Whether much of the request has to be looked up, and perhaps made.
    fn is_mostly_by_labels(&self) -> bool {
        let decoded = &self.decoded;
        decoded.batch.series_count() > decoded.known_count / BY_LABELS_PART
    }
}

/// Places of all that was left open, ascending.
fn open_places(decoded: &Decoded, report: &IngestReport) -> Vec<u32> {
    let known: Vec<_> = report.open.iter().map(|&(shard, sample)| (shard.0, sample)).collect();
    let mut places = decoded.places_of_known(&known);
    places.extend(report.left_series.iter().map(|&series| decoded.places[series as usize]));
    places.sort_unstable();
    places
}

/// Remembers where the series of a request are that came by their labels.
fn learn(
    known: &mut KnownSeries,
    decoded: &Decoded,
    owners: &[Option<SeriesOwner>],
    shard: &Shard,
) {
    if known.wants_counts() {
        let stats = shard.stats();
        known.reclaim(SeriesCounts {
            living: stats.iter().map(|stats| stats.series.get()).sum(),
            made: stats.iter().map(|stats| stats.series_created.get()).sum(),
        });
    }
    known.learn(&decoded.places, &decoded.keys, |index| {
        let SeriesOwner { shard, series } = owners[index]?;
        Some(Owner { shard: shard.0, series })
    });
}

/// The shards could not take the request: the sender is to try again.
fn unavailable(why: &dyn Display) -> Response {
    let mut response = text_error(StatusCode::SERVICE_UNAVAILABLE, &why.to_string());
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}
