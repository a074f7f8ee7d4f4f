//! Names of labels, or values of a name, of all series or of a selection, in steps.
//!
//! ```text
//! names   ─► each whose postings have any of the selection
//! values  ─► each whose postings have any of the selection
//!         └─► of a selection of fewer series than values: what its series have
//! ```
//!
//! Series may come and go between two steps, as with [`super::search`]: names and values that some
//! series has all the time are listed, others perhaps; a value may be listed twice.

use std::ops::Range;

use roaring::{RoaringBitmap, bitmap};

use super::searched::{ProbeFrom, Probed, Searched, Set};

/// What it takes to get at a text and to keep it, in postings that are united.
const TEXT_WORK: usize = 16;

/// What it takes to read the label of a series.
const READ_WORK: usize = 8;

/// Values that are looked at together, when each is held against a selection.
const BATCH_VALUES: u32 = 16;

/// A list of names or values in the making.
pub(crate) struct Listing {
    wanted: Wanted,
    /// Those of all series without.
    selection: Option<RoaringBitmap>,
    doing: Doing,
    buffer: Vec<u8>,
}

enum Wanted {
    Names,
    /// Values of this name.
    Values(Box<[u8]>),
}

enum Doing {
    Begun,
    /// Names from `next` on are left; of that one the series were looked at up to `from`.
    Names {
        next: u32,
        from: ProbeFrom,
    },
    /// What is left of the values of a name, from the last to the first.
    Values {
        name: u32,
        left: Range<u32>,
        probes: Probes,
    },
    /// What is left of the selection.
    Reading {
        name: u32,
        left: bitmap::IntoIter,
    },
}

/// Values that are held against the selection, the next one last.
#[derive(Default)]
struct Probes {
    texts: Vec<u8>,
    /// A pair, and where its value begins in `texts`.
    pairs: Vec<(u32, usize)>,
    /// Of the next one.
    from: ProbeFrom,
}

impl Listing {
    /// The names that series have, of `selection` or of all.
    pub fn names(selection: Option<RoaringBitmap>) -> Listing {
        Listing::new(Wanted::Names, selection)
    }

    /// The values that series have under `name`, of `selection` or of all.
    pub fn values(name: &[u8], selection: Option<RoaringBitmap>) -> Listing {
        Listing::new(Wanted::Values(name.into()), selection)
    }

    fn new(wanted: Wanted, selection: Option<RoaringBitmap>) -> Listing {
        Listing { wanted, selection, doing: Doing::Begun, buffer: vec![] }
    }

    /// All in steps that take about `work_max` each: sorted, each once.
    #[cfg(test)]
    pub fn in_steps<S: Searched>(
        mut self,
        source: &S,
        work_max: usize,
    ) -> Result<Vec<Vec<u8>>, S::Error> {
        let mut all = std::collections::BTreeSet::new();
        while self
            .step(source, work_max, |text| {
                all.insert(text.to_vec());
            })?
            .is_some()
        {}
        Ok(all.into_iter().collect())
    }

    /// Goes on until that took about `work_max`, see [`super::Search::step`], and calls `f` with what
    /// it lists, in any order. The source is the same in each step. Returns what it took; `None` when
    /// nothing is left.
    ///
    /// Cost: some 100 us for 8192; postings of the whole index are held against the selection at once,
    /// which takes about 10 us for each million of series. Errors: those of the source.
    pub fn step<S: Searched>(
        &mut self,
        source: &S,
        work_max: usize,
        mut f: impl FnMut(&[u8]),
    ) -> Result<Option<usize>, S::Error> {
        let mut work = 0;
        while work < work_max {
            let more = match &mut self.doing {
                Doing::Begun => self.begin(source)?,
                Doing::Names { .. } => self.list_name(source, work_max - work, &mut f)?,
                Doing::Values { .. } => self.list_values(source, work_max - work, &mut f)?,
                Doing::Reading { .. } => self.read(source, work_max - work, &mut f)?,
            };
            let Some(more) = more else { return Ok((work > 0).then_some(work)) };
            work += more;
        }
        Ok(Some(work))
    }

    fn begin<S: Searched>(&mut self, source: &S) -> Result<Option<usize>, S::Error> {
        self.doing = match &self.wanted {
            Wanted::Names => Doing::Names { next: 0, from: ProbeFrom::default() },
            Wanted::Values(name) => {
                let Some(name) = source.find_name(name)? else { return Ok(None) };
                let left = source.values(name, b"")?.places;
                match self.selection.take() {
                    Some(selection) if selection.len() < left.len() as u64 => {
                        Doing::Reading { name, left: selection.into_iter() }
                    }
                    selection => {
                        self.selection = selection;
                        Doing::Values { name, left, probes: Probes::default() }
                    }
                }
            }
        };
        Ok(Some(TEXT_WORK))
    }

    /// Lists the next name, if it has series.
    fn list_name<S: Searched>(
        &mut self,
        source: &S,
        room: usize,
        f: &mut impl FnMut(&[u8]),
    ) -> Result<Option<usize>, S::Error> {
        let Doing::Names { next, from } = &mut self.doing else { return Ok(None) };
        if *next >= source.name_count() {
            return Ok(None);
        }
        let set = Set::Name(*next);
        let Probed { work, has_any } = match &self.selection {
            None => Probed { work: 0, has_any: Ok(source.cost(set)? > 0) },
            Some(selection) => source.probe(set, *from, room, selection)?,
        };
        match has_any {
            Err(further) => *from = further,
            Ok(has_any) => {
                let name = source.name(*next)?;
                // A source may have one for its own use.
                if has_any && !name.is_empty() {
                    f(name);
                }
                (*next, *from) = (*next + 1, ProbeFrom::default());
            }
        }
        Ok(Some(TEXT_WORK + work))
    }

    /// Lists some values from the last to the first: one that is dropped makes room for the last one,
    /// which was listed before.
    fn list_values<S: Searched>(
        &mut self,
        source: &S,
        room: usize,
        f: &mut impl FnMut(&[u8]),
    ) -> Result<Option<usize>, S::Error> {
        let Doing::Values { name, left, probes } = &mut self.doing else { return Ok(None) };
        let take = |left: &mut Range<u32>, count: u32| {
            let taken = left.end.saturating_sub(count).max(left.start)..left.end;
            left.end = taken.start;
            taken
        };
        let Some(selection) = &self.selection else {
            if left.start >= left.end {
                return Ok(None);
            }
            let taken = take(left, (room / TEXT_WORK).clamp(1, u32::MAX as usize) as u32);
            source.each_value(*name, taken.clone(), |_, value, _| f(value))?;
            return Ok(Some(taken.len() * TEXT_WORK));
        };
        let mut work = 0;
        if probes.pairs.is_empty() {
            if left.start >= left.end {
                return Ok(None);
            }
            let taken = take(left, BATCH_VALUES);
            work += taken.len() * TEXT_WORK;
            probes.texts.clear();
            source.each_value(*name, taken, |pair, value, _| {
                probes.pairs.push((pair, probes.texts.len()));
                probes.texts.extend_from_slice(value);
            })?;
        }
        // A pair may be another one in the next step, but where sets can be left in the middle.
        while let Some(&(pair, start)) = probes.pairs.last() {
            let room = room.saturating_sub(work);
            let probed = source.probe(Set::Pair(pair), probes.from, room, selection)?;
            work += probed.work;
            match probed.has_any {
                Err(further) => {
                    probes.from = further;
                    break;
                }
                Ok(has_any) => {
                    if has_any {
                        f(&probes.texts[start..]);
                    }
                    probes.texts.truncate(start);
                    probes.pairs.pop();
                    probes.from = ProbeFrom::default();
                }
            }
        }
        Ok(Some(work))
    }

    /// Lists what some series of the selection have.
    fn read<S: Searched>(
        &mut self,
        source: &S,
        room: usize,
        f: &mut impl FnMut(&[u8]),
    ) -> Result<Option<usize>, S::Error> {
        let Doing::Reading { name, left } = &mut self.doing else { return Ok(None) };
        let work_each = TEXT_WORK + READ_WORK * S::VALUES_PER_SERIES as usize;
        let mut count = 0;
        for series in left.by_ref().take((room / work_each).max(1)) {
            count += 1;
            if let Some(value) = source.value_of(series, *name, &mut self.buffer)? {
                f(value);
            }
        }
        Ok((count > 0).then_some(count * work_each))
    }
}
