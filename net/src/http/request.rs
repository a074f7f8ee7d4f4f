//! What an endpoint gets: the head, and the body still to be read.

use std::net::SocketAddr;

use http::header::CONTENT_TYPE;
use http::{Method, request::Parts};
use hyper::body::{Body as _, Incoming};
use std::future::poll_fn;
use std::pin::Pin;

use super::Form;

/// Longest urlencoded body that is read for parameters: Go's own limit.
const FORM_BYTES_MAX: usize = 10 << 20;

pub struct Request {
    pub head: Parts,
    pub peer: SocketAddr,
    body: Incoming,
}

/// Why a body could not be read.
#[derive(Debug, PartialEq, Eq)]
pub enum BodyError {
    TooLarge {
        limit: usize,
    },
    /// The client went away or broke the framing.
    Broken(String),
}

impl std::fmt::Display for BodyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            BodyError::TooLarge { limit } => {
                write!(f, "request body exceeds the {limit} bytes limit")
            }
            BodyError::Broken(cause) => write!(f, "reading the request body: {cause}"),
        }
    }
}

impl Request {
    pub fn new(request: http::Request<Incoming>, peer: SocketAddr) -> Request {
        let (head, body) = request.into_parts();
        Request { head, peer, body }
    }

    pub fn method(&self) -> &Method {
        &self.head.method
    }

    pub fn path(&self) -> &str {
        self.head.uri.path()
    }

    pub fn query(&self) -> &str {
        self.head.uri.query().unwrap_or("")
    }

    /// A header as text; the empty string if absent or not text.
    pub fn header(&self, name: &str) -> &str {
        self.head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    /// Reads the whole body to the end of `out`, which keeps its room between requests.
    ///
    /// Errors: [`BodyError::TooLarge`] as soon as more than `limit` bytes are announced or seen;
    /// the connection is closed after the answer then.
    pub async fn read_body(&mut self, limit: usize, out: &mut Vec<u8>) -> Result<(), BodyError> {
        let start = out.len();
        let announced = self.body.size_hint();
        if announced.lower() > limit as u64 {
            return Err(BodyError::TooLarge { limit });
        }
        if let Some(exact) = announced.exact() {
            out.reserve(exact as usize);
        }
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut self.body).poll_frame(cx)).await {
            let frame = frame.map_err(|error| BodyError::Broken(error.to_string()))?;
            let Some(bytes) = frame.data_ref() else { continue };
            if out.len() - start + bytes.len() > limit {
                return Err(BodyError::TooLarge { limit });
            }
            out.extend_from_slice(bytes);
        }
        Ok(())
    }

    /// Bytes of the body as far as the head says.
    pub fn announced_bytes(&self) -> usize {
        usize::try_from(self.body.size_hint().lower()).unwrap_or(usize::MAX)
    }

    /// Takes a body that nobody wants off the connection, which then can be used again; beyond
    /// `limit` bytes it is left, and the connection is closed after the answer.
    pub async fn discard_body(&mut self, limit: usize) {
        let mut left = limit;
        while 0 < left
            && self.announced_bytes() <= left
            && let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut self.body).poll_frame(cx)).await
        {
            left = left.saturating_sub(frame.data_ref().map_or(0, |bytes| bytes.len()));
        }
    }

    /// The parameters of URL and urlencoded body.
    pub async fn form(&mut self) -> Result<Form, BodyError> {
        let mut body = vec![];
        let has_form = matches!(*self.method(), Method::POST | Method::PUT | Method::PATCH)
            && media_type(self.header(CONTENT_TYPE.as_str()))
                == "application/x-www-form-urlencoded";
        if has_form {
            self.read_body(FORM_BYTES_MAX, &mut body).await?;
        }
        Ok(Form::parse(&body, self.query()))
    }
}

/// The media type without its parameters, in lower case.
pub fn media_type(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase()
}
