//! Whole processes on scratch directories, by subject; here is what their tests have in common.

mod copies;
mod flush;
mod late;
mod queries;
mod samples;
mod scrub;
mod stale;
mod start;
mod stop;
mod upkeep;

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use engine::exec::{ExecError, Value};
use engine::head::{LateSamples, Verdict};
use engine::mem::runs::Run;
use engine::model::{Batch, Labels, MatchOp, Matcher, TimeRange};
use engine::promql::{ParseOptions, parse};

use super::{BootOptions, Rising, Running, Starting, start};
use crate::cancel::CancelToken;
use crate::ingest::{FamilyMetadata, IngestError, IngestOptions, IngestReport};
use crate::observe::{Event, Reporter};
use crate::query::{QueryError, QueryId, QueryOutcome, QueryRequest};
use crate::route::ShardId;
use crate::runtime::{sleep, timeout};
use crate::scratch::Scratch;
use crate::shard::Shard;
use crate::wal::WalSync;

const WAIT: IngestOptions =
    IngestOptions { wait: true, max_timestamp_ms: i64::MAX, late: LateSamples::Taken };
const ALWAYS: TimeRange = TimeRange { min_ms: i64::MIN, max_ms: i64::MAX };

fn options(data_dir: &Path, shard_count: usize) -> BootOptions {
    let mut options = BootOptions::new(data_dir);
    options.shard_count = Some(shard_count);
    options.wal.segment_bytes = 256 << 10;
    options
}

fn boot<F, Fut>(options: BootOptions, on_first: F) -> Running
where
    F: Fn(Shard) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    start(options, move |starting| {
        let on_first = on_first.clone();
        async move {
            let Some(shard) = starting.ready().await else { return };
            if shard.id() == ShardId(0) {
                on_first(shard).await;
            } else {
                shard.stopping().await;
            }
        }
    })
    .and_then(Rising::ready)
    .unwrap()
}

/// What was looked up, as text.
fn texts(runs: &[Run]) -> Vec<String> {
    let texts = runs.iter().flat_map(Run::iter);
    texts.map(|text| String::from_utf8_lossy(text).into_owned()).collect()
}

/// Serves nothing until the process stops.
async fn wait(starting: Starting) {
    starting.stopping().await;
}

/// Runs `main` on the first shard of a process, which ends when `main` does.
fn with_shards<F, Fut>(data_dir: &Path, shard_count: usize, main: F)
where
    F: Fn(Shard) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    boot(options(data_dir, shard_count), main).wait().unwrap();
}

fn labels(number: u64) -> Labels {
    Labels::from_pairs([("__name__", "requests"), ("number", &number.to_string())])
}

/// One sample of each of `series_count` series; its value is the series' number.
fn batch(series_count: u64, timestamp_ms: i64) -> Batch {
    let mut batch = Batch::default();
    for number in 0..series_count {
        let series = batch.push_series(labels(number).as_ref());
        batch.push_sample(series, timestamp_ms, number as f64);
    }
    batch
}

/// The one value of an instant query.
async fn value(shard: &Shard, text: &str, time_ms: i64) -> f64 {
    let request = QueryRequest::instant(text, time_ms);
    let answer = shard.query(request, &CancelToken::default()).await.unwrap();
    let mut values = Vec::new();
    let rows = answer.outcome.value.row_count();
    (0..rows).for_each(|row| answer.outcome.value.for_each_point(row, |_, v| values.push(v)));
    assert_eq!(values.len(), 1, "{text}");
    values[0]
}

/// Copies a data directory as a crash would leave it, while its process runs.
fn crash_image(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            crash_image(&entry.path(), &target);
        } else if let Err(error) = fs::copy(entry.path(), target) {
            // A segment's preparation goes on while we copy.
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{entry:?}");
        }
    }
}

#[derive(Default)]
struct Heard(Mutex<Vec<Event>>);

impl Reporter for Heard {
    fn report(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}
