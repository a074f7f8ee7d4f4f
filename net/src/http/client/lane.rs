//! The short way of a scrape: `GET` over plain HTTP/1.1, straight into the caller's buffer.
//!
//! On the threads that scrape, most requests are of this kind, and the general way costs more than
//! the page: copies of bodies, maps of headers, boxed futures. What is not plain (TLS, proxies,
//! HTTP/2, redirects) goes the general way.
//!
//! Source: RFC 9112; error texts of Go `net/http` (`Transport`, `ReadResponse`).

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use http::header::{AUTHORIZATION, HOST};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::FetchError;
use super::body::Sink;
use super::connect::{HEAD_BYTES_MAX, dial_error, io_words};
use super::dials::{DialError, DialStats, Open, counted};
use super::framing::{Framing, Progress};
use super::room::Room;
use crate::http::place::resolve;
use crate::http::url::Url;

/// Room for pieces of a body whose size nobody knows.
const PIECE_BYTES: usize = 64 << 10;

/// Compressed bytes that are decoded in one turn, after which others have theirs: they may become a
/// thousand times as many.
const TURN_BYTES: usize = 4 << 10;

/// Most room that the size of the answer before gets at once.
const EXPECTED_BYTES_MAX: usize = 1 << 20;

/// Room beyond that of the answer before, for one that grew a little; of the first one.
const GROWTH_BYTES: usize = 4 << 10;

/// Wait for a server that reads no requests.
const SEND_AGAIN: Duration = Duration::from_millis(1);

const HEADER_COUNT_MAX: usize = 100;

/// Connections of this way: one, kept as long as the server does.
#[derive(Default)]
pub(super) struct Lane {
    kept: Option<(String, Wire)>,
    request: Vec<u8>,
    /// Of the answer before with its head, if its body came as it is.
    expected_bytes: usize,
    /// A head has arrived, and its body is being read.
    pub has_head: bool,
}

/// A connection that wakes its thread for bytes to read and for nothing else: a request is small
/// and finds room, as a rule, and to be told of more room later costs as much as the answer.
struct Wire {
    stream: AsyncFd<TcpStream>,
    /// Counts the connection as closed when it is.
    _open: Option<Open>,
}

impl Wire {
    async fn dial(url: &Url, dials: Option<&Arc<DialStats>>) -> Result<Wire, String> {
        let (host, port) = url.host_port()?;
        let (stream, open) = counted(dials, Wire::connect(host, port)).await?;
        Ok(Wire { stream, _open: open })
    }

    async fn connect(host: &str, port: u16) -> Result<AsyncFd<TcpStream>, DialError> {
        let mut failure = DialError::resolution(String::new());
        for address in resolve(host, port).await.map_err(DialError::resolution)? {
            let connected = tokio::net::TcpStream::connect(address).await;
            match connected.and_then(Wire::watch) {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = dial_error(address, &error),
            }
        }
        Err(failure)
    }

    #[expect(
        deprecated,
        reason = "a TcpStream keeps its descriptor: all that the new way asks for"
    )]
    fn watch(stream: tokio::net::TcpStream) -> io::Result<AsyncFd<TcpStream>> {
        // Fails only on a socket that is gone already, which the first write will say.
        let _ = stream.set_nodelay(true);
        AsyncFd::with_interest(stream.into_std()?, Interest::READABLE)
    }

    async fn send(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.stream.get_ref().write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    tokio::time::sleep(SEND_AGAIN).await;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads into `room` what has arrived, at least `count` bytes of it if they have; zero at the
    /// end of the stream.
    ///
    /// Others have their turn after every piece that fills the room: a sender that is always ready
    /// would not leave them one.
    async fn receive(&self, room: &mut Room, count: usize) -> io::Result<usize> {
        loop {
            let mut ready = self.stream.readable().await?;
            let vacant = room.vacant(count);
            let capacity = vacant.len();
            let read = ready.try_io(|stream| stream.get_ref().read(vacant));
            match read {
                Ok(Ok(count)) => {
                    if count < capacity {
                        ready.clear_ready(); // Nothing is left; saves asking.
                    }
                    drop(ready);
                    room.fill(count);
                    if count == capacity {
                        tokio::task::yield_now().await;
                    }
                    return Ok(count);
                }
                Ok(Err(error)) if error.kind() == ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Err(error),
                Err(_would_block) => {}
            }
        }
    }
}

/// What a request came to.
pub(super) enum Fetched {
    /// The content type.
    Page(String),
    /// The server leads elsewhere: to be asked the general way.
    Redirect,
}

/// The part of a head that matters.
struct Head {
    status: u16,
    reason: String,
    content_type: String,
    is_gzip: bool,
    framing: Framing,
    is_kept: bool,
    bytes: usize,
}

impl Lane {
    /// Fetches `url` into `room`. Dropping the future loses the connection.
    pub async fn get(
        &mut self,
        url: &Url,
        headers: &[&HeaderMap],
        limit: usize,
        dials: Option<&Arc<DialStats>>,
        room: &mut Room,
    ) -> Result<Fetched, FetchError> {
        self.has_head = false;
        self.write_request(url, headers);
        let kept = self.kept.take().filter(|(authority, _)| *authority == url.authority);
        let fail =
            |why: String| FetchError::Transport(super::go_fail(&http::Method::GET, url, &why));
        let mut answered = None;
        if let Some((authority, wire)) = kept {
            // A kept connection that turns out to be closed is replaced once.
            if let Ok(true) = self.ask(&wire, room).await {
                answered = Some((authority, wire));
            }
        }
        let (authority, wire) = match answered {
            Some(answered) => answered,
            None => {
                let wire = Wire::dial(url, dials).await.map_err(fail)?;
                match self.ask(&wire, room).await {
                    Ok(true) => (url.authority.clone(), wire),
                    Ok(false) => return Err(fail("EOF".to_owned())),
                    Err(error) => return Err(fail(io_words(&error))),
                }
            }
        };
        let head = head(&wire, room).await.map_err(fail)?;
        if matches!(head.status, 301 | 302 | 303 | 307 | 308) {
            return Ok(Fetched::Redirect);
        }
        if head.status != 200 {
            let status = format!("{} {}", head.status, head.reason);
            return Err(FetchError::Status(status.trim_end().to_owned()));
        }
        self.has_head = true;
        let is_whole = match head.framing {
            Framing::Length(length) if !head.is_gzip => {
                read_plain(&wire, &head, length, limit, room).await?
            }
            _ => read_decoded(&wire, &head, limit, room).await?,
        };
        if let Some(bytes) = room.plain_bytes() {
            self.expected_bytes = head.bytes + bytes;
        }
        if is_whole && head.is_kept {
            self.kept = Some((authority, wire));
        }
        Ok(Fetched::Page(head.content_type))
    }

    fn write_request(&mut self, url: &Url, headers: &[&HeaderMap]) {
        let request = &mut self.request;
        request.clear();
        let target = url.path_and_query();
        let line: [&[u8]; 3] = [b"GET ", target.as_bytes(), b" HTTP/1.1\r\n"];
        line.iter().for_each(|part| request.extend_from_slice(part));
        let has_host = headers.iter().any(|headers| headers.contains_key(HOST));
        let host = (!has_host).then_some((&HOST, url.authority.as_bytes()));
        let others = headers.iter().copied().flatten();
        let others = others.map(|(name, value)| (name, value.as_bytes()));
        // The first credentials count.
        let mut has_authorization = false;
        for (name, value) in host.into_iter().chain(others) {
            if *name == AUTHORIZATION && std::mem::replace(&mut has_authorization, true) {
                continue;
            }
            let parts: [&[u8]; 4] = [name.as_str().as_bytes(), b": ", value, b"\r\n"];
            parts.iter().for_each(|part| request.extend_from_slice(part));
        }
        request.extend_from_slice(b"\r\n");
    }

    /// Sends the request and awaits the first bytes; false if the server closes instead.
    async fn ask(&mut self, wire: &Wire, room: &mut Room) -> io::Result<bool> {
        wire.send(&self.request).await?;
        room.clear();
        let expected = self.expected_bytes.min(EXPECTED_BYTES_MAX) + GROWTH_BYTES;
        Ok(wire.receive(room, expected).await? > 0)
    }

    /// Gives the connection up.
    pub fn close(&mut self) {
        self.kept = None;
    }
}

/// Reads to the end of the head; error: Go's words.
async fn head(wire: &Wire, room: &mut Room) -> Result<Head, String> {
    loop {
        let head = parse(room.received())?;
        let bytes = head.as_ref().map_or(room.received().len(), |head| head.bytes);
        if bytes > HEAD_BYTES_MAX {
            return Err(format!(
                "net/http: server response headers exceeded {HEAD_BYTES_MAX} bytes; aborted"
            ));
        }
        match head {
            Some(head) if head.status / 100 != 1 || head.status == 101 => return Ok(head),
            Some(head) => room.consume(head.bytes), // Another head follows.
            None => match wire.receive(room, GROWTH_BYTES).await {
                Ok(0) => return Err("unexpected EOF".to_owned()),
                Ok(_) => {}
                Err(error) => return Err(io_words(&error)),
            },
        }
    }
}

fn broken(why: &str) -> FetchError {
    FetchError::Transport(why.to_owned())
}

/// Reads a body of so many bytes that stays where it arrives; whether the connection stands at its
/// end.
async fn read_plain(
    wire: &Wire,
    head: &Head,
    length: u64,
    limit: usize,
    room: &mut Room,
) -> Result<bool, FetchError> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length >= limit {
        return Err(FetchError::BodyTooLarge);
    }
    let end = head.bytes + length;
    // Grows with what arrives: a length alone costs nothing.
    while room.received().len() < end {
        let received = room.received().len();
        let count = (end - received).min(PIECE_BYTES.max(received));
        match wire.receive(room, count).await {
            Ok(0) => return Err(broken("unexpected EOF")),
            Ok(_) => {}
            Err(error) => return Err(broken(&io_words(&error))),
        }
    }
    room.set_plain(head.bytes..end);
    Ok(room.received().len() == end)
}

/// Reads a body in chunks, until the connection's end, or compressed; whether the connection stands
/// at its end.
async fn read_decoded(
    wire: &Wire,
    head: &Head,
    limit: usize,
    room: &mut Room,
) -> Result<bool, FetchError> {
    let mut framing = head.framing;
    let mut decoded = room.take_decoded();
    let encoding = if head.is_gzip { &b"gzip"[..] } else { b"" };
    let mut sink = Sink::new(encoding, &mut decoded, limit);
    room.consume(head.bytes);
    let is_whole = 'body: loop {
        let received = room.received();
        let mut taken = 0;
        loop {
            let turn_bytes = if head.is_gzip { TURN_BYTES } else { PIECE_BYTES };
            let turn = &received[taken..received.len().min(taken + turn_bytes)];
            match framing.take(turn, |bytes| sink.write(bytes))? {
                Progress::More => taken += turn.len(),
                Progress::Done { used } => break 'body taken + used == received.len(),
                Progress::Broken(why) => return Err(broken(why)),
            }
            if taken == received.len() {
                break;
            }
            tokio::task::yield_now().await;
        }
        room.consume(taken);
        match wire.receive(room, PIECE_BYTES).await {
            Ok(0) if framing.ends_with_connection() => break false,
            Ok(0) => return Err(broken("unexpected EOF")),
            Ok(_) => {}
            Err(error) => return Err(broken(&io_words(&error))),
        }
    };
    sink.finish()?;
    room.set_decoded(decoded);
    Ok(is_whole)
}

/// Reads a head; none if it is not whole yet.
fn parse(bytes: &[u8]) -> Result<Option<Head>, String> {
    let mut headers = [httparse::EMPTY_HEADER; HEADER_COUNT_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response.parse(bytes).map_err(|error| match error {
        httparse::Error::Version | httparse::Error::Status => {
            let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let line = String::from_utf8_lossy(line.trim_ascii_end());
            format!(
                "net/http: HTTP/1.x transport connection broken: malformed HTTP response {line:?}"
            )
        }
        error => format!("net/http: HTTP/1.x transport connection broken: {error}"),
    })?;
    let httparse::Status::Complete(head_bytes) = parsed else { return Ok(None) };
    let mut head = Head {
        status: response.code.unwrap_or(0),
        reason: response.reason.unwrap_or("").to_owned(),
        content_type: String::new(),
        is_gzip: false,
        framing: Framing::UntilClose,
        is_kept: response.version == Some(1),
        bytes: head_bytes,
    };
    if head.reason.is_empty() {
        let status = http::StatusCode::from_u16(head.status).ok();
        head.reason = status.and_then(|status| status.canonical_reason()).unwrap_or("").to_owned();
    }
    let mut length = None;
    let mut is_chunked = false;
    for header in response.headers.iter() {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        let value = header.value.trim_ascii();
        if is("content-length") {
            let text = std::str::from_utf8(value).ok();
            let number = text.and_then(|text| text.parse::<u64>().ok());
            let bad = || format!("bad Content-Length {:?}", String::from_utf8_lossy(value));
            let number = number.ok_or_else(bad)?;
            if length.replace(number).is_some_and(|before| before != number) {
                return Err("http: message cannot contain multiple Content-Length headers".into());
            }
        } else if is("transfer-encoding") {
            if !value.eq_ignore_ascii_case(b"chunked") {
                let value = String::from_utf8_lossy(value);
                return Err(format!("unsupported transfer encoding: {value:?}"));
            }
            is_chunked = true;
        } else if is("content-encoding") {
            head.is_gzip = value.eq_ignore_ascii_case(b"gzip");
        } else if is("content-type") && head.content_type.is_empty() {
            // What is no text counts as none.
            head.content_type = std::str::from_utf8(value).unwrap_or("").to_owned();
        } else if is("connection") {
            let words = || value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
            if words().any(|word| word.eq_ignore_ascii_case(b"close")) {
                head.is_kept = false;
            } else if words().any(|word| word.eq_ignore_ascii_case(b"keep-alive")) {
                head.is_kept = true;
            }
        }
    }
    head.framing = match length {
        _ if is_chunked => Framing::chunked(),
        _ if matches!(head.status, 204 | 304) => Framing::Length(0),
        Some(length) => Framing::Length(length),
        None => Framing::UntilClose,
    };
    Ok(Some(head))
}
