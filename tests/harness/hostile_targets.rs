//! Targets that mean harm or are broken, to be scraped: one server, a behaviour a path.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// What a target does, by its path, and what its `lastError` must then contain. None: it is up.
pub const BEHAVIOURS: &[(&str, Option<&str>)] = &[
    ("good", None),
    ("endless-body", Some("body size limit exceeded")),
    ("gzip-bomb", Some("body size limit exceeded")),
    ("broken-gzip", Some("gzip: ")),
    ("cut-body", Some("EOF")),
    ("slow-body", Some("context deadline exceeded")),
    ("silence", Some("context deadline exceeded")),
    ("endless-headers", Some("Get \"")),
    ("many-headers", Some("Get \"")),
    ("no-http", Some("Get \"")),
    ("hangs-up", Some("EOF")),
    ("redirect-loop", Some("stopped after 10 redirects")),
    ("redirect-nowhere", Some("unsupported protocol scheme")),
    ("status", Some("server returned HTTP status 500")),
    ("html", Some("received unsupported Content-Type \"text/html\"")),
    ("no-type", Some("non-compliant scrape target sending blank Content-Type")),
    ("garbage", Some("expected")),
    ("bad-utf8", Some("invalid UTF-8")),
    ("huge-label", Some("label_value_length_limit")),
    ("many-labels", Some("label_limit exceeded")),
    ("many-series", Some("sample limit exceeded")),
    ("twice-a-label", Some("not unique")),
    ("nameless", Some("metric name not set")),
    ("bad-protobuf", Some("clientpb: ")),
    ("future", None),
    ("duplicates", None),
];

/// Serves every behaviour; a thread a connection, all of which end with the test's process.
pub fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(stream));
        }
    });
    address
}

/// Answers one request and closes. A client that goes away ends it, too.
fn answer(mut stream: TcpStream) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head);
    let path = head.split(' ').nth(1)?.trim_start_matches('/').to_owned();
    behave(&path, &mut stream).ok()
}

fn behave(path: &str, stream: &mut TcpStream) -> std::io::Result<()> {
    let text = |extra: &str| {
        format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/plain\r\n{extra}\r\n")
    };
    let mut page = |body: &[u8]| {
        let head = text(&format!("Content-Length: {}\r\n", body.len()));
        stream.write_all(&[head.as_bytes(), body].concat())
    };
    match path {
        "good" => page(b"good_metric 1\n"),
        "garbage" => page(b"{{{{}}}} ???\n"),
        "bad-utf8" => page(b"a{b=\"\xff\xfe\"} 1\n"),
        "huge-label" => page(format!("a{{b=\"{}\"}} 1\n", "x".repeat(1 << 20)).as_bytes()),
        "many-labels" => {
            let labels: Vec<String> = (0..1000).map(|index| format!("l{index}=\"v\"")).collect();
            page(format!("a{{{}}} 1\n", labels.join(",")).as_bytes())
        }
        "many-series" => {
            let lines: String =
                (0..50_000).map(|index| format!("a{{i=\"{index}\"}} 1\n")).collect();
            page(lines.as_bytes())
        }
        "twice-a-label" => page(b"a{b=\"1\",b=\"2\"} 1\n"),
        "nameless" => page(b"{} 1\n"),
        "future" => page(b"a 1 99999999999999\n"),
        "duplicates" => page(b"a 1\na 2\na 3\n"),
        "silence" => {
            // Until the client gives up.
            stream.read(&mut [0]).map(drop)
        }
        "hangs-up" => Ok(()),
        "no-http" => stream.write_all(b"SSH-2.0-OpenSSH_9.6\r\n"),
        "status" => stream.write_all(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"),
        "html" => stream.write_all(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nup",
        ),
        "no-type" => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nup"),
        "bad-protobuf" => stream.write_all(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.google.protobuf; \
              proto=io.prometheus.client.MetricFamily; encoding=delimited\r\nContent-Length: 5\r\n\
              \r\n\xff\xff\xff\xff\x0f",
        ),
        "redirect-loop" => stream.write_all(
            b"HTTP/1.1 302 Found\r\nLocation: /redirect-loop\r\nConnection: close\r\n\
              Content-Length: 0\r\n\r\n",
        ),
        "redirect-nowhere" => stream
            .write_all(b"HTTP/1.1 302 Found\r\nLocation: gopher://x/\r\nContent-Length: 0\r\n\r\n"),
        "cut-body" => {
            stream.write_all(text("Content-Length: 1000\r\n").as_bytes())?;
            stream.write_all(b"a 1\n")
        }
        "slow-body" => {
            stream.write_all(text("Content-Length: 1000\r\n").as_bytes())?;
            stream.set_read_timeout(Some(Duration::from_millis(20)))?;
            loop {
                stream.write_all(b"#")?;
                // Serves as a pause; ends when the client went away.
                if matches!(stream.read(&mut [0]), Ok(0)) {
                    return Ok(());
                }
            }
        }
        "endless-body" => {
            stream.write_all(text("").as_bytes())?;
            let lines = b"# a comment that never ends\n".repeat(1000);
            loop {
                stream.write_all(&lines)?;
            }
        }
        "broken-gzip" => {
            stream.write_all(text("Content-Encoding: gzip\r\nContent-Length: 9\r\n").as_bytes())?;
            stream.write_all(b"not gzip!")
        }
        "gzip-bomb" => {
            stream.write_all(text("Content-Encoding: gzip\r\n").as_bytes())?;
            stream.write_all(GZIP_HEAD)?;
            loop {
                stream.write_all(&GZIP_ZEROES.repeat(100))?;
            }
        }
        "endless-headers" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n")?;
            loop {
                stream.write_all(&b"X-Header: x\r\n".repeat(1000))?;
            }
        }
        "many-headers" => {
            stream.write_all(b"HTTP/1.1 200 OK\r\n")?;
            stream.write_all(&b"X: y\r\n".repeat(5000))?;
            stream.write_all(b"\r\n")
        }
        _ => Ok(()),
    }
}

/// The head of a gzip stream.
const GZIP_HEAD: &[u8] = &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];

/// A stored block of 65,535 zeroes: harmless in size, endless in number.
static GZIP_ZEROES: std::sync::LazyLock<Vec<u8>> =
    std::sync::LazyLock::new(|| [&[0, 0xff, 0xff, 0, 0][..], &[0; 65_535]].concat());
