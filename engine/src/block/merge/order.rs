//! The order of the head's series by their labels, found in turns.

use std::cmp::Ordering;

/// Ids that are sorted at once.
const RUN_COUNT: usize = 512;

/// Sorts series ids by labels: short runs first, then pairs of runs, over and over.
#[derive(Debug)]
pub struct LabelOrder {
    ids: Vec<u32>,
    merged: Vec<u32>,
    /// Length of sorted runs in `ids`; zero before the first pass.
    run: usize,
    /// Where the next pair of runs begins.
    at: usize,
}

impl LabelOrder {
    pub fn new(ids: Vec<u32>) -> LabelOrder {
        LabelOrder { ids, merged: vec![], run: 0, at: 0 }
    }

    /// Goes on until about `work_max` ids were moved. `Some` when all are in order.
    ///
    /// `compare` gives the order of the labels of two ids, and is the same in all turns.
    pub fn step(
        &mut self,
        compare: impl Fn(u32, u32) -> Ordering,
        work_max: usize,
    ) -> Option<Vec<u32>> {
        let mut work = 0;
        while work < work_max {
            if self.at >= self.ids.len() {
                if self.run > 0 {
                    std::mem::swap(&mut self.ids, &mut self.merged);
                    self.merged.clear();
                }
                self.run = if self.run == 0 { RUN_COUNT } else { 2 * self.run };
                self.at = 0;
                if self.run >= self.ids.len() {
                    return Some(std::mem::take(&mut self.ids));
                }
                self.merged.reserve(self.ids.len());
            }
            work += match self.run {
                0 => self.sort_run(&compare),
                _ => self.merge_runs(&compare, work_max - work),
            };
        }
        None
    }

    fn sort_run(&mut self, compare: &impl Fn(u32, u32) -> Ordering) -> usize {
        let end = (self.at + RUN_COUNT).min(self.ids.len());
        let run = &mut self.ids[self.at..end];
        run.sort_unstable_by(|&one, &other| compare(one, other));
        let count = run.len();
        self.at = end;
        count
    }

    /// Merges a pair of runs, or goes on with it; `work_max` ids at most.
    fn merge_runs(&mut self, compare: &impl Fn(u32, u32) -> Ordering, work_max: usize) -> usize {
        let middle = (self.at + self.run).min(self.ids.len());
        let end = (self.at + 2 * self.run).min(self.ids.len());
        // What was merged of this pair is in `merged` already: so many of the left run, the rest of
        // the right one.
        let done = self.merged.len() - self.at;
        let (mut left, mut right) = self.split_point(done, middle, end, compare);
        let count = (end - self.at - done).min(work_max);
        for _ in 0..count {
            let takes_left =
                right == end || (left < middle && compare(self.ids[left], self.ids[right]).is_lt());
            let next = if takes_left { &mut left } else { &mut right };
            self.merged.push(self.ids[*next]);
            *next += 1;
        }
        if done + count == end - self.at {
            self.at = end;
        }
        count.max(1)
    }

    /// Where a merge of `at..middle` and `middle..end` stands after `done` ids.
    fn split_point(
        &self,
        done: usize,
        middle: usize,
        end: usize,
        compare: &impl Fn(u32, u32) -> Ordering,
    ) -> (usize, usize) {
        // As many of the left as are less than the right's next: found by halving.
        let right_count = end - middle;
        let (mut low, mut high) = (done.saturating_sub(right_count), done.min(middle - self.at));
        while low < high {
            let from_left = (low + high) / 2;
            let from_right = done - from_left;
            let left_is_less = from_right > 0
                && compare(self.ids[self.at + from_left], self.ids[middle + from_right - 1])
                    .is_lt();
            if left_is_less {
                low = from_left + 1;
            } else {
                high = from_left;
            }
        }
        (self.at + low, middle + done - low)
    }
}

#[cfg(test)]
mod tests {
    use super::LabelOrder;
    use crate::model::Labels;

    #[test]
    fn turns_of_any_length_sort() {
        for count in [0u32, 1, 511, 512, 513, 1024, 3000, 5121] {
            // Label sets in no order: a permutation of the numbers, count being no multiple of 7919.
            let labels: Vec<Labels> = (0..count)
                .map(|n| Labels::from_pairs([("n", format!("{:05}", (n * 7919) % count.max(1)))]))
                .collect();
            let mut expected: Vec<u32> = (0..count).collect();
            expected.sort_by(|&one, &other| labels[one as usize].cmp(&labels[other as usize]));
            for work_max in [1, 100, 700, usize::MAX] {
                if work_max == 1 && count > 600 {
                    continue;
                }
                let mut order = LabelOrder::new((0..count).collect());
                let sorted = loop {
                    let compare =
                        |one: u32, other: u32| labels[one as usize].cmp(&labels[other as usize]);
                    if let Some(sorted) = order.step(compare, work_max) {
                        break sorted;
                    }
                };
                assert_eq!(sorted, expected, "{count} in turns of {work_max}");
            }
        }
    }
}
