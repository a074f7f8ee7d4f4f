//! Scripts as text: `load`, `clear`, `eval`, with what is expected below each.
//!
//! Source: Prometheus `promql/promqltest/test.go`, `parseLoad`, `parseEval`, `parseExpect`.

use engine::model::Labels;
use engine::promql::series::{Element, expand, parse_series_description};
use engine::promql::{ParseOptions, parse, parse_duration};
use engine::regex::Regex;

#[derive(Debug)]
pub enum Command {
    Clear,
    Load(Load),
    Eval(Box<Eval>),
}

#[derive(Debug)]
pub struct Load {
    /// Between two values of a series; the first stands at time zero.
    pub gap_ms: i64,
    /// Classic histograms are loaded as native ones with custom buckets, too.
    pub with_nhcb: bool,
    pub series: Vec<LoadedSeries>,
}

#[derive(Debug)]
pub struct LoadedSeries {
    pub labels: Labels,
    pub values: Vec<Element>,
    /// Of each value, from a line `…@st`: its start, relative to its own time. Empty without.
    pub starts_ms: Vec<Option<i64>>,
}

#[derive(Debug)]
pub struct Eval {
    /// Of the script, from 1.
    pub line: usize,
    pub text: String,
    pub times: Times,
    pub expected: Expected,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    Instant { at_ms: i64 },
    Range(Range),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub start_ms: i64,
    pub end_ms: i64,
    pub step_ms: i64,
}

#[derive(Debug, Default)]
pub struct Expected {
    pub ordered: bool,
    pub fail: Option<Text>,
    pub warnings: Annotations,
    pub infos: Annotations,
    pub scalar: Option<f64>,
    pub string: Option<String>,
    /// The samples of a range vector that an instant query gives.
    pub range_vector: Option<Range>,
    /// In the order written.
    pub rows: Vec<(Labels, Vec<Element>)>,
}

#[derive(Debug, Default)]
pub struct Annotations {
    /// Each must be met by some annotation, and each annotation by one of them, if there are any.
    pub texts: Vec<Text>,
    pub none: bool,
}

#[derive(Debug)]
pub enum Text {
    Any,
    Exact(String),
    Pattern(Regex),
}

impl Text {
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Text::Any => true,
            Text::Exact(exact) => exact == text,
            Text::Pattern(pattern) => pattern.is_match(text.as_bytes()),
        }
    }

    /// A pattern that may match anywhere in a text.
    fn pattern(pattern: &str) -> Result<Text, String> {
        let anywhere = Regex::new(&format!(".*(?:{pattern}).*"));
        anywhere.map(Text::Pattern).map_err(|error| format!("invalid regex {pattern}: {error}"))
    }
}

/// Reads a whole script. Error: the message with its line.
pub fn parse_script(text: &str) -> Result<Vec<Command>, String> {
    let lines = Lines::new(text);
    let mut commands = Vec::new();
    let mut index = 0;
    while index < lines.0.len() {
        let line = lines.0[index];
        let block = lines.block(index);
        let word = line.split_ascii_whitespace().next().unwrap_or_default().to_ascii_lowercase();
        let at = |message| format!("line {}: {message}", index + 1);
        index += match word.as_str() {
            "" => 1,
            "clear" => {
                commands.push(Command::Clear);
                1
            }
            _ if word.starts_with("load") => {
                commands.push(Command::Load(load(line, block, index + 1)?));
                1 + block.len()
            }
            _ if word.starts_with("eval") => {
                let (eval, used) = eval(line, block, index + 1).map_err(at)?;
                commands.push(Command::Eval(Box::new(eval)));
                1 + used
            }
            _ => return Err(at(format!("invalid command {line:?}"))),
        };
    }
    Ok(commands)
}

/// Trimmed lines; comments are empty ones.
struct Lines<'a>(Vec<&'a str>);

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Self {
        let trim = |line: &'a str| if line.trim().starts_with('#') { "" } else { line.trim() };
        Lines(text.lines().map(trim).collect())
    }

    /// The lines below `index` up to the next empty one.
    fn block(&self, index: usize) -> &[&'a str] {
        let below = &self.0[index + 1..];
        let length = below.iter().position(|line| line.is_empty()).unwrap_or(below.len());
        &below[..length]
    }
}

fn load(line: &str, block: &[&str], line_number: usize) -> Result<Load, String> {
    let at = |line: usize, message: String| format!("line {line}: {message}");
    let (word, gap) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let with_nhcb = match word {
        "load" => false,
        "load_with_nhcb" => true,
        _ => return Err(at(line_number, format!("invalid load command {line:?}"))),
    };
    let gap_ms = duration(gap.trim(), "step").map_err(|message| at(line_number, message))?;
    let mut series = Vec::new();
    let mut starts: Option<(Labels, Vec<Option<i64>>)> = None;
    for (index, line) in block.iter().enumerate() {
        let line_number = line_number + 1 + index;
        let (name, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
        if let Some(name) = name.strip_suffix("@st") {
            let described = parse_series_description(name);
            let (labels, _) = described.map_err(|error| at(line_number, error.to_string()))?;
            let sequence = start_sequence(rest).map_err(|message| at(line_number, message))?;
            if starts.replace((labels, sequence)).is_some() {
                return Err(at(line_number, "@st line has no following sample line".into()));
            }
            continue;
        }
        let (labels, values) = elements(line).map_err(|message| at(line_number, message))?;
        let mut starts_ms = Vec::new();
        if let Some((of, sequence)) = starts.take() {
            if of != labels {
                let message = "@st line and the line below it name different series";
                return Err(at(line_number, message.into()));
            }
            if sequence.len() != values.len() {
                let (starts, values) = (sequence.len(), values.len());
                let message = format!("@st line has {starts} values, its series {values}");
                return Err(at(line_number, message));
            }
            starts_ms = sequence;
        }
        series.push(LoadedSeries { labels, values, starts_ms });
    }
    if starts.is_some() {
        return Err(at(line_number + block.len(), "@st line has no following sample line".into()));
    }
    Ok(Load { gap_ms, with_nhcb, series })
}

/// Labels, and values with their runs written out.
fn elements(line: &str) -> Result<(Labels, Vec<Element>), String> {
    let (labels, values) = parse_series_description(line).map_err(|error| error.to_string())?;
    Ok((labels, expand(&values)?))
}

/// Start timestamps relative to their samples, in milliseconds: `_`, `_x3`, `-1m`, `-1mx3`,
/// `-1m+10sx3`.
fn start_sequence(text: &str) -> Result<Vec<Option<i64>>, String> {
    let mut starts = Vec::new();
    for item in text.split_ascii_whitespace() {
        let refused = || format!("invalid start {item:?}");
        let (what, times) = match item.split_once('x') {
            Some((what, times)) => (what, Some(times.parse::<usize>().map_err(|_| refused())?)),
            None => (item, None),
        };
        if what == "_" {
            starts.resize(starts.len() + times.unwrap_or(1), None);
            continue;
        }
        // The sign of the step is the first one behind the first character.
        let split = what[1..].find(['+', '-']).map_or(what.len(), |at| at + 1);
        let (first, step) = what.split_at(split);
        let (mut start_ms, step_ms) = (signed_duration(first)?, signed_duration(step)?);
        for _ in 0..=times.unwrap_or(0) {
            starts.push(Some(start_ms));
            start_ms += step_ms;
        }
    }
    Ok(starts)
}

/// A duration that may have a sign; none is zero.
fn signed_duration(text: &str) -> Result<i64, String> {
    match text.strip_prefix('-') {
        _ if text.is_empty() => Ok(0),
        Some(magnitude) => Ok(-duration(magnitude, "start")?),
        None => duration(text.strip_prefix('+').unwrap_or(text), "start"),
    }
}

/// The evaluation, and how many lines of the block belong to it.
fn eval(line: &str, block: &[&str], line_number: usize) -> Result<(Eval, usize), String> {
    let mut words = Words(line);
    let mode = match words.next() {
        "eval" => "",
        word => word.strip_prefix("eval_").ok_or_else(|| format!("invalid command {line:?}"))?,
    };
    let times = match words.next() {
        "instant" => {
            words.expect("at")?;
            Times::Instant { at_ms: duration(words.next(), "timestamp")? }
        }
        "range" => Times::Range(range(&mut words)?),
        word => return Err(format!("invalid kind of evaluation {word:?}")),
    };
    let text = words.0.trim().to_owned();
    parse(&text, &ParseOptions::ALL).map_err(|errors| errors.to_string())?;
    let mut expected = Expected::default();
    match mode {
        "" => {}
        "ordered" => expected.ordered = true,
        "fail" => expected.fail = Some(Text::Any),
        "warn" => expected.warnings.texts.push(Text::Any),
        "info" => expected.infos.texts.push(Text::Any),
        _ => return Err(format!("invalid mode {mode:?}")),
    }
    let mut used = 0;
    for line in block {
        used += 1;
        if expect_line(line, times, &mut expected)? {
            break;
        }
    }
    if !expected.warnings.texts.is_empty() && expected.warnings.none
        || !expected.infos.texts.is_empty() && expected.infos.none
    {
        return Err("annotations are expected and excluded at once".into());
    }
    Ok((Eval { line: line_number, text, times, expected }, used))
}

/// Reads one line below an evaluation; true if it is the last.
fn expect_line(line: &str, times: Times, expected: &mut Expected) -> Result<bool, String> {
    if let Some(message) = line.strip_prefix("expected_fail_message") {
        expected.fail = Some(Text::Exact(message.trim().into()));
        return Ok(true);
    }
    if let Some(pattern) = line.strip_prefix("expected_fail_regexp") {
        expected.fail = Some(Text::pattern(pattern.trim())?);
        return Ok(true);
    }
    if let Some(range_words) = line.strip_prefix("expect range vector ") {
        expected.range_vector = Some(range(&mut Words(range_words))?);
        return Ok(false);
    }
    if let Some(string) = line.strip_prefix("expect string") {
        expected.string = Some(string_literal(string.trim())?);
        return Ok(false);
    }
    if line.split(' ').next() == Some("expect") {
        return expect_command(line, expected).map(|()| false);
    }
    if let Ok(scalar) = number(line) {
        expected.scalar = Some(scalar);
        return Ok(true);
    }
    let (labels, values) = elements(line)?;
    if values.len() > 1 && matches!(times, Times::Instant { .. }) && expected.range_vector.is_none()
    {
        return Err("expecting multiple values in instant evaluation not allowed".into());
    }
    expected.rows.push((labels, values));
    Ok(false)
}

/// `expect warn msg: …` and the like.
fn expect_command(line: &str, expected: &mut Expected) -> Result<(), String> {
    let mut words = Words(line);
    words.expect("expect")?;
    let kind = words.next();
    let rest = words.0.trim();
    let text = match rest.split_once(':') {
        None if rest.is_empty() => Text::Any,
        Some(("msg", message)) => Text::Exact(message.trim().into()),
        Some(("regex", pattern)) => Text::pattern(pattern.trim())?,
        _ => return Err(format!("invalid expect statement {line:?}")),
    };
    match kind {
        "ordered" => expected.ordered = true,
        "fail" => expected.fail = Some(text),
        "warn" => expected.warnings.texts.push(text),
        "no_warn" => expected.warnings.none = true,
        "info" => expected.infos.texts.push(text),
        "no_info" => expected.infos.none = true,
        _ => return Err(format!("invalid expect statement {line:?}")),
    }
    Ok(())
}

fn string_literal(text: &str) -> Result<String, String> {
    let refused = || "expected string literal not valid - a quoted string literal is required";
    let ast = parse(text, &ParseOptions::default()).map_err(|_| refused())?;
    match ast.expr(ast.root()) {
        engine::promql::Expr::String(bytes) => Ok(String::from_utf8_lossy(bytes).into()),
        _ => Err(refused().into()),
    }
}

/// A line that is only a number, as Go reads numbers.
fn number(text: &str) -> Result<f64, ()> {
    let ast = parse(text, &ParseOptions::default()).map_err(|_| ())?;
    match *ast.expr(ast.root()) {
        engine::promql::Expr::Number { value, duration: false } => Ok(value),
        _ => Err(()),
    }
}

fn range(words: &mut Words<'_>) -> Result<Range, String> {
    words.expect("from")?;
    let start_ms = duration(words.next(), "start timestamp")?;
    words.expect("to")?;
    let end_ms = duration(words.next(), "end timestamp")?;
    words.expect("step")?;
    let step_ms = duration(words.next(), "step")?;
    if end_ms < start_ms {
        return Err(format!("end timestamp ({end_ms} ms) is before start timestamp"));
    }
    Ok(Range { start_ms, end_ms, step_ms })
}

fn duration(text: &str, what: &str) -> Result<i64, String> {
    parse_duration(text).map_err(|error| format!("invalid {what} definition {text:?}: {error}"))
}

/// Splits words off the front of a line.
struct Words<'a>(&'a str);

impl<'a> Words<'a> {
    /// The next word; empty at the end.
    fn next(&mut self) -> &'a str {
        let rest = self.0.trim_start();
        let (word, rest) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
        self.0 = rest;
        word
    }

    fn expect(&mut self, wanted: &str) -> Result<(), String> {
        let word = self.next();
        if word == wanted { Ok(()) } else { Err(format!("expected {wanted:?}, got {word:?}")) }
    }
}
