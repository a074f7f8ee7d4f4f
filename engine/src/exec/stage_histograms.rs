//! Stages on rows that hold native histograms.
//!
//! Source: Prometheus `promql/functions.go`, `promql/engine.go`.

use std::sync::Arc;

use crate::model::FloatHistogram;
use crate::plan::part::Map;
use crate::promql::functions::FunctionId;

use super::annotations::Annotations;
use super::histogram_binary::{Combined, Point, combine};
use super::histograms::Histograms;
use super::row::Row;
use super::sum;

/// What `map` makes of the histograms that were taken out of `row`, whose floats have been mapped.
pub fn map(map: &Map, histograms: &Histograms, row: &mut Row, annotations: &mut Annotations) {
    for (step, histogram) in histograms.iter() {
        match map {
            Map::Negate => {
                let mut negated = (**histogram).clone();
                negated.mul(-1.0);
                row.set_histogram(step, Arc::new(negated));
            }
            Map::Scalar { op, scalar, swapped, position, .. } => {
                let scalar = Point::Float(scalar.at(step));
                let vector = Point::Histogram(histogram);
                let (lhs, rhs) = if *swapped { (scalar, vector) } else { (vector, scalar) };
                // Comparisons between the two kinds are refused, with `bool` or without.
                match combine(*op, lhs, rhs, *position, annotations) {
                    Combined::Histogram(result) => row.set_histogram(step, result),
                    Combined::Float(result) => row.set(step, result),
                    Combined::Refused | Combined::Rejected => {}
                }
            }
            Map::Histogram(function) => row.set(step, number(*function, histogram)),
            // Functions of numbers leave histograms out.
            Map::Math(_)
            | Map::Clamp { .. }
            | Map::Round { .. }
            | Map::Date(_)
            | Map::Timestamp
            | Map::Nothing => return,
        }
    }
}

/// `histogram_count` and its like.
fn number(function: FunctionId, histogram: &FloatHistogram) -> f64 {
    match function {
        FunctionId::HistogramCount => histogram.count,
        FunctionId::HistogramSum => histogram.sum,
        FunctionId::HistogramAvg => histogram.sum / histogram.count,
        FunctionId::HistogramStdvar => variance(histogram),
        FunctionId::HistogramStddev => variance(histogram).sqrt(),
        other => panic!("{other:?} must be a number of a histogram"),
    }
}

/// Of the middles of the buckets: geometric, but arithmetic for custom bounds and zero for the
/// bucket around it.
fn variance(histogram: &FloatHistogram) -> f64 {
    let mean = histogram.sum / histogram.count;
    let (variance, lost) = histogram.all_buckets().filter(|bucket| bucket.count != 0.0).fold(
        (0.0, 0.0),
        |variance, bucket| {
            let middle = if histogram.uses_custom_bounds() {
                (bucket.upper + bucket.lower) / 2.0
            } else if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
                0.0
            } else {
                let middle = (bucket.upper * bucket.lower).sqrt();
                if bucket.upper < 0.0 { -middle } else { middle }
            };
            let delta = middle - mean;
            sum::add(bucket.count * delta * delta, variance)
        },
    );
    (variance + lost) / histogram.count
}
