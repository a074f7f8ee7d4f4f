//! `cargo run --release -p bench -- <scenario> [--option=value …]`: hearth and its peers side by
//! side in one run. See README.md.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use bench::body::Protocol;
use bench::report;
use bench::scenarios::{Common, append, overload, query, remote_write, rules, scrape, start};
use bench::server::Kind;
use bench::workload::pods::POD_SERIES;
use serde_json::json;

const USAGE: &str =
    "usage: bench <remote-write|overload|append|scrape|query|rules|start> [--option=value ...]

options of all scenarios
  --servers=LIST      hearth,prometheus,victoria-metrics (all that are installed)
  --programs=DIRS     folders to look for programs in before PATH, separated by ':'
  --work-dir=DIR      where servers keep their data (a folder of the system's temporary folder)
  --hearth-args=LIST  further arguments for hearth, separated by ','
  --seconds=N         measured time for each server (20)
  --save=FILE         where the raw numbers go (not kept)

remote-write
  --protocol=1|2      remote_write version (1)
  --series=N          active series (100000)
  --request=N         series in a request (2000)
  --connections=N     connections, each a closed loop (4)
  --interval-ms=N     distance of two samples of a series (15000)
  --rate=N            samples offered a second, by a schedule (as many as the server takes)
  --churn-percent=N   instances replaced after each round; 100: every series is new (0)
  --queries=N         connections that ask a heavy query again and again meanwhile (0)
  --seed=N            seed of the values (1)

overload: the peak, then several times as much, then the peak again
  --protocol, --series, --request, --connections, --seed as above
  --multiples=LIST    of the peak, one after the other (2,5,10)

append: hearth's storage in this process, no network and no disk
  --series, --request, --interval-ms, --seed as above
  --by=labels|id      how samples name their series (labels)
  --threads=N         shards, a thread each (all cores)
  --rounds=N          measured samples of each series (100)

scrape
  --targets=N         targets (200)
  --series=N          series a target (1000)
  --interval-ms=N     scrape interval (1000)

query
  --pods=N            pods of 19 series (1000)
  --minutes=N         from the oldest sample to the newest (120)
  --interval-ms=N     distance of two samples of a series (30000)
  --step-ms=N         step of range queries (30000)
  --range-minutes=N   what range queries reach over (120)
  --end-back-minutes=N  how far before the newest sample queries end (0)
  --repeat=N          timed runs of each query (5)
  --restart=0|1       restart the server between load and queries (0)
  --peaks=0|1         show the peak memory of each query (0)

rules
  --pods=N            pods of 19 series (52650: a million series)
  --rules=N           rules, ten a group and namespace (10000)
  --interval-ms=N     evaluation interval (30000)

start
  --series=N          active series (100000)
  --minutes=N         from the oldest sample to the newest (120)
  --interval-ms=N     distance of two samples of a series (15000)
";

struct Options(Vec<(String, String)>);

impl Options {
    fn parse(args: impl Iterator<Item = String>) -> Result<Options, String> {
        args.map(|arg| {
            let pair = arg.strip_prefix("--").and_then(|arg| arg.split_once('='));
            let (name, value) = pair.ok_or(format!("{arg}: options are --name=value"))?;
            Ok((name.to_owned(), value.to_owned()))
        })
        .collect::<Result<_, String>>()
        .map(Options)
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(own, _)| own == name)?;
        Some(self.0.remove(at).1)
    }

    fn number(&mut self, name: &str, default: u64) -> Result<u64, String> {
        match self.take(name) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| format!("--{name}={text}: not a number")),
        }
    }

    fn done(self) -> Result<(), String> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(format!("--{name}: no such option")),
        }
    }
}

fn common(options: &mut Options) -> Result<Common, String> {
    let servers = match options.take("servers") {
        None => vec![Kind::Hearth, Kind::Prometheus, Kind::VictoriaMetrics],
        Some(list) => list
            .split(',')
            .map(|name| match name {
                "hearth" => Ok(Kind::Hearth),
                "prometheus" => Ok(Kind::Prometheus),
                "victoria-metrics" => Ok(Kind::VictoriaMetrics),
                _ => Err(format!("--servers: {name} is not known")),
            })
            .collect::<Result<_, _>>()?,
    };
    // hearth is built into the same folder as this program.
    let own = std::env::current_exe().ok().and_then(|path| path.parent().map(PathBuf::from));
    let mut program_directories: Vec<PathBuf> = own.into_iter().collect();
    if let Some(list) = options.take("programs") {
        program_directories.extend(list.split(':').map(PathBuf::from));
    }
    Ok(Common {
        program_directories,
        work_directory: match options.take("work-dir") {
            Some(path) => PathBuf::from(path),
            None => std::env::temp_dir().join(format!("hearth-bench-{}", std::process::id())),
        },
        servers,
        hearth_args: options
            .take("hearth-args")
            .map(|list| list.split(',').map(str::to_owned).collect())
            .unwrap_or_default(),
    })
}

fn protocol(options: &mut Options) -> Result<Protocol, String> {
    match options.number("protocol", 1)? {
        1 => Ok(Protocol::V1),
        2 => Ok(Protocol::V2),
        other => Err(format!("--protocol={other}: 1 or 2")),
    }
}

/// The scenario without servers; says what it measured.
fn run_append(mut options: Options) -> Result<(), String> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let parameters = append::Parameters {
        by: match options.take("by").as_deref() {
            None | Some("labels") => append::By::Labels,
            Some("id") => append::By::Id,
            Some(other) => return Err(format!("--by={other}: labels or id")),
        },
        series_count: options.number("series", 1_000_000)? as usize,
        series_per_batch: options.number("request", 2000)?.max(1) as usize,
        thread_count: options.number("threads", cores as u64)?.max(1) as usize,
        rounds: options.number("rounds", 100)? as usize,
        interval_ms: options.number("interval-ms", 15_000)? as i64,
        seed: options.number("seed", 1)?,
    };
    options.done()?;
    let figures = append::run(&parameters);
    println!("append {parameters:?}\n");
    println!("samples per second, all threads: {:.0}", figures.samples_per_second());
    println!("samples per CPU second: {:.0}", figures.samples as f64 / figures.cpu_seconds);
    println!("log bytes per sample: {:.2}", figures.log_bytes as f64 / figures.samples as f64);
    println!("new series per second, all threads: {:.0}", figures.new_series_per_second);
    let bytes = figures.head_bytes;
    let each = |bytes| bytes as f64 / parameters.series_count as f64;
    println!("bytes of memory per series: {:.0}", each(bytes.total()));
    for (what, bytes) in bytes.parts() {
        println!("  {what}: {:.1}", each(bytes));
    }
    Ok(())
}

fn run() -> Result<(), String> {
    let mut args = std::env::args().skip(1);
    let scenario = args.next().ok_or(USAGE)?;
    let mut options = Options::parse(args)?;
    if scenario == "append" {
        return run_append(options);
    }
    let common = common(&mut options)?;
    let save = options.take("save");
    let duration = Duration::from_secs(options.number("seconds", 20)?);
    let (parameters, outcomes) = match scenario.as_str() {
        "remote-write" => {
            let parameters = remote_write::Parameters {
                protocol: protocol(&mut options)?,
                series_count: options.number("series", 100_000)? as usize,
                series_per_instance: 1000,
                samples_per_second: match options.number("rate", 0)? {
                    0 => None,
                    rate => Some(rate),
                },
                churn_per_round: options.number("churn-percent", 0)? as f64 / 100.0,
                query_connection_count: options.number("queries", 0)? as usize,
                series_per_request: options.number("request", 2000)? as usize,
                connection_count: options.number("connections", 4)? as usize,
                interval_ms: options.number("interval-ms", 15_000)? as i64,
                duration,
                seed: options.number("seed", 1)?,
            };
            options.done()?;
            let shown = json!({
                "protocol": format!("{:?}", parameters.protocol),
                "series": parameters.series_count,
                "series_per_request": parameters.series_per_request,
                "connections": parameters.connection_count,
                "interval_ms": parameters.interval_ms,
                "rate": parameters.samples_per_second,
                "churn_per_round": parameters.churn_per_round,
                "queries": parameters.query_connection_count,
                "seconds": duration.as_secs(),
                "seed": parameters.seed,
            });
            (shown, remote_write::run(&common, &parameters))
        }
        "overload" => {
            let multiples = options.take("multiples").unwrap_or_else(|| "2,5,10".to_owned());
            let multiple = |text: &str| match text.parse() {
                Ok(multiple) if multiple > 0 => Ok(multiple),
                _ => Err(format!("--multiples: {text} is not a number above 0")),
            };
            let parameters = overload::Parameters {
                protocol: protocol(&mut options)?,
                series_count: options.number("series", 100_000)? as usize,
                series_per_request: options.number("request", 2000)?.max(1) as usize,
                connection_count: options.number("connections", 4)?.max(1) as usize,
                multiples: multiples.split(',').map(multiple).collect::<Result<_, _>>()?,
                duration,
                seed: options.number("seed", 1)?,
            };
            options.done()?;
            let shown = json!({
                "protocol": format!("{:?}", parameters.protocol),
                "series": parameters.series_count,
                "series_per_request": parameters.series_per_request,
                "connections": parameters.connection_count,
                "multiples": parameters.multiples,
                "seconds": duration.as_secs(),
                "seed": parameters.seed,
            });
            (shown, overload::run(&common, &parameters))
        }
        "scrape" => {
            let parameters = scrape::Parameters {
                target_count: options.number("targets", 200)? as usize,
                series_per_target: options.number("series", 1000)? as usize,
                interval: Duration::from_millis(options.number("interval-ms", 1000)?),
                duration,
            };
            options.done()?;
            let shown = json!({
                "targets": parameters.target_count,
                "series_per_target": parameters.series_per_target,
                "interval_ms": parameters.interval.as_millis() as u64,
                "seconds": duration.as_secs(),
            });
            (shown, scrape::run(&common, &parameters))
        }
        "query" => {
            let minutes = |value: u64| value as i64 * 60_000;
            let parameters = query::Parameters {
                pod_count: options.number("pods", 1000)? as usize,
                span_ms: minutes(options.number("minutes", 120)?),
                interval_ms: options.number("interval-ms", 30_000)? as i64,
                step_ms: options.number("step-ms", 30_000)? as i64,
                range_ms: minutes(options.number("range-minutes", 120)?),
                end_back_ms: minutes(options.number("end-back-minutes", 0)?),
                repeat_count: options.number("repeat", 5)?.max(1) as usize,
                restarts: options.number("restart", 0)? != 0,
                shows_peaks: options.number("peaks", 0)? != 0,
            };
            options.done()?;
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
            (shown, query::run(&common, &parameters))
        }
        "rules" => {
            let parameters = rules::Parameters {
                pod_count: options.number("pods", 52_650)? as usize,
                rule_count: options.number("rules", 10_000)? as usize,
                interval: Duration::from_millis(options.number("interval-ms", 30_000)?),
                duration,
            };
            options.done()?;
            let shown = json!({
                "series": parameters.pod_count * POD_SERIES,
                "rules": parameters.rule_count,
                "interval_ms": parameters.interval.as_millis() as u64,
                "seconds": duration.as_secs(),
            });
            (shown, rules::run(&common, &parameters))
        }
        "start" => {
            let load = remote_write::Parameters {
                protocol: Protocol::V1,
                series_count: options.number("series", 100_000)? as usize,
                series_per_instance: 1000,
                samples_per_second: None,
                churn_per_round: 0.0,
                query_connection_count: 0,
                series_per_request: 2000,
                connection_count: 4,
                interval_ms: options.number("interval-ms", 15_000)? as i64,
                duration,
                seed: 1,
            };
            let span = Duration::from_secs(60 * options.number("minutes", 120)?);
            let parameters = start::Parameters { load, span };
            options.done()?;
            let shown = json!({
                "series": parameters.load.series_count,
                "minutes": span.as_secs() / 60,
                "interval_ms": parameters.load.interval_ms,
            });
            (shown, start::run(&common, &parameters))
        }
        _ => return Err(USAGE.to_owned()),
    };
    let _ = std::fs::remove_dir_all(&common.work_directory);
    let outcomes = outcomes.map_err(|error| error.to_string())?;
    println!("{scenario} {parameters}\n\n{}", report::table(&outcomes));
    if let Some(path) = save {
        report::save(path.as_ref(), &scenario, parameters, &outcomes)
            .map_err(|error| format!("{path}: {error}"))?;
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
