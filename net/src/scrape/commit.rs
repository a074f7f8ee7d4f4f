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
    /// Hashes of the series concerned.
    pub hashes: Vec<u64>,
}

impl Refused {
    /// Adds what became of `batch`, of those samples that `is_told` names by their index.
    pub fn add(&mut self, batch: &Batch, report: &IngestReport, is_told: impl Fn(usize) -> bool) {
        for refusal in report.refused.iter().filter(|refusal| is_told(refusal.sample as usize)) {
            match refusal.verdict {
                Verdict::Accepted | Verdict::Late | Verdict::Repeated => continue,
                Verdict::OutOfOrder => self.out_of_order += 1,
                Verdict::Duplicate { .. }
                | Verdict::DuplicateOfHistogram { .. }
                | Verdict::DuplicateHistogram => self.duplicates += 1,
                Verdict::OutOfBounds | Verdict::TooOld | Verdict::TooFarInFuture => {
                    self.out_of_bounds += 1;
                }
                Verdict::SeriesLimit
                | Verdict::MemoryLimit
                | Verdict::LabelsTooLong
                | Verdict::InvalidHistogram => {}
            }
            let series = batch.sample_series()[refusal.sample as usize];
            self.hashes.push(batch.hashes()[series as usize]);
        }
    }
}
