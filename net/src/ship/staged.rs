//! A block that is on its way: made in `<data>/ship/`, found again after a restart, and sent.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use engine::block::BlockId;
use engine::block::prometheus::{Meta, NewBlock, Source, StartTimestamps};
use engine::model::TimeRange;
use serde_json::{Value, json};
use shards::guests::BlockDir;

use super::destination::Destination;
use super::stats::ShipStats;

const META: &str = "meta.json";

/// A whole block in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Staged {
    dir: PathBuf,
    pub meta: Meta,
}

impl Staged {
    /// Makes the block `id` of what `sources` have in `range`; none, when they have nothing. Blocks.
    pub fn make(
        parent: &Path,
        id: BlockId,
        range: Range<i64>,
        sources: Vec<Source>,
        goes_on: impl FnMut(usize) -> bool,
    ) -> Result<Option<Staged>, String> {
        let new = NewBlock {
            id,
            start_ms: range.start,
            end_ms: range.end,
            level: 1,
            ..NewBlock::default()
        };
        // Readers of before Prometheus 3.14 know no start timestamps.
        let mut block = BlockDir::create(parent, new, StartTimestamps::Drop)?;
        let samples = TimeRange { min_ms: range.start, max_ms: range.end - 1 };
        block.merge(sources, samples, goes_on)?;
        let meta = block.finish()?;
        Ok(meta.map(|meta| Staged { dir: parent.join(id.to_string()), meta }))
    }

    /// The blocks that a former process has left in `parent`, the oldest first. What is not whole is
    /// removed.
    pub fn find(parent: &Path) -> io::Result<Vec<Staged>> {
        let mut found = vec![];
        for entry in fs::read_dir(parent)? {
            let entry = entry?;
            if !entry.file_type()?.is_dir() {
                continue;
            }
            let dir = entry.path();
            let is_block = entry.file_name().to_str().is_some_and(|n| n.parse::<BlockId>().is_ok());
            let meta = fs::read(dir.join(META)).ok().and_then(|meta| Meta::decode(&meta).ok());
            match meta.filter(|_| is_block) {
                Some(meta) => found.push(Staged { dir, meta }),
                None => fs::remove_dir_all(&dir)?,
            }
        }
        found.sort_by_key(|staged| staged.meta.start_ms);
        Ok(found)
    }

    /// Files beside the meta, by name within the block, with their sizes.
    fn files(&self) -> io::Result<BTreeMap<String, u64>> {
        let mut files = BTreeMap::from([("index".to_owned(), 0)]);
        for entry in fs::read_dir(self.dir.join("chunks"))? {
            if let Ok(name) = entry?.file_name().into_string() {
                files.insert(format!("chunks/{name}"), 0);
            }
        }
        for (name, bytes) in &mut files {
            *bytes = fs::metadata(self.dir.join(name))?.len();
        }
        Ok(files)
    }

    /// Sends what is not there yet, the meta last: without it there is no block.
    pub async fn send(
        &self,
        to: &Destination,
        labels: &BTreeMap<String, String>,
        stats: &ShipStats,
    ) -> Result<(), String> {
        let id = self.meta.id;
        let meta_name = format!("{id}/{META}");
        if to.size(&meta_name).await?.is_some() {
            return Ok(());
        }
        let files = self.files().map_err(|error| format!("{}: {error}", self.dir.display()))?;
        stats.begin(files.values().sum());
        for name in files.keys() {
            to.send(&self.dir.join(name), &format!("{id}/{name}"), stats).await?;
        }
        to.put(&meta_name, thanos_meta(&self.meta, labels, &files)?).await
    }

    pub fn remove(&self) -> io::Result<()> {
        fs::remove_dir_all(&self.dir)
    }
}

/// The meta with what Thanos wants to know beside it: whose block it is, and its files.
///
/// Source: Thanos `pkg/block/metadata/meta.go`.
pub(super) fn thanos_meta(
    meta: &Meta,
    labels: &BTreeMap<String, String>,
    files: &BTreeMap<String, u64>,
) -> Result<Vec<u8>, String> {
    let mut value: Value =
        serde_json::from_slice(&meta.encode()).map_err(|error| error.to_string())?;
    let segments: Vec<&str> =
        files.keys().filter_map(|name| name.strip_prefix("chunks/")).collect();
    let mut listed: Vec<Value> = files
        .iter()
        .map(|(name, bytes)| json!({ "rel_path": name, "size_bytes": bytes }))
        .collect();
    listed.push(json!({ "rel_path": META }));
    value["thanos"] = json!({
        "version": 1,
        "labels": labels,
        "downsample": { "resolution": 0 },
        "source": "hearth",
        "segment_files": segments,
        "files": listed,
    });
    serde_json::to_vec_pretty(&value).map_err(|error| error.to_string())
}
