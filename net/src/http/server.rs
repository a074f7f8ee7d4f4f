//! The accept loop of one shard.
//!
//! Every shard runs one on its own socket (`SO_REUSEPORT`), and a connection stays on the shard
//! that accepted it. What one client can hold is bounded:
//!
//! ```text
//! idle ── first byte ──> head ── head complete ──> serving ── answered ──> idle
//! read timeout           HEAD_TIMEOUT              read timeout without any progress
//! ```
//!
//! A connection is encrypted if the web server's file says so, and then speaks HTTP/2 or HTTP/1.1 as
//! it was agreed on.
//!
//! Connections beyond `connection_count_max` get one answer and are closed: health endpoints are
//! still served, everything else gets 503. Beyond [`RESERVED_COUNT`] more they are closed unread.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_channel::Receiver;
use futures_util::FutureExt;
use futures_util::future::{Either, select};
use http::{HeaderValue, StatusCode, header};
use hyper::body::Incoming;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use shards::runtime::{self, Class, TcpListener, TcpStream};

use super::guard::Guard;
use super::place::{BoxStream, Stream};
use super::request_line::RequestLine;
use super::tls::TlsStream;
use super::{Body, Request, Response, text, text_error};
use crate::observe::connections::ListenerStats;

/// Longest head of a request in bytes: request line and headers.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// Most requests beside each other on one connection of HTTP/2.
const STREAM_COUNT_MAX: u32 = 250;

/// Most headers of a request.
const HEADER_COUNT_MAX: usize = 256;

/// Longest time from the first byte of a request to the end of its head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections over the cap that are still answered, so that health checks get through.
const RESERVED_COUNT: usize = 64;

/// How often a connection's age is looked at: the coarseness of the timeouts above.
const TICK: Duration = Duration::from_secs(1);

/// How long requests in flight may take to end when the server stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Pause after a failed accept (out of descriptors, as a rule).
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Answers requests. One value a shard.
pub trait Service: 'static {
    fn serve(&self, request: Request) -> impl Future<Output = Response>;

    /// Whether `path` is answered even when there are too many connections.
    fn is_health(&self, path: &str) -> bool;

    /// A request panicked; it was answered 500.
    fn panicked(&self);
}

#[derive(Clone)]
pub struct ServerOptions {
    /// Longest silence of a client, in a request or between two.
    pub read_timeout: Duration,
    /// Most connections of the process.
    pub connection_count_max: usize,
    /// Connections of the process, over all shards.
    pub connections: Arc<ListenerStats>,
    /// Who may ask.
    pub guard: Arc<Guard>,
}

/// Serves until `stop` is closed; then lets requests in flight end.
pub async fn serve<S: Service>(
    listener: TcpListener,
    service: Rc<S>,
    options: ServerOptions,
    stop: Receiver<()>,
) {
    let open = Rc::new(Cell::new(0usize));
    loop {
        let accepted = {
            let accept = pin!(listener.accept());
            let stopping = pin!(stop.recv());
            match select(accept, stopping).await {
                Either::Left((accepted, _)) => accepted,
                Either::Right(_) => break,
            }
        };
        let Ok(stream) = accepted else {
            runtime::sleep(ACCEPT_RETRY).await;
            continue;
        };
        let Some(place) = Place::take(&options, &open) else { continue };
        let (service, options, stop) = (service.clone(), options.clone(), stop.clone());
        runtime::spawn(Class::Request, connection(stream, service, options, stop, place)).detach();
    }
    drop(listener);
    let give_up = runtime::now() + DRAIN_TIMEOUT;
    while open.get() > 0 && runtime::now() < give_up {
        runtime::sleep(Duration::from_millis(5)).await;
    }
}

/// A connection's place among those of the process; given back when dropped.
struct Place {
    process: Arc<ListenerStats>,
    shard: Rc<Cell<usize>>,
    /// Beyond the cap: one answer, then closed.
    reserved: bool,
}

impl Place {
    fn take(options: &ServerOptions, shard: &Rc<Cell<usize>>) -> Option<Place> {
        let before = options.connections.open.fetch_add(1, Ordering::Relaxed);
        options.connections.accepted.fetch_add(1, Ordering::Relaxed);
        shard.set(shard.get() + 1);
        let reserved = options.connection_count_max <= before;
        let place = Place { process: options.connections.clone(), shard: shard.clone(), reserved };
        (before < options.connection_count_max + RESERVED_COUNT).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.process.open.fetch_sub(1, Ordering::Relaxed);
        self.process.closed.fetch_add(1, Ordering::Relaxed);
        self.shard.set(self.shard.get() - 1);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Idle,
    Head,
    Serving,
}

/// Where a connection stands, shared between its transport, its service and its clock.
struct Progress {
    phase: Cell<Phase>,
    since: Cell<Instant>,
    /// Requests run beside each other, and their heads are frames among others.
    is_http2: bool,
}

impl Progress {
    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.since.set(runtime::now());
    }
}

async fn connection<S: Service>(
    stream: TcpStream,
    service: Rc<S>,
    options: ServerOptions,
    stop: Receiver<()>,
    place: Place,
) {
    let peer = stream.peer_addr();
    // Fails only on a socket that is gone already, which the first read will say.
    let _ = stream.set_nodelay(true);
    let Some(tls) = options.guard.rules().tls.clone() else {
        return exchange(stream, false, peer, service, options, stop, place).await;
    };
    let Ok(tls) = rustls::ServerConnection::new(tls) else { return };
    let stream: BoxStream = Box::new(stream);
    let shaking = TlsStream::handshake(stream, tls.into());
    let Ok(Ok(stream)) = runtime::timeout(HEAD_TIMEOUT, shaking).await else { return };
    let is_http2 = stream.protocol() == Some(b"h2");
    exchange(stream, is_http2, peer, service, options, stop, place).await;
}

/// Answers the requests of one connection.
async fn exchange<S: Service, T: Stream + 'static>(
    stream: T,
    is_http2: bool,
    peer: SocketAddr,
    service: Rc<S>,
    options: ServerOptions,
    stop: Receiver<()>,
    place: Place,
) {
    let (phase, since) = (Cell::new(Phase::Idle), Cell::new(runtime::now()));
    let progress = Rc::new(Progress { phase, since, is_http2 });
    let line = RequestLine::default();
    let transport = Transport { stream, progress: progress.clone(), line };
    let (reserved, guard) = (place.reserved, options.guard.clone());
    let answering = progress.clone();
    let answer = service_fn(move |request: http::Request<Incoming>| {
        answering.enter(Phase::Serving);
        let (service, guard, progress) = (service.clone(), guard.clone(), answering.clone());
        async move {
            let request = Request::new(request, peer);
            let response = answer(&*service, &guard, request, reserved).await;
            progress.enter(Phase::Idle);
            Ok::<_, Infallible>(response)
        }
    });
    if is_http2 {
        let connection = http2::Builder::new(Tasks)
            .max_header_list_size(HEAD_BYTES_MAX as u32)
            .max_concurrent_streams(STREAM_COUNT_MAX)
            .serve_connection(transport, answer);
        let shut =
            |connection: Pin<&mut http2::Connection<_, _, _>>| connection.graceful_shutdown();
        return drive(connection, shut, &progress, &options, &stop).await;
    }
    let connection = http1::Builder::new()
        .max_header_size(HEAD_BYTES_MAX)
        .max_headers(HEADER_COUNT_MAX)
        .header_read_timeout(None)
        .serve_connection(transport, answer);
    let shut = |connection: Pin<&mut http1::Connection<_, _>>| connection.graceful_shutdown();
    drive(connection, shut, &progress, &options, &stop).await;
}

/// Runs a connection to its end, to the end of its time, or to that of the server.
async fn drive<C: Future>(
    connection: C,
    shut: impl Fn(Pin<&mut C>),
    progress: &Progress,
    options: &ServerOptions,
    stop: &Receiver<()>,
) {
    let mut connection = pin!(connection);
    let mut stopping = false;
    loop {
        let tick = pin!(tick_or_stop(stop, stopping));
        match select(connection.as_mut(), tick).await {
            Either::Left(_) => return,
            Either::Right((true, _)) => {
                stopping = true;
                shut(connection.as_mut());
            }
            Either::Right((false, _)) => {
                let age = runtime::now().duration_since(progress.since.get());
                match progress.phase.get() {
                    Phase::Head if age > HEAD_TIMEOUT => return,
                    _ if age > options.read_timeout => return,
                    _ => {}
                }
            }
        }
    }
}

/// Runs what HTTP/2 does beside a connection: its requests.
#[derive(Clone)]
struct Tasks;

impl<F: Future + 'static> hyper::rt::Executor<F> for Tasks {
    fn execute(&self, future: F) {
        runtime::spawn(Class::Request, async move { drop(future.await) }).detach();
    }
}

/// True as soon as the server stops, false after a tick.
async fn tick_or_stop(stop: &Receiver<()>, stopping: bool) -> bool {
    if stopping {
        runtime::sleep(TICK).await;
        return false;
    }
    runtime::timeout(TICK, stop.recv()).await.is_ok()
}

/// The service's answer; 500 when it panicked, 503 on a reserved place.
async fn answer<S: Service>(
    service: &S,
    guard: &Guard,
    request: Request,
    reserved: bool,
) -> Response {
    let rules = guard.rules();
    if let Err(refusal) = guard.admit(&rules, &request.head.headers).await {
        return if reserved { closing(refusal) } else { refusal };
    }
    let mut response = serve_admitted(service, request, reserved).await;
    rules.add_headers(&mut response);
    response
}

async fn serve_admitted<S: Service>(service: &S, request: Request, reserved: bool) -> Response {
    if reserved && !service.is_health(request.path()) {
        let mut response = text_error(StatusCode::SERVICE_UNAVAILABLE, "too many connections");
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        return closing(response);
    }
    let served = AssertUnwindSafe(service.serve(request)).catch_unwind().await;
    let response = served.unwrap_or_else(|_| {
        service.panicked();
        text(StatusCode::INTERNAL_SERVER_ERROR, "internal error: the request panicked\n")
    });
    if reserved { closing(response) } else { response }
}

fn closing(mut response: http::Response<Body>) -> Response {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// The stream, telling the connection's clock of every progress.
struct Transport<T> {
    stream: T,
    progress: Rc<Progress>,
    line: RequestLine,
}

impl<T> Transport<T> {
    fn moved(&self) {
        match self.progress.phase.get() {
            _ if self.progress.is_http2 => self.progress.since.set(runtime::now()),
            Phase::Idle => self.progress.enter(Phase::Head),
            // A head's time runs from its first byte, however many follow.
            Phase::Head => {}
            Phase::Serving => self.progress.since.set(runtime::now()),
        }
    }
}

impl<T: Stream> Read for Transport<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let Transport { stream, progress, line } = &mut *self;
        if progress.phase.get() == Phase::Idle && !progress.is_http2 {
            line.begin();
        }
        let polled = match line.is_behind() {
            true => Read::poll_read(Pin::new(stream), cx, buffer),
            false => line.poll_read(stream, cx, buffer),
        };
        if polled.is_ready() {
            self.moved();
        }
        polled
    }
}

impl<T: Stream> Write for Transport<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Write::poll_write(Pin::new(&mut self.stream), cx, bytes);
        if polled.is_ready() {
            self.progress.since.set(runtime::now());
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Write::poll_flush(Pin::new(&mut self.stream), cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Write::poll_shutdown(Pin::new(&mut self.stream), cx)
    }

    fn is_write_vectored(&self) -> bool {
        Write::is_write_vectored(&self.stream)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Write::poll_write_vectored(Pin::new(&mut self.stream), cx, buffers);
        if polled.is_ready() {
            self.progress.since.set(runtime::now());
        }
        polled
    }
}
