//! Classic histograms as native ones with custom bounds: what `load_with_nhcb` loads beside them.
//!
//! Source: Prometheus `promql/promqltest/test.go`, `appendCustomHistogram`, and
//! `util/convertnhcb`.

use std::collections::BTreeMap;

use engine::model::histogram::{SCHEMA_CUSTOM, Side, Span};
use engine::model::{FloatHistogram, Labels, LabelsBuilder};
use engine::promql::series::Element;

use super::script::Load;

/// What is known of one histogram at one time.
#[derive(Default)]
struct Classic {
    /// Bounds with the observations up to them, in the order in which they came.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
}

/// The histograms that the classic series of `load` make up.
pub fn convert(load: &Load) -> Result<Vec<(Labels, i64, FloatHistogram)>, String> {
    let mut classics: BTreeMap<(Labels, i64), Classic> = BTreeMap::new();
    for series in &load.series {
        let name = series.labels.as_ref().metric_name();
        let suffixes = [&b"_bucket"[..], b"_count", b"_sum"];
        let found = suffixes.iter().find_map(|suffix| Some((*suffix, name.strip_suffix(*suffix)?)));
        let Some((suffix, base)) = found else { continue };
        let bound = String::from_utf8_lossy(series.labels.as_ref().get(b"le")).parse::<f64>();
        let mut builder = LabelsBuilder::from_labels(series.labels.as_ref());
        builder.set(b"__name__", base);
        builder.remove(b"le");
        let labels = builder.finish();
        for (index, value) in series.values.iter().enumerate() {
            let Element::Float(value) = *value else { continue };
            let time_ms = index as i64 * load.gap_ms;
            let classic = classics.entry((labels.clone(), time_ms));
            match (suffix, &bound) {
                (b"_count", _) => classic.or_default().count = Some(value),
                (b"_sum", _) => classic.or_default().sum = value,
                (_, Ok(bound)) if !bound.is_nan() => {
                    classic.or_default().buckets.push((*bound, value));
                }
                _ => {}
            }
        }
    }
    let native = |((labels, time_ms), classic): ((Labels, i64), Classic)| {
        let histogram = classic.native().map_err(|message| format!("{labels}: {message}"))?;
        Ok((labels, time_ms, histogram))
    };
    classics.into_iter().map(native).collect()
}

impl Classic {
    fn native(mut self) -> Result<FloatHistogram, String> {
        self.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        self.buckets.dedup_by_key(|bucket| bucket.0);
        let highest = self.buckets.last().copied();
        let count = self.count.or(highest.map(|(_, count)| count)).unwrap_or(0.0);
        if highest.is_none_or(|(bound, _)| bound != f64::INFINITY) {
            self.buckets.push((f64::INFINITY, count));
        }
        let mut below = 0.0;
        let mut counts = Vec::new();
        for &(bound, up_to) in &self.buckets {
            if up_to < below {
                return Err(format!("count of bucket {bound} is not cumulative"));
            }
            counts.push(up_to - below);
            below = up_to;
        }
        if below != count {
            return Err(format!("count mismatch: {count} and {below}"));
        }
        let bounds = self.buckets.iter().map(|(bound, _)| *bound).filter(|bound| bound.is_finite());
        let spans = vec![Span { offset: 0, length: counts.len() as u32 }];
        let mut histogram = FloatHistogram {
            schema: SCHEMA_CUSTOM,
            count,
            sum: self.sum,
            positive: Side { spans, buckets: counts },
            custom_bounds: bounds.collect(),
            ..FloatHistogram::default()
        };
        histogram.compact(2);
        histogram.validate().map_err(|error| error.to_string())?;
        Ok(histogram)
    }
}
