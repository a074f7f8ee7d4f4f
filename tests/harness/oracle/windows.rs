//! Functions over the samples of a window.
//!
//! Source: Prometheus `promql/functions.go`.

use engine::promql::functions::FunctionId;

use super::{Failure, Result};

pub struct Window {
    pub start_ms: i64,
    pub end_ms: i64,
    pub time_ms: i64,
    pub params: Vec<f64>,
}

/// `None`: no value of these samples, of which there is at least one.
pub fn run(function: FunctionId, samples: &[(i64, f64)], window: &Window) -> Result<Option<f64>> {
    use FunctionId::*;
    let values: Vec<f64> = samples.iter().map(|sample| sample.1).collect();
    let (first, last) = (samples[0], samples[samples.len() - 1]);
    let count = values.len() as f64;
    let seconds = |ms: i64| ms as f64 / 1000.0;
    let two = samples.len() >= 2;
    Ok(Some(match function {
        SumOverTime => values.iter().sum(),
        AvgOverTime => values.iter().sum::<f64>() / count,
        CountOverTime => count,
        PresentOverTime => 1.0,
        LastOverTime => last.1,
        FirstOverTime => first.1,
        TsOfLastOverTime => seconds(last.0),
        TsOfFirstOverTime => seconds(first.0),
        MaxOverTime => best(samples, |new, old| new > old).1,
        MinOverTime => best(samples, |new, old| new < old).1,
        TsOfMaxOverTime => seconds(best(samples, |new, old| new >= old).0),
        TsOfMinOverTime => seconds(best(samples, |new, old| new <= old).0),
        StdvarOverTime => variance(&values),
        StddevOverTime => variance(&values).sqrt(),
        QuantileOverTime => quantile(window.params[0], values),
        MadOverTime => {
            if values.iter().any(|value| value.is_nan()) {
                return Ok(Some(f64::NAN));
            }
            let median = quantile(0.5, values.clone());
            quantile(0.5, values.iter().map(|value| (value - median).abs()).collect())
        }
        Changes => {
            let changed =
                |pair: &&[f64]| pair[0] != pair[1] && !(pair[0].is_nan() && pair[1].is_nan());
            values.windows(2).filter(changed).count() as f64
        }
        Resets => values.windows(2).filter(|pair| pair[1] < pair[0]).count() as f64,
        Rate | Increase | Delta if !two => return Ok(None),
        Rate | Increase | Delta => extrapolated(function, samples, window),
        Irate | Idelta if !two => return Ok(None),
        Irate | Idelta => {
            let previous = samples[samples.len() - 2];
            let fell = last.1 < previous.1 && function == Irate;
            let risen = if fell { last.1 } else { last.1 - previous.1 };
            if function == Irate { risen / seconds(last.0 - previous.0) } else { risen }
        }
        Deriv | PredictLinear | DoubleExponentialSmoothing if !two => return Ok(None),
        Deriv => regression(samples, first.0).0,
        PredictLinear => {
            let (slope, intercept) = regression(samples, window.time_ms);
            slope * window.params[0] + intercept
        }
        DoubleExponentialSmoothing => {
            let (smoothing, trend) = (window.params[0], window.params[1]);
            let (mut before, mut level, mut slope) = (0.0, values[0], values[1] - values[0]);
            for (index, value) in values.iter().enumerate().skip(1) {
                if index > 1 {
                    slope = trend * (level - before) + (1.0 - trend) * slope;
                }
                before = level;
                level = smoothing * value + (1.0 - smoothing) * (level + slope);
            }
            level
        }
        _ => return Err(Failure::Unknown),
    }))
}

/// The sample that beats the others; anything beats NaN.
fn best(samples: &[(i64, f64)], beats: impl Fn(f64, f64) -> bool) -> (i64, f64) {
    let mut best = samples[0];
    for &sample in samples {
        if beats(sample.1, best.1) || best.1.is_nan() {
            best = sample;
        }
    }
    best
}

/// Around the first value, so that equal values have none.
pub fn variance(values: &[f64]) -> f64 {
    let count = values.len() as f64;
    let first = values[0];
    let mean = values.iter().map(|value| value - first).sum::<f64>() / count;
    values.iter().map(|value| (value - first - mean).powi(2)).sum::<f64>() / count
}

/// NaN sorts first.
pub fn quantile(q: f64, mut values: Vec<f64>) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if !(0.0..=1.0).contains(&q) {
        return if q < 0.0 { f64::NEG_INFINITY } else { f64::INFINITY };
    }
    values.sort_by(|a, b| b.is_nan().cmp(&a.is_nan()).then(a.total_cmp(b)));
    let rank = q * (values.len() - 1) as f64;
    let lower = rank.floor() as usize;
    let upper = (lower + 1).min(values.len() - 1);
    let weight = rank - rank.floor();
    values[lower] * (1.0 - weight) + values[upper] * weight
}

fn extrapolated(function: FunctionId, samples: &[(i64, f64)], window: &Window) -> f64 {
    let (first, last) = (samples[0], samples[samples.len() - 1]);
    let is_counter = function != FunctionId::Delta;
    let mut risen = last.1 - first.1;
    if is_counter {
        for pair in samples.windows(2) {
            if pair[1].1 < pair[0].1 {
                risen += pair[0].1;
            }
        }
    }
    let seconds = |from_ms: i64, to_ms: i64| (to_ms - from_ms) as f64 / 1000.0;
    let sampled = seconds(first.0, last.0);
    let average = sampled / (samples.len() - 1) as f64;
    let beyond = |gap: f64| if gap >= average * 1.1 { average / 2.0 } else { gap };
    let mut to_start = beyond(seconds(window.start_ms, first.0));
    let to_end = beyond(seconds(last.0, window.end_ms));
    if is_counter && risen > 0.0 && first.1 >= 0.0 {
        // A counter was never below zero.
        to_start = to_start.min(sampled * (first.1 / risen));
    }
    let whole = risen * ((sampled + to_start + to_end) / sampled);
    match function {
        FunctionId::Rate => whole / seconds(window.start_ms, window.end_ms),
        _ => whole,
    }
}

/// Slope and value at `at_ms`.
fn regression(samples: &[(i64, f64)], at_ms: i64) -> (f64, f64) {
    let first = samples[0].1;
    if samples.iter().all(|sample| sample.1 == first) {
        return if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) };
    }
    let count = samples.len() as f64;
    let points = || samples.iter().map(|&(ms, y)| ((ms - at_ms) as f64 / 1000.0, y));
    let sum = |f: &dyn Fn(f64, f64) -> f64| points().map(|(x, y)| f(x, y)).sum::<f64>();
    let (x, y, xy, xx) = (sum(&|x, _| x), sum(&|_, y| y), sum(&|x, y| x * y), sum(&|x, _| x * x));
    let slope = (xy - x * y / count) / (xx - x * x / count);
    (slope, y / count - slope * x / count)
}
