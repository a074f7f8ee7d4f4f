//! Sets of series as bytes: runs while they are few, a bitmap of its own format when many.
//!
//! ```text
//! 2 · count: varint          | ( gap, then alone: 2 · gap: varint
//!                              | or run: 2 · gap + 1: varint, length - 2: varint )*
//! 2 · count + 1: varint      | a roaring bitmap, as its specification has it
//! ```
//!
//! A gap counts from the end of the run before. Series are in order of their labels, so those of
//! one value often stand together.

use roaring::RoaringBitmap;

use crate::mem::varint::{push_u64, take_u64};

/// Runs longer than this go into a bitmap at once.
const LONG_RUN: u32 = 16;

/// Bytes of runs from which on a bitmap is tried: it is read faster.
const RUNS_BYTES_GOOD: usize = 4096;

/// Collects a set whose series come in ascending order.
#[derive(Clone, Debug, Default)]
pub(super) struct PostingsBuilder {
    /// Closed runs.
    bytes: Vec<u8>,
    count: u32,
    /// End of the last closed run.
    end: u32,
    run_start: u32,
    run_length: u32,
}

impl PostingsBuilder {
    /// Adds `series`, which is beyond all others.
    #[inline]
    pub fn push(&mut self, series: u32) {
        self.count += 1;
        if self.run_length > 0 && self.run_start + self.run_length == series {
            self.run_length += 1;
            return;
        }
        self.close();
        (self.run_start, self.run_length) = (series, 1);
    }

    fn close(&mut self) {
        let gap = u64::from(self.run_start.wrapping_sub(self.end));
        match self.run_length {
            0 => return,
            1 => push_u64(&mut self.bytes, 2 * gap),
            length => {
                push_u64(&mut self.bytes, 2 * gap + 1);
                push_u64(&mut self.bytes, u64::from(length) - 2);
            }
        }
        self.end = self.run_start + self.run_length;
        self.run_length = 0;
    }

    /// Bytes on the heap.
    pub fn bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Appends the set to `out`.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        self.close();
        let head = u64::from(self.count) << 1;
        if self.bytes.len() >= RUNS_BYTES_GOOD {
            let mut bitmap = take_runs(&self.bytes, self.count, self.end).expect("written above");
            bitmap.optimize();
            if bitmap.serialized_size() <= self.bytes.len() * 3 / 2 {
                push_u64(out, head | 1);
                bitmap.serialize_into(out).expect("memory takes what is written");
                return;
            }
        }
        push_u64(out, head);
        out.extend_from_slice(&self.bytes);
    }
}

/// The set behind `bytes`, all of them; `None` when they are no set of series below `series_count`.
pub(super) fn decode(mut bytes: &[u8], series_count: u32) -> Option<RoaringBitmap> {
    let head = take_u64(&mut bytes)?;
    let count = u32::try_from(head >> 1).ok()?;
    if head & 1 == 0 {
        return take_runs(bytes, count, series_count);
    }
    let bitmap = RoaringBitmap::deserialize_from(bytes).ok()?;
    let is_whole = bitmap.len() == u64::from(count)
        && bitmap.max().is_none_or(|max| max < series_count)
        && bitmap.serialized_size() == bytes.len();
    is_whole.then_some(bitmap)
}

/// Appends a short set to `few`, or unites a long one with `many`. `None` as with [`decode`].
pub(super) fn unite(
    bytes: &[u8],
    series_count: u32,
    few: &mut Vec<u32>,
    many: &mut RoaringBitmap,
) -> Option<()> {
    /// A set of so few bytes is a list.
    const SHORT_BYTES: usize = 64;
    let set = decode(bytes, series_count)?;
    if bytes.len() <= SHORT_BYTES && set.len() <= SHORT_BYTES as u64 {
        few.extend(set);
    } else {
        *many |= set;
    }
    Some(())
}

fn take_runs(mut bytes: &[u8], count: u32, series_count: u32) -> Option<RoaringBitmap> {
    let mut bitmap = RoaringBitmap::new();
    let mut few: Vec<u32> =
        Vec::with_capacity((count as usize).min(bytes.len() * LONG_RUN as usize));
    let (mut end, mut total) = (0u32, 0u64);
    while !bytes.is_empty() {
        let head = take_u64(&mut bytes)?;
        let start = u32::try_from(head >> 1).ok().and_then(|gap| end.checked_add(gap))?;
        let length = match head & 1 {
            0 => 1,
            _ => u32::try_from(take_u64(&mut bytes)?).ok()?.checked_add(2)?,
        };
        end = start.checked_add(length).filter(|&end| end <= series_count)?;
        total += u64::from(length);
        if length < LONG_RUN {
            few.extend(start..end);
        } else {
            bitmap.append(few.drain(..)).ok()?;
            bitmap.insert_range(start..end);
        }
    }
    bitmap.append(few).ok()?;
    (total == u64::from(count)).then_some(bitmap)
}

/// How many series the set behind `bytes` has.
pub(super) fn count(mut bytes: &[u8]) -> Option<u32> {
    u32::try_from(take_u64(&mut bytes)? >> 1).ok()
}

#[cfg(test)]
mod tests {
    use roaring::RoaringBitmap;

    use super::{PostingsBuilder, count, decode};

    #[track_caller]
    fn check(series: impl IntoIterator<Item = u32>, bytes_max: usize) {
        let series: Vec<u32> = series.into_iter().collect();
        let mut builder = PostingsBuilder::default();
        series.iter().for_each(|&series| builder.push(series));
        let mut out = vec![];
        builder.finish(&mut out);
        assert!(out.len() <= bytes_max, "{} bytes", out.len());
        let expected: RoaringBitmap = series.iter().copied().collect();
        let end = series.last().map_or(0, |last| last + 1);
        assert_eq!(decode(&out, end), Some(expected));
        assert_eq!(count(&out), Some(series.len() as u32));
        if end > 0 {
            assert_eq!(decode(&out, end - 1), None);
        }
        for cut in 0..out.len().min(300) {
            assert_eq!(decode(&out[..cut], end), None);
        }
    }

    #[test]
    fn sets_come_back_in_few_bytes() {
        check([], 1);
        check([0], 2);
        check([5], 2);
        check(0..1_000_000, 8);
        check((0..3000).map(|n| n * 7), 3010);
        check((0..100_000).map(|n| n * 2), 30_000);
        check((0..100_000).map(|n| n * 1000), 213_000);
        check((0..10).chain(20..21).chain(50..2000).chain([9000]), 16);
    }
}
