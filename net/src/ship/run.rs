//! The loop: what is finished and not shipped goes out, one range after the other.

use std::fs;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use engine::block::BlockId;
use engine::model::TimeRange;
use shards::Shard;
use shards::runtime::{on_thread, random, sleep, unix_ms};

use super::destination::Destination;
use super::record::Record;
use super::staged::Staged;
use super::stats::ShipStats;
use crate::api::context::Context;
use crate::{log_error, log_info, log_warn};

/// How often a stop is looked for meanwhile.
const WAIT: Duration = Duration::from_millis(500);

/// What is shipped where.
#[derive(Clone)]
pub struct Shipping {
    pub destination: Arc<Destination>,
    /// As the flag has it.
    pub to: String,
    /// Of blocks on their way, below the data directory.
    pub dir: PathBuf,
    /// Of a block.
    pub range_ms: i64,
    /// How often it is looked for what is finished.
    pub look_every: Duration,
    pub stats: Arc<ShipStats>,
}

impl Shipping {
    /// Ships until the process stops: a task of its own, on one shard.
    pub async fn run(self, shard: Shard, context: Arc<Context>) {
        if context.loaded().external_labels.is_empty() {
            log_warn!(
                "Blocks are shipped without external labels: in one bucket nobody can tell them from \
                 those of another server",
                "to" = self.to
            );
        }
        while !shard.is_stopping() {
            if let Err(why) = self.ship_all(&shard, &context).await {
                self.stats.failures.fetch_add(1, Relaxed);
                log_error!("Shipping failed and is tried again", "to" = self.to, "err" = why);
            }
            let mut waited = Duration::ZERO;
            while waited < self.look_every && !shard.is_stopping() {
                sleep(WAIT.min(self.look_every)).await;
                waited += WAIT;
            }
        }
    }

    /// Ships all that is finished.
    async fn ship_all(&self, shard: &Shard, context: &Context) -> Result<(), String> {
        let (dir, to) = (self.dir.clone(), self.to.clone());
        let looked = on_thread("ship", move || {
            fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
            let record = Record::read(&dir, &to)?;
            let staged = Staged::find(&dir);
            Ok::<_, String>((
                record,
                staged.map_err(|error| format!("{}: {error}", dir.display()))?,
            ))
        });
        let (mut record, staged) = looked.await.map_err(|error| error.to_string())??;
        self.stats.shipped_before_ms.store(record.shipped_before_ms.unwrap_or(0), Relaxed);
        for staged in staged {
            // One whose range was shipped is left of a stop between two steps.
            let is_shipped = record.shipped_before_ms >= Some(staged.meta.end_ms);
            let end_ms = staged.meta.end_ms;
            if !is_shipped {
                self.send(&staged, context).await?;
            }
            self.settle(&mut record, end_ms, Some(staged)).await?;
        }
        while let Some(range) = self.next_range(shard, &record).await? {
            if shard.is_stopping() {
                return Ok(());
            }
            let end_ms = range.end;
            let staged = self.stage(shard, range).await?;
            if shard.is_stopping() {
                return Ok(());
            }
            if let Some(staged) = &staged {
                self.send(staged, context).await?;
            }
            self.settle(&mut record, end_ms, staged).await?;
        }
        Ok(())
    }

    /// The next range to ship, if it is finished.
    async fn next_range(
        &self,
        shard: &Shard,
        record: &Record,
    ) -> Result<Option<Range<i64>>, String> {
        let from_ms = record.shipped_before_ms.unwrap_or(i64::MIN);
        let Some(span) = shard.finished_span(from_ms).await? else { return Ok(None) };
        let aligned_ms = span.start.div_euclid(self.range_ms).saturating_mul(self.range_ms);
        let end_ms = aligned_ms.saturating_add(self.range_ms);
        // A range of which a part was shipped, when ranges were of another length, goes on there.
        let start_ms = aligned_ms.max(from_ms);
        Ok(Some(start_ms..end_ms).filter(|range| range.end <= span.end))
    }

    async fn stage(&self, shard: &Shard, range: Range<i64>) -> Result<Option<Staged>, String> {
        let samples = TimeRange { min_ms: range.start, max_ms: range.end - 1 };
        let sources = shard.block_sources(samples).await?;
        if sources.is_empty() {
            return Ok(None);
        }
        let (dir, id) = (self.dir.clone(), new_id());
        let making = move || Staged::make(&dir, id, range, sources, |_| true);
        on_thread("ship", making).await.map_err(|error| error.to_string())?
    }

    async fn send(&self, staged: &Staged, context: &Context) -> Result<(), String> {
        let (shipping, staged) = (self.clone(), staged.clone());
        let labels = context.loaded().external_labels;
        let sending = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| error.to_string())?;
            let sent = staged.send(&shipping.destination, &labels, &shipping.stats);
            runtime.block_on(sent)?;
            let (id, meta) = (staged.meta.id, &staged.meta);
            log_info!(
                "Shipped a block",
                "block" = id,
                "mint" = meta.start_ms,
                "maxt" = meta.end_ms,
                "series" = meta.stats.series_count,
                "samples" = meta.stats.sample_count
            );
            shipping.stats.end();
            Ok(())
        };
        on_thread("ship", sending).await.map_err(|error| error.to_string())?
    }

    /// Records that all before `end_ms` is shipped, and removes what was staged of it.
    async fn settle(
        &self,
        record: &mut Record,
        end_ms: i64,
        staged: Option<Staged>,
    ) -> Result<(), String> {
        record.shipped_before_ms = record.shipped_before_ms.max(Some(end_ms));
        let (written, dir) = (record.clone(), self.dir.clone());
        let settling = move || {
            written.write(&dir)?;
            staged.map_or(Ok(()), |staged| staged.remove())
        };
        let settled = on_thread("ship", settling).await.map_err(|error| error.to_string())?;
        settled.map_err(|error| format!("{}: {error}", self.dir.display()))?;
        self.stats.shipped_before_ms.store(record.shipped_before_ms.unwrap_or(0), Relaxed);
        Ok(())
    }
}

fn new_id() -> BlockId {
    let mut bytes = [0; 10];
    bytes[..8].copy_from_slice(&random().to_le_bytes());
    bytes[8..].copy_from_slice(&random().to_le_bytes()[..2]);
    BlockId::new(unix_ms().max(0) as u64, bytes)
}
