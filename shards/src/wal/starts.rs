//! The first LSN of each segment of a log: what a flush asks before it removes segments.

use std::collections::BTreeMap;

use super::SegmentNumber;

/// Segments of a log that still exist. Frames may move to later segments when a write fails, never
/// to earlier ones: so all frames of a segment and those before it are older than what is said of
/// the next one.
#[derive(Clone, Debug, Default)]
pub struct SegmentStarts(BTreeMap<SegmentNumber, u64>);

impl SegmentStarts {
    /// Takes in that a frame stands in `segment`. The first one counts.
    pub fn record(&mut self, segment: SegmentNumber, lsn: u64) {
        self.0.entry(segment).or_insert(lsn);
    }

    /// Forgets the segments whose frames are all before `lsn`; returns the first that stays.
    /// `None`: there is none to remove. The last segment always stays.
    pub fn take_before(&mut self, lsn: u64) -> Option<SegmentNumber> {
        let (&end, _) = self.0.iter().rev().find(|&(_, &first_lsn)| first_lsn <= lsn)?;
        self.0.range(..end).next()?;
        self.0 = self.0.split_off(&end);
        Some(end)
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::SegmentStarts;

    #[test]
    fn segments_go_when_all_their_frames_are_older() {
        let mut starts = SegmentStarts::default();
        for (segment, lsn) in [(3, 10), (3, 11), (4, 20), (6, 35), (6, 36)] {
            starts.record(segment, lsn);
        }
        assert_eq!(starts.take_before(9), None);
        assert_eq!(starts.take_before(19), None);
        assert_eq!(starts.take_before(20), Some(4));
        assert_eq!(starts.take_before(34), None);
        assert_eq!(starts.take_before(u64::MAX), Some(6));
        assert_eq!((starts.take_before(u64::MAX), starts.count()), (None, 1));
    }
}
