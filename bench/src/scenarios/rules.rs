//! Many rules over many series: what a round of evaluation costs.
//!
//! The samples of [`crate::workload::pods`] reach from ten minutes ago to now. Every namespace has
//! a group of ten rules: rates, quantiles, ratios, alerts. After the first rounds have passed, the
//! CPU seconds of a measured time and the durations that the groups report of themselves are read.
//! VictoriaMetrics evaluates no rules by itself and is left out.

use std::io::{Error, Result};
use std::time::Duration;

use super::{Common, Figures, figures, free_address, query, version};
use crate::client::{Connection, query_scalar};
use crate::report::Outcome;
use crate::server::{Kind, Server, Setup};
use crate::workload::pods::{NAMESPACE_PODS, namespace};

#[derive(Clone, Debug)]
pub struct Parameters {
    pub pod_count: usize,
    pub rule_count: usize,
    /// Of evaluation.
    pub interval: Duration,
    /// Measured wall time; whole intervals of it.
    pub duration: Duration,
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
    let mut outcomes = Vec::new();
    let rules = common.work_directory.join("rules.yml");
    std::fs::create_dir_all(&common.work_directory)?;
    std::fs::write(&rules, rule_file(parameters))?;
    let config = format!(
        "global: {{evaluation_interval: {}ms}}\nrule_files: ['{}']\n",
        parameters.interval.as_millis(),
        rules.display()
    );
    for &kind in common.servers.iter().filter(|kind| **kind != Kind::VictoriaMetrics) {
        let Some(program) = kind.find(&common.program_directories) else {
            eprintln!("{}: not installed, left out", kind.name());
            continue;
        };
        let version = version(&program);
        let server = Server::start(&Setup {
            kind,
            program,
            directory: common.work_directory.join(kind.name()),
            address: free_address()?,
            config: Some(config.clone()),
            hearth_args: common.hearth_args.clone(),
        })?;
        let figures = measure(&server, parameters)?;
        server.stop()?;
        outcomes.push(Outcome { kind, version, figures });
    }
    Ok(outcomes)
}

fn measure(server: &Server, parameters: &Parameters) -> Result<Figures> {
    let now_ms = unix_s() as i64 * 1000;
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
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.expect("the clock is after 1970").as_secs_f64()
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
