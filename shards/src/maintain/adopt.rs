//! The end of former generations: their logs, parts and blocks go once every shard has its share of
//! them in parts and blocks of its own.

use std::sync::atomic::Ordering;

use engine::disk::Tree;

use crate::boot::Layout;
use crate::observe::Event;
use crate::storage::Storage;

impl<T: Tree> Storage<T> {
    /// Whether nothing of former generations is left to be taken over, by any shard.
    pub(super) fn is_adopted(&self) -> bool {
        let adopted_count = self.0.adopted_count.load(Ordering::Acquire);
        self.0.foreign_blocks.is_empty() || adopted_count >= self.count()
    }

    /// This shard has flushed what it took from former generations. The last one to say so removes
    /// them.
    pub(super) async fn end_adoption(&self) {
        let inner = &self.0;
        let has_foreign = inner.store.borrow().blocks().iter().any(|open| open.series.is_some());
        if has_foreign || !inner.is_adopting.replace(false) {
            return;
        }
        if inner.adopted_count.fetch_add(1, Ordering::AcqRel) + 1 < self.count() {
            return;
        }
        let removed = Layout::end_before(&inner.tree, inner.generation).await;
        let blocks = self.remove_blocks(&inner.foreign_blocks).await;
        let removed = removed.map_err(|error| error.to_string());
        if let Err(message) = removed.and(blocks.map_err(|error| error.to_string())) {
            // The next start finds them again, and nothing new in them.
            let shard = self.id().index();
            inner.reporter.report(Event::MaintenanceFailed { shard, message });
        }
    }
}
