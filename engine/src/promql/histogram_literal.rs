//! Histograms of series descriptions as the histograms they stand for.
//!
//! Source: Prometheus `promql/parser/parse.go`, `buildHistogramFromMap`, `histogramsSeries`.

use crate::model::FloatHistogram;
use crate::model::histogram::{CounterReset, Side, Span};

use super::series::{CounterResetHint, HistogramLiteral, SequenceValue};

/// One value of a sequence, after its runs are written out.
#[derive(Clone, Debug)]
pub enum Element {
    Omitted,
    Float(f64),
    Histogram {
        histogram: FloatHistogram,
        /// What it says about resets was written, so a comparison looks at it.
        hint_written: bool,
    },
}

/// Writes out the runs of `values`. Errors: histograms of a run that do not go together.
pub fn expand(values: &[SequenceValue]) -> Result<Vec<Element>, String> {
    let mut elements = Vec::new();
    for value in values {
        match value {
            SequenceValue::Omitted => elements.push(Element::Omitted),
            SequenceValue::Float(value) => elements.push(Element::Float(*value)),
            SequenceValue::Histogram(literal) => {
                let hint_written = literal.counter_reset_hint.is_some();
                let histogram = literal.to_histogram();
                elements.push(Element::Histogram { histogram, hint_written });
            }
            SequenceValue::HistogramRun { base, step, subtract, times } => {
                // What counts is whether the step, which is read last, says it.
                let hint_written = step.counter_reset_hint.is_some();
                let (mut histogram, step) = (base.to_histogram(), step.to_histogram());
                elements.push(Element::Histogram { histogram: histogram.clone(), hint_written });
                for _ in 0..*times {
                    let merged =
                        if *subtract { histogram.sub(&step) } else { histogram.add(&step) };
                    merged.map_err(|error| error.to_string())?;
                    let histogram = histogram.clone();
                    elements.push(Element::Histogram { histogram, hint_written });
                }
            }
        }
    }
    Ok(elements)
}

impl HistogramLiteral {
    pub fn to_histogram(&self) -> FloatHistogram {
        let side = |buckets: &[f64], offset: i32| {
            let length = buckets.len() as u32;
            let span = (length > 0).then_some(Span { offset, length });
            Side { spans: span.into_iter().collect(), buckets: buckets.to_vec() }
        };
        FloatHistogram {
            counter_reset: match self.counter_reset_hint {
                None | Some(CounterResetHint::Unknown) => CounterReset::Unknown,
                Some(CounterResetHint::Reset) => CounterReset::Reset,
                Some(CounterResetHint::NotReset) => CounterReset::NotReset,
                Some(CounterResetHint::Gauge) => CounterReset::Gauge,
            },
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count,
            count: self.count,
            sum: self.sum,
            positive: side(&self.positive_buckets, self.positive_offset),
            negative: side(&self.negative_buckets, self.negative_offset),
            custom_bounds: self.custom_values.as_slice().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Element, expand};
    use crate::promql::series::parse_series_description;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let (_, values) = parse_series_description(text).unwrap();
        let show = |element: &Element| match element {
            Element::Omitted => "_".to_owned(),
            Element::Float(value) => value.to_string(),
            Element::Histogram { histogram, .. } => histogram.test_expression(),
        };
        let shown: Vec<String> = expand(&values).unwrap().iter().map(show).collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn runs_are_written_out() {
        let literal =
            "{{schema:1 count:3 sum:2.5 counter_reset_hint:gauge offset:-1 buckets:[1 2]}}";
        check(&format!("a 1 _ {literal}"), &["1", "_", literal]);
        let (one, two) = ("{{count:1 buckets:[1]}}", "{{count:2 buckets:[2]}}");
        check(&format!("a {one}+{one}x1"), &[one, two]);
        check(&format!("a {two}-{one}x1 {one}x1"), &[two, one, one, one]);
        check(
            "a {{schema:-53 custom_values:[5 10] buckets:[1 4]}}",
            &["{{schema:-53 custom_values:[5 10] buckets:[1 4]}}"],
        );
        let (_, mixed) =
            parse_series_description("a {{schema:-53 custom_values:[1]}}+{{schema:1}}x1").unwrap();
        assert!(expand(&mixed).is_err());
    }
}
