//! `cargo run --release -p bench -- <scenario> [--option=value …]`: hearth and its peers side by
//! side in one run. See README.md.

use std::process::ExitCode;

use bench::options::Options;
use bench::scenarios::{Common, SCENARIOS, Scenario};
use bench::{report, suite};

const COMMON_USAGE: &str = "
options of all
  --servers=LIST      hearth,prometheus,victoria-metrics (all that are installed)
  --programs=DIRS     folders to look for programs in before PATH, separated by ':'
  --work-dir=DIR      where servers keep their data (a folder of the system's temporary folder)
  --hearth-args=LIST  further arguments for hearth, separated by ','
  --seconds=X         measured time for each server (20)
  --save=FILE         where the raw numbers go (not kept)
";

fn usage() -> String {
    let names: Vec<&str> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
    let mut out = format!("usage: bench <all|{}> [--option=value ...]\n", names.join("|"));
    out += COMMON_USAGE;
    out += "\nall";
    out += &suite::usage();
    for scenario in SCENARIOS {
        out += &format!("\n{}{}", scenario.name, scenario.usage);
    }
    out
}

fn run() -> Result<(), String> {
    let mut args = std::env::args().skip(1);
    let name = args.next().ok_or_else(usage)?;
    let mut options = Options::parse(args)?;
    let common = Common::take(&mut options)?;
    if name == "all" {
        return suite::run(&common, options);
    }
    let scenario = Scenario::named(&name).ok_or_else(usage)?;
    let save = options.take("save");
    let run = (scenario.run)(&common, options);
    let _ = std::fs::remove_dir_all(&common.work_directory);
    let run = run?;
    println!("{name} {}\n\n{}", run.parameters, report::table(&run.outcomes));
    if let Some(path) = save {
        report::save(path.as_ref(), &name, &run).map_err(|error| format!("{path}: {error}"))?;
    }
    run.failures().map_or(Ok(()), Err)
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
