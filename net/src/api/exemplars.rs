//! `/query_exemplars`: the exemplars of all series that an expression selects.
//!
//! Source: Prometheus `web/api/v1/api.go` (`queryExemplars`), `promql/parser/ast.go`
//! (`ExtractSelectors`), `json_codec.go` (`marshalExemplarJSON`).

use engine::head::SeriesExemplars;
use engine::model::{Matcher, TimeRange};
use engine::promql::{self, Expr, ExprId};
use http::StatusCode;
use shards::Shard;

use crate::http::{Form, Pull, Response, with_type};
use crate::wire::json::{push_labels, push_timestamp, push_value};

use super::answer::{ApiError, JSON, Notes, success_pulled};
use super::json::Json;
use super::params::{MAX_TIME_MS, MIN_TIME_MS, time_or};
use super::query::query_error;

pub async fn query_exemplars(shard: &Shard, form: &Form) -> Result<Response, ApiError> {
    let min_ms = time_or(form, "start", MIN_TIME_MS)?;
    let max_ms = time_or(form, "end", MAX_TIME_MS)?;
    if max_ms < min_ms {
        return Err(ApiError::bad_data("end timestamp must not be before start timestamp"));
    }
    let selectors = selectors(shard, form.get("query"))?;
    if selectors.is_empty() {
        return Ok(with_type(StatusCode::OK, JSON, br#"{"status":"success"}"#.to_vec()));
    }
    let found = shard.exemplars(&selectors, TimeRange { min_ms, max_ms }).await;
    let series = found.map_err(query_error)?.into_iter();
    Ok(success_pulled(Notes::default(), ExemplarsBody { series, is_opened: false }))
}

/// Bytes written in one pull, about.
const PULL_BYTES: usize = 8 << 10;

struct ExemplarsBody {
    series: std::vec::IntoIter<SeriesExemplars>,
    is_opened: bool,
}

impl Pull for ExemplarsBody {
    fn pull(&mut self, out: &mut Vec<u8>) -> bool {
        let (mut is_first, begun) = (!self.is_opened, out.len());
        if is_first {
            out.push(b'[');
            self.is_opened = true;
        }
        while out.len() < begun + PULL_BYTES {
            let Some(series) = self.series.next() else {
                out.push(b']');
                return false;
            };
            if !is_first {
                out.push(b',');
            }
            is_first = false;
            push_series(&mut Json::new(out), &series);
        }
        true
    }
}

/// The matchers of every selector of an expression.
fn selectors(shard: &Shard, query: &str) -> Result<Vec<Vec<Matcher>>, ApiError> {
    let ast = promql::parse(query, &shard.query_options().parse)
        .map_err(|errors| ApiError::bad_data(errors.to_string()))?;
    let all = (0..ast.len()).map(|id| ast.expr(ExprId(id as u32)));
    let selectors = all.filter_map(|expr| match expr {
        Expr::Vector(selector) => Some(selector.matchers.clone()),
        _ => None,
    });
    Ok(selectors.collect())
}

fn push_series(json: &mut Json, series: &SeriesExemplars) {
    json.begin_object();
    json.field("seriesLabels").labels(series.labels.as_ref());
    json.field("exemplars").begin_array();
    for exemplar in &series.exemplars {
        let mut text = br#"{"labels":"#.to_vec();
        push_labels(&mut text, exemplar.labels.as_ref());
        text.extend_from_slice(br#","value":"#);
        push_value(&mut text, exemplar.value);
        text.extend_from_slice(br#","timestamp":"#);
        push_timestamp(&mut text, exemplar.timestamp_ms);
        text.push(b'}');
        json.raw(&text);
    }
    json.end_array();
    json.end_object();
}
