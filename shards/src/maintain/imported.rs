//! Making durable what was imported from Prometheus's head, before anything is served.
//!
//! ```text
//! in order      head ─► part          deletions ─► the head's tombstones
//! out of order  a block for each aligned range, beside those that it overlaps
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::block::{Block, BlockPlan, BlockWriter, SeriesSamples, merge_series_samples};
use engine::disk::{Disk, Tree};
use engine::model::{Labels, TimeRange};
use engine::store::{Import, OpenBlock};

use super::MaintainError;
use super::merge::{block_name, new_block_id};
use crate::disk::FileStream;
use crate::storage::Storage;

impl<T: Tree> Storage<T> {
    /// Writes what `import` took in to files of this shard. It is durable when this returns.
    pub(crate) async fn keep_imported(&self, import: &mut Import) -> Result<(), MaintainError> {
        let _permit = self.0.maintenance.acquire().await;
        self.flush(true).await?;
        let tombstones = self.0.store.borrow().import_tombstones(import);
        if let Some(tombstones) = tombstones {
            self.set_head_tombstones(tombstones).await?;
        }
        let range_ms = self.0.keep.block_ms_min;
        let series = import.take_out_of_order();
        let times = series.values().flat_map(|samples| {
            samples.timestamps_ms.iter().chain(&samples.histogram_timestamps_ms)
        });
        let mut starts_ms: Vec<i64> =
            times.map(|time_ms| time_ms.div_euclid(range_ms).saturating_mul(range_ms)).collect();
        starts_ms.sort_unstable();
        starts_ms.dedup();
        for start_ms in starts_ms {
            let range =
                TimeRange { min_ms: start_ms, max_ms: start_ms.saturating_add(range_ms - 1) };
            self.keep_out_of_order(&series, range).await?;
        }
        Ok(())
    }

    /// Writes a block of the samples in `range`, which are not none.
    async fn keep_out_of_order(
        &self,
        series: &BTreeMap<Labels, SeriesSamples>,
        range: TimeRange,
    ) -> Result<(), MaintainError> {
        let inner = &self.0;
        let id = new_block_id();
        let plan = BlockPlan {
            id,
            shard: self.id().0,
            shard_count: self.count() as u16, // At most SHARD_COUNT_MAX.
            level: 1,
            is_out_of_order: true,
            parents: vec![],
            range_start_ms: range.min_ms,
            range_end_ms: range.max_ms.saturating_add(1),
        };
        let mut bytes = vec![];
        let mut writer = BlockWriter::new(plan, &mut bytes);
        let mut stream = FileStream::create(&inner.blocks_disk, &block_name(id)).await?;
        for (labels, samples) in series {
            let mut within = SeriesSamples::default();
            merge_series_samples(&mut within, samples, range);
            if !within.is_empty() {
                let labels = labels.as_ref();
                writer.push_series(labels, labels.stable_hash(), &within, &mut bytes)?;
                stream.push(&mut bytes).await?;
            }
        }
        writer.finish(&mut bytes)?;
        stream.finish(&mut bytes).await?;
        let block = Arc::new(Block::open(inner.blocks_disk.map(&block_name(id)).await?)?);
        let open = OpenBlock { block, tombstones: Arc::default(), series: None };
        inner.store.borrow_mut().replace_blocks(&[], Some(open));
        Ok(())
    }
}
