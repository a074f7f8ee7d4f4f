//! What of the storage can change while it runs, and what shards know of each other's time: written
//! by few, read by every append.

use std::sync::atomic::{AtomicUsize, Ordering};

use engine::store::Store;

/// Of the whole process. Whoever configures it writes it, at any time.
#[derive(Debug)]
pub struct StorageSettings {
    exemplar_count_max: AtomicUsize,
}

impl Default for StorageSettings {
    fn default() -> Self {
        StorageSettings { exemplar_count_max: AtomicUsize::new(0) }
    }
}

impl StorageSettings {
    /// How many exemplars all shards keep together; zero: none.
    pub fn set_exemplar_count_max(&self, count_max: usize) {
        self.exemplar_count_max.store(count_max, Ordering::Relaxed);
    }

    /// Brings a store, one of `shard_count`, to what is set now. Cheap when nothing changed.
    pub(crate) fn apply(&self, store: &mut Store, shard_count: usize) {
        let exemplar_count_max = self.exemplar_count_max.load(Ordering::Relaxed);
        store.set_exemplar_count_max(exemplar_count_max.div_ceil(shard_count));
    }
}
