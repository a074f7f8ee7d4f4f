//! All workloads by one command, in one of three sizes: each run prints its table and leaves its raw
//! numbers in a folder; at the end all ratios stand together.

use std::path::{Path, PathBuf};

use crate::options::Options;
use crate::report::{self, Outcome, Run};
use crate::scenarios::{Common, Scenario};
use crate::server::Kind;

/// One run: its name, its scenario and options, and the figure that its ratios are of.
#[derive(Clone, Copy, Debug)]
struct Item {
    name: &'static str,
    scenario: &'static str,
    /// Separated by spaces.
    options: &'static str,
    figure: &'static str,
}

const PER_CPU: &str = "samples per CPU second";

const fn item(
    name: &'static str,
    scenario: &'static str,
    options: &'static str,
    figure: &'static str,
) -> Item {
    Item { name, scenario, options, figure }
}

// Runs that stand once in a size, under the name of their scenario.

const fn ramp(options: &'static str) -> Item {
    item("ramp", "ramp", options, "rate that was held, samples per second")
}

const fn fleet(options: &'static str) -> Item {
    item("fleet", "fleet", options, "cores in use")
}

const fn tsbs(options: &'static str) -> Item {
    item("tsbs", "tsbs", options, PER_CPU)
}

const fn query(options: &'static str) -> Item {
    item("query", "query", options, "all medians, ms")
}

const fn rules(options: &'static str) -> Item {
    item("rules", "rules", options, "CPU seconds a round")
}

const fn start(options: &'static str) -> Item {
    item("start", "start", options, "ready after SIGKILL, s")
}

const fn append(options: &'static str) -> Item {
    item("append", "append", options, PER_CPU)
}

/// Everything that a comparison is made of. With all peers it takes about an hour.
const FULL: &[Item] = &[
    // Few series come round often: of shorter intervals there are enough before now.
    item("steady-10k", "remote-write", "--series=10000 --interval-ms=1000", PER_CPU),
    item("steady-100k", "remote-write", "--series=100000 --interval-ms=5000", PER_CPU),
    item("steady-1m", "remote-write", "--series=1000000", PER_CPU),
    item("steady-5m", "remote-write", "--series=5000000 --seconds=60", PER_CPU),
    item(
        "protocol-2-100k",
        "remote-write",
        "--series=100000 --protocol=2 --interval-ms=5000",
        PER_CPU,
    ),
    item("protocol-2-1m", "remote-write", "--series=1000000 --protocol=2", PER_CPU),
    item(
        "churn-1-percent-10-minutes",
        "remote-write",
        "--series=1000000 --churn-percent=1 --churn-minutes=10",
        PER_CPU,
    ),
    item(
        "churn-10-percent-a-minute",
        "remote-write",
        "--series=1000000 --churn-percent=10 --churn-minutes=1",
        PER_CPU,
    ),
    item("new-series", "remote-write", "--series=1000000 --churn-percent=100", PER_CPU),
    item("overload", "overload", "", "5 x: accepted, share of the peak"),
    item("scrape-200x1000", "scrape", "--targets=200 --series=1000", PER_CPU),
    item("scrape-20x20000", "scrape", "--targets=20 --series=20000", PER_CPU),
    ramp("--series=1000000 --interval-ms=15000"),
    fleet("--seconds=60"),
    // With four times the hosts Prometheus alone takes more than a quarter of an hour.
    tsbs("--hosts=1000 --repeat=10"),
    query(""),
    item("query-at-rest", "query", "--restart=1", "all medians, ms"),
    rules("--seconds=60"),
    start("--series=1000000 --minutes=15"),
    append("--by=id"),
];

/// What a laptop does in some minutes.
const SMALL: &[Item] = &[
    item("steady-100k", "remote-write", "--series=100000 --seconds=10", PER_CPU),
    item("protocol-2-100k", "remote-write", "--series=100000 --protocol=2 --seconds=10", PER_CPU),
    item(
        "churn-10-percent-a-minute",
        "remote-write",
        "--series=100000 --churn-percent=10 --churn-minutes=1 --seconds=10",
        PER_CPU,
    ),
    item("new-series", "remote-write", "--churn-percent=100 --seconds=5", PER_CPU),
    item("overload", "overload", "--seconds=5 --multiples=5", "5 x: accepted, share of the peak"),
    item("scrape-100x1000", "scrape", "--targets=100 --series=1000 --seconds=10", PER_CPU),
    ramp("--seconds=1.5 --factor=1.5"),
    fleet("--targets=200 --interval-ms=5000 --seconds=10"),
    tsbs("--hosts=100 --hours=3 --repeat=10"),
    query("--pods=300 --repeat=3"),
    rules("--pods=1000 --rules=200 --interval-ms=2000 --seconds=10"),
    start("--series=100000 --minutes=15"),
    append("--by=id --series=100000 --rounds=50"),
];

/// Whether everything runs, in a few seconds: the numbers say nothing.
const TRIAL: &[Item] = &[
    item("steady", "remote-write", "--series=2000 --request=500 --seconds=0.2", PER_CPU),
    item(
        "protocol-2",
        "remote-write",
        "--series=2000 --request=500 --protocol=2 --queries=1 --seconds=0.2",
        PER_CPU,
    ),
    item(
        "churn",
        "remote-write",
        "--series=2000 --request=500 --churn-percent=100 --rate=20000 --seconds=0.2",
        PER_CPU,
    ),
    item(
        "overload",
        "overload",
        "--series=2000 --request=100 --multiples=2 --seconds=0.2",
        "2 x: accepted, share of the peak",
    ),
    item("scrape", "scrape", "--targets=3 --series=50 --interval-ms=200 --seconds=0.2", PER_CPU),
    ramp("--series=2000 --request=200 --from=20000 --factor=20 --p99-ms=0.01 --seconds=0.1"),
    fleet("--targets=2 --request=500 --interval-ms=1000 --seconds=0.3"),
    tsbs("--hosts=8 --hours=1 --repeat=1"),
    query("--pods=10 --minutes=10 --repeat=1"),
    rules("--pods=50 --rules=10 --interval-ms=300 --seconds=0.3"),
    start("--series=2000 --minutes=2"),
    append("--by=id --series=2000 --rounds=5"),
];

const SIZES: &[(&str, &[Item])] = &[("full", FULL), ("small", SMALL), ("trial", TRIAL)];

pub fn usage() -> String {
    let sizes: Vec<&str> = SIZES.iter().map(|(name, _)| *name).collect();
    format!(
        ": every workload, one after the other, and their ratios
  --size={}  an hour, some minutes, some seconds (small)
  --only=LIST         of the runs only these, separated by ','
  --results=DIR       where raw numbers and tables go (bench-results)
",
        sizes.join("|")
    )
}

/// Runs what the options say. A run that fails is told and does not end the others.
///
/// Errors: wrong options; or that any run failed, after all.
pub fn run(common: &Common, mut options: Options) -> Result<(), String> {
    let size = options.take("size").unwrap_or_else(|| "small".to_owned());
    let (_, items) = SIZES
        .iter()
        .find(|(name, _)| *name == size)
        .ok_or_else(|| format!("--size={size}: full, small or trial"))?;
    let folder = PathBuf::from(options.take("results").unwrap_or_else(|| "bench-results".into()));
    let only = options.take("only");
    options.done()?;
    let wanted: Vec<&str> = only.iter().flat_map(|list| list.split(',')).collect();
    if let Some(name) = wanted.iter().find(|name| items.iter().all(|item| item.name != **name)) {
        return Err(format!("--only: {name} is none of this size's runs"));
    }
    let mut rows = Vec::new();
    let mut failures = Vec::new();
    for item in items.iter().filter(|item| only.is_none() || wanted.contains(&item.name)) {
        eprintln!("{}: {} {}", item.name, item.scenario, item.options);
        match item.run(common) {
            Ok(run) => {
                let table = item.keep(&folder, &run)?;
                println!("## {}\n\n{} {}\n\n{table}", item.name, item.scenario, item.options);
                if let Some(why) = run.failures() {
                    eprintln!("{}: {why}", item.name);
                    failures.push(item.name);
                }
                rows.push((item, run.outcomes));
            }
            Err(error) => {
                eprintln!("{}: {error}", item.name);
                failures.push(item.name);
            }
        }
    }
    let summary = summary(&rows);
    println!("{summary}");
    write(&folder.join("summary.md"), &summary)?;
    match failures.is_empty() {
        true => Ok(()),
        false => Err(format!("failed: {}", failures.join(", "))),
    }
}

impl Item {
    fn run(&self, common: &Common) -> Result<Run, String> {
        let scenario = Scenario::named(self.scenario).expect("the suite names scenarios");
        let run = (scenario.run)(common, Options::parse(self.options.split_whitespace())?);
        let _ = std::fs::remove_dir_all(&common.work_directory);
        run
    }

    /// Keeps what a run gave; returns its table.
    fn keep(&self, folder: &Path, run: &Run) -> Result<String, String> {
        let path = folder.join(format!("{}.json", self.name));
        report::save(&path, self.scenario, run)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        let table = report::table(&run.outcomes);
        write(&folder.join(format!("{}.md", self.name)), &table)?;
        Ok(table)
    }
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// One row a run: its figure of every server, and hearth's ratio to each peer.
fn summary(rows: &[(&Item, Vec<Outcome>)]) -> String {
    const PEERS: [Kind; 2] = [Kind::Prometheus, Kind::VictoriaMetrics];
    let mut out = String::from("| run | figure | hearth |");
    for peer in PEERS {
        out += &format!(" {} | hearth / {} |", peer.name(), peer.name());
    }
    out += "\n|---|---|---|---|---|---|---|\n";
    for (item, outcomes) in rows {
        let of = |kind| {
            let outcome = outcomes.iter().find(|outcome| outcome.kind == kind);
            outcome.and_then(|outcome| outcome.figure(item.figure))
        };
        let own = of(Kind::Hearth);
        let shown = |value: Option<f64>| value.map_or("-".to_owned(), report::number);
        out += &format!("| {} | {} | {} |", item.name, item.figure, shown(own));
        for peer in PEERS {
            let other = of(peer);
            let ratio = own.zip(other).filter(|(_, other)| *other != 0.0);
            let ratio = ratio.map_or("-".to_owned(), |(own, other)| format!("{:.2}", own / other));
            out += &format!(" {} | {ratio} |", shown(other));
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{Item, SIZES, summary};
    use crate::report::Outcome;
    use crate::scenarios::Scenario;
    use crate::server::Kind;

    #[test]
    fn every_run_names_a_scenario_and_has_a_name_of_its_own() {
        for (size, items) in SIZES {
            let names: HashSet<&str> = items.iter().map(|item| item.name).collect();
            assert_eq!(names.len(), items.len(), "{size}");
            for item in *items {
                assert!(Scenario::named(item.scenario).is_some(), "{item:?}");
            }
        }
    }

    #[test]
    fn ratios_stand_beside_the_figures() {
        let item = Item { name: "a", scenario: "append", options: "", figure: "x" };
        let outcome = |kind, value| Outcome {
            kind,
            version: String::new(),
            ack: "",
            figures: vec![("x".into(), value)],
            failure: None,
        };
        let outcomes = vec![outcome(Kind::Hearth, 6.0), outcome(Kind::Prometheus, 2.0)];
        let text = summary(&[(&item, outcomes)]);
        assert!(text.ends_with("| a | x | 6.00 | 2.00 | 3.00 | - | - |\n"), "{text}");
    }
}
