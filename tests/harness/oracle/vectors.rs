//! Functions of vectors, operators between two, aggregations.
//!
//! Source: Prometheus `promql/functions.go`, `promql/engine.go`.

use std::collections::{BTreeMap, BTreeSet};

use engine::promql::ast::{Aggregate, AggregateOp, Binary, BinaryOp, Card, VectorMatching};
use engine::promql::functions::FunctionId;
use engine::regex::{CaptureRegex, Captures};

use super::windows::{quantile, variance};
use super::{Failure, LabelMap, Result, Vector, arithmetic, insert, nameless, without_names};

pub fn call(
    function: FunctionId,
    vector: Vector,
    numbers: &[f64],
    texts: &[String],
) -> Result<Vector> {
    use FunctionId::*;
    let each = |f: fn(f64) -> f64| move |value: f64| Some(f(value));
    match function {
        Sort | SortDesc | SortByLabel | SortByLabelDesc => Ok(vector),
        Abs => without_names(vector, each(f64::abs)),
        Ceil => without_names(vector, each(f64::ceil)),
        Floor => without_names(vector, each(f64::floor)),
        Exp => without_names(vector, each(f64::exp)),
        Sqrt => without_names(vector, each(f64::sqrt)),
        Ln => without_names(vector, each(f64::ln)),
        Log2 => without_names(vector, each(f64::log2)),
        Log10 => without_names(vector, each(f64::log10)),
        Sin => without_names(vector, each(f64::sin)),
        Cos => without_names(vector, each(f64::cos)),
        Tan => without_names(vector, each(f64::tan)),
        Atan => without_names(vector, each(f64::atan)),
        Tanh => without_names(vector, each(f64::tanh)),
        Deg => without_names(vector, |value| Some(value * 180.0 / std::f64::consts::PI)),
        Rad => without_names(vector, |value| Some(value * std::f64::consts::PI / 180.0)),
        Sgn => without_names(vector, |value| {
            Some(if value < 0.0 {
                -1.0
            } else if value > 0.0 {
                1.0
            } else {
                value
            })
        }),
        Round => {
            let inverse = 1.0 / numbers.first().copied().unwrap_or(1.0);
            without_names(vector, |value| Some((value * inverse + 0.5).floor() / inverse))
        }
        Clamp => clamp(vector, numbers[0], numbers[1]),
        ClampMin => clamp(vector, numbers[0], f64::INFINITY),
        ClampMax => clamp(vector, f64::NEG_INFINITY, numbers[0]),
        LabelReplace => label_replace(vector, texts),
        LabelJoin => {
            let mut out = super::Vector::new();
            for (mut labels, value) in vector {
                let of = |name: &String| labels.get(name).cloned().unwrap_or_default();
                let joined = texts[2..].iter().map(of).collect::<Vec<_>>().join(&texts[1]);
                set(&mut labels, &texts[0], joined);
                insert(&mut out, labels, value)?;
            }
            Ok(out)
        }
        _ => Err(Failure::Unknown),
    }
}

fn clamp(vector: Vector, min: f64, max: f64) -> Result<Vector> {
    if max < min {
        return Ok(Vector::new());
    }
    // Go's: an infinity that decides does so even beside NaN.
    let least = |a: f64, b: f64| match () {
        () if a == f64::NEG_INFINITY || b == f64::NEG_INFINITY => f64::NEG_INFINITY,
        () if a.is_nan() || b.is_nan() => f64::NAN,
        () => a.min(b),
    };
    without_names(vector, |value| Some(-least(-min, -least(max, value))))
}

fn set(labels: &mut LabelMap, name: &str, value: String) {
    if value.is_empty() {
        labels.remove(name);
    } else {
        labels.insert(name.to_owned(), value);
    }
}

fn label_replace(vector: Vector, texts: &[String]) -> Result<Vector> {
    let [target, replacement, source, pattern] = texts else { return Err(Failure::Unknown) };
    let regex = CaptureRegex::anchored(pattern).map_err(|_| Failure::Unknown)?;
    let mut captures = Captures::default();
    let mut out = Vector::new();
    for (mut labels, value) in vector {
        let of_source = labels.get(source).cloned().unwrap_or_default();
        if regex.captures(of_source.as_bytes(), &mut captures) {
            let mut replaced = Vec::new();
            let (template, value) = (replacement.as_bytes(), of_source.as_bytes());
            regex.expand(template, value, &captures, &mut replaced);
            set(&mut labels, target, String::from_utf8_lossy(&replaced).into_owned());
        }
        insert(&mut out, labels, value)?;
    }
    Ok(out)
}

fn signature(labels: &LabelMap, matching: &VectorMatching) -> LabelMap {
    let held = |name: &str| matching.labels.iter().any(|label| **label == *name);
    let kept = |name: &str| {
        if matching.on { held(name) } else { name != "__name__" && !held(name) }
    };
    let kept = labels.iter().filter(|(name, _)| kept(name));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

pub fn binary(binary: &Binary, lhs: &Vector, rhs: &Vector) -> Result<Vector> {
    let matching = binary.matching.as_ref().ok_or(Failure::Unknown)?;
    if matching.fill_lhs.is_some() || matching.fill_rhs.is_some() {
        return Err(Failure::Unknown);
    }
    let signatures = |vector: &Vector| -> BTreeSet<LabelMap> {
        vector.keys().map(|labels| signature(labels, matching)).collect()
    };
    let (of_lhs, of_rhs) = (signatures(lhs), signatures(rhs));
    let chosen = |vector: &Vector, keep: &dyn Fn(&LabelMap) -> bool| -> Vector {
        let kept = vector.iter().filter(|(labels, _)| keep(&signature(labels, matching)));
        kept.map(|(labels, value)| (labels.clone(), *value)).collect()
    };
    match binary.op {
        BinaryOp::And => return Ok(chosen(lhs, &|own| of_rhs.contains(own))),
        BinaryOp::Unless => return Ok(chosen(lhs, &|own| !of_rhs.contains(own))),
        BinaryOp::Or => {
            let mut out = lhs.clone();
            for (labels, value) in chosen(rhs, &|own| !of_lhs.contains(own)) {
                insert(&mut out, labels, value)?;
            }
            return Ok(out);
        }
        _ => {}
    }
    if lhs.is_empty() || rhs.is_empty() {
        return Ok(Vector::new());
    }
    let swapped = matching.card == Card::OneToMany;
    let (many, one) = if swapped { (rhs, lhs) } else { (lhs, rhs) };
    let mut by_signature: BTreeMap<LabelMap, (&LabelMap, f64)> = BTreeMap::new();
    for (labels, &value) in one {
        if by_signature.insert(signature(labels, matching), (labels, value)).is_some() {
            return Err(Failure::Error("found duplicate series for the match group"));
        }
    }
    let mut matched: BTreeSet<(LabelMap, LabelMap)> = BTreeSet::new();
    let mut out = Vector::new();
    for (labels, &value) in many {
        let own = signature(labels, matching);
        let Some(&(one_labels, one_value)) = by_signature.get(&own) else { continue };
        let (left, right) = if swapped { (one_value, value) } else { (value, one_value) };
        let result = arithmetic(binary.op, left, right).ok_or(Failure::Unknown)?;
        let result_labels = result_labels(binary, matching, labels, one_labels);
        let key = match matching.card {
            Card::OneToOne => LabelMap::new(),
            _ => result_labels.clone(),
        };
        if !matched.insert((own, key)) {
            return Err(Failure::Error("multiple matches for labels"));
        }
        if !binary.op.is_comparison() || binary.return_bool {
            insert(&mut out, result_labels, result)?;
        } else if result == 1.0 {
            insert(&mut out, result_labels, left)?;
        }
    }
    Ok(out)
}

fn result_labels(
    binary: &Binary,
    matching: &VectorMatching,
    many: &LabelMap,
    one: &LabelMap,
) -> LabelMap {
    let drops = !binary.op.is_comparison() || binary.return_bool;
    let mut labels = if drops { nameless(many) } else { many.clone() };
    if matching.card == Card::OneToOne {
        labels
            .retain(|name, _| matching.labels.iter().any(|label| **label == **name) == matching.on);
    }
    for name in &matching.include {
        set(&mut labels, name, one.get(&**name).cloned().unwrap_or_default());
    }
    labels
}

/// The labels of the group that a series falls into.
pub fn group_of(aggregate: &Aggregate, labels: &LabelMap) -> LabelMap {
    let held = |name: &str| aggregate.grouping.iter().any(|label| **label == *name);
    let keep = |name: &str| {
        if aggregate.without { name != "__name__" && !held(name) } else { held(name) }
    };
    let kept = labels.iter().filter(|(name, _)| keep(name));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

pub fn aggregate(
    aggregate: &Aggregate,
    vector: &Vector,
    param: f64,
    value_label: &str,
) -> Result<Vector> {
    use AggregateOp::*;
    if matches!(aggregate.op, Topk | Bottomk | Limitk | LimitRatio) {
        return Err(Failure::Unknown); // Of an empty vector, too: the parameter is judged first.
    }
    let mut groups: BTreeMap<LabelMap, Vec<f64>> = BTreeMap::new();
    for (labels, &value) in vector {
        groups.entry(group_of(aggregate, labels)).or_default().push(value);
    }
    let mut out = Vector::new();
    for (labels, values) in groups {
        let count = values.len() as f64;
        let best = |beats: fn(f64, f64) -> bool| {
            values.iter().copied().reduce(|best, value| {
                if beats(value, best) || best.is_nan() { value } else { best }
            })
        };
        let value = match aggregate.op {
            Sum => values.iter().sum(),
            Avg => values.iter().sum::<f64>() / count,
            Count => count,
            Group => 1.0,
            Min => best(|a, b| a < b).unwrap_or(f64::NAN),
            Max => best(|a, b| a > b).unwrap_or(f64::NAN),
            Stdvar => variance(&values),
            Stddev => variance(&values).sqrt(),
            Quantile => quantile(param, values),
            CountValues => {
                for value in values {
                    if value.fract() != 0.0 {
                        // The last digit of a sum would be a label.
                        return Err(Failure::Unknown);
                    }
                    let mut labels = labels.clone();
                    let text = engine::model::float::format_f(value);
                    set(&mut labels, value_label, text);
                    *out.entry(labels).or_default() += 1.0;
                }
                continue;
            }
            Topk | Bottomk | Limitk | LimitRatio => unreachable!("given up above"),
        };
        out.insert(labels, value);
    }
    Ok(out)
}
