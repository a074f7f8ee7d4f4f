//! Series as TSBS's `cpu-only` use case has them: ten measures of a host with ten tags, each a walk
//! between 0 and 100. TSBS writes it in whole numbers; with all the digits that a float has nothing
//! compresses it well.
//!
//! Source of the shape: timescale/tsbs, use case `cpu-only`.

use super::Series;
use super::families::Kind;

/// The measures, without their prefix `cpu_`.
pub const MEASURES: [&str; 10] = [
    "usage_user",
    "usage_system",
    "usage_idle",
    "usage_nice",
    "usage_iowait",
    "usage_irq",
    "usage_softirq",
    "usage_steal",
    "usage_guest",
    "usage_guest_nice",
];

const REGIONS: [&str; 9] = [
    "us-east-1",
    "us-west-1",
    "us-west-2",
    "eu-west-1",
    "eu-central-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-northeast-1",
    "sa-east-1",
];
const SYSTEMS: [&str; 3] = ["Ubuntu16.10", "Ubuntu16.04LTS", "Ubuntu15.10"];
const TEAMS: [&str; 4] = ["SF", "NYC", "LON", "CHI"];
const ENVIRONMENTS: [&str; 3] = ["production", "staging", "test"];

pub fn host(number: usize) -> String {
    format!("host_{number}")
}

/// The first `count` series of host `number`, whose values are whole.
pub fn host_series(number: usize, count: usize) -> Vec<Series> {
    host_series_of(Kind::GaugeWhole, number, count)
}

/// As [`host_series`], with values that have all digits.
pub fn host_series_full(number: usize, count: usize) -> Vec<Series> {
    host_series_of(Kind::GaugeFull, number, count)
}

fn host_series_of(kind: Kind, number: usize, count: usize) -> Vec<Series> {
    let region = REGIONS[number % REGIONS.len()];
    let measures = MEASURES.iter().take(count);
    let series = measures.map(|measure| Series {
        labels: vec![
            ("__name__", format!("cpu_{measure}")),
            ("arch", ["x86", "x64"][number / 3 % 2].to_owned()),
            ("datacenter", format!("{region}{}", ["a", "b", "c"][number / 9 % 3])),
            ("hostname", host(number)),
            ("os", SYSTEMS[number / 5 % SYSTEMS.len()].to_owned()),
            ("rack", (number * 7 % 100).to_string()),
            ("region", region.to_owned()),
            ("service", (number * 3 % 20).to_string()),
            ("service_environment", ENVIRONMENTS[number / 7 % ENVIRONMENTS.len()].to_owned()),
            ("service_version", (number % 2).to_string()),
            ("team", TEAMS[number / 2 % TEAMS.len()].to_owned()),
        ],
        kind,
    });
    series.collect()
}

#[cfg(test)]
mod tests {
    use super::{MEASURES, host_series};

    #[test]
    fn hosts_have_sorted_labels() {
        let series = host_series(11, MEASURES.len());
        assert_eq!(series.len(), MEASURES.len());
        assert!(series.iter().all(|one| one.labels.is_sorted_by(|a, b| a.0 < b.0)));
    }
}
