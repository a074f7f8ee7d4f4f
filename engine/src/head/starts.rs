//! Start timestamps of a series: since when what it counts is counted. They change seldom.

/// Start timestamps by the samples they belong to: each holds from its sample to the next entry's.
#[derive(Clone, Debug, Default)]
pub(super) struct Starts {
    /// Timestamp of the first sample, and its start; zero is unknown. Ascending.
    changes: Vec<(i64, i64)>,
}

impl Starts {
    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The start of a sample that is newer than all before it.
    pub(super) fn push(&mut self, timestamp_ms: i64, start_ms: i64) {
        let known_ms = self.changes.last().map_or(0, |&(_, start_ms)| start_ms);
        if known_ms != start_ms {
            self.changes.push((timestamp_ms, start_ms));
        }
    }

    /// Appends the starts of samples at `timestamps_ms`, which ascend; so many as `out` lacks of
    /// `count` before them have none.
    pub(super) fn read(&self, timestamps_ms: &[i64], before_count: usize, out: &mut Vec<i64>) {
        if self.is_empty() {
            return;
        }
        out.resize(before_count, 0);
        let mut next = 0;
        let mut start_ms = 0;
        for &timestamp_ms in timestamps_ms {
            while let Some(&(since_ms, changed_ms)) = self.changes.get(next)
                && since_ms <= timestamp_ms
            {
                start_ms = changed_ms;
                next += 1;
            }
            out.push(start_ms);
        }
    }

    /// Forgets what no sample at or after `before_ms` needs.
    pub(super) fn expire(&mut self, before_ms: i64) {
        let passed = self.changes.partition_point(|&(since_ms, _)| since_ms <= before_ms);
        self.changes.drain(..passed.saturating_sub(1));
    }

    pub(super) fn bytes(&self) -> usize {
        self.changes.capacity() * size_of::<(i64, i64)>()
    }
}

#[cfg(test)]
mod tests {
    use super::Starts;

    #[test]
    fn each_sample_has_the_start_that_was_said_with_it() {
        let mut starts = Starts::default();
        let said = [(10, 0), (20, 5), (30, 5), (40, 0), (50, 45), (60, 45)];
        said.iter().for_each(|&(timestamp_ms, start_ms)| starts.push(timestamp_ms, start_ms));
        let read = |starts: &Starts, timestamps_ms: &[i64]| {
            let mut out = vec![];
            starts.read(timestamps_ms, 1, &mut out);
            out
        };
        assert_eq!(read(&starts, &[10, 20, 30, 40, 50, 60]), [0, 0, 5, 5, 0, 45, 45]);
        starts.expire(55);
        assert_eq!(read(&starts, &[60]), [0, 45]);
        assert_eq!(starts.changes, [(50, 45)]);
        assert_eq!(read(&Starts::default(), &[60]), [0i64; 0]);
    }
}
