//! Sets of series, many of them: most are tiny, a few hold everything.
//!
//! ```text
//! Postings (16 bytes)   count | three words
//!   up to 3     the series themselves
//!   up to 256   where a sorted list lies in the arena of lists
//!   beyond      a bitmap, and the newest series as a sorted list (the tail) of up to 256
//! ```
//!
//! The tail makes an append one write, and hands the bitmap sorted runs. Lists lie in blocks of
//! 8, 16, …, 256 words; a block left behind is used again for the next list of its size. Blocks
//! lie in pages, which never move.

use roaring::RoaringBitmap;

/// Most series held in the 16 bytes themselves.
const INLINE_COUNT_MAX: u32 = 3;

/// Most series in a list and in a tail. Higher costs memory beside each bitmap, lower makes more
/// bitmaps, each of which costs some hundred bytes.
const LIST_COUNT_MAX: u32 = 256;

/// Smallest block, in words.
const BLOCK_WORDS_MIN: u32 = 8;

/// Sizes of blocks: [`BLOCK_WORDS_MIN`] times powers of two, up to [`LIST_COUNT_MAX`].
const BLOCK_CLASS_COUNT: usize =
    (LIST_COUNT_MAX.trailing_zeros() - BLOCK_WORDS_MIN.trailing_zeros() + 1) as usize;

/// Containers of a bitmap that are not shrunk yet are at most one in so many.
const SHRINK_PART: u32 = 8;

/// Words of a page, as a power of two.
const PAGE_SHIFT: u32 = 14;
const PAGE_WORDS: u32 = 1 << PAGE_SHIFT;

const _: () = {
    assert!(LIST_COUNT_MAX <= PAGE_WORDS);
    assert!(std::mem::size_of::<Postings>() == 16);
    assert!(LIST_COUNT_MAX.is_power_of_two() && BLOCK_WORDS_MIN.is_power_of_two());
    assert!(INLINE_COUNT_MAX < BLOCK_WORDS_MIN);
};

/// One set; what its words mean is the store's business.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Postings {
    count: u32,
    words: [u32; 3],
}

/// Positions of the words of a set beyond [`LIST_COUNT_MAX`]. A list has the first only.
const BLOCK: usize = 0;
const BITMAP: usize = 1;
const TAIL_COUNT: usize = 2;

impl Postings {
    pub fn count(&self) -> u32 {
        self.count
    }
}

/// The contents of a set: all of `bitmap`, and all of `list`, which ascends. They share nothing.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub bitmap: Option<&'a RoaringBitmap>,
    pub list: &'a [u32],
}

/// Holds what does not fit into [`Postings`].
#[derive(Debug, Default)]
pub(super) struct PostingsStore {
    /// An address of a word is the page's index, then its place in the page.
    pages: Vec<Box<[u32]>>,
    /// Words taken of the last page.
    page_used: u32,
    /// Addresses of unused blocks, by class.
    blocks_free: [Vec<u32>; BLOCK_CLASS_COUNT],
    bitmaps: Vec<RoaringBitmap>,
    bitmaps_free: Vec<u32>,
}

impl PostingsStore {
    /// Adds `series`, which is not in the set. O(1) amortised if it is beyond all others.
    #[inline]
    pub fn push(&mut self, postings: &mut Postings, series: u32) {
        let count = postings.count;
        if count < INLINE_COUNT_MAX {
            postings.words[count as usize] = series;
            postings.count = count + 1;
            sort_last(&mut postings.words[..=count as usize]);
            return;
        }
        self.push_list(postings, series);
    }

    fn push_list(&mut self, postings: &mut Postings, series: u32) {
        let count = postings.count;
        let in_block = if count > LIST_COUNT_MAX { postings.words[TAIL_COUNT] } else { count };
        if count == INLINE_COUNT_MAX {
            let inline = postings.words;
            postings.words[BLOCK] = self.take_block(BLOCK_WORDS_MIN);
            self.block_mut(postings.words[BLOCK], INLINE_COUNT_MAX).copy_from_slice(&inline);
        } else if count == LIST_COUNT_MAX {
            let list = self.block(postings.words[BLOCK], LIST_COUNT_MAX).iter().copied();
            let bitmap = RoaringBitmap::from_sorted_iter(list).expect("a list ascends");
            postings.words[BITMAP] = self.take_bitmap(bitmap);
            postings.words[TAIL_COUNT] = 0;
        } else if count > LIST_COUNT_MAX && in_block == LIST_COUNT_MAX {
            self.flush_tail(postings);
        } else if (BLOCK_WORDS_MIN..LIST_COUNT_MAX).contains(&count) && count.is_power_of_two() {
            let larger = self.take_block(2 * count);
            self.copy_block(postings.words[BLOCK], larger, count);
            self.free_block(postings.words[BLOCK], count);
            postings.words[BLOCK] = larger;
        }
        let at = if count >= LIST_COUNT_MAX { postings.words[TAIL_COUNT] } else { count };
        let list = self.block_mut(postings.words[BLOCK], at + 1);
        list[at as usize] = series;
        sort_last(list);
        postings.count = count + 1;
        if count >= LIST_COUNT_MAX {
            postings.words[TAIL_COUNT] = at + 1;
        }
    }

    /// Adds the series `first..=last`, which are not in the set.
    pub fn push_run(&mut self, postings: &mut Postings, first: u32, last: u32) {
        let run_count = last - first + 1;
        let count = postings.count + run_count;
        let tail_count = postings.words[TAIL_COUNT];
        if run_count == 1 {
            self.push(postings, first);
        } else if (INLINE_COUNT_MAX + 1..=LIST_COUNT_MAX).contains(&count) {
            self.extend_list(postings, first, run_count);
        } else if run_count <= LIST_COUNT_MAX
            && postings.count > LIST_COUNT_MAX
            && tail_count + run_count <= LIST_COUNT_MAX
        {
            self.fill_block(postings.words[BLOCK], tail_count, first, run_count);
            postings.words[TAIL_COUNT] = tail_count + run_count;
            postings.count = count;
        } else if run_count <= LIST_COUNT_MAX {
            (first..=last).for_each(|series| self.push(postings, series));
        } else if postings.count <= LIST_COUNT_MAX {
            let mut bitmap = sorted_bitmap(self.view(postings).list);
            bitmap.insert_range(first..=last);
            self.clear(postings);
            let words = [self.take_block(LIST_COUNT_MAX), self.take_bitmap(bitmap), 0];
            *postings = Postings { count, words };
        } else {
            self.flush_tail(postings);
            let bitmap = &mut self.bitmaps[postings.words[BITMAP] as usize];
            let before = bitmap.max();
            bitmap.insert_range(first..=last);
            shrink_behind(before, bitmap);
            postings.count = count;
        }
    }

    /// Adds series in a row to a set that is a list afterwards.
    fn extend_list(&mut self, postings: &mut Postings, first: u32, run_count: u32) {
        let before = postings.count;
        let words = |count: u32| count.max(BLOCK_WORDS_MIN).next_power_of_two();
        let count = before + run_count;
        if before <= INLINE_COUNT_MAX {
            let inline = postings.words;
            let block = self.take_block(words(count));
            self.block_mut(block, before).copy_from_slice(&inline[..before as usize]);
            postings.words[BLOCK] = block;
        } else if words(before) < words(count) {
            let larger = self.take_block(words(count));
            self.copy_block(postings.words[BLOCK], larger, before);
            self.free_block(postings.words[BLOCK], words(before));
            postings.words[BLOCK] = larger;
        }
        self.fill_block(postings.words[BLOCK], before, first, run_count);
        postings.count = count;
    }

    /// Puts series in a row behind the `before` first ones of a block, which ascends afterwards.
    fn fill_block(&mut self, block: u32, before: u32, first: u32, run_count: u32) {
        let list = self.block_mut(block, before + run_count);
        let (before, added) = list.split_at_mut(before as usize);
        added.iter_mut().zip(first..).for_each(|(word, series)| *word = series);
        if before.last().is_some_and(|&last| last > first) {
            list.sort_unstable();
        }
    }

    fn flush_tail(&mut self, postings: &mut Postings) {
        let [block, bitmap, tail_count] = postings.words;
        let tail = block_of(&self.pages, block, tail_count);
        let bitmap = &mut self.bitmaps[bitmap as usize];
        let before = bitmap.max();
        // Series that come together share most of their labels, and have ids in a row. Whoever adds
        // out of order may add below the bitmap's greatest.
        if let [first, .., last] = *tail
            && (last - first) as usize + 1 == tail.len()
        {
            bitmap.insert_range(first..=last);
        } else if bitmap.append(tail.iter().copied()).is_err() {
            bitmap.extend(tail.iter().copied());
        }
        shrink_behind(before, bitmap);
        postings.words[TAIL_COUNT] = 0;
    }

    pub fn view<'a>(&'a self, postings: &'a Postings) -> View<'a> {
        let Postings { count, words } = postings;
        if *count <= INLINE_COUNT_MAX {
            return View { bitmap: None, list: &words[..*count as usize] };
        }
        if *count <= LIST_COUNT_MAX {
            return View { bitmap: None, list: self.block(words[BLOCK], *count) };
        }
        View {
            bitmap: Some(&self.bitmaps[words[BITMAP] as usize]),
            list: self.block(words[BLOCK], words[TAIL_COUNT]),
        }
    }

    /// Takes all of `removed` out of the set.
    pub fn remove(&mut self, postings: &mut Postings, removed: &RoaringBitmap) {
        let left = match self.view(postings) {
            View { bitmap: None, list } => {
                list.iter().copied().filter(|series| !removed.contains(*series)).collect()
            }
            View { bitmap: Some(bitmap), list } => {
                let mut left = bitmap.clone();
                left.extend(list.iter().copied());
                left -= removed;
                if left.len() > u64::from(LIST_COUNT_MAX) {
                    left.optimize();
                    postings.count = left.len() as u32;
                    postings.words[TAIL_COUNT] = 0;
                    self.bitmaps[postings.words[BITMAP] as usize] = left;
                    return;
                }
                left.iter().collect::<Vec<u32>>()
            }
        };
        self.clear(postings);
        for series in left {
            self.push(postings, series);
        }
    }

    fn clear(&mut self, postings: &mut Postings) {
        let Postings { count, words } = *postings;
        if count > INLINE_COUNT_MAX {
            let capacity = count.clamp(BLOCK_WORDS_MIN, LIST_COUNT_MAX).next_power_of_two();
            self.free_block(words[BLOCK], capacity);
        }
        if count > LIST_COUNT_MAX {
            self.bitmaps[words[BITMAP] as usize] = RoaringBitmap::new();
            self.bitmaps_free.push(words[BITMAP]);
        }
        *postings = Postings::default();
    }

    /// Bytes on the heap, bitmaps by their contents.
    pub fn bytes(&self) -> usize {
        let bitmaps: u64 = self.bitmaps.iter().map(bitmap_bytes).sum();
        let free: usize = self.blocks_free.iter().map(Vec::capacity).sum();
        4 * (self.pages.len() * PAGE_WORDS as usize + free + self.bitmaps_free.capacity())
            + self.bitmaps.capacity() * size_of::<RoaringBitmap>()
            + bitmaps as usize
    }

    fn block(&self, start: u32, count: u32) -> &[u32] {
        block_of(&self.pages, start, count)
    }

    fn block_mut(&mut self, start: u32, count: u32) -> &mut [u32] {
        let page = &mut self.pages[(start >> PAGE_SHIFT) as usize];
        &mut page[(start & (PAGE_WORDS - 1)) as usize..][..count as usize]
    }

    fn copy_block(&mut self, from: u32, to: u32, count: u32) {
        let mut list = [0; LIST_COUNT_MAX as usize];
        let list = &mut list[..count as usize];
        list.copy_from_slice(self.block(from, count));
        self.block_mut(to, count).copy_from_slice(list);
    }

    fn take_block(&mut self, words: u32) -> u32 {
        if let Some(start) = self.blocks_free[class_of(words)].pop() {
            return start;
        }
        if self.pages.is_empty() || PAGE_WORDS - self.page_used < words {
            self.add_page();
        }
        let start = ((self.pages.len() as u32 - 1) << PAGE_SHIFT) + self.page_used;
        self.page_used += words;
        start
    }

    fn add_page(&mut self) {
        assert!(self.pages.len() < (u32::MAX >> PAGE_SHIFT) as usize, "addresses are 32 bits");
        // What is left of the last page goes to smaller lists.
        while let Some(last) = self.pages.len().checked_sub(1)
            && PAGE_WORDS - self.page_used >= BLOCK_WORDS_MIN
        {
            let words = 1 << (PAGE_WORDS - self.page_used).ilog2().min(LIST_COUNT_MAX.ilog2());
            self.free_block(((last as u32) << PAGE_SHIFT) + self.page_used, words);
            self.page_used += words;
        }
        self.pages.push(vec![0; PAGE_WORDS as usize].into());
        self.page_used = 0;
    }

    fn free_block(&mut self, start: u32, words: u32) {
        self.blocks_free[class_of(words)].push(start);
    }

    fn take_bitmap(&mut self, bitmap: RoaringBitmap) -> u32 {
        if let Some(index) = self.bitmaps_free.pop() {
            self.bitmaps[index as usize] = bitmap;
            return index;
        }
        self.bitmaps.push(bitmap);
        (self.bitmaps.len() - 1) as u32
    }
}

fn block_of(pages: &[Box<[u32]>], start: u32, count: u32) -> &[u32] {
    let page = &pages[(start >> PAGE_SHIFT) as usize];
    &page[(start & (PAGE_WORDS - 1)) as usize..][..count as usize]
}

/// Once a bitmap whose greatest was `before` has begun another container, shrinks those that are full:
/// runs of consecutive series take a few bytes then. All containers are looked at, so that is done for
/// each of the first ones, and then whenever they are an eighth more.
fn shrink_behind(before: Option<u32>, bitmap: &mut RoaringBitmap) {
    let step_of = |series: u32| {
        let container = series >> 16;
        let magnitude = container.checked_ilog2().unwrap_or(0);
        (magnitude, container >> magnitude.saturating_sub(SHRINK_PART.ilog2()))
    };
    if before.map(step_of) != bitmap.max().map(step_of) {
        bitmap.optimize();
    }
}

fn class_of(words: u32) -> usize {
    (words.trailing_zeros() - BLOCK_WORDS_MIN.trailing_zeros()) as usize
}

fn bitmap_bytes(bitmap: &RoaringBitmap) -> u64 {
    /// A container beside its contents: key, kind, pointer, capacity, length.
    const CONTAINER_BYTES: u64 = 40;
    let statistics = bitmap.statistics();
    statistics.n_bytes_array_containers
        + statistics.n_bytes_run_containers
        + statistics.n_bytes_bitset_containers
        + u64::from(statistics.n_containers) * CONTAINER_BYTES
}

/// Moves the last element to its place among the others, which ascend.
#[inline]
fn sort_last(list: &mut [u32]) {
    if let [.., before, last] = *list
        && before > last
    {
        let at = list.partition_point(|&series| series < last);
        let at = at.min(list.len() - 1);
        list[at..].rotate_right(1);
    }
}

impl View<'_> {
    /// Whether any of `selection` is in the set.
    pub fn intersects(&self, selection: &RoaringBitmap) -> bool {
        let mut common = vec![];
        common_with_list(selection, self.list, &mut common);
        !common.is_empty() || self.bitmap.is_some_and(|bitmap| !bitmap.is_disjoint(selection))
    }

    /// The set by itself.
    pub fn to_bitmap(self) -> RoaringBitmap {
        match self.bitmap {
            Some(bitmap) => {
                let mut all = bitmap.clone();
                all.extend(self.list.iter().copied());
                all
            }
            None => sorted_bitmap(self.list),
        }
    }

    /// Keeps of `selection` what is in the set.
    pub fn intersect(&self, selection: &mut RoaringBitmap) {
        let mut kept = vec![];
        common_with_list(selection, self.list, &mut kept);
        match self.bitmap {
            Some(bitmap) => {
                *selection &= bitmap;
                selection.extend(kept);
            }
            None => *selection = sorted_bitmap(&kept),
        }
    }

    /// Gives what is both in `selection` and in the set: appended to `few`, or united with `many`.
    pub fn unite_common(
        &self,
        selection: &RoaringBitmap,
        few: &mut Vec<u32>,
        many: &mut RoaringBitmap,
    ) {
        common_with_list(selection, self.list, few);
        if let Some(bitmap) = self.bitmap {
            *many |= bitmap & selection;
        }
    }

    /// Takes the set out of `selection`.
    pub fn subtract(&self, selection: &mut RoaringBitmap) {
        if let Some(bitmap) = self.bitmap {
            *selection -= bitmap;
        }
        for series in self.list {
            selection.remove(*series);
        }
    }
}

/// Appends to `out` what is both in `selection` and in `list`, ascending. Series of one value often
/// lie close together, so that little of a selection lies between the first and the last of them.
fn common_with_list(selection: &RoaringBitmap, list: &[u32], out: &mut Vec<u32>) {
    let [first, .., last] = *list else {
        out.extend(list.iter().copied().filter(|series| selection.contains(*series)));
        return;
    };
    if selection.range_cardinality(first..=last) < list.len() as u64 {
        let between = selection.range(first..=last);
        out.extend(between.filter(|series| list.binary_search(series).is_ok()));
    } else {
        out.extend(list.iter().copied().filter(|series| selection.contains(*series)));
    }
}

/// A bitmap of series that ascend.
pub(super) fn sorted_bitmap(series: &[u32]) -> RoaringBitmap {
    RoaringBitmap::from_sorted_iter(series.iter().copied()).expect("the series ascend")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use roaring::RoaringBitmap;

    use super::{Postings, PostingsStore};

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        /// Sets of all sizes side by side in one store hold what a plain set holds, however they
        /// grow and shrink.
        #[test]
        fn sets_hold_what_was_pushed_and_not_removed(
            rounds in prop::collection::vec((0usize..4, 0u32..700, 0u32..40_000, any::<bool>()), 1..24),
        ) {
            let mut store = PostingsStore::default();
            let mut sets = [Postings::default(); 4];
            let mut models: [BTreeSet<u32>; 4] = Default::default();
            for (which, count, start, remove) in rounds {
                if remove {
                    let removed: RoaringBitmap = (start..start + 30 * count).collect();
                    store.remove(&mut sets[which], &removed);
                    models[which].retain(|series| !removed.contains(*series));
                } else {
                    let is_free = models[which].range(start..start + count).next().is_none();
                    if is_free && count > 0 && start % 2 == 0 {
                        store.push_run(&mut sets[which], start, start + count - 1);
                        models[which].extend(start..start + count);
                    }
                    for series in (start..).step_by(1 + count as usize % 3).take(count as usize) {
                        if models[which].insert(series) {
                            store.push(&mut sets[which], series);
                        }
                    }
                }
                for (set, model) in sets.iter().zip(&models) {
                    prop_assert_eq!(set.count() as usize, model.len());
                    let view = store.view(set);
                    prop_assert!(view.list.is_sorted());
                    prop_assert!(view.to_bitmap().iter().eq(model.iter().copied()));
                    let selection: RoaringBitmap = (0..60_000).step_by(7).collect();
                    let (mut both, mut rest) = (selection.clone(), selection.clone());
                    view.intersect(&mut both);
                    view.subtract(&mut rest);
                    let expected = model.iter().copied().filter(|series| series % 7 == 0);
                    prop_assert!(both.iter().eq(expected));
                    prop_assert_eq!(both.len() + rest.len(), selection.len());
                    prop_assert_eq!(view.intersects(&selection), !both.is_empty());
                }
            }
        }
    }
}
