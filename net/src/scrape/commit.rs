//! What the shards refused of a scrape.

use engine::head::Verdict;
use engine::model::Batch;
use shards::IngestReport;

/// Refusals among the samples of a page.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Refused {
    pub out_of_order: u64,
    pub duplicates: u64,
    pub out_of_bounds: u64,
    /// All of them.
    pub count: u64,
    /// Hashes of the series whose sample may be the first that they ever had. Where a page shows one
    /// series twice, the series is there all the same.
    pub hashes: Vec<u64>,
}

impl Refused {
    /// Adds what became of `batch`, of those samples that `is_told` names by their index. `time_ms`
    /// is that of samples without a timestamp of their own.
    pub fn add(
        &mut self,
        batch: &Batch,
        report: &IngestReport,
        time_ms: i64,
        is_told: impl Fn(usize) -> bool,
    ) {
        for refusal in report.refused.iter().filter(|refusal| is_told(refusal.sample as usize)) {
            let sample = refusal.sample as usize;
            let mut is_known = false;
            match refusal.verdict {
                Verdict::Accepted | Verdict::Late | Verdict::Repeated => continue,
                Verdict::OutOfOrder => self.out_of_order += 1,
                Verdict::Duplicate { .. }
                | Verdict::DuplicateOfHistogram { .. }
                | Verdict::DuplicateHistogram => {
                    self.duplicates += 1;
                    is_known = batch.timestamps_ms()[sample] == time_ms;
                }
                Verdict::OutOfBounds | Verdict::TooOld | Verdict::TooFarInFuture => {
                    self.out_of_bounds += 1;
                }
                Verdict::SeriesLimit
                | Verdict::MemoryLimit
                | Verdict::LabelsTooLong
                | Verdict::InvalidHistogram => {}
            }
            self.count += 1;
            if !is_known {
                let series = batch.sample_series()[sample];
                self.hashes.push(batch.hashes()[series as usize]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use engine::head::Refusal;
    use engine::model::Labels;

    use super::*;

    #[track_caller]
    fn check(verdict: Verdict, sample_ms: i64, expected: &str) {
        let mut batch = Batch::default();
        let labels = Labels::from_pairs([("__name__", "a")]);
        let series = batch.push_series(labels.as_ref());
        batch.push_sample(series, sample_ms, 1.0);
        let refused = vec![Refusal { sample: 0, verdict }];
        let report = IngestReport { refused, ..IngestReport::default() };
        let mut refused = Refused::default();
        refused.add(&batch, &report, 1000, |_| true);
        let Refused { out_of_order, duplicates, out_of_bounds, count, hashes } = refused;
        let kinds = format!("{out_of_order}{duplicates}{out_of_bounds}");
        assert_eq!(format!("{kinds} of {count}, {} new again", hashes.len()), expected);
    }

    #[test]
    fn refusals_are_counted() {
        check(Verdict::OutOfOrder, 1000, "100 of 1, 1 new again");
        check(Verdict::TooOld, 1000, "001 of 1, 1 new again");
        check(Verdict::MemoryLimit, 1000, "000 of 1, 1 new again");
        check(Verdict::Accepted, 1000, "000 of 0, 0 new again");
        // A series twice on the page, and a sample that was there before.
        check(Verdict::DuplicateHistogram, 1000, "010 of 1, 0 new again");
        check(Verdict::DuplicateHistogram, 900, "010 of 1, 1 new again");
    }
}
