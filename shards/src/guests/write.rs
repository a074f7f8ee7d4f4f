//! A block of Prometheus on its way to disk: whole, or not there.
//!
//! ```text
//! <ULID>.tmp-for-creation/{meta.json, index, chunks/000001, tombstones} ─► synced ─► <ULID>/
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use engine::block::prometheus::{
    Meta, NewBlock, Pieces, PrometheusMerge, PrometheusWriter, Source, StartTimestamps,
};
use engine::block::{BlockId, SeriesSamples};
use engine::model::{LabelsRef, TimeRange};

use crate::disk::sync_dir;

/// Bytes in memory before they are written.
const PIECE_BYTES: usize = 1 << 20;

/// What a directory is called until its block is whole; Prometheus removes it at a start.
const SUFFIX: &str = ".tmp-for-creation";

/// Writes a block of Prometheus into a directory of its own. Blocks.
pub struct BlockDir {
    id: BlockId,
    parent: PathBuf,
    path: PathBuf,
    writer: PrometheusWriter,
    pieces: Pieces,
    files: BTreeMap<String, File>,
}

impl BlockDir {
    /// Begins the block `new` below `parent`, which is made if need be.
    pub fn create(
        parent: &Path,
        new: NewBlock,
        starts: StartTimestamps,
    ) -> Result<BlockDir, String> {
        let id = new.id;
        let path = parent.join(format!("{id}{SUFFIX}"));
        fs::create_dir_all(path.join("chunks"))
            .map_err(|error| format!("create output dir: mkdir {}: {error}", path.display()))?;
        Ok(BlockDir {
            id,
            parent: parent.to_owned(),
            path,
            writer: PrometheusWriter::new(new, starts),
            pieces: Pieces::default(),
            files: BTreeMap::new(),
        })
    }

    /// Adds a series, whose labels come after those of the one before.
    pub fn push(&mut self, labels: LabelsRef<'_>, samples: &SeriesSamples) -> Result<(), String> {
        let pushed = self.writer.push_series(labels, samples, &mut self.pieces);
        pushed.map_err(|error| error.to_string())?;
        self.write_piece()
    }

    /// Adds the samples in `range` of all of `sources`. Asks `goes_on` after every series, with the
    /// number of samples it had; false leaves the rest.
    pub fn merge(
        &mut self,
        sources: Vec<Source>,
        range: TimeRange,
        mut goes_on: impl FnMut(usize) -> bool,
    ) -> Result<(), String> {
        let mut merge = PrometheusMerge::new(sources, range).map_err(|error| error.to_string())?;
        loop {
            let stepped = merge.step(&mut self.writer, &mut self.pieces);
            match stepped.map_err(|error| error.to_string())? {
                Some(sample_count) if goes_on(sample_count) => self.write_piece()?,
                _ => return Ok(()),
            }
        }
    }

    fn write_piece(&mut self) -> Result<(), String> {
        if self.pieces.bytes() >= PIECE_BYTES { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), String> {
        for (file, bytes) in self.pieces.drain() {
            let name = file.path();
            let path = self.path.join(&name);
            let failed = |error: std::io::Error| format!("write {}: {error}", path.display());
            if !self.files.contains_key(&name) {
                self.files.insert(name.clone(), File::create(&path).map_err(failed)?);
            }
            let Some(open) = self.files.get_mut(&name) else { continue };
            open.write_all(&bytes).map_err(failed)?;
        }
        Ok(())
    }

    /// Completes the block; none, and nothing is left, if it has no sample.
    pub fn finish(mut self) -> Result<Option<Meta>, String> {
        if self.writer.series_count() == 0 {
            return Ok(None);
        }
        let meta = loop {
            let finished = self.writer.finish(&mut self.pieces);
            let finished = finished.map_err(|error| error.to_string())?;
            self.write()?;
            if let Some(meta) = finished {
                break meta;
            }
        };
        let path = self.path.clone();
        let failed = |error: std::io::Error| format!("sync {}: {error}", path.display());
        for file in self.files.values() {
            file.sync_all().map_err(failed)?;
        }
        for dir in [self.path.join("chunks"), self.path.clone()] {
            sync_dir(&dir).map_err(failed)?;
        }
        let whole = self.parent.join(self.id.to_string());
        fs::rename(&self.path, &whole).map_err(failed)?;
        sync_dir(&self.parent).map_err(failed)?;
        Ok(Some(meta))
    }
}

impl Drop for BlockDir {
    /// What did not become a block goes; after a whole one there is nothing left to go.
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}
