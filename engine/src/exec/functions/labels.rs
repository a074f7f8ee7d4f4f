//! `label_replace`, `label_join`: other labels for the same points.
//!
//! Source: Prometheus `promql/functions.go`, `evalLabelReplace`, `evalLabelJoin`.

use crate::exec::error::ExecError;
use crate::exec::matrix::Matrix;
use crate::exec::merge_rows::{Meeting, rename, settle};
use crate::model::LabelsBuilder;
use crate::model::labels::METRIC_NAME;
use crate::model::source::Turns;
use crate::plan::node::{LabelJoin, LabelReplace};
use crate::regex::{CaptureRegex, Captures};

pub async fn replace(
    rows: Matrix,
    replace: &LabelReplace,
    turns: &impl Turns,
) -> Result<Matrix, ExecError> {
    let regex = CaptureRegex::anchored(&replace.regex).map_err(|_| {
        ExecError::Evaluation(format!(
            "invalid regular expression in label_replace(): {}",
            replace.regex
        ))
    })?;
    check_name(&replace.target, "destination", "label_replace")?;
    let target = replace.target.as_bytes();
    let mut captures = Captures::default();
    let mut value = Vec::new();
    let replaced = rename(rows, turns, |rows, row, out| {
        let labels = rows.labels(row);
        let source = labels.get(replace.source.as_bytes());
        if !regex.captures(source, &mut captures) {
            out.push(labels);
            return rows.drops_name(row);
        }
        value.clear();
        regex.expand(replace.replacement.as_bytes(), source, &captures, &mut value);
        let mut builder = LabelsBuilder::from_labels(labels);
        builder.set(target, &value);
        out.push(builder.finish().as_ref());
        // A name given here is meant to stay.
        target != METRIC_NAME && rows.drops_name(row)
    })
    .await?;
    settle(replaced, Meeting::Merged, turns).await
}

pub async fn join(rows: Matrix, join: &LabelJoin, turns: &impl Turns) -> Result<Matrix, ExecError> {
    for source in &join.sources {
        check_name(source, "source", "label_join")?;
    }
    check_name(&join.target, "destination", "label_join")?;
    let target = join.target.as_bytes();
    let mut value = Vec::new();
    let joined = rename(rows, turns, |rows, row, out| {
        let labels = rows.labels(row);
        value.clear();
        for (index, source) in join.sources.iter().enumerate() {
            if index > 0 {
                value.extend_from_slice(join.separator.as_bytes());
            }
            value.extend_from_slice(labels.get(source.as_bytes()));
        }
        let mut builder = LabelsBuilder::from_labels(labels);
        builder.set(target, &value);
        out.push(builder.finish().as_ref());
        target != METRIC_NAME && rows.drops_name(row)
    })
    .await?;
    settle(joined, Meeting::Merged, turns).await
}

/// Any text but the empty one names a label. Where a string was no UTF-8, the parser has put the
/// replacement character.
fn check_name(name: &str, which: &str, function: &str) -> Result<(), ExecError> {
    if !name.is_empty() && !name.contains(char::REPLACEMENT_CHARACTER) {
        return Ok(());
    }
    Err(ExecError::Evaluation(format!("invalid {which} label name in {function}(): {name}")))
}
