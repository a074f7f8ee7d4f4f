//! Warnings and infos that go beside a result, worded as Prometheus words them.
//!
//! Two annotations of the same text are one, wherever in the expression they come from; the later
//! one gives the position.
//!
//! Source: Prometheus `util/annotations/annotations.go`.

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::promql::ast::PosRange;

use super::format;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Info,
    Warning,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Annotation {
    pub severity: Severity,
    /// Without the leading `PromQL info: ` and the position.
    pub message: String,
    pub position: PosRange,
    /// What `histogram_quantile` had to mend, over all its steps and series.
    pub monotonicity: Option<Monotonicity>,
    /// How often it was met, where that is shown; else zero.
    pub count: usize,
}

/// How far buckets of classic histograms were from being monotonic.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Monotonicity {
    pub min_ms: i64,
    pub max_ms: i64,
    pub min_bucket: f64,
    pub max_bucket: f64,
    pub diff_max: f64,
    pub count: usize,
}

#[derive(Clone, Debug, Default)]
pub struct Annotations {
    list: Vec<Annotation>,
    by_message: HashMap<String, usize, RandomState>,
}

impl Annotations {
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Annotation> {
        self.list.iter()
    }

    pub fn info(&mut self, position: PosRange, message: String) {
        self.add(Annotation::new(Severity::Info, position, message));
    }

    pub fn warn(&mut self, position: PosRange, message: String) {
        self.add(Annotation::new(Severity::Warning, position, message));
    }

    pub fn add(&mut self, annotation: Annotation) {
        let Some(&index) = self.by_message.get(&annotation.message) else {
            self.by_message.insert(annotation.message.clone(), self.list.len());
            self.list.push(annotation);
            return;
        };
        let known = &mut self.list[index];
        known.position = annotation.position;
        known.count += annotation.count;
        if let (Some(known), Some(new)) = (&mut known.monotonicity, annotation.monotonicity) {
            known.min_ms = known.min_ms.min(new.min_ms);
            known.max_ms = known.max_ms.max(new.max_ms);
            known.min_bucket = known.min_bucket.min(new.min_bucket);
            known.max_bucket = known.max_bucket.max(new.max_bucket);
            known.diff_max = known.diff_max.max(new.diff_max);
            known.count += new.count;
        }
    }

    pub fn merge(&mut self, other: Annotations) {
        for annotation in other.list {
            self.add(annotation);
        }
    }

    /// Replaces every position by `placed` of it.
    pub fn place(&mut self, placed: impl Fn(PosRange) -> PosRange) {
        for annotation in &mut self.list {
            annotation.position = placed(annotation.position);
        }
    }

    /// The texts of one severity, with their positions in `query`.
    pub fn texts(&self, severity: Severity, query: &str) -> Vec<String> {
        self.list
            .iter()
            .filter(|annotation| annotation.severity == severity)
            .map(|annotation| annotation.text(query))
            .collect()
    }
}

impl Annotation {
    pub fn new(severity: Severity, position: PosRange, message: String) -> Annotation {
        Annotation { severity, message, position, monotonicity: None, count: 0 }
    }

    /// As Prometheus shows it: `PromQL warning: … (line:column)`.
    pub fn text(&self, query: &str) -> String {
        let severity = match self.severity {
            Severity::Info => "PromQL info",
            Severity::Warning => "PromQL warning",
        };
        let mut detail = self.monotonicity.map_or(String::new(), |mended| mended.text());
        if self.count > 1 {
            detail = format!(" ({} occurrences)", self.count);
        }
        format!("{severity}: {}{detail} ({})", self.message, line_column(query, self.position))
    }
}

impl Monotonicity {
    fn text(&self) -> String {
        format!(
            ", from buckets {} to {}, with a max diff of {}, over {} samples from {} to {}",
            format::shortest_g(self.min_bucket),
            format::shortest_g(self.max_bucket),
            format::two_digits_g(self.diff_max),
            self.count,
            format::rfc3339(self.min_ms.div_euclid(1000)),
            format::rfc3339(self.max_ms.div_euclid(1000)),
        )
    }
}

/// `line:column`, both from one; the column counts bytes.
fn line_column(query: &str, position: PosRange) -> String {
    let Some(before) = query.as_bytes().get(..position.start as usize) else {
        return "invalid position".to_owned();
    };
    let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|&&byte| byte != b'\n').count() + 1;
    format!("{line}:{column}")
}

#[cfg(test)]
mod tests {
    use super::{Annotations, Severity};
    use crate::promql::ast::PosRange;

    #[test]
    fn the_same_text_is_said_once_at_the_later_position() {
        let mut annotations = Annotations::default();
        annotations.warn(PosRange { start: 0, end: 1 }, "a".to_owned());
        annotations.info(PosRange { start: 0, end: 1 }, "b".to_owned());
        annotations.warn(PosRange { start: 5, end: 6 }, "a".to_owned());
        let query = "ab\ncdef";
        assert_eq!(annotations.texts(Severity::Warning, query), ["PromQL warning: a (2:3)"]);
        assert_eq!(annotations.texts(Severity::Info, query), ["PromQL info: b (1:1)"]);
    }
}
