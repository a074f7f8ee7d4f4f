//! A page in the text format as families: a metric of a summary or histogram is one, whatever the
//! number of its lines. Stricter than what scrapes take, and in the words of the library that
//! promtool uses.
//!
//! Source: prometheus/common `expfmt/text_parse.go`.

mod line;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;

use crate::wire::names::NameValidation;
use crate::wire::quote::quoted;
use crate::wire::text::go_float;
use line::Line;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FamilyType {
    Counter,
    Gauge,
    Summary,
    Untyped,
    Histogram,
    GaugeHistogram,
}

impl FamilyType {
    pub fn as_str(self) -> &'static str {
        match self {
            FamilyType::Counter => "counter",
            FamilyType::Gauge => "gauge",
            FamilyType::Summary => "summary",
            FamilyType::Untyped => "untyped",
            FamilyType::Histogram => "histogram",
            FamilyType::GaugeHistogram => "gauge_histogram",
        }
    }

    /// In any mixture of small and capital letters.
    fn parse(text: &str) -> Option<FamilyType> {
        Some(match text.to_ascii_lowercase().as_str() {
            "counter" => FamilyType::Counter,
            "gauge" => FamilyType::Gauge,
            "summary" => FamilyType::Summary,
            "untyped" => FamilyType::Untyped,
            "histogram" => FamilyType::Histogram,
            "gauge_histogram" | "gaugehistogram" => FamilyType::GaugeHistogram,
            _ => return None,
        })
    }

    /// The label that tells the lines of one metric apart.
    fn part_label(self) -> Option<&'static str> {
        match self {
            FamilyType::Summary => Some("quantile"),
            FamilyType::Histogram | FamilyType::GaugeHistogram => Some("le"),
            _ => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Family {
    pub name: String,
    pub kind: FamilyType,
    pub help: Option<String>,
    pub metrics: Vec<Metric>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Metric {
    /// In the order of the page, without `quantile` and `le` of a summary's or histogram's parts.
    pub labels: Vec<(String, String)>,
    pub timestamp_ms: Option<i64>,
    /// Of a counter, gauge or untyped metric.
    pub value: f64,
    /// Quantiles or upper bounds, with their values.
    pub parts: Vec<(f64, f64)>,
    pub sum: f64,
    pub count: f64,
}

impl Family {
    /// Series as Prometheus stores them; the first metric stands for all.
    pub fn series_count(&self) -> usize {
        match self.kind {
            FamilyType::Summary | FamilyType::Histogram => {
                let parts = self.metrics.first().map_or(0, |metric| metric.parts.len());
                self.metrics.len() * (2 + parts)
            }
            _ => self.metrics.len(),
        }
    }
}

/// Why a page is refused, and in which line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub line: usize,
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "text format parsing error in line {}: {}", self.line, self.message)
    }
}

/// Which line of a summary or histogram a sample is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Part,
    Sum,
    Count,
}

/// The families of a page, ascending by name; those without a metric are left out.
///
/// # Errors
///
/// The first line that is wrong. A page must end with a line break.
pub(super) fn families(page: &[u8]) -> Result<Vec<Family>, Fault> {
    let mut page_of = Pages::default();
    let mut rest = page;
    let mut number = 0;
    while !rest.is_empty() {
        number += 1;
        let end = memchr::memchr(b'\n', rest);
        let line = &rest[..end.unwrap_or(rest.len())];
        let fault = |message| Fault { line: number, message };
        let is_blank = line.iter().all(|byte| b" \t".contains(byte));
        match end {
            None if is_blank => break,
            None => {
                // What stands wrong in the last line counts first.
                let mut line = Line::new(line);
                let taken = page_of.take(&mut line);
                let is_over = taken.is_ok() || line.is_empty();
                let cut_off = "unexpected end of input stream".to_owned();
                return Err(fault(if is_over { cut_off } else { taken.err().unwrap_or(cut_off) }));
            }
            Some(end) => {
                if !is_blank {
                    page_of.take(&mut Line::new(line)).map_err(fault)?;
                }
                rest = &rest[end + 1..];
            }
        }
    }
    Ok(page_of.finish())
}

/// A family that may not know its type yet.
struct Open {
    kind: Option<FamilyType>,
    help: Option<String>,
    metrics: Vec<Metric>,
    /// Metrics of a summary or histogram, by their labels.
    known: HashMap<Vec<(String, String)>, usize>,
}

#[derive(Default)]
struct Pages {
    families: HashMap<String, Open>,
}

impl Pages {
    fn take(&mut self, line: &mut Line<'_>) -> Result<(), String> {
        line.skip_blanks();
        match line.peek() {
            Some(b'#') => self.take_comment(line),
            _ => self.take_sample(line),
        }
    }

    /// The family that a line of this name belongs to, and the line's role in it.
    fn find(&mut self, name: &str) -> Result<(String, Role), String> {
        if !NameValidation::Utf8.is_valid_metric_name(name.as_bytes()) {
            return Err(format!("invalid metric name {}", quoted(name.as_bytes())));
        }
        if self.families.contains_key(name) {
            return Ok((name.to_owned(), Role::Part));
        }
        for (suffix, role) in
            [("_count", Role::Count), ("_sum", Role::Sum), ("_bucket", Role::Part)]
        {
            let Some(base) = name.strip_suffix(suffix) else { continue };
            let kind = self.families.get(base).and_then(|family| family.kind);
            let has_role = match kind {
                Some(FamilyType::Summary) => suffix != "_bucket",
                Some(FamilyType::Histogram | FamilyType::GaugeHistogram) => true,
                _ => false,
            };
            if has_role {
                return Ok((base.to_owned(), role));
            }
        }
        let open = Open { kind: None, help: None, metrics: Vec::new(), known: HashMap::default() };
        self.families.insert(name.to_owned(), open);
        Ok((name.to_owned(), Role::Part))
    }

    fn take_comment(&mut self, line: &mut Line<'_>) -> Result<(), String> {
        line.next();
        line.skip_blanks();
        let keyword = line.word();
        if line.is_empty() || keyword != b"HELP" && keyword != b"TYPE" {
            return Ok(());
        }
        line.skip_blanks();
        let name = line.metric_name()?;
        if line.is_empty() {
            return Ok(());
        }
        if !line.at_blank() {
            return Err("invalid metric name in comment".to_owned());
        }
        let (family, _) = self.find(&name)?;
        let shown = quoted(family.as_bytes());
        line.skip_blanks();
        if line.is_empty() {
            return Ok(());
        }
        let Some(open) = self.families.get_mut(&family) else { return Ok(()) };
        if keyword == b"HELP" {
            if open.help.is_some() {
                return Err(format!("second HELP line for metric name {shown}"));
            }
            open.help = Some(line.help()?);
            return Ok(());
        }
        if open.kind.is_some() {
            return Err(format!(
                "second TYPE line for metric name {shown}, or TYPE reported after samples"
            ));
        }
        let text = line.rest_text();
        let kind = FamilyType::parse(&text);
        let unknown = || format!("unknown metric type {}", quoted(text.as_bytes()));
        open.kind = Some(kind.ok_or_else(unknown)?);
        Ok(())
    }

    fn take_sample(&mut self, line: &mut Line<'_>) -> Result<(), String> {
        let (name, labels) = line.series()?;
        let (family, role) = self.find(&name)?;
        let Some(open) = self.families.get_mut(&family) else { return Ok(()) };
        let kind = *open.kind.get_or_insert(FamilyType::Untyped);
        let mut metric = Metric::default();
        let mut part = None;
        for (label, value) in labels {
            if kind.part_label() != Some(label.as_str()) {
                if metric.labels.iter().any(|(known, _)| *known == label) {
                    let family = quoted(family.as_bytes());
                    return Err(format!("duplicate label names for metric {family}"));
                }
                metric.labels.push((label, value));
                continue;
            }
            part = Some(go_float(value.as_bytes()).map_err(|_| {
                let value = quoted(value.as_bytes());
                format!("expected float as value for '{label}' label, got {value}")
            })?);
        }
        let word = line.word();
        let value =
            go_float(word).map_err(|_| format!("expected float as value, got {}", quoted(word)))?;
        let at = match kind.part_label() {
            None => open.metrics.len(),
            Some(_) => {
                let mut key = metric.labels.clone();
                key.sort();
                *open.known.entry(key).or_insert(open.metrics.len())
            }
        };
        if at == open.metrics.len() {
            open.metrics.push(metric);
        }
        let metric = &mut open.metrics[at];
        let is_histogram = kind.part_label() == Some("le");
        let shown = quoted(family.as_bytes());
        match role {
            _ if kind.part_label().is_none() => metric.value = value,
            Role::Count if is_histogram && value < 0.0 => {
                return Err(format!("negative count for histogram {shown}"));
            }
            Role::Count => metric.count = value,
            Role::Sum => metric.sum = value,
            Role::Part => {
                if is_histogram && value < 0.0 {
                    return Err(format!("negative bucket population for histogram {shown}"));
                }
                metric.parts.extend(part.map(|part| (part, value)));
            }
        }
        line.skip_blanks();
        if !line.is_empty() {
            metric.timestamp_ms = Some(line.timestamp()?);
        }
        Ok(())
    }

    fn finish(self) -> Vec<Family> {
        let with_metrics = self.families.into_iter().filter(|(_, open)| !open.metrics.is_empty());
        let mut families: Vec<Family> = with_metrics
            .map(|(name, open)| Family {
                name,
                kind: open.kind.unwrap_or(FamilyType::Untyped),
                help: open.help,
                metrics: open.metrics,
            })
            .collect();
        families.sort_by(|left, right| left.name.cmp(&right.name));
        families
    }
}
