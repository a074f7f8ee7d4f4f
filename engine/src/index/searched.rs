//! What a search, and a listing of names and values, ask of names, values and postings, wherever they
//! lie: see [`super::search`] and [`super::listing`].

use std::ops::Range;

use roaring::RoaringBitmap;

#[cfg(doc)]
use super::search::Search;

/// Series that belong together.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Set {
    /// Those that have a label of this name.
    Name(u32),
    /// Those that have this pair.
    Pair(u32),
}

/// Values of a name that have to be tested.
#[derive(Clone, Debug)]
pub(crate) struct Values {
    /// Among the values of the name.
    pub places: Range<u32>,
    /// No value stands outside of them.
    pub are_all: bool,
}

/// Which series there were at some time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Census {
    /// Ids of all series that came since are not below.
    pub id_end: u32,
    /// How often series were removed.
    pub removal_count: u64,
}

/// Series by their labels.
///
/// Names and pairs have numbers. That of a name stays, that of a pair as long as a series has it.
pub(crate) trait Searched {
    type Error;

    /// How many values can be tested in the time it takes to read the labels of one series and test one
    /// of them.
    const VALUES_PER_SERIES: u64;

    /// What can be read of postings in that time, in [`Searched::cost`].
    const COST_PER_SERIES: u64;

    /// What a value costs that has to be tested, beside the postings of its name.
    const VALUE_COST: u64;

    /// Sets lie as sets, also those of names: they are taken at once. Otherwise there are only lists of
    /// those of pairs, which are read some series at a time.
    const HAS_SETS: bool;

    /// What is there now.
    fn census(&self) -> Census {
        Census::default()
    }

    /// Takes those out of `found` that came or went since.
    fn settle(&self, _since: Census, _found: &mut RoaringBitmap) {}

    /// Numbers of names are below; what is below stays.
    fn name_count(&self) -> u32;

    fn name(&self, name: u32) -> Result<&[u8], Self::Error>;

    fn find_name(&self, name: &[u8]) -> Result<Option<u32>, Self::Error>;

    fn find_pair(&self, name: u32, value: &[u8]) -> Result<Option<u32>, Self::Error>;

    /// The values of a name that may begin with `prefix`.
    fn values(&self, name: u32, prefix: &[u8]) -> Result<Values, Self::Error>;

    /// Calls `f` with pair, value and [`Searched::cost`] of the values at some places; not of those
    /// that have no series.
    fn each_value(
        &self,
        name: u32,
        places: Range<u32>,
        f: impl FnMut(u32, &[u8], u64),
    ) -> Result<(), Self::Error>;

    /// The value that a series has under a name; `None` without the label, or if it went.
    fn value_of<'b>(
        &'b self,
        series: u32,
        name: u32,
        buffer: &'b mut Vec<u8>,
    ) -> Result<Option<&'b [u8]>, Self::Error>;

    /// About what it takes to read a set.
    fn cost(&self, set: Set) -> Result<u64, Self::Error>;

    fn all_series(&self) -> Result<RoaringBitmap, Self::Error>;

    fn series(&self, set: Set) -> Result<RoaringBitmap, Self::Error>;

    /// Keeps of `series` what is in the set.
    fn intersect(&self, set: Set, series: &mut RoaringBitmap) -> Result<(), Self::Error> {
        *series &= self.series(set)?;
        Ok(())
    }

    /// Takes the set out of `series`.
    fn subtract(&self, set: Set, series: &mut RoaringBitmap) -> Result<(), Self::Error> {
        *series -= self.series(set)?;
        Ok(())
    }

    /// Appends a short set to `few`, or unites a long one with `many`; what is not `within` may be left
    /// out. Begins at the series at `from`, and may stop when the work is `room`.
    fn unite(
        &self,
        pair: u32,
        from: usize,
        room: usize,
        within: Option<&RoaringBitmap>,
        few: &mut Vec<u32>,
        many: &mut RoaringBitmap,
    ) -> Result<United, Self::Error>;

    /// Whether the set has any of `series`. Begins at `from`, and may stop when the work is `room`; only
    /// what never changes stops.
    fn probe(
        &self,
        set: Set,
        from: ProbeFrom,
        room: usize,
        series: &RoaringBitmap,
    ) -> Result<Probed, Self::Error>;
}

/// How far a set was probed: what that means is the source's business.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ProbeFrom {
    pub value: u32,
    pub series: usize,
}

/// What was found out of a set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probed {
    /// See [`Search::step`].
    pub work: usize,
    /// Whether it has any; or where to go on.
    pub has_any: Result<bool, ProbeFrom>,
}

/// What was read of a set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct United {
    /// See [`Search::step`].
    pub work: usize,
    /// Where to go on; `None` when nothing is left.
    pub next: Option<usize>,
}
