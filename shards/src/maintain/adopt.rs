//! The end of former generations: their logs, parts and blocks go once every shard has its share of
//! them in parts and blocks of its own.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;

use crate::observe::Event;
use crate::runtime::blocking;
use crate::shard::Shard;

impl Shard {
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
        let (data_dir, generation) = (inner.data_dir.clone(), inner.generation);
        let removed = blocking(move || remove_before(&data_dir, generation)).await;
        let removed = removed.map_err(|error| error.to_string());
        let blocks = self.remove_blocks(&inner.foreign_blocks).await;
        if let Err(message) = removed.and(blocks.map_err(|error| error.to_string())) {
            // The next start finds them again, and nothing new in them.
            let shard = self.id().index();
            inner.reporter.report(Event::MaintenanceFailed { shard, message });
        }
    }
}

fn remove_before(data_dir: &Path, generation: usize) -> io::Result<()> {
    for kind in ["wal", "parts"] {
        for former in 1..generation {
            match fs::remove_dir_all(data_dir.join(kind).join(format!("{former:04}"))) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}
