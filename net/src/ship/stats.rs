//! What `/metrics` tells of shipping.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// Written by the shipper alone.
#[derive(Debug, Default)]
pub struct ShipStats {
    pub blocks: AtomicU64,
    pub bytes: AtomicU64,
    pub failures: AtomicU64,
    /// Everything before this was shipped; zero: nothing yet.
    pub shipped_before_ms: AtomicI64,
    /// Bytes of the block that is under way, and those of them that have arrived.
    pub current_bytes: AtomicU64,
    pub current_done_bytes: AtomicU64,
}

impl ShipStats {
    pub(super) fn begin(&self, bytes: u64) {
        self.current_bytes.store(bytes, Relaxed);
        self.current_done_bytes.store(0, Relaxed);
    }

    /// A piece has arrived, now or before.
    pub(super) fn advance(&self, bytes: u64, is_sent: bool) {
        self.current_done_bytes.fetch_add(bytes, Relaxed);
        if is_sent {
            self.bytes.fetch_add(bytes, Relaxed);
        }
    }

    pub(super) fn end(&self) {
        self.blocks.fetch_add(1, Relaxed);
        self.begin(0);
    }
}
