//! What a query read and held, in samples and bytes: the bounds and the statistics.
//!
//! Counted as Prometheus counts: a point of a row is one sample, a window holds its samples while
//! it stands over them. Shards count by themselves, the gatherer adds them up, so a query over
//! several shards ends at the bound a little later than on one.

use crate::kernels;
use crate::plan::grid::{Grid, Lookup};

use super::bits::only_run;
use super::error::ExecError;

/// Columns may have as many cells for each sample that may be held: a sample and its time are 16
/// bytes in Prometheus, a cell is 8.
const CELLS_PER_SAMPLE: usize = 2;

/// Samples by step of a grid: two columns of equal length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepCounts {
    /// Looked at: a window counts all of its samples at each step.
    pub queryable: Vec<u64>,
    /// Read from sources: a window that slides counts what it takes in.
    pub read: Vec<u64>,
}

impl StepCounts {
    pub fn new(step_count: usize) -> StepCounts {
        StepCounts { queryable: vec![0; step_count], read: vec![0; step_count] }
    }

    pub fn step_count(&self) -> usize {
        self.queryable.len()
    }

    /// Nothing, at each of `step_count` steps.
    pub fn reset(&mut self, step_count: usize) {
        for column in [&mut self.queryable, &mut self.read] {
            column.clear();
            column.resize(step_count, 0);
        }
    }

    /// At least so many steps.
    pub fn grow(&mut self, step_count: usize) {
        let step_count = step_count.max(self.step_count());
        self.queryable.resize(step_count, 0);
        self.read.resize(step_count, 0);
    }

    /// Adds what was counted on the same grid.
    pub fn add(&mut self, other: &StepCounts) {
        self.grow(other.step_count());
        for (totals, added) in
            [(&mut self.queryable, &other.queryable), (&mut self.read, &other.read)]
        {
            totals.iter_mut().zip(added).for_each(|(total, added)| *total += added);
        }
    }

    /// Adds samples that are read where they are looked at.
    pub fn count(&mut self, step: usize, samples: u64) {
        self.queryable[step] += samples;
        self.read[step] += samples;
    }
}

/// What was read for the steps of a subquery, by the steps of the `outer` grid whose windows of
/// `range_ms` look at them first; what lies between windows was read for nothing and counts for
/// nothing.
///
/// Source: Prometheus `util/stats/query_stats.go`, `MergeSamplesReadFromSubquery`.
pub fn read_through_window(
    read: &[u64],
    inner: Grid,
    range_ms: i64,
    lookup: Lookup,
    outer: Grid,
) -> Vec<u64> {
    let mut by_step = vec![0; outer.step_count];
    if outer.step_count <= 1 {
        by_step.iter_mut().for_each(|total| *total = read.iter().sum());
        return by_step;
    }
    let behind_ms = match lookup {
        Lookup::Offset { ms } => ms,
        Lookup::At { .. } => 0,
    };
    for (step, &samples) in read.iter().enumerate() {
        let at_ms = inner.time_ms(step).saturating_add(behind_ms);
        let since_ms = at_ms.saturating_sub(outer.start_ms).max(0);
        let first = since_ms / outer.step_ms + i64::from(since_ms % outer.step_ms > 0);
        let first = (first as usize).min(outer.step_count - 1);
        if at_ms > outer.time_ms(first).saturating_sub(range_ms) {
            by_step[first] += samples;
        }
    }
    by_step
}

/// Samples of one evaluation, or of one shard's part of it.
#[derive(Clone, Debug)]
pub struct SampleStats {
    pub per_step: StepCounts,
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
        let (bytes, bytes_max) = (0, usize::MAX);
        SampleStats {
            per_step: StepCounts::new(step_count),
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

    /// Counts a sample, looked at and not read, for every step whose bit is set.
    pub fn look_at_points(&mut self, present: &[u64]) {
        let words = self.per_step.queryable.chunks_mut(u64::BITS as usize).zip(present);
        for (counts, &word) in words {
            if let Some(run) = only_run(word) {
                kernels::increment(&mut counts[run]); // The commonest case.
                continue;
            }
            for (bit, count) in counts.iter_mut().enumerate() {
                *count += word >> bit & 1;
            }
        }
    }

    pub fn queryable(&self) -> u64 {
        self.per_step.queryable.iter().sum()
    }

    pub fn read(&self) -> u64 {
        self.per_step.read.iter().sum()
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
        self.hold_bytes(part.bytes)?;
        self.hold(part.current)
    }
}
