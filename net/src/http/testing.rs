//! A server for tests: on a thread of its own, answering by a function, remembering what was asked.

use std::cell::Cell;
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::Body;
use super::place::{BoxStream, Tokio};
use super::tls::{TlsStream, pem, provider};

/// What was asked, with its body.
pub struct Asked {
    pub method: String,
    /// As the request line has it.
    pub target: String,
    pub headers: http::HeaderMap,
    pub body: Vec<u8>,
    pub version: http::Version,
    pub connection: usize,
}

impl Asked {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or("")
    }
}

pub type Reply = http::Response<Vec<u8>>;

/// A reply of 200 with `body`.
pub fn reply(body: impl Into<Vec<u8>>) -> Reply {
    http::Response::new(body.into())
}

pub fn reply_json(body: impl Into<Vec<u8>>) -> Reply {
    let mut reply = reply(body);
    reply.headers_mut().insert("content-type", "application/json".parse().unwrap());
    reply
}

pub fn reply_status(status: u16, header: (&'static str, &str)) -> Reply {
    let reply = http::Response::builder().status(status).header(header.0, header.1);
    reply.body(vec![]).unwrap()
}

/// Stops when dropped.
pub struct FakeServer {
    /// `127.0.0.1:port`
    pub address: String,
    asked: Arc<Mutex<Vec<String>>>,
    stop: async_channel::Sender<()>,
}

impl FakeServer {
    pub fn http(answer: impl Fn(&Asked) -> Reply + Send + 'static) -> FakeServer {
        FakeServer::start(None, answer)
    }

    pub fn start(
        tls: Option<rustls::ServerConfig>,
        answer: impl Fn(&Asked) -> Reply + Send + 'static,
    ) -> FakeServer {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let accept = move || {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            async move || {
                let stream: BoxStream = Box::new(Tokio(listener.accept().await.unwrap().0));
                stream
            }
        };
        run(address, tls, accept, answer)
    }

    pub fn unix(path: &str, answer: impl Fn(&Asked) -> Reply + Send + 'static) -> FakeServer {
        let listener = std::os::unix::net::UnixListener::bind(path).unwrap();
        listener.set_nonblocking(true).unwrap();
        let accept = move || {
            let listener = tokio::net::UnixListener::from_std(listener).unwrap();
            async move || {
                let stream: BoxStream = Box::new(Tokio(listener.accept().await.unwrap().0));
                stream
            }
        };
        run(path.to_owned(), None, accept, answer)
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// `GET /path` of every request so far.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.stop.close();
    }
}

fn run<A: AsyncFn() -> BoxStream + 'static>(
    address: String,
    tls: Option<rustls::ServerConfig>,
    listen: impl FnOnce() -> A + Send + 'static,
    answer: impl Fn(&Asked) -> Reply + Send + 'static,
) -> FakeServer {
    let (stop, stopped) = async_channel::bounded::<()>(1);
    let asked = Arc::new(Mutex::new(vec![]));
    let log = asked.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let set = tokio::task::LocalSet::new();
        set.block_on(&runtime, async move {
            let accept = listen();
            let answer = Rc::new(answer);
            let tls = tls.map(Arc::new);
            let count = Cell::new(0);
            loop {
                let stream = tokio::select! {
                    stream = accept() => stream,
                    _ = stopped.recv() => return,
                };
                count.set(count.get() + 1);
                let connection = connection(stream, tls.clone(), answer.clone(), log.clone());
                tokio::task::spawn_local(connection(count.get()));
            }
        });
    });
    FakeServer { address, asked, stop }
}

fn connection<H: Fn(&Asked) -> Reply + 'static>(
    mut stream: BoxStream,
    tls: Option<Arc<rustls::ServerConfig>>,
    answer: Rc<H>,
    log: Arc<Mutex<Vec<String>>>,
) -> impl FnOnce(usize) -> std::pin::Pin<Box<dyn Future<Output = ()>>> {
    move |number| {
        Box::pin(async move {
            let mut is_http2 = false;
            if let Some(tls) = tls {
                let tls = rustls::ServerConnection::new(tls).unwrap();
                let Ok(encrypted) = TlsStream::handshake(stream, tls.into()).await else { return };
                is_http2 = encrypted.protocol() == Some(b"h2");
                stream = Box::new(encrypted);
            }
            let service = service_fn(move |request: http::Request<Incoming>| {
                let (answer, log) = (answer.clone(), log.clone());
                async move {
                    let (head, mut incoming) = request.into_parts();
                    let mut body = vec![];
                    while let Some(frame) =
                        std::future::poll_fn(|cx| std::pin::Pin::new(&mut incoming).poll_frame(cx))
                            .await
                    {
                        body.extend_from_slice(&frame.unwrap().into_data().unwrap_or_default());
                    }
                    let asked = Asked {
                        method: head.method.to_string(),
                        target: head.uri.to_string(),
                        headers: head.headers,
                        body,
                        version: head.version,
                        connection: number,
                    };
                    log.lock().unwrap().push(format!("{} {}", asked.method, asked.target));
                    let reply = answer(&asked).map(|body| Body::from(Bytes::from(body)));
                    Ok::<_, Infallible>(reply)
                }
            });
            // Ends in an error when a test's client goes away.
            let _ = if is_http2 {
                http2::Builder::new(Local).serve_connection(stream, service).await
            } else {
                http1::Builder::new().serve_connection(stream, service).await
            };
        })
    }
}

#[derive(Clone)]
struct Local;

impl<F: Future + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(async move { drop(future.await) });
    }
}

/// Certificates made for one test.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// Certificate and key, PEM.
pub struct Issued {
    pub cert: String,
    pub key: String,
}

impl Default for Authority {
    fn default() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "test authority");
        let key = KeyPair::generate().unwrap();
        Authority { issuer: CertifiedIssuer::self_signed(params, key).unwrap() }
    }
}

impl Authority {
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    pub fn issue(&self, name: &str) -> Issued {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        Issued { cert: cert.pem(), key: key.serialize_pem() }
    }
}

/// A server's side with `issued`; `client_ca` demands certificates of clients.
pub fn server_tls(
    issued: &Issued,
    client_ca: Option<&Authority>,
    protocols: &[&str],
) -> rustls::ServerConfig {
    let builder = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(pem::certificates(authority.pem().as_bytes()).unwrap().remove(0)).unwrap();
            let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
                Arc::new(roots),
                provider(),
            );
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let chain = pem::certificates(issued.cert.as_bytes()).unwrap();
    let key = pem::private_key(issued.key.as_bytes()).unwrap();
    let mut config = builder.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

/// Runs a future as the control thread does.
pub fn on_control<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, future)
}
