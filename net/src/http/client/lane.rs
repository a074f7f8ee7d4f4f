//! The short way of a scrape: `GET` over plain HTTP/1.1, straight into the caller's buffer.
//!
//! On the threads that scrape, most requests are of this kind, and the general way costs more than
//! the page: copies of bodies, maps of headers, boxed futures. What is not plain (TLS, proxies,
//! HTTP/2, redirects) goes the general way.
//!
//! Source: RFC 9112; error texts of Go `net/http` (`Transport`, `ReadResponse`).

use bytes::BufMut;
use http::HeaderMap;
use http::header::{AUTHORIZATION, HOST};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::FetchError;
use super::body::Sink;
use super::connect::{HEAD_BYTES_MAX, dial_error, io_words};
use super::framing::{Framing, Progress};
use crate::http::place::resolve;
use crate::http::url::Url;

/// Read at once where the length is not known.
const PIECE_BYTES: usize = 64 << 10;

/// Read first: the usual head, and little of the body.
const HEAD_BYTES: usize = 1 << 10;

const HEADER_COUNT_MAX: usize = 100;

/// Connections of this way: one, kept as long as the server does.
#[derive(Default)]
pub(super) struct Lane {
    kept: Option<(String, TcpStream)>,
    /// Of the answer, and then pieces of its body.
    buffer: Vec<u8>,
    request: Vec<u8>,
    /// A head has arrived, and its body is being read.
    pub has_head: bool,
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
    /// Fetches `url` into `body`. Dropping the future loses the connection.
    pub async fn get(
        &mut self,
        url: &Url,
        headers: &[&HeaderMap],
        limit: usize,
        body: &mut Vec<u8>,
    ) -> Result<Fetched, FetchError> {
        self.has_head = false;
        self.write_request(url, headers);
        let kept = self.kept.take().filter(|(authority, _)| *authority == url.authority);
        let fail =
            |why: String| FetchError::Transport(super::go_fail(&http::Method::GET, url, &why));
        let mut answered = None;
        if let Some((authority, mut stream)) = kept {
            // A kept connection that turns out to be closed is replaced once.
            if let Ok(true) = self.ask(&mut stream).await {
                answered = Some((authority, stream));
            }
        }
        let (authority, mut stream) = match answered {
            Some(answered) => answered,
            None => {
                let mut stream = dial(url).await.map_err(fail)?;
                match self.ask(&mut stream).await {
                    Ok(true) => (url.authority.clone(), stream),
                    Ok(false) => return Err(fail("EOF".to_owned())),
                    Err(error) => return Err(fail(io_words(&error))),
                }
            }
        };
        let head = self.head(&mut stream).await.map_err(fail)?;
        if matches!(head.status, 301 | 302 | 303 | 307 | 308) {
            return Ok(Fetched::Redirect);
        }
        if head.status != 200 {
            let status = format!("{} {}", head.status, head.reason);
            return Err(FetchError::Status(status.trim_end().to_owned()));
        }
        self.has_head = true;
        let is_whole = self.read(&mut stream, &head, limit, body).await?;
        if is_whole && head.is_kept {
            self.kept = Some((authority, stream));
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
    async fn ask(&mut self, stream: &mut TcpStream) -> std::io::Result<bool> {
        stream.write_all(&self.request).await?;
        self.buffer.clear();
        self.buffer.reserve(HEAD_BYTES);
        Ok(stream.read_buf(&mut (&mut self.buffer).limit(HEAD_BYTES)).await? > 0)
    }

    /// Reads to the end of the head; error: Go's words.
    async fn head(&mut self, stream: &mut TcpStream) -> Result<Head, String> {
        loop {
            if let Some(head) = parse(&self.buffer)? {
                if head.status / 100 != 1 || head.status == 101 {
                    return Ok(head);
                }
                self.buffer.drain(..head.bytes); // Another head follows.
                continue;
            }
            if self.buffer.len() >= HEAD_BYTES_MAX {
                return Err(format!(
                    "net/http: server response headers exceeded {HEAD_BYTES_MAX} bytes; aborted"
                ));
            }
            let read = stream.read_buf(&mut (&mut self.buffer).limit(HEAD_BYTES)).await;
            match read {
                Ok(0) => return Err("unexpected EOF".to_owned()),
                Ok(_) => {}
                Err(error) => return Err(io_words(&error)),
            }
        }
    }

    /// Reads the body, decoded; whether the connection stands at its end.
    async fn read(
        &mut self,
        stream: &mut TcpStream,
        head: &Head,
        limit: usize,
        body: &mut Vec<u8>,
    ) -> Result<bool, FetchError> {
        let broken = |why: &str| FetchError::Transport(why.to_owned());
        let begun = &self.buffer[head.bytes..];
        if let Framing::Length(length) = head.framing
            && !head.is_gzip
        {
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            if length >= limit {
                return Err(FetchError::BodyTooLarge);
            }
            let is_whole = begun.len() <= length;
            body.extend_from_slice(&begun[..begun.len().min(length)]);
            // Grows with what arrives: a length alone costs nothing.
            while body.len() < length {
                let rest = (length - body.len()).min(PIECE_BYTES.max(body.len()));
                body.reserve(rest);
                match stream.read_buf(&mut (&mut *body).limit(rest)).await {
                    Ok(0) => return Err(broken("unexpected EOF")),
                    Ok(_) => {}
                    Err(error) => return Err(broken(&io_words(&error))),
                }
            }
            return Ok(is_whole);
        }
        let mut framing = head.framing;
        let mut sink = Sink::new(if head.is_gzip { b"gzip" } else { b"" }, body, limit);
        self.buffer.drain(..head.bytes);
        let is_whole = loop {
            let progress = framing.take(&self.buffer, |bytes| sink.write(bytes))?;
            match progress {
                Progress::More => {}
                Progress::Done { used } => break used == self.buffer.len(),
                Progress::Broken(why) => return Err(broken(why)),
            }
            self.buffer.clear();
            self.buffer.reserve(PIECE_BYTES);
            match stream.read_buf(&mut (&mut self.buffer).limit(PIECE_BYTES)).await {
                Ok(0) if framing.ends_with_connection() => break false,
                Ok(0) => return Err(broken("unexpected EOF")),
                Ok(_) => {}
                Err(error) => return Err(broken(&io_words(&error))),
            }
        };
        sink.finish()?;
        Ok(is_whole)
    }

    /// Gives the connection up.
    pub fn close(&mut self) {
        self.kept = None;
    }
}

async fn dial(url: &Url) -> Result<TcpStream, String> {
    let (host, port) = url.host_port()?;
    let mut failure = String::new();
    for address in resolve(host, port).await? {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // Fails only on a socket that is gone already, which the first write will say.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => failure = dial_error(address, &error),
        }
    }
    Err(failure)
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
