//! Keys that stand for some labels of a series: equal where the labels are.
//!
//! A source that has each pair of name and value once can name it by a number; whoever groups series
//! by labels then compares a few numbers instead of building and comparing bytes.

/// Which labels of a series count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptLabels {
    /// Sorted and unique.
    pub names: Vec<Box<[u8]>>,
    /// All but `names` count, not only those.
    pub without: bool,
}

impl KeptLabels {
    /// Whether no label counts, whatever there is.
    pub fn is_none(&self) -> bool {
        self.names.is_empty() && !self.without
    }
}

/// Keys of some series, one after the other; room that is filled again and again.
#[derive(Debug, Default)]
pub struct LabelKeys {
    /// Keys that were made in another epoch stand for other labels.
    pub epoch: u64,
    /// Room for a source: its own ids of the names that count.
    pub names: Vec<u32>,
    ids: Vec<u32>,
    /// Where each key ends, and whether the source knew it.
    ends: Vec<(u32, bool)>,
}

impl LabelKeys {
    pub fn clear(&mut self) {
        self.names.clear();
        self.ids.clear();
        self.ends.clear();
    }

    /// Adds the key of the next series: what `push` appends, if that returns true.
    #[inline]
    pub fn push(&mut self, push: impl FnOnce(&[u32], &mut Vec<u32>) -> bool) {
        let is_known = push(&self.names, &mut self.ids);
        self.ends.push((self.ids.len() as u32, is_known));
    }

    /// The key of the series that was pushed as number `at`; `None` when its labels must be looked at.
    #[inline]
    pub fn get(&self, at: usize) -> Option<&[u32]> {
        let &(end, is_known) = self.ends.get(at)?;
        let start = if at == 0 { 0 } else { self.ends[at - 1].0 };
        is_known.then(|| &self.ids[start as usize..end as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::LabelKeys;

    #[test]
    fn keys_are_found_by_their_number() {
        let mut keys = LabelKeys::default();
        for _ in 0..2 {
            keys.clear();
            keys.names.push(7);
            keys.push(|names, ids| {
                ids.extend(names);
                ids.push(1);
                true
            });
            keys.push(|_, _| false);
            keys.push(|_, _| true);
            assert_eq!(keys.get(0), Some(&[7, 1][..]));
            assert_eq!((keys.get(1), keys.get(2), keys.get(3)), (None, Some(&[][..]), None));
        }
    }
}
