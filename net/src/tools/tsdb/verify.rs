//! `tsdb verify`: everything that has a checksum is read and compared with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::block::part::Part;
use engine::block::prometheus::{PrometheusBlock, decode_tombstones};
use engine::block::{Block, SeriesSamples, Tombstones};
use engine::model::TimeRange;
use shards::disk::Mapping;

use super::files::{AnyBlock, Found, find, text};
use super::progress::Progress;
use super::store::with_store;
use super::{Console, GOOD, say};
use crate::tools::BAD;
use crate::tools::arguments::Arguments;

/// Pages verified at once.
const PAGE_COUNT: usize = 256;

const WHOLE: TimeRange = TimeRange { min_ms: i64::MIN, max_ms: i64::MAX };

pub(super) fn run(arguments: &Arguments, console: &mut Console<'_>) -> Result<u8, String> {
    let path = Path::new(arguments.text("db path"));
    let (found, mut faults) = find(path)?;
    let parts = files_below(&path.join("parts"), "part")?;
    let mut progress = Progress::new("verify");
    let all = found.len() + parts.len();
    let mut good = 0;
    for (done, found) in found.iter().enumerate() {
        tell(&mut progress, done, all, console);
        match verify_block(found) {
            Ok(()) => good += 1,
            Err(why) => faults.push((found.path.clone(), why)),
        }
    }
    for (done, part) in parts.iter().enumerate() {
        tell(&mut progress, found.len() + done, all, console);
        match verify_part(part) {
            Ok(()) => good += 1,
            Err(why) => faults.push((part.clone(), why)),
        }
    }
    // Reading the log is what a start does with it.
    let losses = with_store(path, console, |_, _| Ok(())).err();
    for (path, why) in &faults {
        say!(console.err, "{} FAILED: {why}", path.display());
    }
    if let Some(why) = &losses {
        say!(console.err, "{} FAILED: {why}", path.display());
    }
    say!(console.out, "{good} of {} blocks and parts are good", good + faults.len());
    Ok(if faults.is_empty() && losses.is_none() { GOOD } else { BAD })
}

fn tell(progress: &mut Progress, done: usize, all: usize, console: &mut Console<'_>) {
    if let Some(line) = progress.line(done, all) {
        say!(console.err, "{line}");
    }
}

fn verify_block(found: &Found) -> Result<(), String> {
    match &found.block {
        AnyBlock::Own(block) => verify_own(block, &found.path),
        AnyBlock::Prometheus(block) => verify_prometheus(block, &found.path),
    }
}

fn verify_own(block: &Block, path: &Path) -> Result<(), String> {
    let mut page = Some(0);
    while let Some(at) = page {
        page = block.verify(at, PAGE_COUNT).map_err(text)?;
    }
    match fs::read(path.with_extension("tombstones")) {
        Ok(bytes) => Tombstones::decode(&bytes, block.id()).map(drop).map_err(text),
        Err(_) => Ok(()),
    }
}

/// A block of Prometheus has a checksum for each list of postings, series and chunk.
pub(super) fn verify_prometheus(block: &PrometheusBlock, path: &Path) -> Result<(), String> {
    let (mut samples, mut buffer) = (SeriesSamples::default(), Vec::new());
    let (mut series_count, mut sample_count) = (0, 0);
    for series in &block.all_series().map_err(text)? {
        samples.clear();
        block.labels(series, &mut buffer).map_err(text)?;
        block.series_samples(series, WHOLE, &mut samples).map_err(text)?;
        series_count += 1;
        sample_count += samples.len() as u64;
    }
    let stats = block.meta().stats;
    if (series_count, sample_count) != (stats.series_count, stats.sample_count) {
        return Err(format!(
            "{series_count} series and {sample_count} samples, but meta.json says {} and {}",
            stats.series_count, stats.sample_count
        ));
    }
    match fs::read(path.join("tombstones")) {
        Ok(bytes) => decode_tombstones(&bytes).map(drop).map_err(text),
        Err(_) => Ok(()),
    }
}

fn verify_part(path: &Path) -> Result<(), String> {
    let mapping = Mapping::open(path).map_err(text)?;
    let part = Part::open(Arc::new(mapping)).map_err(text)?;
    let mut page = Some(0);
    while let Some(at) = page {
        page = part.verify(at, PAGE_COUNT).map_err(text)?;
    }
    Ok(())
}

/// Files with an extension at any depth, sorted.
fn files_below(path: &Path, extension: &str) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    // What is not there has no files.
    for entry in fs::read_dir(path).into_iter().flatten() {
        let path = entry.map_err(text)?.path();
        if path.is_dir() {
            files.extend(files_below(&path, extension)?);
        } else if path.extension().is_some_and(|found| found == extension) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
