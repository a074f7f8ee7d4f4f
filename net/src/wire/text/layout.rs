//! A page held against the one before it.
//!
//! A target shows the same lines in the same order, and only values change. So the text of a page
//! without its values is kept, and the next page costs one comparison and one value a line:
//!
//! ```text
//! text    # TYPE a gauge\na{x="1"} │ a{x="2"} │ b │ # EOF\n
//! steps                            0          1   2
//! page    # TYPE a gauge\na{x="1"} 5\na{x="2"} 7\nb 3\n# EOF\n
//! ```
//!
//! A step is what stands between two values, and names the line that it ends. A line that is not
//! the expected one is read by the [`Parser`]; where the caller knows it, the walk goes on behind
//! its step. Lines that do not end after value and timestamp (exemplars, odd blanks) have a step
//! that ends before them, and are always read by the parser.
//!
//! Cost: a page of the same layout some gigabytes a second; memory: the page without its values.

use engine::model::MetricType;

use super::fast::{fast_timestamp, fast_value};
use super::{Entry, Format, ParseError, Parser};

/// In place of a line: a step after which the parser reads.
const UNUSUAL: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Step {
    /// Where its text ends; that of the step before is where it begins.
    text_end: u32,
    /// The caller's number of the line, or [`UNUSUAL`].
    line: u32,
    /// The type in force at that line.
    metric_type: MetricType,
}

/// The layout of a target's last page; empty before the first.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    format: Option<Format>,
    /// Text of the steps, and what follows the last value.
    text: Vec<u8>,
    steps: Vec<Step>,
    /// By line: the step after its own; zero for lines without one.
    after: Vec<u32>,
}

impl Layout {
    fn start_of(&self, step: usize) -> usize {
        step.checked_sub(1).map_or(0, |before| self.steps[before].text_end as usize)
    }

    fn push(&mut self, text: &[u8], line: u32, metric_type: MetricType) {
        self.text.extend_from_slice(text);
        // Lossless: a page holds less than 4 GiB.
        self.steps.push(Step { text_end: self.text.len() as u32, line, metric_type });
    }

    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    pub fn clear(&mut self) {
        *self = Layout::default();
    }

    /// The page without its values.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Lines with a number, and where name and labels of each end in the text.
    pub fn series_ends(&self) -> impl Iterator<Item = (u32, u32)> {
        let steps = self.steps.iter().filter(|step| step.line != UNUSUAL);
        steps.map(|step| (step.line, step.text_end - 1)) // Behind them is a space.
    }

    /// Gives lines new numbers; where one has none any more, the layout is forgotten.
    pub fn renumber(&mut self, number: impl Fn(u32) -> Option<u32>) {
        for step in self.steps.iter_mut().filter(|step| step.line != UNUSUAL) {
            match number(step.line) {
                Some(line) => step.line = line,
                None => return self.clear(),
            }
        }
        self.index();
    }

    fn index(&mut self) {
        self.after.clear();
        for (step, after) in self.steps.iter().zip(1..) {
            if step.line != UNUSUAL {
                let line = step.line as usize;
                if self.after.len() <= line {
                    self.after.resize(line + 1, 0);
                }
                self.after[line] = after;
            }
        }
        self.after.shrink_to_fit();
    }

    /// Calls `visit` with every type, help text and unit of the page.
    pub fn metadata(&self, mut visit: impl FnMut(Entry<'_>)) {
        let Some(format) = self.format else { return };
        let ends = self.steps.iter().map(|step| step.text_end as usize).chain([self.text.len()]);
        let mut start = 0;
        for end in ends {
            let text = &self.text[start..end];
            start = end;
            let Some(last) = memchr::memrchr(b'\n', text) else { continue };
            let mut parser = Parser::new(&text[..=last], format);
            // OpenMetrics misses the page's end here, which is no error of the page.
            while let Ok(Some(entry)) = parser.next_entry() {
                visit(entry);
            }
        }
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        self.text.capacity()
            + self.steps.capacity() * size_of::<Step>()
            + self.after.capacity() * size_of::<u32>()
    }
}

/// A sample that the parser read and whose line is not told yet.
#[derive(Clone, Copy)]
struct Pending {
    line_start: usize,
    series_end: usize,
}

/// Walks a page along a layout.
pub struct Walk<'a, 'l> {
    body: &'a [u8],
    format: Format,
    layout: &'l Layout,
    parser: Option<Parser<'a>>,
    /// Where the next line starts.
    at: usize,
    /// Where the line after the last sample starts.
    region: usize,
    /// The step that is expected.
    step: usize,
    metric_type: MetricType,
    /// The parser stands within a line, and alone knows how to go on.
    is_within: bool,
    pending: Option<Pending>,
    /// The step before an unusual line, until that line turned out to be there.
    unusual: Option<usize>,
    /// The layout of this page, from the first difference on.
    fresh: Option<Layout>,
}

impl<'a, 'l> Walk<'a, 'l> {
    pub fn new(body: &'a [u8], format: Format, layout: &'l Layout) -> Walk<'a, 'l> {
        // A page in another format has nothing in common with the one before.
        let is_other = layout.format != Some(format);
        Walk {
            body,
            format,
            layout,
            parser: None,
            at: 0,
            region: 0,
            step: if is_other { layout.steps.len() } else { 0 },
            metric_type: MetricType::Unknown,
            is_within: false,
            pending: None,
            unusual: None,
            fresh: is_other.then(|| Layout { format: Some(format), ..Layout::default() }),
        }
    }

    /// Takes lines that stood on the page before, for as long as one follows another, at most
    /// `count_max` of them: number, timestamp and value of each. Returns how many there were.
    #[inline]
    pub fn known_lines(
        &mut self,
        count_max: usize,
        mut take: impl FnMut(u32, Option<i64>, f64),
    ) -> usize {
        if self.pending.is_some() {
            self.note(None);
        }
        let mut count = 0;
        if self.is_within {
            return count;
        }
        let (body, layout) = (self.body, self.layout);
        let mut start = layout.start_of(self.step.min(layout.steps.len()));
        while let Some(step) = layout.steps.get(self.step)
            && step.line != UNUSUAL
            && count < count_max
        {
            let text = &layout.text[start..step.text_end as usize];
            if !body[self.at..].starts_with(text) {
                break;
            }
            let end = self.at + text.len();
            let Some((value, timestamp_ms, next)) = self.sample_at(end) else { break };
            if let Some(fresh) = &mut self.fresh {
                fresh.push(&body[self.region..end], step.line, step.metric_type);
            }
            take(step.line, timestamp_ms, value);
            self.metric_type = step.metric_type;
            self.step += 1;
            start = step.text_end as usize;
            (self.at, self.region) = (next, next);
            count += 1;
        }
        count
    }

    /// What follows the known lines, or none at the end of the page. Of a sample the caller tells
    /// the line by [`Walk::note`].
    ///
    /// # Errors
    ///
    /// As [`Parser::next_entry`].
    pub fn next_entry(&mut self) -> Result<Option<Entry<'a>>, ParseError> {
        if self.pending.is_some() {
            self.note(None);
        }
        if self.is_within {
            return self.read();
        }
        let layout = self.layout;
        let start = layout.start_of(self.step.min(layout.steps.len()));
        let Some(&step) = layout.steps.get(self.step) else {
            let is_end = self.fresh.is_none() && self.body[self.at..] == layout.text[start..];
            return if is_end { Ok(None) } else { self.read() };
        };
        let text = &layout.text[start..step.text_end as usize];
        if step.line == UNUSUAL && self.body[self.at..].starts_with(text) {
            self.unusual = Some(self.step);
            self.metric_type = step.metric_type;
            self.step += 1;
            self.at += text.len();
        }
        self.read()
    }

    /// Value and timestamp at `at`, if the line ends after them, and where the next one starts.
    #[inline]
    fn sample_at(&self, at: usize) -> Option<(f64, Option<i64>, usize)> {
        let body = self.body;
        let (value, mut end) = fast_value(body, at)?;
        let mut timestamp_ms = None;
        if body[end] == b' ' {
            let (milliseconds, after) = match self.format {
                Format::OpenMetrics => fast_timestamp::<true>(body, end + 1)?,
                _ => fast_timestamp::<false>(body, end + 1)?,
            };
            (timestamp_ms, end) = (Some(milliseconds), after);
        }
        (*body.get(end)? == b'\n').then_some((value, timestamp_ms, end + 1))
    }

    /// Reads an entry by the parser.
    #[cold]
    fn read(&mut self) -> Result<Option<Entry<'a>>, ParseError> {
        if self.unusual.is_none() {
            self.differ(self.step);
        }
        let (body, format) = (self.body, self.format);
        let parser = self.parser.get_or_insert_with(|| Parser::new(body, format));
        let line_start = self.at;
        parser.go_to(line_start, self.metric_type);
        let entry = parser.next_entry()?;
        self.at = parser.offset();
        self.is_within = self.at > 0 && body[self.at - 1] != b'\n';
        self.metric_type = parser.metric_type;
        if let Some(Entry::Sample(sample)) = &entry {
            let start = sample.series.as_ptr() as usize - body.as_ptr() as usize;
            self.pending = Some(Pending { line_start, series_end: start + sample.series.len() });
        } else if let Some(step) = self.unusual.take() {
            self.differ(step);
        }
        Ok(entry)
    }

    /// This page differs from the layout from its step number `step` on.
    fn differ(&mut self, step: usize) {
        if self.fresh.is_none() {
            let text = self.layout.text[..self.layout.start_of(step)].to_vec();
            let steps = self.layout.steps[..step].to_vec();
            self.fresh = Some(Layout { format: Some(self.format), text, steps, after: vec![] });
        }
    }

    /// Tells the line of the sample that [`Walk::next_entry`] gave last; none if the caller
    /// has no number for it.
    pub fn note(&mut self, line: Option<u32>) {
        let Some(Pending { line_start, series_end }) = self.pending.take() else { return };
        let value_start = series_end + 1;
        let is_usual = self.body.get(series_end) == Some(&b' ')
            && self.sample_at(value_start).is_some_and(|(_, _, next)| next == self.at);
        let known = line;
        let line = line.filter(|_| is_usual);
        if let (Some(step), Some(_)) = (self.unusual.take(), line) {
            self.differ(step);
        }
        if let Some(fresh) = &mut self.fresh {
            let end = if line.is_some() { value_start } else { line_start };
            let text = &self.body[self.region..end];
            fresh.push(text, line.unwrap_or(UNUSUAL), self.metric_type);
        }
        self.region = self.at;
        if let Some(&after) = known.and_then(|line| self.layout.after.get(line as usize))
            && after > 0
            && self.fresh.is_some()
            && self.layout.format == Some(self.format)
        {
            self.step = after as usize;
        }
    }

    /// The type in force at the line given last.
    pub fn metric_type(&self) -> MetricType {
        self.metric_type
    }

    /// The parser that read the entry given last.
    pub fn parser(&self) -> &Parser<'a> {
        self.parser.as_ref().expect("an entry was read")
    }

    /// Ends the walk of a whole page: its layout, if it is another than that of the page before.
    pub fn finish(self) -> Option<Layout> {
        let mut fresh = self.fresh?;
        fresh.text.extend_from_slice(&self.body[self.region..]);
        fresh.text.shrink_to_fit();
        fresh.steps.shrink_to_fit();
        fresh.index();
        Some(fresh)
    }
}
