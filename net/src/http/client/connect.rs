//! From a URL to a connection: name, address, proxy, TLS, protocol.
//!
//! ```text
//! direct      dial ─────────────────────────> [TLS] -> HTTP/1.1 or, where ALPN says so, HTTP/2
//! http proxy  dial proxy [TLS] ── http URL ──> requests name the whole URL
//!                              ── https URL ─> CONNECT -> TLS
//! socks5      dial proxy -> CONNECT command -> [TLS]
//! ```
//!
//! A connection is driven by whoever awaits something of it; nothing runs between two requests.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use http::HeaderValue;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use rustls::pki_types::ServerName;

use super::dials::{DialError, Open, counted};
use super::options::{ClientOptions, Tls};
use super::proxy::{Proxy, ProxyKind};
use crate::http::Body;
use crate::http::place::{BoxStream, connect_tcp, connect_unix, read_some, resolve, write_all};
use crate::http::tls::TlsStream;
use crate::http::tls::client::go_error as tls_error;
use crate::http::url::{Url, split_host_port};

/// Longest head of a response in bytes.
pub(super) const HEAD_BYTES_MAX: usize = 64 << 10;

/// What a connection serves: requests with another key need another connection.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub scheme: String,
    pub authority: String,
    pub unix_socket: String,
}

pub(super) struct Connection {
    pub key: Key,
    /// Of encrypted connections: what it was made with.
    pub tls: Option<Tls>,
    /// Requests name the whole URL, because an HTTP proxy reads them.
    pub through_proxy: bool,
    /// How requests make themselves known to that proxy.
    pub proxy_authorization: Option<HeaderValue>,
    sender: Sender,
    driver: Option<Driver>,
    /// Why the connection ended, if it failed.
    failure: Option<String>,
    spawned: Spawned,
    /// Counts the connection as closed when it is.
    _open: Option<Open>,
}

type Driver = Pin<Box<dyn Future<Output = hyper::Result<()>>>>;

enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

impl Connection {
    /// Errors: in Go's words, without the `Get "…":` before it.
    pub async fn open(
        key: Key,
        url: &Url,
        options: &ClientOptions,
        tls: Option<Tls>,
    ) -> Result<Connection, String> {
        let proxy = options.proxies.of(url).filter(|_| key.unix_socket.is_empty());
        let (host, port) = url.host_port()?;
        let is_tls = url.scheme == "https";
        let mut through_proxy = false;
        let (mut stream, open) = if !key.unix_socket.is_empty() {
            counted(options.dials(), dial_unix(&key.unix_socket)).await?
        } else if let Some(proxy) = proxy {
            let (mut stream, open) = dial_proxy(proxy, options).await?;
            match proxy.kind {
                ProxyKind::Socks5 => socks5(&mut stream, proxy, host, port).await?,
                _ if is_tls => tunnel(&mut stream, proxy, options, host, port).await?,
                _ => through_proxy = true,
            }
            (stream, open)
        } else {
            counted(options.dials(), dial(host, port)).await?
        };
        let mut is_http2 = false;
        if let Some(tls) = &tls {
            let name = match options.server_name() {
                "" => host,
                name => name,
            };
            let encrypted = encrypt(stream, tls.clone(), name).await?;
            is_http2 = encrypted.protocol() == Some(b"h2");
            stream = Box::new(encrypted);
        }
        let spawned = Spawned::default();
        let (sender, driver): (Sender, Driver) = if is_http2 {
            let shaken = http2::Builder::new(spawned.clone()).handshake(stream).await;
            let (sender, connection) = shaken.map_err(|error| go_error(&error))?;
            (Sender::Http2(sender), Box::pin(connection))
        } else {
            let shaken = http1::Builder::new()
                .max_buf_size(HEAD_BYTES_MAX + (512 << 10))
                .handshake(stream)
                .await;
            let (sender, connection) = shaken.map_err(|error| go_error(&error))?;
            (Sender::Http1(sender), Box::pin(connection))
        };
        Ok(Connection {
            key,
            tls,
            through_proxy,
            proxy_authorization: proxy.filter(|_| through_proxy).and_then(Proxy::authorization),
            sender,
            driver: Some(driver),
            failure: None,
            spawned,
            _open: open,
        })
    }

    pub fn is_http2(&self) -> bool {
        matches!(self.sender, Sender::Http2(_))
    }

    /// The answer's head; [`Connection::drive`] its body.
    pub async fn send(
        &mut self,
        request: http::Request<Body>,
    ) -> Result<http::Response<Incoming>, String> {
        let ready = poll_fn(|cx| {
            self.drive(cx);
            match &mut self.sender {
                Sender::Http1(sender) => sender.poll_ready(cx),
                Sender::Http2(sender) => sender.poll_ready(cx),
            }
        })
        .await;
        let mut answer: Answering = match (ready, &mut self.sender) {
            (Err(error), _) => return Err(self.why(&error)),
            (Ok(()), Sender::Http1(sender)) => Box::pin(sender.send_request(request)),
            (Ok(()), Sender::Http2(sender)) => Box::pin(sender.send_request(request)),
        };
        let answered = poll_fn(|cx| {
            self.drive(cx);
            answer.as_mut().poll(cx)
        });
        let answered = answered.await;
        answered.map_err(|error| self.why(&error))
    }

    /// Why a request failed: the connection's own failure says more than that it is closed.
    fn why(&self, error: &hyper::Error) -> String {
        self.failure.clone().unwrap_or_else(|| go_error(error))
    }

    /// Lets the connection work while its user waits for a part of a body.
    pub fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(driver) = &mut self.driver
            && let Poll::Ready(ended) = driver.as_mut().poll(cx)
        {
            self.failure = ended.err().map(|error| go_error(&error));
            self.driver = None;
        }
        self.spawned.poll(cx);
    }
}

type Answering = Pin<Box<dyn Future<Output = hyper::Result<http::Response<Incoming>>>>>;

type Job = Pin<Box<dyn Future<Output = ()>>>;

/// What HTTP/2 wants to run beside the connection, one or two jobs: they run with it.
#[derive(Clone, Default)]
struct Spawned(Rc<RefCell<Vec<Job>>>);

impl<F: Future + 'static> hyper::rt::Executor<F> for Spawned {
    fn execute(&self, future: F) {
        self.0.borrow_mut().push(Box::pin(async move { drop(future.await) }));
    }
}

impl Spawned {
    fn poll(&self, cx: &mut Context<'_>) {
        // A job may start another one, so the list is not borrowed while they run.
        let mut running = self.0.take();
        let mut count = 0;
        while count != running.len() {
            count = running.len();
            running.retain_mut(|job| job.as_mut().poll(cx).is_pending());
            count = count.min(running.len());
            running.append(&mut self.0.borrow_mut());
        }
        self.0.replace(running);
    }
}

async fn dial(host: &str, port: u16) -> Result<BoxStream, DialError> {
    let mut failure = DialError::resolution(String::new());
    for address in resolve(host, port).await.map_err(DialError::resolution)? {
        match connect_tcp(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = dial_error(address, &error),
        }
    }
    Err(failure)
}

async fn dial_unix(path: &str) -> Result<BoxStream, DialError> {
    let failed =
        |error: io::Error| DialError::io(&error, format!("dial unix {path}: {}", io_words(&error)));
    connect_unix(path).await.map_err(failed)
}

async fn dial_proxy(
    proxy: &Proxy,
    options: &ClientOptions,
) -> Result<(BoxStream, Option<Open>), String> {
    let failed = |why: String| format!("proxyconnect tcp: {why}");
    let dialed = counted(options.dials(), dial(&proxy.host, proxy.port)).await;
    let (stream, open) = dialed.map_err(failed)?;
    if proxy.kind != ProxyKind::Https {
        return Ok((stream, open));
    }
    let tls = ClientOptions::plain().tls(&Default::default()).map_err(failed)?;
    // A proxy speaks HTTP/1.1 with us.
    let mut tls = (*tls).clone();
    tls.alpn_protocols.clear();
    let encrypted = encrypt(stream, tls.into(), &proxy.host).await.map_err(failed)?;
    Ok((Box::new(encrypted), open))
}

async fn encrypt(stream: BoxStream, tls: Tls, host: &str) -> Result<TlsStream, String> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| format!("tls: {host:?} is not a name that certificates can have"))?;
    let tls = rustls::ClientConnection::new(tls, name).map_err(|error| format!("tls: {error}"))?;
    TlsStream::handshake(stream, tls.into()).await.map_err(|error| tls_error(&error, host))
}

/// Asks an HTTP proxy for a way to `host`.
async fn tunnel(
    stream: &mut BoxStream,
    proxy: &Proxy,
    options: &ClientOptions,
    host: &str,
    port: u16,
) -> Result<(), String> {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let mut request = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n");
    let mut headers = options.proxies.connect_headers.clone();
    if let Some(authorization) = proxy.authorization() {
        headers.entry("proxy-authorization").or_insert(authorization);
    }
    for (name, value) in &headers {
        request.push_str(&format!("{name}: {}\r\n", String::from_utf8_lossy(value.as_bytes())));
    }
    request.push_str("\r\n");
    let failed = |error: io::Error| format!("proxyconnect tcp: {}", io_words(&error));
    write_all(stream, request.as_bytes()).await.map_err(failed)?;
    // Nothing follows the head: in TLS the client speaks first.
    let mut head = vec![];
    while !head.ends_with(b"\r\n\r\n") {
        let mut bytes = [0; 4096];
        let count = read_some(stream, &mut bytes).await.map_err(failed)?;
        if count == 0 || head.len() > HEAD_BYTES_MAX {
            return Err("proxyconnect tcp: unexpected EOF".to_owned());
        }
        head.extend_from_slice(&bytes[..count]);
    }
    let head = String::from_utf8_lossy(&head);
    let mut words = head.lines().next().unwrap_or("").splitn(3, ' ').skip(1);
    match (words.next(), words.next()) {
        (Some("200"), _) => Ok(()),
        (Some(code), reason) => Err(reason.filter(|r| !r.is_empty()).unwrap_or(code).to_owned()),
        _ => Err("proxyconnect tcp: malformed HTTP response".to_owned()),
    }
}

/// Asks a SOCKS proxy for a way to `host` (RFC 1928, RFC 1929).
async fn socks5(
    stream: &mut BoxStream,
    proxy: &Proxy,
    host: &str,
    port: u16,
) -> Result<(), String> {
    let failed = |why: &str| format!("socks connect tcp {}:{}: {why}", proxy.host, proxy.port);
    let io_failed = |error: io::Error| failed(&io_words(&error));
    let method = if proxy.user.is_some() { 2 } else { 0 };
    write_all(stream, &[5, 1, method]).await.map_err(io_failed)?;
    let mut chosen = [0; 2];
    read_exact(stream, &mut chosen).await.map_err(io_failed)?;
    if chosen != [5, method] {
        return Err(failed("no acceptable authentication methods"));
    }
    let too_long = |_| failed("user, password or host is too long");
    if let Some((user, password)) = &proxy.user {
        let mut login = vec![1, u8::try_from(user.len()).map_err(too_long)?];
        login.extend_from_slice(user.as_bytes());
        login.push(u8::try_from(password.len()).map_err(too_long)?);
        login.extend_from_slice(password.as_bytes());
        write_all(stream, &login).await.map_err(io_failed)?;
        read_exact(stream, &mut chosen).await.map_err(io_failed)?;
        if chosen[1] != 0 {
            return Err(failed("username/password authentication failed"));
        }
    }
    let mut command = vec![5, 1, 0];
    match host.parse() {
        Ok(IpAddr::V4(address)) => {
            command.push(1);
            command.extend_from_slice(&address.octets());
        }
        Ok(IpAddr::V6(address)) => {
            command.push(4);
            command.extend_from_slice(&address.octets());
        }
        Err(_) => {
            command.extend_from_slice(&[3, u8::try_from(host.len()).map_err(too_long)?]);
            command.extend_from_slice(host.as_bytes());
        }
    }
    command.extend_from_slice(&port.to_be_bytes());
    write_all(stream, &command).await.map_err(io_failed)?;
    let mut reply = [0; 4];
    read_exact(stream, &mut reply).await.map_err(io_failed)?;
    if reply[1] != 0 {
        return Err(failed(&format!("the proxy refuses with code {}", reply[1])));
    }
    // The address the proxy uses, which nobody needs, and its port.
    let address_bytes = match reply[3] {
        1 => 4,
        4 => 16,
        _ => {
            let mut len = [0];
            read_exact(stream, &mut len).await.map_err(io_failed)?;
            usize::from(len[0])
        }
    };
    let mut bound = [0; 257];
    read_exact(stream, &mut bound[..address_bytes + 2]).await.map_err(io_failed)
}

async fn read_exact(stream: &mut BoxStream, mut buffer: &mut [u8]) -> io::Result<()> {
    while !buffer.is_empty() {
        let count = read_some(stream, buffer).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        buffer = &mut buffer[count..];
    }
    Ok(())
}

pub(super) fn dial_error(address: SocketAddr, error: &io::Error) -> DialError {
    DialError::io(error, format!("dial tcp {address}: {}", io_words(error)))
}

pub(super) fn io_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
        io::ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
        io::ErrorKind::TimedOut => "connect: connection timed out".to_owned(),
        io::ErrorKind::NotFound => "connect: no such file or directory".to_owned(),
        io::ErrorKind::PermissionDenied => "connect: permission denied".to_owned(),
        io::ErrorKind::UnexpectedEof => "EOF".to_owned(),
        _ => error.to_string(),
    }
}

pub(super) fn go_error(error: &hyper::Error) -> String {
    if error.is_incomplete_message() {
        return "EOF".to_owned();
    }
    // The innermost cause says most.
    let mut cause: &(dyn std::error::Error + 'static) = error;
    while let Some(inner) = cause.source() {
        cause = inner;
        if let Some(error) = cause.downcast_ref::<io::Error>() {
            return tls_error(error, "");
        }
    }
    cause.to_string()
}

/// The key of a request's connection.
pub(super) fn key(url: &Url, unix_socket: &str) -> Key {
    Key {
        scheme: url.scheme.clone(),
        authority: url.authority.clone(),
        unix_socket: unix_socket.to_owned(),
    }
}

/// Whether a redirect from `origin` to `host` leaves the origin and what is below it.
pub(super) fn is_other_host(origin: &Url, next: &Url) -> bool {
    let host = |url: &Url| split_host_port(&url.authority).0.to_ascii_lowercase();
    let (origin, next) = (host(origin), host(next));
    next != origin && !next.strip_suffix(&origin).is_some_and(|rest| rest.ends_with('.'))
}
