//! The end of former generations: their logs and parts go once every shard has its share of them in
//! parts of its own.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;

use crate::observe::Event;
use crate::runtime::blocking;
use crate::shard::Shard;

impl Shard {
    /// This shard has flushed what it took from former generations. The last one to say so removes
    /// them.
    pub(super) async fn end_adoption(&self) {
        let inner = &self.0;
        if !inner.is_adopting.replace(false) {
            return;
        }
        if inner.adopted_count.fetch_add(1, Ordering::AcqRel) + 1 < self.count() {
            return;
        }
        let (data_dir, generation) = (inner.data_dir.clone(), inner.generation);
        let removed = blocking(move || remove_before(&data_dir, generation)).await;
        if let Err(error) = removed {
            // The next start finds them again, and nothing new in them.
            let (shard, message) = (self.id().index(), error.to_string());
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
