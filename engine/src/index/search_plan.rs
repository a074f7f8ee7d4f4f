//! What the matchers of a search ask, and at what cost.

use super::matcher::CompiledMatcher;
use super::searched::{Searched, Set, Values};

/// What it takes to look a name or a value up, in postings that are united.
const FIND_WORK: usize = 16;

/// What a matcher asks of the index.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    /// Its number.
    pub matcher: usize,
    pub name: u32,
    /// Series without the label match.
    pub absent_matches: bool,
}

#[derive(Debug)]
pub(super) struct Plan {
    pub ask: Ask,
    pub needed: Needed,
    /// About what will be touched; orders the plans.
    pub cost: u64,
}

#[derive(Debug)]
pub(super) enum Needed {
    /// The postings of these.
    Known(Side),
    /// Those of one side, when each of these was tested.
    Untested(Values),
}

/// Pairs of a name.
#[derive(Debug, Default)]
pub(super) struct Side {
    /// Their series match, no other that has the label does; or they do not, and all others do.
    pub is_matching: bool,
    pub pairs: Vec<u32>,
    /// Of their postings.
    pub cost: u64,
}

/// Plans in the making: matchers from `matcher` on, values that it lists from `value` on.
#[derive(Debug, Default)]
pub(super) struct Planning {
    matcher: usize,
    value: usize,
    side: Side,
}

pub(super) enum Next {
    More(Planning),
    /// There is a plan for each matcher that does not match anyway.
    Planned,
    NoneMatches,
}

impl Planning {
    /// Makes the plan of one matcher, or looks up some of the values that it lists. Also returns the
    /// work.
    pub fn step<S: Searched>(
        mut self,
        source: &S,
        matchers: &[CompiledMatcher],
        plans: &mut Vec<Plan>,
        room: usize,
    ) -> Result<(Next, usize), S::Error> {
        let Some(matcher) = matchers.get(self.matcher) else { return Ok((Next::Planned, 0)) };
        let absent_matches = matcher.matches_empty();
        let next = Next::More(Planning { matcher: self.matcher + 1, ..Planning::default() });
        let mut work = FIND_WORK;
        let Some(name) = source.find_name(matcher.name())? else {
            // No series has the label.
            return Ok((if absent_matches { next } else { Next::NoneMatches }, work));
        };
        let listed = matcher.listed().unwrap_or_default();
        while let Some(value) = listed.get(self.value) {
            if work > FIND_WORK && work >= room {
                return Ok((Next::More(self), work));
            }
            if let Some(pair) = source.find_pair(name, value)? {
                self.side.pairs.push(pair);
                self.side.cost += source.cost(Set::Pair(pair))?;
            }
            self.value += 1;
            work += FIND_WORK;
        }
        let is_matching = if matcher.accepts_all_set() {
            // As if the empty value were listed, and all others accepted.
            matcher.is_negated()
        } else {
            !matcher.is_negated()
        };
        let needed = if matcher.listed().is_none() && !matcher.accepts_all_set() {
            Needed::Untested(source.values(name, matcher.prefix())?)
        } else if !S::HAS_SETS && is_matching == absent_matches {
            // Only together with the set of the name the side says which series match.
            Needed::Untested(source.values(name, b"")?)
        } else {
            Needed::Known(Side { is_matching, ..self.side })
        };
        let cost = match &needed {
            Needed::Known(side) if side.is_matching => side.cost,
            Needed::Known(side) => source.cost(Set::Name(name))? + side.cost,
            Needed::Untested(values) => {
                source.cost(Set::Name(name))? + S::VALUE_COST * values.places.len() as u64
            }
        };
        plans.push(Plan { ask: Ask { matcher: self.matcher, name, absent_matches }, needed, cost });
        Ok((next, work))
    }
}
