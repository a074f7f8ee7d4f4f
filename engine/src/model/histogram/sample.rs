//! A native histogram as a sample of a series: staleness, sameness, and what is known about resets
//! once it stands behind another.

use super::error::{Error, ErrorKind};
use super::reset::any_smaller;
use super::{CounterReset, FloatHistogram, SCHEMA_CUSTOM, SCHEMA_MAX, SCHEMA_RESERVED_MAX};
use crate::model::sample::{STALE_NAN_BITS, is_stale_nan, stale_nan};

/// A native histogram on its way in. Counts are floats also where the sender's were integers:
/// that is what queries compute with, and `is_integer` says which form to give back.
#[derive(Clone, Debug, Default)]
pub struct HistogramSample {
    pub histogram: FloatHistogram,
    pub is_integer: bool,
}

impl HistogramSample {
    /// The staleness marker of a series of histograms: nothing but the bits of its sum.
    pub fn stale(is_integer: bool) -> HistogramSample {
        let histogram = FloatHistogram { sum: stale_nan(), ..FloatHistogram::default() };
        HistogramSample { histogram, is_integer }
    }

    pub fn is_stale(&self) -> bool {
        is_stale_nan(self.histogram.sum)
    }

    /// Whether both are the same sample: a retry. Staleness markers of one form are.
    pub fn equals(&self, other: &HistogramSample) -> bool {
        self.is_integer == other.is_integer
            && (self.is_stale() && other.is_stale() || self.histogram.equals(&other.histogram))
    }

    /// Merges buckets of a schema that is finer than what is computed with. A histogram whose spans
    /// do not fit its buckets stays as it is: it is not valid.
    pub fn reduce_to_known_schema(&mut self) {
        if (SCHEMA_MAX + 1..=SCHEMA_RESERVED_MAX).contains(&self.histogram.schema) {
            let mut reduced = self.histogram.clone();
            if reduced.reduce_resolution(SCHEMA_MAX).is_ok() {
                self.histogram = reduced;
            }
        }
    }

    /// As [`FloatHistogram::validate`]; whole counts also have to add up: see
    /// [`super::Histogram::validate`]. Exact up to 2^53.
    pub fn validate(&self) -> Result<(), Error> {
        let histogram = &self.histogram;
        histogram.validate()?;
        if !self.is_integer {
            return Ok(());
        }
        let sides = [&histogram.positive, &histogram.negative];
        let in_buckets: f64 = sides.iter().flat_map(|side| &side.buckets).sum();
        let found = in_buckets + histogram.zero_count;
        let kind = if histogram.sum.is_nan() {
            (found > histogram.count).then_some(ErrorKind::CountNotBigEnough)
        } else {
            (found != histogram.count).then_some(ErrorKind::CountMismatch)
        };
        kind.map_or(Ok(()), |kind| Err(Error::miscounted(kind, found, histogram.count)))
    }

    /// What is known about resets when this sample is stored behind `previous`, the series' sample
    /// just before it; `None` when that is no histogram, or there is none. It is what the chunks of
    /// Prometheus know: a chunk's header says it of the first sample, the later ones had no reset,
    /// and a new chunk begins wherever samples do not go together.
    ///
    /// Source: Prometheus `tsdb/chunkenc/{histogram,float_histogram}.go`, `appendable`.
    pub fn reset_behind(&self, previous: Option<&HistogramSample>) -> CounterReset {
        let own = &self.histogram;
        if own.sum.to_bits() == STALE_NAN_BITS {
            return CounterReset::Unknown;
        }
        if own.counter_reset == CounterReset::Gauge {
            return CounterReset::Gauge;
        }
        let is_told = own.counter_reset == CounterReset::Reset;
        let told = if is_told { CounterReset::Reset } else { CounterReset::Unknown };
        let Some(before) = previous.filter(|previous| previous.is_integer == self.is_integer)
        else {
            return told;
        };
        let before = &before.histogram;
        if before.counter_reset == CounterReset::Gauge && !is_stale_nan(before.sum) {
            let kept = if self.is_integer { CounterReset::NotReset } else { CounterReset::Unknown };
            return kept;
        }
        if is_told || is_stale_nan(before.sum) {
            return told;
        }
        if own.count < before.count {
            return CounterReset::Reset;
        }
        if own.schema != before.schema || own.zero_threshold != before.zero_threshold {
            return CounterReset::Unknown;
        }
        let has_other_bounds =
            own.schema == SCHEMA_CUSTOM && own.custom_bounds != before.custom_bounds;
        let is_reset = has_other_bounds
            || own.zero_count < before.zero_count
            || any_smaller(own.positive.iter(), before.positive.iter())
            || any_smaller(own.negative.iter(), before.negative.iter());
        if is_reset { CounterReset::Reset } else { CounterReset::NotReset }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Side, Span};
    use super::*;

    fn sample(is_integer: bool, buckets: &[f64]) -> HistogramSample {
        let spans = vec![Span { offset: 0, length: buckets.len() as u32 }];
        let histogram = FloatHistogram {
            schema: 1,
            count: buckets.iter().sum(),
            sum: 7.5,
            positive: Side { spans, buckets: buckets.to_vec() },
            ..FloatHistogram::default()
        };
        HistogramSample { histogram, is_integer }
    }

    #[track_caller]
    fn check(
        change: impl Fn(&mut HistogramSample, &mut HistogramSample),
        integer: CounterReset,
        float: CounterReset,
    ) {
        for (is_integer, expected) in [(true, integer), (false, float)] {
            let mut before = sample(is_integer, &[1.0, 2.0, 0.0]);
            let mut own = sample(is_integer, &[1.0, 3.0, 0.0]);
            change(&mut before, &mut own);
            assert_eq!(own.reset_behind(Some(&before)), expected, "integer: {is_integer}");
        }
    }

    #[test]
    fn resets_are_known_as_chunks_of_prometheus_tell_them() {
        use CounterReset::*;
        assert_eq!(sample(true, &[1.0]).reset_behind(None), Unknown);
        check(|_, _| {}, NotReset, NotReset);
        check(|_, own| own.histogram.counter_reset = Reset, Reset, Reset);
        check(|_, own| own.histogram.counter_reset = NotReset, NotReset, NotReset);
        check(|_, own| own.histogram.counter_reset = Gauge, Gauge, Gauge);
        check(|before, _| before.histogram.counter_reset = Gauge, NotReset, Unknown);
        check(|before, _| *before = HistogramSample::stale(before.is_integer), Unknown, Unknown);
        check(|_, own| *own = HistogramSample::stale(own.is_integer), Unknown, Unknown);
        check(|before, _| before.is_integer = !before.is_integer, Unknown, Unknown);
        check(|before, _| before.histogram.schema = 2, Unknown, Unknown);
        check(|before, _| before.histogram.zero_threshold = 0.5, Unknown, Unknown);
        check(|before, _| before.histogram.zero_count = 1.0, Reset, Reset);
        check(|before, _| before.histogram.count = 9.0, Reset, Reset);
        check(|before, _| before.histogram.positive.buckets[2] = 1.0, Reset, Reset);
        // A bucket that is gone was empty.
        let shorter = |_: &mut HistogramSample, own: &mut HistogramSample| {
            own.histogram.positive.spans[0].length = 2;
            own.histogram.positive.buckets.pop();
        };
        check(shorter, NotReset, NotReset);
    }

    #[test]
    fn whole_counts_have_to_add_up() {
        let mut whole = sample(true, &[1.0, 2.0]);
        assert_eq!(whole.validate(), Ok(()));
        whole.histogram.count = 4.0;
        let text = "3 observations found in buckets, but the Count field is 4: histogram's \
                    observation count should equal the number of observations found in the \
                    buckets (in absence of NaN)";
        assert_eq!(whole.validate().unwrap_err().to_string(), text);
        whole.histogram.sum = f64::NAN;
        assert_eq!(whole.validate(), Ok(()));
        whole.is_integer = false;
        whole.histogram.sum = 1.0;
        assert_eq!(whole.validate(), Ok(()));
    }
}
