//! A stream of plain bytes over one of TLS records.
//!
//! ```text
//! read    socket -> inbound -> rustls -> plain bytes to hyper
//! write   plain bytes -> rustls -> socket; what the socket does not take waits in rustls
//! ```

use std::io::{self, BufRead, Write as _};
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use rustls::Connection;

use crate::http::place::BoxStream;

/// Bytes of records read at once: one record of the largest kind.
const INBOUND_BYTES: usize = 17 << 10;

/// How requests begin that are not encrypted, and what they are told.
///
/// Source: Go `net/http/server.go` (`tlsRecordHeaderLooksLikeHTTP`).
const PLAIN_REQUESTS: [&[u8]; 5] = [b"GET /", b"HEAD ", b"POST ", b"PUT /", b"OPTIO"];
const PLAIN_ANSWER: &[u8] =
    b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";

pub struct TlsStream {
    io: BoxStream,
    tls: Connection,
    inbound: Box<[u8]>,
    /// Records read, but not yet taken by rustls.
    waiting: Range<usize>,
    /// What ended the connection: said again to whoever still uses it.
    failure: Option<rustls::Error>,
}

impl TlsStream {
    /// Shakes hands. The error, where TLS itself failed, holds a [`rustls::Error`].
    pub async fn handshake(io: BoxStream, tls: Connection) -> io::Result<TlsStream> {
        let inbound = vec![0; INBOUND_BYTES].into_boxed_slice();
        let mut stream = TlsStream { io, tls, inbound, waiting: 0..0, failure: None };
        std::future::poll_fn(|cx| stream.poll_handshake(cx)).await?;
        Ok(stream)
    }

    /// The protocol agreed on by ALPN.
    pub fn protocol(&self) -> Option<&[u8]> {
        self.tls.alpn_protocol()
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_send(cx))?;
            if !self.tls.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            if ready!(self.poll_receive(cx))? == 0 && self.tls.is_handshaking() {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// Sends the records that wait.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(failure) = &self.failure {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, failure.clone())));
        }
        while self.tls.wants_write() {
            let mut socket = Socket { io: &mut self.io, cx };
            match self.tls.write_tls(&mut socket) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(self.alert(cx).unwrap_or(error))),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// What a peer that takes no more records said in its last ones.
    fn alert(&mut self, cx: &mut Context<'_>) -> Option<io::Error> {
        loop {
            match self.poll_receive(cx) {
                Poll::Ready(Ok(count)) if count > 0 => {}
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                    return Some(error);
                }
                _ => return None,
            }
        }
    }

    /// Reads some records; zero at the end of the socket's stream.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.waiting.is_empty() {
            let mut buffer = ReadBuf::new(&mut self.inbound);
            ready!(Pin::new(&mut self.io).poll_read(cx, buffer.unfilled()))?;
            self.waiting = 0..buffer.filled().len();
        }
        let mut records = &self.inbound[self.waiting.clone()];
        if self.tls.is_handshaking() && records.starts_with(b"HTTP/") {
            let why = "http: server gave HTTP response to HTTPS client";
            return Poll::Ready(Err(io::Error::other(why)));
        }
        if let Connection::Server(_) = self.tls
            && self.tls.is_handshaking()
            && PLAIN_REQUESTS.iter().any(|begin| records.starts_with(begin))
        {
            // Told if the socket takes it at once, as it does.
            let _ = Pin::new(&mut self.io).poll_write(cx, PLAIN_ANSWER);
            return Poll::Ready(Err(io::Error::other("client sent an HTTP request")));
        }
        let taken = self.tls.read_tls(&mut records)?;
        self.waiting.start += taken;
        if let Err(error) = self.tls.process_new_packets() {
            // The peer is told why, if it takes it at once.
            let _ = self.tls.write_tls(&mut Socket { io: &mut self.io, cx });
            self.failure = Some(error.clone());
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
        }
        Poll::Ready(Ok(taken))
    }
}

impl Read for TlsStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut reader = self.tls.reader();
            match reader.fill_buf() {
                Ok(plain) => {
                    let count = plain.len().min(cursor.remaining());
                    cursor.put_slice(&plain[..count]);
                    reader.consume(count);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.poll_receive(cx))?;
                    // Answers to the peer's records; what does not fit goes with the next write.
                    if let Poll::Ready(Err(error)) = self.poll_send(cx) {
                        return Poll::Ready(Err(error));
                    }
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl Write for TlsStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            // Zero when rustls holds as much as it wants to.
            let taken = self.tls.writer().write(bytes)?;
            let sent = self.poll_send(cx)?;
            if taken > 0 || bytes.is_empty() {
                return Poll::Ready(Ok(taken));
            }
            ready!(sent);
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tls.send_close_notify();
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// The socket as rustls writes to it.
struct Socket<'a, 'b> {
    io: &'a mut BoxStream,
    cx: &'a mut Context<'b>,
}

impl io::Write for Socket<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        blocks(Pin::new(&mut *self.io).poll_write(self.cx, bytes))
    }

    fn write_vectored(&mut self, buffers: &[io::IoSlice<'_>]) -> io::Result<usize> {
        blocks(Pin::new(&mut *self.io).poll_write_vectored(self.cx, buffers))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn blocks(polled: Poll<io::Result<usize>>) -> io::Result<usize> {
    match polled {
        Poll::Ready(done) => done,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}
