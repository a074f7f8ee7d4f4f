//! `tsdb bench write`: scrapes of made-up values into a new data directory, as fast as it goes.
//!
//! As in promtool a hundred scrapes of a thousand series are one piece of work, and all pieces of as
//! many scrapes go on at once. Other than there a scrape counts when it is durable.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use engine::head::LateSamples;
use engine::model::{Batch, Labels};
use futures_util::future::try_join_all;
use shards::{BootOptions, IngestOptions, Shard, ShardId};

use super::{Console, GOOD, say};
use crate::tools::arguments::Arguments;

/// Time between two scrapes of a series.
const STEP_MS: i64 = 30_000;

/// Series and scrapes of a piece of work.
const SERIES_PER_PIECE: usize = 1000;
const SCRAPES_PER_PIECE: usize = 100;

const FIRST_VALUE: f64 = 123_456_789.0;

pub(super) fn run(arguments: &Arguments, console: &mut Console<'_>) -> Result<u8, String> {
    let count = |name: &str| usize::try_from(arguments.int(name).unwrap_or(0)).unwrap_or(0);
    let (series_max, scrape_count) = (count("metrics"), count("scrapes"));
    let out = PathBuf::from(arguments.text("out"));
    let data = out.join("storage");
    match fs::remove_dir_all(&out) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(format!("{}: {error}", out.display()));
        }
        _ => {}
    }
    fs::create_dir_all(&data).map_err(|error| format!("{}: {error}", data.display()))?;
    let begun = begin("readData", console);
    let series = read_series(Path::new(arguments.text("file")), series_max)?;
    end("readData", begun, console);

    let begun = begin("ingestScrapes", console);
    let (total, running) = ingest(&data, series, scrape_count)?;
    say!(console.out, "ingestion completed");
    let duration = end("ingestScrapes", begun, console);
    say!(console.out, " > total samples: {total}");
    say!(console.out, " > samples/sec: {}", total as f64 / duration.as_secs_f64());

    let begun = begin("stopStorage", console);
    running.wait()?;
    end("stopStorage", begun, console);
    Ok(GOOD)
}

fn begin(stage: &str, console: &mut Console<'_>) -> Instant {
    say!(console.out, ">> start stage={stage}");
    Instant::now()
}

fn end(stage: &str, begun: Instant, console: &mut Console<'_>) -> Duration {
    let duration = begun.elapsed();
    say!(console.out, ">> completed stage={stage} duration={duration:?}");
    duration
}

/// The first series of a file that has one a line, `{"name":"value",…}`; each once.
fn read_series(path: &Path, count_max: usize) -> Result<Vec<Labels>, String> {
    let failed = |error: std::io::Error| format!("open {}: {error}", path.display());
    let file = BufReader::new(File::open(path).map_err(failed)?);
    let mut seen = BTreeSet::new();
    let mut series = Vec::new();
    for (line, number) in file.lines().zip(1..) {
        if series.len() >= count_max {
            break;
        }
        let line = line.map_err(failed)?;
        let labels = parse_series(&line).ok_or_else(|| {
            format!("{}: line {number}: {{\"name\":\"value\",…}} belongs here", path.display())
        })?;
        if seen.insert(labels.clone()) {
            series.push(labels);
        }
    }
    Ok(series)
}

/// Reads a line as promtool does: braces and quotes count for nothing.
fn parse_series(line: &str) -> Option<Labels> {
    let plain = line.replace(['"', '{', '}'], "");
    let pairs: Option<Vec<(&str, &str)>> = plain
        .split(',')
        .map(|pair| {
            let mut parts = pair.split(':');
            parts.next().zip(parts.next())
        })
        .collect();
    Some(Labels::from_pairs(pairs?))
}

/// Has all scrapes stored in `data`; how many samples that were, and the storage that runs.
fn ingest(
    data: &Path,
    series: Vec<Labels>,
    scrape_count: usize,
) -> Result<(u64, shards::Running), String> {
    let (sender, done) = channel();
    let series = Arc::new(series);
    let serve = move |starting: shards::Starting| {
        let (series, sender) = (series.clone(), sender.clone());
        async move {
            let Some(shard) = starting.ready().await else { return };
            match shard.id() {
                ShardId(0) => scrape_all(&shard, &series, scrape_count, &sender).await,
                _ => starting.stopping().await,
            }
        }
    };
    let rising = shards::start(BootOptions::new(data), serve).map_err(|error| error.to_string())?;
    let running = rising.ready().map_err(|error| error.to_string())?;
    let total = done.recv().map_err(|_| "the storage stopped".to_owned())??;
    Ok((total, running))
}

async fn scrape_all(
    shard: &Shard,
    series: &[Labels],
    scrape_count: usize,
    done: &Sender<Result<u64, String>>,
) {
    let mut total = Ok(0);
    for first in (0..scrape_count).step_by(SCRAPES_PER_PIECE) {
        let pieces = series.chunks(SERIES_PER_PIECE).map(|piece| scrape(shard, piece, first));
        match try_join_all(pieces).await {
            Ok(counts) => total = total.map(|total: u64| total + counts.iter().sum::<u64>()),
            Err(why) => {
                total = Err(why);
                break;
            }
        }
    }
    // Whoever asked waits.
    let _ = done.send(total);
}

/// A piece of work: how many samples were stored.
async fn scrape(shard: &Shard, series: &[Labels], first: usize) -> Result<u64, String> {
    let options =
        IngestOptions { wait: true, max_timestamp_ms: i64::MAX, late: LateSamples::Refused };
    let mut count = 0;
    for at in 1..=SCRAPES_PER_PIECE {
        let mut batch = Batch::default();
        let time_ms = STEP_MS * (first + at) as i64;
        for labels in series {
            let index = batch.push_series(labels.as_ref());
            batch.push_sample(index, time_ms, FIRST_VALUE + 1000.0 * at as f64);
        }
        let report = shard.ingest(&batch, options).await.map_err(|error| error.to_string())?;
        count += report.accepted as u64;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use engine::model::Labels;

    use super::parse_series;

    #[test]
    fn series_are_read_as_by_promtool() {
        let parsed = parse_series(r#"{"__name__":"up","job":"a b"}"#).unwrap();
        assert_eq!(parsed, Labels::from_pairs([("__name__", "up"), ("job", "a b")]));
        assert_eq!(parse_series(r#"{"__name__"}"#), None);
    }
}
