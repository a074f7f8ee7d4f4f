//! The envelope of every API answer, and the errors in it.
//!
//! ```text
//! {"status":"success","data":…,"warnings":[…],"infos":[…]}
//! {"status":"error","errorType":"bad_data","error":"…"}
//! ```
//!
//! Source: Prometheus `web/api/v1/api.go` (`respond`, `respondError`, `getDefaultErrorCode`).

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http::{HeaderValue, StatusCode, header};

use crate::http::{Body, Pull, Response, with_type};

use super::json::Json;

/// What went wrong, as clients tell errors apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    Timeout,
    Canceled,
    Execution,
    BadData,
    Internal,
    Unavailable,
    NotFound,
}

impl ErrorKind {
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorKind::Timeout => "timeout",
            ErrorKind::Canceled => "canceled",
            ErrorKind::Execution => "execution",
            ErrorKind::BadData => "bad_data",
            ErrorKind::Internal => "internal",
            ErrorKind::Unavailable => "unavailable",
            ErrorKind::NotFound => "not_found",
        }
    }

    /// Prometheus has no code of its own for `unavailable`.
    fn status(self) -> StatusCode {
        match self {
            ErrorKind::Timeout => StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::Canceled => StatusCode::from_u16(499).expect("three digits"),
            ErrorKind::Execution => StatusCode::UNPROCESSABLE_ENTITY,
            ErrorKind::BadData => StatusCode::BAD_REQUEST,
            ErrorKind::Internal | ErrorKind::Unavailable => StatusCode::INTERNAL_SERVER_ERROR,
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    pub kind: ErrorKind,
    pub message: String,
}

impl ApiError {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> ApiError {
        ApiError { kind, message: message.into() }
    }

    pub fn bad_data(message: impl Into<String>) -> ApiError {
        ApiError::new(ErrorKind::BadData, message)
    }

    /// A parameter could not be used.
    pub fn parameter(name: &str, why: &str) -> ApiError {
        ApiError::bad_data(format!("invalid parameter {name:?}: {why}"))
    }

    /// What hearth does not do yet, said as such.
    pub fn not_built(what: &str) -> ApiError {
        ApiError::new(ErrorKind::Unavailable, format!("hearth does not have {what} yet"))
    }

    pub fn respond(&self) -> Response {
        let mut out = Vec::with_capacity(self.message.len() + 64);
        let mut json = Json::new(&mut out);
        json.begin_object();
        json.field("status").text("error");
        json.field("errorType").text(self.kind.as_str());
        if !self.message.is_empty() {
            json.field("error").text(&self.message);
        }
        json.end_object();
        with_type(self.kind.status(), JSON, out)
    }
}

pub const JSON: &str = "application/json";

/// Annotations beside the data, in Prometheus's texts, shortened by whoever made them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    pub warnings: Vec<String>,
    pub infos: Vec<String>,
}

impl Notes {
    pub fn truncated() -> Notes {
        Notes { warnings: vec![TRUNCATED.to_owned()], infos: vec![] }
    }
}

pub const TRUNCATED: &str = "results truncated due to limit";

/// A successful answer whose `data` is written by `write`.
pub fn success(notes: &Notes, write: impl FnOnce(&mut Json)) -> Response {
    let mut out = Vec::with_capacity(256);
    open(&mut out);
    write(&mut Json::new(&mut out));
    close(&mut out, notes);
    with_type(StatusCode::OK, JSON, out)
}

/// A successful answer whose `data` is a stream of pieces.
pub fn success_streamed(notes: &Notes, data: impl Stream<Item = Bytes> + 'static) -> Response {
    let (mut first, mut last) = (vec![], vec![]);
    open(&mut first);
    close(&mut last, notes);
    let [first, last] = [first, last].map(|bytes| stream::iter([Bytes::from(bytes)]));
    let mut response = Response::new(Body::Streamed(Box::pin(first.chain(data).chain(last))));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
    response
}

/// A successful answer whose `data` is pulled piece by piece.
pub fn success_pulled(notes: Notes, data: impl Pull + 'static) -> Response {
    let envelope = Envelope { opened: false, data: Some(Box::new(data)), notes };
    let mut response = Response::new(Body::Pulled(Box::new(envelope)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
    response
}

fn open(out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"status":"success","data":"#);
}

fn close(out: &mut Vec<u8>, notes: &Notes) {
    for (name, texts) in [("warnings", &notes.warnings), ("infos", &notes.infos)] {
        if texts.is_empty() {
            continue;
        }
        out.push(b',');
        let mut json = Json::new(out);
        json.field(name).texts(texts);
    }
    out.push(b'}');
}

struct Envelope {
    opened: bool,
    data: Option<Box<dyn Pull>>,
    notes: Notes,
}

impl Pull for Envelope {
    fn pull(&mut self, out: &mut Vec<u8>) -> bool {
        if !self.opened {
            self.opened = true;
            open(out);
        }
        let Some(data) = &mut self.data else { return false };
        if data.pull(out) {
            return true;
        }
        self.data = None;
        close(out, &self.notes);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(response: Response, status: u16, expected: &str) {
        assert_eq!(response.status().as_u16(), status);
        let mut sent = vec![];
        match response.into_body() {
            Body::Bytes(bytes) => sent.extend_from_slice(&bytes),
            Body::Pulled(mut source) | Body::Resting(mut source) => while source.pull(&mut sent) {},
            Body::Streamed(source) => {
                let pieces: Vec<Bytes> = engine::exec::testing::block_on(source.collect());
                sent = pieces.concat();
            }
            Body::Sent => {}
        }
        assert_eq!(String::from_utf8(sent).unwrap(), expected);
    }

    /// Pulls one digit a time.
    struct Digits(u8);

    impl Pull for Digits {
        fn pull(&mut self, out: &mut Vec<u8>) -> bool {
            self.0 += 1;
            out.push(b'0' + self.0);
            self.0 < 3
        }
    }

    #[test]
    fn envelopes() {
        check(
            ApiError::parameter("start", "cannot parse \"<x>\" to a valid timestamp").respond(),
            400,
            "{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"invalid parameter \
             \\\"start\\\": cannot parse \\\"\\u003cx\\u003e\\\" to a valid timestamp\"}",
        );
        check(
            ApiError::new(ErrorKind::Canceled, "").respond(),
            499,
            "{\"status\":\"error\",\"errorType\":\"canceled\"}",
        );
        let data = |json: &mut Json| json.texts(&["a", "b&"]);
        check(
            success(&Notes::default(), data),
            200,
            "{\"status\":\"success\",\"data\":[\"a\",\"b\\u0026\"]}",
        );
        check(
            success(&Notes::truncated(), |json| json.texts::<&str>(&[])),
            200,
            "{\"status\":\"success\",\"data\":[],\"warnings\":[\"results truncated due to limit\"]}",
        );
        let notes = Notes { warnings: vec![], infos: vec!["i".into()] };
        check(
            success_pulled(notes, Digits(0)),
            200,
            "{\"status\":\"success\",\"data\":123,\"infos\":[\"i\"]}",
        );
        let pieces = [Bytes::from_static(b"[1"), Bytes::from_static(b",2]")];
        check(
            success_streamed(&Notes::default(), stream::iter(pieces)),
            200,
            "{\"status\":\"success\",\"data\":[1,2]}",
        );
    }
}
