//! What a query read and held, in samples and bytes: the bounds and the statistics.
//!
//! Counted as Prometheus counts: a point of a row is one sample, a window holds its samples while
//! it stands over them. Shards count by themselves, the gatherer adds them up, so a query over
//! several shards ends at the bound a little later than on one.

use super::error::ExecError;

/// Columns may have as many cells for each sample that may be held: a sample and its time are 16
/// bytes in Prometheus, a cell is 8.
const CELLS_PER_SAMPLE: usize = 2;

/// Samples of one evaluation, or of one shard's part of it.
#[derive(Clone, Debug)]
pub struct SampleStats {
    /// Samples that the steps of the query looked at; a window counts all of its samples at each
    /// step.
    pub queryable_per_step: Vec<u64>,
    /// Samples read from sources.
    pub read: u64,
    /// Most samples held at once.
    pub peak: usize,
    current: usize,
    samples_max: usize,
    /// Bytes of the columns and labels held now.
    bytes: usize,
    bytes_max: usize,
}

impl SampleStats {
    pub fn new(step_count: usize, samples_max: usize) -> SampleStats {
        let queryable_per_step = vec![0; step_count];
        let (bytes, bytes_max) = (0, usize::MAX);
        SampleStats {
            queryable_per_step,
            read: 0,
            peak: 0,
            current: 0,
            samples_max,
            bytes,
            bytes_max,
        }
    }

    /// With a bound on bytes, too.
    pub fn with_bytes_max(self, bytes_max: usize) -> SampleStats {
        SampleStats { bytes_max, ..self }
    }

    /// Holds `bytes` more.
    pub fn hold_bytes(&mut self, bytes: usize) -> Result<(), ExecError> {
        self.bytes += bytes;
        if self.bytes > self.bytes_max {
            return Err(ExecError::TooManyBytes { bytes_max: self.bytes_max });
        }
        Ok(())
    }

    pub fn release_bytes(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    pub fn held_bytes(&self) -> usize {
        self.bytes
    }

    /// Counts a sample for every step whose bit is set.
    pub fn count_points(&mut self, present: &[u64]) {
        let words = self.queryable_per_step.chunks_mut(u64::BITS as usize).zip(present);
        for (counts, &word) in words {
            if word.count_ones() as usize == counts.len() {
                // The commonest case, and a loop that becomes vector instructions.
                counts.iter_mut().for_each(|count| *count += 1);
                continue;
            }
            for (bit, count) in counts.iter_mut().enumerate() {
                *count += word >> bit & 1;
            }
        }
    }

    pub fn queryable(&self) -> u64 {
        self.queryable_per_step.iter().sum()
    }

    /// Holds `samples` more.
    pub fn hold(&mut self, samples: usize) -> Result<(), ExecError> {
        self.current += samples;
        self.peak = self.peak.max(self.current);
        if self.current > self.samples_max { Err(ExecError::TooManySamples) } else { Ok(()) }
    }

    /// Holds `samples` for a moment.
    #[inline]
    pub fn touch(&mut self, samples: usize) -> Result<(), ExecError> {
        let held = self.current + samples;
        self.peak = self.peak.max(held);
        if held > self.samples_max { Err(ExecError::TooManySamples) } else { Ok(()) }
    }

    /// Refuses columns that are mostly room: rows are dense, and many short-lived series over many
    /// steps would take far more memory than their samples.
    pub fn check_cells(&self, cells: usize) -> Result<(), ExecError> {
        if cells / CELLS_PER_SAMPLE > self.samples_max {
            return Err(ExecError::TooManySamples);
        }
        Ok(())
    }

    pub fn release(&mut self, samples: usize) {
        self.current = self.current.saturating_sub(samples);
    }

    pub fn held(&self) -> usize {
        self.current
    }

    /// Takes in what a shard counted, all of which was held beside what is held here.
    pub fn absorb(&mut self, part: &SampleStats) -> Result<(), ExecError> {
        self.peak = self.peak.max(self.current + part.peak);
        self.read += part.read;
        self.hold_bytes(part.bytes)?;
        self.hold(part.current)
    }
}
