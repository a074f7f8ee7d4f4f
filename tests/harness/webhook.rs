//! A receiver of notices on loopback: an Alertmanager of our own, or where a real one's webhooks go.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longest that an expected notice may take.
const WITHIN: Duration = Duration::from_secs(120);

/// What was posted.
#[derive(Clone, Debug)]
pub struct Posted {
    pub path: String,
    pub body: Value,
}

/// Answers 200 to everything; its thread lives as long as the process.
pub struct Webhook {
    pub address: SocketAddr,
    posted: Arc<Mutex<Vec<Posted>>>,
}

impl Webhook {
    pub fn start() -> Webhook {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
        let address = listener.local_addr().expect("a bound socket has an address");
        let posted = Arc::new(Mutex::new(Vec::new()));
        let log = posted.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let log = log.clone();
                std::thread::spawn(move || serve(stream, &log));
            }
        });
        Webhook { address, posted }
    }

    /// Everything posted to `path` so far.
    pub fn posted(&self, path: &str) -> Vec<Value> {
        let posted = self.posted.lock().expect("no thread panics with it");
        posted.iter().filter(|one| one.path == path).map(|one| one.body.clone()).collect()
    }

    /// Waits until something posted to `path` satisfies `wanted`; returns it.
    #[track_caller]
    pub fn wait(&self, what: &str, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + WITHIN;
        loop {
            let posted = self.posted(path);
            if let Some(found) = posted.iter().find(|body| wanted(body)) {
                return found.clone();
            }
            assert!(Instant::now() < deadline, "no {what} at {path}: {posted:#?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// One connection, request by request.
fn serve(stream: TcpStream, log: &Mutex<Vec<Posted>>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut writer = stream;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
        let path = line.split(' ').nth(1)?.to_owned();
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).ok()?;
            let header = header.trim_end().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        log.lock().ok()?.push(Posted { path, body });
        writer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").ok()?;
    }
}
