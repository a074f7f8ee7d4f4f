//! The cases lie in `cases/`: paragraphs of lines, each line a key and what it stands for.

use std::fmt::Display;

use proptest::prelude::*;

use super::bounds::bound_exponential;
use super::bucket::counts_in_schema;
use super::compact::compact;
use super::side::{Side, Span, spans_match};
use super::*;

/// A paragraph of a file of cases.
struct Case<'a> {
    text: &'a str,
}

impl<'a> Case<'a> {
    fn get(&self, key: &str) -> Option<&'a str> {
        self.text.lines().find_map(|line| {
            let (found, rest) = line.split_once(' ').unwrap_or((line, ""));
            (found == key).then_some(rest)
        })
    }

    fn histogram(&self, key: &str) -> FloatHistogram {
        float(self.get(key).unwrap_or_else(|| panic!("no {key} in:\n{}", self.text)))
    }

    /// The error of `result` is the one the case wants, word by word.
    #[track_caller]
    fn check_error<T>(&self, result: Result<T, Error>) -> Option<T> {
        let expected = self.get("error");
        let found = result.as_ref().err().map(|error| error.to_string());
        assert_eq!(found.as_deref(), expected, "\n{}", self.text);
        result.ok()
    }

    #[track_caller]
    fn check(&self, found: impl Display, expected: impl Display) {
        assert_eq!(found.to_string(), expected.to_string(), "\n{}", self.text);
    }

    /// `found` is the histogram `expect`, spans and all.
    #[track_caller]
    fn check_histogram(&self, found: &FloatHistogram, expected: &FloatHistogram) {
        let same = found.equals(expected)
            && found.counter_reset == expected.counter_reset
            && found.positive.spans == expected.positive.spans
            && found.negative.spans == expected.negative.spans;
        assert!(same, "found {found:?}\n{}", self.text);
    }
}

fn cases(file: &str) -> impl Iterator<Item = Case<'_>> {
    let paragraphs = file.split("\n\n").map(|text| Case { text: text.trim_end() });
    paragraphs.filter(|case| !case.text.is_empty() && !case.text.starts_with('#'))
}

fn numbers<T: std::str::FromStr>(list: &str) -> Vec<T> {
    list.split(',').map(|number| number.parse().ok().expect("a number")).collect()
}

fn spans(list: &str) -> Vec<Span> {
    let span = |text: &str| {
        let (offset, length) = text.split_once(':').expect("offset:length");
        Span { offset: offset.parse().unwrap(), length: length.parse().unwrap() }
    };
    list.split(',').map(span).collect()
}

/// A histogram written as fields; what is zero or empty is left out.
fn float(text: &str) -> FloatHistogram {
    let mut histogram = FloatHistogram::default();
    for field in text.split_whitespace() {
        let (key, value) = field.split_once(['=', '@']).expect("a field has a value");
        let number = || value.parse::<f64>().unwrap();
        match (key, field.contains('@')) {
            ("schema", _) => histogram.schema = value.parse().unwrap(),
            ("width", _) => histogram.zero_threshold = number(),
            ("zero", _) => histogram.zero_count = number(),
            ("count", _) => histogram.count = number(),
            ("sum", _) => histogram.sum = number(),
            ("pos", true) => histogram.positive.spans = spans(value),
            ("pos", false) => histogram.positive.buckets = numbers(value),
            ("neg", true) => histogram.negative.spans = spans(value),
            ("neg", false) => histogram.negative.buckets = numbers(value),
            ("bounds", _) => histogram.custom_bounds = numbers(value).into(),
            ("hint", _) => {
                histogram.counter_reset = match value {
                    "reset" => CounterReset::Reset,
                    "not_reset" => CounterReset::NotReset,
                    _ => CounterReset::Gauge,
                }
            }
            _ => panic!("field {field}"),
        }
    }
    histogram
}

/// The same fields, buckets as differences.
fn integer(text: &str) -> Histogram {
    let float = float(text);
    let side = |side: Side<f64>| Side {
        spans: side.spans,
        buckets: side.buckets.iter().map(|bucket| *bucket as i64).collect(),
    };
    Histogram {
        counter_reset: float.counter_reset,
        schema: float.schema,
        zero_threshold: float.zero_threshold,
        zero_count: float.zero_count as u64,
        count: float.count as u64,
        sum: float.sum,
        positive: side(float.positive),
        negative: side(float.negative),
        custom_bounds: float.custom_bounds,
    }
}

/// Runs `operation` on `a` and `b` of a case and compares what the case expects.
#[track_caller]
fn check_operation(
    case: &Case<'_>,
    mut a: FloatHistogram,
    operation: impl Fn(&mut FloatHistogram) -> Result<Merged, Error>,
) {
    let Some(merged) = case.check_error(operation(&mut a)) else { return };
    let flags = case.get("flags").unwrap_or_default();
    assert_eq!(merged.counter_reset_collision, flags.contains("collision"), "\n{}", case.text);
    assert_eq!(merged.bounds_reconciled, flags.contains("reconciled"), "\n{}", case.text);
    if case.get("expect").is_some() {
        let mut expected = case.histogram("expect");
        a.compact(0);
        expected.compact(0);
        case.check_histogram(&a, &expected);
    }
}

#[test]
fn sums() {
    for case in cases(include_str!("cases/add.txt")) {
        for (a, b) in [("a", "b"), ("b", "a")] {
            let (a, b) = (case.histogram(a), case.histogram(b));
            check_operation(&case, a.clone(), |a| a.add(&b));
            check_operation(&case, a, |a| {
                let mut lost = Compensation::new(a);
                let merged = a.add_kahan(&b, &mut lost)?;
                assert_eq!(lost.positive.len(), a.positive.buckets.len());
                assert_eq!(lost.negative.len(), a.negative.buckets.len());
                a.add_compensation(&lost);
                Ok(merged)
            });
        }
    }
}

#[test]
fn differences() {
    for case in cases(include_str!("cases/sub.txt")) {
        let b = case.histogram("b");
        check_operation(&case, case.histogram("a"), |a| a.sub(&b));
    }
}

#[test]
fn sums_remember_what_rounding_took() {
    for case in cases(include_str!("cases/add_kahan.txt")) {
        let b = case.histogram("b");
        let lost = case.get("lost").map(float);
        check_operation(&case, case.histogram("a"), |a| {
            let mut compensation = Compensation::new(a);
            if let Some(lost) = &lost {
                compensation.zero_count = lost.zero_count;
                compensation.count = lost.count;
                compensation.sum = lost.sum;
                compensation.positive.clone_from(&lost.positive.buckets);
                compensation.negative.clone_from(&lost.negative.buckets);
            }
            let merged = a.add_kahan(&b, &mut compensation)?;
            a.add_compensation(&compensation);
            Ok(merged)
        });
    }
    let mut sum = float("count=1 sum=1 pos@0:1 pos=1");
    let mut lost = Compensation::new(&sum);
    for text in ["1e100", "1", "-1e100"] {
        let other = float(&format!("count=1 sum={text} pos@0:1 pos={text}"));
        sum.add_kahan(&other, &mut lost).unwrap();
    }
    sum.add_compensation(&lost);
    assert_eq!((sum.sum, sum.positive.buckets[0]), (2.0, 2.0));
}

#[test]
fn compacted_histograms() {
    for case in cases(include_str!("cases/compact.txt")) {
        let empty_count_max = case.get("empty").unwrap().parse().unwrap();
        if case.get("kind") == Some("integer") {
            let mut found = integer(case.get("a").unwrap());
            let expected = integer(case.get("expect").unwrap());
            found.compact(empty_count_max);
            assert_eq!(found.positive, expected.positive, "\n{}", case.text);
            assert_eq!(found.negative, expected.negative, "\n{}", case.text);
        } else {
            let mut found = case.histogram("a");
            found.compact(empty_count_max);
            case.check_histogram(&found, &case.histogram("expect"));
        }
    }
    let mut side = Side { spans: spans("0:1,1:1,1:1"), buckets: vec![1.0, 2.0, 3.0] };
    let mut lost = vec![0.1, 0.2, 0.3];
    compact(&mut side, Some(&mut lost), 3);
    assert_eq!((side.spans, side.buckets), (spans("0:5"), vec![1.0, 0.0, 2.0, 0.0, 3.0]));
    assert_eq!(lost, [0.1, 0.0, 0.2, 0.0, 0.3]);
}

#[test]
fn resets() {
    for case in cases(include_str!("cases/detect_reset.txt")) {
        let reset = case.histogram("b").detect_reset(&case.histogram("a"));
        case.check(if reset { "reset" } else { "none" }, case.get("expect").unwrap());
    }
}

#[test]
fn products() {
    for case in cases(include_str!("cases/scale.txt")) {
        let mut found = case.histogram("a");
        match (case.get("mul"), case.get("div")) {
            (Some(factor), _) => found.mul(factor.parse().unwrap()),
            (_, Some(scalar)) => found.div(scalar.parse().unwrap()),
            _ => panic!("no operation in:\n{}", case.text),
        }
        let expected = case.histogram("expect");
        // As text, where not a number equals itself; the sign of a zero does not count.
        let shown = |histogram: FloatHistogram| format!("{histogram:?}").replace("-0.0,", "0.0,");
        case.check(shown(found), shown(expected));
    }
}

#[test]
fn coarser_schemas() {
    for case in cases(include_str!("cases/reduce.txt")) {
        let target: i32 = case.get("to").unwrap().parse().unwrap();
        if case.get("kind") == Some("integer") {
            let mut found = integer(case.get("a").unwrap());
            if case.check_error(found.reduce_resolution(target)).is_some() {
                let expected = integer(case.get("expect").unwrap());
                assert!(found.equals(&expected), "found {found:?}\n{}", case.text);
            }
            continue;
        }
        let origin = case.histogram("a");
        let mut found = origin.clone();
        let reduced = match target == origin.schema {
            true => Ok(()),
            false => found.reduce_resolution(target),
        };
        if case.check_error(reduced).is_some() {
            case.check_histogram(&found, &case.histogram("expect"));
            case.check_histogram(&origin.copy_to_schema(target), &found);
        }
    }
}

#[test]
fn invalid_histograms_are_named() {
    for case in cases(include_str!("cases/validate.txt")) {
        let histogram = integer(case.get("a").unwrap());
        case.check_error(histogram.validate());
        if case.get("flags") != Some("skip_float") {
            let mut float = FloatHistogram::default();
            histogram.to_float(&mut float);
            case.check_error(float.validate());
        }
    }
    for (text, expected) in [
        (
            "zero=-1.5",
            "zero bucket has observation count of -1.5: histogram has a bucket whose observation \
             count is negative",
        ),
        ("count=-2", "observation count is  -2: histogram's observation count is negative"),
        (
            "pos@0:1 pos=-0.5",
            "positive side: bucket number 1 has observation count of -0.5: histogram has a bucket \
             whose observation count is negative",
        ),
        ("schema=-53 width=1", "custom buckets: must have zero threshold of 0"),
        ("schema=-53 neg@0:1", "custom buckets: must not have negative spans"),
        ("schema=-53 neg=1", "custom buckets: must not have negative buckets"),
    ] {
        assert_eq!(float(text).validate().unwrap_err().to_string(), expected, "{text}");
    }
    assert_eq!(
        Error::unknown_schema(60).to_string(),
        "histogram has an unknown schema, which must be between -9 and 52 for exponential \
         buckets, or -53 for custom buckets, got schema 60"
    );
}

#[test]
fn texts() {
    for case in cases(include_str!("cases/text.txt")) {
        let text = case.get("a").unwrap();
        match case.get("kind") {
            Some("integer") => case.check(integer(text), case.get("expect").unwrap()),
            _ => case.check(float(text), case.get("expect").unwrap()),
        }
    }
    for (text, expected) in [
        ("", "{{}}"),
        (
            "schema=1 count=3.5 sum=-2 zero=1 width=0.5 hint=gauge \
             pos@-2:1,1:1 pos=1,2 neg@0:1 neg=1e7",
            "{{schema:1 count:3.5 sum:-2 z_bucket:1 z_bucket_w:0.5 counter_reset_hint:gauge \
             offset:-2 buckets:[1 0 2] n_buckets:[1e+07]}}",
        ),
        (
            "schema=-53 count=3 pos@1:2 pos=1,2 bounds=5,10",
            "{{schema:-53 count:3 custom_values:[5 10] offset:1 buckets:[1 2]}}",
        ),
    ] {
        assert_eq!(float(text).test_expression(), expected);
    }
}

#[test]
fn bounds_of_buckets() {
    for (index, schema, expected) in [
        (-1, -1, 0.25),
        (0, -1, 1.0),
        (1, -1, 4.0),
        (512, -1, f64::MAX),
        (513, -1, f64::INFINITY),
        (-1, 0, 0.5),
        (1, 0, 2.0),
        (1024, 0, f64::MAX),
        (1025, 0, f64::INFINITY),
        (-1, 2, 0.8408964152537144),
        (1, 2, 1.189207115002721),
        (4096, 2, f64::MAX),
        (4097, 2, f64::INFINITY),
        (-1074, 0, 5e-324),
        (-1075, 0, 0.0),
        (i32::MIN, 8, 0.0),
        (i32::MIN, -4, 0.0),
        (i32::MAX, -4, f64::INFINITY),
    ] {
        assert_eq!(bound_exponential(index, schema), expected, "bucket {index} of {schema}");
    }
}

#[test]
fn fractions_of_buckets() {
    for (lower, upper, value, linear, expected) in [
        (0.0, 10.0, 5.0, true, 0.5),
        (2.0, 6.0, 3.0, true, 0.25),
        (-10.0, -5.0, -6.0, true, 0.8),
        (2.0, 8.0, 4.0, false, 0.5),
        (1.0, 16.0, 2.0, false, 0.25),
        (-8.0, -2.0, -4.0, false, 0.5),
        (-4.0, -2.0, -3.0, false, 0.415_037_499_278_843_8),
    ] {
        let (lower_inclusive, upper_inclusive) = (false, true);
        let bucket =
            Bucket { lower, upper, lower_inclusive, upper_inclusive, count: 1.0, index: 0 };
        assert!((bucket.fraction_below(value, linear) - expected).abs() < 1e-12, "{bucket:?}");
    }
}

#[test]
fn buckets_in_order() {
    let text = "schema=0 width=0.6 zero=3 pos@0:2,1:1,2:0,1:1 pos=1,2,3,4 neg@-1:2 neg=5,6";
    let histogram = float(text);
    let shown: Vec<String> = histogram.all_buckets().map(|bucket| bucket.to_string()).collect();
    assert_eq!(
        shown.join(" "),
        "[-1,-0.6):6 [-0.5,-0.6):5 [-0.6,0.6]:3 (0.6,1]:1 (1,2]:2 (4,8]:3 (64,128]:4"
    );
    let mut reversed: Vec<String> =
        histogram.all_buckets_rev().map(|bucket| bucket.to_string()).collect();
    reversed.reverse();
    assert_eq!(reversed, shown);
    let custom = float("schema=-53 pos@0:1,1:2 pos=1,2,3 bounds=-1,2,5");
    let shown: Vec<String> = custom.all_buckets().map(|bucket| bucket.to_string()).collect();
    assert_eq!(shown.join(" "), "[-Inf,-1]:1 (2,5]:2 (5,+Inf]:3");
}

#[test]
fn merged_counts() {
    let histogram = float("schema=1 pos@0:4,1:3,2:3 pos=100,344,123,55,3,63,2,54,235,33");
    let counts =
        |target, start| counts_in_schema(&histogram.positive, 1, target, start).collect::<Vec<_>>();
    assert_eq!(counts(-1, 0.0), [(0, 100.0), (1, 522.0), (2, 68.0), (3, 322.0)]);
    assert_eq!(counts(-1, 4.0), [(2, 68.0), (3, 322.0)]);
    assert_eq!(counts(1, 1.0).len(), 9);
}

/// `histogram`, trimmed at `value`, has `count`, and its buckets are as written.
#[track_caller]
fn check_trim(histogram: &str, keep: Keep, value: f64, count: f64, sum: f64, buckets: &str) {
    let mut found = float(histogram);
    found.trim(value, keep);
    assert!((found.sum - sum).abs() < 1e-9, "sum {}", found.sum);
    let shown: Vec<String> = found.all_buckets().map(|bucket| bucket.to_string()).collect();
    assert_eq!((found.count, &*shown.join(" ")), (count, buckets), "{histogram}");
}

#[test]
fn trimmed_histograms() {
    use Keep::{Above, Below};
    let histogram = "count=30 sum=100 pos@0:4 pos=5,5,10,10";
    let below = 5.0 * 0.5f64.sqrt() + 5.0 * 2f64.sqrt() + 10.0 * 8f64.sqrt();
    check_trim(histogram, Below, 4.0, 20.0, below, "(0.5,1]:5 (1,2]:5 (2,4]:10");
    check_trim(histogram, Above, 4.0, 10.0, 10.0 * 32f64.sqrt(), "(4,8]:10");
    check_trim(histogram, Below, 8.0, 30.0, 100.0, "(0.5,1]:5 (1,2]:5 (2,4]:10 (4,8]:10");
    check_trim(histogram, Above, 100.0, 0.0, 0.0, "");
    let custom = "schema=-53 count=12 sum=50 pos@0:3 pos=2,4,6 bounds=5,10";
    check_trim(custom, Below, 5.0, 2.0, 5.0, "[-Inf,5]:2");
    check_trim(custom, Below, 7.5, 4.0, 5.0 + 12.5, "[-Inf,5]:2 (5,10]:2");
    check_trim(custom, Above, 10.0, 6.0, 60.0, "(10,+Inf]:6");
    check_trim(custom, Below, 2.5, 1.0, 1.25, "[-Inf,5]:1");
    let zero = "count=8 sum=3 width=2 zero=8";
    check_trim(zero, Below, 1.0, 6.0, -3.0, "[-2,2]:6");
    check_trim(zero, Above, 0.0, 4.0, 4.0, "[-2,2]:4");
}

#[test]
fn copies_reuse_memory_and_are_equal() {
    let (small, large) =
        (float("count=1"), float("count=9 pos@0:3 pos=1,2,3 neg@1:2 neg=1,2 sum=NaN"));
    let mut copy = large.clone();
    copy.copy_from(&small);
    assert!(copy.equals(&small) && !copy.equals(&large));
    copy.copy_from(&large);
    assert!(copy.equals(&large));
    assert_eq!(large.prometheus_bytes(), 168 + 8 * 7);
    assert!(!large.has_overflow() && float("zero=inf").has_overflow());
}

fn any_side() -> impl Strategy<Value = Side<f64>> {
    let span = (0i32..5, 0u32..5).prop_map(|(offset, length)| Span { offset, length });
    (-20i32..20, prop::collection::vec(span, 0..6)).prop_flat_map(|(start, mut spans)| {
        if let Some(first) = spans.first_mut() {
            first.offset = start;
        }
        let count = spans.iter().map(|span| span.length as usize).sum::<usize>();
        let counts = prop::collection::vec(prop::sample::select(vec![0.0, 0.0, 1.0, 7.0]), count);
        counts.prop_map(move |buckets| Side { spans: spans.clone(), buckets })
    })
}

/// Index and count of the populated buckets.
fn populated(side: &Side<f64>) -> Vec<(i32, f64)> {
    side.iter().filter(|(_, count)| *count != 0.0).collect()
}

proptest! {
    #[test]
    fn compacting_changes_no_populated_bucket(side in any_side(), empty_count_max in 0usize..4) {
        let mut compacted = side.clone();
        compact(&mut compacted, None, empty_count_max);
        prop_assert_eq!(populated(&compacted), populated(&side));
        let offsets = compacted.spans.iter().skip(1).map(|span| span.offset as usize);
        prop_assert!(offsets.min().is_none_or(|offset| offset > empty_count_max));
        let reversed: Vec<_> = side.iter_rev().collect();
        prop_assert!(side.iter().eq(reversed.into_iter().rev()));
        prop_assert!(spans_match(&side.spans, &side.spans));
    }

    /// Sums of any layouts are sums bucket by bucket, and differences take them back.
    #[test]
    fn sums_are_sums_of_buckets(a in any_side(), b in any_side(), coarser in 0i32..3) {
        let histogram = |side: &Side<f64>, schema| {
            FloatHistogram { schema, positive: side.clone(), ..FloatHistogram::default() }
        };
        let (a, b) = (histogram(&a, 2), histogram(&b, 2 - coarser));
        let mut sum = a.clone();
        sum.add(&b).unwrap();
        prop_assert!(sum.validate().is_ok());
        let a_coarse = a.copy_to_schema(2 - coarser);
        for (index, count) in sum.positive.iter() {
            let of = |h: &FloatHistogram| {
                h.positive.iter().filter(|(i, _)| *i == index).map(|(_, count)| count).sum::<f64>()
            };
            prop_assert_eq!(count, of(&a_coarse) + of(&b));
        }
        sum.sub(&b).unwrap();
        prop_assert_eq!(populated(&sum.positive), populated(&a_coarse.positive));
    }

    /// Spans and buckets that do not fit each other are dealt with somehow, but without a panic.
    #[test]
    fn broken_layouts_do_no_harm(
        offsets in prop::collection::vec((any::<i32>(), 0u32..5), 0..4),
        buckets in prop::collection::vec(-1.0f64..3.0, 0..8),
        schema in prop::sample::select(vec![-53, -4, 0, 8, 20]),
        width in prop::sample::select(vec![0.0, 1.0, f64::NAN]),
    ) {
        let spans = offsets.into_iter().map(|(offset, length)| Span { offset, length }).collect();
        let side = Side { spans, buckets };
        let mut histogram = FloatHistogram {
            schema,
            zero_threshold: width,
            zero_count: 1.0,
            positive: side.clone(),
            negative: side,
            ..FloatHistogram::default()
        };
        let other = FloatHistogram { schema: schema.min(0), ..histogram.clone() };
        let _ = histogram.validate();
        let _ = (histogram.to_string(), other.detect_reset(&histogram), histogram.equals(&other));
        let _ = histogram.all_buckets().count() + histogram.all_buckets_rev().count();
        let mut lost = Compensation::new(&histogram);
        let _ = histogram.add_kahan(&other, &mut lost);
        let _ = histogram.add(&other);
        let _ = histogram.sub(&other);
        histogram.trim(0.5, Keep::Below);
        histogram.compact(0);
    }
}
