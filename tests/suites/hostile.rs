//! Targets that mean harm or are broken: each fails with a clear reason, none holds memory or time,
//! and the good target beside them is scraped as if they were not there.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::{Hearth, Options};

/// Longest that all targets may take to be scraped once.
const WITHIN: Duration = Duration::from_secs(30);

/// Growth of resident memory that the hostile targets may cause together, in bytes.
const GROWTH_BYTES_MAX: u64 = 64 << 20;

/// What a target does, by its path, and what its `lastError` must then contain. None: it is up.
const BEHAVIOURS: &[(&str, Option<&str>)] = &[
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
fn server() -> SocketAddr {
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

fn resident_bytes(process_id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process_id}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("its peak");
    let kilobytes = line.split_whitespace().nth(1).and_then(|word| word.parse::<u64>().ok());
    kilobytes.expect("a number") << 10
}

#[test]
fn hostile_targets_harm_nobody_but_themselves() {
    let address = server();
    let mut config = "global: {scrape_interval: 1s, scrape_timeout: 500ms}\n\
                      scrape_configs:\n"
        .to_owned();
    for (name, _) in BEHAVIOURS {
        config.push_str(&format!(
            "- job_name: {name}\n  metrics_path: /{name}\n  body_size_limit: 4MB\n  \
             sample_limit: 1000\n  label_limit: 50\n  label_value_length_limit: 1000\n  \
             static_configs: [{{targets: ['{address}']}}]\n"
        ));
    }
    let args = vec!["--shards=1".to_owned()];
    let hearth = Hearth::start(Options { config: Some(config), args });
    let before = resident_bytes(hearth.process_id());
    let begun = Instant::now();
    let targets = loop {
        let answer = hearth.get("/api/v1/targets?state=active").json();
        let targets = answer["data"]["activeTargets"].as_array().cloned().unwrap_or_default();
        let is_scraped = |target: &Value| target["health"] != "unknown";
        if targets.len() == BEHAVIOURS.len() && targets.iter().all(is_scraped) {
            break targets;
        }
        assert!(begun.elapsed() < WITHIN, "not scraped: {answer}");
        std::thread::sleep(Duration::from_millis(20));
    };
    let mut problems = vec![];
    for (name, expected) in BEHAVIOURS {
        let target = targets.iter().find(|target| target["scrapePool"] == *name).expect("its job");
        let error = target["lastError"].as_str().unwrap_or_default();
        let health = target["health"].as_str().unwrap_or_default();
        let is_good = match expected {
            None => health == "up" && error.is_empty(),
            Some(expected) => health == "down" && error.contains(expected),
        };
        if !is_good {
            problems.push(format!("{name}: {health} {error}"));
        }
        let duration = target["lastScrapeDuration"].as_f64().unwrap_or(f64::MAX);
        assert!(duration < 5.0, "{name} took {duration} s");
    }
    assert!(problems.is_empty(), "{problems:#?}");
    // The good one, the one in the future, the one with twins.
    hearth.wait_query("sum(up)", |data| data["result"][0]["value"][1] == "3");
    let growth = resident_bytes(hearth.process_id()).saturating_sub(before);
    assert!(growth < GROWTH_BYTES_MAX, "grew by {growth} bytes");
}
