//! What time each segment of a log reaches to, and from which segments on it can be understood:
//! what retention asks before it removes segments.

use std::collections::BTreeMap;

use super::SegmentNumber;

/// Segments of a log that still exist.
#[derive(Clone, Debug, Default)]
pub struct SegmentSpans {
    segments: BTreeMap<SegmentNumber, Span>,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    /// Newest sample here or in an earlier segment: frames may move one segment on when a write
    /// fails, so what is said of a segment holds for the ones before it as well.
    max_ms: i64,
    /// Nothing before this segment is needed to understand it and the later ones.
    is_start: bool,
}

impl SegmentSpans {
    /// Takes in that `segment` has samples up to `max_ms`; `is_start` if it needs no earlier one.
    pub fn record(&mut self, segment: SegmentNumber, max_ms: i64, is_start: bool) {
        let before = self.segments.range(..=segment).next_back();
        let max_ms = before.map_or(max_ms, |(_, span)| span.max_ms.max(max_ms));
        let span = self.segments.entry(segment).or_insert(Span { max_ms, is_start });
        span.max_ms = max_ms;
        span.is_start |= is_start;
    }

    /// Forgets and returns the segment up to which (exclusively) nothing is needed any more when
    /// samples before `before_ms` are not.
    pub fn take_passed(&mut self, before_ms: i64) -> Option<SegmentNumber> {
        let mut end = None;
        let mut newest_ms = i64::MIN;
        for (&segment, span) in &self.segments {
            if span.is_start && newest_ms < before_ms {
                end = Some(segment);
            }
            newest_ms = newest_ms.max(span.max_ms);
        }
        let end = end.filter(|end| self.segments.range(..end).next().is_some())?;
        self.segments = self.segments.split_off(&end);
        Some(end)
    }
}

#[cfg(test)]
mod tests {
    use super::SegmentSpans;

    #[test]
    fn segments_go_when_their_time_has_passed_and_nothing_needs_them() {
        let mut spans = SegmentSpans::default();
        for (segment, max_ms, is_start) in
            [(3, 100, true), (4, 200, false), (5, 150, true), (6, 300, false), (7, 400, true)]
        {
            spans.record(segment, max_ms, is_start);
        }
        spans.record(7, 410, false);
        assert_eq!(spans.take_passed(100), None);
        assert_eq!(spans.take_passed(200), None);
        assert_eq!(spans.take_passed(201), Some(5));
        assert_eq!(spans.take_passed(201), None);
        assert_eq!(spans.take_passed(300), None);
        // The last segment is in use: it stays.
        assert_eq!(spans.take_passed(i64::MAX), Some(7));
        assert_eq!(spans.take_passed(i64::MAX), None);
    }
}
