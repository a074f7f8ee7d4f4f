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
use std::hash::BuildHasher;

use engine::head::{ExemplarVerdict, LateSamples, Verdict};
use engine::model::HistogramSample;
use engine::model::float::format_g;
use http::{HeaderName, HeaderValue, StatusCode, header};
use shards::{IngestError, IngestOptions, IngestReport, SeriesOwner, Shard};

use crate::http::{BodyError, Request, Response, text, text_error};
use crate::observe::stats::RemoteWriteStats;
use crate::scrape::append::AHEAD_MS_MAX;
use crate::wire::remote_write::known::{Key, Keys, KnownSeries, Owner, SECRET_BYTES};
use crate::wire::remote_write::{self as wire, Decoded, Decoder, Protocol, REQUEST_BYTES_MAX};

use super::context::WebOptions;
use super::stated::Stated;

const SAMPLES_WRITTEN: HeaderName =
    HeaderName::from_static("x-prometheus-remote-write-samples-written");
const HISTOGRAMS_WRITTEN: HeaderName =
    HeaderName::from_static("x-prometheus-remote-write-histograms-written");
const EXEMPLARS_WRITTEN: HeaderName =
    HeaderName::from_static("x-prometheus-remote-write-exemplars-written");

/// Most bytes that buffers kept for the next request may hold, and how many sets are kept.
const KEPT_BYTES_MAX: usize = 16 << 20;
const KEPT_COUNT_MAX: usize = 8;

/// Buffers of one request; reused, so that a request like those before allocates nothing.
#[derive(Default)]
struct Buffers {
    body: Vec<u8>,
    message: Vec<u8>,
    decoder: Decoder,
    decoded: Decoded,
}

/// The receiver of one shard.
pub struct Receiver {
    idle: RefCell<Vec<Buffers>>,
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
        let mut buffers = self.idle.borrow_mut().pop().unwrap_or_default();
        let accepted = &web.remote_write_protocols;
        let response = match buffers.decode(&mut request, accepted, &self.known).await {
            Ok(protocol) => {
                let response = buffers.store(shard, stats, now_ms, protocol, &self.known).await;
                self.store_metadata(shard, &buffers).await;
                response
            }
            Err(refusal) => refused(&refusal),
        };
        self.keep(buffers);
        response
    }

    async fn store_metadata(&self, shard: &Shard, buffers: &Buffers) {
        let new = self.stated.borrow_mut().take_new(&buffers.decoded, &buffers.message);
        if !new.is_empty() && shard.write_metadata(new).await.is_err() {
            self.stated.borrow_mut().forget();
        }
    }

    fn keep(&self, mut buffers: Buffers) {
        buffers.body.clear();
        buffers.message.clear();
        let bytes = buffers.body.capacity() + buffers.message.capacity();
        let mut idle = self.idle.borrow_mut();
        if bytes <= KEPT_BYTES_MAX && idle.len() < KEPT_COUNT_MAX {
            idle.push(buffers);
        }
    }
}

fn refused(refusal: &wire::Refusal) -> Response {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST);
    text_error(status, &refusal.message)
}

impl Buffers {
    /// Reads, decompresses and decodes.
    async fn decode(
        &mut self,
        request: &mut Request,
        accepted: &[Protocol],
        known: &RefCell<KnownSeries>,
    ) -> Result<Protocol, wire::Refusal> {
        let content_type = request.header(header::CONTENT_TYPE.as_str());
        let protocol = wire::protocol_of(content_type, accepted)?;
        wire::check_content_encoding(request.header(header::CONTENT_ENCODING.as_str()))?;
        request.read_body(REQUEST_BYTES_MAX, &mut self.body).await.map_err(|error| {
            let status = match error {
                BodyError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
                BodyError::Broken(_) => StatusCode::BAD_REQUEST,
            };
            wire::Refusal { status: status.as_u16(), message: error.to_string() }
        })?;
        wire::decompress(&self.body, &mut self.message)?;
        let known = known.borrow();
        self.decoder.decode_known(protocol, &self.message, &known, &mut self.decoded)?;
        Ok(protocol)
    }

    async fn store(
        &mut self,
        shard: &Shard,
        stats: &RemoteWriteStats,
        now_ms: i64,
        protocol: Protocol,
        known: &RefCell<KnownSeries>,
    ) -> Response {
        let decoded = &mut self.decoded;
        stats.samples_with_invalid_labels.add(decoded.invalid_labels_count as u64);
        let max_timestamp_ms = now_ms.saturating_add(AHEAD_MS_MAX);
        let options = IngestOptions { wait: true, max_timestamp_ms, late: LateSamples::Taken };
        let mut known_count = decoded.known_count;
        let mut report = match shard.ingest_all(&decoded.batch, &mut decoded.known, options).await {
            Ok(report) => report,
            Err(error) => return unavailable(&error),
        };
        let exemplars_refused = report.refused_exemplars.len();
        let exemplars_written = decoded.batch.exemplars().len() - exemplars_refused;
        stats.exemplars_dropped.add((exemplars_refused + decoded.exemplars_left_out) as u64);
        if report.open > 0 {
            // Some need to be judged with their labels: everything once more, which does no harm.
            known_count = 0;
            let again = {
                let keys = &known.borrow().keys;
                self.decoder.decode_with_keys(protocol, &self.message, keys, decoded)
            };
            if let Err(refusal) = again {
                return refused(&refusal);
            }
            // They were judged at the first time.
            decoded.batch.clear_exemplars();
            report = match shard.ingest(&decoded.batch, options).await {
                Ok(report) => report,
                Err(error) => return unavailable(&error),
            };
        }
        learn(&mut known.borrow_mut(), &decoded.keys, &report.owners);
        let errors = match protocol {
            Protocol::V1 => first_error(decoded, &report),
            Protocol::V2 => all_errors(decoded, &report),
        };
        let mut response = if errors.is_empty() {
            let mut response = text(StatusCode::NO_CONTENT, "");
            response.headers_mut().remove(header::CONTENT_TYPE);
            response
        } else {
            text_error(StatusCode::BAD_REQUEST, &errors)
        };
        if protocol == Protocol::V2 {
            let batch = &decoded.batch;
            for (name, count) in [
                (SAMPLES_WRITTEN, known_count + batch.sample_count() - report.refused.len()),
                (HISTOGRAMS_WRITTEN, batch.histogram_count() - report.refused_histograms.len()),
                // As Prometheus counts: also those that were there, and those of a store without room.
                (EXEMPLARS_WRITTEN, exemplars_written),
            ] {
                response.headers_mut().insert(name, HeaderValue::from(count));
            }
        }
        response
    }
}

/// Remembers where the series of a batch are.
fn learn(known: &mut KnownSeries, keys: &[Option<Key>], owners: &[Option<SeriesOwner>]) {
    for (key, owner) in keys.iter().zip(owners) {
        if let (Some(key), Some(SeriesOwner { shard, series })) = (*key, *owner) {
            known.insert(key, Owner { shard: shard.0, series });
        }
    }
}

/// The shards could not take the request: the sender is to try again.
fn unavailable(error: &IngestError) -> Response {
    let mut response = text_error(StatusCode::SERVICE_UNAVAILABLE, &error.to_string());
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// A refused sample of either kind, and its series: in the order of the request.
struct Refused<'a> {
    series: u32,
    timestamp_ms: i64,
    /// Set for a native histogram.
    histogram: Option<&'a HistogramSample>,
    verdict: Verdict,
}

/// All refused samples in the order in which they are judged: by series, floats first.
fn refused_samples<'a>(decoded: &'a Decoded, report: &IngestReport) -> Vec<Refused<'a>> {
    let batch = &decoded.batch;
    let floats = report.refused.iter().map(|refusal| Refused {
        series: batch.sample_series()[refusal.sample as usize],
        timestamp_ms: batch.timestamps_ms()[refusal.sample as usize],
        histogram: None,
        verdict: refusal.verdict,
    });
    let histograms = report.refused_histograms.iter().map(|refusal| Refused {
        series: batch.histogram_series()[refusal.sample as usize],
        timestamp_ms: batch.histogram_timestamps_ms()[refusal.sample as usize],
        histogram: Some(&batch.histograms()[refusal.sample as usize]),
        verdict: refusal.verdict,
    });
    let mut all: Vec<_> = floats.chain(histograms).collect();
    all.sort_by_key(|refused| refused.series); // Stable: floats stay before histograms.
    all
}

/// The text of the first sample refused, in Prometheus's words; empty if nothing was.
fn first_error(decoded: &Decoded, report: &IngestReport) -> String {
    refused_samples(decoded, report).first().map(Refused::text).unwrap_or_default()
}

/// A line for each series or sample refused, in the order of the request.
fn all_errors(decoded: &Decoded, report: &IngestReport) -> String {
    let mut lines = vec![];
    let mut late_exemplars = report
        .refused_exemplars
        .iter()
        .filter(|(_, verdict)| *verdict == ExemplarVerdict::OutOfOrder)
        .map(|&(index, _)| decoded.batch.exemplars()[index as usize].series)
        .peekable();
    let about_exemplar =
        |series| format!("out of order exemplar for series {}", decoded.batch.labels(series));
    let mut series_errors = decoded.series_errors.iter().peekable();
    for refused in refused_samples(decoded, report) {
        while let Some(series) = late_exemplars.next_if(|&series| series < refused.series) {
            lines.push(about_exemplar(series));
        }
        while let Some(error) = series_errors.next_if(|error| error.series_before <= refused.series)
        {
            lines.push(error.message.clone());
        }
        let (text, labels) = (refused.text(), decoded.batch.labels(refused.series));
        lines.push(format!("{text} for series {labels}"));
    }
    lines.extend(late_exemplars.map(about_exemplar));
    lines.extend(series_errors.map(|error| error.message.clone()));
    if decoded.series_errors_left_out > 0 {
        lines.push(format!("and {} series more", decoded.series_errors_left_out));
    }
    lines.join("\n")
}

impl Refused<'_> {
    fn text(&self) -> String {
        let (existing, new) = match self.verdict {
            // Prometheus's text for histograms, and its text for the timestamp that means unset.
            Verdict::Duplicate { existing, new } if self.timestamp_ms != 0 => {
                (format_g(existing), new)
            }
            Verdict::DuplicateOfHistogram { new } if self.timestamp_ms != 0 => {
                ("is a histogram".to_owned(), new)
            }
            Verdict::InvalidHistogram => {
                let error = self.histogram.and_then(|sample| sample.validate().err());
                return error.map_or_else(|| self.verdict.to_string(), |error| error.to_string());
            }
            verdict => return verdict.to_string(),
        };
        format!(
            "duplicate sample for timestamp {}; overrides not allowed: existing {existing}, new \
             value {}",
            self.timestamp_ms,
            format_g(new)
        )
    }
}
