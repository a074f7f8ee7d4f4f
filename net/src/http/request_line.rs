//! Request lines as Go's server takes them.
//!
//! Go takes quotes, angle brackets and hashes in a query as they are, and people write them
//! (`?query=up{job="x"}`); hyper refuses such a target. So they are percent-encoded on their way from
//! the connection to hyper.
//!
//! Cost: the first bytes of a request are copied once more.
//!
//! Source: Go `net/url` (`ParseRequestURI`); the WHATWG's URL standard, "query state".

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::rt::{ReadBuf, ReadBufCursor};

use super::place::Stream;

/// Read at once while a request line is under way.
const READ_BYTES: usize = 8 << 10;

/// Where a connection stands in its request line.
#[derive(Default)]
pub struct RequestLine {
    state: State,
    /// Did not fit: given before anything else.
    waiting: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Method and path.
    Path,
    Query,
    #[default]
    Behind,
}

impl RequestLine {
    /// The next byte is the first one of a request.
    pub fn begin(&mut self) {
        self.state = State::Path;
    }

    /// Whether bytes go the direct way.
    pub fn is_behind(&self) -> bool {
        self.state == State::Behind && self.waiting.is_empty()
    }

    /// Reads from `stream`, encoding what has to be.
    pub fn poll_read<T: Stream>(
        &mut self,
        stream: &mut T,
        cx: &mut Context<'_>,
        mut out: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.waiting.is_empty() {
            let mut bytes = [MaybeUninit::uninit(); READ_BYTES];
            let room = out.remaining().min(READ_BYTES);
            let mut read = ReadBuf::uninit(&mut bytes[..room]);
            ready!(Pin::new(stream).poll_read(cx, read.unfilled()))?;
            let encoded = self.encode(read.filled());
            let Some(encoded) = encoded else {
                out.put_slice(read.filled());
                return Poll::Ready(Ok(()));
            };
            self.waiting = encoded;
        }
        let count = self.waiting.len().min(out.remaining());
        out.put_slice(&self.waiting[..count]);
        self.waiting.drain(..count);
        Poll::Ready(Ok(()))
    }

    /// `bytes` with their part of the request line encoded; none where they stay as they are.
    fn encode(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut encoded = None;
        for (index, &byte) in bytes.iter().enumerate() {
            match (self.state, byte) {
                (State::Behind, _) | (_, b'\n') => {
                    self.state = State::Behind;
                    if let Some(encoded) = &mut encoded {
                        Vec::extend_from_slice(encoded, &bytes[index..]);
                    }
                    break;
                }
                (State::Path, b'?') => self.state = State::Query,
                (State::Query, b'"' | b'<' | b'>' | b'#') => {
                    let encoded = encoded.get_or_insert_with(|| bytes[..index].to_vec());
                    encoded.extend_from_slice(format!("%{byte:02X}").as_bytes());
                    continue;
                }
                _ => {}
            }
            if let Some(encoded) = &mut encoded {
                encoded.push(byte);
            }
        }
        encoded
    }
}

#[cfg(test)]
mod tests {
    use super::RequestLine;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        for piece_bytes in [1, 7, 1000] {
            let mut line = RequestLine::default();
            line.begin();
            let pieces = text.as_bytes().chunks(piece_bytes);
            let encoded = pieces.flat_map(|bytes| line.encode(bytes).unwrap_or(bytes.to_vec()));
            let encoded = String::from_utf8(encoded.collect()).unwrap();
            assert_eq!(encoded, expected, "{piece_bytes} bytes at a time");
            assert!(line.is_behind());
        }
    }

    #[test]
    fn queries_are_encoded_and_nothing_else() {
        check(
            "GET /q\"?query=up{a=\"b\"}<2#x HTTP/1.1\r\nHost: \"a\"?\"\r\n\r\n\"",
            "GET /q\"?query=up{a=%22b%22}%3C2%23x HTTP/1.1\r\nHost: \"a\"?\"\r\n\r\n\"",
        );
        check("POST /a HTTP/1.1\r\n\r\n?<>\n", "POST /a HTTP/1.1\r\n\r\n?<>\n");
    }
}
