//! HTTP as a client: one request at a time over one kept connection, as the configuration says.
//!
//! ```text
//! options   tls_config, credentials, headers of a configuration; files are read when used
//! oauth2    tokens, fetched and kept for all clients of a configuration
//! proxy     which proxy, and what goes past it
//! connect   name -> address -> proxy -> TLS -> HTTP/1.1 or HTTP/2
//! dials     connections made, counted by the name of who makes them
//! lane      plain HTTP/1.1 on the threads that scrape, without any of that
//! room      where a body is read into
//! body      decoded as it arrives, never above the limit
//! ```
//!
//! The same client serves scrapes, discovery, remote storage and notifications. It runs on a shard
//! or on the control thread, wherever its future is polled. The caller gives the deadline, by
//! dropping the future, and the buffer.
//!
//! Error texts are Go's, because users know them from `lastError`.
//!
//! Source: Go `net/http` (`Client.do`), prometheus/common `config/http_config.go`.

mod body;
mod connect;
pub mod dials;
mod framing;
mod lane;
mod oauth2;
mod options;
mod proxy;
mod room;
#[cfg(test)]
mod tests;

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderName, LOCATION};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use hyper::body::{Body as _, Incoming};

use super::Body;
use super::place::is_tokio;
use super::url::{Url, User};
use body::Sink;
use connect::{Connection, go_error, is_other_host, key};
use lane::{Fetched, Lane};
pub use options::ClientOptions;
use options::{Material, SENSITIVE, basic_authorization};
pub use room::Room;

/// What hearth calls itself.
pub const AGENT: &str = concat!("hearth/", env!("CARGO_PKG_VERSION"));

/// Go's limit.
const REQUEST_COUNT_MAX: usize = 10;

/// A client that keeps its connection as long as the server does.
pub struct Client {
    options: Arc<ClientOptions>,
    connection: Option<Connection>,
    /// A head has arrived and its body is being read.
    incoming: Option<Incoming>,
    lane: Lane,
    /// The lane led to a redirect: not tried again.
    is_redirected: bool,
}

/// What to ask for.
pub struct Ask<'a> {
    pub method: Method,
    pub url: &'a Url,
    /// Beside those of the configuration.
    pub headers: &'a HeaderMap,
    pub body: Bytes,
    /// Path of a socket in the file system to connect to instead of the URL's host; empty for none.
    pub unix_socket: &'a str,
    /// The decoded body stays below this many bytes.
    pub body_bytes_max: usize,
}

impl<'a> Ask<'a> {
    pub fn get(url: &'a Url, headers: &'a HeaderMap, body_bytes_max: usize) -> Ask<'a> {
        let (method, body) = (Method::GET, Bytes::new());
        Ask { method, url, headers, body, unix_socket: "", body_bytes_max }
    }

    pub fn post(
        url: &'a Url,
        headers: &'a HeaderMap,
        body: impl Into<Bytes>,
        body_bytes_max: usize,
    ) -> Ask<'a> {
        Ask { method: Method::POST, body: body.into(), ..Ask::get(url, headers, body_bytes_max) }
    }
}

/// The head of an answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    /// `404 Not Found`, with the server's own reason where it differs.
    pub status_line: String,
    pub headers: HeaderMap,
}

impl Answer {
    /// A header's text; empty where there is none.
    pub fn header(&self, name: HeaderName) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum FetchError {
    /// No answer: connect, send or read failed. In Go's words.
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
    pub fn new(options: Arc<ClientOptions>) -> Client {
        let (lane, is_redirected) = Default::default();
        Client { options, connection: None, incoming: None, lane, is_redirected }
    }

    /// Fetches into `room` (cleared first); returns the content type. Any status but 200 is an
    /// error.
    ///
    /// Dropping the future in the middle of a fetch loses the connection with it.
    pub async fn get(&mut self, ask: &Ask<'_>, room: &mut Room) -> Result<String, FetchError> {
        room.clear();
        if self.has_lane(ask) {
            match self.get_by_lane(ask, room).await? {
                Fetched::Page(content_type) => return Ok(content_type),
                Fetched::Redirect => self.is_redirected = true,
            }
        }
        let answer = self.open(ask).await?;
        if answer.status != StatusCode::OK {
            self.leave_body();
            return Err(FetchError::Status(answer.status_line));
        }
        let mut body = room.take_decoded();
        self.read(&answer, ask.body_bytes_max, &mut body).await?;
        room.set_decoded(body);
        Ok(answer.header(CONTENT_TYPE).to_owned())
    }

    /// Whether a request is of the plain kind that the lane serves.
    fn has_lane(&self, ask: &Ask<'_>) -> bool {
        !self.is_redirected
            && ask.url.scheme == "http"
            && ask.url.user.is_none()
            && ask.unix_socket.is_empty()
            && self.options.proxies.of(ask.url).is_none()
            && is_tokio()
    }

    async fn get_by_lane(&mut self, ask: &Ask<'_>, room: &mut Room) -> Result<Fetched, FetchError> {
        let fail = |why: String| FetchError::Transport(go_fail(&ask.method, ask.url, &why));
        let material = self.options.material().await.map_err(fail)?;
        let mut credentials = HeaderMap::new();
        let authorization = self.options.authorization(&material).await;
        if let Some(value) = authorization.map_err(fail)? {
            credentials.insert(AUTHORIZATION, value);
        }
        let headers = [ask.headers, &material.headers, &credentials];
        let dials = self.options.dials();
        self.lane.get(ask.url, &headers, ask.body_bytes_max, dials, room).await
    }

    /// Asks, and takes an answer of any status with its body.
    pub async fn send(&mut self, ask: &Ask<'_>, body: &mut Vec<u8>) -> Result<Answer, FetchError> {
        body.clear();
        let answer = self.open(ask).await?;
        self.read(&answer, ask.body_bytes_max, body).await?;
        Ok(answer)
    }

    /// Asks; the body is then taken by [`Client::chunk`], or left.
    pub async fn open(&mut self, ask: &Ask<'_>) -> Result<Answer, FetchError> {
        self.leave_body();
        let options = self.options.clone();
        let fail = |url: &Url, why: &str| FetchError::Transport(go_fail(&ask.method, url, why));
        let material = options.material().await.map_err(|why| fail(ask.url, &why))?;
        let mut request = Request {
            method: ask.method.clone(),
            url: ask.url.clone(),
            headers: ask.headers.clone(),
            body: ask.body.clone(),
            unix_socket: ask.unix_socket,
        };
        for (name, value) in &material.headers {
            request.headers.append(name, value.clone());
        }
        if !request.headers.contains_key(AUTHORIZATION) {
            let authorization = options.authorization(&material).await;
            if let Some(value) = authorization.map_err(|why| fail(ask.url, &why))? {
                request.headers.insert(AUTHORIZATION, value);
            }
        }
        let mut led_to = String::new();
        for _ in 0..REQUEST_COUNT_MAX {
            let answered = self.exchange(&request, &material).await;
            let response = answered.map_err(|why| fail(&request.url, &why))?;
            let location = options.follows_redirects().then(|| redirect(&response)).flatten();
            let status_line = status_line(&response);
            let (head, incoming) = response.into_parts();
            self.incoming = Some(incoming);
            let Some(location) = location else {
                return Ok(Answer { status: head.status, status_line, headers: head.headers });
            };
            self.leave_body();
            let followed = request.follow(ask.url, &location, head.status);
            followed.map_err(|why| {
                let why = format!("failed to parse Location header {location:?}: {why}");
                fail(&request.url, &why)
            })?;
            led_to = location;
        }
        // Told is the place as the last answer named it.
        let why = go_fail_at(&ask.method, &led_to, "stopped after 10 redirects");
        Err(FetchError::Transport(why))
    }

    /// The next piece of the body that [`Client::open`] left, as it was sent; none at its end.
    pub async fn chunk(&mut self) -> Option<Result<Bytes, FetchError>> {
        loop {
            let incoming = self.incoming.as_mut()?;
            let connection = &mut self.connection;
            let frame = poll_fn(|cx| {
                if let Some(connection) = connection {
                    connection.drive(cx);
                }
                Pin::new(&mut *incoming).poll_frame(cx)
            });
            match frame.await {
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Some(Ok(bytes));
                    }
                }
                Some(Err(error)) => {
                    self.connection = None;
                    self.incoming = None;
                    return Some(Err(FetchError::Transport(go_error(&error))));
                }
                None => {
                    self.incoming = None;
                    return None;
                }
            }
        }
    }

    /// Gives the connection up after a request of `url` that was dropped at its deadline; returns
    /// what Go would have said.
    pub fn timed_out(&mut self, method: &Method, url: &Url) -> String {
        const EXCEEDED: &str = "context deadline exceeded";
        self.connection = None;
        self.lane.close();
        let has_head = std::mem::take(&mut self.lane.has_head) || self.incoming.take().is_some();
        if has_head { EXCEEDED.to_owned() } else { go_fail(method, url, EXCEEDED) }
    }

    async fn read(
        &mut self,
        answer: &Answer,
        limit: usize,
        body: &mut Vec<u8>,
    ) -> Result<(), FetchError> {
        let encoding = answer.headers.get(CONTENT_ENCODING).map_or(&b""[..], HeaderValue::as_bytes);
        let mut sink = Sink::new(encoding, body, limit);
        while let Some(bytes) = self.chunk().await {
            if let Err(error) = bytes.and_then(|bytes| sink.write(&bytes)) {
                self.connection = None;
                self.incoming = None;
                return Err(error);
            }
        }
        sink.finish()
    }

    /// Leaves a body unread, and with it the connection.
    fn leave_body(&mut self) {
        if self.incoming.take().is_some_and(|body| !body.is_end_stream()) {
            self.connection = None;
        }
    }

    /// Sends one request; a kept connection that turns out to be closed is replaced once.
    async fn exchange(
        &mut self,
        request: &Request<'_>,
        material: &Material,
    ) -> Result<http::Response<Incoming>, String> {
        let tls = match request.url.scheme.as_str() {
            "http" => None,
            "https" => Some(self.options.tls(material)?),
            scheme => return Err(format!("unsupported protocol scheme {scheme:?}")),
        };
        let key = key(&request.url, request.unix_socket);
        let is_same_tls = |kept: &Connection| match (&kept.tls, &tls) {
            (Some(kept), Some(tls)) => Arc::ptr_eq(kept, tls),
            (None, None) => true,
            _ => false,
        };
        let kept = self.connection.take().filter(|kept| kept.key == key && is_same_tls(kept));
        if let Some(mut kept) = kept
            && let Ok(response) = kept.send(request.to_http(&kept)).await
        {
            self.connection = Some(kept);
            return Ok(response);
        }
        let mut fresh = Connection::open(key, &request.url, &self.options, tls).await?;
        let response = fresh.send(request.to_http(&fresh)).await?;
        self.connection = Some(fresh);
        Ok(response)
    }
}

/// One request of those that redirects make of an ask.
struct Request<'a> {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Bytes,
    unix_socket: &'a str,
}

impl Request<'_> {
    fn to_http(&self, connection: &Connection) -> http::Request<Body> {
        let mut request = http::Request::new(Body::from(self.body.clone()));
        let whole = connection.is_http2() || connection.through_proxy;
        let target = if whole { self.url.without_user() } else { self.url.path_and_query() };
        *request.uri_mut() = target.parse().unwrap_or_else(|_| http::Uri::from_static("/"));
        *request.method_mut() = self.method.clone();
        *request.headers_mut() = self.headers.clone();
        if let Some(authorization) = self.url.user.as_ref().and_then(user_authorization) {
            // Those of the configuration win.
            request.headers_mut().entry(AUTHORIZATION).or_insert(authorization);
        }
        if connection.is_http2() {
            return request;
        }
        if let Ok(host) = HeaderValue::from_str(&self.url.authority) {
            request.headers_mut().entry(HOST).or_insert(host);
        }
        if let Some(authorization) = &connection.proxy_authorization {
            request.headers_mut().insert("proxy-authorization", authorization.clone());
        }
        request
    }

    /// Becomes the request that a redirect asks for.
    fn follow(&mut self, origin: &Url, location: &str, status: StatusCode) -> Result<(), String> {
        self.url = self.url.join(location)?;
        // Once away from the host that was asked for, credentials do not come back.
        if is_other_host(origin, &self.url) {
            for name in SENSITIVE {
                self.headers.remove(name);
            }
        }
        let is_replayed = matches!(status.as_u16(), 307 | 308);
        if !is_replayed && self.method != Method::GET && self.method != Method::HEAD {
            self.method = Method::GET;
            self.body = Bytes::new();
            self.headers.remove(CONTENT_TYPE);
            self.headers.remove(CONTENT_ENCODING);
        }
        Ok(())
    }
}

/// How the user of a URL makes itself known.
fn user_authorization(user: &User) -> Option<HeaderValue> {
    let (name, password) = user.credentials();
    let mut value = HeaderValue::from_str(&basic_authorization(&name, &password)).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Where a redirect that Go's client follows leads.
fn redirect(response: &http::Response<Incoming>) -> Option<String> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    response.headers().get(LOCATION)?.to_str().ok().map(str::to_owned)
}

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
fn go_fail(method: &Method, url: &Url, why: &str) -> String {
    go_fail_at(method, &url.to_string(), why)
}

fn go_fail_at(method: &Method, place: &str, why: &str) -> String {
    let method = method.as_str();
    let verb = format!("{}{}", &method[..1], method[1..].to_ascii_lowercase());
    format!("{verb} {place:?}: {why}")
}
