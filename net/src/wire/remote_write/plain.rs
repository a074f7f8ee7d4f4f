//! Series of protocol 1 as encoders write them: labels in order, then one sample. Most are of this
//! form, and it is walked at once, by its bytes; any other field by field (`v1`).
//!
//! ```text
//! label    0a length | 0a length name | 12 length value      each length one byte
//! sample   12 10 09 value: 8 | 10 timestamp: 6               without the value if it is zero
//! ```
//!
//! The walk takes what it would read the same field by field, and nothing else: a property test holds
//! the two together.

use engine::limits::{LABEL_COUNT_MAX, LABEL_SET_BYTES_MAX};
use engine::model::labels::METRIC_NAME;

use super::known::Keys;
use super::proto::six_byte_varint;
use super::{Decoded, LABEL_BYTES_MAX, Refusal, Span, Staged};

/// Bytes of labels that are walked at once. Bounds what is written before all is known to be well.
const LABELS_BYTES_MAX: usize = 4096;

/// Fewest bytes that a label takes.
const LABEL_BYTES_MIN: usize = 8;

const _: () = {
    assert!(LABELS_BYTES_MAX / LABEL_BYTES_MIN <= LABEL_COUNT_MAX);
    assert!(LABELS_BYTES_MAX <= LABEL_SET_BYTES_MAX);
};

/// Most bytes that are copied in one piece: a copy of fixed size costs some instructions, one of any
/// size a call. Most names and values are shorter than the first.
const PIECE_BYTES: usize = 32;
const LARGE_PIECE_BYTES: usize = 64;

impl Staged {
    /// Guesses from its end that a series message is labels and one sample as encoders write it, and
    /// makes the key of the labels.
    ///
    /// The guess cannot go wrong: a key is only known of bytes that were read before as labels,
    /// whole, from the start of a message; so bytes that have it are these labels, and what follows
    /// them is what the guess took for a sample.
    #[inline]
    pub fn guess(request: &[u8], span: Span, keys: Option<&Keys>) -> Staged {
        let bytes = span.of(request);
        let Some((label_bytes, timestamp_ms, value)) = plain_sample(bytes) else {
            return Staged::other(span);
        };
        let key = keys.map(|keys| keys.of(&bytes[..label_bytes]));
        let label_bytes = label_bytes as u32; // A span's bounds are 32 bits.
        Staged { span, key, label_bytes, owner: None, is_sought: false, timestamp_ms, value }
    }
}

/// A sample with a timestamp of six bytes (from 2004 to 2109) at the end of `bytes`; returns how
/// many bytes stand before it. Encoders leave out a value that is zero.
#[inline]
fn plain_sample(bytes: &[u8]) -> Option<(usize, i64, f64)> {
    let (rest, tail) = bytes.split_last_chunk::<7>()?;
    if tail[0] != 2 << 3 {
        return None;
    }
    let timestamp_ms = six_byte_varint(tail[1..].try_into().expect("six of seven"))?;
    if let Some((rest, value)) = rest.split_last_chunk::<11>()
        && value[..3] == [2 << 3 | 2, 16, 1 << 3 | 1]
    {
        let bits = u64::from_le_bytes(value[3..].try_into().expect("eight of eleven"));
        return Some((rest.len(), timestamp_ms, f64::from_bits(bits)));
    }
    let (rest, head) = rest.split_last_chunk::<2>()?;
    (*head == [2 << 3 | 2, 7]).then_some((rest.len(), timestamp_ms, 0.0))
}

impl Decoded {
    /// Adds a series that was guessed to be labels and one sample, if it is; otherwise nothing is done.
    ///
    /// Cost: about 50 ns. Errors: the request has too many samples.
    #[inline]
    pub(super) fn push_plain(&mut self, request: &[u8], staged: &Staged) -> Result<bool, Refusal> {
        let label_bytes = staged.label_bytes as usize;
        let room = LABEL_BYTES_MAX.saturating_sub(self.batch.label_bytes().len());
        if label_bytes == 0 || label_bytes > room.min(LABELS_BYTES_MAX) {
            return Ok(false);
        }
        let from = &request[staged.span.start as usize..];
        let written = self.batch.push_series_if(|out| push_labels(from, label_bytes, out));
        let Some(series) = written else { return Ok(false) };
        self.admit_samples(1)?;
        self.keys.push(staged.key);
        self.places.push(self.ways.len() as u32);
        self.batch.push_sample(series, staged.timestamp_ms, staged.value);
        Ok(true)
    }
}

/// Appends to `out` the canonical form of the labels in the first `end` bytes of `from`. False for
/// labels that a longer look is needed for: not in order, without a value, not ASCII, no series'.
/// What `out` then ends with has no meaning.
#[inline]
fn push_labels(from: &[u8], end: usize, out: &mut Vec<u8>) -> bool {
    // One look at all texts with the tags and lengths between them: so each length has one byte.
    if !from[..end].is_ascii() {
        return false;
    }
    let start = out.len();
    out.resize(start + end + LARGE_PIECE_BYTES, 0);
    let room = &mut out[start..];
    let (mut at, mut written) = (0, 0);
    let (mut before, mut has_metric): (&[u8], bool) = (b"", false);
    while at < end {
        let Some(&[tag, label_bytes, name_tag, name_bytes]) = from[at..].first_chunk() else {
            return false;
        };
        let name_end = at + 4 + usize::from(name_bytes);
        let Some(&[value_tag, value_bytes]) = from.get(name_end..).and_then(<[u8]>::first_chunk)
        else {
            return false;
        };
        let label_end = name_end + 2 + usize::from(value_bytes);
        let has_form = tag == 1 << 3 | 2
            && name_tag == 1 << 3 | 2
            && value_tag == 2 << 3 | 2
            && label_end == at + 2 + usize::from(label_bytes)
            && label_end <= end;
        let name = &from[at + 4..name_end];
        if !has_form || value_bytes == 0 || !is_before(before, name) {
            return false;
        }
        has_metric |= name == METRIC_NAME;
        written += copy(&mut room[written..], &from[at + 3..], 1 + usize::from(name_bytes));
        written += copy(&mut room[written..], &from[name_end + 1..], 1 + usize::from(value_bytes));
        (before, at) = (name, label_end);
    }
    out.truncate(start + written);
    has_metric
}

/// Whether a name stands before another one; every name does behind none. The first bytes decide most and
/// spare the call, which takes long where there is nothing to compare.
#[inline]
fn is_before(before: &[u8], name: &[u8]) -> bool {
    match (before.first(), name.first()) {
        (None, name) => name.is_some(),
        (_, None) => false,
        (Some(first_before), Some(first)) if first_before != first => first_before < first,
        _ => before < name,
    }
}

/// Copies `count` bytes, perhaps with some that stand behind them; returns `count`.
#[inline]
fn copy(to: &mut [u8], from: &[u8], count: usize) -> usize {
    if count <= PIECE_BYTES
        && let (Some(to), Some(from)) = (to.first_chunk_mut(), from.first_chunk::<PIECE_BYTES>())
    {
        *to = *from;
    } else if count <= LARGE_PIECE_BYTES
        && let (Some(to), Some(from)) =
            (to.first_chunk_mut(), from.first_chunk::<LARGE_PIECE_BYTES>())
    {
        *to = *from;
    } else {
        to[..count].copy_from_slice(&from[..count]);
    }
    count
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::wire::remote_write::encode::{Series, encode_v1, push_number};
    use crate::wire::remote_write::{Decoded, Decoder, Protocol, Staged};

    use super::super::proto::Message;

    fn text() -> impl Strategy<Value = String> {
        prop_oneof![8 => "[a-c]{1,3}", 1 => "[a-zé]{0,3}", 1 => "a{20,140}"]
    }

    /// A request of one series, and the same with a field behind its sample that nobody knows: that
    /// is not what encoders write, and says the same.
    fn both(labels: &[(&str, &str)], samples: &[(i64, f64)]) -> [Vec<u8>; 2] {
        let mut plain = vec![];
        encode_v1(&[Series { labels, samples }], &mut plain);
        let mut whole = Message::new(&plain);
        let span = whole.next_field().unwrap().unwrap().bytes().unwrap().span;
        let mut message = span.of(&plain).to_vec();
        push_number(&mut message, 15, 1);
        let mut odd = vec![];
        crate::wire::remote_write::encode::push_bytes(&mut odd, 1, &message);
        [plain, odd]
    }

    fn decode(request: &[u8]) -> Decoded {
        let mut decoded = Decoded::default();
        Decoder::default().decode(Protocol::V1, request, &mut decoded).unwrap();
        decoded
    }

    proptest! {
        #[test]
        fn a_walk_at_once_reads_what_one_by_fields_does(
            mut labels in prop::collection::vec((text(), text()), 0..6),
            has_metric in any::<bool>(),
            is_sorted in prop::bool::weighted(0.9),
            value in prop_oneof![Just(0.0), Just(1.5)],
            timestamp_ms in prop_oneof![Just(5), Just(1_700_000_000_000i64)],
        ) {
            if has_metric {
                labels.push(("__name__".into(), "up".into()));
            }
            if is_sorted {
                labels.sort();
                labels.dedup_by(|a, b| a.0 == b.0);
            }
            let labels: Vec<(&str, &str)> = labels.iter().map(|(n, v)| (&**n, &**v)).collect();
            let [plain, odd] = both(&labels, &[(timestamp_ms, value)]).map(|one| decode(&one));
            prop_assert_eq!(plain.batch.label_bytes(), odd.batch.label_bytes());
            prop_assert_eq!(plain.batch.hashes(), odd.batch.hashes());
            prop_assert_eq!(plain.batch.timestamps_ms(), odd.batch.timestamps_ms());
            prop_assert_eq!(plain.batch.values(), odd.batch.values());
            prop_assert_eq!(plain.invalid_labels_count, odd.invalid_labels_count);
            prop_assert_eq!(&plain.places, &odd.places);
        }

        #[test]
        fn what_is_damaged_is_read_by_fields(at in 0usize..80, byte in any::<u8>()) {
            let labels = [("__name__", "up"), ("a", "1"), ("instance", "host:9100"), ("job", "node")];
            let [mut plain, _] = both(&labels, &[(1_700_000_000_000, 1.5)]);
            let at = at.min(plain.len() - 1);
            plain[at] = byte;
            let mut whole = Message::new(&plain);
            let Ok(Some(field)) = whole.next_field() else { return Ok(()) };
            let Ok(text) = field.bytes() else { return Ok(()) };
            let staged = Staged::guess(&plain, text.span, None);
            let mut walked = Decoded::default();
            if walked.push_plain(&plain, &staged).unwrap() {
                let mut read = Decoded::default();
                let other = Staged::other(text.span);
                Decoder::default().series_v1(&plain, &other, None, &mut read).unwrap();
                prop_assert_eq!(walked.batch.label_bytes(), read.batch.label_bytes());
                prop_assert_eq!(walked.batch.timestamps_ms(), read.batch.timestamps_ms());
                prop_assert_eq!(walked.batch.values(), read.batch.values());
            }
        }
    }
}
