//! The body of an answer: all at once, or in chunks that are made as the client takes them, here or
//! elsewhere.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Stream;
use hyper::body::{Frame, SizeHint};

/// Bytes of one chunk of a pulled body. Larger means fewer writes, and a longer hold of the shard
/// per chunk: at 64 KiB of JSON about a fifth of a millisecond.
pub const CHUNK_BYTES: usize = 64 * 1024;

/// Makes a body piece by piece. No piece is made before the client took the one before, so a large
/// answer never lies in memory as text.
pub trait Pull {
    /// Appends some more to `out`, a few kilobytes at a time; false when that was the last of it.
    fn pull(&mut self, out: &mut Vec<u8>) -> bool;
}

pub enum Body {
    Bytes(Bytes),
    Pulled(Box<dyn Pull>),
    Streamed(Pin<Box<dyn Stream<Item = Bytes>>>),
    Sent,
}

impl Body {
    pub fn empty() -> Body {
        Body::Sent
    }

    /// Length in bytes where it is known beforehand.
    pub fn known_bytes(&self) -> Option<usize> {
        match self {
            Body::Bytes(bytes) => Some(bytes.len()),
            Body::Pulled(_) | Body::Streamed(_) => None,
            Body::Sent => Some(0),
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Body {
        if bytes.is_empty() { Body::Sent } else { Body::Bytes(bytes) }
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Body {
        if bytes.is_empty() { Body::Sent } else { Body::Bytes(bytes.into()) }
    }
}

/// Pulls until a chunk is full; false when the source ran dry.
pub fn fill(source: &mut dyn Pull, chunk: &mut Vec<u8>) -> bool {
    while chunk.len() < CHUNK_BYTES {
        if !source.pull(chunk) {
            return false;
        }
    }
    true
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let bytes = match &mut *self {
            Body::Sent => return Poll::Ready(None),
            Body::Bytes(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Body::Sent;
                bytes
            }
            Body::Pulled(source) => {
                let mut chunk = Vec::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 8);
                if !fill(source.as_mut(), &mut chunk) {
                    *self = Body::Sent;
                }
                if chunk.is_empty() {
                    return Poll::Ready(None);
                }
                chunk.into()
            }
            Body::Streamed(source) => match ready!(source.as_mut().poll_next(cx)) {
                Some(bytes) => bytes,
                None => {
                    *self = Body::Sent;
                    return Poll::Ready(None);
                }
            },
        };
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Body::Sent)
    }

    fn size_hint(&self) -> SizeHint {
        self.known_bytes()
            .map_or_else(SizeHint::default, |bytes| SizeHint::with_exact(bytes as u64))
    }
}
