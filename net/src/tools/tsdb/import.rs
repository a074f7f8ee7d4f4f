//! `tsdb import`: blocks of Prometheus into a data directory, where they are served in place.
//!
//! A block is read whole before anything is copied, and has its name only when all of it is on disk;
//! one that is there already is passed over, so that an import can be begun again.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use shards::disk::sync_dir;

use super::files::{AnyBlock, is_block_dir, open_prometheus, text};
use super::list::{row, table};
use super::progress::Progress;
use super::verify::verify_prometheus;
use super::{Console, GOOD, say};
use crate::tools::BAD;
use crate::tools::arguments::Arguments;

pub(super) fn run(arguments: &Arguments, console: &mut Console<'_>) -> Result<u8, String> {
    let target = Path::new(arguments.text("db path"));
    let mut blocks: Vec<PathBuf> = Vec::new();
    for source in arguments.values("block directories").map(Path::new) {
        if is_block_dir(source) {
            blocks.push(source.to_owned());
            continue;
        }
        let failed = |error: std::io::Error| format!("open {}: {error}", source.display());
        let before = blocks.len();
        for entry in fs::read_dir(source).map_err(failed)? {
            blocks.push(entry.map_err(failed)?.path());
            if !blocks.last().is_some_and(|path| is_block_dir(path)) {
                blocks.pop();
            }
        }
        if blocks.len() == before {
            return Err(format!("{}: no blocks found", source.display()));
        }
    }
    blocks.sort();
    fs::create_dir_all(target).map_err(|error| format!("mkdir {}: {error}", target.display()))?;
    let mut progress = Progress::new("import: blocks");
    let (mut rows, mut code) = (Vec::new(), GOOD);
    for (done, path) in blocks.iter().enumerate() {
        if let Some(line) = progress.line(done, blocks.len()) {
            say!(console.err, "{line}");
        }
        match import(path, target) {
            Ok(Some(row)) => rows.push(row),
            Ok(None) => {
                say!(console.err, "{}: is there already", path.display());
            }
            Err(why) => {
                say!(console.err, "{} FAILED: {why}", path.display());
                code = BAD;
            }
        }
    }
    if !arguments.is_set("quiet") && !rows.is_empty() {
        let is_human = arguments.is_set("human-readable");
        let rows = rows.iter().map(|(summary, bytes)| row(summary, *bytes, is_human)).collect();
        // A reader that went away is no fault of the command.
        let _ = console.out.write_all(table(rows, true).as_bytes());
    }
    Ok(code)
}

type Row = (super::files::Summary, u64);

/// Copies a block; none if it is there.
fn import(path: &Path, target: &Path) -> Result<Option<Row>, String> {
    let found = open_prometheus(path)?;
    let AnyBlock::Prometheus(block) = &found.block else { return Ok(None) };
    let whole = target.join(block.id().to_string());
    if whole.exists() {
        return Ok(None);
    }
    verify_prometheus(block, path)?;
    let aside = target.join(format!("{}.tmp-for-creation", block.id()));
    // Left by an import that was broken off.
    let _ = fs::remove_dir_all(&aside);
    let copied = copy(path, &aside).and_then(|()| {
        fs::rename(&aside, &whole).map_err(text)?;
        sync_dir(target).map_err(text)
    });
    if copied.is_err() {
        let _ = fs::remove_dir_all(&aside);
    }
    copied.map(|()| Some((found.block.summary(), found.bytes)))
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    fs::create_dir_all(to.join("chunks")).map_err(text)?;
    let mut names: Vec<PathBuf> = ["meta.json", "index", "tombstones"].map(PathBuf::from).into();
    for entry in fs::read_dir(from.join("chunks")).map_err(text)? {
        names.push(Path::new("chunks").join(entry.map_err(text)?.file_name()));
    }
    for name in names {
        // Old writers left no tombstones.
        if from.join(&name).exists() {
            fs::copy(from.join(&name), to.join(&name)).map_err(text)?;
            File::open(to.join(&name)).and_then(|file| file.sync_all()).map_err(text)?;
        }
    }
    sync_dir(&to.join("chunks")).and_then(|()| sync_dir(to)).map_err(text)
}
