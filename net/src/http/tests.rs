//! Server and client against each other on one executor.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use shards::runtime::{self, Class, TcpListener};

use super::client::{Ask, Client, ClientOptions};
use super::server::{ServerOptions, Service, serve};
use super::url::Url;
use super::{Body, Pull, Request, Response, gzip, text};

#[derive(Default)]
struct Echo {
    panics: Cell<u32>,
}

/// `count` lines, one a pull.
struct Lines {
    count: u32,
}

impl Pull for Lines {
    fn pull(&mut self, out: &mut Vec<u8>) -> bool {
        self.count -= 1;
        out.extend_from_slice(b"a line of some length\n");
        self.count > 0
    }
}

impl Service for Echo {
    async fn serve(&self, mut request: Request) -> Response {
        let headers = request.head.headers.clone();
        let response = match request.path() {
            "/panic" => panic!("as asked"),
            "/missing" => text(StatusCode::NOT_FOUND, "no"),
            "/lines" => Response::new(Body::Pulled(Box::new(Lines { count: 50_000 }))),
            "/away" => {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::FOUND;
                let to = HeaderValue::from_static("/echo?n=redirected");
                response.headers_mut().insert(header::LOCATION, to);
                response
            }
            _ => {
                let form = request.form().await.unwrap();
                text(StatusCode::OK, format!("hello {}", form.get("n")))
            }
        };
        gzip::compress(&headers, response)
    }

    fn is_health(&self, path: &str) -> bool {
        path == "/health"
    }

    fn panicked(&self) {
        self.panics.set(self.panics.get() + 1);
    }
}

/// Starts a server with room for `connection_count_max`, runs `client` against it and stops.
fn with_server<F: Future<Output = ()> + 'static>(
    connection_count_max: usize,
    client: impl FnOnce(String, Rc<Echo>) -> F + Send + 'static,
) {
    let ran = runtime::run(move || async move {
        let listener = TcpListener::bind_reuseport("127.0.0.1:0".parse().unwrap()).unwrap();
        let base = format!("http://{}", listener.local_addr());
        let echo = Rc::new(Echo::default());
        let options = ServerOptions {
            read_timeout: Duration::from_secs(60),
            connection_count_max,
            connections: Arc::new(AtomicUsize::new(0)),
        };
        let (stop, stopping) = async_channel::bounded(1);
        let serving = serve(listener, echo.clone(), options, stopping);
        let server = runtime::spawn(Class::Request, serving);
        client(base, echo).await;
        drop(stop);
        server.await;
    });
    ran.unwrap();
}

async fn get(client: &mut Client, url: &str, limit: usize) -> Result<String, String> {
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    let url = Url::parse(url).unwrap();
    let mut body = vec![];
    client
        .get(&Ask::get(&url, &headers, limit), &mut body)
        .await
        .map_err(|error| error.to_string())?;
    Ok(String::from_utf8(body).unwrap())
}

#[test]
fn requests_on_one_connection_are_answered_in_turn() {
    with_server(8, |base, echo| async move {
        let mut client = Client::new(ClientOptions::plain());
        let ask = |path: &str| format!("{base}{path}");
        for _ in 0..3 {
            let hello = get(&mut client, &ask("/echo?n=a%20b"), 1000).await;
            assert_eq!(hello, Ok("hello a b".into()));
        }
        let redirected = get(&mut client, &ask("/away"), 1000).await;
        assert_eq!(redirected, Ok("hello redirected".into()));
        let missing = get(&mut client, &ask("/missing"), 1000).await;
        assert_eq!(missing, Err("server returned HTTP status 404 Not Found".into()));
        let panicked = get(&mut client, &ask("/panic"), 1000).await;
        assert_eq!(panicked, Err("server returned HTTP status 500 Internal Server Error".into()));
        assert_eq!(echo.panics.get(), 1);
        let lines = get(&mut client, &ask("/lines"), 10 << 20).await.unwrap();
        assert_eq!(lines.lines().count(), 50_000);
        let bounded = get(&mut client, &ask("/lines"), 1 << 20).await;
        assert_eq!(bounded, Err("body size limit exceeded".into()));
    });
}

#[test]
fn a_full_server_still_answers_health_checks() {
    with_server(1, |base, _| async move {
        let mut first = Client::new(ClientOptions::plain());
        assert!(get(&mut first, &format!("{base}/echo"), 1000).await.is_ok());
        let mut second = Client::new(ClientOptions::plain());
        let refused = get(&mut second, &format!("{base}/echo"), 1000).await;
        assert_eq!(refused, Err("server returned HTTP status 503 Service Unavailable".into()));
        let mut third = Client::new(ClientOptions::plain());
        assert!(get(&mut third, &format!("{base}/health"), 1000).await.is_ok());
    });
}

#[test]
fn nobody_there_is_told_in_gos_words() {
    with_server(1, |_, _| async move {
        let refused =
            get(&mut Client::new(ClientOptions::plain()), "http://127.0.0.1:1/metrics", 1000).await;
        let expected = "Get \"http://127.0.0.1:1/metrics\": \
                        dial tcp 127.0.0.1:1: connect: connection refused";
        assert_eq!(refused, Err(expected.into()));
        let unknown =
            get(&mut Client::new(ClientOptions::plain()), "ftp://127.0.0.1:1/m", 1000).await;
        assert!(unknown.unwrap_err().ends_with("unsupported protocol scheme \"ftp\""));
    });
}
