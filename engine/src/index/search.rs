//! Which series match, in steps: Prometheus's semantics, the cheapest matcher first.
//!
//! ```text
//! matchers ─► listed values looked up ─► plans, by cost
//! plan     ─► values tested ─► the side of fewer series ─► its postings united ─┬─► candidates
//!          └─► once candidates are few: their own labels tested ────────────────┘
//! ```
//!
//! A matcher becomes two facts: whether series without the label match, and the postings of the
//! values that match, or of those that do not, whichever are at hand. The candidates shrink from
//! matcher to matcher; once they are few, their own labels are tested instead.
//!
//! Series may come and go between two steps. A series keeps its id and its pairs as long as it lives,
//! and no id of a series is used again: whatever a step found holds for all that stay. An id of a
//! pair may stand for another pair later, whose series are all new; those that came and those that
//! went are taken out at the end.
//!
//! Source: Prometheus `tsdb/querier.go`, `PostingsForMatchers`: the same sets, another order.

use std::mem;
use std::ops::Range;
use std::sync::Arc;

use roaring::{RoaringBitmap, bitmap};

use super::matcher::CompiledMatcher;
use super::postings::sorted_bitmap;
use super::search_plan::{Ask, Needed, Next, Plan, Planning, Side};
use super::searched::{Census, Searched, Set, Values};

/// What it takes to test a value, in postings that are united: their order, mostly.
const TEST_WORK: usize = 8;

/// What it takes to intersect, unite or subtract two sets, whatever is in them.
const SET_WORK: usize = 64;

/// A selection of series in the making.
pub(crate) struct Search {
    /// What was there at the begin.
    census: Census,
    /// All series, where those of the source are more.
    all: Option<Arc<RoaringBitmap>>,
    /// Of the matchers that are left, the cheapest last.
    plans: Vec<Plan>,
    /// The series for which the matchers hold that were applied; `None` are all.
    candidates: Option<RoaringBitmap>,
    doing: Doing,
    /// Room for the labels of a series.
    buffer: Vec<u8>,
}

enum Doing {
    /// Plans are made.
    Planning(Planning),
    /// The next plan is begun.
    Choosing,
    /// What is left of `values` is tested, from the last to the first.
    Testing {
        ask: Ask,
        values: Values,
        sides: [Side; 2],
    },
    /// Labels of the candidates are tested.
    Reading {
        ask: Ask,
        left: bitmap::IntoIter,
        kept: RoaringBitmap,
    },
    /// Postings are united of what is left of the side, those of the last pair from `at` on.
    Uniting {
        ask: Ask,
        side: Side,
        at: usize,
        union: RoaringBitmap,
    },
    Found,
}

impl Search {
    /// Begins to search the series of `source` for which all matchers hold. Without matchers: all.
    pub fn new(source: &impl Searched) -> Search {
        Search::among(source, None)
    }

    /// As [`Search::new`]; only those count that are in `all`, others may be found.
    pub fn among(source: &impl Searched, all: Option<Arc<RoaringBitmap>>) -> Search {
        Search {
            census: source.census(),
            all,
            plans: vec![],
            candidates: None,
            doing: Doing::Planning(Planning::default()),
            buffer: vec![],
        }
    }

    /// All steps in a row.
    pub fn at_once<S: Searched>(
        source: &S,
        matchers: &[CompiledMatcher],
    ) -> Result<RoaringBitmap, S::Error> {
        let mut search = Search::new(source);
        search.step(source, matchers, usize::MAX)?;
        Ok(search.take_found().unwrap_or_default())
    }

    /// All in steps that take about `work_max` each.
    #[cfg(test)]
    pub fn in_steps<S: Searched>(
        source: &S,
        matchers: &[CompiledMatcher],
        work_max: usize,
    ) -> Result<RoaringBitmap, S::Error> {
        let mut search = Search::new(source);
        loop {
            search.step(source, matchers, work_max)?;
            if let Some(found) = search.take_found() {
                return Ok(found);
            }
        }
    }

    /// The series, once they are found. Of those that the source had from begin to end they are
    /// exactly those that match; of those that came or went meanwhile, none.
    pub fn take_found(&mut self) -> Option<RoaringBitmap> {
        match self.doing {
            Doing::Found => self.candidates.take(),
            _ => None,
        }
    }

    /// Whether series went since the begin: of these none is found.
    pub fn has_lost(&self, source: &impl Searched) -> bool {
        source.census().removal_count != self.census.removal_count
    }

    /// Goes on until that took about `work_max`, in postings that are united. Source and matchers are
    /// the same in each step. Returns what it took.
    ///
    /// Cost: some 100 us for 8192. Sets of the whole index are taken together at once, which takes about
    /// 10 us for each million of series. Errors: those of the source; the search is over then.
    pub fn step<S: Searched>(
        &mut self,
        source: &S,
        matchers: &[CompiledMatcher],
        work_max: usize,
    ) -> Result<usize, S::Error> {
        let mut work = 0;
        while work < work_max && !matches!(self.doing, Doing::Found) {
            let room = work_max - work;
            work += match mem::replace(&mut self.doing, Doing::Choosing) {
                Doing::Planning(planning) => self.plan(source, matchers, planning, room)?,
                Doing::Choosing => self.choose(source)?,
                Doing::Testing { ask, values, sides } => {
                    self.test(source, matchers, ask, values, sides, room)?
                }
                Doing::Reading { ask, left, kept } => {
                    self.read(source, matchers, ask, left, kept, room)?
                }
                Doing::Uniting { ask, side, at, union } => {
                    self.unite(source, ask, side, at, union, room)?
                }
                Doing::Found => 0,
            };
        }
        Ok(work)
    }

    /// Goes on making plans; sorts them when all are made.
    fn plan<S: Searched>(
        &mut self,
        source: &S,
        matchers: &[CompiledMatcher],
        planning: Planning,
        room: usize,
    ) -> Result<usize, S::Error> {
        let (next, work) = planning.step(source, matchers, &mut self.plans, room)?;
        match next {
            Next::More(planning) => self.doing = Doing::Planning(planning),
            Next::Planned => {
                self.plans.sort_by_key(|plan| (plan.ask.absent_matches, plan.cost));
                self.plans.reverse();
            }
            Next::NoneMatches => {
                self.candidates = Some(RoaringBitmap::new());
                self.doing = Doing::Found;
            }
        }
        Ok(work)
    }

    /// Begins the cheapest plan that is left.
    fn choose<S: Searched>(&mut self, source: &S) -> Result<usize, S::Error> {
        let is_none_left = self.candidates.as_ref().is_some_and(RoaringBitmap::is_empty);
        let Some(plan) = self.plans.pop().filter(|_| !is_none_left) else {
            let mut found = self.take_candidates(source)?;
            source.settle(self.census, &mut found);
            self.candidates = Some(found);
            self.doing = Doing::Found;
            return Ok(SET_WORK);
        };
        let ask = plan.ask;
        let tests = match &plan.needed {
            Needed::Untested(values) => values.places.len() as u64 / S::VALUES_PER_SERIES,
            Needed::Known(_) => plan.cost / S::COST_PER_SERIES,
        };
        if let Some(few) = self.candidates.take_if(|candidates| candidates.len() < tests) {
            let left = few.into_iter();
            self.doing = Doing::Reading { ask, left, kept: RoaringBitmap::new() };
            return Ok(0);
        }
        match plan.needed {
            Needed::Untested(values) => {
                self.doing = Doing::Testing { ask, values, sides: Default::default() };
                Ok(0)
            }
            Needed::Known(side) => self.apply(source, ask, side),
        }
    }

    /// Tests values; applies the side that fewer series are on when all are tested.
    fn test<S: Searched>(
        &mut self,
        source: &S,
        matchers: &[CompiledMatcher],
        ask: Ask,
        mut values: Values,
        mut sides: [Side; 2],
        room: usize,
    ) -> Result<usize, S::Error> {
        let matcher = &matchers[ask.matcher];
        let Range { start, end } = values.places;
        let count = (room / TEST_WORK).clamp(1, u32::MAX as usize) as u32;
        // A value that is dropped makes room for the last one, whose place was tested before: none is
        // missed from the last to the first.
        let tested = end.saturating_sub(count).max(start)..end;
        let before = [sides[0].pairs.len(), sides[1].pairs.len()];
        source.each_value(ask.name, tested.clone(), |pair, value, cost| {
            let side = &mut sides[usize::from(matcher.matches_value(value))];
            side.pairs.push(pair);
            side.cost += cost;
        })?;
        for (side, before) in sides.iter_mut().zip(before) {
            // They are taken from the end: the first ones, which have the oldest series, first.
            side.pairs[before..].reverse();
        }
        let work = TEST_WORK * tested.len();
        values.places.end = tested.start;
        if !values.places.is_empty() {
            self.doing = Doing::Testing { ask, values, sides };
            return Ok(work);
        }
        let [refused, mut matching] = sides;
        matching.is_matching = true;
        let takes_matching = if !S::HAS_SETS {
            !ask.absent_matches
        } else if !values.are_all {
            // Those that were not tested are refused by the test: they match if it is negated.
            !matcher.is_negated()
        } else {
            matching.cost <= refused.cost
        };
        Ok(work + self.apply(source, ask, if takes_matching { matching } else { refused })?)
    }

    /// Tests labels of candidates.
    fn read<S: Searched>(
        &mut self,
        source: &S,
        matchers: &[CompiledMatcher],
        ask: Ask,
        mut left: bitmap::IntoIter,
        mut kept: RoaringBitmap,
        room: usize,
    ) -> Result<usize, S::Error> {
        let matcher = &matchers[ask.matcher];
        let work_each = TEST_WORK * S::VALUES_PER_SERIES as usize;
        let count_max = (room / work_each).max(1);
        let (mut count, mut passing) = (0, vec![]);
        for series in left.by_ref().take(count_max) {
            count += 1;
            let passes = match source.value_of(series, ask.name, &mut self.buffer)? {
                None => ask.absent_matches,
                Some(value) => matcher.matches_value(value),
            };
            if passes {
                passing.push(series);
            }
        }
        kept.append(passing).expect("candidates ascend");
        if count < count_max {
            self.candidates = Some(kept);
        } else {
            self.doing = Doing::Reading { ask, left, kept };
        }
        Ok(count * work_each)
    }

    /// Keeps the candidates for which the matcher holds, or begins to unite the side for that.
    fn apply<S: Searched>(&mut self, source: &S, ask: Ask, side: Side) -> Result<usize, S::Error> {
        if !ask.absent_matches && !side.is_matching {
            self.keep(source, Set::Name(ask.name))?;
        }
        match (ask.absent_matches, side.is_matching, &side.pairs[..]) {
            (_, false, []) => {}
            (_, false, &[pair]) if S::HAS_SETS => {
                let mut left = self.take_candidates(source)?;
                source.subtract(Set::Pair(pair), &mut left)?;
                self.candidates = Some(left);
            }
            (false, true, &[pair]) if S::HAS_SETS => self.keep(source, Set::Pair(pair))?,
            _ => {
                self.doing = Doing::Uniting { ask, side, at: 0, union: RoaringBitmap::new() };
            }
        }
        Ok(SET_WORK)
    }

    /// Unites postings; holds them against the candidates when all are there.
    fn unite<S: Searched>(
        &mut self,
        source: &S,
        ask: Ask,
        mut side: Side,
        mut at: usize,
        mut union: RoaringBitmap,
        room: usize,
    ) -> Result<usize, S::Error> {
        let within = self.candidates.as_ref().filter(|all| all.len() < side.cost);
        let (mut few, mut work) = (vec![], 0);
        while work < room
            && let Some(&pair) = side.pairs.last()
        {
            let room = room - work;
            let united = source.unite(pair, at, room, within, &mut few, &mut union)?;
            work += united.work;
            at = united.next.unwrap_or_else(|| {
                side.pairs.pop();
                0
            });
        }
        // Mostly they come in order, or in some runs. A value may have been tested twice, at two places.
        few.sort();
        few.dedup();
        union |= sorted_bitmap(&few);
        if !side.pairs.is_empty() {
            self.doing = Doing::Uniting { ask, side, at, union };
            return Ok(work);
        }
        self.candidates = Some(match (ask.absent_matches, side.is_matching) {
            (_, false) => self.take_candidates(source)? - union,
            (false, true) => match self.candidates.take() {
                None => union,
                Some(candidates) => candidates & union,
            },
            (true, true) => {
                let mut left = self.take_candidates(source)?;
                let kept = &left & union;
                source.subtract(Set::Name(ask.name), &mut left)?;
                left | kept
            }
        });
        Ok(work + SET_WORK)
    }

    /// Keeps the candidates that are in a set.
    fn keep<S: Searched>(&mut self, source: &S, set: Set) -> Result<(), S::Error> {
        self.candidates = Some(match self.candidates.take() {
            None => source.series(set)?,
            Some(mut candidates) => {
                source.intersect(set, &mut candidates)?;
                candidates
            }
        });
        Ok(())
    }

    fn take_candidates<S: Searched>(&mut self, source: &S) -> Result<RoaringBitmap, S::Error> {
        match (self.candidates.take(), &self.all) {
            (Some(candidates), _) => Ok(candidates),
            (None, Some(all)) => Ok((**all).clone()),
            (None, None) => source.all_series(),
        }
    }
}
