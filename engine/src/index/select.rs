//! Which series match: Prometheus's semantics, the cheapest matcher first.
//!
//! A matcher becomes two facts: whether series without the label match, and the postings of the
//! values that match, or of those that do not, whichever are at hand. The candidates shrink from
//! matcher to matcher; once they are few, an expression runs over their own labels instead of
//! over all values of the name.
//!
//! Source: Prometheus `tsdb/querier.go`, `PostingsForMatchers`: the same sets, another order.

use roaring::RoaringBitmap;

use super::Index;
use super::matcher::CompiledMatcher;
use super::postings::{View, sorted_bitmap};

/// How many values can be tested in the time it takes to read the labels of one series and test
/// one of them.
const VALUES_PER_SERIES: u64 = 4;

/// What a matcher asks of the index.
struct Plan<'m> {
    matcher: &'m CompiledMatcher,
    name_id: u32,
    /// Series without the label match.
    absent_matches: bool,
    values: Values,
    /// About the number of series or values to be touched; orders the plans.
    cost: u64,
}

enum Values {
    /// The series of these pairs match, no other that has the label.
    Matching(Vec<u32>),
    /// The series of these pairs do not match, all others that have the label do.
    Refused(Vec<u32>),
    /// Not known before each value was tested.
    Untested,
}

impl Index {
    /// The series for which all `matchers` hold. Without matchers: all series.
    ///
    /// Cost: expressions that are no lists test each value of their name once, or each candidate.
    pub fn select(&self, matchers: &[CompiledMatcher]) -> RoaringBitmap {
        let mut plans = Vec::with_capacity(matchers.len());
        for matcher in matchers {
            match self.dictionary.find_name(matcher.name()) {
                Some(name_id) => plans.push(self.plan(matcher, name_id)),
                // No series has the label.
                None if matcher.matches_empty() => {}
                None => return RoaringBitmap::new(),
            }
        }
        plans.sort_by_key(|plan| (plan.absent_matches, plan.cost));
        let mut candidates = None;
        for plan in plans {
            let left = self.apply(plan, candidates);
            if left.is_empty() {
                return left;
            }
            candidates = Some(left);
        }
        candidates.unwrap_or_else(|| self.all_series())
    }

    fn plan<'m>(&self, matcher: &'m CompiledMatcher, name_id: u32) -> Plan<'m> {
        let dictionary = &self.dictionary;
        let values = match matcher.listed() {
            Some(values) => {
                let pairs = values
                    .iter()
                    .filter_map(|value| dictionary.find_pair(name_id, value))
                    .collect();
                if matcher.is_negated() { Values::Refused(pairs) } else { Values::Matching(pairs) }
            }
            None if matcher.accepts_all_set() && matcher.is_negated() => Values::Matching(vec![]),
            None if matcher.accepts_all_set() => Values::Refused(vec![]),
            None => Values::Untested,
        };
        let series_count = |pairs: &[u32]| -> u64 {
            pairs.iter().map(|&pair| u64::from(self.pair_series_count(pair))).sum()
        };
        let with_name = u64::from(dictionary.name_postings[name_id as usize].count());
        let cost = match &values {
            Values::Matching(pairs) => series_count(pairs),
            Values::Refused(pairs) => with_name + series_count(pairs),
            Values::Untested => with_name + self.value_count(name_id),
        };
        Plan { matcher, name_id, absent_matches: matcher.matches_empty(), values, cost }
    }

    /// The candidates for which the plan's matcher holds; `None` are all series.
    fn apply(&self, plan: Plan<'_>, candidates: Option<RoaringBitmap>) -> RoaringBitmap {
        let Plan { matcher, name_id, absent_matches, values, .. } = plan;
        let values = match (values, &candidates) {
            (Values::Untested, Some(few))
                if few.len() * VALUES_PER_SERIES < self.value_count(name_id) =>
            {
                let value = |series| self.value_of(series, name_id);
                let matching = few.iter().filter(|&series| matcher.matches_value(value(series)));
                return sorted_bitmap(&matching.collect::<Vec<u32>>());
            }
            (Values::Untested, _) => self.test_values(matcher, name_id),
            (values, _) => values,
        };
        let with_name = self.name_view(name_id);
        match (absent_matches, values) {
            (false, Values::Matching(pairs)) => match (&pairs[..], candidates) {
                (&[pair], Some(mut candidates)) => {
                    self.pair_view(pair).intersect(&mut candidates);
                    candidates
                }
                (_, Some(candidates)) => self.intersect_union(candidates, &pairs),
                (_, None) => self.union(&pairs),
            },
            (false, Values::Refused(pairs)) => {
                let mut left = match candidates {
                    None => with_name.to_bitmap(),
                    Some(mut candidates) => {
                        with_name.intersect(&mut candidates);
                        candidates
                    }
                };
                self.subtract(&mut left, &pairs);
                left
            }
            (true, Values::Matching(pairs)) => {
                let mut left = candidates.unwrap_or_else(|| self.all_series());
                let kept = &left & self.union(&pairs);
                with_name.subtract(&mut left);
                left | kept
            }
            (true, Values::Refused(pairs)) => {
                let mut left = candidates.unwrap_or_else(|| self.all_series());
                self.subtract(&mut left, &pairs);
                left
            }
            (_, Values::Untested) => unreachable!("the values were tested above"),
        }
    }

    /// Tests each value of the name; gives the side that fewer series are on.
    fn test_values(&self, matcher: &CompiledMatcher, name_id: u32) -> Values {
        let mut sides = [(0u64, vec![]), (0, vec![])];
        for &pair in &self.dictionary.name_pairs[name_id as usize] {
            let count = self.pair_series_count(pair);
            if count > 0 {
                let side =
                    &mut sides[usize::from(matcher.matches_value(self.dictionary.value(pair)))];
                side.0 += u64::from(count);
                side.1.push(pair);
            }
        }
        let [refused, matching] = sides;
        if matching.0 <= refused.0 {
            Values::Matching(matching.1)
        } else {
            Values::Refused(refused.1)
        }
    }

    /// The candidates that any of `pairs` holds.
    fn intersect_union(&self, candidates: RoaringBitmap, pairs: &[u32]) -> RoaringBitmap {
        let count: u64 = pairs.iter().map(|&pair| u64::from(self.pair_series_count(pair))).sum();
        if count <= candidates.len() {
            return candidates & self.union(pairs);
        }
        let mut common = vec![];
        for &pair in pairs {
            self.pair_view(pair).common(&candidates, &mut common);
        }
        common.sort_unstable();
        sorted_bitmap(&common)
    }

    fn union(&self, pairs: &[u32]) -> RoaringBitmap {
        if let [pair] = *pairs {
            return self.pair_view(pair).to_bitmap();
        }
        let mut union = RoaringBitmap::new();
        let mut listed = vec![];
        for &pair in pairs {
            let view = self.pair_view(pair);
            listed.extend_from_slice(view.list);
            if let Some(bitmap) = view.bitmap {
                union |= bitmap;
            }
        }
        // Values of one name share no series.
        listed.sort_unstable();
        union | sorted_bitmap(&listed)
    }

    fn subtract(&self, left: &mut RoaringBitmap, pairs: &[u32]) {
        match pairs {
            [] => {}
            [pair] => self.pair_view(*pair).subtract(left),
            _ => *left -= self.union(pairs),
        }
    }

    /// The value that a series has under a name; empty when it has none.
    fn value_of(&self, series: u32, name_id: u32) -> &[u8] {
        self.pair_of(series, name_id).map_or(b"", |pair| self.dictionary.value(pair))
    }

    /// The pair that a series has under a name.
    pub(super) fn pair_of(&self, series: u32, name_id: u32) -> Option<u32> {
        let mut pairs = self.sets.pairs(self.sets.handle(series));
        pairs.find(|&pair| self.dictionary.name_of_pair(pair) == name_id)
    }

    pub(super) fn pair_view(&self, pair_id: u32) -> View<'_> {
        debug_assert!(!self.is_many, "series are still added");
        self.store.view(&self.dictionary.pair_postings[pair_id as usize])
    }

    pub(super) fn pair_series_count(&self, pair_id: u32) -> u32 {
        self.dictionary.pair_postings[pair_id as usize].count()
    }

    pub(super) fn name_view(&self, name_id: u32) -> View<'_> {
        self.store.view(&self.dictionary.name_postings[name_id as usize])
    }

    /// Values of the name, those without series among them.
    fn value_count(&self, name_id: u32) -> u64 {
        self.dictionary.name_pairs[name_id as usize].len() as u64
    }
}
