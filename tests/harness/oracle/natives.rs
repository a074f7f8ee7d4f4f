//! A naive evaluation of PromQL over native histograms: buckets in a map, one number after the
//! other. It knows what makes histograms of histograms, and the numbers that are taken of them in
//! the end; of expressions from [`crate::generate::natives`] that is all.
//!
//! Source: Prometheus `promql/functions.go`, `model/histogram/float_histogram.go`.

use std::collections::BTreeMap;

use engine::model::Labels;
use engine::promql::ast::{
    Aggregate, AggregateOp, Ast, BinaryOp, Expr, ExprId, UnaryOp, ValueType,
};
use engine::promql::functions::FunctionId;

use super::vectors::group_of;
use super::{Bounds, Failure, LabelMap, Result, insert, known, label_map, matching, nameless};
use crate::remote_write::NativeHistogram;

/// A histogram of exponential buckets above zero; those that are not there are zero.
#[derive(Clone, Debug, PartialEq)]
pub struct Native {
    pub schema: i32,
    pub count: f64,
    pub sum: f64,
    pub zero_count: f64,
    pub buckets: BTreeMap<i32, f64>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Point {
    Float(f64),
    Histogram(Native),
}

pub type Points = BTreeMap<LabelMap, Point>;
type Histograms = BTreeMap<LabelMap, Native>;
type Samples = Vec<(i64, Native)>;

pub struct NativeOracle<'a> {
    pub series: &'a [(Labels, Samples)],
    pub ast: &'a Ast,
    pub bounds: Bounds,
}

impl From<&NativeHistogram> for Native {
    fn from(histogram: &NativeHistogram) -> Native {
        let counts = histogram.bucket_counts.iter().map(|&count| count as f64);
        let zero_count = histogram.zero_count as f64;
        Native {
            schema: histogram.schema,
            count: counts.clone().sum::<f64>() + zero_count,
            sum: histogram.sum,
            zero_count,
            buckets: (histogram.first_bucket..).zip(counts).collect(),
        }
    }
}

impl Native {
    /// With buckets as wide as those of `schema`, which is not above the own one.
    fn reduced(&self, schema: i32) -> Native {
        let mut buckets = BTreeMap::new();
        for (&index, &count) in &self.buckets {
            let index = ((index - 1) >> (self.schema - schema)) + 1;
            *buckets.entry(index).or_default() += count;
        }
        Native { schema, buckets, ..self.clone() }
    }

    /// Every number of the one with the same number of the other.
    fn combined(&self, other: &Native, f: impl Fn(f64, f64) -> f64) -> Native {
        let schema = self.schema.min(other.schema);
        let (own, other) = (self.reduced(schema), other.reduced(schema));
        let of = |histogram: &Native, index| histogram.buckets.get(index).copied().unwrap_or(0.0);
        let indexes = own.buckets.keys().chain(other.buckets.keys());
        Native {
            schema,
            count: f(own.count, other.count),
            sum: f(own.sum, other.sum),
            zero_count: f(own.zero_count, other.zero_count),
            buckets: indexes.map(|index| (*index, f(of(&own, index), of(&other, index)))).collect(),
        }
    }

    fn plus(&self, other: &Native) -> Native {
        self.combined(other, |own, other| own + other)
    }

    fn minus(&self, other: &Native) -> Native {
        self.combined(other, |own, other| own - other)
    }

    fn times(&self, factor: f64) -> Native {
        self.combined(self, |own, _| own * factor)
    }

    /// Whether it counts less than `before` anywhere.
    fn is_reset_after(&self, before: &Native) -> bool {
        if self.schema > before.schema {
            return true;
        }
        let difference = self.minus(before);
        let buckets = difference.buckets.values().copied();
        buckets.chain([difference.count, difference.zero_count]).any(|risen| risen < 0.0)
    }
}

/// Of some, which are not none.
fn total<'a>(all: impl IntoIterator<Item = &'a Native>) -> Result<Native> {
    let mut all = all.into_iter();
    let first = all.next().ok_or(Failure::Unknown)?.clone();
    Ok(all.fold(first, |sum, next| sum.plus(next)))
}

/// The samples of a window and its edges.
struct Window {
    samples: Samples,
    start_ms: i64,
    end_ms: i64,
}

impl NativeOracle<'_> {
    /// The value of the whole expression at one time.
    pub fn at(&self, time_ms: i64) -> Result<Points> {
        let root = self.ast.root();
        match self.ast.expr(root) {
            Expr::Call { function, args } if !gives_histograms(*function) => {
                self.numbers(*function, args[0], time_ms)
            }
            Expr::Aggregate(aggregate)
                if matches!(aggregate.op, AggregateOp::Count | AggregateOp::Group) =>
            {
                let groups = self.groups(aggregate, time_ms)?.into_iter();
                let number = |members: Vec<Native>| match aggregate.op {
                    AggregateOp::Count => members.len() as f64,
                    _ => 1.0,
                };
                Ok(groups.map(|(group, all)| (group, Point::Float(number(all)))).collect())
            }
            _ => {
                let histograms = self.histograms(root, time_ms)?.into_iter();
                Ok(histograms.map(|(labels, one)| (labels, Point::Histogram(one))).collect())
            }
        }
    }

    fn histograms(&self, id: ExprId, time_ms: i64) -> Result<Histograms> {
        match self.ast.expr(id) {
            Expr::Paren(inner) => self.histograms(*inner, time_ms),
            Expr::Unary { op: UnaryOp::Minus, expr } => self.scaled(*expr, -1.0, time_ms),
            Expr::Vector(selector) => {
                let at_ms = self.bounds.lookup_ms(selector.at, selector.offset, time_ms)?;
                let oldest_ms = at_ms - self.bounds.lookback_ms;
                let mut newest = Histograms::new();
                for (labels, samples) in matching(self.series, selector)? {
                    let seen = samples.iter().filter(|(ms, _)| *ms <= at_ms && *ms > oldest_ms);
                    if let Some((_, histogram)) = seen.max_by_key(|(ms, _)| *ms) {
                        newest.insert(label_map(labels), histogram.clone());
                    }
                }
                Ok(newest)
            }
            Expr::Aggregate(aggregate) => {
                let mut out = Histograms::new();
                for (group, members) in self.groups(aggregate, time_ms)? {
                    let sum = total(&members)?;
                    let value = match aggregate.op {
                        AggregateOp::Sum => sum,
                        AggregateOp::Avg => sum.times(1.0 / members.len() as f64),
                        _ => return Err(Failure::Unknown),
                    };
                    out.insert(group, value);
                }
                Ok(out)
            }
            Expr::Binary(binary) => {
                let number = |id: ExprId| match self.ast.expr(id) {
                    Expr::Number { value, .. } => Some(*value),
                    _ => None,
                };
                match (number(binary.lhs), binary.op, number(binary.rhs)) {
                    (Some(factor), BinaryOp::Mul, None) => self.scaled(binary.rhs, factor, time_ms),
                    (None, BinaryOp::Mul, Some(factor)) => self.scaled(binary.lhs, factor, time_ms),
                    (None, BinaryOp::Div, Some(divisor)) => {
                        self.scaled(binary.lhs, 1.0 / divisor, time_ms)
                    }
                    (None, op @ (BinaryOp::Add | BinaryOp::Sub), None) => {
                        let lhs = self.histograms(binary.lhs, time_ms)?;
                        let rhs: Histograms = self
                            .histograms(binary.rhs, time_ms)?
                            .into_iter()
                            .map(|(labels, one)| (nameless(&labels), one))
                            .collect();
                        let mut out = Histograms::new();
                        for (labels, left) in lhs {
                            let labels = nameless(&labels);
                            let Some(right) = rhs.get(&labels) else { continue };
                            let sum = op == BinaryOp::Add;
                            out.insert(
                                labels,
                                if sum { left.plus(right) } else { left.minus(right) },
                            );
                        }
                        Ok(out)
                    }
                    _ => Err(Failure::Unknown),
                }
            }
            Expr::Call { function, args } => {
                let mut out = Histograms::new();
                for (labels, window) in self.windows(args[0], time_ms)? {
                    let keeps =
                        matches!(function, FunctionId::LastOverTime | FunctionId::FirstOverTime);
                    let labels = if keeps { labels } else { nameless(&labels) };
                    if let Some(histogram) = window.value(*function)? {
                        insert(&mut out, labels, histogram)?;
                    }
                }
                Ok(out)
            }
            _ => Err(Failure::Unknown),
        }
    }

    fn scaled(&self, id: ExprId, factor: f64, time_ms: i64) -> Result<Histograms> {
        let mut out = Histograms::new();
        for (labels, histogram) in self.histograms(id, time_ms)? {
            insert(&mut out, nameless(&labels), histogram.times(factor))?;
        }
        Ok(out)
    }

    fn groups(
        &self,
        aggregate: &Aggregate,
        time_ms: i64,
    ) -> Result<BTreeMap<LabelMap, Vec<Native>>> {
        let mut groups: BTreeMap<LabelMap, Vec<Native>> = BTreeMap::new();
        for (labels, histogram) in self.histograms(aggregate.expr, time_ms)? {
            groups.entry(group_of(aggregate, &labels)).or_default().push(histogram);
        }
        Ok(groups)
    }

    fn windows(&self, id: ExprId, time_ms: i64) -> Result<BTreeMap<LabelMap, Window>> {
        let mut samples: BTreeMap<LabelMap, Samples> = BTreeMap::new();
        let (start_ms, end_ms) = match self.ast.expr(id) {
            Expr::Matrix { vector, range } => {
                let Expr::Vector(selector) = self.ast.expr(*vector) else {
                    return Err(Failure::Unknown);
                };
                let end_ms = self.bounds.lookup_ms(selector.at, selector.offset, time_ms)?;
                let start_ms = end_ms - known(*range)?;
                for (labels, all) in matching(self.series, selector)? {
                    let inside = all.iter().filter(|(ms, _)| *ms > start_ms && *ms <= end_ms);
                    samples.insert(label_map(labels), inside.cloned().collect());
                }
                (start_ms, end_ms)
            }
            Expr::Subquery(subquery) => {
                let end_ms = self.bounds.lookup_ms(subquery.at, subquery.offset, time_ms)?;
                let start_ms = end_ms - known(subquery.range)?;
                for at_ms in self.bounds.subquery_times(subquery, start_ms, end_ms)? {
                    for (labels, histogram) in self.histograms(subquery.expr, at_ms)? {
                        samples.entry(labels).or_default().push((at_ms, histogram));
                    }
                }
                (start_ms, end_ms)
            }
            _ => return Err(Failure::Unknown),
        };
        samples.retain(|_, samples| !samples.is_empty());
        let window = |(labels, samples)| (labels, Window { samples, start_ms, end_ms });
        Ok(samples.into_iter().map(window).collect())
    }

    /// Numbers of histograms, or of their windows.
    fn numbers(&self, function: FunctionId, id: ExprId, time_ms: i64) -> Result<Points> {
        use FunctionId::*;
        let mut out = Points::new();
        if self.ast.value_type(id) == ValueType::Matrix {
            for (labels, window) in self.windows(id, time_ms)? {
                let pairs = window.samples.windows(2);
                let number = match function {
                    CountOverTime => window.samples.len(),
                    PresentOverTime => 1,
                    Resets => pairs.filter(|pair| pair[1].1.is_reset_after(&pair[0].1)).count(),
                    Changes => pairs.filter(|pair| pair[1].1 != pair[0].1).count(),
                    _ => return Err(Failure::Unknown),
                };
                insert(&mut out, nameless(&labels), Point::Float(number as f64))?;
            }
            return Ok(out);
        }
        for (labels, histogram) in self.histograms(id, time_ms)? {
            let number = match function {
                HistogramCount => histogram.count,
                HistogramSum => histogram.sum,
                HistogramAvg => histogram.sum / histogram.count,
                _ => return Err(Failure::Unknown),
            };
            insert(&mut out, nameless(&labels), Point::Float(number))?;
        }
        Ok(out)
    }
}

fn gives_histograms(function: FunctionId) -> bool {
    use FunctionId::*;
    matches!(
        function,
        Rate | Increase
            | Delta
            | Irate
            | Idelta
            | SumOverTime
            | AvgOverTime
            | LastOverTime
            | FirstOverTime
    )
}

impl Window {
    fn value(&self, function: FunctionId) -> Result<Option<Native>> {
        use FunctionId::*;
        let all = || self.samples.iter().map(|(_, histogram)| histogram);
        let last = &self.samples[self.samples.len() - 1];
        Ok(match function {
            SumOverTime => Some(total(all())?),
            AvgOverTime => Some(total(all())?.times(1.0 / self.samples.len() as f64)),
            FirstOverTime => Some(self.samples[0].1.clone()),
            LastOverTime => Some(last.1.clone()),
            Rate | Increase | Delta | Irate | Idelta if self.samples.len() < 2 => None,
            Rate | Increase | Delta => Some(self.extrapolated(function)),
            Irate | Idelta => {
                let before = &self.samples[self.samples.len() - 2];
                let is_rate = function == Irate;
                let rise = match is_rate && last.1.is_reset_after(&before.1) {
                    true => last.1.clone(),
                    false => last.1.minus(&before.1),
                };
                let seconds = (last.0 - before.0) as f64 / 1000.0;
                Some(if is_rate { rise.times(1.0 / seconds) } else { rise })
            }
            _ => return Err(Failure::Unknown),
        })
    }

    /// What a counter has counted since the first sample.
    fn risen(&self) -> Native {
        let all: Vec<&Native> = self.samples.iter().map(|(_, histogram)| histogram).collect();
        // Before a reset, not even the first one's resolution matters.
        let counted = match all[1].is_reset_after(all[0]) {
            true => &all[1..],
            false => &all[..],
        };
        let last = all[all.len() - 1];
        let coarsest = counted.iter().map(|one| one.schema).fold(last.schema, i32::min);
        let mut risen = last.reduced(coarsest);
        if counted.len() == all.len() {
            risen = risen.minus(all[0]);
        }
        for pair in counted.windows(2) {
            if pair[1].is_reset_after(pair[0]) {
                risen = risen.plus(pair[0]);
            }
        }
        risen
    }

    fn extrapolated(&self, function: FunctionId) -> Native {
        let is_counter = function != FunctionId::Delta;
        let (first, last) = (&self.samples[0], &self.samples[self.samples.len() - 1]);
        let rise = if is_counter { self.risen() } else { last.1.minus(&first.1) };
        let seconds = |from_ms: i64, to_ms: i64| (to_ms - from_ms) as f64 / 1000.0;
        let sampled = seconds(first.0, last.0);
        let average = sampled / (self.samples.len() - 1) as f64;
        let beyond = |gap: f64| if gap >= average * 1.1 { average / 2.0 } else { gap };
        let mut to_start = beyond(seconds(self.start_ms, first.0));
        if is_counter && rise.count > 0.0 && first.1.count >= 0.0 {
            to_start = to_start.min(sampled * (first.1.count / rise.count));
        }
        let to_end = beyond(seconds(last.0, self.end_ms));
        let mut factor = (sampled + to_start + to_end) / sampled;
        if function == FunctionId::Rate {
            factor /= seconds(self.start_ms, self.end_ms);
        }
        rise.times(factor)
    }
}
