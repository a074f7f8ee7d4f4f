//! What a query cost, as JSON: the `stats` field of an answer, and a line of the query log.
//!
//! Source: Prometheus `util/stats/query_stats.go`.

use engine::exec::SampleStats;
use shards::query::QueryTimings;

use super::json::Json;
use super::params::RangeGrid;

/// `{"timings":…,"samples":…}`; with a grid also what each of its steps looked at.
pub fn stats_json(
    stats: &SampleStats,
    timings: &QueryTimings,
    steps_of: Option<RangeGrid>,
) -> Vec<u8> {
    let mut out = vec![];
    let mut json = Json::new(&mut out);
    json.begin_object();
    write_timings(&mut json, timings);
    json.field("samples").begin_object();
    if let Some(grid) = steps_of {
        json.field("totalQueryableSamplesPerStep");
        write_steps(&mut json, grid, &stats.per_step.queryable);
    }
    json.field("totalQueryableSamples").int(stats.queryable() as i64);
    if let Some(grid) = steps_of {
        json.field("samplesReadPerStep");
        write_steps(&mut json, grid, &stats.per_step.read);
    }
    json.field("samplesRead").int(stats.read() as i64);
    json.field("peakSamples").int(stats.peak as i64);
    json.end_object();
    json.end_object();
    out
}

/// `[[seconds, samples], …]` for every step of `grid`.
fn write_steps(json: &mut Json<'_>, grid: RangeGrid, samples: &[u64]) {
    json.begin_array();
    let span_ms = grid.end_ms.saturating_sub(grid.start_ms);
    let step_count = span_ms / grid.step_ms.max(1) + 1;
    for step in 0..step_count {
        json.begin_array();
        json.float((grid.start_ms + step * grid.step_ms) as f64 / 1000.0);
        json.int(samples.get(step as usize).copied().unwrap_or(0) as i64);
        json.end_array();
    }
    json.end_array();
}

/// Of a query that gave no answer.
pub fn failed_stats_json(timings: &QueryTimings) -> Vec<u8> {
    stats_json(&SampleStats::new(0, 0), timings, None)
}

fn write_timings(json: &mut Json<'_>, timings: &QueryTimings) {
    let QueryTimings { queued, prepared, evaluated } = *timings;
    json.field("timings").begin_object();
    json.field("evalTotalTime").float((prepared + evaluated).as_secs_f64());
    json.field("resultSortTime").float(0.0);
    json.field("queryPreparationTime").float(prepared.as_secs_f64());
    json.field("innerEvalTime").float(evaluated.as_secs_f64());
    json.field("execQueueTime").float(queued.as_secs_f64());
    json.field("execTotalTime").float((queued + prepared + evaluated).as_secs_f64());
    json.end_object();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_of_a_query_are_told_where_asked_for() {
        let mut stats = SampleStats::new(2, 10);
        stats.per_step.queryable = vec![3, 4];
        stats.per_step.read = vec![3, 2];
        let grid = RangeGrid { start_ms: 1500, end_ms: 4000, step_ms: 1000 };
        let json =
            |grid| String::from_utf8(stats_json(&stats, &QueryTimings::default(), grid)).unwrap();
        let timings = concat!(
            r#"{"timings":{"evalTotalTime":0,"resultSortTime":0,"queryPreparationTime":0,"#,
            r#""innerEvalTime":0,"execQueueTime":0,"execTotalTime":0},"samples":{"#
        );
        let totals = r#""totalQueryableSamples":7,"samplesRead":5,"peakSamples":0}}"#;
        assert_eq!(json(None), format!("{timings}{totals}"));
        let by_step = concat!(
            r#""totalQueryableSamplesPerStep":[[1.5,3],[2.5,4],[3.5,0]],"totalQueryableSamples":7,"#,
            r#""samplesReadPerStep":[[1.5,3],[2.5,2],[3.5,0]],"samplesRead":5,"peakSamples":0}}"#
        );
        assert_eq!(json(Some(grid)), format!("{timings}{by_step}"));
    }
}
