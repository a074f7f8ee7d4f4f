//! Many rules over many series: what a round of evaluation costs.
//!
//! The samples of [`crate::workload::pods`] reach from ten minutes ago to now. Every namespace has
//! a group of ten rules: rates, quantiles, ratios, alerts. After the first rounds have passed, the
//! CPU seconds of a measured time and the durations that the groups report of themselves are read.
//! VictoriaMetrics evaluates no rules by itself and is left out.

use std::io::{Error, Result};
use std::time::Duration;

use serde_json::json;

use super::{Common, Figures, Scenario, figures, finish, query, unix_ms};
use crate::client::{Connection, query_scalar};
use crate::options::Options;
use crate::report::{Outcome, Run};
use crate::server::{Kind, Server, Setup};
use crate::workload::pods::{NAMESPACE_PODS, POD_SERIES, namespace};

pub const SCENARIO: Scenario = Scenario {
    name: "rules",
    usage: "
  --pods=N            pods of 19 series (52650: a million series)
  --rules=N           rules, ten a group and namespace (10000)
  --interval-ms=N     evaluation interval (30000)
",
    run: run_with,
};

#[derive(Clone, Debug)]
pub struct Parameters {
    pub pod_count: usize,
    pub rule_count: usize,
    /// Of evaluation.
    pub interval: Duration,
    /// Measured wall time; whole intervals of it.
    pub duration: Duration,
}

fn run_with(common: &Common, mut options: Options) -> std::result::Result<Run, String> {
    let parameters = Parameters {
        pod_count: options.count("pods", 52_650)?,
        rule_count: options.count("rules", 10_000)?,
        interval: Duration::from_millis(options.count("interval-ms", 30_000)? as u64),
        duration: options.seconds(20.0)?,
    };
    let shown = json!({
        "series": parameters.pod_count * POD_SERIES,
        "rules": parameters.rule_count,
        "interval_ms": parameters.interval.as_millis() as u64,
        "seconds": parameters.duration.as_secs_f64(),
    });
    finish(options, shown, || run(common, &parameters))
}

/// Rules of a group: name of the record or alert, and expression with the namespace left out.
const RULES: &[(&str, &str)] = &[
    ("record: job:requests:rate5m", "sum by (container) (rate(http_requests_total{NS}[5m]))"),
    ("record: job:responses:rate5m", "sum(rate(http_responses_total{NS}[5m]))"),
    ("record: pod:memory:max", "max by (pod) (container_memory_bytes{NS})"),
    (
        "record: job:latency:p99",
        "histogram_quantile(0.99, sum by (le) (rate(http_request_duration_seconds_bucket{NS}[5m])))",
    ),
    (
        "record: job:ratio",
        "sum(rate(http_requests_total{NS}[5m])) / sum(rate(http_responses_total{NS}[5m]))",
    ),
    ("record: job:pods", "count(container_memory_bytes{NS})"),
    ("record: container:requests:avg", "avg by (container) (rate(http_requests_total{NS}[5m]))"),
    ("record: job:requests:p90", "quantile(0.9, rate(http_requests_total{NS}[5m]))"),
    ("alert: TooMuchMemory", "avg(container_memory_bytes{NS}) > 1e15"),
    ("alert: TooManyRequests", "rate(http_requests_total{NS}[5m]) > 1e9"),
];

/// How far back the samples reach, and how far they are apart.
const SPAN_MS: i64 = 10 * 60 * 1000;
const SAMPLE_INTERVAL_MS: i64 = 60 * 1000;

fn rule_file(parameters: &Parameters) -> String {
    let mut out = String::from("groups:\n");
    let mut left = parameters.rule_count;
    for group in 0..parameters.pod_count.div_ceil(NAMESPACE_PODS) {
        if left == 0 {
            break;
        }
        let namespace = namespace(group * NAMESPACE_PODS);
        out += &format!("- name: {namespace}\n  rules:\n");
        for (name, expression) in RULES.iter().take(left) {
            let expression = expression.replace("{NS}", &format!("{{namespace=\"{namespace}\"}}"));
            out += &format!("  - {name}\n    expr: '{expression}'\n");
            out += &format!("    labels: {{namespace: {namespace}}}\n");
        }
        left -= left.min(RULES.len());
    }
    out
}

pub fn run(common: &Common, parameters: &Parameters) -> Result<Vec<Outcome>> {
    let rules = common.work_directory.join("rules.yml");
    std::fs::create_dir_all(&common.work_directory)?;
    std::fs::write(&rules, rule_file(parameters))?;
    let config = format!(
        "global: {{evaluation_interval: {}ms}}\nrule_files: ['{}']\n",
        parameters.interval.as_millis(),
        rules.display()
    );
    let leaves = |kind| (kind == Kind::VictoriaMetrics).then_some("evaluates no rules by itself");
    common.each(leaves, |setup| {
        let server = Server::start(&Setup { config: Some(config.clone()), ..setup.clone() })?;
        let figures = measure(&server, parameters)?;
        server.stop()?;
        Ok(figures)
    })
}

fn measure(server: &Server, parameters: &Parameters) -> Result<Figures> {
    let now_ms = unix_ms();
    let begin_ms = now_ms - SPAN_MS;
    query::load(server, parameters.pod_count, begin_ms, now_ms, SAMPLE_INTERVAL_MS)?;
    // Every group has been evaluated on all samples.
    std::thread::sleep(parameters.interval * 2);
    let before = server.usage()?;
    let evaluated_before = Page::read(server)?.sum("prometheus_rule_evaluations_total");
    let interval_count = (parameters.duration.as_millis() / parameters.interval.as_millis()).max(1);
    let measured = parameters.interval * interval_count as u32;
    std::thread::sleep(measured.saturating_sub(before.at.elapsed()));
    let after = server.usage()?;
    let page = Page::read(server)?;
    check(server, parameters, &page)?;
    let evaluations = page.sum("prometheus_rule_evaluations_total") - evaluated_before;
    let rounds = evaluations / parameters.rule_count as f64;
    let cpu = after.cpu_seconds - before.cpu_seconds;
    Ok(figures([
        ("CPU seconds a round", cpu / rounds),
        ("CPU us an evaluation", cpu * 1e6 / evaluations),
        (
            "sum of the groups' last durations, s",
            page.sum("prometheus_rule_group_last_duration_seconds"),
        ),
        ("rounds", rounds),
        ("resident MiB", after.resident_bytes as f64 / f64::from(1 << 20)),
    ]))
}

/// Nothing may have failed, and the results must be there.
fn check(server: &Server, parameters: &Parameters, page: &Page) -> Result<()> {
    let failures = page.sum("prometheus_rule_evaluation_failures_total");
    let groups = parameters.rule_count / RULES.len();
    let pods = query_scalar(server.address, "sum(job:pods)", unix_s())?.unwrap_or(0.0);
    let wanted = groups * NAMESPACE_PODS * 3;
    if failures > 0.0 || pods as usize != wanted {
        return Err(Error::other(format!(
            "{}: {failures} evaluations failed, job:pods sums to {pods}, not {wanted}",
            server.kind.name()
        )));
    }
    Ok(())
}

/// A server's own metrics.
struct Page(String);

impl Page {
    fn read(server: &Server) -> Result<Page> {
        let answer = Connection::open(server.address)?.get("/metrics")?;
        Ok(Page(String::from_utf8_lossy(&answer.body).into_owned()))
    }

    /// Sum over the series of a metric.
    fn sum(&self, metric: &str) -> f64 {
        let values = self.0.lines().filter_map(|line| {
            let rest = line.strip_prefix(metric)?;
            rest.starts_with(['{', ' ']).then(|| rest.rsplit(' ').next()?.parse::<f64>().ok())?
        });
        values.sum()
    }
}

fn unix_s() -> f64 {
    unix_ms() as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use super::{Page, Parameters, rule_file};
    use std::time::Duration;

    #[test]
    fn every_rule_stands_in_the_group_of_its_namespace() {
        let parameters = Parameters {
            pod_count: 150,
            rule_count: 25,
            interval: Duration::from_secs(1),
            duration: Duration::from_secs(1),
        };
        let text = rule_file(&parameters);
        assert_eq!(text.matches("expr:").count(), 25);
        assert_eq!(text.matches("- name: team-").count(), 3);
        assert!(!text.contains("{NS}"));
    }

    #[test]
    fn metrics_are_summed_by_whole_name() {
        let page = Page("# HELP a b\na{x=\"1 2\"} 1.5\na 2\nab 7\n".into());
        assert_eq!(page.sum("a"), 3.5);
    }
}
