//! Buckets of one sign: which there are, and their numbers.

/// A run of buckets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Gap to the run before; of the first run the index of its first bucket, which may be
    /// negative.
    pub offset: i32,
    /// Buckets in the run.
    pub length: u32,
}

/// The buckets on one side of zero, outwards from zero.
///
/// In a valid histogram the lengths of `spans` add up to `buckets.len()`, and no offset but the
/// first is negative.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Side<T> {
    pub spans: Vec<Span>,
    pub buckets: Vec<T>,
}

impl<T: Copy> Side<T> {
    /// Index and number of each bucket, outwards. Ends where spans or buckets end.
    pub fn iter(&self) -> impl Iterator<Item = (i32, T)> + '_ {
        indexes(&self.spans).zip(self.buckets.iter().copied())
    }

    /// Index and number of each bucket, towards zero.
    pub fn iter_rev(&self) -> impl Iterator<Item = (i32, T)> + '_ {
        // Lengths and offsets of valid spans stay in range; others may wrap, as in Go.
        let end = self
            .spans
            .iter()
            .fold(0i32, |at, span| at.wrapping_add(span.offset).wrapping_add(span.length as i32));
        let indexes = self.spans.iter().rev().scan(end, |end, span| {
            let last = *end;
            *end = last.wrapping_sub(span.length as i32).wrapping_sub(span.offset);
            Some((1..=span.length).map(move |back| last.wrapping_sub(back as i32)))
        });
        indexes.flatten().zip(self.buckets.iter().rev().copied())
    }

    pub fn clear(&mut self) {
        self.spans.clear();
        self.buckets.clear();
    }

    /// Becomes a copy of `other`, in the memory it has.
    pub fn copy_from(&mut self, other: &Side<T>) {
        self.spans.clone_from(&other.spans);
        self.buckets.clone_from(&other.buckets);
    }
}

/// The indexes that `spans` cover, ascending.
pub(super) fn indexes(spans: &[Span]) -> impl Iterator<Item = i32> + '_ {
    let runs = spans.iter().scan(0i32, |at, span| {
        let first = at.wrapping_add(span.offset);
        *at = first.wrapping_add(span.length as i32);
        Some((0..span.length).map(move |within| first.wrapping_add(within as i32)))
    });
    runs.flatten()
}

/// Whether two lists of spans cover the same buckets; empty spans count as gaps.
pub(super) fn spans_match(left: &[Span], right: &[Span]) -> bool {
    left == right || runs(left).eq(runs(right))
}

/// The spans without empty ones, each with the gap to the run before it.
fn runs(spans: &[Span]) -> impl Iterator<Item = Span> + '_ {
    let mut gap = 0i32;
    spans.iter().filter_map(move |span| {
        gap = gap.wrapping_add(span.offset);
        (span.length > 0).then(|| Span { offset: std::mem::take(&mut gap), length: span.length })
    })
}

/// Writes spans from indexes that ascend.
#[derive(Default)]
pub(super) struct SpanWriter {
    pub spans: Vec<Span>,
    /// The index behind the last.
    next: i32,
}

impl SpanWriter {
    pub fn push(&mut self, index: i32) {
        match self.spans.last_mut() {
            Some(last) if index == self.next => last.length += 1,
            Some(_) => {
                self.spans.push(Span { offset: index.wrapping_sub(self.next), length: 1 });
            }
            None => self.spans.push(Span { offset: index, length: 1 }),
        }
        self.next = index.wrapping_add(1);
    }

    /// Whether `index` was pushed last.
    pub fn ends_with(&self, index: i32) -> bool {
        !self.spans.is_empty() && index.wrapping_add(1) == self.next
    }

    /// Buckets missing between the last index and `index`; none before the first.
    pub fn gap(&self, index: i32) -> usize {
        if self.spans.is_empty() { 0 } else { index.saturating_sub(self.next).max(0) as usize }
    }

    pub fn next(&self) -> i32 {
        self.next
    }
}
