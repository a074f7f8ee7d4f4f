//! What was deleted of the series of a head: intervals of time, in a file beside its parts.
//!
//! ```text
//! magic "HEARTHPD" | version: 4 | tables: varint
//! | ( part - part before: varint | table as in the tombstones of a block )* | CRC of all before: 4
//! ```
//!
//! A deletion is of what was stored when it came. All of that is in parts then, so it names the last of
//! them: what is stored later, into the same time too, lies in later parts and is not deleted.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::envelope::Envelope;
use super::super::error::{BlockError, Problem};
use super::super::id::BlockId;
use super::super::tombstones::{self, Tombstones};
use crate::mem::varint::{push_u64, take_u64};
use crate::model::TimeRange;

const ENVELOPE: Envelope = Envelope { magic: b"HEARTHPD", version: 1 };

/// Deleted intervals by series id, and by the last part from which they are deleted. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartTombstones {
    tables: BTreeMap<u64, Arc<Tombstones>>,
}

impl PartTombstones {
    /// Deletes `range` of a series from the parts up to `last_part`. Returns whether that says anything
    /// new. O(all that was deleted from the same parts) while others hold that.
    pub fn add(&mut self, series: u32, range: TimeRange, last_part: u64) -> bool {
        range.min_ms <= range.max_ms
            && Arc::make_mut(self.tables.entry(last_part).or_default()).add(series, range)
    }

    /// Deleted intervals of a series in the part `part`, ascending. They do not touch each other.
    pub fn get(&self, series: u32, part: u64) -> Cow<'_, [TimeRange]> {
        let tables = self.tables.range(part..).map(|(_, table)| table.get(series));
        let mut tables = tables.filter(|intervals| !intervals.is_empty());
        let Some(first) = tables.next() else { return Cow::Borrowed(&[]) };
        let Some(second) = tables.next() else { return Cow::Borrowed(first) };
        let mut all = Tombstones::default();
        for intervals in [first, second].into_iter().chain(tables) {
            for &interval in intervals {
                all.add(series, interval);
            }
        }
        Cow::Owned(all.get(series).to_vec())
    }

    /// Deleted intervals of a series in the parts of earlier processes with another number of shards:
    /// all that was deleted since.
    pub fn of_series(&self, series: u32) -> Cow<'_, [TimeRange]> {
        self.get(series, 0)
    }

    /// Without what is deleted from parts before `first_part` alone: they are gone.
    pub fn since(&self, first_part: u64) -> PartTombstones {
        let left = self.tables.range(first_part..);
        PartTombstones { tables: left.map(|(&part, table)| (part, table.clone())).collect() }
    }

    /// The last part of which anything was deleted; zero: of none.
    pub fn last_part(&self) -> u64 {
        self.tables.last_key_value().map_or(0, |(&part, _)| part)
    }

    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// The file.
    pub fn encode(&self) -> Vec<u8> {
        ENVELOPE.seal(|out| {
            push_u64(out, self.tables.len() as u64);
            let mut previous = 0;
            for (&part, table) in &self.tables {
                push_u64(out, part - previous);
                table.push(out);
                previous = part;
            }
        })
    }

    /// Reads the file. One that has the form of a block's tombstones names no parts: `last_part` is the
    /// last that there is, and it is of all.
    ///
    /// Errors: it is none, or it is damaged.
    pub fn decode(file: &[u8], last_part: u64) -> Result<PartTombstones, BlockError> {
        if tombstones::ENVELOPE.has(file) {
            let table = Tombstones::decode(file, BlockId::default())?;
            let tables = (!table.is_empty()).then(|| (last_part, table.into()));
            return Ok(PartTombstones { tables: tables.into_iter().collect() });
        }
        let error = |problem| BlockError { file: "tombstones of parts".into(), problem };
        let mut bytes = ENVELOPE.open(file).map_err(error)?;
        take(&mut bytes)
            .filter(|_| bytes.is_empty())
            .ok_or_else(|| error(Problem::Broken("tombstones")))
    }
}

fn take(bytes: &mut &[u8]) -> Option<PartTombstones> {
    let mut tables = BTreeMap::new();
    let mut part = 0u64;
    for _ in 0..take_u64(bytes)? {
        part = part.checked_add(take_u64(bytes)?)?;
        tables.insert(part, Tombstones::take(bytes)?.into());
    }
    Some(PartTombstones { tables })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range((min_ms, max_ms): (i64, i64)) -> TimeRange {
        TimeRange { min_ms, max_ms }
    }

    /// Deletions of series 7: interval and last part.
    fn deleted(all: &[((i64, i64), u64)]) -> PartTombstones {
        let mut tombstones = PartTombstones::default();
        for &(interval, part) in all {
            tombstones.add(7, range(interval), part);
        }
        tombstones
    }

    #[test]
    fn a_deletion_is_of_the_parts_that_there_were() {
        #[track_caller]
        fn check(all: &[((i64, i64), u64)], expected: &[(u64, &[(i64, i64)])]) {
            let tombstones = deleted(all);
            for &(part, expected) in expected {
                let expected: Vec<TimeRange> = expected.iter().map(|&pair| range(pair)).collect();
                assert_eq!(*tombstones.get(7, part), expected, "part {part}");
                assert!(tombstones.get(8, part).is_empty());
            }
            let file = tombstones.encode();
            assert_eq!(PartTombstones::decode(&file, 99), Ok(tombstones));
            for bit in 0..file.len() * 8 {
                let mut broken = file.clone();
                broken[bit / 8] ^= 1 << (bit % 8);
                assert!(PartTombstones::decode(&broken, 99).is_err());
                assert!(PartTombstones::decode(&file[..bit / 8], 99).is_err());
            }
        }
        check(&[], &[(0, &[]), (1, &[])]);
        check(&[((5, 4), 3)], &[(1, &[])]);
        check(&[((1, 4), 3)], &[(1, &[(1, 4)]), (3, &[(1, 4)]), (4, &[])]);
        check(
            &[((1, 4), 3), ((3, 9), 5), ((20, 30), 5)],
            &[
                (2, &[(1, 9), (20, 30)]),
                (4, &[(3, 9), (20, 30)]),
                (5, &[(3, 9), (20, 30)]),
                (6, &[]),
            ],
        );
        check(&[((7, 8), 2), ((1, 2), 9)], &[(1, &[(1, 2), (7, 8)]), (3, &[(1, 2)])]);
        check(&[((i64::MIN, i64::MAX), u64::MAX)], &[(0, &[(i64::MIN, i64::MAX)])]);
    }

    #[test]
    fn what_is_of_parts_that_are_gone_is_forgotten() {
        #[track_caller]
        fn check(first_part: u64, expected: &[((i64, i64), u64)]) {
            let all = deleted(&[((1, 4), 3), ((3, 9), 5)]);
            assert_eq!(all.since(first_part), deleted(expected));
            assert_eq!(all.last_part(), 5);
        }
        check(0, &[((1, 4), 3), ((3, 9), 5)]);
        check(3, &[((1, 4), 3), ((3, 9), 5)]);
        check(4, &[((3, 9), 5)]);
        check(6, &[]);
    }

    #[test]
    fn a_file_that_names_no_parts_is_of_all() {
        let mut former = Tombstones::default();
        former.add(7, range((1, 4)));
        let id = BlockId::default();
        assert_eq!(PartTombstones::decode(&former.encode(id), 6), Ok(deleted(&[((1, 4), 6)])));
        let nothing = Tombstones::default().encode(id);
        assert_eq!(PartTombstones::decode(&nothing, 6), Ok(PartTombstones::default()));
    }
}
