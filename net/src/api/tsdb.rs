//! `/status/tsdb`: how much the head holds, and of what.
//!
//! Source: Prometheus `web/api/v1/api.go` (`serveTSDBStatus`).

use engine::index::Stat;
use shards::Shard;

use crate::http::{Form, Response};

use super::answer::{ApiError, Notes, success};
use super::json::Json;
use super::params::parse_int;
use super::query::query_error;

const LIMIT_DEFAULT: usize = 10;
const LIMIT_MAX: usize = 10_000;

pub async fn status(shard: &Shard, form: &Form) -> Result<Response, ApiError> {
    let limit = match form.get("limit") {
        "" => LIMIT_DEFAULT,
        text => match parse_int(text).map(usize::try_from) {
            Ok(Ok(limit)) if limit > LIMIT_MAX => {
                return Err(ApiError::bad_data(format!("limit must not exceed {LIMIT_MAX}")));
            }
            Ok(Ok(limit)) if limit > 0 => limit,
            _ => return Err(ApiError::bad_data("limit must be a positive number")),
        },
    };
    let stats = shard.head_stats(limit).await.map_err(query_error)?;
    let index = &stats.index;
    // An empty head has Prometheus's extremes.
    let (min_ms, max_ms) = stats.span_ms.unwrap_or((i64::MAX, i64::MIN));
    Ok(success(&Notes::default(), |json| {
        json.begin_object();
        json.field("headStats").begin_object();
        json.field("numSeries").int(stats.series_count as i64);
        json.field("numLabelPairs").int(index.label_pair_count as i64);
        json.field("chunkCount").int(stats.chunk_count as i64);
        json.field("minTime").int(min_ms);
        json.field("maxTime").int(max_ms);
        json.end_object();
        write_list(json, "seriesCountByMetricName", &index.series_count_by_metric_name);
        write_list(json, "labelValueCountByLabelName", &index.label_value_count_by_label_name);
        write_list(json, "memoryInBytesByLabelName", &index.memory_bytes_by_label_name);
        write_list(json, "seriesCountByLabelValuePair", &index.series_count_by_label_pair);
        json.end_object();
    }))
}

fn write_list(json: &mut Json<'_>, name: &str, list: &[Stat]) {
    json.field(name).begin_array();
    for stat in list {
        json.begin_object();
        json.field("name").text(&String::from_utf8_lossy(&stat.name));
        json.field("value").int(stat.count as i64);
        json.end_object();
    }
    json.end_array();
}
