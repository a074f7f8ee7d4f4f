//! Where the chunks of neighbouring series stand: what the heads of a group say, kept for the next series.
//!
//! A query reads series in the order of their ids, hundreds in a row from each group. To find one by
//! itself takes a walk over half of its group's heads.

use super::super::error::BlockError;
use super::read::Group;
use super::{Part, PartChunk};
use crate::mem::varint::take_u64;

/// The group of a part that was looked at last: of series from `first` to before `end`, which have
/// chunks, and where.
#[derive(Clone, Debug, Default)]
pub struct PartPlace {
    first: u32,
    end: u32,
    /// Where the runs of chunks begin in the file.
    runs: u64,
    /// Ascending; beside each, where its run ends behind `runs`.
    ids: Vec<u32>,
    run_ends: Vec<u64>,
}

impl Part {
    /// As [`Part::chunks`]; `place` is always given with this part.
    ///
    /// Cost: a search among some hundred ids; for the first series of a group, its heads.
    pub fn chunks_near<'a>(
        &'a self,
        series: u32,
        place: &mut PartPlace,
    ) -> Result<impl Iterator<Item = Result<PartChunk<'a>, BlockError>> + use<'a>, BlockError> {
        if !(place.first..place.end).contains(&series) {
            // What fails halfway is no place.
            let mut next = std::mem::take(place);
            self.look_at(series, &mut next)?;
            *place = next;
        }
        let run = match place.ids.binary_search(&series) {
            Ok(at) => {
                let start = at.checked_sub(1).map_or(0, |before| place.run_ends[before]);
                self.pages.get(place.runs + start, (place.run_ends[at] - start) as usize)?
            }
            Err(_) => &[],
        };
        Ok(self.chunks_of(run))
    }

    /// Reads the heads of the group that may have `series`.
    fn look_at(&self, series: u32, place: &mut PartPlace) -> Result<(), BlockError> {
        place.ids.clear();
        place.run_ends.clear();
        let Some(group) = self.find_group(series)? else {
            (place.first, place.end) = (0, self.group_first(0)?);
            return Ok(());
        };
        // Behind the last group stands the greatest id.
        (place.first, place.end) = (self.group_first(group)?, self.group_first(group + 1)?);
        let (_, _, group_end) = self.group_row(group)?;
        let Group { first, mut heads, runs, count } = self.group(group)?;
        place.runs = group_end - runs.len() as u64;
        let (mut id, mut run_end) = (first, 0u64);
        for _ in 0..count {
            let mut head = || -> Option<u32> {
                let step = u32::try_from(take_u64(&mut heads)?).ok()?;
                let length = take_u64(&mut heads)?;
                run_end = run_end.checked_add(length).filter(|&end| end <= runs.len() as u64)?;
                id.checked_add(step)
            };
            id = head().ok_or_else(|| self.broken("groups"))?;
            place.ids.push(id);
            place.run_ends.push(run_end);
        }
        Ok(())
    }
}
