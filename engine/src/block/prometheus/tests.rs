use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::super::id::BlockId;
use super::super::samples::SeriesSamples;
use super::*;
use crate::index::{CompiledMatcher, Listing, Search};
use crate::model::histogram::{CounterReset, SCHEMA_CUSTOM, Side, Span};
use crate::model::sample::stale_nan;
use crate::model::{FloatHistogram, HistogramSample, Labels, MatchOp, Matcher, Samples, TimeRange};

mod merging;
mod vectors;

const ALL: TimeRange = TimeRange { min_ms: i64::MIN, max_ms: i64::MAX };

type Files = BTreeMap<String, Vec<u8>>;
type Series = BTreeMap<Labels, SeriesSamples>;

fn take(pieces: &mut Pieces, files: &mut Files) {
    for (file, bytes) in pieces.drain() {
        files.entry(file.path()).or_default().extend(bytes);
    }
}

/// Writes a block; the pieces are taken after every call, or at the end.
fn write(series: &Series, new: NewBlock, starts: StartTimestamps, is_eager: bool) -> Files {
    let (mut files, mut pieces) = (Files::new(), Pieces::default());
    let mut writer = PrometheusWriter::new(new, starts);
    for (labels, samples) in series {
        writer.push_series(labels.as_ref(), samples, &mut pieces).unwrap();
        if is_eager {
            take(&mut pieces, &mut files);
        }
    }
    while writer.finish(&mut pieces).unwrap().is_none() {
        if is_eager {
            take(&mut pieces, &mut files);
        }
    }
    take(&mut pieces, &mut files);
    files
}

fn new_block() -> NewBlock {
    NewBlock {
        id: BlockId::new(1_760_000_000_000, *b"0123456789"),
        start_ms: i64::MIN,
        end_ms: i64::MAX,
        level: 1,
        ..NewBlock::default()
    }
}

fn open(files: &Files) -> Result<PrometheusBlock, crate::block::BlockError> {
    let shared = |bytes: &Vec<u8>| Arc::new(bytes.clone()) as Arc<_>;
    let segments =
        files.range("chunks/".to_owned()..).take_while(|(name, _)| name.starts_with("chunks/"));
    PrometheusBlock::open(BlockFiles {
        meta: files["meta.json"].clone(),
        index: shared(&files["index"]),
        segments: segments.map(|(_, bytes)| shared(bytes)).collect(),
    })
}

fn golden() -> Files {
    Files::from([
        ("meta.json".to_owned(), include_bytes!("golden/meta.json").to_vec()),
        ("index".to_owned(), include_bytes!("golden/index").to_vec()),
        ("tombstones".to_owned(), include_bytes!("golden/tombstones").to_vec()),
        ("chunks/000001".to_owned(), include_bytes!("golden/chunks/000001").to_vec()),
    ])
}

/// Everything that a block holds.
fn read(files: &Files) -> Result<Vec<(Labels, SeriesSamples)>, crate::block::BlockError> {
    let block = open(files)?;
    let mut all = vec![];
    for series in &block.all_series()? {
        let labels = block.labels(series, &mut vec![])?.to_owned();
        let mut samples = SeriesSamples::default();
        block.series_samples(series, ALL, &mut samples)?;
        all.push((labels, samples));
    }
    Ok(all)
}

/// Compares to the bit. Starts that are all zero are none.
#[track_caller]
fn assert_same(found: &SeriesSamples, expected: &SeriesSamples) {
    let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    let starts = |starts_ms: &[i64]| match starts_ms.iter().all(|&start_ms| start_ms == 0) {
        true => vec![],
        false => starts_ms.to_vec(),
    };
    assert_eq!(found.timestamps_ms, expected.timestamps_ms);
    assert_eq!(bits(&found.values), bits(&expected.values));
    assert_eq!(starts(&found.starts_ms), starts(&expected.starts_ms));
    assert_eq!(found.histogram_timestamps_ms, expected.histogram_timestamps_ms);
    assert_eq!(starts(&found.histogram_starts_ms), starts(&expected.histogram_starts_ms));
    for (found, expected) in found.histograms.iter().zip(&expected.histograms) {
        assert_eq!(found.is_integer, expected.is_integer);
        assert!(found.equals(expected), "{found:?} is not {expected:?}");
        let gauge = |sample: &HistogramSample| {
            !sample.is_stale() && sample.histogram.counter_reset == CounterReset::Gauge
        };
        assert_eq!(gauge(found), gauge(expected));
    }
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied())
}

fn side(offset: i32, counts: &[f64]) -> Side<f64> {
    let spans = vec![Span { offset, length: counts.len() as u32 }];
    if counts.is_empty() { Side::default() } else { Side { spans, buckets: counts.to_vec() } }
}

fn histogram(is_integer: bool, at: f64) -> HistogramSample {
    let histogram = FloatHistogram {
        schema: 3,
        zero_threshold: 1e-3,
        zero_count: at,
        count: 6.0 * at,
        sum: 0.7 * at,
        positive: side(-2, &[at, 2.0 * at, 0.0]),
        negative: side(1, &[2.0 * at]),
        ..FloatHistogram::default()
    };
    HistogramSample { histogram, is_integer }
}

fn custom(at: f64) -> HistogramSample {
    let histogram = FloatHistogram {
        schema: SCHEMA_CUSTOM,
        count: 3.0 * at,
        sum: at,
        positive: side(0, &[at, 2.0 * at]),
        custom_bounds: [0.005, 0.1, 1.0 / 3.0, 2.5e9].into(),
        ..FloatHistogram::default()
    };
    HistogramSample { histogram, is_integer: true }
}

/// Series of every kind.
fn every_kind() -> Series {
    let times: Vec<i64> = (0..300).map(|n| 15_000 * n + n * n % 7).collect();
    let values: Vec<f64> = (0..300)
        .map(|n| match n % 50 {
            0 => stale_nan(),
            1 => f64::INFINITY,
            2 => -0.0,
            3 => f64::MIN_POSITIVE / 8.0,
            n if n < 30 => 12.0,
            n => f64::from(n) * 0.1,
        })
        .collect();
    let starts = |change: usize| -> Vec<i64> {
        (0..300).map(|n| if n < change { 0 } else { 15_000 * n as i64 - 40 }).collect()
    };
    let with = |histograms: Vec<HistogramSample>| SeriesSamples {
        histogram_timestamps_ms: times[..histograms.len()].to_vec(),
        histograms,
        ..SeriesSamples::default()
    };
    let counts = || (1..=40).map(f64::from);
    let mut reset: Vec<HistogramSample> = counts().map(|at| histogram(true, at)).collect();
    reset.extend(counts().map(|at| histogram(true, at)));
    reset[20] = HistogramSample::stale(true);
    reset[21] = HistogramSample::stale(true);
    let mut gauge: Vec<HistogramSample> = counts().map(|at| histogram(false, 50.5 - at)).collect();
    gauge.iter_mut().for_each(|s| s.histogram.counter_reset = CounterReset::Gauge);
    gauge[7] = HistogramSample::stale(false);
    let floats = SeriesSamples {
        timestamps_ms: times.clone(),
        values: values.clone(),
        ..SeriesSamples::default()
    };
    let mixed = SeriesSamples {
        timestamps_ms: times[..100].to_vec(),
        values: values[..100].to_vec(),
        histogram_timestamps_ms: vec![-5, 15_003, 15_007, 99_999_999],
        histograms: counts().take(4).map(|at| histogram(true, at)).collect(),
        ..SeriesSamples::default()
    };
    let custom_starts = SeriesSamples {
        histogram_starts_ms: (0..30).map(|n| 7 * n).collect(),
        ..with(counts().take(30).map(custom).collect())
    };
    let float_starts = SeriesSamples {
        histogram_starts_ms: vec![9; 40],
        ..with(counts().map(|at| histogram(false, at)).collect())
    };
    let name = |name: &str| labels(&[("__name__", name), ("job", "a"), ("kind", name)]);
    let mut series = Series::from([
        (name("floats"), floats.clone()),
        (name("reset"), with(reset)),
        (name("gauge"), with(gauge)),
        (name("mixed"), mixed),
        (name("custom"), custom_starts),
        (name("float_starts"), float_starts),
        (labels(&[("__name__", "floats"), ("job", "b")]), floats.clone()),
    ]);
    for change in [0, 1, 2, 60, 127, 128, 200] {
        let own = labels(&[("__name__", "started"), ("change", &change.to_string())]);
        series.insert(own, SeriesSamples { starts_ms: starts(change), ..floats.clone() });
    }
    series
}

#[test]
fn every_kind_comes_back() {
    let series = every_kind();
    let files = write(&series, new_block(), StartTimestamps::Keep, true);
    assert_eq!(files, write(&series, new_block(), StartTimestamps::Keep, false));
    let found = read(&files).unwrap();
    assert_eq!(found.len(), series.len());
    for ((labels, found), (expected_labels, expected)) in found.iter().zip(&series) {
        assert_eq!(labels, expected_labels);
        assert_same(found, expected);
    }
    let meta = Meta::decode(&files["meta.json"]).unwrap();
    assert_eq!(meta.stats.series_count, series.len() as u64);
    assert_eq!(meta.stats.sample_count, series.values().map(|s| s.len() as u64).sum::<u64>());
    let without = write(&series, new_block(), StartTimestamps::Drop, true);
    for ((_, found), (_, expected)) in read(&without).unwrap().iter().zip(&series) {
        assert!(found.starts_ms.is_empty() && found.histogram_starts_ms.is_empty());
        assert_eq!(found.values.len(), expected.values.len());
    }
}

#[test]
fn ranges_are_cut_to_the_millisecond() {
    let series = every_kind();
    let block = open(&write(&series, new_block(), StartTimestamps::Keep, true)).unwrap();
    for (min_ms, max_ms) in [(0, 0), (15_000, 2_000_000), (1_800_000, 1_800_006), (9, 8)] {
        let range = TimeRange { min_ms, max_ms };
        for (id, expected) in block.all_series().unwrap().iter().zip(series.values()) {
            let mut found = Samples::default();
            block.samples(id, range, &mut found, &mut vec![]).unwrap();
            let is_in = |time_ms: &&i64| (min_ms..=max_ms).contains(*time_ms);
            let times: Vec<i64> = expected.timestamps_ms.iter().filter(is_in).copied().collect();
            assert_eq!(found.timestamps_ms, times);
            assert_eq!(found.values.len(), times.len());
            let times = expected.histogram_timestamps_ms.iter().filter(is_in);
            assert_eq!(found.histogram_timestamps_ms, times.copied().collect::<Vec<i64>>());
            assert_eq!(found.histograms.len(), found.histogram_timestamps_ms.len());
            let may = block.may_have_samples(id, range).unwrap();
            assert!(may || found.is_empty());
        }
    }
}

#[test]
fn matchers_find_what_a_walk_finds() {
    let mut series = Series::new();
    let one = SeriesSamples { timestamps_ms: vec![1], values: vec![2.0], ..Default::default() };
    for number in 0..200 {
        let (group, own) = (format!("g{}", number % 7), format!("n{number:03}"));
        let mut pairs = vec![("__name__", "m"), ("group", group.as_str()), ("own", own.as_str())];
        pairs.truncate(if number % 5 == 0 { 2 } else { 3 });
        series.insert(labels(&pairs), one.clone());
    }
    let files = write(&series, new_block(), StartTimestamps::Keep, true);
    let block = open(&files).unwrap();
    let all: Vec<&Labels> = series.keys().collect();
    let ids: Vec<u32> = block.all_series().unwrap().iter().collect();
    assert_eq!(ids.len(), all.len());
    let check = |matchers: &[(&str, MatchOp, &str)]| {
        let matcher = |(name, op, value): &(&str, MatchOp, &str)| Matcher {
            name: (*name).into(),
            op: *op,
            value: (*value).into(),
        };
        let matchers: Vec<Matcher> = matchers.iter().map(matcher).collect();
        let compiled = CompiledMatcher::compile(&matchers).unwrap();
        let expected: Vec<u32> = ids
            .iter()
            .zip(&all)
            .filter(|(_, labels)| compiled.iter().all(|m| m.matches(labels.as_ref())))
            .map(|(&id, _)| id)
            .collect();
        let found: Vec<u32> = block.select(&compiled).unwrap().iter().collect();
        assert_eq!(found, expected, "{matchers:?}");
        for work_max in [1, 100] {
            let found = Search::in_steps(&block, &compiled, work_max).unwrap();
            assert!(found.iter().eq(expected.iter().copied()), "{matchers:?}");
        }
        let in_range = block.select_in(&compiled, TimeRange { min_ms: 2, max_ms: 9 }).unwrap();
        assert!(in_range.is_empty());
    };
    use MatchOp::*;
    check(&[]);
    for (op, values) in [
        (Equal, ["g3", "n117", "", "none", "n000"]),
        (NotEqual, ["g3", "n117", "", "none", "n199"]),
        (Regexp, ["g[1-3]", "n1.*", ".*", ".+", "n117|n031||x"]),
        (NotRegexp, ["g[1-3]", "n1.*", ".*", ".+", "n117|n031|x"]),
    ] {
        for value in values {
            for name in ["group", "own", "absent"] {
                check(&[(name, op, value)]);
                check(&[("group", NotEqual, "g1"), (name, op, value), ("own", Regexp, "n0.*")]);
            }
        }
    }
    let few = roaring::RoaringBitmap::from_iter([ids[3], ids[90]]);
    let many = roaring::RoaringBitmap::from_iter(ids.iter().skip(3).step_by(3).copied());
    for work_max in [1, 20, 8192] {
        for selection in [None, Some(&few), Some(&many)] {
            let names = Listing::names(selection.cloned()).in_steps(&block, work_max).unwrap();
            assert_eq!(names, [b"__name__".as_slice(), b"group", b"own"]);
            for name in ["group", "own", "absent", ""] {
                let is_selected = |id: &u32| selection.is_none_or(|some| some.contains(*id));
                let selected = ids.iter().zip(&all).filter(|(id, _)| is_selected(id));
                let values = selected.map(|(_, labels)| labels.get(name.as_bytes()).to_vec());
                let mut expected: Vec<Vec<u8>> = values.collect();
                expected.sort();
                expected.dedup();
                expected.retain(|value| !value.is_empty() || name.is_empty());
                let listing = Listing::values(name.as_bytes(), selection.cloned());
                assert_eq!(listing.in_steps(&block, work_max).unwrap(), expected);
            }
        }
    }
    let counts = block.label_counts().unwrap();
    assert_eq!(counts[1], (b"group".as_slice(), 7, all.len() as u64));
    let survey = block.survey(3, |hash| (hash % 3) as usize, || false).unwrap().unwrap();
    assert_eq!(survey.of_shard.iter().map(|own| own.len()).sum::<u64>(), all.len() as u64);
    assert_eq!((survey.min_ms, survey.max_ms), (1, 1));
}

#[test]
fn series_out_of_order_and_samples_out_of_range_are_refused() {
    let new = NewBlock { start_ms: 0, end_ms: 10, ..new_block() };
    let mut writer = PrometheusWriter::new(new, StartTimestamps::Keep);
    let mut pieces = Pieces::default();
    let mut push = |name: &str, time_ms: i64| {
        let samples = SeriesSamples {
            timestamps_ms: vec![time_ms],
            values: vec![1.0],
            ..SeriesSamples::default()
        };
        writer.push_series(labels(&[("a", name)]).as_ref(), &samples, &mut pieces)
    };
    push("b", 9).unwrap();
    assert!(push("a", 9).unwrap_err().to_string().contains("order of series"));
    assert!(push("b", 9).is_err());
    assert!(push("c", 10).unwrap_err().to_string().contains("time of a sample"));
}

/// Every flipped bit of a block is an error, or changes nothing.
#[test]
fn every_flipped_bit_is_seen_or_without_effect() {
    let mut series = every_kind();
    let names = ["floats", "reset", "custom", "started"];
    series.retain(|labels, _| names.contains(&str::from_utf8(labels.get(b"__name__")).unwrap()));
    series.values_mut().for_each(|samples| {
        samples.timestamps_ms.truncate(4);
        samples.values.truncate(4);
        samples.starts_ms.truncate(4);
        samples.histogram_timestamps_ms.truncate(3);
        samples.histograms.truncate(3);
        samples.histogram_starts_ms.truncate(3);
    });
    let files = write(&series, new_block(), StartTimestamps::Keep, true);
    let matchers = [Matcher { name: "job".into(), op: MatchOp::Equal, value: "a".into() }];
    let compiled = CompiledMatcher::compile(&matchers).unwrap();
    let answer = |files: &Files| {
        let all = read(files)?;
        let block = open(files)?;
        let selected: Vec<u32> = block.select(&compiled)?.iter().collect();
        let values = Listing::values(b"kind", None).in_steps(&block, 99)?;
        let all: Vec<String> = all.iter().map(|series| format!("{series:?}")).collect();
        Ok::<_, crate::block::BlockError>((all, selected, values))
    };
    let expected = answer(&files).unwrap();
    let mut seen = 0;
    for name in ["index", "chunks/000001"] {
        for bit in 0..8 * files[name].len() {
            let mut broken = files.clone();
            broken.get_mut(name).unwrap()[bit / 8] ^= 1 << (bit % 8);
            match answer(&broken) {
                Ok(found) => assert!(found == expected, "{name}: bit {bit}"),
                Err(_) => seen += 1,
            }
        }
        for length in 0..files[name].len() {
            let mut broken = files.clone();
            broken.get_mut(name).unwrap().truncate(length);
            assert!(answer(&broken).is_err());
        }
    }
    assert!(seen > 8 * 500);
}

/// A block that Prometheus 3.5.3 wrote: what is in it, and what `promtool tsdb dump` prints last of
/// each of its series, with the number of its samples (of histograms, that command leaves out the
/// first two or the first).
#[test]
fn a_block_of_prometheus_is_read_as_promtool_reads_it() {
    let golden = golden();
    let block = open(&golden).unwrap();
    let mut lines = String::new();
    for series in &block.all_series().unwrap() {
        let labels = block.labels(series, &mut vec![]).unwrap().to_owned();
        let mut samples = SeriesSamples::default();
        block.series_samples(series, ALL, &mut samples).unwrap();
        let last = match (samples.values.last(), samples.histograms.last()) {
            (Some(value), _) => format!("{value} {}", samples.timestamps_ms.last().unwrap()),
            (_, Some(sample)) => {
                let time_ms = samples.histogram_timestamps_ms.last().unwrap();
                format!("{} {time_ms}", sample.histogram)
            }
            _ => unreachable!("no series without samples is written"),
        };
        lines.push_str(&format!("{} {labels} {last}\n", samples.len()));
    }
    assert_eq!(lines, include_str!("golden/last.txt"));
    let meta = block.meta();
    assert_eq!((meta.stats.series_count, meta.stats.sample_count), (18, 2268));
    assert_eq!(decode_tombstones(&golden["tombstones"]), Ok(Default::default()));
}

/// What Prometheus wrote is written again, to the byte where nothing is chosen freely: how many
/// samples a chunk has, and where buckets are added to a chunk of histograms.
#[test]
fn a_block_of_prometheus_is_written_as_prometheus_writes_it() {
    let golden = golden();
    let block = open(&golden).unwrap();
    let meta = block.meta();
    assert_eq!(meta.encode(), golden["meta.json"]);
    let new = NewBlock {
        id: meta.id,
        start_ms: meta.start_ms,
        end_ms: meta.end_ms,
        level: meta.level,
        sources: meta.sources.clone(),
        ..NewBlock::default()
    };
    let series: Series = read(&golden).unwrap().into_iter().collect();
    let files = write(&series, new, StartTimestamps::Drop, true);
    assert_eq!(files["tombstones"], golden["tombstones"]);
    let written = open(&files).unwrap();
    let mut equal_count = 0;
    let pairs = block.all_series().unwrap().into_iter().zip(written.all_series().unwrap());
    for ((old, new), expected) in pairs.zip(series.values()) {
        let mut found = SeriesSamples::default();
        written.series_samples(new, ALL, &mut found).unwrap();
        assert_same(&found, expected);
        let data = |block: &PrometheusBlock, series: u32| -> Vec<Vec<u8>> {
            let chunks = block.chunks(series).unwrap();
            chunks.map(|chunk| block.chunk(&chunk.unwrap()).unwrap().data.to_vec()).collect()
        };
        equal_count += usize::from(data(&block, old) == data(&written, new));
    }
    assert!(equal_count > 0, "no series has the chunks that Prometheus wrote");
}

/// The samples of each chunk, encoded again, are its bytes.
#[test]
fn chunks_of_prometheus_are_encoded_to_the_byte() {
    let block = open(&golden()).unwrap();
    let (mut count, mut bits) = (0, super::bits::BitWriter::default());
    for series in &block.all_series().unwrap() {
        for chunk in block.chunks(series).unwrap() {
            let chunk = block.chunk(&chunk.unwrap()).unwrap();
            let mut samples = SeriesSamples::default();
            chunk.decode(&mut samples, &mut vec![]).unwrap();
            assert_eq!(chunk.sample_count(), samples.len());
            if chunk.encoding.is_float() {
                let (times, values) = (&samples.timestamps_ms, &samples.values);
                super::floats::encode_xor(times, values, &mut bits);
            } else {
                let range = 0..samples.len();
                super::chunk::encode_some_histograms(&samples, range, None, &mut bits);
            }
            // Count and resets aside, which depend on where a chunk ends and on the one before: it
            // is the beginning of what Prometheus wrote, up to the bits of the last byte.
            let whole = ..bits.bytes.len() - 1;
            assert_eq!(bits.bytes[whole][3..], chunk.data[whole][3..], "series {series}");
            count += 1;
        }
    }
    assert_eq!(count, 36);
}

/// XOR2 by hand, as `tsdb/chunkenc/xor2.go` describes it: the same value, a staleness marker on time,
/// the value before it again, a millisecond late; without starts, and with one that stays.
#[test]
fn xor2_is_written_as_described() {
    let times = [1000, 1015, 1030, 1045, 1060, 1076];
    let values = [1.0, 1.0, 1.0, stale_nan(), 1.0, 1.0];
    let one = 1f64.to_be_bytes();
    let mut bits = super::bits::BitWriter::default();
    for (start_ms, header, first) in [(0, 0, &[][..]), (990, 0x80, &[0x14][..])] {
        let taken = super::floats::encode_xor2(&times, &values, &[start_ms; 6], &mut bits);
        assert_eq!(taken, 6);
        let expected =
            [&[0, 6, header, 0xd0, 0x0f][..], &one, first, &[0x0f, 0x3e, 0xc0, 0x01, 0x00]];
        assert_eq!(bits.bytes, expected.concat());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Chunks whose checksums hold and that no writer wrote: an error or some samples, no panic.
    #[test]
    fn no_bytes_are_too_strange(
        encoding in 1u8..=6,
        data in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let encoding = ChunkEncoding::from_byte(encoding).unwrap();
        let mut out = SeriesSamples::default();
        let chunk = Chunk { encoding, data: &data };
        let _ = chunk.decode(&mut out, &mut vec![]);
        let mut bytes = vec![];
        super::chunk::push_chunk(&mut bytes, encoding, &data);
        prop_assert_eq!(Chunk::at(&bytes).unwrap().0.data, &data[..]);
    }

    #[test]
    fn floats_come_back_to_the_bit(
        steps in prop::collection::vec((1i64..1 << 22, any::<u64>(), 0u8..8, 0i64..3), 1..300),
        starts in any::<bool>(),
    ) {
        let mut samples = SeriesSamples::default();
        let (mut time_ms, mut value) = (-1_000_000i64, 5u64);
        for (step, bits, kind, start) in steps {
            time_ms += if kind < 5 { 15_000 } else { step };
            value = match kind {
                0..=2 => value,
                3 => f64::to_bits(f64::from_bits(value) + 1.0),
                4 => stale_nan().to_bits(),
                _ => bits,
            };
            samples.timestamps_ms.push(time_ms);
            samples.values.push(f64::from_bits(value));
            if starts {
                samples.starts_ms.push(start * time_ms / 2);
            }
        }
        let series = Series::from([(labels(&[("a", "b")]), samples)]);
        let files = write(&series, new_block(), StartTimestamps::Keep, true);
        let found = read(&files).unwrap();
        assert_same(&found[0].1, series.values().next().unwrap());
    }

    #[test]
    fn histograms_come_back(
        steps in prop::collection::vec((prop::collection::vec(0u32..50, 0..6), 0u8..10), 1..60),
        is_integer in any::<bool>(),
        starts in any::<bool>(),
    ) {
        let mut samples = SeriesSamples::default();
        let mut total: Vec<f64> = vec![];
        for (number, (more, kind)) in (0i64..).zip(steps) {
            if kind == 0 {
                total.clear();
            }
            total.resize(total.len().max(more.len()), 0.0);
            total.iter_mut().zip(&more).for_each(|(count, more)| *count += f64::from(*more));
            let mut sample = histogram(is_integer, 1.0);
            sample.histogram.positive = side(i32::from(kind > 8), &total);
            sample.histogram.negative = Side::default();
            sample.histogram.count = total.iter().sum::<f64>() + 1.0;
            if kind == 7 {
                sample.histogram.counter_reset = CounterReset::Gauge;
            }
            let sample = if kind == 1 { HistogramSample::stale(is_integer) } else { sample };
            samples.histogram_timestamps_ms.push(number * number * 1000);
            samples.histograms.push(sample);
            if starts {
                samples.histogram_starts_ms.push(number / 3);
            }
        }
        let series = Series::from([(labels(&[("a", "b")]), samples)]);
        let files = write(&series, new_block(), StartTimestamps::Keep, true);
        assert_same(&read(&files).unwrap()[0].1, series.values().next().unwrap());
    }
}
