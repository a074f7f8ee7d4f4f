//! Label sets that come as numbers of labels, as parts have them: a label is looked up once, however many
//! series have it.

use super::{Index, IndexFull};
use crate::index::latest::Places;
use crate::limits::LABEL_SET_BYTES_MAX;
use crate::model::LabelsRef;

/// From the numbers that somebody gave to labels to the pairs of an index, as far as they are known.
#[derive(Debug, Default)]
pub struct PairMap {
    pairs: Vec<NumberedPair>,
    /// The set that is added.
    set: Vec<NumberedPair>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct NumberedPair {
    pub pair: u32,
    pub name: u32,
    /// Bytes of the label.
    pub bytes: u32,
}

/// No label was looked up by this number yet.
const UNKNOWN: NumberedPair = NumberedPair { pair: u32::MAX, name: u32::MAX, bytes: 0 };

impl PairMap {
    /// Forgets all: numbers mean something else from now on.
    pub fn clear(&mut self) {
        self.pairs.clear();
    }
}

impl Index {
    /// As [`Index::insert`], of a set whose labels have `numbers`, in order of their names; `label` is the
    /// one label of a number. No pair is dropped while `map` is in use.
    ///
    /// Cost: 1 ns a label, and what [`Index::insert`] costs for those that the series before did not have,
    /// without a look-up but for the first series that has one.
    pub fn insert_numbered<'l>(
        &mut self,
        series: u32,
        numbers: &[u32],
        map: &mut PairMap,
        label: impl Fn(u32) -> LabelsRef<'l>,
    ) -> Result<u32, IndexFull> {
        let PairMap { pairs, set } = map;
        set.clear();
        let mut text_bytes = 0;
        for &number in numbers {
            let known = pairs.get(number as usize).copied().unwrap_or(UNKNOWN);
            text_bytes += match known.pair == UNKNOWN.pair {
                true => label(number).as_bytes().len(),
                false => known.bytes as usize,
            };
            set.push(known);
        }
        if text_bytes > LABEL_SET_BYTES_MAX || self.dictionary.ids_free() < numbers.len() {
            return Err(IndexFull);
        }
        for (position, (own, &number)) in set.iter_mut().zip(numbers).enumerate() {
            if own.pair == UNKNOWN.pair {
                let (pair, name, value) =
                    label(number).iter().next_label().expect("a number stands for a label");
                let bytes = pair.as_bytes().len() as u32; // A label set's bytes fit.
                let name = self.dictionary.name_id(position, name);
                let pair = self.dictionary.pair_id(name, value, pair);
                *own = NumberedPair { pair, name, bytes };
                if pairs.len() <= number as usize {
                    pairs.resize(number as usize + 1, UNKNOWN);
                }
                pairs[number as usize] = *own;
            }
        }
        let Index { dictionary, store, sets, all, latest, .. } = self;
        let pairs = latest.add_pairs(&mut Places { dictionary, store, all }, series, set);
        let handle = sets.insert(series, pairs);
        self.added(text_bytes);
        Ok(handle)
    }

    /// As [`Index::is_set`], of the set whose labels have `numbers`: by their bytes, because a label may be
    /// in the index that was not looked up by its number yet.
    pub fn is_numbered_set<'l>(
        &self,
        handle: u32,
        numbers: &[u32],
        label: impl Fn(u32) -> LabelsRef<'l>,
    ) -> bool {
        let mut pairs = self.sets.pairs(handle);
        let is_next = |&number: &u32| {
            pairs.next().is_some_and(|pair| self.pair(pair).as_bytes() == label(number).as_bytes())
        };
        numbers.iter().all(is_next) && pairs.next().is_none()
    }
}
