//! Label sets in canonical form: one byte string per set.
//!
//! ```text
//! ( name_bytes: varint | name | value_bytes: varint | value )*     sorted by name, names unique
//! ```
//!
//! The canonical bytes are the identity of a series everywhere: its hash is taken over them, the
//! WAL and the head's arena store them, two sets are equal exactly if their bytes are. A label
//! with an empty value does not exist, so it is never written. Order of names is by bytes.
//!
//! Not here: validation of names (`net`), dictionaries of names and values (`index`).

use std::cmp::Ordering;
use std::fmt;

use xxhash_rust::xxh3::xxh3_64;

use super::quote::quote;

/// Name of the label that holds the metric's name.
pub const METRIC_NAME: &[u8] = b"__name__";

/// Labels of a metric's type and unit, where series are given them.
pub const TYPE_LABEL: &[u8] = b"__type__";
pub const UNIT_LABEL: &[u8] = b"__unit__";

/// A borrowed label set in canonical form.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LabelsRef<'a>(&'a [u8]);

/// An owned label set in canonical form.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Labels(Box<[u8]>);

/// Length that does not fit one byte starts with this bit; seven bits a byte, low first.
const MORE: u8 = 0x80;

/// Appends `bytes` with its length before it.
///
/// Cost: O(bytes), amortised allocation of `out` only.
#[inline]
pub fn push_string(out: &mut Vec<u8>, bytes: &[u8]) {
    let mut length = bytes.len();
    while length >= usize::from(MORE) {
        out.push(length as u8 | MORE);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(bytes);
}

/// Splits the first string off `bytes`; `None` if `bytes` is cut short or the length is absurd.
#[inline]
fn split_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let first = *bytes.first()?;
    if first < MORE {
        return bytes[1..].split_at_checked(usize::from(first));
    }
    let mut length = 0usize;
    for (index, &byte) in bytes.iter().take(5).enumerate() {
        length |= usize::from(byte & !MORE) << (7 * index);
        if byte < MORE {
            return bytes[index + 1..].split_at_checked(length);
        }
    }
    None
}

/// Splits a label, name and value, off the front of `bytes`; `None` if they are cut short.
#[inline]
pub(crate) fn take_label<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let all = *bytes;
    let (_, rest) = split_string(all)?;
    let (_, rest) = split_string(rest)?;
    *bytes = rest;
    Some(&all[..all.len() - rest.len()])
}

/// Checks labels behind one of the name `previous`, and tells `left` after each how many bytes are left.
#[inline]
fn check_labels<'a>(
    mut rest: &'a [u8],
    mut previous: Option<&'a [u8]>,
    mut left: impl FnMut(usize),
) -> Option<()> {
    while !rest.is_empty() {
        let (name, after_name) = split_string(rest)?;
        let (value, after_value) = split_string(after_name)?;
        if value.is_empty() || previous.is_some_and(|previous| previous >= name) {
            return None;
        }
        previous = Some(name);
        rest = after_value;
        left(rest.len());
    }
    Some(())
}

impl<'a> LabelsRef<'a> {
    /// The empty set.
    pub const EMPTY: LabelsRef<'static> = LabelsRef(&[]);

    /// Takes bytes that are known to be canonical (an arena, a parser that sorted).
    ///
    /// Bytes from a file or the wire go through [`LabelsRef::from_untrusted`].
    #[inline]
    pub fn from_canonical(bytes: &'a [u8]) -> Self {
        debug_assert!(Self::from_untrusted(bytes).is_some(), "label bytes must be canonical");
        LabelsRef(bytes)
    }

    /// Checks the form: lengths add up, names ascend strictly, no value is empty.
    pub fn from_untrusted(bytes: &'a [u8]) -> Option<Self> {
        check_labels(bytes, None, |_| {})?;
        Some(LabelsRef(bytes))
    }

    /// As [`LabelsRef::from_untrusted`], of bytes that begin with the first `shared` of a set that was
    /// found to be canonical. `ends` is where each label of that set ends, and then of this one.
    pub fn from_untrusted_after(
        bytes: &'a [u8],
        shared: usize,
        ends: &mut Vec<usize>,
    ) -> Option<Self> {
        ends.truncate(ends.partition_point(|&end| end <= shared));
        let start_of = |end: Option<&usize>| end.copied().unwrap_or(0);
        let rest = bytes.get(start_of(ends.last())..)?;
        let previous = match ends.split_last() {
            Some((_, before)) => Some(split_string(&bytes[start_of(before.last())..])?.0),
            None => None,
        };
        check_labels(rest, previous, |left| ends.push(bytes.len() - left))?;
        Some(LabelsRef(bytes))
    }

    /// The first label of canonical bytes, whatever stands behind it.
    #[inline]
    pub fn first_of(bytes: &'a [u8]) -> Self {
        let rest = split_string(bytes).and_then(|(_, rest)| split_string(rest));
        let (_, rest) = rest.expect("label bytes are canonical");
        LabelsRef(&bytes[..bytes.len() - rest.len()])
    }

    /// The canonical bytes.
    #[inline]
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The stable 64-bit hash of the set (XXH3, seed zero): routes a series to its shard and finds
    /// it in tables. Recorded data depends on it; it never changes.
    #[inline]
    pub fn stable_hash(self) -> u64 {
        xxh3_64(self.0)
    }

    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The labels as `(name, value)`, ascending by name.
    #[inline]
    pub fn iter(self) -> LabelsIter<'a> {
        LabelsIter { rest: self.0 }
    }

    /// As [`LabelsRef::iter`], as `(name, bytes)`: the pair's part of the canonical bytes.
    #[inline]
    pub fn encoded(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let mut rest = self.iter();
        std::iter::from_fn(move || {
            let before = rest.rest;
            let (name, _) = rest.next()?;
            Some((name, &before[..before.len() - rest.rest.len()]))
        })
    }

    /// The value of `name`, or the empty string when the label does not exist. O(labels).
    pub fn get(self, name: &[u8]) -> &'a [u8] {
        for (candidate, value) in self.iter() {
            match candidate.cmp(name) {
                Ordering::Less => {}
                Ordering::Equal => return value,
                Ordering::Greater => break,
            }
        }
        b""
    }

    pub fn metric_name(self) -> &'a [u8] {
        self.get(METRIC_NAME)
    }

    pub fn to_owned(self) -> Labels {
        Labels(self.0.into())
    }

    /// Order of Prometheus's `labels.Compare`: label by label, name before value, the shorter
    /// set first when one is a prefix of the other. Neighbours are mostly alike, so only the first
    /// name or value that differs is compared.
    pub fn compare(self, other: LabelsRef<'_>) -> Ordering {
        let (own, other) = (self.0, other.0);
        let common = common_prefix(own, other);
        if common == own.len().min(other.len()) {
            return own.len().cmp(&other.len());
        }
        let split = |bytes| split_string(bytes).expect("label bytes are canonical");
        let mut at = 0;
        loop {
            let (text, rest) = split(&own[at..]);
            let end = own.len() - rest.len();
            if common < end {
                return text.cmp(split(&other[at..]).0);
            }
            at = end;
        }
    }
}

/// How many bytes two texts have in common at their fronts.
#[inline]
pub(crate) fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    const CHUNK_BYTES: usize = size_of::<u128>();
    let shorter = a.len().min(b.len());
    let (a, b) = (&a[..shorter], &b[..shorter]);
    let differing_at = |at: usize| {
        let (a, b) = (a[at..].first_chunk::<CHUNK_BYTES>()?, b[at..].first_chunk()?);
        let differing = u128::from_le_bytes(*a) ^ u128::from_le_bytes(*b);
        (differing != 0).then(|| at + differing.trailing_zeros() as usize / 8)
    };
    let mut common = 0;
    while common + CHUNK_BYTES <= shorter {
        if let Some(end) = differing_at(common) {
            return end;
        }
        common += CHUNK_BYTES;
    }
    // What is left is shorter than a chunk: the last chunk holds it, behind bytes that are the same.
    match shorter.checked_sub(CHUNK_BYTES) {
        Some(last) => differing_at(last).unwrap_or(shorter),
        None => a.iter().zip(b).take_while(|(a, b)| a == b).count(),
    }
}

impl<'a> LabelsIter<'a> {
    /// The next label by itself, with its name and value.
    #[inline]
    pub fn next_label(&mut self) -> Option<(LabelsRef<'a>, &'a [u8], &'a [u8])> {
        let all = self.rest;
        let (name, value) = self.next()?;
        Some((LabelsRef(&all[..all.len() - self.rest.len()]), name, value))
    }
}

/// See [`LabelsRef::iter`].
#[derive(Clone)]
pub struct LabelsIter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for LabelsIter<'a> {
    type Item = (&'a [u8], &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let (name, rest) = split_string(self.rest).expect("label bytes are canonical");
        let (value, rest) = split_string(rest).expect("label bytes are canonical");
        self.rest = rest;
        Some((name, value))
    }
}

impl Labels {
    /// A set from pairs in any order; a later pair of the same name wins, empty values vanish.
    pub fn from_pairs<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Labels {
        let mut builder = LabelsBuilder::default();
        for (name, value) in pairs {
            builder.set(name.as_ref(), value.as_ref());
        }
        builder.finish()
    }

    /// Takes bytes that are known to be canonical.
    pub fn from_canonical(bytes: impl Into<Box<[u8]>>) -> Labels {
        let bytes = bytes.into();
        debug_assert!(LabelsRef::from_untrusted(&bytes).is_some(), "label bytes must be canonical");
        Labels(bytes)
    }

    #[inline]
    pub fn as_ref(&self) -> LabelsRef<'_> {
        LabelsRef(&self.0)
    }

    pub fn iter(&self) -> LabelsIter<'_> {
        self.as_ref().iter()
    }

    pub fn get(&self, name: &[u8]) -> &[u8] {
        self.as_ref().get(name)
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_ref().compare(other.as_ref())
    }
}

/// `{__name__="up", job="a"}` with Go-quoted values: for messages, not for the wire.
impl fmt::Display for LabelsRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (index, (name, value)) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            let is_plain = is_plain_name(name);
            let (name, value) = (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
            match is_plain {
                true => write!(f, "{name}={}", quote(&value))?,
                false => write!(f, "{}={}", quote(&name), quote(&value))?,
            }
        }
        f.write_str("}")
    }
}

/// Whether a label's name needs no quotes.
fn is_plain_name(name: &[u8]) -> bool {
    let is_letter = |byte: u8| byte == b'_' || byte.is_ascii_alphabetic();
    name.first().is_some_and(|&byte| is_letter(byte))
        && name.iter().all(|&byte| is_letter(byte) || byte.is_ascii_digit())
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}

impl fmt::Debug for LabelsRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Builds a label set from edits in any order. For configuration, relabelling and query results;
/// the wire's parsers write canonical bytes straight into a [`super::Batch`].
#[derive(Clone, Default, Debug)]
pub struct LabelsBuilder {
    /// Sorted by name, names unique; an empty value means absent.
    pairs: Vec<(Box<[u8]>, Box<[u8]>)>,
}

impl LabelsBuilder {
    pub fn from_labels(labels: LabelsRef<'_>) -> Self {
        LabelsBuilder { pairs: labels.iter().map(|(n, v)| (n.into(), v.into())).collect() }
    }

    /// Sets `name` to `value`; the empty value removes the label. O(labels).
    pub fn set(&mut self, name: &[u8], value: &[u8]) {
        match self.pairs.binary_search_by(|(candidate, _)| (**candidate).cmp(name)) {
            Ok(index) if value.is_empty() => drop(self.pairs.remove(index)),
            Ok(index) => self.pairs[index].1 = value.into(),
            Err(_) if value.is_empty() => {}
            Err(index) => self.pairs.insert(index, (name.into(), value.into())),
        }
    }

    pub fn remove(&mut self, name: &[u8]) {
        self.set(name, b"");
    }

    pub fn get(&self, name: &[u8]) -> &[u8] {
        match self.pairs.binary_search_by(|(candidate, _)| (**candidate).cmp(name)) {
            Ok(index) => &self.pairs[index].1,
            Err(_) => b"",
        }
    }

    /// Keeps the labels for which `keep(name, value)` holds.
    pub fn retain(&mut self, mut keep: impl FnMut(&[u8], &[u8]) -> bool) {
        self.pairs.retain(|(name, value)| keep(name, value));
    }

    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.pairs.iter().map(|(name, value)| (&**name, &**value))
    }

    pub fn finish(&self) -> Labels {
        let mut bytes = Vec::new();
        for (name, value) in &self.pairs {
            push_string(&mut bytes, name);
            push_string(&mut bytes, value);
        }
        Labels::from_canonical(bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Labels, LabelsBuilder, LabelsRef, common_prefix};

    proptest! {
        #[test]
        fn a_common_prefix_ends_where_bytes_differ(
            shared in prop::collection::vec(0u8..3, 0..50),
            ends in prop::array::uniform2(prop::collection::vec(0u8..3, 0..40)),
        ) {
            let [a, b] = ends.map(|end| [&shared[..], &end].concat());
            let expected = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
            prop_assert_eq!(common_prefix(&a, &b), expected);
        }

        #[test]
        fn sets_have_the_order_of_their_labels(
            mut sets in prop::array::uniform2(prop::collection::vec(("[ab]{0,3}", "[xy]{0,12}"), 0..4)),
            shared in prop::collection::vec(("[a-c]{1,9}", "x{0,9}"), 0..4),
        ) {
            sets.iter_mut().for_each(|set| set.extend(shared.iter().cloned()));
            let [a, b] = sets.map(Labels::from_pairs);
            let expected = a.as_ref().iter().cmp(b.as_ref().iter());
            prop_assert_eq!(a.as_ref().compare(b.as_ref()), expected);
        }
    }

    #[track_caller]
    fn check(pairs: &[(&str, &str)], expected: &str) {
        let labels = Labels::from_pairs(pairs.iter().copied());
        assert_eq!(labels.to_string(), expected);
        assert_eq!(LabelsRef::from_untrusted(labels.as_ref().as_bytes()), Some(labels.as_ref()));
        assert_eq!(LabelsBuilder::from_labels(labels.as_ref()).finish(), labels);
    }

    #[test]
    fn canonical_form_is_sorted_unique_and_without_empty_values() {
        check(&[], "{}");
        check(&[("b", "2"), ("a", "1")], r#"{a="1", b="2"}"#);
        check(&[("a", "1"), ("a", "2")], r#"{a="2"}"#);
        check(&[("a", "1"), ("b", "")], r#"{a="1"}"#);
        check(&[("a", "1"), ("a", "")], "{}");
        check(&[("a.b", "1"), ("_c9", "2"), ("9", "3")], r#"{"9"="3", _c9="2", "a.b"="1"}"#);
        let long = "x".repeat(20_000);
        check(&[("a", &long)], &format!("{{a={long:?}}}"));
    }

    #[test]
    fn broken_bytes_are_refused() {
        for bytes in [
            &b"\x01"[..],
            b"\x01a",
            b"\x01a\x00",
            b"\x01a\x02b",
            b"\x01b\x01x\x01a\x01x",
            b"\x01a\x01x\x01a\x01x",
            b"\xff\xff\xff\xff\xff\xff",
        ] {
            assert_eq!(LabelsRef::from_untrusted(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn what_is_shared_is_not_looked_at_again_and_all_else_is() {
        let texts = [
            &b"\x01a\x01x\x01b\x02yy"[..],
            b"\x01a\x01x\x01b\x02yz\x01c\x01z",
            b"\x01a\x01x\x01a\x01z",
            b"\x01a\x01x\x01b\x00",
            b"\x01a\x01x",
            b"\x01a\x02x",
            b"",
        ];
        for before in texts.iter().filter(|bytes| LabelsRef::from_untrusted(bytes).is_some()) {
            for bytes in texts {
                let common =
                    before.iter().zip(bytes).take_while(|(one, other)| one == other).count();
                for shared in 0..=common {
                    let mut ends = vec![];
                    LabelsRef::from_untrusted_after(before, 0, &mut ends).unwrap();
                    let labels = LabelsRef::from_untrusted_after(bytes, shared, &mut ends);
                    assert_eq!(labels, LabelsRef::from_untrusted(bytes), "{before:?} {bytes:?}");
                    if labels.is_some() {
                        assert_eq!(ends.last().copied().unwrap_or(0), bytes.len());
                    }
                }
            }
        }
    }

    #[test]
    fn the_stable_hash_never_changes() {
        let labels = Labels::from_pairs([("__name__", "up"), ("job", "node")]);
        assert_eq!(
            labels.as_ref().stable_hash(),
            xxhash_rust::xxh3::xxh3_64(b"\x08__name__\x02up\x03job\x04node")
        );
        assert_eq!(LabelsRef::EMPTY.stable_hash(), 0x2d06_8005_38d3_94c2);
    }

    #[test]
    fn order_is_by_label_not_by_bytes() {
        let short = Labels::from_pairs([("a", "b")]);
        let longer = Labels::from_pairs([("a", "aaaa")]);
        assert!(longer < short);
        assert!(Labels::default() < short);
    }
}
