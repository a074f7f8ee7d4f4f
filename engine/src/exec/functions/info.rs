//! `info`: labels of info metrics for series of the same instance and job.
//!
//! Source: Prometheus `promql/info.go`.

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};

use crate::exec::bits::{is_set, ones, set};
use crate::exec::error::{ExecError, same_labelset};
use crate::exec::gather::{Scatter, ask};
use crate::exec::label_table::{LabelIndex, filter};
use crate::exec::matrix::Matrix;
use crate::exec::merge_rows::sort_by_labels;
use crate::exec::scan::PartialValue;
use crate::exec::stats::{SampleStats, StepCounts};
use crate::exec::turn::spend;
use crate::index::CompiledMatcher;
use crate::model::labels::METRIC_NAME;
use crate::model::source::Turns;
use crate::model::{Labels, LabelsBuilder, MatchOp, Matcher};
use crate::plan::grid::Grid;
use crate::plan::node::Info;
use crate::plan::part::{Finish, Select, SelectOutput, ShardPart};
use crate::plan::{Ask, Plan};

/// Labels that say which info series belongs to a series.
const IDENTIFYING: [&[u8]; 2] = [b"instance", b"job"];

pub async fn run(
    base: Matrix,
    info: &Info,
    grid: Grid,
    plan: &Plan,
    scatter: &impl Scatter,
    stats: &mut SampleStats,
    counts: &mut StepCounts,
) -> Result<Matrix, ExecError> {
    let (name_matchers, data_matchers) = split_matchers(info);
    let is_info = compile(&name_matchers)?;
    let is_kept: Vec<bool> = (0..base.row_count())
        .map(|row| {
            let name = base.labels(row).metric_name();
            is_info.iter().all(|matcher| matcher.matches_value(name))
        })
        .collect();
    let identities = identity_matchers(&base, &is_kept);
    let mut infos = Matrix::new(grid.step_count);
    if !identities.is_empty() {
        let mut matchers = identities;
        matchers.extend(data_matchers.iter().cloned());
        matchers.extend(name_matchers);
        let part = info_part(matchers, info, grid, plan);
        let answers = ask(scatter, Arc::new(Ask::one(part))).await?;
        for partial in answers.into_iter().next().expect("an answer for each part")? {
            stats.absorb(&partial.stats)?;
            counts.add(&partial.stats.per_step);
            stats.release(partial.stats.held());
            if let PartialValue::Rows(rows) = partial.value {
                infos.append(rows);
            }
        }
        infos = sort_by_labels(infos, scatter.turns()).await?;
    }
    let data = compile(&data_matchers)?;
    enrich(&base, &infos, &is_kept, &data, scatter.turns()).await
}

/// The matchers on the name, completed, and those on data labels.
fn split_matchers(info: &Info) -> (Vec<Matcher>, Vec<Matcher>) {
    let name = std::str::from_utf8(METRIC_NAME).expect("a literal");
    let given = info.matchers.iter().flatten().cloned();
    let (mut names, data): (Vec<Matcher>, Vec<Matcher>) =
        given.partition(|matcher| &*matcher.name == name);
    let is_positive = |matcher: &Matcher| matches!(matcher.op, MatchOp::Equal | MatchOp::Regexp);
    if names.is_empty() {
        names.push(Matcher::new(name, MatchOp::Equal, "target_info"));
    } else if !names.iter().any(is_positive) {
        names.insert(0, Matcher::new(name, MatchOp::Regexp, ".+_info"));
    }
    (names, data)
}

fn compile(matchers: &[Matcher]) -> Result<Vec<CompiledMatcher>, ExecError> {
    CompiledMatcher::compile(matchers).map_err(|error| ExecError::Evaluation(error.to_string()))
}

/// Matches every value that an identifying label has in the rows to enrich.
fn identity_matchers(base: &Matrix, is_kept: &[bool]) -> Vec<Matcher> {
    let mut matchers = Vec::new();
    for label in IDENTIFYING {
        let mut values: Vec<&[u8]> = (0..base.row_count())
            .filter(|&row| !is_kept[row])
            .map(|row| base.labels(row).get(label))
            .filter(|value| !value.is_empty())
            .collect();
        values.sort_unstable();
        values.dedup();
        if values.is_empty() {
            continue;
        }
        let quoted: Vec<String> =
            values.iter().map(|value| quote(&String::from_utf8_lossy(value))).collect();
        let label = std::str::from_utf8(label).expect("a literal");
        matchers.push(Matcher::new(label, MatchOp::Regexp, &quoted.join("|")));
    }
    matchers
}

/// `text` as a pattern that matches only it.
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for character in text.chars() {
        if r"\.+*?()|[]{}^$".contains(character) {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted
}

fn info_part(matchers: Vec<Matcher>, info: &Info, grid: Grid, plan: &Plan) -> ShardPart {
    ShardPart {
        matchers,
        select: Select {
            grid,
            lookup: info.lookup,
            output: SelectOutput::TimestampMs,
            lookback_ms: info.lookback_ms,
            skips_buckets: false,
        },
        stages: Vec::new(),
        finish: Finish::Rows,
        samples_max: plan.samples_max,
        bytes_max: plan.bytes_max,
        delayed_names: plan.delayed_names,
        type_and_unit: false,
        start_timestamps: false,
    }
}

/// The name of an info metric and the identity it is about.
type Signature = Vec<u8>;

fn signature(row: usize, rows: &Matrix) -> Signature {
    let mut bytes = Vec::new();
    filter(rows.labels(row), &mut bytes, |name| IDENTIFYING.contains(&name));
    bytes
}

/// For every info metric and identity, the info row that is newest at each step.
struct Newest {
    /// By info metric: the rows of each identity.
    by_name: Vec<HashMap<Signature, Vec<usize>, RandomState>>,
}

impl Newest {
    fn new(infos: &Matrix) -> Newest {
        let mut names: HashMap<&[u8], usize, RandomState> = HashMap::default();
        let mut by_name: Vec<HashMap<Signature, Vec<usize>, RandomState>> = Vec::new();
        for row in 0..infos.row_count() {
            let name = infos.labels(row).metric_name();
            let index = *names.entry(name).or_insert_with(|| {
                by_name.push(HashMap::default());
                by_name.len() - 1
            });
            by_name[index].entry(signature(row, infos)).or_default().push(row);
        }
        Newest { by_name }
    }

    /// The row of `candidates` whose sample is newest at `step`; two as new as each other
    /// contradict.
    fn at(candidates: &[usize], infos: &Matrix, step: usize) -> Result<Option<usize>, ExecError> {
        let mut newest: Option<(usize, f64)> = None;
        for &row in candidates {
            let Some(timestamp_ms) = infos.row(row).float(step) else { continue };
            match newest {
                Some((other, known_ms)) if known_ms == timestamp_ms => {
                    return Err(ExecError::Evaluation(format!(
                        "found duplicate series for info metric: existing {} @ {known_ms}, \
                         new {} @ {timestamp_ms}",
                        infos.labels(other),
                        infos.labels(row)
                    )));
                }
                Some((_, known_ms)) if known_ms > timestamp_ms => {}
                _ => newest = Some((row, timestamp_ms)),
            }
        }
        Ok(newest.map(|(row, _)| row))
    }

    /// Contradictions are refused whether or not a base series asks.
    fn check(&self, infos: &Matrix) -> Result<(), ExecError> {
        for candidates in self.by_name.iter().flat_map(|rows| rows.values()) {
            if candidates.len() > 1 {
                for step in 0..infos.step_count() {
                    Self::at(candidates, infos, step)?;
                }
            }
        }
        Ok(())
    }
}

async fn enrich(
    base: &Matrix,
    infos: &Matrix,
    is_kept: &[bool],
    data: &[CompiledMatcher],
    turns: &impl Turns,
) -> Result<Matrix, ExecError> {
    let newest = Newest::new(infos);
    if base.row_count() > 0 {
        newest.check(infos)?;
    }
    let wanted: HashSet<&[u8], RandomState> = data.iter().map(CompiledMatcher::name).collect();
    let may_be_missing = data.iter().all(CompiledMatcher::matches_empty);
    let mut index = LabelIndex::default();
    let mut result = Matrix::new(base.step_count());
    let no_rows = Vec::new();
    for (row, &is_kept) in is_kept.iter().enumerate() {
        spend(turns, base.step_count()).await?;
        let identity = signature(row, base);
        let candidates: Vec<&Vec<usize>> = newest
            .by_name
            .iter()
            .map(|rows| if is_kept { &no_rows } else { rows.get(&identity).unwrap_or(&no_rows) })
            .collect();
        // The info rows of the previous step mostly are those of the next.
        let mut previous: Option<(Vec<usize>, Option<usize>)> = None;
        for step in ones(base.present(row)) {
            let mut matched = Vec::new();
            for candidates in &candidates {
                matched.extend(Newest::at(candidates, infos, step)?);
            }
            let target = match &previous {
                Some((rows, target)) if *rows == matched => *target,
                _ if matched.is_empty() && !may_be_missing && !is_kept => None,
                _ => {
                    let labels = enriched_labels(base, row, infos, &matched, &wanted)?;
                    let (target, is_new) = index.intern(labels.as_ref());
                    if is_new {
                        result.push_absent(labels.as_ref(), base.drops_name(row));
                    }
                    Some(target)
                }
            };
            previous = Some((matched, target));
            let Some(target) = target else { continue };
            let (values, present) = result.row_mut(target);
            if is_set(present, step) {
                return Err(same_labelset());
            }
            values[step] = base.values(row)[step];
            set(present, step);
            if let Some(histogram) = base.histograms(row).get(step) {
                result.set_histogram(target, step, histogram.clone());
            }
        }
    }
    Ok(result)
}

/// The labels of a base row with those of its info rows.
fn enriched_labels(
    base: &Matrix,
    row: usize,
    infos: &Matrix,
    matched: &[usize],
    wanted: &HashSet<&[u8], RandomState>,
) -> Result<Labels, ExecError> {
    let own = base.labels(row);
    let mut added = LabelsBuilder::default();
    for &info in matched {
        for (name, value) in infos.labels(info).iter() {
            if name == METRIC_NAME || !wanted.is_empty() && !wanted.contains(name) {
                continue;
            }
            let known = added.get(name);
            if !known.is_empty() && known != value {
                let name = String::from_utf8_lossy(name);
                return Err(ExecError::Evaluation(format!("conflicting label: {name}")));
            }
            if own.get(name).is_empty() {
                added.set(name, value);
            }
        }
    }
    let mut builder = LabelsBuilder::from_labels(own);
    for (name, value) in added.iter() {
        builder.set(name, value);
    }
    Ok(builder.finish())
}
