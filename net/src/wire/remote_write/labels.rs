//! The labels of one series on their way from the wire to canonical form: judged, sorted if the
//! sender did not, written.

use engine::limits::{LABEL_COUNT_MAX, LABEL_SET_BYTES_MAX};
use engine::model::labels::METRIC_NAME;

use super::proto::Text;
use crate::wire::quote::labels_text;

/// Scratch for the labels of one series.
#[derive(Clone, Debug, Default)]
pub(super) struct LabelChecker {
    labels: Vec<(Text, Text)>,
    canonical_bytes: usize,
}

/// Why a label set is none of a series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LabelFault {
    /// No name of a metric, or a name that is empty or not UTF-8, or a value that is not UTF-8.
    Invalid,
    /// The position of the second label of one name.
    Duplicate(usize),
    /// More labels or bytes than a series may have.
    TooLarge,
}

impl LabelChecker {
    pub fn clear(&mut self) {
        self.labels.clear();
        self.canonical_bytes = 0;
    }

    #[inline]
    pub fn push(&mut self, name: Text, value: Text) {
        self.canonical_bytes += name.canonical_bytes_max() + value.canonical_bytes_max();
        self.labels.push((name, value));
    }

    /// Bytes that [`LabelChecker::write`] writes at most.
    pub fn canonical_bytes_max(&self) -> usize {
        self.canonical_bytes
    }

    /// Judges the labels and leaves them sorted by name.
    ///
    /// `is_text`: all are known to be UTF-8. `is_sorted`: the names are known to ascend strictly.
    /// A `false` where it could be true costs a look at the bytes; the reverse is a bug.
    #[inline]
    pub fn check(
        &mut self,
        request: &[u8],
        is_text: bool,
        is_sorted: bool,
    ) -> Result<(), LabelFault> {
        if self.labels.len() > LABEL_COUNT_MAX || self.canonical_bytes > LABEL_SET_BYTES_MAX {
            return Err(LabelFault::TooLarge);
        }
        let is_sorted = is_sorted || self.is_sorted(request);
        if !is_sorted {
            self.labels.sort_by(|(a, _), (b, _)| a.span.of(request).cmp(b.span.of(request)));
        }
        let mut has_metric = false;
        for &(name, value) in &self.labels {
            if name.is_empty() {
                return Err(LabelFault::Invalid);
            }
            if name.span.end - name.span.start == METRIC_NAME.len() as u32
                && name.span.of(request) == METRIC_NAME
            {
                has_metric = !value.is_empty();
            }
        }
        let is_utf8 = |text: Text| simdutf8::basic::from_utf8(text.span.of(request)).is_ok();
        let is_text =
            is_text || self.labels.iter().all(|&(name, value)| is_utf8(name) && is_utf8(value));
        if !has_metric || !is_text {
            return Err(LabelFault::Invalid);
        }
        if !is_sorted {
            let twice = self
                .labels
                .windows(2)
                .position(|pair| pair[0].0.span.of(request) == pair[1].0.span.of(request));
            if let Some(index) = twice {
                return Err(LabelFault::Duplicate(index + 1));
            }
        }
        Ok(())
    }

    /// Whether names ascend strictly, so that none stands twice.
    fn is_sorted(&self, request: &[u8]) -> bool {
        self.labels.windows(2).all(|pair| {
            let (a, b) = (pair[0].0.span.of(request), pair[1].0.span.of(request));
            // The first bytes decide most pairs and spare the call.
            match (a.first(), b.first()) {
                (Some(a), Some(b)) if a != b => a < b,
                _ => a < b,
            }
        })
    }

    /// Appends the canonical form of labels that were found valid. Empty values do not exist.
    #[inline]
    pub fn write(&self, request: &[u8], out: &mut Vec<u8>) {
        out.reserve(self.canonical_bytes);
        for &(name, value) in &self.labels {
            if !value.is_empty() {
                name.push_canonical(request, out);
                value.push_canonical(request, out);
            }
        }
    }

    /// The labels as Prometheus's messages show them.
    pub fn text(&self, request: &[u8]) -> String {
        let pairs = self.labels.iter();
        labels_text(pairs.map(|(name, value)| (name.span.of(request), value.span.of(request))))
    }

    /// The name of label `index`, for messages.
    pub fn name_text(&self, request: &[u8], index: usize) -> String {
        String::from_utf8_lossy(self.labels[index].0.span.of(request)).into_owned()
    }
}
