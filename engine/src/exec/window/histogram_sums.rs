//! `sum_over_time` and `avg_over_time` of native histograms: O(buckets) a window, where it can be
//! exact.
//!
//! A compensated sum depends on its first summand, so it runs over each window anew. Where all
//! histograms of a series have one layout and count in integers whose sums stay below 53 bits,
//! nothing is ever lost, and a difference of prefix sums is the very same histogram:
//!
//! ```text
//! prefixes   [before 0: count, zero, positive…, negative… | before 1: … | … ]
//! ```
//!
//! Their sums of observations are seldom integers: one number a histogram, they are summed anew.

use std::sync::Arc;

use crate::exec::sum::add;
use crate::model::FloatHistogram;
use crate::model::histogram::CounterReset;

use super::sums::{EXACT_MAX, is_exact};

/// Sums of observations up to here add up to what a float holds, however many there are.
const SUM_MAX: f64 = 1e290;

/// What a series' windows are summed from.
#[derive(Debug)]
pub(super) struct ExactSums {
    /// So many numbers before each histogram, and behind the last.
    width: usize,
    prefixes: Vec<f64>,
    /// Of the observations, by histogram.
    sums: Vec<f64>,
    /// How many before each histogram say so of a reset, by [`CounterReset`]; and behind the last.
    hints: Vec<[u32; 4]>,
}

/// The sum or mean of a window.
#[derive(Debug)]
pub(super) struct WindowSum {
    pub histogram: FloatHistogram,
    /// Some were reset, some say that they were not.
    pub resets_collide: bool,
}

impl ExactSums {
    /// `None`: the windows of these histograms cannot be summed so. O(buckets of all).
    pub fn of(list: &[Arc<FloatHistogram>]) -> Option<ExactSums> {
        let first = list.first()?;
        let width = numbers(first).count();
        let mut prefixes = Vec::with_capacity(width * (list.len() + 1));
        prefixes.resize(width, 0.0);
        let mut hints = vec![[0; 4]];
        let mut magnitude = 0.0;
        for histogram in list {
            let is_plain = first.adds_in_place(histogram)
                && histogram.sum.abs() <= SUM_MAX
                && !(histogram.uses_custom_bounds() && histogram.zero_count != 0.0);
            if !is_plain {
                return None;
            }
            let mut largest = 0.0f64;
            for number in numbers(histogram) {
                if !is_exact(number) {
                    return None;
                }
                largest = largest.max(number.abs());
                prefixes.push(prefixes[prefixes.len() - width] + number);
            }
            magnitude += largest;
            if magnitude > EXACT_MAX {
                return None;
            }
            let mut counted = hints[hints.len() - 1];
            counted[histogram.counter_reset as usize] += 1;
            hints.push(counted);
        }
        let sums = list.iter().map(|histogram| histogram.sum).collect();
        Some(ExactSums { width, prefixes, sums, hints })
    }

    /// Of the histograms `lo..hi`, which are not none; `first` is the first of them. O(buckets +
    /// histograms).
    pub fn over(&self, lo: usize, hi: usize, first: &FloatHistogram, averages: bool) -> WindowSum {
        let count = (hi - lo) as f64;
        let divided = |sum: f64| if averages { sum / count } else { sum };
        let row = |index: usize| &self.prefixes[index * self.width..][..self.width];
        let mut counts = row(hi).iter().zip(row(lo)).map(|(end, begin)| divided(end - begin));
        let mut next = || counts.next().expect("as many numbers as the first histogram has");
        let mut histogram = first.clone();
        histogram.count = next();
        histogram.zero_count = next();
        histogram.positive.buckets.iter_mut().for_each(|bucket| *bucket = next());
        histogram.negative.buckets.iter_mut().for_each(|bucket| *bucket = next());
        let begun = (self.sums[lo], 0.0);
        let (sum, lost) = self.sums[lo + 1..hi].iter().fold(begun, |sum, &value| add(value, sum));
        histogram.sum = divided(sum) + divided(lost);
        let counted =
            |hint: CounterReset| self.hints[hi][hint as usize] - self.hints[lo][hint as usize];
        if counted(CounterReset::Gauge) > 0 {
            histogram.counter_reset = CounterReset::Gauge;
        } else if counted(histogram.counter_reset) as usize != hi - lo {
            histogram.counter_reset = CounterReset::Unknown;
        }
        let resets_collide =
            counted(CounterReset::Reset) > 0 && counted(CounterReset::NotReset) > 0;
        WindowSum { histogram, resets_collide }
    }
}

/// What is counted, in a fixed order.
fn numbers(histogram: &FloatHistogram) -> impl Iterator<Item = f64> + '_ {
    let of_zero = [histogram.count, histogram.zero_count];
    let buckets = histogram.positive.buckets.iter().chain(&histogram.negative.buckets);
    of_zero.into_iter().chain(buckets.copied())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::ExactSums;
    use crate::exec::annotations::Annotations;
    use crate::exec::histogram_sum::HistogramSum;
    use crate::model::FloatHistogram;
    use crate::model::histogram::{CounterReset, Side, Span};

    fn histogram(counts: &[u32], sum: f64, hint: u8) -> FloatHistogram {
        let side = |offset: i32, counts: &[u32]| Side {
            spans: vec![Span { offset, length: counts.len() as u32 }],
            buckets: counts.iter().map(|&count| f64::from(count)).collect(),
        };
        FloatHistogram {
            counter_reset: [
                CounterReset::Unknown,
                CounterReset::NotReset,
                CounterReset::Reset,
                CounterReset::Gauge,
            ][usize::from(hint % 4)],
            zero_threshold: 1e-9,
            zero_count: f64::from(counts[0]),
            count: counts.iter().map(|&count| f64::from(count)).sum(),
            sum,
            positive: side(-2, &counts[1..3]),
            negative: side(3, &counts[3..]),
            ..FloatHistogram::default()
        }
    }

    /// Every window of the list, summed by prefixes and one by one.
    fn check(list: &[Arc<FloatHistogram>]) {
        let sums = ExactSums::of(list).expect("integers of one layout");
        for averages in [false, true] {
            for lo in 0..list.len() {
                for hi in lo + 1..=list.len() {
                    let fast = sums.over(lo, hi, &list[lo], averages);
                    let mut plain = HistogramSum::first(&list[lo], averages);
                    list[lo + 1..hi].iter().for_each(|next| plain.add(next).unwrap());
                    let mut annotations = Annotations::default();
                    let plain = plain.finish(&mut annotations, Default::default());
                    assert!(fast.histogram.equals(&plain), "{:?} {plain:?}", fast.histogram);
                    assert_eq!(fast.histogram.counter_reset, plain.counter_reset);
                    assert_eq!(fast.resets_collide, !annotations.is_empty());
                }
            }
        }
    }

    proptest! {
        #[test]
        fn prefixes_give_the_bits_of_the_plain_way(
            rows in prop::collection::vec((prop::array::uniform5(0u32..1000), -1e6f64..1e6, 0u8..4), 1..12),
        ) {
            let rows = rows.iter().map(|(counts, sum, hint)| histogram(counts, *sum, *hint));
            check(&rows.map(Arc::new).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_is_not_exact_is_left_to_the_plain_way() {
        let whole = histogram(&[1, 2, 3, 4, 5], 2.5, 0);
        let refuses = |edit: &dyn Fn(&mut FloatHistogram)| {
            let mut other = whole.clone();
            edit(&mut other);
            assert!(ExactSums::of(&[Arc::new(whole.clone()), Arc::new(other)]).is_none());
        };
        refuses(&|other| other.count = 0.5);
        refuses(&|other| other.count = -0.0);
        refuses(&|other| other.positive.buckets[0] = (1u64 << 53) as f64);
        refuses(&|other| other.sum = f64::INFINITY);
        refuses(&|other| other.zero_threshold = 1e-3);
        refuses(&|other| other.schema = 1);
        refuses(&|other| other.negative.spans[0].offset += 1);
        let mut wide = whole.clone();
        wide.zero_threshold = 1.0;
        assert!(ExactSums::of(&[Arc::new(wide)]).is_none(), "a bucket lies in the zero bucket");
    }
}
