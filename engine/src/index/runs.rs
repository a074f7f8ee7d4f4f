//! Series that are added in a row share most of their labels: what they share is put into postings once
//! for all of them.
//!
//! ```text
//! name   series first..next have it | pair, of series pair_first..next
//! ```

use super::dictionary::Dictionary;
use super::postings::PostingsStore;

/// The series of a name that were added last, in a row, and are in no postings yet.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    first: u32,
    /// The id behind the last; none when it is `first`.
    next: u32,
    pair: u32,
    pair_first: u32,
}

/// A run for each name.
#[derive(Debug, Default)]
pub(super) struct Runs(Vec<Run>);

impl Runs {
    /// `series` has the name and the pair; its id is beyond those of the name before.
    #[inline]
    pub fn push(
        &mut self,
        dictionary: &mut Dictionary,
        store: &mut PostingsStore,
        name_id: u32,
        pair_id: u32,
        series: u32,
    ) {
        if self.0.len() <= name_id as usize {
            self.0.resize(name_id as usize + 1, Run::default());
        }
        let run = &mut self.0[name_id as usize];
        if run.next != series || run.first == run.next {
            run.end(dictionary, store, name_id);
            *run = Run { first: series, next: series + 1, pair: pair_id, pair_first: series };
            return;
        }
        if run.pair != pair_id {
            run.end_pair(dictionary, store);
            (run.pair, run.pair_first) = (pair_id, series);
        }
        run.next = series + 1;
    }

    /// Puts what is left into postings.
    pub fn end(self, dictionary: &mut Dictionary, store: &mut PostingsStore) {
        for (name_id, run) in (0..).zip(self.0) {
            run.end(dictionary, store, name_id);
        }
    }
}

impl Run {
    fn end(&self, dictionary: &mut Dictionary, store: &mut PostingsStore, name_id: u32) {
        if self.first < self.next {
            self.end_pair(dictionary, store);
            let postings = &mut dictionary.name_postings[name_id as usize];
            store.push_run(postings, self.first, self.next - 1);
        }
    }

    fn end_pair(&self, dictionary: &mut Dictionary, store: &mut PostingsStore) {
        let postings = &mut dictionary.pair_postings[self.pair as usize];
        store.push_run(postings, self.pair_first, self.next - 1);
    }
}
