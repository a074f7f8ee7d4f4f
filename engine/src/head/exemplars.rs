//! Exemplars: the newest so many of a shard, in a ring; what comes overwrites the oldest.
//!
//! ```text
//! slots     the ring, in the order received
//! series    id -> its labels, and its slots ascending by timestamp
//! ```
//!
//! A series keeps its labels here, because its exemplars may outlive it in the head.
//!
//! Source: Prometheus `tsdb/exemplar.go`.

use std::collections::btree_map::{self, Entry};
use std::collections::{BTreeMap, VecDeque};

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use xxhash_rust::xxh64::xxh64;

use crate::model::{Labels, LabelsRef, SeriesId};

/// Most characters of an exemplar's label names and values together.
const LABEL_CHARS_MAX: usize = 128;

/// One stored exemplar.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredExemplar {
    pub labels: Labels,
    pub value: f64,
    pub timestamp_ms: i64,
    /// Whether the timestamp is its own, and not that of the sample it came with.
    pub has_timestamp: bool,
}

impl StoredExemplar {
    /// Whether it is the same again: one without a time of its own comes with every sample.
    fn is_same(&self, other: &StoredExemplar) -> bool {
        self.labels == other.labels
            && self.value == other.value
            && (self.timestamp_ms == other.timestamp_ms
                || !self.has_timestamp && !other.has_timestamp)
    }
}

/// The exemplars of a series, ascending by timestamp.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesExemplars {
    pub labels: Labels,
    pub exemplars: Vec<StoredExemplar>,
}

/// Exemplars by the labels of their series, each label set once: a series that left the head and came
/// back is one, and so is one that shards wrote with another shard count. Iterates in order of labels.
#[derive(Clone, Debug, Default)]
pub struct ExemplarsByLabels(BTreeMap<Labels, Vec<StoredExemplar>>);

impl ExemplarsByLabels {
    /// Adds an exemplar of a series, behind those of its time. O(log series).
    pub fn add(&mut self, labels: &Labels, exemplar: &StoredExemplar) {
        let all = match self.0.get_mut(labels) {
            Some(all) => all,
            None => self.0.entry(labels.clone()).or_default(),
        };
        let place = all.partition_point(|other| other.timestamp_ms <= exemplar.timestamp_ms);
        all.insert(place, exemplar.clone());
    }

    /// Adds what others have of a series. O(log series), if it is not here.
    pub fn add_series(&mut self, series: SeriesExemplars) {
        match self.0.entry(series.labels) {
            Entry::Vacant(place) => drop(place.insert(series.exemplars)),
            Entry::Occupied(mut own) => {
                own.get_mut().extend(series.exemplars);
                own.get_mut().sort_by_key(|one| one.timestamp_ms);
            }
        }
    }

    /// Series.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl IntoIterator for ExemplarsByLabels {
    type Item = SeriesExemplars;
    type IntoIter = std::iter::Map<
        btree_map::IntoIter<Labels, Vec<StoredExemplar>>,
        fn((Labels, Vec<StoredExemplar>)) -> SeriesExemplars,
    >;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter().map(|(labels, exemplars)| SeriesExemplars { labels, exemplars })
    }
}

/// What became of an exemplar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExemplarVerdict {
    Accepted,
    /// The newest one of its series again, or another of its time among older ones.
    Repeated,
    /// None are kept.
    Disabled,
    OutOfOrder,
    /// More than 128 characters of labels.
    TooLong,
    /// Newer than the caller's clock allows.
    TooFarInFuture,
    /// The shard has no such series.
    UnknownSeries,
}

#[derive(Debug)]
struct Slot {
    series: u32,
    exemplar: StoredExemplar,
}

#[derive(Debug)]
struct OfSeries {
    labels: Labels,
    /// Ascending by timestamp, by arrival among equals. Not empty.
    slots: VecDeque<u32>,
}

/// Counts for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExemplarCounts {
    pub exemplars: usize,
    pub series: usize,
    /// Most exemplars that are kept.
    pub exemplars_max: usize,
    /// Timestamp of the one that is overwritten next, or of the first; `None` without any.
    pub oldest_ms: Option<i64>,
}

#[derive(Debug, Default)]
pub struct ExemplarRing {
    slots: Vec<Slot>,
    count_max: usize,
    /// The slot that is written next; `slots.len()` while the ring is not full.
    next: usize,
    /// How many came so far; the newest slot's exemplar was the last of them.
    received_count: u64,
    series: HashMap<u32, OfSeries, RandomState>,
    /// Exemplars may be behind their series' newest by less than this.
    window_ms: i64,
}

impl ExemplarRing {
    /// How many exemplars are kept from now on; of more, the newest received. Zero: none.
    pub fn set_count_max(&mut self, count_max: usize) {
        if count_max == self.count_max {
            return;
        }
        self.count_max = count_max;
        let split = self.next.min(self.slots.len());
        let mut received = std::mem::take(&mut self.slots);
        received.rotate_left(split);
        received.drain(..received.len().saturating_sub(count_max));
        let mut labels = std::mem::take(&mut self.series);
        let received_count = self.received_count;
        self.next = 0;
        for Slot { series, exemplar } in received {
            let known = labels.get_mut(&series).map(|of| std::mem::take(&mut of.labels));
            self.insert(SeriesId(series), known.unwrap_or_default(), exemplar);
        }
        self.received_count = received_count;
    }

    /// How far behind their series' newest exemplars may be from now on.
    pub fn set_window_ms(&mut self, window_ms: i64) {
        self.window_ms = window_ms;
    }

    /// Judges an exemplar and keeps it if it may.
    pub fn add(
        &mut self,
        series: SeriesId,
        labels: LabelsRef<'_>,
        exemplar: &StoredExemplar,
    ) -> ExemplarVerdict {
        if self.count_max == 0 {
            return ExemplarVerdict::Disabled;
        }
        let chars = |text| str::from_utf8(text).map_or(usize::MAX / 2, |text| text.chars().count());
        let pairs = exemplar.labels.iter();
        let char_count: usize = pairs.map(|(name, value)| chars(name) + chars(value)).sum();
        if char_count > LABEL_CHARS_MAX {
            return ExemplarVerdict::TooLong;
        }
        if let Some(verdict) = self.judge(series, exemplar) {
            return verdict;
        }
        // Only a series that is new here needs its labels.
        let is_known = self.series.contains_key(&series.0);
        let labels = if is_known { Labels::default() } else { labels.to_owned() };
        self.insert(series, labels, exemplar.clone());
        ExemplarVerdict::Accepted
    }

    /// Judges by the exemplars of the series; `None` accepts.
    fn judge(&self, series: SeriesId, exemplar: &StoredExemplar) -> Option<ExemplarVerdict> {
        let slots = &self.series.get(&series.0)?.slots;
        let at = |slot: u32| &self.slots[slot as usize].exemplar;
        let newest = at(*slots.back()?);
        if newest.is_same(exemplar) {
            return Some(ExemplarVerdict::Repeated);
        }
        let (own_ms, newest_ms) = (exemplar.timestamp_ms, newest.timestamp_ms);
        // Among equal times value and labels decide, so that a scrape that repeats all exemplars of
        // its buckets is noticed without looking at every one of them.
        let hash = |exemplar: &StoredExemplar| xxh64(exemplar.labels.as_ref().as_bytes(), 0);
        let is_out_of_order = if own_ms == newest_ms {
            exemplar.value < newest.value
                || exemplar.value == newest.value && hash(exemplar) < hash(newest)
        } else {
            own_ms < newest_ms && own_ms <= newest_ms.saturating_sub(self.window_ms)
        };
        if is_out_of_order {
            return Some(ExemplarVerdict::OutOfOrder);
        }
        let before = slots.partition_point(|&slot| at(slot).timestamp_ms <= own_ms);
        let is_repeated = own_ms < newest_ms
            && before.checked_sub(1).is_some_and(|last| at(slots[last]).timestamp_ms == own_ms);
        is_repeated.then_some(ExemplarVerdict::Repeated)
    }

    /// Puts an exemplar into the next slot; `labels` are used if the series is new.
    fn insert(&mut self, series: SeriesId, labels: Labels, exemplar: StoredExemplar) {
        let slot = self.next as u32;
        let timestamp_ms = exemplar.timestamp_ms;
        // Its own list must not end by what it overwrites.
        let known = self.series.get(&series.0).map(|of| of.labels.clone());
        if let Some(old) = self.slots.get(self.next) {
            let of = self.series.get_mut(&old.series).expect("a filled slot has a series");
            match of.slots.front() {
                Some(&front) if front == slot => drop(of.slots.pop_front()),
                _ => of.slots.retain(|&other| other != slot),
            }
            if of.slots.is_empty() {
                self.series.remove(&old.series);
            }
        }
        let new = Slot { series: series.0, exemplar };
        match self.slots.get_mut(self.next) {
            Some(place) => *place = new,
            None => self.slots.push(new),
        }
        let of = self.series.entry(series.0).or_insert_with(|| OfSeries {
            labels: known.unwrap_or(labels),
            slots: VecDeque::new(),
        });
        let before =
            |&other: &u32| self.slots[other as usize].exemplar.timestamp_ms <= timestamp_ms;
        let place = of.slots.partition_point(before);
        of.slots.insert(place, slot);
        self.next = (self.next + 1) % self.count_max;
        self.received_count += 1;
    }

    /// All exemplars with their series, in the order in which they came.
    pub fn all(&self) -> impl Iterator<Item = (SeriesId, &StoredExemplar)> {
        let (newer, older) = self.slots.split_at(self.next.min(self.slots.len()));
        let slots = older.iter().chain(newer);
        slots.map(|slot| (SeriesId(slot.series), &slot.exemplar))
    }

    /// Some exemplars, with their series and its labels, in the order in which they came: `count` at
    /// most, from the one with number `from` on. Also where to go on; `None` when all are seen. Numbers
    /// count all that ever came, so whoever goes on later misses none that is still there.
    pub fn some(
        &self,
        from: u64,
        count: usize,
    ) -> (impl Iterator<Item = (SeriesId, &Labels, &StoredExemplar)>, Option<u64>) {
        let len = self.slots.len();
        let first = self.received_count - len as u64;
        let start = (from.max(first) - first).min(len as u64) as usize;
        let end = start.saturating_add(count).min(len);
        let oldest = self.next.min(len);
        let some = (start..end).map(move |at| {
            let slot = &self.slots[(oldest + at) % len];
            let labels = &self.series[&slot.series].labels;
            (SeriesId(slot.series), labels, &slot.exemplar)
        });
        (some, (end < len).then(|| first + end as u64))
    }

    pub fn counts(&self) -> ExemplarCounts {
        let oldest = self.slots.get(self.next).or(self.slots.first());
        ExemplarCounts {
            exemplars: self.slots.len(),
            series: self.series.len(),
            exemplars_max: self.count_max,
            oldest_ms: oldest.map(|slot| slot.exemplar.timestamp_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::ExemplarVerdict::*;
    use super::*;
    use crate::model::TimeRange;

    const ALL_TIME: TimeRange = TimeRange { min_ms: i64::MIN, max_ms: i64::MAX };

    fn exemplar(timestamp_ms: i64, value: f64, trace: &str) -> StoredExemplar {
        let labels = Labels::from_pairs([("trace", trace)]);
        StoredExemplar { labels, value, timestamp_ms, has_timestamp: true }
    }

    fn labels(series: u32) -> Labels {
        Labels::from_pairs([("n", series.to_string())])
    }

    /// All in `range`, some at a time.
    fn select(ring: &ExemplarRing, range: TimeRange) -> Vec<SeriesExemplars> {
        let (mut found, mut next) = (ExemplarsByLabels::default(), Some(0));
        while let Some(from) = next {
            let (some, further) = ring.some(from, 3);
            for (_, labels, one) in some {
                if (range.min_ms..=range.max_ms).contains(&one.timestamp_ms) {
                    found.add(labels, one);
                }
            }
            next = further;
        }
        found.into_iter().collect()
    }

    fn add(ring: &mut ExemplarRing, series: u32, exemplar: &StoredExemplar) -> ExemplarVerdict {
        ring.add(SeriesId(series), labels(series).as_ref(), exemplar)
    }

    #[track_caller]
    fn check(window_ms: i64, exemplars: &[StoredExemplar], expected: &[ExemplarVerdict]) {
        let mut ring = ExemplarRing::default();
        ring.set_count_max(10);
        ring.set_window_ms(window_ms);
        let found: Vec<_> = exemplars.iter().map(|one| add(&mut ring, 0, one)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn verdicts_are_prometheus_verdicts() {
        let first = exemplar(100, 1.0, "a");
        check(0, &[first.clone(), first.clone()], &[Accepted, Repeated]);
        check(0, &[first.clone(), exemplar(99, 1.0, "a")], &[Accepted, OutOfOrder]);
        check(0, &[first.clone(), exemplar(100, 2.0, "a")], &[Accepted, Accepted]);
        check(0, &[first.clone(), exemplar(100, 0.5, "a")], &[Accepted, OutOfOrder]);
        check(10, &[first.clone(), exemplar(91, 1.0, "b")], &[Accepted, Accepted]);
        check(10, &[first.clone(), exemplar(90, 1.0, "b")], &[Accepted, OutOfOrder]);
        check(
            10,
            &[first.clone(), exemplar(95, 1.0, "b"), exemplar(95, 7.0, "c")],
            &[Accepted, Accepted, Repeated],
        );
        // 128 characters, not bytes.
        check(0, &[exemplar(1, 1.0, &"ü".repeat(123))], &[Accepted]);
        check(0, &[exemplar(1, 1.0, &"u".repeat(124))], &[TooLong]);
        assert_eq!(add(&mut ExemplarRing::default(), 0, &first), Disabled);
        let undated = |at_ms| StoredExemplar { has_timestamp: false, ..exemplar(at_ms, 1.0, "a") };
        check(0, &[undated(1), undated(2), exemplar(3, 1.0, "a")], &[Accepted, Repeated, Accepted]);
    }

    #[test]
    fn a_smaller_ring_keeps_the_newest() {
        let mut ring = ExemplarRing::default();
        ring.set_count_max(4);
        for n in 0..6 {
            assert_eq!(add(&mut ring, n % 2, &exemplar(i64::from(n), 0.0, "x")), Accepted);
        }
        ring.set_count_max(3);
        let counts = |ring: &ExemplarRing| (ring.counts().exemplars, ring.counts().oldest_ms);
        assert_eq!(counts(&ring), (3, Some(3)));
        ring.set_count_max(5);
        add(&mut ring, 0, &exemplar(6, 0.0, "x"));
        assert_eq!(counts(&ring), (4, Some(3)));
        let found = select(&ring, TimeRange { min_ms: 4, max_ms: 9 });
        let of = |series| found.iter().find(|one| one.labels == labels(series)).unwrap();
        assert_eq!(of(0).exemplars.len(), 2);
        assert_eq!(of(1).exemplars, [exemplar(5, 0.0, "x")]);
        ring.set_count_max(0);
        assert_eq!((counts(&ring), ring.counts().series), ((0, None), 0));
    }

    proptest! {
        #[test]
        fn it_is_the_newest_of_a_list(
            steps in prop::collection::vec((0..4u32, 0..50i64, 0..3u32), 0..200),
            count_max in 1..20usize,
        ) {
            let mut ring = ExemplarRing::default();
            ring.set_count_max(count_max);
            ring.set_window_ms(15);
            let mut twin: Vec<(u32, StoredExemplar)> = vec![];
            for (series, timestamp_ms, value) in steps {
                let one = exemplar(timestamp_ms, f64::from(value), "t");
                if add(&mut ring, series, &one) == Accepted {
                    twin.push((series, one));
                }
                twin.drain(..twin.len().saturating_sub(count_max));
                let found = select(&ring, ALL_TIME);
                for series in 0..4 {
                    let mut expected: Vec<_> =
                        twin.iter().filter(|one| one.0 == series).map(|one| &one.1).collect();
                    expected.sort_by_key(|one| one.timestamp_ms); // Stable.
                    let own = found.iter().find(|one| one.labels == labels(series));
                    let own: Vec<_> = own.iter().flat_map(|one| &one.exemplars).collect();
                    prop_assert_eq!(own, expected);
                }
            }
        }
    }
}
