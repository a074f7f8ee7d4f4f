//! Expressions over native histograms that [`crate::oracle::natives`] knows, over the series of
//! [`super::data::native_histograms`].

use super::data::{INSTANCES, JOBS};
use super::random::Random;

const RANGES: &[&str] = &["1m", "90s", "2m", "3m", "5m", "7m30s"];
const WINDOWS: &[&str] = &[
    "rate",
    "rate",
    "increase",
    "delta",
    "irate",
    "idelta",
    "sum_over_time",
    "avg_over_time",
    "sum_over_time",
    "avg_over_time",
    "last_over_time",
    "first_over_time",
];

const GROUPINGS: &[&str] = &["", " by (job)", " by (instance)", " without (job)"];

/// An expression whose points are histograms, or numbers of them.
pub fn expression(random: &mut Random) -> String {
    let depth = random.below(3);
    match random.below(8) {
        0 => {
            let function = *random.choose(&["count", "sum", "avg"]);
            format!("histogram_{function}({})", histograms(random, depth))
        }
        1 => {
            let aggregation = *random.choose(&["count", "group"]);
            let grouping = grouping(random);
            format!("{aggregation}{grouping} ({})", histograms(random, depth))
        }
        2 => {
            let functions = ["count_over_time", "present_over_time", "resets", "changes"];
            let function = *random.choose(&functions);
            format!("{function}({}[{}])", selector(random), random.choose(RANGES))
        }
        _ => histograms(random, depth),
    }
}

fn histograms(random: &mut Random, depth: usize) -> String {
    if depth == 0 {
        return match random.below(4) {
            0 => selector(random),
            _ => windowed(random),
        };
    }
    let inner = depth - 1;
    match random.below(7) {
        0 => windowed(random),
        1 | 2 => {
            let aggregation = *random.choose(&["sum", "avg"]);
            let grouping = grouping(random);
            format!("{aggregation}{grouping} ({})", histograms(random, inner))
        }
        3 => {
            let op = *random.choose(&["+", "-"]);
            format!("({} {op} {})", histograms(random, inner), histograms(random, inner))
        }
        4 => format!("({} * {})", histograms(random, inner), random.choose(&["2", "0.5", "3"])),
        5 => format!("({} / {})", histograms(random, inner), random.choose(&["2", "4", "0.1"])),
        _ => format!("(2 * {})", histograms(random, inner)),
    }
}

/// A function over samples, or over a subquery whose values have no rounding that could look like a
/// reset.
fn windowed(random: &mut Random) -> String {
    let (function, range) = (*random.choose(WINDOWS), *random.choose(RANGES));
    if !random.one_in(3) {
        return format!("{function}({}[{range}])", selector(random));
    }
    let whole = match random.below(3) {
        0 => selector(random),
        1 => format!("sum{} ({})", grouping(random), selector(random)),
        _ => format!("({} * 2)", selector(random)),
    };
    format!("{function}(({whole})[{range}:{}])", random.choose(&["", "15s", "40s"]))
}

fn selector(random: &mut Random) -> String {
    let matcher = match random.below(4) {
        0 => format!("{{job=\"{}\"}}", random.choose(&JOBS)),
        1 => format!("{{instance!=\"{}\"}}", random.choose(&INSTANCES)),
        _ => String::new(),
    };
    format!("durations{matcher}")
}

fn grouping(random: &mut Random) -> &'static str {
    random.choose::<&str>(GROUPINGS)
}
