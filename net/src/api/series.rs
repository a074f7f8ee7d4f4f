//! `/series`, `/labels` and `/label/<name>/values`.
//!
//! Source: Prometheus `web/api/v1/api.go` (`series`, `labelNames`, `labelValues`,
//! `parseMatchersParam`).

use engine::index::CompiledMatcher;
use engine::mem::runs::Run;
use engine::model::{LabelsRef, Matcher, TimeRange};
use engine::promql::parse_selector;
use shards::Shard;

use crate::http::form::unescape_bytes;
use crate::http::{Form, Pull, Response};
use crate::wire::quote::quoted;

use super::answer::{ApiError, Notes, success_pulled};
use super::json::Json;
use super::params::{MAX_TIME_MS, MIN_TIME_MS, limit, time_or, unescape_label_name};
use super::query::query_error;

/// Texts written between two pulls.
const PULL_COUNT: usize = 64;

/// What the three calls have in common.
struct Selection {
    limit: usize,
    range: TimeRange,
    matcher_sets: Vec<Vec<Matcher>>,
}

impl Selection {
    fn from_form(form: &Form) -> Result<Selection, ApiError> {
        let limit = limit(form)?;
        let min_ms = time_or(form, "start", MIN_TIME_MS)?;
        let max_ms = time_or(form, "end", MAX_TIME_MS)?;
        let matcher_sets = matcher_sets(form)?;
        Ok(Selection { limit, range: TimeRange { min_ms, max_ms }, matcher_sets })
    }

    /// One more than asked for, so that cutting off can be told.
    fn limit_hint(&self) -> usize {
        if self.limit == 0 { usize::MAX } else { self.limit.saturating_add(1) }
    }

    /// The texts that are written, and whether that are all.
    fn cut(&self, found: Vec<Run>, write: WriteText) -> (Notes, TextsBody) {
        let count: usize = found.iter().map(Run::len).sum();
        let left = if self.limit == 0 { count } else { count.min(self.limit) };
        let notes = if left < count { Notes::truncated() } else { Notes::default() };
        let runs = found.into_iter();
        (notes, TextsBody { run: Run::default(), at: 0, runs, left, is_opened: false, write })
    }
}

/// The `match[]` parameters; each must have a matcher that the empty value does not satisfy.
fn matcher_sets(form: &Form) -> Result<Vec<Vec<Matcher>>, ApiError> {
    read_selectors(form).map(|(sets, _)| sets)
}

/// As [`matcher_sets`], ready to run.
pub fn selectors(form: &Form) -> Result<Vec<Vec<CompiledMatcher>>, ApiError> {
    read_selectors(form).map(|(_, compiled)| compiled)
}

type Selectors = (Vec<Vec<Matcher>>, Vec<Vec<CompiledMatcher>>);

fn read_selectors(form: &Form) -> Result<Selectors, ApiError> {
    let bad = |error: &dyn std::fmt::Display| ApiError::bad_data(error.to_string());
    let mut sets = vec![];
    for text in form.all("match[]") {
        sets.push(parse_selector(text).map_err(|errors| bad(&errors))?);
    }
    let mut all = vec![];
    for set in &sets {
        let compiled = CompiledMatcher::compile(set).map_err(|error| bad(&error))?;
        if compiled.iter().all(CompiledMatcher::matches_empty) {
            return Err(bad(&"match[] must contain at least one non-empty matcher"));
        }
        all.push(compiled);
    }
    Ok((sets, all))
}

pub async fn series(shard: &Shard, form: &Form) -> Result<Response, ApiError> {
    if let Some(error) = form.error() {
        return Err(ApiError::bad_data(format!("error parsing form values: {error}")));
    }
    if form.all("match[]").next().is_none() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let selection = Selection::from_form(form).map_err(in_match_parameter)?;
    let found =
        shard.series(&selection.matcher_sets, selection.range, selection.limit_hint()).await;
    let write: WriteText = |json, text| json.labels(LabelsRef::from_canonical(text));
    // Prometheus means to warn here, too, and loses the warning.
    let (_, body) = selection.cut(found.map_err(query_error)?, write);
    Ok(success_pulled(Notes::default(), body))
}

/// `/series` alone names the parameter in an error of its matchers.
fn in_match_parameter(error: ApiError) -> ApiError {
    if error.message.starts_with("invalid parameter") {
        return error;
    }
    ApiError::parameter("match[]", &error.message)
}

/// Writes a name, a value or a label set.
type WriteText = fn(&mut Json<'_>, &[u8]);

/// Label bytes are checked to be UTF-8 where they come in.
const WRITE_PLAIN: WriteText = |json, text| json.text(&String::from_utf8_lossy(text));

/// An array of what was looked up.
struct TextsBody {
    run: Run,
    /// The next text of `run`.
    at: usize,
    runs: std::vec::IntoIter<Run>,
    /// How many more are written.
    left: usize,
    is_opened: bool,
    write: WriteText,
}

impl Pull for TextsBody {
    fn pull(&mut self, out: &mut Vec<u8>) -> bool {
        let mut is_first = !self.is_opened;
        if is_first {
            out.push(b'[');
            self.is_opened = true;
        }
        let count = self.left.min(PULL_COUNT);
        for _ in 0..count {
            while self.at >= self.run.len()
                && let Some(next) = self.runs.next()
            {
                (self.run, self.at) = (next, 0);
            }
            let Some(text) = self.run.get(self.at) else { break };
            if !is_first {
                out.push(b',');
            }
            is_first = false;
            (self.write)(&mut Json::new(out), text);
            self.at += 1;
        }
        self.left -= count;
        if self.left == 0 {
            out.push(b']');
        }
        self.left > 0
    }
}

pub async fn label_names(shard: &Shard, form: &Form) -> Result<Response, ApiError> {
    let selection = Selection::from_form(form)?;
    let found =
        shard.label_names(&selection.matcher_sets, selection.range, selection.limit_hint()).await;
    let (notes, body) = selection.cut(found.map_err(query_error)?, WRITE_PLAIN);
    Ok(success_pulled(notes, body))
}

/// `encoded` is the name as it stands in the path.
pub async fn label_values(shard: &Shard, encoded: &str, form: &Form) -> Result<Response, ApiError> {
    let name = unescape_bytes(encoded, false).unwrap_or_else(|_| encoded.as_bytes().to_vec());
    let invalid = |name: &[u8]| ApiError::bad_data(format!("invalid label name: {}", quoted(name)));
    let name = String::from_utf8(name).map_err(|error| invalid(error.as_bytes()))?;
    let name = unescape_label_name(&name);
    if name.is_empty() {
        return Err(invalid(b""));
    }
    let selection = Selection::from_form(form)?;
    let found = shard
        .label_values(&name, &selection.matcher_sets, selection.range, selection.limit_hint())
        .await;
    let (notes, body) = selection.cut(found.map_err(query_error)?, WRITE_PLAIN);
    Ok(success_pulled(notes, body))
}
