//! Blocks of Prometheus for whoever copies them elsewhere.
//!
//! What ran beside Prometheus and copied its blocks (the sidecar of Thanos) has listed those that it
//! was done with: they are there, and are passed over.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;

use engine::block::BlockId;
use engine::block::prometheus::{Source, SourceBlock, uploaded_blocks};
use engine::model::TimeRange;

use super::{Guest, Guests};

/// Where the sidecar of Thanos lists what it has copied.
const UPLOADED: &str = "thanos.shipper.json";

impl Guests {
    /// The served blocks that nobody has copied, with samples in `range`.
    fn to_copy(&self, range: TimeRange) -> Vec<Arc<Guest>> {
        let uploaded = self.uploaded();
        let replaced = self.replaced();
        let mut opened = self.opened();
        opened.retain(|(id, guest)| {
            let survey = &guest.survey;
            !replaced.contains(id)
                && survey.min_ms <= range.max_ms
                && range.min_ms <= survey.max_ms
                && !guest.block.meta().is_in(uploaded)
        });
        opened.into_iter().map(|(_, guest)| guest).collect()
    }

    fn uploaded(&self) -> &BTreeSet<BlockId> {
        self.uploaded.get_or_init(|| {
            let listed = fs::read(self.root.join(UPLOADED));
            listed.map(|bytes| uploaded_blocks(&bytes)).unwrap_or_default()
        })
    }

    /// Timestamp of the oldest sample from `from_ms` on that is to be copied. Blocks: the first call
    /// reads a file.
    pub fn oldest_to_copy_ms(&self, from_ms: i64) -> Option<i64> {
        let since = self.to_copy(TimeRange { min_ms: from_ms, max_ms: i64::MAX });
        since.iter().map(|guest| guest.survey.min_ms.max(from_ms)).min()
    }

    /// The blocks to be copied that overlap `range`, each with the timestamp of its first sample.
    pub fn sources(&self, range: TimeRange) -> Vec<(i64, Source)> {
        let source = |guest: Arc<Guest>| {
            let tombstones = guest.tombstones().clone();
            let block = SourceBlock::Prometheus(guest.block.clone());
            (guest.survey.min_ms, Source { block, tombstones })
        };
        self.to_copy(range).into_iter().map(source).collect()
    }
}
