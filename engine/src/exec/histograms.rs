//! The native histograms of one row.
//!
//! ```text
//! row     present  1 1 0 1     a point at the step, of either kind
//!         bits     0 1 0 1     which of them are histograms
//!         list       h   h     those, in the order of their steps
//! ```
//!
//! A row without histograms allocates nothing and costs one look at a length. A histogram is
//! shared: a sample that stands for many steps, or moves from rows to rows, is never copied.

use std::sync::Arc;

use crate::model::FloatHistogram;

use super::bits::{is_set, ones, set};

#[derive(Clone, Debug, Default)]
pub struct Histograms {
    /// Empty as long as `list` is.
    bits: Vec<u64>,
    list: Vec<Arc<FloatHistogram>>,
}

/// No histograms, to be lent.
pub static NONE: Histograms = Histograms { bits: Vec::new(), list: Vec::new() };

impl Histograms {
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub fn clear(&mut self) {
        self.bits.clear();
        self.list.clear();
    }

    /// Whether the point at `step` is a histogram.
    #[inline]
    pub fn holds(&self, step: usize) -> bool {
        !self.list.is_empty() && is_set(&self.bits, step)
    }

    pub fn get(&self, step: usize) -> Option<&Arc<FloatHistogram>> {
        self.holds(step).then(|| &self.list[self.rank(step)])
    }

    /// Histograms before `step`.
    fn rank(&self, step: usize) -> usize {
        let (word, bit) = (step / 64, step % 64);
        let whole: u32 = self.bits[..word].iter().map(|word| word.count_ones()).sum();
        (whole + (self.bits[word] & ((1 << bit) - 1)).count_ones()) as usize
    }

    /// Puts a histogram at `step` of a row whose bits take `words`. O(1) at the end, else O(steps).
    pub fn insert(&mut self, step: usize, words: usize, histogram: Arc<FloatHistogram>) {
        self.bits.resize(words, 0);
        let rank = self.rank(step);
        if is_set(&self.bits, step) {
            self.list[rank] = histogram;
        } else {
            set(&mut self.bits, step);
            self.list.insert(rank, histogram);
        }
    }

    /// Step and histogram, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Arc<FloatHistogram>)> {
        ones(&self.bits).zip(&self.list)
    }

    /// The points of `present` that are floats, word by word.
    pub fn floats<'a>(&'a self, present: &'a [u64]) -> impl Iterator<Item = u64> + 'a {
        let bits = |index| self.bits.get(index).copied().unwrap_or(0);
        present.iter().enumerate().map(move |(index, word)| word & !bits(index))
    }

    /// Takes the histograms out of `present`, so that floats alone are left.
    pub fn take_from(&mut self, present: &mut [u64]) -> Histograms {
        present.iter_mut().zip(&self.bits).for_each(|(present, bits)| *present &= !bits);
        std::mem::take(self)
    }

    /// Those at steps of `present`.
    pub fn masked(&self, present: &[u64]) -> Histograms {
        let mut masked = Histograms::default();
        for (step, histogram) in self.iter().filter(|(step, _)| is_set(present, *step)) {
            masked.insert(step, present.len(), histogram.clone());
        }
        masked
    }

    /// Memory of the histograms; what neighbours share counts once.
    pub fn bytes(&self) -> usize {
        let runs = self.list.chunk_by(Arc::ptr_eq);
        runs.map(|run| run[0].prometheus_bytes()).sum()
    }

    /// Samples they count as, less the one that each point counts as anyway.
    pub fn extra_samples(&self) -> usize {
        self.list.iter().map(|histogram| sample_count(histogram) - 1).sum()
    }
}

/// The samples that a histogram counts as: of 16 bytes each, with its timestamp.
///
/// Source: Prometheus `promql/value.go`, `HPoint.size`.
pub fn sample_count(histogram: &FloatHistogram) -> usize {
    (histogram.prometheus_bytes() + 8) / 16
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Histograms;
    use crate::model::FloatHistogram;

    fn histogram(sum: f64) -> Arc<FloatHistogram> {
        Arc::new(FloatHistogram { sum, ..FloatHistogram::default() })
    }

    #[test]
    fn histograms_stand_at_their_steps_in_whatever_order_they_came() {
        let mut histograms = Histograms::default();
        assert!(!histograms.holds(70));
        for step in [70, 3, 64, 3, 129] {
            histograms.insert(step, 3, histogram(step as f64));
        }
        let found: Vec<(usize, f64)> = histograms.iter().map(|(step, h)| (step, h.sum)).collect();
        assert_eq!(found, [(3, 3.0), (64, 64.0), (70, 70.0), (129, 129.0)]);
        assert_eq!(histograms.get(70).map(|h| h.sum), Some(70.0));
        assert!(histograms.get(71).is_none());
        let present = [1 << 3 | 1 << 5, 0, 1 << 1];
        assert_eq!(histograms.floats(&present).collect::<Vec<_>>(), [1 << 5, 0, 0]);
        let masked = histograms.masked(&present);
        assert_eq!(masked.iter().map(|(step, _)| step).collect::<Vec<_>>(), [3, 129]);
        // 168 bytes of a struct and 8 of its time.
        assert_eq!(masked.extra_samples(), 2 * (176 / 16 - 1));
        let mut bits = present;
        assert_eq!(histograms.take_from(&mut bits).iter().count(), 4);
        assert!(histograms.is_empty() && bits == [1 << 5, 0, 0]);
    }
}
