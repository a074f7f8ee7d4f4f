//! The file that `scrape_failure_log_file` names: a line of JSON for each scrape that got no page.
//!
//! Source: Prometheus `scrape/scrape.go` (`setScrapeFailureLogger`), `util/logging/file.go`.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;

use serde_json::json;
use shards::runtime;

#[derive(Clone)]
pub struct FailureLog(Arc<File>);

impl FailureLog {
    /// The file at `path`, to be appended to; none for an empty path. Error: Prometheus's text.
    pub fn open(path: &str) -> Result<Option<FailureLog>, String> {
        if path.is_empty() {
            return Ok(None);
        }
        let opened = File::options().append(true).create(true).open(path);
        let file =
            opened.map_err(|error| format!("can't create json log file: open {path}: {error}"))?;
        Ok(Some(FailureLog(Arc::new(file))))
    }

    /// Writes a line, off the shard.
    pub async fn record(&self, job: &str, target: &str, why: &str) {
        let line = line(&format!("{:.3}", jiff::Timestamp::now()), job, target, why);
        let file = self.0.clone();
        // A disk that takes no log line is no reason to fail a scrape, too.
        let _ = runtime::blocking(move || (&*file).write_all(line.as_bytes())).await;
    }
}

/// One write a line: other loops append to the same file.
fn line(time: &str, job: &str, target: &str, why: &str) -> String {
    let fields = json!({
        "time": time, "level": "ERROR", "source": "hearth", "msg": why,
        "job_name": job, "target": target,
    });
    format!("{fields}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_a_failure() {
        let path = std::env::temp_dir().join(format!("hearth-failures-{}", std::process::id()));
        let log = FailureLog::open(&path.display().to_string()).unwrap().unwrap();
        let written = shards::runtime::run(move || async move {
            log.record("j", "http://a/m", "Get \"http://a/m\": EOF").await;
            log.record("j", "http://b/m", "x").await;
        });
        written.unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(text.lines().count(), 2);
        let ends = r#""msg":"Get \"http://a/m\": EOF","job_name":"j","target":"http://a/m"}"#;
        assert!(text.lines().next().unwrap().ends_with(ends), "{text}");
        assert!(
            FailureLog::open("/nowhere/x").err().unwrap().contains("can't create json log file")
        );
        assert!(FailureLog::open("").unwrap().is_none());
    }
}
