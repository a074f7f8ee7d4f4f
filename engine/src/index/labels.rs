//! Names of labels and values of a label, of all series or of a selection.

use foldhash::fast::RandomState;
use hashbrown::HashSet;
use roaring::RoaringBitmap;

use super::Index;

impl Index {
    /// The names that series have, of `selection` or of all, sorted; the first `count_max`.
    pub fn label_names(&self, selection: Option<&RoaringBitmap>, count_max: usize) -> Vec<&[u8]> {
        let has_series = |name_id: &u32| match selection {
            None => !self.name_view(*name_id).is_empty(),
            Some(selection) => self.name_view(*name_id).intersects(selection),
        };
        let names = (0..self.dictionary.name_count()).filter(has_series);
        first_sorted(names.map(|name_id| self.dictionary.name(name_id)).collect(), count_max)
    }

    /// The values that series have under `name`, of `selection` or of all, sorted; the first
    /// `count_max`.
    pub fn label_values(
        &self,
        name: &[u8],
        selection: Option<&RoaringBitmap>,
        count_max: usize,
    ) -> Vec<&[u8]> {
        let Some(name_id) = self.dictionary.find_name(name) else {
            return vec![];
        };
        let pairs = &self.dictionary.name_pairs[name_id as usize];
        let found: Vec<u32> = match selection {
            Some(selection) if selection.len() < pairs.len() as u64 => {
                let found = selection.iter().filter_map(|series| self.pair_of(series, name_id));
                found.collect::<HashSet<u32, RandomState>>().into_iter().collect()
            }
            Some(selection) => {
                let selected = |pair: &u32| self.pair_view(*pair).intersects(selection);
                pairs.iter().copied().filter(selected).collect()
            }
            None => {
                pairs.iter().copied().filter(|pair| !self.pair_view(*pair).is_empty()).collect()
            }
        };
        let values = found.into_iter().map(|pair| self.dictionary.value(pair));
        first_sorted(values.collect(), count_max)
    }
}

/// The `count_max` least of `strings`, sorted.
fn first_sorted(mut strings: Vec<&[u8]>, count_max: usize) -> Vec<&[u8]> {
    if count_max < strings.len() {
        strings.select_nth_unstable(count_max);
        strings.truncate(count_max);
    }
    strings.sort_unstable();
    strings
}
