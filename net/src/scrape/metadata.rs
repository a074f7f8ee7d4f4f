//! Type, help and unit of the metric families of one target, as its pages state them.
//!
//! Source: Prometheus `scrape/scrape.go` (`setType`, `setHelp`, `setUnit`, `iterDone`).

use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

/// Scrapes for which metadata outlives its metric.
const OUTLIVES_ITERATIONS: u32 = 10;

/// One family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FamilyMetadata {
    pub family: Box<str>,
    pub metric_type: Box<str>,
    pub help: Box<str>,
    pub unit: Box<str>,
}

/// Families of one target as others read them.
pub type SharedMetadata = Arc<[FamilyMetadata]>;

/// Which of the three texts a line states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    Type,
    Help,
    Unit,
}

#[derive(Default)]
pub struct MetadataCache {
    /// With the scrape that stated each last.
    families: HashMap<Box<[u8]>, (FamilyMetadata, u32), FixedState>,
    changed: bool,
    /// Since that scrape pages have one layout: what it stated, all later ones did.
    layout_since: Option<u32>,
}

impl MetadataCache {
    /// Notes what a line says. Allocates only for what is new.
    pub fn set(&mut self, iteration: u32, family: &[u8], field: Field, text: &[u8]) {
        if !self.families.contains_key(family) {
            let unknown = FamilyMetadata {
                family: String::from_utf8_lossy(family).into(),
                metric_type: "unknown".into(),
                help: "".into(),
                unit: "".into(),
            };
            self.families.insert(family.into(), (unknown, iteration));
            self.changed = true;
        }
        let (metadata, seen) = self.families.get_mut(family).expect("inserted above");
        *seen = iteration;
        let slot = match field {
            Field::Type => &mut metadata.metric_type,
            Field::Help => &mut metadata.help,
            Field::Unit => &mut metadata.unit,
        };
        if slot.as_bytes() != text {
            *slot = String::from_utf8_lossy(text).into();
            self.changed = true;
        }
    }

    /// The pages from scrape `iteration` on have one layout: their lines are not told any more.
    pub fn keep_layout(&mut self, iteration: u32) {
        self.layout_since = Some(iteration);
    }

    /// The layout ended with the scrape before `iteration`.
    pub fn forget_layout(&mut self, iteration: u32) {
        let Some(since) = self.layout_since.take() else { return };
        for (_, seen) in self.families.values_mut().filter(|(_, seen)| *seen >= since) {
            *seen = (*seen).max(iteration - 1);
        }
    }

    pub fn forget_unseen(&mut self, iteration: u32) {
        let before = self.families.len();
        let since = self.layout_since.unwrap_or(u32::MAX);
        if since < iteration && iteration - since != OUTLIVES_ITERATIONS + 1 {
            return; // What the layout does not state goes with one look.
        }
        self.families
            .retain(|_, (_, seen)| *seen >= since || iteration - *seen <= OUTLIVES_ITERATIONS);
        self.changed |= self.families.len() < before;
    }

    pub fn len(&self) -> usize {
        self.families.len()
    }

    pub fn is_empty(&self) -> bool {
        self.families.is_empty()
    }

    /// All families by name, if anything changed since the last call.
    pub fn changes(&mut self) -> Option<SharedMetadata> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        let mut families: Vec<FamilyMetadata> =
            self.families.values().map(|(metadata, _)| metadata.clone()).collect();
        families.sort_unstable_by(|a, b| a.family.cmp(&b.family));
        Some(families.into())
    }
}

#[cfg(test)]
mod tests {
    use super::{Field, MetadataCache};

    #[test]
    fn metadata_changes_are_told_once_and_outlive_their_metric() {
        let mut cache = MetadataCache::default();
        cache.set(1, b"up", Field::Type, b"gauge");
        cache.set(1, b"up", Field::Help, b"Health.");
        let families = cache.changes().unwrap();
        assert_eq!((&*families[0].metric_type, &*families[0].help), ("gauge", "Health."));
        cache.set(2, b"up", Field::Type, b"gauge");
        assert_eq!(cache.changes(), None);
        cache.forget_unseen(12);
        assert_eq!(cache.len(), 1);
        cache.forget_unseen(13);
        assert!(cache.is_empty());
        assert_eq!(cache.changes().unwrap().len(), 0);
    }
}
