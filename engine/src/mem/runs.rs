//! Many texts in order, made some at a time: sorted runs, merged by a loser tree.
//!
//! ```text
//! texts ─► a run, sorted when it is full ─► … ─► merged, each text once ─► runs in order
//! ```
//!
//! A run is one allocation for hundreds of texts: a million are moved from shard to shard, and
//! dropped, in no time.
//!
//! Source: Knuth, The Art of Computer Programming 3, 5.4.1 (the tree of losers).

use std::cmp::Ordering;
use std::vec;

/// Order of texts; equal ones are the same.
pub type Order = fn(&[u8], &[u8]) -> Ordering;

/// A run is full once it has so many texts, or so many bytes of them: it is sorted in some 100 us.
pub const RUN_TEXTS: usize = 512;
const RUN_BYTES: usize = 64 << 10;

/// Texts one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    bytes: Vec<u8>,
    /// Where each of them ends in `bytes`.
    ends: Vec<usize>,
}

impl Run {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub fn get(&self, at: usize) -> Option<&[u8]> {
        let end = *self.ends.get(at)?;
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        Some(&self.bytes[start..end])
    }

    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).filter_map(|at| self.get(at))
    }

    fn last(&self) -> Option<&[u8]> {
        self.get(self.len().checked_sub(1)?)
    }

    fn push(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        self.ends.push(self.bytes.len());
    }

    fn is_full(&self) -> bool {
        self.len() >= RUN_TEXTS || self.bytes.len() >= RUN_BYTES
    }

    /// The first `count_max` of its texts in order, each once.
    fn sorted(&self, order: Order, count_max: usize) -> Run {
        let mut texts: Vec<&[u8]> = self.iter().collect();
        texts.sort_unstable_by(|a, b| order(a, b));
        texts.dedup();
        texts.truncate(count_max);
        let mut sorted = Run::default();
        sorted.bytes.reserve_exact(texts.iter().map(|text| text.len()).sum());
        sorted.ends.reserve_exact(texts.len());
        texts.into_iter().for_each(|text| sorted.push(text));
        sorted
    }
}

/// Sorts texts that come in any order, a run at a time.
#[derive(Debug)]
pub struct RunSort {
    order: Order,
    /// So many are wanted: the first ones.
    count_max: usize,
    open: Run,
    closed: Vec<Run>,
    /// What is not before it is not wanted: there are `count_max` texts up to it.
    bound: Option<Box<[u8]>>,
}

impl RunSort {
    /// For the first `count_max` texts in `order`.
    pub fn new(order: Order, count_max: usize) -> RunSort {
        RunSort { order, count_max, open: Run::default(), closed: vec![], bound: None }
    }

    /// Takes a text in. Amortised O(bytes).
    pub fn push(&mut self, text: &[u8]) {
        let is_behind = |bound: &[u8]| (self.order)(text, bound).is_ge();
        if self.bound.as_deref().is_some_and(is_behind) || self.open.last() == Some(text) {
            return;
        }
        self.open.push(text);
    }

    /// Sorts the open run if it is full. Returns how many texts it had; `None` if it is not.
    ///
    /// Cost: O(n log n), for [`RUN_TEXTS`] and what came since.
    pub fn sort_full(&mut self) -> Option<usize> {
        self.open.is_full().then(|| self.close())
    }

    fn close(&mut self) -> usize {
        let run = std::mem::take(&mut self.open);
        let sorted = run.sorted(self.order, self.count_max);
        if sorted.len() == self.count_max
            && let Some(last) = sorted.last()
        {
            self.bound = Some(last.into());
        }
        if !sorted.is_empty() {
            self.closed.push(sorted);
        }
        run.len()
    }

    /// Nothing comes any more: gives the merge of all. Sorts the open run.
    pub fn finish(&mut self) -> RunMerge {
        self.close();
        let inputs = std::mem::take(&mut self.closed).into_iter().map(|run| vec![run]).collect();
        RunMerge::new(inputs, self.order, self.count_max)
    }
}

/// Runs of one input, in order.
#[derive(Debug)]
struct Input {
    run: Run,
    /// The next text of `run`.
    at: usize,
    left: vec::IntoIter<Run>,
}

impl Input {
    fn new(runs: Vec<Run>) -> Input {
        let mut input = Input { run: Run::default(), at: 0, left: runs.into_iter() };
        input.skip_empty();
        input
    }

    fn skip_empty(&mut self) {
        while self.at >= self.run.len() {
            let next = self.left.next();
            let is_last = next.is_none();
            // What was merged is given back at once, not all of it at the end.
            (self.run, self.at) = (next.unwrap_or_default(), 0);
            if is_last {
                break;
            }
        }
    }

    fn first(&self) -> Option<&[u8]> {
        self.run.get(self.at)
    }
}

/// Merges sorted inputs, each text once, some at a time.
#[derive(Debug)]
pub struct RunMerge {
    order: Order,
    /// How many more are wanted.
    left: usize,
    inputs: Vec<Input>,
    /// Of the matches between inputs who lost; at the top who won all. Inputs are its leaves, behind.
    tree: Vec<u32>,
    open: Run,
    merged: Vec<Run>,
}

impl RunMerge {
    /// For the first `count_max` texts of `inputs`, each of which is in `order`, run after run.
    ///
    /// Cost: O(inputs).
    pub fn new(inputs: Vec<Vec<Run>>, order: Order, count_max: usize) -> RunMerge {
        let inputs: Vec<Input> = inputs.into_iter().map(Input::new).collect();
        let (tree, open, merged) = (vec![0; inputs.len()], Run::default(), vec![]);
        let mut merge = RunMerge { order, left: count_max, inputs, tree, open, merged };
        merge.play_all();
        merge
    }

    /// Plays every match once, from the leaves up.
    fn play_all(&mut self) {
        let count = self.inputs.len();
        let mut winners: Vec<u32> = vec![0; count];
        winners.extend(0..count as u32); // Runs fit into memory.
        for node in (1..count).rev() {
            let (a, b) = (winners[2 * node], winners[2 * node + 1]);
            let (winner, loser) = if self.is_before(b, a) { (b, a) } else { (a, b) };
            (winners[node], self.tree[node]) = (winner, loser);
        }
        if let Some(top) = self.tree.first_mut() {
            *top = if count == 1 { 0 } else { winners[1] };
        }
    }

    /// Whether the first text of an input is before that of another. One without a text is behind.
    fn is_before(&self, input: u32, other: u32) -> bool {
        match (self.inputs[input as usize].first(), self.inputs[other as usize].first()) {
            (Some(text), Some(other)) => (self.order)(text, other).is_lt(),
            (text, _) => text.is_some(),
        }
    }

    /// Merges until some `work_max` texts are compared. Returns how many were; `None` when all is
    /// merged.
    ///
    /// Cost: O(log inputs) comparisons a text: some 100 us for 2048 of them.
    pub fn step(&mut self, work_max: usize) -> Option<usize> {
        let each = 1 + self.inputs.len().max(1).ilog2() as usize;
        let mut work = 0;
        while work < work_max {
            let top = self.tree.first().map_or(0, |&top| top as usize);
            let Some(text) = self.inputs.get(top).and_then(Input::first).filter(|_| self.left > 0)
            else {
                break;
            };
            let last = self.open.last().or_else(|| self.merged.last().and_then(Run::last));
            if last != Some(text) {
                self.open.push(text);
                self.left -= 1;
            }
            self.inputs[top].at += 1;
            self.inputs[top].skip_empty();
            self.replay(top as u32);
            work += each;
            if self.open.is_full() {
                self.merged.push(std::mem::take(&mut self.open));
            }
        }
        if work == 0 && !self.open.is_empty() {
            self.merged.push(std::mem::take(&mut self.open));
        }
        (work > 0).then_some(work)
    }

    /// Plays the matches on the way from an input to the top, after it changed.
    fn replay(&mut self, input: u32) {
        let (mut winner, mut node) = (input, (self.inputs.len() + input as usize) / 2);
        while node > 0 {
            if self.is_before(self.tree[node], winner) {
                std::mem::swap(&mut self.tree[node], &mut winner);
            }
            node /= 2;
        }
        self.tree[0] = winner;
    }

    /// What is merged: all, after [`RunMerge::step`] has said so.
    pub fn take_merged(&mut self) -> Vec<Run> {
        std::mem::take(&mut self.merged)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn merged(mut merge: RunMerge, work_max: usize) -> Vec<Run> {
        while let Some(work) = merge.step(work_max) {
            // The last text may be compared with all that it meets on its way.
            assert!(work < work_max + 64, "{work}");
        }
        merge.take_merged()
    }

    fn texts(runs: &[Run]) -> Vec<Vec<u8>> {
        runs.iter().flat_map(Run::iter).map(<[u8]>::to_vec).collect()
    }

    proptest! {
        /// Texts of several sorts come out of their merge as out of a set.
        #[test]
        fn runs_are_merged_as_in_a_set(
            all in prop::collection::vec(prop::collection::vec(0..5000u32, 0..2500), 0..5),
            count_max in prop_oneof![Just(usize::MAX), 0..6usize, 0..2000usize],
            work_max in prop_oneof![Just(1usize), 1..3000usize],
        ) {
            let order: Order = |a, b| b.cmp(a);
            let mut inputs = vec![];
            for numbers in &all {
                let mut sort = RunSort::new(order, count_max);
                for number in numbers {
                    sort.push(number.to_string().as_bytes());
                    sort.sort_full();
                }
                inputs.push(merged(sort.finish(), work_max));
            }
            let found = merged(RunMerge::new(inputs, order, count_max), work_max);
            prop_assert!(found.iter().all(|run| (1..=RUN_TEXTS).contains(&run.len())));
            let expected: BTreeSet<Vec<u8>> =
                all.iter().flatten().map(|number| number.to_string().into()).collect();
            let expected: Vec<Vec<u8>> = expected.into_iter().rev().take(count_max).collect();
            prop_assert_eq!(texts(&found), expected);
        }
    }

    /// Of many texts only those are kept that may be among the first.
    #[test]
    fn what_is_not_wanted_is_not_kept() {
        let mut sort = RunSort::new(<[u8]>::cmp, 10);
        for number in 0..100_000u32 {
            sort.push(number.wrapping_mul(2_654_435_769).to_string().as_bytes());
            sort.sort_full();
        }
        let kept: usize = sort.closed.iter().map(Run::len).sum::<usize>() + sort.open.len();
        assert!(kept < 1000, "{kept}");
        assert_eq!(texts(&merged(sort.finish(), 100)).len(), 10);
    }

    #[test]
    fn long_texts_make_short_runs() {
        let mut sort = RunSort::new(<[u8]>::cmp, usize::MAX);
        let text = |number: usize| [vec![number as u8], vec![b'x'; RUN_BYTES / 2]].concat();
        for number in (0..9).rev() {
            sort.push(&text(number));
            sort.sort_full();
        }
        let runs = merged(sort.finish(), 1);
        assert_eq!(runs.len(), 5);
        assert_eq!(texts(&runs), (0..9).map(text).collect::<Vec<_>>());
    }
}
