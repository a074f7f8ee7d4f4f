//! Hands a scrape's batch to the shards and sorts what they refused.

use engine::head::{LateSamples, Verdict};
use engine::model::Batch;
use shards::{IngestError, IngestOptions, Shard};

/// Refusals among the samples of a page.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Refused {
    pub out_of_order: u64,
    pub duplicates: u64,
    pub out_of_bounds: u64,
    /// Hashes of the series concerned.
    pub hashes: Vec<u64>,
}

/// Stores `batch` without waiting for its log frame. Only refusals among its first `page_count`
/// samples are told: staleness markers and reports are refused as a matter of course when a target
/// comes back.
pub async fn commit(
    shard: &Shard,
    batch: &Batch,
    page_count: usize,
) -> Result<Refused, IngestError> {
    let mut refused = Refused::default();
    if batch.is_empty() {
        return Ok(refused);
    }
    // How far ahead a sample may be was judged when the page was read.
    let options = IngestOptions {
        wait: false,
        max_timestamp_ms: i64::MAX,
        late: LateSamples::MarkersRefused,
    };
    let report = shard.ingest(batch, options).await?;
    for refusal in report.refused {
        if refusal.sample as usize >= page_count {
            continue;
        }
        match refusal.verdict {
            Verdict::Accepted | Verdict::Late | Verdict::Repeated => continue,
            Verdict::OutOfOrder => refused.out_of_order += 1,
            Verdict::Duplicate { .. }
            | Verdict::DuplicateOfHistogram { .. }
            | Verdict::DuplicateHistogram => refused.duplicates += 1,
            Verdict::OutOfBounds | Verdict::TooOld | Verdict::TooFarInFuture => {
                refused.out_of_bounds += 1;
            }
            Verdict::SeriesLimit
            | Verdict::MemoryLimit
            | Verdict::LabelsTooLong
            | Verdict::InvalidHistogram => {}
        }
        let series = batch.sample_series()[refusal.sample as usize];
        refused.hashes.push(batch.hashes()[series as usize]);
    }
    Ok(refused)
}
