//! Expressions from the grammar, of the right types, over the series of [`super::data`].

use super::data::{CODES, INSTANCES, INTERVAL_MS, JOBS, SPAN_MS};
use super::random::Random;

/// What the asked server understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Prometheus 3.5, experimental functions included; also asked about native histograms.
    V3_5,
    /// Everything.
    Whole,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    Instant { time_ms: i64 },
    Range { start_ms: i64, end_ms: i64, step_ms: i64 },
}

#[derive(Clone, Debug)]
pub struct Query {
    pub text: String,
    pub times: Times,
}

/// The next query over data that begins at `first_ms`.
pub fn query(random: &mut Random, dialect: Dialect, first_ms: i64) -> Query {
    let depth = 1 + random.below(4);
    let at = |random: &mut Random| {
        // Also before the first sample and after the last.
        let offset_ms = random.below(SPAN_MS as usize + 240_000) as i64 - 60_000;
        let unit_ms = *random.choose(&[1, 1000, INTERVAL_MS]);
        first_ms + offset_ms / unit_ms * unit_ms
    };
    let is_range = !random.one_in(3);
    let times = if is_range {
        let step_ms = *random.choose(&[15_000, 30_000, 60_000, 7_000, 100_000]);
        let start_ms = at(random);
        let end_ms = start_ms + step_ms * random.below(40) as i64 + random.below(3) as i64;
        Times::Range { start_ms, end_ms, step_ms }
    } else {
        Times::Instant { time_ms: at(random) }
    };
    let asks_histograms = dialect == Dialect::V3_5;
    let mut writer = Writer { random, dialect, first_ms, asks_histograms };
    let text = match writer.random.below(20) {
        0 => writer.scalar(depth),
        1 if !is_range => writer.matrix(depth),
        _ => writer.vector(depth),
    };
    Query { text, times }
}

struct Writer<'a> {
    random: &'a mut Random,
    dialect: Dialect,
    first_ms: i64,
    /// Native histograms are there, too.
    asks_histograms: bool,
}

const MATH: &[&str] = &[
    "abs", "ceil", "floor", "exp", "ln", "log2", "log10", "sgn", "sqrt", "sin", "cos", "tan",
    "atan", "tanh", "deg", "rad",
];
const DATES: &[&str] = &[
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "days_in_month",
    "hour",
    "minute",
    "month",
    "year",
];
const OVER_TIME: &[&str] = &[
    "avg_over_time",
    "count_over_time",
    "last_over_time",
    "max_over_time",
    "min_over_time",
    "present_over_time",
    "stddev_over_time",
    "stdvar_over_time",
    "sum_over_time",
    "mad_over_time",
    "ts_of_last_over_time",
    "ts_of_max_over_time",
    "ts_of_min_over_time",
];
const OVER_TIME_NEW: &[&str] = &["first_over_time", "ts_of_first_over_time"];
const COUNTERS: &[&str] = &["rate", "increase", "irate", "resets"];
const GAUGES: &[&str] = &["delta", "idelta", "deriv", "changes"];
const AGGREGATES: &[&str] =
    &["sum", "avg", "count", "min", "max", "group", "stddev", "stdvar", "sum", "avg", "max"];
const ARITHMETIC: &[&str] = &["+", "-", "*", "/", "%", "^", "atan2", "+", "-", "*", "/"];
const COMPARISONS: &[&str] = &["==", "!=", ">", "<", ">=", "<="];
const LABELS: &[&str] = &["job", "instance", "code", "version", "le", "none"];
const DURATIONS: &[&str] =
    &["30s", "1m", "1m", "90s", "2m", "2m", "3m", "5m", "5m", "7m30s", "20s", "15s", "1ms"];

impl Writer<'_> {
    fn pick(&mut self, list: &[&'static str]) -> &'static str {
        list[self.random.below(list.len())]
    }

    fn vector(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.selector();
        }
        let inner = depth - 1;
        match self.random.below(20) {
            0 | 1 => self.selector(),
            2..=4 => self.aggregate(inner),
            5..=8 => self.range_call(inner),
            9..=11 => self.binary(inner),
            12 | 13 => self.with_scalar(inner),
            14 => format!("-({})", self.vector(inner)),
            15 => format!("({})", self.vector(inner)),
            16 => self.histogram(inner),
            17 => self.label_call(inner),
            _ => self.vector_call(inner),
        }
    }

    fn scalar(&mut self, depth: usize) -> String {
        if depth == 0 || self.random.one_in(2) {
            let numbers =
                ["0", "1", "2", "0.5", "-3", "1e3", "NaN", "Inf", "-Inf", "10", "0.1", "0x1F"];
            return self.pick(&numbers).to_owned();
        }
        let inner = depth - 1;
        match self.random.below(6) {
            0 => "time()".to_owned(),
            1 => "pi()".to_owned(),
            2 | 3 => format!("scalar({})", self.vector(inner)),
            4 => {
                let op = self.pick(ARITHMETIC);
                format!("({} {op} {})", self.scalar(inner), self.scalar(inner))
            }
            _ => {
                let op = self.pick(COMPARISONS);
                format!("({} {op} bool {})", self.scalar(inner), self.scalar(inner))
            }
        }
    }

    fn number(&mut self) -> String {
        self.pick(&["0", "1", "2", "0.5", "0.9", "-1", "3", "10", "0.25"]).to_owned()
    }

    fn metric(&mut self) -> &'static str {
        if self.asks_histograms && self.random.one_in(6) {
            return "durations";
        }
        self.pick(&[
            "requests_total",
            "requests_total",
            "requests_total",
            "heat",
            "heat",
            "load",
            "odd",
            "latency_count",
            "latency_sum",
            "latency_bucket",
            "target_info",
        ])
    }

    fn matchers(&mut self) -> String {
        let mut matchers = Vec::new();
        for _ in 0..[0, 0, 1, 1, 2][self.random.below(5)] {
            let job = *self.random.choose(&JOBS);
            let instance = *self.random.choose(&INSTANCES);
            let code = *self.random.choose(&CODES);
            matchers.push(match self.random.below(9) {
                0 | 1 => format!("job=\"{job}\""),
                2 => format!("job!=\"{job}\""),
                3 => format!("job=~\"{job}|db\""),
                4 => format!("instance=\"{instance}\""),
                5 => format!("instance!~\"[{instance}]\""),
                6 if self.random.one_in(3) => format!("code=~\"{}..\"", &code[..1]),
                6 | 7 => format!("code!=\"{code}\""),
                _ => "job=~\".*\"".to_owned(),
            });
        }
        matchers.join(",")
    }

    fn bare_selector(&mut self) -> String {
        let matchers = self.matchers();
        if self.random.one_in(15) {
            let job = *self.random.choose(&JOBS);
            let name = self.pick(&["heat|load", "requests_.*", "heat", "latency_(count|sum)"]);
            return format!("{{__name__=~\"{name}\",job=\"{job}\"}}");
        }
        let metric = if self.random.one_in(40) { "missing" } else { self.metric() };
        match &matchers[..] {
            "" => metric.to_owned(),
            matchers => format!("{metric}{{{matchers}}}"),
        }
    }

    /// `offset` and `@`, rarely.
    fn modifiers(&mut self) -> String {
        let mut text = String::new();
        if self.random.one_in(10) {
            let sign = if self.random.one_in(3) { "-" } else { "" };
            text += &format!(" offset {sign}{}", self.pick(DURATIONS));
        }
        if self.random.one_in(15) {
            let second = self.first_ms / 1000 + self.random.below(SPAN_MS as usize / 1000) as i64;
            text += &match self.random.below(3) {
                0 => " @ start()".to_owned(),
                1 => " @ end()".to_owned(),
                _ => format!(" @ {second}"),
            };
        }
        text
    }

    fn selector(&mut self) -> String {
        self.bare_selector() + &self.modifiers()
    }

    fn matrix(&mut self, depth: usize) -> String {
        let range = self.pick(DURATIONS);
        if depth > 0 && self.random.one_in(4) {
            let step = self.pick(&["", "15s", "20s", "1m", "7s"]);
            let vector = self.vector(depth - 1);
            return format!("({vector})[{range}:{step}]{}", self.modifiers());
        }
        format!("{}[{range}]{}", self.bare_selector(), self.modifiers())
    }

    fn range_call(&mut self, depth: usize) -> String {
        let matrix = self.matrix(depth);
        match self.random.below(12) {
            0..=3 => format!("{}({matrix})", self.pick(COUNTERS)),
            4 | 5 => format!("{}({matrix})", self.pick(GAUGES)),
            6 => format!("quantile_over_time({}, {matrix})", self.number()),
            7 => format!("predict_linear({matrix}, {})", self.pick(&["60", "3600", "-30"])),
            8 => {
                let (smoothing, trend) =
                    (self.pick(&["0.3", "0.5", "0.9"]), self.pick(&["0.1", "0.6"]));
                format!("double_exponential_smoothing({matrix}, {smoothing}, {trend})")
            }
            9 => format!("absent_over_time({matrix})"),
            10 if self.dialect == Dialect::Whole => {
                format!("{}({matrix})", self.pick(OVER_TIME_NEW))
            }
            _ => format!("{}({matrix})", self.pick(OVER_TIME)),
        }
    }

    fn vector_call(&mut self, depth: usize) -> String {
        let vector = self.vector(depth);
        match self.random.below(12) {
            0..=3 => format!("{}({vector})", self.pick(MATH)),
            4 => format!("{}({vector})", self.pick(DATES)),
            5 => format!("round({vector}, {})", self.pick(&["1", "0.5", "10", "0.1"])),
            6 => format!("clamp({vector}, {}, {})", self.scalar(1), self.scalar(1)),
            7 => {
                format!("{}({vector}, {})", self.pick(&["clamp_min", "clamp_max"]), self.scalar(1))
            }
            8 => format!("timestamp({vector})"),
            9 => format!("absent({vector})"),
            10 => format!("{}({vector})", self.pick(&["sort", "sort_desc"])),
            _ => format!("vector({})", self.scalar(depth)),
        }
    }

    fn label_call(&mut self, depth: usize) -> String {
        let vector = self.vector(depth);
        let (target, source) = (self.pick(LABELS), self.pick(LABELS));
        match self.random.below(4) {
            0 => format!("label_join({vector}, \"{target}\", \"-\", \"job\", \"{source}\")"),
            1 => format!("sort_by_label({vector}, \"{target}\", \"{source}\")"),
            _ => {
                let (replacement, pattern) = (
                    self.pick(&["$1", "x$1y", "", "const"]),
                    self.pick(&["(.*)", "(.).*", "none", ""]),
                );
                format!(
                    "label_replace({vector}, \"{target}\", \"{replacement}\", \"{source}\", \"{pattern}\")"
                )
            }
        }
    }

    fn histogram(&mut self, depth: usize) -> String {
        let range = self.pick(DURATIONS);
        let buckets = match self.random.below(4) {
            0 => "latency_bucket".to_owned(),
            1 => format!("rate(latency_bucket[{range}])"),
            2 => {
                let grouping = self.pick(&["le", "le, job", "job", "le, instance"]);
                format!("sum by ({grouping}) (rate(latency_bucket[{range}]))")
            }
            _ => self.vector(depth),
        };
        let native = ["rate", "increase", "last_over_time", "sum_over_time"];
        let buckets = match self.random.below(if self.asks_histograms { 4 } else { 1 }) {
            0 | 1 => buckets,
            2 => format!("{}(durations[{range}])", self.pick(&native)),
            _ => format!("sum{} ({}(durations[{range}]))", self.grouping(), self.pick(&native)),
        };
        if self.asks_histograms && self.random.one_in(2) {
            let functions = ["count", "sum", "avg", "stddev", "stdvar"];
            return format!("histogram_{}({buckets})", self.pick(&functions));
        }
        let (low, high) = (self.number(), self.number());
        if self.random.one_in(4) {
            return format!("histogram_fraction({low}, {high}, {buckets})");
        }
        format!("histogram_quantile({low}, {buckets})")
    }

    fn grouping(&mut self) -> String {
        let count = self.random.below(3);
        let mut labels: Vec<&str> = (0..count).map(|_| self.pick(LABELS)).collect();
        labels.dedup();
        match self.random.below(3) {
            0 => String::new(),
            1 => format!(" by ({})", labels.join(", ")),
            _ => format!(" without ({})", labels.join(", ")),
        }
    }

    fn aggregate(&mut self, depth: usize) -> String {
        let (vector, grouping) = (self.vector(depth), self.grouping());
        match self.random.below(16) {
            0 => {
                let count = if self.random.one_in(4) { self.scalar(1) } else { self.number() };
                format!("{}{grouping} ({count}, {vector})", self.pick(&["topk", "bottomk"]))
            }
            1 => format!("quantile{grouping} ({}, {vector})", self.number()),
            2 => format!("count_values{grouping} (\"{}\", {vector})", self.pick(LABELS)),
            3 => format!(
                "limit_ratio{grouping} ({}, {vector})",
                self.pick(&["0.5", "-0.3", "1", "0"])
            ),
            4 if self.random.one_in(4) => format!("limitk{grouping} (100, {vector})"),
            _ => format!("{}{grouping} ({vector})", self.pick(AGGREGATES)),
        }
    }

    fn matching(&mut self) -> String {
        match self.random.below(5) {
            0 | 1 => String::new(),
            2 => format!(
                " on ({}) ",
                self.pick(&["job", "instance, job", "job, instance, code", ""])
            ),
            _ => format!(" ignoring ({}) ", self.pick(&["code", "version", "le", "code, version"])),
        }
    }

    fn binary(&mut self, depth: usize) -> String {
        let (lhs, rhs) = (self.vector(depth), self.vector(depth));
        // Sides that match, too: two views of one vector, or groups by the same labels.
        let (lhs, rhs) = match self.random.below(6) {
            0 | 1 => (lhs.clone(), format!("{}({lhs})", self.pick(&["", "-", "abs", "ceil"]))),
            2 | 3 => {
                let (grouping, ops) =
                    (self.grouping(), [self.pick(AGGREGATES), self.pick(AGGREGATES)]);
                (format!("{}{grouping} ({lhs})", ops[0]), format!("{}{grouping} ({rhs})", ops[1]))
            }
            _ => (lhs, rhs),
        };
        let matching = self.matching();
        match self.random.below(6) {
            0 | 1 => {
                let op = self.pick(&["and", "or", "unless"]);
                format!("({lhs} {op}{matching} {rhs})")
            }
            2 => {
                let op = self.pick(COMPARISONS);
                let bool = if self.random.one_in(2) { " bool" } else { "" };
                format!("({lhs} {op}{bool}{matching} {rhs})")
            }
            3 => {
                // What usually matches: info joined to its targets.
                let metric = self.pick(&["requests_total", "heat", "load"]);
                let (op, label) = (self.pick(ARITHMETIC), self.pick(&["", "version", "none"]));
                if self.random.one_in(3) {
                    format!("(target_info {op} on (job, instance) group_right ({label}) {metric})")
                } else {
                    format!("({metric} {op} on (job, instance) group_left ({label}) target_info)")
                }
            }
            _ => {
                let op = self.pick(ARITHMETIC);
                format!("({lhs} {op}{matching} {rhs})")
            }
        }
    }

    fn with_scalar(&mut self, depth: usize) -> String {
        let (vector, scalar) = (self.vector(depth), self.scalar(depth));
        let op = if self.random.one_in(2) {
            self.pick(ARITHMETIC).to_owned()
        } else {
            let bool = if self.random.one_in(2) { " bool" } else { "" };
            format!("{}{bool}", self.pick(COMPARISONS))
        };
        if self.random.one_in(2) {
            format!("({vector} {op} {scalar})")
        } else {
            format!("({scalar} {op} {vector})")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Dialect, Random, query};
    use engine::promql::{ParseOptions, parse};

    /// Nearly every query must parse, or the tests that use them say nothing.
    #[test]
    fn queries_are_of_the_grammar() {
        let mut random = Random::new(1);
        let mut refused = Vec::new();
        for _ in 0..2000 {
            let query = query(&mut random, Dialect::Whole, 0);
            if let Err(errors) = parse(&query.text, &ParseOptions::ALL) {
                refused.push(format!("{}: {errors}", query.text));
            }
        }
        assert!(refused.len() < 20, "{} refused: {}", refused.len(), refused.join("\n"));
    }
}
