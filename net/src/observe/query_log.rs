//! The query log: a line of JSON for each query, in the file that `query_log_file` names.
//!
//! Shards hand their lines to one thread, so that a slow disk holds the log and no shard. When the
//! thread is too far behind, lines are left out and a warning counts them. A reload opens the file
//! anew, which is how it is rotated.
//!
//! Source: Prometheus `promql/engine.go` (`exec`), `util/logging/file.go`, `rules/group.go`.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::wire::json::push_text;
use crate::{log_error, log_limited};

use super::log::Level;

/// Lines that wait for the disk.
const WAITING_LINES_MAX: usize = 4096;

/// A query that has ended.
pub struct Record<'a> {
    pub query: &'a str,
    pub start_ms: i64,
    pub end_ms: i64,
    /// Zero of an instant query.
    pub step_ms: i64,
    pub error: Option<&'a str>,
    /// Its statistics, as the API writes them.
    pub stats: &'a [u8],
    pub origin: &'a Origin,
}

/// Who asked.
#[derive(Clone, Debug)]
pub enum Origin {
    Http { client_ip: String, method: String, path: String },
    RuleGroup { file: String, name: String },
}

pub struct QueryLog {
    messages: SyncSender<Message>,
    is_open: AtomicBool,
    failures: Arc<AtomicU64>,
}

enum Message {
    Line(Vec<u8>),
    /// Everything from here on goes there, or nowhere.
    Open(Option<File>),
}

impl QueryLog {
    /// A log without a file. Its thread ends with it.
    pub fn start() -> std::io::Result<QueryLog> {
        let (messages, received) = sync_channel(WAITING_LINES_MAX);
        let failures = Arc::new(AtomicU64::new(0));
        let failed = failures.clone();
        let thread = std::thread::Builder::new().name("query-log".to_owned());
        thread.spawn(move || write(&received, &failed))?;
        Ok(QueryLog { messages, is_open: AtomicBool::new(false), failures })
    }

    /// The file at `path`, to be appended to; none for an empty path. Error: Prometheus's text.
    pub fn file(path: &str) -> Result<Option<File>, String> {
        if path.is_empty() {
            return Ok(None);
        }
        let opened = File::options().append(true).create(true).open(path);
        opened
            .map(Some)
            .map_err(|error| format!("can't create json log file: open {path}: {error}"))
    }

    /// Goes on in another file, or stops. Waits for the lines before it.
    pub fn set_file(&self, file: Option<File>) {
        self.is_open.store(file.is_some(), Ordering::Relaxed);
        // The thread lives as long as the sender.
        let _ = self.messages.send(Message::Open(file));
    }

    pub fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Relaxed)
    }

    /// Lines that did not come to the file since the start.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Never waits: a line that finds no room is left out.
    pub fn record(&self, record: &Record<'_>) {
        if !self.is_open() {
            return;
        }
        let time = format!("{:.3}", jiff::Timestamp::now());
        if self.messages.try_send(Message::Line(render(record, &time))).is_err() {
            let count = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
            log_limited!(
                Level::Warn,
                "The query log is behind, lines were left out",
                "total" = count
            );
        }
    }
}

fn write(messages: &Receiver<Message>, failures: &AtomicU64) {
    let mut file: Option<File> = None;
    while let Ok(message) = messages.recv() {
        match message {
            Message::Open(next) => file = next,
            Message::Line(line) => match file.as_mut().map(|file| file.write_all(&line)) {
                Some(Ok(())) => {}
                failed => {
                    failures.fetch_add(1, Ordering::Relaxed);
                    if let Some(Err(error)) = failed {
                        log_error!("Writing the query log failed, it is closed", "err" = error);
                        file = None;
                    }
                }
            },
        }
    }
}

fn render(record: &Record<'_>, time: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(512 + record.query.len() + record.stats.len());
    let place = format!("{}:{}", file!().rsplit('/').next().unwrap_or_default(), line!());
    let head = format!(
        r#"{{"time":"{time}","level":"INFO","source":"{place}","msg":"promql query logged","#
    );
    out.extend_from_slice(head.as_bytes());
    let params = format!(r#""params":{{"end":"{}","query":"#, date(record.end_ms));
    out.extend_from_slice(params.as_bytes());
    push_text(&mut out, record.query.as_bytes());
    let (start, step_s) = (date(record.start_ms), record.step_ms / 1000);
    out.extend_from_slice(format!(r#","start":"{start}","step":{step_s}}}"#).as_bytes());
    if let Some(error) = record.error {
        out.extend_from_slice(br#","error":"#);
        push_text(&mut out, error.as_bytes());
    }
    out.extend_from_slice(br#","stats":"#);
    out.extend_from_slice(record.stats);
    // There are no spans; Prometheus writes the same zeros when it does not trace.
    out.extend_from_slice(format!(r#","spanID":"{:016}","traceID":"{:032}""#, 0, 0).as_bytes());
    let fields: &[(&str, &str)] = match record.origin {
        Origin::Http { client_ip, method, path } => {
            out.extend_from_slice(br#","httpRequest":"#);
            &[("clientIP", client_ip), ("method", method), ("path", path)]
        }
        Origin::RuleGroup { file, name } => {
            out.extend_from_slice(br#","ruleGroup":"#);
            &[("file", file), ("name", name)]
        }
    };
    for (index, (name, value)) in fields.iter().enumerate() {
        out.push(if index == 0 { b'{' } else { b',' });
        push_text(&mut out, name.as_bytes());
        out.push(b':');
        push_text(&mut out, value.as_bytes());
    }
    out.extend_from_slice(b"}}\n");
    out
}

/// With milliseconds, in UTC; a time beyond the calendar as its number.
fn date(unix_ms: i64) -> String {
    match jiff::Timestamp::from_millisecond(unix_ms) {
        Ok(time) => format!("{time:.3}"),
        Err(_) => unix_ms.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(error: Option<&str>, origin: Origin, expected: &str) {
        let record = Record {
            query: "up{a=\"<b>\"}",
            start_ms: 1_700_000_000_000,
            end_ms: 1_700_000_060_500,
            step_ms: 15_000,
            error,
            stats: b"{}",
            origin: &origin,
        };
        let line = String::from_utf8(render(&record, "T")).unwrap();
        let (head, rest) = line.split_once(r#","msg":"#).unwrap();
        assert!(
            head.starts_with(r#"{"time":"T","level":"INFO","source":"query_log.rs:"#),
            "{head}"
        );
        assert_eq!(rest, expected);
    }

    #[test]
    fn lines_are_prometheuss() {
        let http = Origin::Http {
            client_ip: "127.0.0.1".to_owned(),
            method: "GET".to_owned(),
            path: "/api/v1/query".to_owned(),
        };
        check(
            None,
            http,
            concat!(
                r#""promql query logged","params":{"end":"2023-11-14T22:14:20.500Z","#,
                r#""query":"up{a=\"<b>\"}","start":"2023-11-14T22:13:20.000Z","step":15},"stats":{},"#,
                r#""spanID":"0000000000000000","traceID":"00000000000000000000000000000000","#,
                r#""httpRequest":{"clientIP":"127.0.0.1","method":"GET","path":"/api/v1/query"}}"#,
                "\n"
            ),
        );
        let group = Origin::RuleGroup { file: "a.yml".to_owned(), name: "g".to_owned() };
        check(
            Some("bad"),
            group,
            concat!(
                r#""promql query logged","params":{"end":"2023-11-14T22:14:20.500Z","#,
                r#""query":"up{a=\"<b>\"}","start":"2023-11-14T22:13:20.000Z","step":15},"#,
                r#""error":"bad","stats":{},"#,
                r#""spanID":"0000000000000000","traceID":"00000000000000000000000000000000","#,
                r#""ruleGroup":{"file":"a.yml","name":"g"}}"#,
                "\n"
            ),
        );
    }
}
