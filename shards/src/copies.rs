//! What the blocks of all shards hold of a range of time, for whoever copies it elsewhere.

use std::ops::Range;

use engine::block::prometheus::{Source, SourceBlock};
use engine::disk::Tree;
use engine::model::TimeRange;

use crate::maintain::MaintainError;
use crate::runtime::blocking;
use crate::shard::Shard;
use crate::storage::Storage;

impl<T: Tree> Storage<T> {
    /// The time before which nothing comes to blocks any more; the highest: the shard has nothing that
    /// is not in blocks.
    fn finished_before_ms(&self, late_window_ms: i64) -> i64 {
        let store = self.0.store.borrow();
        if store.head().time_span_ms().is_none() && store.oldest_uncut_ms().is_none() {
            return i64::MAX;
        }
        // When a range was cut, newer samples were there already: late ones that came since are not
        // older than the window before it.
        store.cut_ms().saturating_sub(late_window_ms)
    }

    /// Where the oldest own block begins, of those that have something from `from_ms` on.
    fn oldest_block_ms(&self, from_ms: i64) -> Option<i64> {
        let store = self.0.store.borrow();
        let metas = store.blocks().iter().map(|open| open.block.meta());
        let since = metas.filter(|meta| meta.range_end_ms > from_ms);
        since.map(|meta| meta.range_start_ms.max(from_ms)).min()
    }
}

impl Shard {
    /// The time of blocks from `from_ms` on in which nothing changes any more, but for deletion and
    /// retention; it begins with a sample of a block of Prometheus or with an own block. None: there is
    /// no such time.
    pub async fn finished_span(&self, from_ms: i64) -> Result<Option<Range<i64>>, String> {
        let late_window_ms = self.0.settings.late_window_ms();
        let guests = self.0.guests.clone();
        let oldest_guest_ms = blocking(move || guests.oldest_to_copy_ms(from_ms)).await;
        let spans = self.on_every_shard(move |shard| async move {
            let storage = &shard.0.storage;
            let span =
                (storage.oldest_block_ms(from_ms), storage.finished_before_ms(late_window_ms));
            Ok::<_, MaintainError>(span)
        });
        let spans = spans.await?;
        let oldest_ms = spans.iter().filter_map(|(oldest_ms, _)| *oldest_ms);
        let start_ms = oldest_ms.chain(oldest_guest_ms).min();
        let end_ms = spans.iter().map(|(_, before_ms)| *before_ms).min();
        let span = start_ms.zip(end_ms).map(|(start_ms, end_ms)| start_ms..end_ms);
        Ok(span.filter(|span| !span.is_empty()))
    }

    /// The blocks of all shards, and those of Prometheus, that overlap `range`, each with what was
    /// deleted of it; in the order in which samples count, as queries have it.
    pub async fn block_sources(&self, range: TimeRange) -> Result<Vec<Source>, String> {
        let sources = self.on_every_shard(move |shard| async move {
            let store = shard.0.store.borrow();
            let own = store.blocks().iter().filter(|open| open.block.meta().overlaps(range));
            let source = |open: &engine::store::OpenBlock| {
                let block = SourceBlock::Own(open.block.clone(), open.series.clone());
                let tombstones = open.tombstones.clone();
                (open.block.meta().min_ms, Source { block, tombstones })
            };
            Ok::<_, MaintainError>(own.map(source).collect::<Vec<_>>())
        });
        let mut sources: Vec<(i64, Source)> = sources.await?.into_iter().flatten().collect();
        let guests = self.0.guests.clone();
        sources.extend(blocking(move || guests.sources(range)).await);
        sources.sort_by_key(|(min_ms, _)| *min_ms);
        Ok(sources.into_iter().map(|(_, source)| source).collect())
    }
}
