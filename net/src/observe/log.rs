//! Log lines as Prometheus writes them: logfmt or JSON, one line a call, to standard error.
//!
//! ```text
//! time=2026-01-02T03:04:05.678Z level=INFO source=main.rs:42 msg="Server is ready" shards=4
//! ```
//!
//! A line that is not wanted costs one load of an atomic. A line that is written goes out in one
//! call, so that lines of several cores never mix. No thread, no queue: what is said is said.
//!
//! Source: Go `log/slog` `TextHandler` and `JSONHandler`; prometheus/common `promslog`.

use std::fmt::{Display, Write as _};
use std::io::Write as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::time::Instant;

use crate::wire::quote::quoted;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

impl Level {
    /// Reads the value of `--log.level`; the error is Prometheus's text.
    pub fn from_text(text: &str) -> Result<Level, String> {
        match text.to_lowercase().as_str() {
            "debug" => Ok(Level::Debug),
            "info" => Ok(Level::Info),
            "warn" => Ok(Level::Warn),
            "error" => Ok(Level::Error),
            _ => Err(format!("unrecognized log level {text}")),
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Level::Debug => "DEBUG",
            Level::Info => "INFO",
            Level::Warn => "WARN",
            Level::Error => "ERROR",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Logfmt,
    Json,
}

impl Format {
    /// Reads the value of `--log.format`; the error is Prometheus's text.
    pub fn from_text(text: &str) -> Result<Format, String> {
        match text {
            "logfmt" => Ok(Format::Logfmt),
            "json" => Ok(Format::Json),
            _ => Err(format!("unrecognized log format {text}")),
        }
    }
}

static LEVEL: AtomicU8 = AtomicU8::new(Level::Info as u8);
static JSON: AtomicBool = AtomicBool::new(false);

/// Sets what is written and how, for the whole process.
pub fn configure(level: Level, format: Format) {
    LEVEL.store(level as u8, Ordering::Relaxed);
    JSON.store(format == Format::Json, Ordering::Relaxed);
}

pub fn is_enabled(level: Level) -> bool {
    level as u8 >= LEVEL.load(Ordering::Relaxed)
}

/// Writes one line. Use the macros: they name the place.
pub fn write(level: Level, file: &str, line: u32, message: &str, fields: &[(&str, &dyn Display)]) {
    let format = if JSON.load(Ordering::Relaxed) { Format::Json } else { Format::Logfmt };
    let time = jiff::Timestamp::now();
    let mut out = String::with_capacity(256);
    let source = Source { file, line };
    render(&mut out, format, &format!("{time:.3}"), level, source, message, fields);
    // Nobody is left to hear that standard error is closed.
    let _ = std::io::stderr().lock().write_all(out.as_bytes());
}

struct Source<'a> {
    file: &'a str,
    line: u32,
}

fn render(
    out: &mut String,
    format: Format,
    time: &str,
    level: Level,
    source: Source<'_>,
    message: &str,
    fields: &[(&str, &dyn Display)],
) {
    let file = source.file.rsplit('/').next().unwrap_or(source.file);
    let place = format!("{file}:{}", source.line);
    let head: [(&str, &dyn Display); 4] =
        [("time", &time), ("level", &level.as_str()), ("source", &place), ("msg", &message)];
    if format == Format::Json {
        out.push('{');
    }
    for (index, (key, value)) in head.iter().chain(fields).enumerate() {
        let value = value.to_string();
        match format {
            Format::Logfmt => {
                let space = if index == 0 { "" } else { " " };
                // A String takes any text.
                let _ = write!(out, "{space}{}={}", logfmt_text(key), logfmt_text(&value));
            }
            Format::Json => {
                out.push_str(if index == 0 { "" } else { "," });
                push_json(out, key);
                out.push(':');
                push_json(out, &value);
            }
        }
    }
    out.push_str(if format == Format::Json { "}\n" } else { "\n" });
}

/// Quoted if a reader could not tell where it ends.
fn logfmt_text(text: &str) -> String {
    let bare = |c: char| match c {
        ' ' | '=' | '"' => false,
        c => !c.is_control() && !c.is_whitespace(),
    };
    if !text.is_empty() && text.chars().all(bare) {
        text.to_owned()
    } else {
        quoted(text.as_bytes())
    }
}

fn push_json(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x20 || matches!(c, '\u{2028}' | '\u{2029}') => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Least time between two lines of one limited site.
const LIMITED_INTERVAL_MS: i64 = 60_000;

/// Keeps one place of the code from flooding the log; made by [`log_limited!`].
pub struct Site {
    /// When the next line may be written; process time, so that 0 is the start.
    next_ms: AtomicI64,
    suppressed_count: AtomicU64,
}

impl Site {
    #[allow(clippy::new_without_default)] // Made in a static, where only a const fn may stand.
    pub const fn new() -> Site {
        Site { next_ms: AtomicI64::new(0), suppressed_count: AtomicU64::new(0) }
    }

    /// The number of lines kept back since the last one if a line may be written at `now_ms`.
    pub fn admit(&self, now_ms: i64) -> Option<u64> {
        let next_ms = self.next_ms.load(Ordering::Relaxed);
        let until_ms = now_ms + LIMITED_INTERVAL_MS;
        let exchange = |next_ms| {
            let order = Ordering::Relaxed;
            self.next_ms.compare_exchange(next_ms, until_ms, order, order).is_ok()
        };
        if now_ms >= next_ms && exchange(next_ms) {
            return Some(self.suppressed_count.swap(0, Ordering::Relaxed));
        }
        self.suppressed_count.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// [`Site::admit`] now.
    pub fn admit_now(&self) -> Option<u64> {
        static START: OnceLock<Instant> = OnceLock::new();
        self.admit(START.get_or_init(Instant::now).elapsed().as_millis() as i64)
    }
}

/// Writes a line of the level given: `log_at!(Level::Info, "message", "key" = value)`.
#[macro_export]
macro_rules! log_at {
    ($level:expr, $message:expr $(, $key:literal = $value:expr)* $(,)?) => {
        if $crate::observe::log::is_enabled($level) {
            $crate::observe::log::write(
                $level, file!(), line!(), &*$message, &[$(($key, &$value)),*],
            );
        }
    };
}

#[macro_export]
macro_rules! log_debug {
    ($($arguments:tt)*) => { $crate::log_at!($crate::observe::log::Level::Debug, $($arguments)*) };
}

#[macro_export]
macro_rules! log_info {
    ($($arguments:tt)*) => { $crate::log_at!($crate::observe::log::Level::Info, $($arguments)*) };
}

#[macro_export]
macro_rules! log_warn {
    ($($arguments:tt)*) => { $crate::log_at!($crate::observe::log::Level::Warn, $($arguments)*) };
}

#[macro_export]
macro_rules! log_error {
    ($($arguments:tt)*) => { $crate::log_at!($crate::observe::log::Level::Error, $($arguments)*) };
}

/// As [`log_at!`], at most one line a minute from this place; `suppressed` counts the others.
#[macro_export]
macro_rules! log_limited {
    ($level:expr, $message:expr $(, $key:literal = $value:expr)* $(,)?) => {{
        static SITE: $crate::observe::log::Site = $crate::observe::log::Site::new();
        if $crate::observe::log::is_enabled($level)
            && let Some(suppressed) = SITE.admit_now()
        {
            $crate::log_at!($level, $message $(, $key = $value)*, "suppressed" = suppressed);
        }
    }};
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(format: Format, message: &str, fields: &[(&str, &dyn Display)], expected: &str) {
        let mut out = String::new();
        let source = Source { file: "net/src/main.rs", line: 7 };
        render(&mut out, format, "2026-01-02T03:04:05.678Z", Level::Warn, source, message, fields);
        assert_eq!(out, format!("{expected}\n"));
    }

    #[test]
    fn lines_read_as_prometheus_writes_them() {
        let head = "time=2026-01-02T03:04:05.678Z level=WARN source=main.rs:7";
        check(Format::Logfmt, "ready", &[], &format!("{head} msg=ready"));
        check(
            Format::Logfmt,
            "not ready",
            &[("err", &"a \"b\"\n"), ("n", &5), ("path", &"c:\\x"), ("none", &"")],
            &format!(r#"{head} msg="not ready" err="a \"b\"\n" n=5 path=c:\x none="""#),
        );
        check(
            Format::Json,
            "it's",
            &[("err", &"a\t\"b\"\u{1}")],
            "{\"time\":\"2026-01-02T03:04:05.678Z\",\"level\":\"WARN\",\"source\":\"main.rs:7\",\
             \"msg\":\"it's\",\"err\":\"a\\t\\\"b\\\"\\u0001\"}",
        );
    }

    #[test]
    fn a_site_speaks_once_a_minute() {
        let site = Site::new();
        assert_eq!(site.admit(5), Some(0));
        assert_eq!(site.admit(6), None);
        assert_eq!(site.admit(60_004), None);
        assert_eq!(site.admit(60_005), Some(2));
        assert_eq!(site.admit(60_006), None);
    }

    #[test]
    fn macros_take_messages_and_fields() {
        let path = String::from("x");
        log_debug!("hidden by default", "path" = path);
        log_limited!(Level::Debug, format!("{path} hidden"), "n" = 1, "path" = path);
        assert!(is_enabled(Level::Error));
    }
}
