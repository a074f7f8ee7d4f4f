//! The records that name series: ids with label sets. A set is written as what it does not share with the
//! one before it, position by position: series that come together differ in a label or two.

use super::columns::ID_BYTES_MAX;
use super::segment::le_u32;
use crate::index::Index;
use crate::limits::LABEL_SET_BYTES_MAX;
use crate::mem::varint::{VARINT_BYTES_MAX, push_i64, push_u64, take_bytes, take_i64, take_u64};
use crate::model::LabelsRef;
use crate::model::labels::take_label;

/// Epoch.
const SERIES_HEADER_BYTES: usize = 4;

/// Positions of a label set at which a label may be that of the set before: bits of a word.
const SHARED_COUNT_MAX: usize = u64::BITS as usize;

/// Most bytes that one series takes in a series record, besides its labels: id, number of labels, which
/// of them are shared.
pub(super) const SERIES_BYTES_MAX: usize = ID_BYTES_MAX + 5 + VARINT_BYTES_MAX;

/// Whoever has the label sets that a record is to name.
pub trait LabelSets {
    /// The labels of a series in their order, each by a number that no other label has.
    fn pairs(&self, series: u32) -> impl Iterator<Item = u32>;

    /// The label of this number.
    fn pair(&self, pair: u32) -> LabelsRef<'_>;
}

impl LabelSets for Index {
    #[inline]
    fn pairs(&self, series: u32) -> impl Iterator<Item = u32> {
        Index::pairs(self, series)
    }

    #[inline]
    fn pair(&self, pair: u32) -> LabelsRef<'_> {
        Index::pair(self, pair)
    }
}

/// Appends the body of a series record.
pub(super) fn push_series(
    out: &mut Vec<u8>,
    epoch: u32,
    series: impl Iterator<Item = u32>,
    sets: &impl LabelSets,
) {
    out.extend_from_slice(&epoch.to_le_bytes());
    let mut previous = 0i64;
    // Labels at the positions that may be shared: of the series before, then of this one.
    let (mut labels, mut before_count) = ([0; SHARED_COUNT_MAX], 0);
    for id in series {
        push_i64(out, i64::from(id) - previous);
        previous = i64::from(id);
        let (mut count, mut shared) = (0, 0u64);
        for pair in sets.pairs(id) {
            if let Some(label) = labels.get_mut(count) {
                let is_shared = count < before_count && *label == pair;
                shared |= u64::from(is_shared) << count;
                *label = pair;
            }
            count += 1;
        }
        push_u64(out, count as u64);
        push_u64(out, shared);
        before_count = count.min(SHARED_COUNT_MAX);
        for (position, &pair) in labels[..before_count].iter().enumerate() {
            if shared >> position & 1 == 0 {
                out.extend_from_slice(sets.pair(pair).as_bytes());
            }
        }
        if count > SHARED_COUNT_MAX {
            let others = sets.pairs(id).skip(SHARED_COUNT_MAX);
            others.for_each(|pair| out.extend_from_slice(sets.pair(pair).as_bytes()));
        }
    }
}

/// How a record writes label sets.
#[derive(Clone, Copy, Debug)]
enum Form {
    /// Each by itself, as the first version did.
    Whole,
    /// By what it does not share with the one before.
    Shared,
}

/// Series ids with their label sets: [`SeriesRecord::next`] gives one after the other.
#[derive(Clone, Debug)]
pub struct SeriesRecord<'a> {
    /// Which start of the process gave the ids.
    pub epoch: u32,
    form: Form,
    /// Id of the series before.
    previous: i64,
    /// Nothing was read yet.
    is_fresh: bool,
    rest: &'a [u8],
}

/// The label set read last; reused.
#[derive(Clone, Debug, Default)]
pub struct LabelSet {
    bytes: Vec<u8>,
    /// End of each label.
    ends: Vec<u32>,
    /// Room for the next one.
    next_bytes: Vec<u8>,
    next_ends: Vec<u32>,
}

impl<'a> SeriesRecord<'a> {
    pub(super) fn parse_whole(body: &'a [u8]) -> Option<Self> {
        SeriesRecord::parse(body, Form::Whole)
    }

    pub(super) fn parse_shared(body: &'a [u8]) -> Option<Self> {
        SeriesRecord::parse(body, Form::Shared)
    }

    fn parse(body: &'a [u8], form: Form) -> Option<Self> {
        let (epoch, rest) = body.split_at_checked(SERIES_HEADER_BYTES)?;
        Some(SeriesRecord { epoch: le_u32(epoch, 0), form, previous: 0, is_fresh: true, rest })
    }

    /// The next series; `None` inside: the record is malformed from here on. `set` is the same in all
    /// calls for a record.
    pub fn next<'s>(&mut self, set: &'s mut LabelSet) -> Option<Option<(u32, LabelsRef<'s>)>>
    where
        'a: 's,
    {
        if self.rest.is_empty() {
            return None;
        }
        let item = match self.form {
            Form::Whole => self.take_whole(),
            Form::Shared => self.take_shared(set),
        };
        if item.is_none() {
            self.rest = &[];
        }
        Some(item)
    }

    fn take_whole(&mut self) -> Option<(u32, LabelsRef<'a>)> {
        let id = u32::try_from(take_u64(&mut self.rest)?).ok()?;
        let length = usize::try_from(take_u64(&mut self.rest)?).ok()?;
        let labels = LabelsRef::from_untrusted(take_bytes(&mut self.rest, length)?)?;
        Some((id, labels))
    }

    fn take_shared<'s>(&mut self, set: &'s mut LabelSet) -> Option<(u32, LabelsRef<'s>)> {
        if std::mem::take(&mut self.is_fresh) {
            set.clear();
        }
        let rest = &mut self.rest;
        self.previous = self.previous.checked_add(take_i64(rest)?)?;
        let id = u32::try_from(self.previous).ok()?;
        let count = take_u64(rest)?;
        let shared = take_u64(rest)?;
        set.take(count, shared, rest)?;
        Some((id, LabelsRef::from_untrusted(&set.bytes)?))
    }
}

impl LabelSet {
    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// Replaces the set by one of `count` labels; those with a bit in `shared` are as before, the others
    /// are taken from `rest`. Each that is taken has bytes, so `count` is bounded by them.
    fn take(&mut self, count: u64, shared: u64, rest: &mut &[u8]) -> Option<()> {
        self.next_bytes.clear();
        self.next_ends.clear();
        for position in 0..count {
            let is_shared = position < SHARED_COUNT_MAX as u64 && shared >> position & 1 == 1;
            let label = match is_shared {
                true => label(&self.bytes, &self.ends, position as usize)?,
                false => take_label(rest)?,
            };
            if self.next_bytes.len() + label.len() > LABEL_SET_BYTES_MAX {
                return None;
            }
            self.next_bytes.extend_from_slice(label);
            self.next_ends.push(self.next_bytes.len() as u32);
        }
        std::mem::swap(&mut self.bytes, &mut self.next_bytes);
        std::mem::swap(&mut self.ends, &mut self.next_ends);
        Some(())
    }
}

fn label<'b>(bytes: &'b [u8], ends: &[u32], position: usize) -> Option<&'b [u8]> {
    let end = *ends.get(position)? as usize;
    let start = position.checked_sub(1).map_or(0, |before| ends[before] as usize);
    Some(&bytes[start..end])
}
