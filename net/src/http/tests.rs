//! Server and client against each other on one executor.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use shards::runtime::{self, Class, TcpListener};

use super::client::{Ask, Client, ClientOptions, Room};
use super::guard::{Guard, Rules};
use super::server::{ServerOptions, Service, serve};
use super::testing::{Authority, Issued};
use super::url::Url;
use super::{Body, Pull, Request, Response, gzip, text};
use crate::config::web::WebConfig;
use crate::config::{HttpClientConfig, yaml};

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
            "/version" => text(StatusCode::OK, format!("{:?}", request.head.version)),
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
    with_guard(connection_count_max, Arc::default(), client);
}

fn with_guard<F: Future<Output = ()> + 'static>(
    connection_count_max: usize,
    guard: Arc<Guard>,
    client: impl FnOnce(String, Rc<Echo>) -> F + Send + 'static,
) {
    let ran = runtime::run(move || async move {
        let listener = TcpListener::bind_reuseport("127.0.0.1:0".parse().unwrap()).unwrap();
        let base = format!("http://{}", listener.local_addr());
        let echo = Rc::new(Echo::default());
        let options = ServerOptions {
            guard,
            read_timeout: Duration::from_secs(60),
            connection_count_max,
            connections: Arc::default(),
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
    let mut room = Room::default();
    client
        .get(&Ask::get(&url, &headers, limit), &mut room)
        .await
        .map_err(|error| error.to_string())?;
    Ok(String::from_utf8(room.body().to_vec()).unwrap())
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

fn block(name: &str, pem: &str) -> String {
    let lines: String = pem.trim().lines().map(|line| format!("    {line}\n")).collect();
    format!("  {name}: |\n{lines}")
}

fn rules(issued: &Issued, more: &str) -> Rules {
    let (cert, key) = (block("cert", &issued.cert), block("key", &issued.key));
    let text = format!("tls_server_config:\n{cert}{key}{more}");
    Rules::new(&WebConfig::parse(&text, std::path::Path::new("")).unwrap()).unwrap()
}

/// A client that trusts `authority`, and shows `issued`.
fn client(authority: &Authority, issued: Option<&Issued>) -> Client {
    let mut text =
        format!("tls_config:\n  server_name: a.example\n{}", block("ca", &authority.pem()));
    if let Some(issued) = issued {
        text += &(block("cert", &issued.cert) + &block("key", &issued.key));
    }
    let mut config = HttpClientConfig::default();
    yaml::decode(&text, &mut config).unwrap_or_else(|abort| panic!("{}", abort.message));
    Client::new(ClientOptions::new("test", &config).unwrap())
}

#[test]
fn connections_are_encrypted_as_the_web_servers_file_says() {
    let authority = Authority::default();
    let (first, second) = (authority.issue("a.example"), authority.issue("a.example"));
    let guard = Arc::new(Guard::new(rules(&first, "http_server_config: {http2: true}\n")));
    let held = guard.clone();
    with_guard(8, guard, |base, _| async move {
        let base = base.replace("http:", "https:");
        let (version, lines) = (format!("{base}/version"), format!("{base}/lines"));
        let mut plain = client(&authority, None);
        assert_eq!(get(&mut plain, &version, 1000).await, Ok("HTTP/2.0".into()));
        assert_eq!(get(&mut plain, &lines, 10 << 20).await.unwrap().lines().count(), 50_000);
        // A new file counts for new connections.
        let by_names = "  client_auth_type: RequireAndVerifyClientCert\n  client_allowed_sans: \
                        [b.example]\n";
        let more = format!("{by_names}{}", block("client_ca", &authority.pem()));
        let more = format!("{more}http_server_config: {{http2: false}}\n");
        held.replace(rules(&second, &more));
        let refused = get(&mut client(&authority, None), &version, 1000).await.unwrap_err();
        assert!(refused.contains("certificate required"), "{refused}");
        let other = authority.issue("c.example");
        let refused = get(&mut client(&authority, Some(&other)), &version, 1000).await;
        assert!(refused.is_err(), "{refused:?}");
        let named = authority.issue("b.example");
        let mut named = client(&authority, Some(&named));
        assert_eq!(get(&mut named, &version, 1000).await, Ok("HTTP/1.1".into()));
        let in_clear = base.replace("https:", "http:");
        assert!(get(&mut Client::new(ClientOptions::plain()), &in_clear, 1000).await.is_err());
        held.replace(Rules::default());
        let mut in_clear_client = Client::new(ClientOptions::plain());
        let answered = get(&mut in_clear_client, &format!("{in_clear}/version"), 1000).await;
        assert_eq!(answered, Ok("HTTP/1.1".into()));
    });
}
