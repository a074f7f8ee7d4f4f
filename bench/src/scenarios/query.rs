//! Queries over the same samples: how long an answer takes, what it costs, and whether it is the
//! same.
//!
//! The samples of [`crate::workload::pods`] are written by remote_write, oldest first, then every
//! query runs `repeat_count` times, one after the other, on an otherwise idle server. The first
//! answer is read and compared between the servers; the others are timed.

use std::io::{Error, Result};
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Common, Figures, Scenario, finish, leaves_none, unix_ms};
use crate::body::{Protocol, Template};
use crate::client::{Connection, encode_component};
use crate::options::Options;
use crate::report::{Outcome, Run};
use crate::server::{Kind, Server};
use crate::workload::Values;
use crate::workload::pods::{POD_SERIES, pod_series};

pub const SCENARIO: Scenario = Scenario {
    name: "query",
    usage: "
  --pods=N            pods of 19 series (1000)
  --minutes=N         from the oldest sample to the newest (120)
  --interval-ms=N     distance of two samples of a series (30000)
  --step-ms=N         step of range queries (30000)
  --range-minutes=N   what range queries reach over (120)
  --end-back-minutes=N  how far before the newest sample queries end (0)
  --repeat=N          timed runs of each query (5)
  --restart=0|1       restart the server between load and queries (0)
  --peaks=0|1         show the peak memory of each query (0)
  --only=NAME,NAME    only these queries
",
    run: run_with,
};

#[derive(Clone, Debug)]
pub struct Parameters {
    pub pod_count: usize,
    /// From the oldest sample to the newest.
    pub span_ms: i64,
    /// Distance of two samples of a series.
    pub interval_ms: i64,
    /// Step of range queries, which reach over the last `range_ms` before `end_back_ms`.
    pub step_ms: i64,
    pub range_ms: i64,
    /// How far before the newest sample queries end: far enough, and they read what a server
    /// holds on disk.
    pub end_back_ms: i64,
    pub repeat_count: usize,
    /// Restart the server between load and queries.
    pub restarts: bool,
    /// Show the peak memory of each query.
    pub shows_peaks: bool,
    /// Names of the queries that run; all without any.
    pub only: Vec<String>,
}

impl Parameters {
    fn queries(&self) -> impl Iterator<Item = &'static Query> {
        let is_chosen = |query: &&Query| {
            self.only.is_empty() || self.only.iter().any(|name| name == query.name)
        };
        QUERIES.iter().filter(is_chosen)
    }
}

fn run_with(common: &Common, mut options: Options) -> std::result::Result<Run, String> {
    let minutes = |value: i64| value * 60_000;
    let parameters = Parameters {
        pod_count: options.count("pods", 1000)?,
        span_ms: minutes(options.number("minutes", 120)?),
        interval_ms: options.count("interval-ms", 30_000)? as i64,
        step_ms: options.count("step-ms", 30_000)? as i64,
        range_ms: minutes(options.number("range-minutes", 120)?),
        end_back_ms: minutes(options.number("end-back-minutes", 0)?),
        repeat_count: options.count("repeat", 5)?,
        restarts: options.number("restart", 0u8)? != 0,
        shows_peaks: options.number("peaks", 0u8)? != 0,
        only: options
            .take("only")
            .iter()
            .flat_map(|names| names.split(','))
            .map(str::to_owned)
            .collect(),
    };
    let is_known = |name: &String| QUERIES.iter().any(|query| query.name == name);
    if let Some(unknown) = parameters.only.iter().find(|name| !is_known(name)) {
        return Err(format!("--only: {unknown} is not known"));
    }
    let shown = json!({
        "series": parameters.pod_count * POD_SERIES,
        "minutes": parameters.span_ms / 60_000,
        "interval_ms": parameters.interval_ms,
        "step_ms": parameters.step_ms,
        "range_minutes": parameters.range_ms / 60_000,
        "end_back_minutes": parameters.end_back_ms / 60_000,
        "repeat": parameters.repeat_count,
        "restart": parameters.restarts,
    });
    finish(options, shown, || run(common, &parameters))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Instant,
    Range,
}

struct Query {
    name: &'static str,
    text: &'static str,
    form: Form,
}

const fn range(name: &'static str, text: &'static str) -> Query {
    Query { name, text, form: Form::Range }
}

const fn instant(name: &'static str, text: &'static str) -> Query {
    Query { name, text, form: Form::Instant }
}

/// The table of the Thanos engine's page first, then what dashboards and alerts ask for.
const QUERIES: &[Query] = &[
    range("selector", "http_requests_total"),
    range("sum", "sum(http_requests_total)"),
    range("sum by (pod)", "sum by (pod) (http_requests_total)"),
    range("rate", "rate(http_requests_total[1m])"),
    range("sum rate", "sum(rate(http_requests_total[1m]))"),
    range("sum by (pod) rate", "sum by (pod) (rate(http_requests_total[1m]))"),
    range("quantile by", "quantile by (pod) (0.9, http_requests_total)"),
    range("one to one", "http_requests_total / on (pod, container) http_responses_total"),
    range(
        "many to one",
        "http_requests_total / on (pod) group_left () sum by (pod) (http_responses_total)",
    ),
    range("unary", "-http_requests_total"),
    range("vector and scalar", "http_requests_total * 10"),
    range(
        "complex",
        "sum by (namespace) (clamp_max(rate(http_requests_total[1m]), 100) \
         / on (pod, container) clamp_min(rate(http_responses_total[1m]), 1))",
    ),
    range(
        "histogram quantile",
        "histogram_quantile(0.9, sum by (pod, le) \
         (rate(http_request_duration_seconds_bucket[1m])))",
    ),
    range("sort", "sort_desc(sum by (pod) (http_requests_total))"),
    range("absent", "absent(http_requests_total{pod=\"none\"})"),
    range("sum by (namespace) rate 5m", "sum by (namespace) (rate(http_requests_total[5m]))"),
    range("topk", "topk(10, rate(http_requests_total[5m]))"),
    range("max_over_time 30m", "max_over_time(container_memory_bytes[30m])"),
    range("regex selector", "sum(rate(http_requests_total{pod=~\"pod-0000[1-3].*\"}[5m]))"),
    range("count", "count by (namespace) ({__name__=~\"http_.*\"})"),
    instant("instant sum by rate", "sum by (namespace) (rate(http_requests_total[5m]))"),
    instant("instant topk", "topk(10, container_memory_bytes)"),
    instant("instant count of all", "count({__name__!=\"\"})"),
    instant(
        "instant histogram quantile",
        "histogram_quantile(0.99, sum by (le) \
         (rate(http_request_duration_seconds_bucket[5m])))",
    ),
];

/// What an answer says, small enough to compare.
#[derive(Clone, Copy, Debug, Default)]
struct Digest {
    series_count: usize,
    point_count: usize,
    /// Of all finite values.
    sum: f64,
}

impl Digest {
    fn of(body: &[u8]) -> Result<Digest> {
        let answer: serde_json::Value = serde_json::from_slice(body)?;
        if answer["status"] != "success" {
            return Err(Error::other(answer.to_string()));
        }
        let mut digest = Digest::default();
        for series in answer["data"]["result"].as_array().into_iter().flatten() {
            digest.series_count += 1;
            let points = series["values"].as_array().into_iter().flatten();
            let single = series.get("value").into_iter();
            for point in points.chain(single) {
                digest.point_count += 1;
                let value: f64 =
                    point[1].as_str().and_then(|text| text.parse().ok()).unwrap_or(0.0);
                digest.sum += if value.is_finite() { value } else { 0.0 };
            }
        }
        Ok(digest)
    }

    /// `counts_series`: not where servers choose between equal values as they like.
    fn agrees(&self, other: &Digest, counts_series: bool) -> bool {
        let scale = self.sum.abs().max(other.sum.abs()).max(1.0);
        (!counts_series || self.series_count == other.series_count)
            && self.point_count == other.point_count
            && (self.sum - other.sum).abs() <= 1e-9 * scale
    }
}

pub fn run(common: &Common, parameters: &Parameters) -> Result<Vec<Outcome>> {
    let end_ms = unix_ms() - 60_000;
    let end_ms = end_ms - end_ms % parameters.interval_ms;
    let mut digests: Vec<(Kind, Vec<Digest>)> = Vec::new();
    let outcomes = common.each(leaves_none, |setup| {
        let mut server = Server::start(setup)?;
        let begin_ms = end_ms - parameters.span_ms;
        load(&server, parameters.pod_count, begin_ms, end_ms, parameters.interval_ms)?;
        if parameters.restarts {
            server.stop()?;
            server = Server::restart(setup)?;
        }
        wait_visible(&server, parameters, end_ms)?;
        let (figures, answers) = measure(&server, parameters, end_ms)?;
        server.stop()?;
        digests.push((setup.kind, answers));
        Ok(figures)
    })?;
    compare(&parameters.queries().collect::<Vec<_>>(), &digests)?;
    Ok(outcomes)
}

/// Pods in one request.
const REQUEST_PODS: usize = 100;

/// Writes the samples of `pod_count` pods, one every `interval_ms`, oldest first.
pub(super) fn load(
    server: &Server,
    pod_count: usize,
    begin_ms: i64,
    end_ms: i64,
    interval_ms: i64,
) -> Result<()> {
    let mut requests = Vec::new();
    for first in (0..pod_count).step_by(REQUEST_PODS) {
        let pods = first..pod_count.min(first + REQUEST_PODS);
        let series: Vec<_> = pods.flat_map(pod_series).collect();
        let values = Values::new(series.iter().map(|one| one.kind), first as u64 + 1);
        requests.push((Template::new(Protocol::V1, &series), values));
    }
    let mut connection = Connection::open(server.address)?;
    let mut encoder = snap::raw::Encoder::new();
    let mut body = Vec::new();
    let mut timestamp_ms = begin_ms;
    while timestamp_ms <= end_ms {
        for (template, values) in &mut requests {
            template.fill(timestamp_ms, values, 0, &mut encoder, &mut body);
            let answer = connection.post("/api/v1/write", Protocol::V1.headers(), &body)?;
            if answer.status / 100 != 2 {
                let text = String::from_utf8_lossy(&answer.body).into_owned();
                return Err(Error::other(format!("status {}: {text}", answer.status)));
            }
        }
        timestamp_ms += interval_ms;
    }
    Ok(())
}

/// Waits until the newest samples can be queried.
fn wait_visible(server: &Server, parameters: &Parameters, end_ms: i64) -> Result<()> {
    let wanted = parameters.pod_count * 3;
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let query = format!(
            "count(http_requests_total and timestamp(http_requests_total) >= {})",
            end_ms / 1000
        );
        let count = crate::client::query_scalar(server.address, &query, end_ms as f64 / 1e3)?;
        if count == Some(wanted as f64) {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(Error::other(format!(
                "{} shows {count:?} of {wanted} series",
                server.kind.name()
            )));
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

fn path(query: &Query, parameters: &Parameters, end_ms: i64) -> String {
    let text = encode_component(query.text);
    let end_ms = end_ms - parameters.end_back_ms;
    let end = end_ms as f64 / 1e3;
    match query.form {
        Form::Instant => format!("/api/v1/query?query={text}&time={end}"),
        Form::Range => {
            let start = (end_ms - parameters.range_ms) as f64 / 1e3;
            let step = parameters.step_ms as f64 / 1e3;
            // VictoriaMetrics would answer repeated queries from its cache of results.
            format!(
                "/api/v1/query_range?query={text}&start={start}&end={end}&step={step}&nocache=1"
            )
        }
    }
}

fn measure(
    server: &Server,
    parameters: &Parameters,
    end_ms: i64,
) -> Result<(Figures, Vec<Digest>)> {
    let mut connection = Connection::open(server.address)?;
    let mut figures = Figures::new();
    let mut digests = Vec::new();
    let mut total_ms = 0.0;
    let before = server.usage()?;
    let mut highest = 0;
    let mut room = Vec::new();
    for query in parameters.queries() {
        server.forget_peak()?;
        let path = path(query, parameters, end_ms);
        let first = connection.get_into(&path, room)?;
        digests.push(
            Digest::of(&first.body)
                .map_err(|error| Error::other(format!("{}: {error}", query.text)))?,
        );
        room = first.body;
        let mut times_ms = Vec::new();
        for _ in 0..parameters.repeat_count {
            let begun = Instant::now();
            room = connection.get_into(&path, room)?.body;
            times_ms.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        times_ms.sort_by(f64::total_cmp);
        let median_ms = times_ms[times_ms.len() / 2];
        total_ms += median_ms;
        figures.push((format!("{}, ms", query.name).into(), median_ms));
        let peak = server.peak_resident_bytes()?.saturating_sub(before.resident_bytes);
        highest = highest.max(peak);
        if parameters.shows_peaks {
            let peak = peak as f64 / f64::from(1 << 20);
            figures.push((format!("{}, peak MiB", query.name).into(), peak));
        }
    }
    let peak = highest as f64;
    figures.push(("all medians, ms".into(), total_ms));
    figures.push(("peak memory above idle, MiB".into(), peak / f64::from(1 << 20)));
    figures
        .push(("CPU seconds of all runs".into(), server.usage()?.cpu_seconds - before.cpu_seconds));
    Ok((figures, digests))
}

/// hearth must give Prometheus's answers. VictoriaMetrics computes rates its own way, so only the
/// number of its series is looked at, and said.
fn compare(queries: &[&Query], digests: &[(Kind, Vec<Digest>)]) -> Result<()> {
    let find = |kind| digests.iter().find(|(own, _)| *own == kind).map(|(_, answers)| answers);
    let Some(hearth) = find(Kind::Hearth) else { return Ok(()) };
    let mut differing = Vec::new();
    for ((query, own), other) in
        queries.iter().zip(hearth).zip(find(Kind::Prometheus).into_iter().flatten())
    {
        if !own.agrees(other, !query.text.starts_with("topk")) {
            differing.push(format!("{}: hearth {own:?}, Prometheus {other:?}", query.text));
        }
    }
    if !differing.is_empty() {
        return Err(Error::other(differing.join("\n")));
    }
    for ((query, own), other) in
        queries.iter().zip(hearth).zip(find(Kind::VictoriaMetrics).into_iter().flatten())
    {
        if own.series_count != other.series_count {
            eprintln!(
                "{}: hearth gives {} series, VictoriaMetrics {}",
                query.name, own.series_count, other.series_count
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Digest;

    #[test]
    fn a_digest_tells_answers_apart() {
        let body = br#"{"status":"success","data":{"resultType":"matrix","result":[
            {"metric":{},"values":[[1,"2"],[2,"NaN"]]},{"metric":{"a":"b"},"values":[[1,"0.5"]]}]}}"#;
        let digest = Digest::of(body).unwrap();
        assert_eq!((digest.series_count, digest.point_count, digest.sum), (2, 3, 2.5));
        assert!(digest.agrees(&Digest { sum: 2.5 + 1e-10, ..digest }, true));
        assert!(!digest.agrees(&Digest { sum: 2.6, ..digest }, true));
        assert!(!digest.agrees(&Digest { series_count: 1, ..digest }, true));
        assert!(digest.agrees(&Digest { series_count: 1, ..digest }, false));
        assert!(Digest::of(br#"{"status":"error","error":"no"}"#).is_err());
    }
}
