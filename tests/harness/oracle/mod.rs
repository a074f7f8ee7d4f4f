//! A naive evaluation of PromQL: recursive, a step at a time, a map for each label set.
//! Plain enough to be believed, so that the executor can be compared with it.
//!
//! ```text
//! mod        selectors, subqueries, operators with scalars; a range is many instants
//! windows    functions over range vectors
//! vectors    functions of vectors, operators between two, aggregations
//! natives    the same for native histograms, apart: what makes histograms of histograms
//! ```
//!
//! It shares nothing with the executor but the parser and the matchers. What it does not know it
//! says: both kinds at once, classic histograms, dates, choices whose result depends on an order.

pub mod natives;
mod vectors;
mod windows;

use std::collections::BTreeMap;

use engine::index::CompiledMatcher;
use engine::model::{Labels, is_stale_nan};
use engine::promql::ast::{
    Ast, At, BinaryOp, Duration, Expr, ExprId, Subquery, UnaryOp, ValueType, VectorSelector,
};
use engine::promql::functions::FunctionId;

use crate::generate::data::Samples;

pub type LabelMap = BTreeMap<String, String>;
pub type Vector = BTreeMap<LabelMap, f64>;

/// Why there is no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The query has none.
    Error(&'static str),
    /// The oracle does not know.
    Unknown,
}

pub type Result<T> = std::result::Result<T, Failure>;

#[derive(Clone, Debug)]
pub enum Value {
    Scalar(f64),
    Vector(Vector),
    Ranges(BTreeMap<LabelMap, Samples>),
}

/// The times of a query and what else it is asked with. In milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub start_ms: i64,
    pub end_ms: i64,
    pub lookback_ms: i64,
    pub subquery_step_ms: i64,
}

impl Bounds {
    fn lookup_ms(&self, at: Option<At>, offset: Duration, time_ms: i64) -> Result<i64> {
        let at_ms = match at {
            None => time_ms,
            Some(At::Timestamp { ms }) => ms,
            Some(At::Start) => self.start_ms,
            Some(At::End) => self.end_ms,
        };
        Ok(at_ms - known(offset)?)
    }

    /// The times of a subquery after `start_ms`, up to `end_ms`.
    fn subquery_times(
        &self,
        subquery: &Subquery,
        start_ms: i64,
        end_ms: i64,
    ) -> Result<impl Iterator<Item = i64> + use<>> {
        let step_ms = match subquery.step {
            Some(step) => known(step)?,
            None => self.subquery_step_ms,
        };
        let first_ms = (start_ms.div_euclid(step_ms) + 1) * step_ms;
        Ok((first_ms..=end_ms).step_by(step_ms as usize))
    }
}

pub struct Oracle<'a> {
    pub series: &'a [(Labels, Samples)],
    pub ast: &'a Ast,
    pub bounds: Bounds,
}

pub const DUPLICATES: Failure =
    Failure::Error("vector cannot contain metrics with the same labelset");

impl Oracle<'_> {
    /// The value of the whole expression at one time.
    pub fn at(&self, time_ms: i64) -> Result<Value> {
        self.eval(self.ast.root(), time_ms)
    }

    fn eval(&self, id: ExprId, time_ms: i64) -> Result<Value> {
        Ok(match self.ast.expr(id) {
            Expr::Number { value, .. } => Value::Scalar(*value),
            Expr::String(_) | Expr::Duration(_) => return Err(Failure::Unknown),
            Expr::Paren(inner) | Expr::Unary { op: UnaryOp::Plus, expr: inner } => {
                self.eval(*inner, time_ms)?
            }
            Expr::Unary { op: UnaryOp::Minus, expr } => match self.eval(*expr, time_ms)? {
                Value::Scalar(value) => Value::Scalar(-value),
                Value::Vector(vector) => {
                    Value::Vector(without_names(vector, |value| Some(-value))?)
                }
                Value::Ranges(_) => return Err(Failure::Unknown),
            },
            Expr::Vector(vector) => Value::Vector(self.select(vector, time_ms)?),
            Expr::Matrix { .. } | Expr::Subquery(_) => Value::Ranges(self.ranges(id, time_ms)?.0),
            Expr::Binary(binary) => {
                let (lhs, rhs) = (self.eval(binary.lhs, time_ms)?, self.eval(binary.rhs, time_ms)?);
                match (lhs, rhs) {
                    (Value::Scalar(lhs), Value::Scalar(rhs)) => {
                        Value::Scalar(arithmetic(binary.op, lhs, rhs).ok_or(Failure::Unknown)?)
                    }
                    (Value::Vector(lhs), Value::Vector(rhs)) => {
                        Value::Vector(vectors::binary(binary, &lhs, &rhs)?)
                    }
                    (Value::Vector(vector), Value::Scalar(scalar)) => Value::Vector(with_scalar(
                        vector,
                        binary.op,
                        binary.return_bool,
                        |value| (value, scalar),
                    )?),
                    (Value::Scalar(scalar), Value::Vector(vector)) => Value::Vector(with_scalar(
                        vector,
                        binary.op,
                        binary.return_bool,
                        |value| (scalar, value),
                    )?),
                    _ => return Err(Failure::Unknown),
                }
            }
            Expr::Aggregate(aggregate) => {
                let vector = self.vector(aggregate.expr, time_ms)?;
                Value::Vector(match aggregate.param.map(|param| (param, self.ast.expr(param))) {
                    None => vectors::aggregate(aggregate, &vector, f64::NAN, "")?,
                    Some((_, Expr::String(label))) => {
                        let label = String::from_utf8_lossy(label);
                        vectors::aggregate(aggregate, &vector, f64::NAN, &label)?
                    }
                    Some((param, _)) => {
                        vectors::aggregate(aggregate, &vector, self.scalar(param, time_ms)?, "")?
                    }
                })
            }
            Expr::Call { function, args } => self.call(*function, args, time_ms)?,
        })
    }

    fn scalar(&self, id: ExprId, time_ms: i64) -> Result<f64> {
        match self.eval(id, time_ms)? {
            Value::Scalar(value) => Ok(value),
            _ => Err(Failure::Unknown),
        }
    }

    fn vector(&self, id: ExprId, time_ms: i64) -> Result<Vector> {
        match self.eval(id, time_ms)? {
            Value::Vector(vector) => Ok(vector),
            _ => Err(Failure::Unknown),
        }
    }

    fn text(&self, id: ExprId) -> Result<String> {
        match self.ast.expr(self.unparen(id)) {
            Expr::String(text) => Ok(String::from_utf8_lossy(text).into_owned()),
            _ => Err(Failure::Unknown),
        }
    }

    fn unparen(&self, mut id: ExprId) -> ExprId {
        while let Expr::Paren(inner) = self.ast.expr(id) {
            id = *inner;
        }
        id
    }

    /// The newest sample of every series that matches, within the lookback.
    fn newest(
        &self,
        vector: &VectorSelector,
        at_ms: i64,
    ) -> Result<BTreeMap<LabelMap, (i64, f64)>> {
        let mut newest = BTreeMap::new();
        for (labels, samples) in matching(self.series, vector)? {
            let seen = samples
                .iter()
                .filter(|(time, _)| *time <= at_ms && *time > at_ms - self.bounds.lookback_ms);
            if let Some(sample) = seen.max_by_key(|(time, _)| *time)
                && !is_stale_nan(sample.1)
            {
                newest.insert(label_map(labels), *sample);
            }
        }
        Ok(newest)
    }

    fn select(&self, vector: &VectorSelector, time_ms: i64) -> Result<Vector> {
        let at_ms = self.bounds.lookup_ms(vector.at, vector.offset, time_ms)?;
        let newest = self.newest(vector, at_ms)?;
        Ok(newest.into_iter().map(|(labels, (_, value))| (labels, value)).collect())
    }

    /// The samples of a range vector, with the start and end of its window.
    fn ranges(&self, id: ExprId, time_ms: i64) -> Result<(BTreeMap<LabelMap, Samples>, i64, i64)> {
        let mut ranges: BTreeMap<LabelMap, Samples> = BTreeMap::new();
        match self.ast.expr(self.unparen(id)) {
            Expr::Matrix { vector, range } => {
                let Expr::Vector(vector) = self.ast.expr(*vector) else {
                    return Err(Failure::Unknown);
                };
                let end_ms = self.bounds.lookup_ms(vector.at, vector.offset, time_ms)?;
                let start_ms = end_ms - known(*range)?;
                for (labels, samples) in matching(self.series, vector)? {
                    let inside = samples.iter().filter(|(time, value)| {
                        *time > start_ms && *time <= end_ms && !is_stale_nan(*value)
                    });
                    let inside: Samples = inside.copied().collect();
                    if !inside.is_empty() {
                        ranges.insert(label_map(labels), inside);
                    }
                }
                Ok((ranges, start_ms, end_ms))
            }
            Expr::Subquery(subquery) => {
                let end_ms = self.bounds.lookup_ms(subquery.at, subquery.offset, time_ms)?;
                let start_ms = end_ms - known(subquery.range)?;
                for at_ms in self.bounds.subquery_times(subquery, start_ms, end_ms)? {
                    for (labels, value) in self.vector(subquery.expr, at_ms)? {
                        ranges.entry(labels).or_default().push((at_ms, value));
                    }
                }
                Ok((ranges, start_ms, end_ms))
            }
            _ => Err(Failure::Unknown),
        }
    }

    fn call(&self, function: FunctionId, args: &[ExprId], time_ms: i64) -> Result<Value> {
        use FunctionId::*;
        let is_range = |id: &&ExprId| self.ast.value_type(**id) == ValueType::Matrix;
        if let Some(range) = args.iter().find(is_range) {
            let params: Result<Vec<f64>> = args
                .iter()
                .filter(|arg| *arg != range)
                .map(|arg| self.scalar(*arg, time_ms))
                .collect();
            let (ranges, start_ms, end_ms) = self.ranges(*range, time_ms)?;
            if function == AbsentOverTime {
                return Ok(Value::Vector(self.absent(ranges.is_empty(), *range)?));
            }
            let window = windows::Window { start_ms, end_ms, time_ms, params: params? };
            let mut out = self::Vector::new();
            for (labels, samples) in &ranges {
                if let Some(value) = windows::run(function, samples, &window)? {
                    let keeps = matches!(function, LastOverTime | FirstOverTime);
                    let labels = if keeps { labels.clone() } else { nameless(labels) };
                    insert(&mut out, labels, value)?;
                }
            }
            return Ok(Value::Vector(out));
        }
        Ok(match function {
            Time => Value::Scalar(time_ms as f64 / 1000.0),
            Pi => Value::Scalar(std::f64::consts::PI),
            Scalar => {
                let vector = self.vector(args[0], time_ms)?;
                let only = if vector.len() == 1 { vector.into_values().next() } else { None };
                Value::Scalar(only.unwrap_or(f64::NAN))
            }
            Vector => {
                let value = self.scalar(args[0], time_ms)?;
                Value::Vector([(LabelMap::new(), value)].into())
            }
            Absent => {
                let is_empty = self.vector(args[0], time_ms)?.is_empty();
                Value::Vector(self.absent(is_empty, args[0])?)
            }
            Timestamp => {
                let Expr::Vector(selector) = self.ast.expr(self.unparen(args[0])) else {
                    let seconds = time_ms as f64 / 1000.0;
                    let vector = self.vector(args[0], time_ms)?;
                    return Ok(Value::Vector(without_names(vector, |_| Some(seconds))?));
                };
                if selector.at.is_some() && known(selector.offset)? != 0 {
                    return Err(Failure::Unknown);
                }
                let at_ms = self.bounds.lookup_ms(selector.at, selector.offset, time_ms)?;
                let mut out = self::Vector::new();
                for (labels, (sample_ms, _)) in self.newest(selector, at_ms)? {
                    insert(&mut out, nameless(&labels), sample_ms as f64 / 1000.0)?;
                }
                Value::Vector(out)
            }
            _ => {
                let vector = self.vector(args[0], time_ms)?;
                let texts: Vec<String> =
                    args[1..].iter().filter_map(|arg| self.text(*arg).ok()).collect();
                let numbers: Vec<f64> = args[1..]
                    .iter()
                    .filter(|arg| self.ast.value_type(**arg) == ValueType::Scalar)
                    .map(|arg| self.scalar(*arg, time_ms))
                    .collect::<Result<_>>()?;
                Value::Vector(vectors::call(function, vector, &numbers, &texts)?)
            }
        })
    }

    /// One row with the labels that the selector fixes.
    fn absent(&self, is_absent: bool, id: ExprId) -> Result<Vector> {
        if !is_absent {
            return Ok(Vector::new());
        }
        let mut labels = LabelMap::new();
        let selector = match self.ast.expr(self.unparen(id)) {
            Expr::Vector(_) => Some(self.unparen(id)),
            Expr::Matrix { vector, .. } => Some(*vector),
            _ => None,
        };
        if let Some(Expr::Vector(vector)) = selector.map(|id| self.ast.expr(id)) {
            for matcher in &vector.matchers {
                let of_label =
                    vector.matchers.iter().filter(|other| other.name == matcher.name).count();
                let is_equal = matcher.op == engine::model::MatchOp::Equal;
                if &*matcher.name != "__name__" && is_equal {
                    if of_label > 1 {
                        return Err(Failure::Unknown);
                    }
                    labels.insert(matcher.name.to_string(), matcher.value.to_string());
                }
            }
        }
        Ok([(labels, 1.0)].into())
    }
}

/// The series that a selector matches.
fn matching<'a, S>(
    series: &'a [(Labels, S)],
    vector: &VectorSelector,
) -> Result<impl Iterator<Item = (&'a Labels, &'a S)> + use<'a, S>> {
    if vector.anchored || vector.smoothed {
        return Err(Failure::Unknown);
    }
    let matchers = CompiledMatcher::compile(&vector.matchers).map_err(|_| Failure::Unknown)?;
    let all = move |labels: &Labels| matchers.iter().all(|one| one.matches(labels.as_ref()));
    let matching = series.iter().filter(move |(labels, _)| all(labels));
    Ok(matching.map(|(labels, samples)| (labels, samples)))
}

fn known(duration: Duration) -> Result<i64> {
    match duration {
        Duration::Known { ms } => Ok(ms),
        Duration::Expr(_) => Err(Failure::Unknown),
    }
}

pub fn label_map(labels: &Labels) -> LabelMap {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    labels.as_ref().iter().map(|(name, value)| (text(name), text(value))).collect()
}

fn nameless(labels: &LabelMap) -> LabelMap {
    let mut labels = labels.clone();
    labels.remove("__name__");
    labels
}

fn insert<T>(vector: &mut BTreeMap<LabelMap, T>, labels: LabelMap, value: T) -> Result<()> {
    match vector.insert(labels, value) {
        None => Ok(()),
        Some(_) => Err(DUPLICATES),
    }
}

/// `f` of every value; what remains loses its name.
fn without_names(vector: Vector, f: impl Fn(f64) -> Option<f64>) -> Result<Vector> {
    let mut out = Vector::new();
    for (labels, value) in vector {
        if let Some(value) = f(value) {
            insert(&mut out, nameless(&labels), value)?;
        }
    }
    Ok(out)
}

fn with_scalar(
    vector: Vector,
    op: BinaryOp,
    return_bool: bool,
    sides: impl Fn(f64) -> (f64, f64),
) -> Result<Vector> {
    let of = |value| {
        let (lhs, rhs) = sides(value);
        arithmetic(op, lhs, rhs).ok_or(Failure::Unknown)
    };
    if op.is_comparison() && !return_bool {
        let mut out = Vector::new();
        for (labels, value) in vector {
            if of(value)? == 1.0 {
                out.insert(labels, value);
            }
        }
        return Ok(out);
    }
    let mut out = Vector::new();
    for (labels, value) in vector {
        insert(&mut out, nameless(&labels), of(value)?)?;
    }
    Ok(out)
}

/// A comparison gives 1 or 0.
fn arithmetic(op: BinaryOp, lhs: f64, rhs: f64) -> Option<f64> {
    use BinaryOp::*;
    Some(match op {
        Add => lhs + rhs,
        Sub => lhs - rhs,
        Mul => lhs * rhs,
        Div => lhs / rhs,
        Mod => lhs % rhs,
        Pow => lhs.powf(rhs),
        Atan2 => lhs.atan2(rhs),
        Eql => f64::from(lhs == rhs),
        Neq => f64::from(lhs != rhs),
        Gtr => f64::from(lhs > rhs),
        Lss => f64::from(lhs < rhs),
        Gte => f64::from(lhs >= rhs),
        Lte => f64::from(lhs <= rhs),
        TrimUpper | TrimLower | And | Or | Unless => return None,
    })
}
