//! GET over one kept connection: what a scrape loop needs, and no more.
//!
//! The caller gives the deadline (by dropping the future) and the buffer; the body is decoded into
//! it as it arrives and never exceeds the limit, however well it was compressed.
//!
//! Error texts are Go's, because users know them from `lastError`.

use std::future::poll_fn;
use std::io::{self, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::Pin;

use flate2::write::MultiGzDecoder;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HOST, LOCATION};
use http::{HeaderMap, HeaderValue, StatusCode};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use shards::runtime::{self, Class, Task, TcpStream};

use super::Body;
use super::url::Url;

/// Go's limit.
const REDIRECT_COUNT_MAX: usize = 10;

/// Longest head of a response in bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// A client of one target. Reuses its connection as long as the server keeps it.
#[derive(Default)]
pub struct Client {
    connection: Option<Connection>,
    /// A head has arrived and its body is being read.
    is_reading: bool,
}

struct Connection {
    authority: String,
    sender: SendRequest<Body>,
    /// Drives the connection; dropping it closes the socket.
    _driver: Task,
}

/// What to ask for.
pub struct Get<'a> {
    pub url: &'a Url,
    pub headers: &'a HeaderMap,
    pub follow_redirects: bool,
    /// Most bytes of the decoded body.
    pub body_bytes_max: usize,
}

#[derive(Debug)]
pub enum FetchError {
    /// No answer: connect, send or read failed. In Go's words, without the `Get "…":` before it.
    Transport(String),
    /// The server answered with another status than 200.
    Status(String),
    BodyTooLarge,
    /// Broken gzip.
    Decode(String),
}

impl std::fmt::Display for FetchError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            FetchError::Transport(message) | FetchError::Decode(message) => f.write_str(message),
            FetchError::Status(status) => write!(f, "server returned HTTP status {status}"),
            FetchError::BodyTooLarge => f.write_str("body size limit exceeded"),
        }
    }
}

impl Client {
    /// Fetches into `body` (cleared first); returns the content type.
    ///
    /// Dropping the future in the middle of a fetch loses the connection with it.
    pub async fn get(&mut self, get: &Get<'_>, body: &mut Vec<u8>) -> Result<String, FetchError> {
        body.clear();
        self.is_reading = false;
        let mut url = get.url.clone();
        let mut headers = get.headers.clone();
        for _ in 0..=REDIRECT_COUNT_MAX {
            let mut response = self.exchange(&url, &headers).await?;
            let location = get.follow_redirects.then(|| redirect(&response)).flatten();
            if let Some(location) = location {
                self.give_up(&mut response);
                let next = url.join(&location).map_err(FetchError::Transport)?;
                if next.host_port().ok().map(|(host, _)| host.to_owned())
                    != url.host_port().ok().map(|(host, _)| host.to_owned())
                {
                    // Credentials stay with the host they were given for.
                    headers.remove(AUTHORIZATION);
                }
                url = next;
                continue;
            }
            if response.status() != StatusCode::OK {
                let status = status_line(&response);
                self.give_up(&mut response);
                return Err(FetchError::Status(status));
            }
            self.is_reading = true;
            return self.read(response, get.body_bytes_max, body).await;
        }
        Err(FetchError::Transport(go_get(&url, "stopped after 10 redirects")))
    }

    /// Gives the connection up after a fetch of `url` that was dropped at its deadline; returns what
    /// Go would have said.
    pub fn timed_out(&mut self, url: &Url) -> String {
        self.connection = None;
        const EXCEEDED: &str = "context deadline exceeded";
        if self.is_reading { EXCEEDED.to_owned() } else { go_get(url, EXCEEDED) }
    }

    /// Sends one request; a kept connection that turns out to be closed is replaced once.
    async fn exchange(
        &mut self,
        url: &Url,
        headers: &HeaderMap,
    ) -> Result<http::Response<Incoming>, FetchError> {
        let fail = |why: &str| FetchError::Transport(go_get(url, why));
        if url.scheme != "http" {
            return Err(fail(&format!("{} targets are not supported yet", url.scheme)));
        }
        for attempt in 0..2 {
            let kept = match self.connection.take() {
                Some(kept) if kept.authority == url.authority && !kept.sender.is_closed() => {
                    Some(kept)
                }
                _ => None,
            };
            let reused = kept.is_some();
            let mut connection = match kept {
                Some(kept) => kept,
                None => Connection::open(url).await.map_err(|why| fail(&why))?,
            };
            let ready = connection.sender.ready().await;
            let sent = match ready {
                Ok(()) => connection.sender.send_request(request(url, headers)).await,
                Err(error) => Err(error),
            };
            match sent {
                Ok(response) => {
                    self.connection = Some(connection);
                    return Ok(response);
                }
                Err(_) if reused && attempt == 0 => {}
                Err(error) => return Err(fail(&go_error(&error))),
            }
        }
        unreachable!("the second attempt is on a fresh connection")
    }

    /// Leaves a body unread, and with it the connection.
    fn give_up(&mut self, response: &mut http::Response<Incoming>) {
        if !response.body().is_end_stream() {
            self.connection = None;
        }
    }

    async fn read(
        &mut self,
        mut response: http::Response<Incoming>,
        limit: usize,
        body: &mut Vec<u8>,
    ) -> Result<String, FetchError> {
        let header =
            |name| response.headers().get(name).and_then(|v: &HeaderValue| v.to_str().ok());
        let content_type = header(CONTENT_TYPE).unwrap_or("").to_owned();
        let gzipped = header(CONTENT_ENCODING) == Some("gzip");
        let sink = Bounded { out: body, limit, exceeded: false };
        let mut sink = if gzipped {
            Sink::Gzip(Box::new(MultiGzDecoder::new(sink)))
        } else {
            Sink::Plain(sink)
        };
        let incoming = response.body_mut();
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut *incoming).poll_frame(cx)).await {
            let written = match frame {
                Ok(frame) => frame.data_ref().map_or(Ok(()), |bytes| sink.write(bytes)),
                Err(error) => Err(FetchError::Transport(go_error(&error))),
            };
            if let Err(error) = written {
                self.connection = None;
                return Err(error);
            }
        }
        sink.finish()?;
        Ok(content_type)
    }
}

impl Connection {
    async fn open(url: &Url) -> Result<Connection, String> {
        let (host, port) = url.host_port()?;
        let mut failure = format!("lookup {host}: no such host");
        for address in addresses(host, port).await? {
            match TcpStream::connect(address).await {
                Ok(stream) => return Connection::handshake(url, stream).await,
                Err(error) => failure = dial_error(address, &error),
            }
        }
        Err(failure)
    }

    async fn handshake(url: &Url, stream: TcpStream) -> Result<Connection, String> {
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX + (512 << 10))
            .handshake(stream)
            .await
            .map_err(|error| go_error(&error))?;
        let driver = runtime::spawn(Class::Scrape, async move {
            // What went wrong reaches whoever waits for the response.
            let _ = connection.await;
        });
        Ok(Connection { authority: url.authority.clone(), sender, _driver: driver })
    }
}

async fn addresses(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    if let Ok(address) = host.parse() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let name = host.to_owned();
    let found = runtime::blocking(move || {
        (name.as_str(), port).to_socket_addrs().map(|addresses| addresses.collect::<Vec<_>>())
    });
    found.await.map_err(|error| format!("dial tcp: lookup {host}: {error}"))
}

fn request(url: &Url, headers: &HeaderMap) -> http::Request<Body> {
    let mut request = http::Request::new(Body::empty());
    *request.uri_mut() =
        url.path_and_query().parse().unwrap_or_else(|_| http::Uri::from_static("/"));
    *request.headers_mut() = headers.clone();
    if let Ok(host) = HeaderValue::from_str(&url.authority) {
        request.headers_mut().entry(HOST).or_insert(host);
    }
    request
}

/// Where a redirect that Go's client follows leads.
fn redirect(response: &http::Response<Incoming>) -> Option<String> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    response.headers().get(LOCATION)?.to_str().ok().map(str::to_owned)
}

/// `404 Not Found`, with the server's own reason where it differs.
fn status_line(response: &http::Response<Incoming>) -> String {
    let status = response.status();
    let reason = response.extensions().get::<hyper::ext::ReasonPhrase>();
    let reason = reason.map_or_else(
        || status.canonical_reason().unwrap_or("").to_owned(),
        |reason| String::from_utf8_lossy(reason.as_bytes()).into_owned(),
    );
    format!("{} {reason}", status.as_str()).trim_end().to_owned()
}

/// How Go's client wraps every failure.
pub fn go_get(url: &Url, why: &str) -> String {
    format!("Get {:?}: {why}", url.to_string())
}

fn dial_error(address: SocketAddr, error: &io::Error) -> String {
    let why = match error.kind() {
        io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
        io::ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
        io::ErrorKind::TimedOut => "connect: connection timed out".to_owned(),
        _ => error.to_string(),
    };
    format!("dial tcp {address}: {why}")
}

fn go_error(error: &hyper::Error) -> String {
    if error.is_incomplete_message() {
        "EOF".to_owned()
    } else {
        let cause = std::error::Error::source(error).map(ToString::to_string);
        cause.unwrap_or_else(|| error.to_string())
    }
}

/// Takes at most `limit` bytes. (Prometheus refuses a body of exactly the limit, too.)
struct Bounded<'a> {
    out: &'a mut Vec<u8>,
    limit: usize,
    exceeded: bool,
}

impl Write for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.out.len() + bytes.len() >= self.limit {
            self.exceeded = true;
            return Err(io::Error::other("limit"));
        }
        self.out.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

enum Sink<'a> {
    Plain(Bounded<'a>),
    Gzip(Box<MultiGzDecoder<Bounded<'a>>>),
}

impl Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        let written = match self {
            Sink::Plain(sink) => sink.write_all(bytes),
            Sink::Gzip(decoder) => decoder.write_all(bytes),
        };
        written.map_err(|error| self.refusal(&error))
    }

    fn finish(mut self) -> Result<(), FetchError> {
        let finished = match &mut self {
            Sink::Plain(_) => Ok(()),
            Sink::Gzip(decoder) => decoder.try_finish(),
        };
        finished.map_err(|error| self.refusal(&error))
    }

    fn refusal(&self, error: &io::Error) -> FetchError {
        let exceeded = match self {
            Sink::Plain(sink) => sink.exceeded,
            Sink::Gzip(decoder) => decoder.get_ref().exceeded,
        };
        if exceeded {
            return FetchError::BodyTooLarge;
        }
        FetchError::Decode(match error.kind() {
            io::ErrorKind::UnexpectedEof => "unexpected EOF".to_owned(),
            _ => format!("gzip: {error}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `body` as the sink takes it in pieces of 7 bytes, with room for `limit`.
    fn decoded(gzip: bool, body: &[u8], limit: usize) -> Result<Vec<u8>, String> {
        let mut out = vec![];
        let bounded = Bounded { out: &mut out, limit, exceeded: false };
        let mut sink = if gzip {
            Sink::Gzip(Box::new(MultiGzDecoder::new(bounded)))
        } else {
            Sink::Plain(bounded)
        };
        for piece in body.chunks(7) {
            sink.write(piece).map_err(|error| error.to_string())?;
        }
        sink.finish().map_err(|error| error.to_string())?;
        Ok(out)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_body_is_bounded_after_decoding() {
        let zeroes = vec![0u8; 1 << 20];
        assert_eq!(decoded(false, b"up 1\n", 100), Ok(b"up 1\n".to_vec()));
        assert_eq!(decoded(true, &gzip(b"up 1\n"), 100), Ok(b"up 1\n".to_vec()));
        assert_eq!(decoded(false, b"up 1\n", 5), Err("body size limit exceeded".into()));
        assert_eq!(decoded(true, &gzip(&zeroes), 1 << 20), Err("body size limit exceeded".into()));
        assert!(decoded(true, &gzip(&zeroes), 2 << 20).unwrap() == zeroes);
        let two = [gzip(b"a 1\n"), gzip(b"b 2\n")].concat();
        assert_eq!(decoded(true, &two, 100), Ok(b"a 1\nb 2\n".to_vec()));
        assert!(decoded(true, &gzip(b"up 1\n")[..12], 100).is_err());
        assert!(decoded(true, b"not gzip at all", 100).unwrap_err().starts_with("gzip: "));
    }
}
