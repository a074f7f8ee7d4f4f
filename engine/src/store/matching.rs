//! The series of the head, or of a block, that match one set of matchers at least: found in steps,
//! whatever they are found for.
//!
//! Series may leave the head between two steps; they are in a block before. Whoever begins with the
//! head, and asks [`Store::blocks_in`] when it is done with it, misses none.

use roaring::RoaringBitmap;

use super::Store;
use super::guests::AnyBlock;
use super::select::source_error;
use super::selecting::STEP_WORK;
use crate::index::{CompiledMatcher, Listing, Search};
use crate::model::{Matcher, SourceError};

/// Where series are.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Head,
    Block(AnyBlock),
}

/// The series of a place in the making: those of one set after the other.
#[derive(Default)]
pub(super) struct Matching {
    /// The sets before are done.
    set: usize,
    search: Option<Search>,
    found: RoaringBitmap,
}

/// The sets, ready to run. Errors: an expression of a matcher is none.
pub(super) fn compile_all(
    matcher_sets: &[Vec<Matcher>],
) -> Result<Vec<Vec<CompiledMatcher>>, SourceError> {
    let compile =
        |matchers: &Vec<Matcher>| CompiledMatcher::compile(matchers).map_err(source_error);
    matcher_sets.iter().map(compile).collect()
}

impl Matching {
    /// Goes on until that took about `work_max`, see [`Search::step`]. Place and sets are the same in
    /// each step. Returns what it cost, in decoded samples; `None` when nothing was left to do.
    pub fn step(
        &mut self,
        store: &Store,
        place: &Place,
        sets: &[Vec<CompiledMatcher>],
        work_max: usize,
    ) -> Result<Option<usize>, SourceError> {
        let Some(matchers) = sets.get(self.set) else { return Ok(None) };
        let mut search = self.search.take().unwrap_or_else(|| place.begin_search(store));
        let work = place.search_more(store, &mut search, matchers, work_max)?;
        match search.take_found() {
            None => self.search = Some(search),
            Some(found) => {
                self.found |= place.keep_own(found);
                self.set += 1;
            }
        }
        Ok(Some(STEP_WORK + work))
    }

    /// What matches, when all is done. Some may have left the head since.
    pub fn into_found(self) -> RoaringBitmap {
        self.found
    }
}

impl Place {
    fn begin_search(&self, store: &Store) -> Search {
        match self {
            Place::Head => Search::new(store.head.index()),
            Place::Block(block) => block.begin_search(),
        }
    }

    fn search_more(
        &self,
        store: &Store,
        search: &mut Search,
        matchers: &[CompiledMatcher],
        work_max: usize,
    ) -> Result<usize, SourceError> {
        match self {
            Place::Head => {
                search.step(store.head.index(), matchers, work_max).map_err(source_error)
            }
            Place::Block(block) => {
                block.search_more(search, matchers, work_max).map_err(source_error)
            }
        }
    }

    fn keep_own(&self, found: RoaringBitmap) -> RoaringBitmap {
        match self {
            Place::Head => found,
            Place::Block(block) => block.keep_own(found),
        }
    }

    /// All series; `None`: all that the place has.
    pub fn own_series(&self) -> Option<RoaringBitmap> {
        match self {
            Place::Head => None,
            Place::Block(block) => block.own_series(),
        }
    }

    /// Goes on with a listing, see [`Listing::step`].
    pub fn list_more(
        &self,
        store: &Store,
        listing: &mut Listing,
        work_max: usize,
        f: impl FnMut(&[u8]),
    ) -> Result<Option<usize>, SourceError> {
        match self {
            Place::Head => listing.step(store.head.index(), work_max, f).map_err(source_error),
            Place::Block(block) => block.list_more(listing, work_max, f).map_err(source_error),
        }
    }
}
