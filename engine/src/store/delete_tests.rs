//! What is deleted is what was stored: samples that come later, into the same time too, are seen.

use std::sync::atomic::{AtomicU64, Ordering};

use super::flush_tests::{ALL_TIME, floats, flush, start_again};
use super::*;
use crate::block::part::Part;
use crate::block::{Block, BlockId, BlockPlan, Merge, MergeScope, Progress};
use crate::model::{Labels, MatchOp, Matcher, SeriesId, Source, SourceError, TimeRange};

/// What becomes of a store with one series.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A sample with the number of its step as its value.
    Sample(i64),
    /// Of the time from the first to the second; flushes first, as its caller does.
    Delete(i64, i64),
    Flush,
    /// Begins anew from parts, tombstones and log.
    Crash,
    /// Moves the samples before this to a block.
    Cut(i64),
    /// Another number of shards takes over parts and log, flushes, and is interrupted before those are
    /// gone; the next start takes them over once more.
    Adopt,
}

use Step::{Adopt as AdoptStep, Crash, Cut, Delete, Flush as FlushStep, Sample};

pub(super) struct Life {
    pub store: Store,
    kept: Kept,
    /// Of the number of shards before.
    former: Option<Kept>,
}

/// What is in files.
#[derive(Clone, Default)]
struct Kept {
    parts: Vec<Arc<Part>>,
    log: Vec<Vec<u8>>,
    tombstones: PartTombstones,
    cut: (u64, i64),
}

impl Life {
    pub fn new() -> Life {
        let store = Store::new(StoreOptions::default());
        let mut life = Life { store, kept: Kept::default(), former: None };
        life.kept.cut = (0, i64::MIN);
        life.begin_segment();
        life
    }

    fn begin_segment(&mut self) {
        let mut segment = vec![];
        self.store.set_late_window(1_000_000);
        self.store.begin_segment(self.kept.log.len() as u64 + 1, &mut segment);
        self.kept.log.push(segment);
    }

    /// All of `batch` is accepted.
    pub fn append(&mut self, batch: &Batch) {
        let log = self.kept.log.last_mut().unwrap();
        let report = self.store.append(batch, i64::MAX, log);
        assert_eq!(report.accepted_count, batch.sample_count());
    }

    pub fn flush(&mut self) {
        if self.store.has_unflushed() {
            self.kept.parts.push(flush(&mut self.store, true, |_| ()));
        }
    }

    fn delete(&mut self, range: TimeRange) {
        if !deleted(&self.store, Deletion::of_head(&[], range), 8192).is_in_head {
            return;
        }
        self.flush();
        let from_parts = Deletion::from_parts(&self.store, &[], range);
        if let Some(tombstones) = deleted(&self.store, from_parts, 8192).parts {
            self.kept.tombstones = tombstones.clone();
            self.store.set_head_tombstones(tombstones);
        }
    }

    pub fn cut(&mut self, before_ms: i64) {
        // It waits until nothing is taken over once more.
        self.former = None;
        self.flush();
        for (min_ms, end_ms) in [(0, 50), (50, 200)] {
            if end_ms <= before_ms {
                self.cut_range(TimeRange { min_ms, max_ms: end_ms - 1 });
            }
        }
        let last_part = self.kept.parts.last().map_or(0, |part| part.meta().number);
        self.kept.cut = (last_part, before_ms);
        self.store.mark_cut(last_part, before_ms);
        let dropped = self.store.drop_cut_parts();
        self.kept.parts.retain(|part| !dropped.contains(&part.meta().number));
        if let Some(needed) = self.store.needed_head_tombstones() {
            self.kept.tombstones = needed.clone();
            self.store.set_head_tombstones(needed);
        }
    }

    fn cut_range(&mut self, range: TimeRange) {
        let labels_of = |&series: &u32| self.store.indexed_labels(series, &mut vec![]).to_owned();
        let mut order = self.store.series_ids();
        order.sort_by_cached_key(labels_of);
        let Some(source) = self.store.cut_source(range, &order) else { return };
        let plan = BlockPlan {
            id: new_block_id(),
            shard: 0,
            shard_count: 1,
            level: 1,
            is_out_of_order: range.max_ms < self.store.cut_ms(),
            parents: vec![],
            range_start_ms: range.min_ms,
            range_end_ms: range.max_ms + 1,
        };
        let mut bytes = vec![];
        let scope = MergeScope { range, ..MergeScope::default() };
        let mut merge = Merge::new(vec![source], scope, plan, &mut bytes);
        let mut labels = |series, out: &mut Vec<u8>| self.store.push_series_labels(series, out);
        let meta = loop {
            if let Progress::Done(meta) = merge.step(&mut labels, 1, &mut bytes).unwrap() {
                break meta;
            }
        };
        if meta.series_count > 0 {
            let block = Arc::new(Block::open(Arc::new(bytes)).unwrap());
            let open = OpenBlock { block, tombstones: Arc::default(), series: None };
            self.store.replace_blocks(&[], Some(open));
        }
    }

    fn crash(&mut self) {
        let blocks = self.store.blocks().to_vec();
        let Kept { parts, log, tombstones, cut } = &self.kept;
        let own_log = if self.former.is_some() { &[] } else { &log[..] };
        let mut store = start_again(parts, own_log);
        store.mark_cut(cut.0, cut.1);
        let last_part = parts.last().map_or(0, |part| part.meta().number);
        let tombstones = PartTombstones::decode(&tombstones.encode(), last_part);
        store.set_head_tombstones(tombstones.unwrap());
        blocks.into_iter().for_each(|block| store.replace_blocks(&[], Some(block)));
        if let Some(former) = &self.former {
            let flushed = store.flushed();
            let tombstones = former.tombstones.clone();
            let mut adopt = Adopt::new(former.parts.clone(), Some(former.cut), tombstones);
            while !store.adopt_some(&mut adopt, |_| true, || true).unwrap() {}
            store.begin_log_after(&adopt.flushed());
            for segment in &former.log {
                store.replay_segment_of(segment, |_| true).unwrap();
            }
            store.begin_log_after(&flushed);
            for segment in log {
                store.replay_segment(segment).unwrap();
            }
        }
        self.store = store;
        self.begin_segment();
    }

    fn adopt(&mut self) {
        self.former = Some(std::mem::take(&mut self.kept));
        self.kept.cut = (0, i64::MIN);
        self.crash();
        self.kept.parts.push(flush(&mut self.store, true, |_| ()));
        self.crash();
    }

    fn run(&mut self, number: usize, step: Step) {
        match step {
            Sample(time_ms) => {
                let mut batch = Batch::default();
                let labels = Labels::from_pairs([("__name__", "m")]);
                let series = batch.push_series(labels.as_ref());
                batch.push_sample(series, time_ms, number as f64);
                self.append(&batch);
            }
            Delete(min_ms, max_ms) => self.delete(TimeRange { min_ms, max_ms }),
            FlushStep => self.flush(),
            Crash => self.crash(),
            Cut(before_ms) => self.cut(before_ms),
            AdoptStep => self.adopt(),
        }
    }

    fn found(&self) -> Vec<(i64, usize)> {
        let selection = self.store.select(&[], ALL_TIME).unwrap();
        let found = floats(&self.store, &selection).into_iter();
        found.map(|(_, time_ms, bits)| (time_ms, f64::from_bits(bits) as usize)).collect()
    }
}

/// What a deletion finds in steps that search so much at once.
fn deleted(store: &Store, deletion: Result<Deletion, SourceError>, search_work: usize) -> Deleted {
    let mut deletion = deletion.unwrap();
    deletion.set_search_work(search_work);
    while let Some(work) = deletion.step(store).unwrap() {
        assert!((1..20_000).contains(&work), "{work}");
    }
    deletion.into_deleted()
}

/// What is decoded of a block is kept by its id, over stores.
fn new_block_id() -> BlockId {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let mut id = [9; 16];
    id[..8].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    BlockId(id)
}

#[test]
fn samples_that_come_after_a_deletion_are_seen() {
    /// `expected`: time of each sample that is there, and the step that it came with.
    #[track_caller]
    fn check(steps: &[Step], expected: &[(i64, usize)]) {
        // Nothing changes it: neither a flush nor a crash nor the way to a block.
        let endings: [&[Step]; 7] = [
            &[],
            &[FlushStep],
            &[Crash],
            &[FlushStep, Crash],
            &[Cut(50)],
            &[Cut(50), Crash, Cut(200), Crash],
            &[AdoptStep],
        ];
        for ending in endings {
            let mut life = Life::new();
            for (number, &step) in steps.iter().chain(ending).enumerate() {
                life.run(number, step);
            }
            assert_eq!(life.found(), expected, "{ending:?}");
        }
    }
    let all = [Sample(10), Sample(20), Sample(90)];
    let with = |more: &[Step]| -> Vec<Step> { all.iter().chain(more).copied().collect() };
    check(&with(&[]), &[(10, 0), (20, 1), (90, 2)]);
    check(&with(&[Delete(15, 30)]), &[(10, 0), (90, 2)]);
    // Another time of the range, the same time, and one that is there.
    check(&with(&[Delete(15, 30), Sample(25)]), &[(10, 0), (25, 4), (90, 2)]);
    check(&with(&[Delete(15, 30), Sample(20)]), &[(10, 0), (20, 4), (90, 2)]);
    check(&with(&[Delete(15, 30), Crash, Sample(20)]), &[(10, 0), (20, 5), (90, 2)]);
    check(&with(&[FlushStep, Delete(15, 30), FlushStep, Sample(20)]), &[(10, 0), (20, 6), (90, 2)]);
    // Deleted once more.
    check(&with(&[Delete(15, 30), Sample(20), Delete(0, 22)]), &[(90, 2)]);
    check(&with(&[Delete(15, 30), Sample(20), Delete(0, 12)]), &[(20, 4), (90, 2)]);
    check(
        &with(&[Delete(0, 99), Sample(20), Delete(0, 99), Sample(20), Sample(21)]),
        &[(20, 6), (21, 7)],
    );
    // In order, too.
    check(&with(&[Delete(0, 500), Sample(95)]), &[(95, 4)]);
    // After its range has a block.
    check(&with(&[Delete(15, 30), Cut(50), Sample(20)]), &[(10, 0), (20, 5), (90, 2)]);
    let cut = [Cut(50), Sample(25), Delete(22, 99), Sample(26)];
    check(&with(&cut), &[(10, 0), (20, 1), (26, 6)]);
    // Samples that are taken over once more were there before what was deleted since.
    let late = [Sample(22), FlushStep, Sample(24), AdoptStep, Delete(15, 30), Crash];
    check(&with(&late), &[(10, 0), (90, 2)]);
    check(&with(&[&late[..], &[Sample(24)]].concat()), &[(10, 0), (24, 9), (90, 2)]);
    let former = [Sample(22), Delete(21, 30), Sample(24), AdoptStep, Crash];
    check(&with(&former), &[(10, 0), (20, 1), (24, 5), (90, 2)]);
}

/// A deletion in steps is one in a walk over all series.
#[test]
fn deletions_are_made_in_steps() {
    const COUNT: u32 = 700;
    let mut life = Life::new();
    let send = |life: &mut Life, time_ms: i64| {
        let mut batch = Batch::default();
        for series in 0..COUNT {
            let labels = Labels::from_pairs([("n", &*series.to_string()), ("job", "a")]);
            let index = batch.push_series(labels.as_ref());
            batch.push_sample(index, time_ms + i64::from(series % 7), 1.0);
        }
        life.append(&batch);
    };
    [10, 30, 60].iter().for_each(|&time_ms| send(&mut life, time_ms));
    life.cut(50);
    life.flush();

    #[track_caller]
    fn check(life: &mut Life, matcher: &str, (min_ms, max_ms): (i64, i64)) {
        let range = TimeRange { min_ms, max_ms };
        let matchers = [Matcher::new("n", MatchOp::Regexp, matcher)];
        let compiled = crate::index::CompiledMatcher::compile(&matchers).unwrap();
        let matching = |labels: &Labels| compiled.iter().all(|m| m.matches(labels.as_ref()));
        let store = &life.store;
        let mut buffer = vec![];
        let living: Vec<u32> = store
            .series_ids()
            .into_iter()
            .filter(|&id| matching(&store.indexed_labels(id, &mut buffer).to_owned()))
            .collect();
        let reaches = |id: &u32| store.head.newest_ms(SeriesId(*id)) >= Some(min_ms);
        let is_in_head = living.iter().any(reaches);
        let parts = store.with_deleted(living.into_iter().map(|id| (SeriesId(id), range)));
        let mut blocks = vec![];
        for open in store.blocks().iter().filter(|open| open.block.meta().overlaps(range)) {
            let meta = open.block.meta();
            let mut tombstones = (*open.tombstones).clone();
            let within =
                TimeRange { min_ms: min_ms.max(meta.min_ms), max_ms: max_ms.min(meta.max_ms) };
            for series in 0..open.block.series_count() {
                let labels = open.block.labels(series, &mut buffer).unwrap().to_owned();
                if matching(&labels) && open.block.may_have_samples(series, range).unwrap() {
                    tombstones.add(series, within);
                }
            }
            if tombstones != *open.tombstones {
                blocks.push((meta.id, tombstones));
            }
        }
        for search_work in [1, 8192] {
            let found = |deletion| deleted(store, deletion, search_work);
            let of_head = found(Deletion::of_head(&matchers, range));
            assert_eq!(of_head, Deleted { is_in_head, ..Deleted::default() });
            let from_parts = found(Deletion::from_parts(store, &matchers, range));
            assert_eq!(from_parts, Deleted { parts: parts.clone(), ..Deleted::default() });
            let from_blocks = found(Deletion::from_blocks(store, &matchers, range));
            assert_eq!(from_blocks, Deleted { blocks: blocks.clone(), ..Deleted::default() });
            let from_guests = found(Deletion::from_guests(store, &matchers, range));
            assert_eq!(from_guests, Deleted::default());
        }
        life.store.set_head_tombstones(parts.unwrap_or_default());
        for (id, tombstones) in blocks {
            life.store.set_block_tombstones(id, tombstones);
        }
    }
    check(&mut life, "none", (0, 100));
    check(&mut life, "5|6", (0, 100));
    check(&mut life, "5|6", (0, 100));
    check(&mut life, ".*7", (15, 31));
    check(&mut life, ".*[47]", (12, 62));
    check(&mut life, ".*", (70, 90));
    check(&mut life, ".*", (0, 5));
    check(&mut life, ".*", (0, 100));
    check(&mut life, ".*", (0, 100));
}
