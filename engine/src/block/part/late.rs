//! Where the late samples of a part lie: they may be years apart, and few ranges have some.

use std::collections::BTreeSet;

use super::super::error::BlockError;
use super::Part;
use crate::encode;
use crate::model::{Samples, TimeRange};

impl Part {
    /// Adds the beginning of each range of `range_ms` that has late samples within `range` to
    /// `starts`. Returns the oldest sample within it that came in order.
    ///
    /// Cost: the headers of all chunks; late chunks over a border are decoded.
    pub fn late_ranges(
        &self,
        range: TimeRange,
        range_ms: i64,
        starts: &mut BTreeSet<i64>,
    ) -> Result<Option<i64>, BlockError> {
        let begin = |time_ms: i64| time_ms.div_euclid(range_ms).saturating_mul(range_ms);
        let mut in_order_ms: Option<i64> = None;
        let mut samples = Samples::default();
        let mut runs = self.runs();
        while let Some((_, chunks)) = runs.next(self)? {
            for chunk in chunks {
                let chunk = chunk?;
                let (min_ms, max_ms) = (chunk.header.min_ms, chunk.header.max_ms);
                let (first_ms, last_ms) = (min_ms.max(range.min_ms), max_ms.min(range.max_ms));
                if first_ms > last_ms {
                    continue;
                }
                if !chunk.is_late {
                    in_order_ms = Some(in_order_ms.map_or(first_ms, |known| known.min(first_ms)));
                } else if (min_ms, max_ms) == (first_ms, last_ms) && begin(min_ms) == begin(max_ms)
                {
                    starts.insert(begin(min_ms));
                } else {
                    samples.clear();
                    let decoded = encode::decode_samples(chunk.bytes, &mut samples);
                    decoded.map_err(|_| self.broken("chunks"))?;
                    let times =
                        samples.timestamps_ms.iter().chain(&samples.histogram_timestamps_ms);
                    let within = times.filter(|&time_ms| (first_ms..=last_ms).contains(time_ms));
                    starts.extend(within.map(|&time_ms| begin(time_ms)));
                }
            }
        }
        Ok(in_order_ms)
    }
}
