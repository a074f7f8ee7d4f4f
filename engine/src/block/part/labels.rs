//! The labels of a part: ids of series with their label sets, by what each does not share with the one
//! before.
//!
//! ```text
//! a label   a number, given in the order in which labels come first; its bytes stand where it is given
//! a set     hash | how many labels | which are those of the set before | the numbers of the others
//! ```
//!
//! So a start looks each label up once, and takes sets in as numbers. The first version wrote bytes that
//! begin as those of the set before; they are numbered here as they are read.

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::read::Part;
use crate::block::error::BlockError;
use crate::block::pages::Section;
use crate::index::Index;
use crate::limits::LABEL_SET_BYTES_MAX;
use crate::mem::varint::{push_u64, take_bytes, take_u64};
use crate::model::LabelsRef;
use crate::model::labels::take_label;

/// Bytes of a part's labels that are looked at for the next entry, at first.
const WINDOW_BYTES: usize = 4096;

/// Most bytes of an entry: each label of the longest set has a length for its name, one for its value,
/// and a number.
const ENTRY_BYTES_MAX: usize = 4 * LABEL_SET_BYTES_MAX;

/// Positions of a set at which a label may be that of the set before: bits of a word.
const SHARED_COUNT_MAX: usize = u64::BITS as usize;

/// The version whose sets are bytes.
const BYTES_VERSION: u32 = 1;

/// Writes label sets.
#[derive(Debug, Default)]
pub(super) struct LabelsWriter {
    /// By pair of the index: its number and one more, zero before it has one.
    numbers: Vec<u32>,
    number_count: u32,
    /// Of the set before.
    pairs: Vec<u32>,
    /// Id of the series before.
    last: Option<u32>,
    /// Numbers of the labels that are not shared, and bytes of those that come first.
    others: Vec<u8>,
}

impl LabelsWriter {
    /// Appends the labels of a series of `index`; `hash` is the stable one. No pair is dropped from the
    /// index between two calls.
    ///
    /// # Panics
    ///
    /// On series out of order.
    pub fn push(&mut self, series: u32, hash: u64, index: &Index, out: &mut Vec<u8>) {
        assert!(self.last.is_none_or(|last| last < series), "series ids ascend");
        push_u64(out, u64::from(series - self.last.unwrap_or(0)));
        self.last = Some(series);
        out.extend_from_slice(&hash.to_le_bytes());
        let (mut count, mut shared) = (0, 0u64);
        self.others.clear();
        for pair in index.pairs(series) {
            if self.pairs.get(count) == Some(&pair) && count < SHARED_COUNT_MAX {
                shared |= 1 << count;
            } else {
                match self.pairs.get_mut(count) {
                    Some(place) => *place = pair,
                    None => self.pairs.push(pair),
                }
                self.push_label(pair, index);
            }
            count += 1;
        }
        self.pairs.truncate(count);
        push_u64(out, count as u64);
        push_u64(out, shared);
        out.extend_from_slice(&self.others);
    }

    fn push_label(&mut self, pair: u32, index: &Index) {
        let place = pair as usize;
        if self.numbers.len() <= place {
            self.numbers.resize(place + 1, 0);
        }
        if self.numbers[place] == 0 {
            push_u64(&mut self.others, u64::from(self.number_count));
            self.others.extend_from_slice(index.pair(pair).as_bytes());
            self.number_count += 1;
            self.numbers[place] = self.number_count;
        } else {
            push_u64(&mut self.others, u64::from(self.numbers[place] - 1));
        }
    }
}

/// A place among the labels of a part, and the labels of the series that was read last.
#[derive(Clone, Debug, Default)]
pub struct PartLabels {
    at: u64,
    id: u32,
    hash: u64,
    /// Numbers of its labels.
    numbers: Vec<u32>,
    labels: Numbered,
    /// Room for the next numbers.
    next: Vec<u32>,
    /// Room for its text, and in the first version the text itself.
    text: Vec<u8>,
    /// In the first version: where its labels end, and the numbers by label.
    ends: Vec<usize>,
    by_label: HashMap<Box<[u8]>, u32, RandomState>,
}

/// Labels by their number.
#[derive(Clone, Debug, Default)]
struct Numbered {
    /// Bytes of all labels, in canonical form.
    bytes: Vec<u8>,
    labels: Vec<Label>,
    /// Numbers of their names.
    names: HashMap<Box<[u8]>, u32, RandomState>,
}

#[derive(Clone, Copy, Debug)]
struct Label {
    end: usize,
    bytes: u32,
    name: u32,
}

impl Numbered {
    fn get(&self, number: u32) -> LabelsRef<'_> {
        let Label { end, bytes, .. } = self.labels[number as usize];
        LabelsRef::from_canonical(&self.bytes[end - bytes as usize..end])
    }

    fn name(&self, number: u32) -> &[u8] {
        self.get(number).iter().next().map_or(&[], |(name, _)| name)
    }

    /// Gives the next number to `label`; `None` when its bytes are no label.
    fn push(&mut self, label: &[u8]) -> Option<u32> {
        let (name, _) = LabelsRef::from_untrusted(label)?.iter().next()?;
        let number = u32::try_from(self.labels.len()).ok()?;
        let name = match self.names.get(name) {
            Some(&name) => name,
            None => {
                let next = self.names.len() as u32; // At most as many as labels.
                self.names.insert(name.into(), next);
                next
            }
        };
        self.bytes.extend_from_slice(label);
        let bytes = u32::try_from(label.len()).ok()?;
        self.labels.push(Label { end: self.bytes.len(), bytes, name });
        Some(number)
    }

    fn truncate(&mut self, count: usize) {
        self.labels.truncate(count);
        self.bytes.truncate(self.labels.last().map_or(0, |label| label.end));
    }
}

impl PartLabels {
    /// Goes on to the next series: its id and the stable hash of its labels.
    ///
    /// Cost: O(labels), some 2 ns each, and more for one that was not there before.
    ///
    /// Errors: the part is damaged here, or what stands here is no label set.
    pub fn next_set(&mut self, part: &Part) -> Result<Option<(u32, u64)>, BlockError> {
        let section = part.labels_section();
        let left = section.bytes.saturating_sub(self.at);
        if left == 0 {
            return Ok(None);
        }
        // Most entries are short; one that is not is read again with all that it may have.
        for window in [WINDOW_BYTES, WINDOW_BYTES + ENTRY_BYTES_MAX] {
            if self.take_window(part, section, left.min(window as u64) as usize)?.is_some() {
                debug_assert!(part.pages.version == BYTES_VERSION || self.is_hashed());
                return Ok(Some((self.id, self.hash)));
            }
        }
        Err(part.broken("labels"))
    }

    /// Takes the next entry if it ends within `window` bytes.
    fn take_window(
        &mut self,
        part: &Part,
        section: Section,
        window: usize,
    ) -> Result<Option<()>, BlockError> {
        let mut bytes = section.get(&part.pages, self.at, window)?;
        let taken = match part.pages.version {
            BYTES_VERSION => self.take_bytes(&mut bytes),
            _ => {
                let known_count = self.labels.labels.len();
                let taken = self.take_numbers(&mut bytes);
                if taken.is_none() {
                    self.labels.truncate(known_count);
                }
                taken
            }
        };
        if taken.is_some() {
            self.at += (window - bytes.len()) as u64;
        }
        Ok(taken)
    }

    /// The next series and its labels as text.
    pub fn next(&mut self, part: &Part) -> Result<Option<(u32, LabelsRef<'_>)>, BlockError> {
        let Some((id, _)) = self.next_set(part)? else { return Ok(None) };
        if part.pages.version != BYTES_VERSION {
            self.write_text();
        }
        Ok(Some((id, LabelsRef::from_canonical(&self.text))))
    }

    /// Whether the hash is that of the labels: whoever wrote it had them, and a page of it that is damaged
    /// is told by its sum.
    fn is_hashed(&mut self) -> bool {
        self.write_text();
        LabelsRef::from_canonical(&self.text).stable_hash() == self.hash
    }

    fn write_text(&mut self) {
        self.text.clear();
        for &number in &self.numbers {
            self.text.extend_from_slice(self.labels.get(number).as_bytes());
        }
    }

    /// Numbers of the labels of the series that was read last, in order of their names.
    pub fn numbers(&self) -> &[u32] {
        &self.numbers
    }

    /// Labels that have a number so far.
    pub fn number_count(&self) -> usize {
        self.labels.labels.len()
    }

    /// The one label of this number.
    pub fn label(&self, number: u32) -> LabelsRef<'_> {
        self.labels.get(number)
    }

    /// Takes an entry; `None`, and what was read before stays, when it is none or is cut short.
    fn take_numbers(&mut self, bytes: &mut &[u8]) -> Option<()> {
        let id = self.id.checked_add(u32::try_from(take_u64(bytes)?).ok()?)?;
        let hash = u64::from_le_bytes(*take_bytes(bytes, 8)?.first_chunk()?);
        let count = take_u64(bytes)?;
        let shared = take_u64(bytes)?;
        let (before, labels, next) = (&self.numbers, &mut self.labels, &mut self.next);
        next.clear();
        let mut set_bytes = 0;
        // Whether the label before has the name that stood at its position before.
        let mut has_same_name = true;
        for position in 0..count {
            let position = position as usize; // Each label has a bit or a byte.
            let was = before.get(position).copied();
            let number = match position < SHARED_COUNT_MAX && shared >> position & 1 == 1 {
                true => was?,
                false => {
                    let number = u32::try_from(take_u64(bytes)?).ok()?;
                    match (number as usize).cmp(&labels.labels.len()) {
                        std::cmp::Ordering::Less => number,
                        std::cmp::Ordering::Equal => labels.push(take_label(bytes)?)?,
                        std::cmp::Ordering::Greater => return None,
                    }
                }
            };
            let own = labels.labels[number as usize];
            set_bytes += own.bytes as usize;
            let is_same_name = was.is_some_and(|was| labels.labels[was as usize].name == own.name);
            // Names that stood side by side before ascend.
            if !(is_same_name && has_same_name)
                && let Some(&last) = next.last()
                && labels.name(last) >= labels.name(number)
            {
                return None;
            }
            has_same_name = is_same_name;
            if set_bytes > LABEL_SET_BYTES_MAX {
                return None;
            }
            next.push(number);
        }
        std::mem::swap(&mut self.numbers, &mut self.next);
        (self.id, self.hash) = (id, hash);
        Some(())
    }

    /// As [`PartLabels::take_numbers`], of the first version.
    fn take_bytes(&mut self, bytes: &mut &[u8]) -> Option<()> {
        let id = self.id.checked_add(u32::try_from(take_u64(bytes)?).ok()?)?;
        let shared = usize::try_from(take_u64(bytes)?).ok()?;
        let length = usize::try_from(take_u64(bytes)?).ok()?;
        let rest = take_bytes(bytes, length)?;
        if shared > self.text.len() || shared + length > LABEL_SET_BYTES_MAX {
            return None;
        }
        self.text.truncate(shared);
        self.text.extend_from_slice(rest);
        let set = LabelsRef::from_untrusted_after(&self.text, shared, &mut self.ends)?;
        let (mut count, mut start) = (0, 0);
        for &end in &self.ends {
            let label = &self.text[start..end];
            let before = self.numbers.get(count).copied();
            let number = match before.filter(|&before| self.labels.get(before).as_bytes() == label)
            {
                Some(before) => before,
                None => match self.by_label.get(label) {
                    Some(&number) => number,
                    None => {
                        let number = self.labels.push(label)?;
                        self.by_label.insert(label.into(), number);
                        number
                    }
                },
            };
            match self.numbers.get_mut(count) {
                Some(place) => *place = number,
                None => self.numbers.push(number),
            }
            (count, start) = (count + 1, end);
        }
        self.numbers.truncate(count);
        (self.id, self.hash) = (id, set.stable_hash());
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::model::Labels;

    /// Takes an entry off bytes: one of the forms.
    type Take = fn(&mut PartLabels, &mut &[u8]) -> Option<()>;

    fn take_numbers(all: &mut PartLabels, bytes: &mut &[u8]) -> Option<()> {
        let taken = all.take_numbers(bytes);
        all.write_text();
        taken
    }

    fn write_numbers(sets: &BTreeMap<u32, Labels>) -> Vec<u8> {
        let (mut index, mut writer, mut out) = Default::default();
        for (&id, labels) in sets {
            Index::insert(&mut index, id, labels.as_ref()).unwrap();
            LabelsWriter::push(&mut writer, id, hash(labels), &index, &mut out);
        }
        out
    }

    /// As the first version did.
    fn write_bytes(sets: &BTreeMap<u32, Labels>) -> Vec<u8> {
        let (mut out, mut last, mut before) = (vec![], 0, vec![]);
        for (&id, labels) in sets {
            let bytes = labels.as_ref().as_bytes();
            let shared = before.iter().zip(bytes).take_while(|(one, other)| one == other).count();
            for number in [u64::from(id - last), shared as u64, (bytes.len() - shared) as u64] {
                push_u64(&mut out, number);
            }
            out.extend_from_slice(&bytes[shared..]);
            (last, before) = (id, bytes.to_vec());
        }
        out
    }

    fn hash(labels: &Labels) -> u64 {
        labels.as_ref().stable_hash()
    }

    /// The sets that `bytes` hold, up to what is none.
    fn read(mut bytes: &[u8], take: Take) -> Vec<(u32, u64, Labels)> {
        let (mut all, mut found) = (PartLabels::default(), vec![]);
        while !bytes.is_empty() && take(&mut all, &mut bytes).is_some() {
            let text = LabelsRef::from_untrusted(&all.text).expect("a label set");
            let by_numbers = all.numbers().iter().flat_map(|&number| all.label(number).as_bytes());
            assert!(by_numbers.eq(text.as_bytes()));
            found.push((all.id, all.hash, text.to_owned()));
        }
        found
    }

    fn sets() -> impl Strategy<Value = BTreeMap<u32, Labels>> {
        let set = prop::collection::btree_map("[ab]{1,2}", "[xy]{1,2}", 0..5);
        // Beyond the positions that may be shared, too.
        let labels =
            (set, prop::sample::select(vec![0, 1, 2, 63, 64, 90])).prop_map(|(set, more)| {
                let more = (0..more).map(|n| (format!("c{n:02}"), "z".to_owned()));
                Labels::from_pairs(set.into_iter().chain(more))
            });
        prop::collection::btree_map(0u32..3000, labels, 0..8)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

        #[test]
        fn sets_come_back(sets in sets()) {
            let expected: Vec<_> =
                sets.iter().map(|(&id, labels)| (id, hash(labels), labels.clone())).collect();
            prop_assert_eq!(&read(&write_numbers(&sets), take_numbers), &expected);
            prop_assert_eq!(&read(&write_bytes(&sets), PartLabels::take_bytes), &expected);
        }

        /// Bytes that nobody wrote are label sets, or refused.
        #[test]
        fn other_bytes_are_refused(sets in sets(), at in any::<usize>(), byte in any::<u8>()) {
            let forms: [(_, Take); 2] =
                [(write_numbers(&sets), take_numbers), (write_bytes(&sets), PartLabels::take_bytes)];
            for (mut bytes, take) in forms {
                let length = bytes.len().max(1);
                if let Some(place) = bytes.get_mut(at % length) {
                    *place = byte;
                }
                drop(read(&bytes, take));
                drop(read(&bytes[..at % length], take));
            }
        }
    }
}
