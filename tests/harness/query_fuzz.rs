//! `cargo run --release -p tests --bin query-fuzz -- PROMETHEUS [COUNT] [SEED] [FIRST]`: the same random
//! series into hearth and a real Prometheus, then the same random queries to both; prints every
//! difference that no rule explains, and a table. Budget: about a minute for 20,000 queries.
//!
//! Floats are the same when they are equal or within [`RELATIVE_ERROR_MAX`] of the larger: sums of
//! several series have no order, and Go's mathematical functions round their own way. `FIRST` makes
//! the queries before it without asking them: one query of fresh servers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::process::ExitCode;

use serde_json::Value;
use tests::generate::{Dialect, Query, Random, Times, data, query};
use tests::http;
use tests::process::{Hearth, Options, unix_ms};
use tests::prometheus::start_prometheus;
use tests::remote_write::{self, Series};
use tests::workspace::TemporaryFolder;

const RELATIVE_ERROR_MAX: f64 = 1e-9;

/// What remains of a sum whose parts cancel out.
const ERROR_MAX: f64 = 1e-14;

/// Series of one remote_write request.
const SERIES_COUNT_MAX: usize = 50;

/// What the peer must be asked for to know as much.
const FEATURES: &[&str] = &["promql-experimental-functions", "native-histograms"];

/// Differences that are printed in full.
const SHOWN_COUNT_MAX: usize = 40;

fn store(addresses: [SocketAddr; 2], random: &mut Random, first_ms: i64) {
    let all = data::series(random, first_ms);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    for part in all.chunks(SERIES_COUNT_MAX) {
        let names: Vec<Vec<(String, String)>> = part
            .iter()
            .map(|(labels, _)| {
                labels.as_ref().iter().map(|(name, value)| (text(name), text(value))).collect()
            })
            .collect();
        let series: Vec<Series<'_>> = names
            .iter()
            .zip(part)
            .map(|(names, (_, samples))| Series {
                labels: names.iter().map(|(name, value)| (&**name, value.clone())).collect(),
                samples: samples.clone(),
            })
            .collect();
        for address in addresses {
            let answer = remote_write::send(address, &series).expect("a server answers");
            assert!(answer.status / 100 == 2, "{address}: {} {}", answer.status, answer.text());
        }
    }
}

fn store_histograms(addresses: [SocketAddr; 2], random: &mut Random, first_ms: i64) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let series: Vec<_> = data::native_histograms(random, first_ms)
        .into_iter()
        .map(|(labels, samples)| {
            let labels = labels.as_ref().iter().map(|(name, value)| (text(name), text(value)));
            (labels.collect(), samples)
        })
        .collect();
    for address in addresses {
        let answer =
            remote_write::send_native_histograms(address, &series).expect("a server answers");
        assert!(answer.status / 100 == 2, "{address}: {} {}", answer.status, answer.text());
    }
}

fn target(query: &Query) -> String {
    let seconds = |ms: i64| ms as f64 / 1000.0;
    let text = http::encode(&query.text);
    match query.times {
        Times::Instant { time_ms } => {
            format!("/api/v1/query?query={text}&time={}", seconds(time_ms))
        }
        Times::Range { start_ms, end_ms, step_ms } => format!(
            "/api/v1/query_range?query={text}&start={}&end={}&step={}",
            seconds(start_ms),
            seconds(end_ms),
            seconds(step_ms)
        ),
    }
}

/// An answer in a form that can be compared.
#[derive(Clone, Debug, Default)]
struct Answer {
    status: u16,
    /// Of an error, without what depends on the order of series.
    error: String,
    kind: String,
    /// Points by series.
    rows: BTreeMap<String, Vec<(String, String)>>,
    notes: BTreeSet<String>,
}

impl Answer {
    fn ask(address: SocketAddr, target: &str) -> Answer {
        let answer = http::get(address, target).unwrap_or_else(|error| panic!("{target}: {error}"));
        let json = answer.json();
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let mut read = Answer {
            status: answer.status,
            error: json["error"].as_str().map_or_else(String::new, class),
            kind: text(&json["data"]["resultType"]),
            ..Answer::default()
        };
        let point = |point: &Value| (point[0].to_string(), text(&point[1]));
        let result = &json["data"]["result"];
        if matches!(&*read.kind, "scalar" | "string") {
            read.rows.insert(String::new(), vec![point(result)]);
        } else {
            for row in result.as_array().into_iter().flatten() {
                let points = ["value", "histogram"].iter().map(|one| &row[*one]);
                let of_one = points.filter(|one| !one.is_null());
                let lists = ["values", "histograms"].iter().map(|list| &row[*list]);
                let of_many = lists.filter_map(Value::as_array).flatten();
                let mut points: Vec<_> = of_one.chain(of_many).map(point).collect();
                points.sort_by(|(left, _), (right, _)| {
                    left.len().cmp(&right.len()).then(left.cmp(right))
                });
                read.rows.insert(row["metric"].to_string(), points);
            }
        }
        for name in ["warnings", "infos"] {
            let notes = json[name].as_array().into_iter().flatten();
            read.notes.extend(notes.map(text));
        }
        read
    }

    /// What differs first, in words.
    fn difference(&self, other: &Answer) -> Option<String> {
        self.difference_beyond(other, RELATIVE_ERROR_MAX)
    }

    /// As [`Answer::difference`], where floats may lie further apart.
    fn difference_beyond(&self, other: &Answer, error_max: f64) -> Option<String> {
        if (self.status, &self.kind) != (other.status, &other.kind) {
            let show =
                |answer: &Answer| format!("{} {} {}", answer.status, answer.kind, answer.error);
            return Some(format!("status: {} against {}", show(self), show(other)));
        }
        if self.error != other.error {
            return Some(format!("error: {} against {}", self.error, other.error));
        }
        for (row, points) in &self.rows {
            let Some(others) = other.rows.get(row) else {
                return Some(format!("row {row} only here: {:?}", &points[..points.len().min(3)]));
            };
            if points.len() != others.len() {
                return Some(format!(
                    "row {row}: {} points against {}",
                    points.len(),
                    others.len()
                ));
            }
            for (point, other) in points.iter().zip(others) {
                if point.0 != other.0 || !same(&point.1, &other.1, error_max) {
                    return Some(format!("row {row}: {point:?} against {other:?}"));
                }
            }
        }
        if let Some(row) = other.rows.keys().find(|row| !self.rows.contains_key(*row)) {
            return Some(format!("row {row} only there: {:?}", other.rows[row].first()));
        }
        if self.notes != other.notes {
            let only = |own: &BTreeSet<String>, other: &BTreeSet<String>| -> Vec<String> {
                own.difference(other).cloned().collect()
            };
            let (here, there) = (only(&self.notes, &other.notes), only(&other.notes, &self.notes));
            return Some(format!("notes: only here {here:?}, only there {there:?}"));
        }
        None
    }
}

/// An error without the series that it names.
fn class(error: &str) -> String {
    match error.find("found duplicate series for the match group") {
        Some(_) => "found duplicate series for the match group".to_owned(),
        None => error.to_owned(),
    }
}

fn same(left: &str, right: &str, error_max: f64) -> bool {
    if left == right {
        return true;
    }
    if left.starts_with('{') && right.starts_with('{') {
        // Histograms: number by number.
        let numbers = |text: &str| -> Vec<String> {
            let is_edge = |c: char| !(c.is_ascii_alphanumeric() || "+-.".contains(c));
            text.split(is_edge).filter(|part| !part.is_empty()).map(str::to_owned).collect()
        };
        let (left, right) = (numbers(left), numbers(right));
        return left.len() == right.len()
            && left.iter().zip(&right).all(|(left, right)| same(left, right, error_max));
    }
    match (left.parse::<f64>(), right.parse::<f64>()) {
        (Ok(l), Ok(r)) => (l - r).abs() <= (error_max * l.abs().max(r.abs())).max(ERROR_MAX),
        _ => false,
    }
}

/// Why Prometheus 3.5 differs in this way from the 3.14 that hearth follows, or from any other
/// server. `None`: it should not.
fn explained(query: &Query, own: &Answer, other: &Answer) -> Option<&'static str> {
    let text = &query.text;
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let (both_fail, only_own_fails) =
        (own.status == 422 && other.status == 422, own.status == 422 && other.status == 200);
    let of_k = own.error == "Parameter value is NaN" || own.error.starts_with("Scalar value");
    if of_k && both_fail && other.error.starts_with("Scalar value NaN") {
        return Some("3.5 has another text for a k that is NaN");
    }
    if of_k && only_own_fails {
        return Some("3.5 looks at k only where there are series");
    }
    let many_to_one = own.error.starts_with("multiple matches for labels");
    if many_to_one
        && own.error != other.error
        && has(&["=", "<", ">"])
        && !is_of_matching(&other.error)
    {
        return Some("3.5 lets several series match where the comparison keeps one");
    }
    if both_fail && [&own.error, &other.error].iter().all(|error| is_of_matching(error)) {
        return Some("two errors of matching: Prometheus says the one of the earlier step");
    }
    let only_notes_differ =
        Answer { notes: other.notes.clone(), ..own.clone() }.difference(other).is_none();
    if only_notes_differ && notes_as_new(&own.notes) == notes_as_new(&other.notes) {
        return Some("3.5 has other texts or places for some notes, and others not at all");
    }
    if has(&["histogram_fraction(0,", "histogram_fraction(-1,"]) {
        return Some(
            "3.5 gives NaN where the lower bound of histogram_fraction is below its buckets",
        );
    }
    if has(&["mad_over_time("]) && own.status == 200 && other.status == 200 {
        return Some("3.5 leaves NaN out of mad_over_time");
    }
    let both_answer = own.status == 200 && other.status == 200;
    if has(&["count_values"]) && both_answer {
        return Some("count_values makes labels of the last bit, or of the sign of zero");
    }
    let of_histograms = both_answer && text.contains("durations");
    if of_histograms && has(&["rate(", "increase("]) {
        return Some("3.5 extrapolates native histograms to before they were zero");
    }
    // The same query on a fresh 3.5 gives the same answer: `FIRST` shows it.
    if of_histograms && has(&["changes(", "resets(", "_over_time(", "delta("]) {
        return Some("3.5 mixes the buckets of native histograms of several samples or queries");
    }
    let turns = ["sin(", "cos(", "tan("];
    let is_rough = has(&["^", "exp(", "ln(", "log", "sin(", "cos(", "tan", "atan2"]);
    let amplifies = has(&["delta(", "deriv(", "changes(", "resets(", "ceil(", "floor(", "round("]);
    if both_answer && is_rough && (amplifies || has(&turns) || has(&["==", "!=", "%", "<", ">"])) {
        return Some("the last bit of a mathematical function is made large");
    }
    if has(&["absent"]) && matches_a_label_twice(text) {
        return Some(
            "selecting reorders matchers in Prometheus, and absent takes them in that order",
        );
    }
    let compares = has(&["==", "!=", "<", ">"]);
    let is_near = own.difference_beyond(other, DEVIATION_ERROR_MAX).is_none();
    // Of times, 1.8e9 seconds from zero, hardly a digit of a small deviation is left.
    let are_times = has(&["ts_of_", "timestamp(", "time()"]);
    if has(&["stdvar", "stddev"]) && (is_near || compares || are_times) {
        return Some("deviations of values far from zero lose digits, in the order of the series");
    }
    if has(&["topk", "bottomk", "limitk"]) && own.status == 200 && other.status == 200 {
        return Some("which of equal values are chosen depends on the order of the series");
    }
    None
}

/// Of `stddev` and its like.
const DEVIATION_ERROR_MAX: f64 = 1e-3;

fn is_of_matching(error: &str) -> bool {
    ["found duplicate series", "multiple matches for labels"]
        .iter()
        .any(|start| error.starts_with(start))
}

/// Whether a selector has an equality and another matcher of the same label.
fn matches_a_label_twice(text: &str) -> bool {
    text.split('{').skip(1).filter_map(|rest| rest.split_once('}')).any(|(matchers, _)| {
        ["job", "instance", "code"].iter().any(|label| {
            let of_label = matchers.split(',').filter(|matcher| matcher.starts_with(label));
            of_label.count() > 1
        })
    })
}

/// The notes without what changed between the versions.
fn notes_as_new(notes: &BTreeSet<String>) -> BTreeSet<String> {
    const CUT: [&str; 2] =
        ["is missing or has a malformed value of", "needed to be fixed for monotonicity"];
    const NEW: [&str; 2] =
        ["sort is ineffective for range queries", "conflicting counter resets during"];
    let cut = |note: &String| {
        let end = CUT.iter().find_map(|words| note.find(words));
        // 3.5 begins what stands in parentheses before them.
        let place = note.rfind(" (").filter(|_| note.contains(" aggregation ("));
        note[..end.or(place).unwrap_or(note.len())].to_owned()
    };
    let kept = notes.iter().filter(|note| !NEW.iter().any(|words| note.contains(words)));
    kept.map(cut).collect()
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some(program) = args.first() else {
        eprintln!("usage: query-fuzz PROMETHEUS [COUNT] [SEED] [FIRST]");
        return ExitCode::FAILURE;
    };
    let number = |index: usize, default: u64| {
        args.get(index).map_or(default, |text| text.parse().expect("a number"))
    };
    let (count, seed, first) = (number(1, 20_000), number(2, 1), number(3, 0));
    let folder = TemporaryFolder::new("query-fuzz");
    let (_prometheus, peer) = start_prometheus(program, &folder, FEATURES);
    let mut options = Options::receiver(2);
    options.args.push("--enable-feature=promql-experimental-functions".to_owned());
    let hearth = Hearth::start(options);
    let mut random = Random::new(seed);
    let first_ms = (unix_ms() - data::SPAN_MS - 300_000) / 300_000 * 300_000;
    store([hearth.address, peer], &mut random, first_ms);
    store_histograms([hearth.address, peer], &mut random, first_ms);

    let (mut same_count, mut error_count, mut empty_count) = (0, 0, 0);
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    let mut unexplained = 0;
    for number in 0..count {
        let query = query::query(&mut random, Dialect::V3_5, first_ms);
        // Those before it are made, too, so that one can be asked of fresh servers.
        if number < first {
            continue;
        }
        let target = target(&query);
        let (own, other) = std::thread::scope(|scope| {
            let own = scope.spawn(|| Answer::ask(hearth.address, &target));
            let other = Answer::ask(peer, &target);
            (own.join().expect("an answer"), other)
        });
        error_count += usize::from(own.status != 200);
        empty_count += usize::from(own.status == 200 && own.rows.is_empty());
        let Some(difference) = own.difference(&other) else {
            same_count += 1;
            continue;
        };
        if let Some(reason) = explained(&query, &own, &other) {
            *reasons.entry(reason).or_default() += 1;
            continue;
        }
        unexplained += 1;
        if unexplained <= SHOWN_COUNT_MAX {
            println!("#{number} {}\n  {:?}\n  {difference}", query.text, query.times);
        }
    }
    println!("\n{count} queries (seed {seed}), {error_count} errors, {empty_count} without rows");
    println!("{same_count:>8}  the same");
    for (reason, count) in &reasons {
        println!("{count:>8}  explained: {reason}");
    }
    println!("{unexplained:>8}  unexplained");
    if unexplained == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
