use engine::model::SeriesId;

use super::{
    Cursor, ENTRY_COUNT_MAX, Key, Keys, KnownSeries, Owner, SECRET_BYTES, Sequence, SeriesCounts,
};

fn keys() -> Keys {
    Keys::new(std::array::from_fn(|index| (index * 37 + 11) as u8))
}

fn owner(number: u32) -> Owner {
    Owner { shard: (number % 7) as u16, series: SeriesId(number) }
}

fn find(known: &KnownSeries, key: Key) -> Option<Owner> {
    known.find(&mut Cursor::default(), key)
}

#[test]
fn it_remembers_and_replaces() {
    let (keys, mut known) = (keys(), KnownSeries::new(keys()));
    let key = |number: u32| keys.of(&number.to_le_bytes());
    for number in 0..50_000 {
        assert_eq!(find(&known, key(number)), None);
        known.prefetch(key(number));
        known.insert(key(number), owner(number + 1));
        known.insert(key(number), owner(number));
    }
    assert!((0..50_000).all(|number| find(&known, key(number)) == Some(owner(number))));
    assert!(known.bytes() < 50_000 * 30);
}

#[test]
fn what_stands_beside_a_key_is_compared_but_not_another_key() {
    let (keys, mut known) = (keys(), KnownSeries::new(keys()));
    let [plain, beside, other] = [&b"a"[..], b"b", b"c"].map(|text| keys.of(text));
    let (first, second) = (plain.with_beside(beside), plain.with_beside(other));
    known.insert(first, owner(1));
    assert_eq!((find(&known, first), find(&known, second)), (Some(owner(1)), None));
    known.insert(second, owner(2));
    assert_eq!((find(&known, first), find(&known, second)), (None, Some(owner(2))));
    assert_eq!(known.entries.len(), 1);
}

#[test]
fn series_follow_each_other_around_those_that_came_later() {
    let (keys, mut known) = (keys(), KnownSeries::new(keys()));
    let key = |number: u32| keys.of(&number.to_le_bytes());
    (0..20).for_each(|number| known.insert(key(number), owner(number)));
    let mut cursor = Cursor::default();
    let mut walk = |known: &KnownSeries, order: &[u32]| {
        let mut lost_count = 0;
        for &number in order {
            let followed = known.follow(&mut cursor, key(number));
            lost_count += usize::from(followed.is_none());
            let found = followed.or_else(|| known.find(&mut cursor, key(number)));
            assert_eq!(found, Some(owner(number)));
        }
        lost_count
    };
    assert_eq!(walk(&known, &[0, 1, 2, 3]), 0);
    assert_eq!(walk(&known, &[10, 11, 12]), 1);
    // Two that were met later, in the midst of others.
    known.insert(key(20), owner(20));
    known.insert(key(21), owner(21));
    assert_eq!(walk(&known, &[0, 1, 20, 2, 3, 21, 4, 5, 6]), 2);
}

#[test]
fn when_it_is_full_all_is_forgotten() {
    let mut known = KnownSeries::new(keys());
    let key = |number: usize| Key(number as u128); // All of one partition.
    let count_max = super::ROW_COUNT_MAX / 4 * 3;
    for number in 0..=count_max {
        known.insert(key(number), owner(number as u32));
        assert_eq!(find(&known, key(number)), Some(owner(number as u32)));
    }
    assert_eq!(find(&known, key(0)), None);
    assert_eq!(known.entries.len(), 1);
    assert!(ENTRY_COUNT_MAX < count_max << super::PARTITION_BITS);
}

#[test]
fn entries_of_series_that_are_gone_do_not_pile_up() {
    let keys = keys();
    /// `living` and `made` are those of all shards when the entries begin and when they are
    /// looked at; whether the entries are still there then.
    #[track_caller]
    fn check(keys: &Keys, entry_count: u32, began: (u64, u64), now: (u64, u64), stay: bool) {
        let counts = |(living, made)| SeriesCounts { living, made };
        let mut known = KnownSeries::new(keys.clone());
        assert!(known.wants_counts());
        known.reclaim(counts(began));
        assert!(!known.wants_counts());
        let key = |number: u32| keys.of(&number.to_le_bytes());
        (0..entry_count).for_each(|number| known.insert(key(number), owner(number)));
        assert_eq!(known.wants_counts(), entry_count >= 16 << 10);
        known.reclaim(counts(now));
        assert!(!known.wants_counts());
        let found = (0..entry_count).filter(|&number| find(&known, key(number)).is_some());
        assert_eq!(found.count(), if stay { entry_count as usize } else { 0 });
        assert!(stay || known.bytes() < 1 << 20);
    }
    check(&keys, 100_000, (0, 0), (10_000, 100_000), false);
    check(&keys, 100_000, (5_000, 900_000), (10_000, 995_000), false);
    // Each has a few names, and none is gone.
    check(&keys, 100_000, (0, 0), (10_000, 10_000), true);
    check(&keys, 100_000, (10_000, 500), (10_000, 5_000), true);
    // Many live, or there are few.
    check(&keys, 100_000, (0, 0), (25_000, 100_000), true);
    check(&keys, 60_000, (0, 0), (10, 100_000), true);
    check(&keys, 100, (0, 0), (10, 100_000), true);
}

#[test]
fn sequences_differ_by_member_place_and_length() {
    let keys = keys();
    let sequence = |members: &[&str]| {
        let mut sequence = Sequence::default();
        let mut keys = members.iter().map(|member| keys.of(member.as_bytes()));
        while let (Some(name), Some(value)) = (keys.next(), keys.next()) {
            sequence.push(name, value);
        }
        sequence.key()
    };
    let all = [
        sequence(&[]),
        sequence(&["a", "a"]),
        sequence(&["a", "b"]),
        sequence(&["b", "a"]),
        sequence(&["a", "b", "a", "b"]),
        sequence(&["a", "b", "b", "a"]),
        sequence(&["b", "a", "a", "b"]),
        sequence(&["a", "a", "b", "b"]),
    ];
    for (index, key) in all.iter().enumerate() {
        assert!(!all[..index].contains(key), "{index}");
    }
    assert_eq!(sequence(&["a", "b"]), sequence(&["a", "b"]));
    let other = Keys::new([1; SECRET_BYTES]);
    assert_ne!(other.of(b"a"), keys.of(b"a"));
}
