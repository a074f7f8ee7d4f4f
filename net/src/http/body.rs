//! The body of an answer: all at once, or in chunks that are made as the client takes them, here or
//! elsewhere.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

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

    /// Whether one pull is all that a shard can spare at once, however little comes of it.
    fn is_dear(&self) -> bool {
        false
    }
}

pub enum Body {
    Bytes(Bytes),
    Pulled(Box<dyn Pull>),
    /// Pulled, when the shard has done something else: a client that takes all at once would have it for
    /// as long as the answer is.
    Resting(Box<dyn Pull>),
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
            Body::Pulled(_) | Body::Resting(_) | Body::Streamed(_) => None,
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
        let (bytes, left) = match std::mem::replace(&mut *self, Body::Sent) {
            Body::Sent => return Poll::Ready(None),
            Body::Bytes(bytes) => (bytes, Body::Sent),
            Body::Resting(source) => {
                *self = Body::Pulled(source);
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Body::Pulled(mut source) => {
                let mut chunk = Vec::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 8);
                let more = match source.is_dear() {
                    true => source.pull(&mut chunk),
                    false => fill(source.as_mut(), &mut chunk),
                };
                match (more, chunk.is_empty()) {
                    (false, true) => return Poll::Ready(None),
                    (false, false) => (chunk.into(), Body::Sent),
                    (true, false) => (chunk.into(), Body::Resting(source)),
                    (true, true) => {
                        *self = Body::Pulled(source);
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                }
            }
            Body::Streamed(mut source) => match source.as_mut().poll_next(cx) {
                Poll::Ready(Some(bytes)) => (bytes, Body::Streamed(source)),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => {
                    *self = Body::Streamed(source);
                    return Poll::Pending;
                }
            },
        };
        *self = left;
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll, Wake, Waker};

    use hyper::body::Body as _;

    use super::{Body, CHUNK_BYTES, Pin, Pull};

    /// So many pulls left, each of so many bytes.
    struct Zeros {
        pulls: usize,
        bytes: usize,
        is_dear: bool,
    }

    impl Pull for Zeros {
        fn pull(&mut self, out: &mut Vec<u8>) -> bool {
            self.pulls -= 1;
            out.resize(out.len() + self.bytes, 0);
            self.pulls > 0
        }

        fn is_dear(&self) -> bool {
            self.is_dear
        }
    }

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lengths of the frames of a body, which rests between any two of them.
    #[track_caller]
    fn check(pulls: usize, bytes: usize, is_dear: bool, expected: &[usize]) {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let mut body = Body::Pulled(Box::new(Zeros { pulls, bytes, is_dear }));
        let (mut frames, mut rests) = (vec![], 0);
        loop {
            match Pin::new(&mut body).poll_frame(&mut Context::from_waker(&waker)) {
                Poll::Pending => rests += 1,
                Poll::Ready(None) => break,
                Poll::Ready(Some(frame)) => {
                    let Ok(frame) = frame;
                    frames.push(frame.data_ref().unwrap().len());
                }
            }
            assert_eq!(woken.0.load(Ordering::Relaxed), rests, "who rests is woken");
        }
        assert_eq!(frames, expected);
        let pauses = if bytes == 0 { pulls - 1 } else { frames.len() - 1 };
        assert_eq!(rests, pauses);
    }

    #[test]
    fn a_long_answer_rests_between_its_chunks() {
        check(1, 10, false, &[10]);
        check(3, 10, false, &[30]);
        check(9, CHUNK_BYTES / 4, false, &[CHUNK_BYTES, CHUNK_BYTES, CHUNK_BYTES / 4]);
        check(3, 10, true, &[10, 10, 10]);
        check(4, 0, true, &[]);
    }
}
