//! Metadata that senders of remote_write state, on its way to the store.
//!
//! Senders repeat themselves: protocol 2 with each series of each request. So a shard remembers
//! what it handed on, and only what is new costs more than a lookup.

use std::hash::BuildHasher;

use engine::model::MetricType;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use shards::FamilyMetadata;

use crate::wire::remote_write::{Decoded, Metadata, MetadataOwner};

/// Most families that are remembered. With more the memory begins anew, and what it knew is handed
/// on once more.
const FAMILY_COUNT_MAX: usize = 1 << 16;

/// What the senders of one shard stated last. A hash stands for a text.
#[derive(Default)]
pub struct Stated {
    /// By family.
    contents: HashMap<u64, u64, RandomState>,
    hasher: RandomState,
}

impl Stated {
    /// What `decoded` states anew, and now counts as stated. `request` is what it was decoded from.
    pub fn take_new(&mut self, decoded: &Decoded, request: &[u8]) -> Vec<FamilyMetadata> {
        let mut new = vec![];
        for metadata in &decoded.metadata {
            let Metadata { metric_type, help, unit, .. } = *metadata;
            let (help, unit) = (help.of(request), unit.of(request));
            let family = family(decoded, request, metadata);
            let says_nothing =
                metric_type == MetricType::Unknown && help.is_empty() && unit.is_empty();
            if family.is_empty() || says_nothing {
                continue;
            }
            let content = self.hasher.hash_one((metric_type.as_str(), help, unit));
            let key = self.hasher.hash_one(family);
            if self.contents.get(&key) == Some(&content) {
                continue;
            }
            if self.contents.len() == FAMILY_COUNT_MAX {
                self.contents.clear();
            }
            self.contents.insert(key, content);
            let text = |bytes| String::from_utf8_lossy(bytes).into();
            new.push(FamilyMetadata {
                family: text(family),
                kind: metric_type.as_str().into(),
                help: text(help),
                unit: text(unit),
            });
        }
        new
    }

    /// What was taken could not be stored: it is new again when it is stated again.
    pub fn forget(&mut self) {
        self.contents.clear();
    }
}

fn family<'a>(decoded: &'a Decoded, request: &'a [u8], metadata: &Metadata) -> &'a [u8] {
    match metadata.owner {
        MetadataOwner::Family(name) => name.of(request),
        MetadataOwner::Series(series) => {
            let name = decoded.batch.labels(series).get(b"__name__");
            family_of_series(name, metadata.metric_type)
        }
    }
}

/// The family of a series: classic histograms and summaries are several series.
fn family_of_series(name: &[u8], metric_type: MetricType) -> &[u8] {
    let suffixes: &[&[u8]] = match metric_type {
        MetricType::Histogram => &[b"_bucket", b"_count", b"_sum"],
        MetricType::GaugeHistogram => &[b"_bucket", b"_gcount", b"_gsum"],
        MetricType::Summary => &[b"_count", b"_sum"],
        _ => &[],
    };
    let without = suffixes.iter().find_map(|suffix| name.strip_suffix(*suffix));
    without.unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::remote_write::Span;

    #[track_caller]
    fn check(name: &str, metric_type: MetricType, expected: &str) {
        assert_eq!(family_of_series(name.as_bytes(), metric_type), expected.as_bytes());
    }

    #[test]
    fn series_belong_to_families() {
        check("a_bucket", MetricType::Histogram, "a");
        check("a_sum", MetricType::Summary, "a");
        check("a_bucket", MetricType::Summary, "a_bucket");
        check("a_count", MetricType::Gauge, "a_count");
        check("a_total", MetricType::Counter, "a_total");
    }

    #[test]
    fn only_what_is_new_is_handed_on() {
        let request = b"up1 if up";
        let span = |start, end| Span { start, end };
        let up = |help| Metadata {
            owner: MetadataOwner::Family(span(0, 2)),
            metric_type: MetricType::Gauge,
            help,
            unit: span(2, 3),
        };
        let mut stated = Stated::default();
        let mut decoded = Decoded { metadata: vec![up(span(4, 9)); 2], ..Decoded::default() };
        let new = stated.take_new(&decoded, request);
        let FamilyMetadata { family, kind, help, unit } = &new[0];
        assert_eq!((&**family, &**kind, &**help, &**unit), ("up", "gauge", "if up", "1"));
        assert_eq!(new.len(), 1);
        decoded.metadata = vec![up(span(4, 6))];
        assert_eq!(stated.take_new(&decoded, request).len(), 1);
        assert!(stated.take_new(&decoded, request).is_empty());
        stated.forget();
        assert_eq!(stated.take_new(&decoded, request).len(), 1);
    }
}
