//! `tsdb create-blocks-from openmetrics`: a page with timestamps as blocks.
//!
//! The page is read once for its span and once for every block, so that memory is that of one block.

use std::path::Path;
use std::sync::Arc;

use engine::disk::FileBytes;
use engine::model::LabelsBuilder;
use shards::disk::Mapping;

use super::files::open_prometheus;
use super::gather::Gathered;
use super::list::{row, table};
use super::progress::Progress;
use super::ranges::{block_ms, block_start};
use super::{Console, GOOD, say};
use crate::tools::arguments::Arguments;
use crate::wire::text::{Entry, Format, Parser};

pub(super) fn run(arguments: &Arguments, console: &mut Console<'_>) -> Result<u8, String> {
    let input = arguments.text("input file");
    let page = open(Path::new(input))?;
    let page = (*page).as_ref();
    let out = Path::new(arguments.text("output directory"));
    std::fs::create_dir_all(out)
        .map_err(|error| format!("create output dir: mkdir {}: {error}", out.display()))?;
    let (min_ms, max_ms) =
        span(page).map_err(|why| format!("getting min and max timestamp: {why}"))?;
    let length_ms = block_ms(arguments.duration("max-block-duration").ms());
    let extra = arguments.pairs("label");
    let (is_quiet, is_human) = (arguments.is_set("quiet"), arguments.is_set("human-readable"));
    let failed = |why: String| format!("block creation: process blocks: {why}");
    let mut progress = Progress::new("create-blocks-from: hours of samples");
    let mut has_header = true;
    let mut start_ms = block_start(min_ms, length_ms);
    while start_ms <= max_ms {
        let end_ms = start_ms + length_ms;
        let hours = |ms: i64| (ms / 3_600_000).max(0) as usize;
        if let Some(line) = progress.line(hours(start_ms - min_ms), hours(max_ms - min_ms)) {
            say!(console.err, "{line}");
        }
        let mut gathered = Gathered::default();
        let next_ms = gather(page, start_ms, end_ms, &extra, &mut gathered).map_err(failed)?;
        if let Some(meta) = gathered.write(out).map_err(|why| failed(format!("flush: {why}")))?
            && !is_quiet
        {
            let found = open_prometheus(&out.join(meta.id.to_string()))?;
            let row = row(&found.block.summary(), found.bytes, is_human);
            // A reader that went away does not stop the import.
            let _ = console.out.write_all(table(vec![row], has_header).as_bytes());
            has_header = false;
        }
        let Some(next_ms) = next_ms else { break };
        start_ms = block_start(next_ms, length_ms);
    }
    Ok(GOOD)
}

fn open(path: &Path) -> Result<FileBytes, String> {
    let failed = |error: std::io::Error| {
        let error = error.to_string();
        let why = error.split(" (os error").next().unwrap_or_default().to_lowercase();
        format!("stat {}: {why}", path.display())
    };
    let metadata = std::fs::metadata(path).map_err(failed)?;
    if metadata.is_file() {
        return Ok(Arc::new(Mapping::open(path).map_err(failed)?));
    }
    Ok(Arc::new(std::fs::read(path).map_err(failed)?))
}

/// Calls `visit` with the labels' parser, timestamp and value of every sample.
fn each_sample<'a>(
    page: &'a [u8],
    prefix: &str,
    mut visit: impl FnMut(&Parser<'a>, Option<i64>, f64) -> Result<(), String>,
) -> Result<(), String> {
    let mut parser = Parser::new(page, Format::OpenMetrics);
    loop {
        match parser.next_entry().map_err(|error| format!("{prefix}: {error}"))? {
            None => return Ok(()),
            Some(Entry::Sample(sample)) => visit(&parser, sample.timestamp_ms, sample.value)?,
            Some(_) => {}
        }
    }
}

/// Timestamps of the first and the last sample.
fn span(page: &[u8]) -> Result<(i64, i64), String> {
    let mut span: Option<(i64, i64)> = None;
    each_sample(page, "next", |_, time_ms, _| {
        let time_ms = time_ms.ok_or_else(|| "expected timestamp for series got none".to_owned())?;
        let (min_ms, max_ms) = span.unwrap_or((time_ms, time_ms));
        span = Some((min_ms.min(time_ms), max_ms.max(time_ms)));
        Ok(())
    })?;
    Ok(span.unwrap_or((0, 0)))
}

/// Takes the samples of `start_ms..end_ms`; the first timestamp behind them.
fn gather(
    page: &[u8],
    start_ms: i64,
    end_ms: i64,
    extra: &[(&str, &str)],
    gathered: &mut Gathered,
) -> Result<Option<i64>, String> {
    let mut next_ms: Option<i64> = None;
    each_sample(page, "parse", |parser, time_ms, value| {
        let time_ms = time_ms.unwrap_or(i64::MIN);
        if time_ms >= end_ms {
            next_ms = Some(next_ms.map_or(time_ms, |next_ms| next_ms.min(time_ms)));
        }
        if !(start_ms..end_ms).contains(&time_ms) {
            return Ok(());
        }
        let mut builder = LabelsBuilder::default();
        parser.labels_into(&mut builder).map_err(|name| {
            format!("add sample: duplicate label {}", String::from_utf8_lossy(&name))
        })?;
        for (name, value) in extra {
            builder.set(name.as_bytes(), value.as_bytes());
        }
        gathered.add(builder.finish(), time_ms, value).map_err(|why| format!("add sample: {why}"))
    })?;
    Ok(next_ms)
}
