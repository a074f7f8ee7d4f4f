//! The blocks of a data directory, file by file: those of hearth (`blocks/<ULID>.block`, one a shard)
//! and those of Prometheus (`<ULID>/`).

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::block::prometheus::{BlockFiles, ChunkMeta, PrometheusBlock};
use engine::block::{Block, BlockId, Scratch};
use engine::disk::FileBytes;
use engine::index::CompiledMatcher;
use engine::model::{LabelsRef, Samples, TimeRange};
use shards::disk::Mapping;

/// An open block with its files.
pub(super) struct Found {
    pub path: PathBuf,
    pub bytes: u64,
    pub block: AnyBlock,
}

pub(super) enum AnyBlock {
    Own(Box<Block>),
    Prometheus(Box<PrometheusBlock>),
}

/// What a list says of a block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Summary {
    pub id: BlockId,
    pub start_ms: i64,
    pub end_ms: i64,
    pub sample_count: u64,
    pub chunk_count: u64,
    pub series_count: u64,
}

impl AnyBlock {
    pub fn summary(&self) -> Summary {
        match self {
            AnyBlock::Own(block) => {
                let meta = block.meta();
                Summary {
                    id: meta.id,
                    start_ms: meta.range_start_ms,
                    end_ms: meta.range_end_ms,
                    sample_count: meta.sample_count(),
                    chunk_count: meta.chunk_count,
                    series_count: meta.series_count,
                }
            }
            AnyBlock::Prometheus(block) => {
                let meta = block.meta();
                Summary {
                    id: meta.id,
                    start_ms: meta.start_ms,
                    end_ms: meta.end_ms,
                    sample_count: meta.stats.sample_count,
                    chunk_count: meta.stats.chunk_count,
                    series_count: meta.stats.series_count,
                }
            }
        }
    }

    /// Calls `visit` with the labels of every series that matches, and the timestamps of its first
    /// and last sample.
    pub fn each_series(
        &self,
        matchers: &[CompiledMatcher],
        visit: &mut dyn FnMut(LabelsRef<'_>, i64, i64),
    ) -> Result<(), String> {
        let mut buffer = Vec::new();
        match self {
            AnyBlock::Own(block) => {
                let selected = block.select(matchers).map_err(text)?;
                let (mut scratch, mut samples) = (Scratch::default(), Samples::default());
                let whole = TimeRange { min_ms: i64::MIN, max_ms: i64::MAX };
                for series in &selected {
                    samples.clear();
                    block.samples(series, whole, &mut samples, &mut scratch).map_err(text)?;
                    let floats = &samples.timestamps_ms;
                    let histograms = &samples.histogram_timestamps_ms;
                    let first = floats.first().into_iter().chain(histograms.first()).min();
                    let last = floats.last().into_iter().chain(histograms.last()).max();
                    let (Some(&first), Some(&last)) = (first, last) else { continue };
                    visit(block.labels(series, &mut buffer).map_err(text)?, first, last);
                }
            }
            AnyBlock::Prometheus(block) => {
                for series in select(block, matchers)? {
                    let chunks = chunks(block, series)?;
                    let (Some(first), Some(last)) = (chunks.first(), chunks.last()) else {
                        continue;
                    };
                    let labels = block.labels(series, &mut buffer).map_err(text)?;
                    visit(labels, first.min_ms, last.max_ms);
                }
            }
        }
        Ok(())
    }
}

pub(super) fn text(error: impl ToString) -> String {
    error.to_string()
}

/// The series of a block of Prometheus that match.
pub(super) fn select(
    block: &PrometheusBlock,
    matchers: &[CompiledMatcher],
) -> Result<Vec<u32>, String> {
    let found = if matchers.is_empty() { block.all_series() } else { block.select(matchers) };
    Ok(found.map_err(text)?.iter().collect())
}

/// The chunks of a series, in order of time.
pub(super) fn chunks(block: &PrometheusBlock, series: u32) -> Result<Vec<ChunkMeta>, String> {
    block.chunks(series).map_err(text)?.collect::<Result<_, _>>().map_err(text)
}

/// The blocks of a directory in order of time; what cannot be opened, and why, beside them.
pub(super) fn find(path: &Path) -> Result<(Vec<Found>, Vec<(PathBuf, String)>), String> {
    let entries = fs::read_dir(path).map_err(|error| {
        let error = error.to_string();
        let error = error.split(" (os error").next().unwrap_or_default().to_lowercase();
        format!("opening the db dir: stat {}: {error}", path.display())
    })?;
    let mut found = Vec::new();
    let mut faults = Vec::new();
    let mut take = |path: PathBuf, opened: Result<Found, String>| match opened {
        Ok(block) => found.push(block),
        Err(why) => faults.push((path, why)),
    };
    for entry in entries {
        let path = entry.map_err(text)?.path();
        if is_block_dir(&path) {
            take(path.clone(), open_prometheus(&path));
        }
    }
    // A directory without hearth's own blocks has no such folder.
    for entry in fs::read_dir(path.join("blocks")).into_iter().flatten() {
        let path = entry.map_err(text)?.path();
        if path.extension().is_some_and(|extension| extension == "block") {
            take(path.clone(), open_own(&path));
        }
    }
    found.sort_by_key(|found| {
        let summary = found.block.summary();
        (summary.start_ms, summary.end_ms, summary.id)
    });
    Ok((found, faults))
}

/// Whether a path is a directory named by a ULID.
pub(super) fn is_block_dir(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.parse::<BlockId>().is_ok() && path.join("meta.json").exists()
}

fn map(path: &Path) -> Result<FileBytes, String> {
    let mapping = Mapping::open(path);
    Ok(Arc::new(mapping.map_err(|error| format!("open {}: {error}", path.display()))?))
}

fn open_own(path: &Path) -> Result<Found, String> {
    let bytes = map(path)?;
    let size = (*bytes).as_ref().len() as u64;
    let block = Box::new(Block::open(bytes).map_err(text)?);
    Ok(Found { path: path.to_owned(), bytes: size, block: AnyBlock::Own(block) })
}

/// Opens the block in a directory.
pub(super) fn open_prometheus(path: &Path) -> Result<Found, String> {
    let mut names: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(path.join("chunks")).map_err(text)? {
        names.push(entry.map_err(text)?.path());
    }
    names.sort();
    let segments: Result<Vec<FileBytes>, String> = names.iter().map(|path| map(path)).collect();
    let files = ["meta.json", "index", "tombstones"].map(|name| path.join(name));
    let sizes = names.iter().chain(&files).filter_map(|path| fs::metadata(path).ok());
    let bytes = sizes.map(|metadata| metadata.len()).sum();
    let meta = fs::read(&files[0]).map_err(text)?;
    let files = BlockFiles { meta, index: map(&files[1])?, segments: segments? };
    let block = Box::new(PrometheusBlock::open(files).map_err(text)?);
    Ok(Found { path: path.to_owned(), bytes, block: AnyBlock::Prometheus(block) })
}
