//! What is run: each scenario starts one server after the other on the same workload, checks that
//! the samples are really there, and returns figures.

pub mod append;
pub mod fleet;
pub mod overload;
pub mod query;
pub mod ramp;
pub mod remote_write;
pub mod rules;
pub mod scrape;
pub mod start;
pub mod tsbs;

use std::borrow::Cow;
use std::io::Result;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::body::Protocol;
use crate::options::{OptionError, Options};
use crate::report::{Outcome, Run};
use crate::server::{Kind, Server, Setup};

/// A scenario as the command line knows it.
pub struct Scenario {
    pub name: &'static str,
    /// What it does and its options, as the usage shows them.
    pub usage: &'static str,
    pub run: fn(&Common, Options) -> std::result::Result<Run, String>,
}

pub const SCENARIOS: &[Scenario] = &[
    remote_write::SCENARIO,
    ramp::SCENARIO,
    fleet::SCENARIO,
    tsbs::SCENARIO,
    overload::SCENARIO,
    append::SCENARIO,
    scrape::SCENARIO,
    query::SCENARIO,
    rules::SCENARIO,
    start::SCENARIO,
];

impl Scenario {
    pub fn named(name: &str) -> Option<&'static Scenario> {
        SCENARIOS.iter().find(|scenario| scenario.name == name)
    }
}

/// Ends a scenario's reading of its options.
fn finish(
    options: Options,
    parameters: Value,
    run: impl FnOnce() -> Result<Vec<Outcome>>,
) -> std::result::Result<Run, OptionError> {
    options.done()?;
    let outcomes = run().map_err(|error| error.to_string())?;
    Ok(Run { parameters, outcomes })
}

/// A server's figures by name, in the order they are shown.
pub type Figures = Vec<(Cow<'static, str>, f64)>;

fn figures<const N: usize>(named: [(&'static str, f64); N]) -> Figures {
    named.into_iter().map(|(name, value)| (name.into(), value)).collect()
}

/// What all scenarios share.
#[derive(Clone, Debug)]
pub struct Common {
    /// Where programs are looked for before PATH.
    pub program_directories: Vec<PathBuf>,
    /// Where servers keep their data while they run.
    pub work_directory: PathBuf,
    pub servers: Vec<Kind>,
    pub hearth_args: Vec<String>,
}

/// Which servers a scenario leaves out, and why.
type Leaves = fn(Kind) -> Option<&'static str>;

fn leaves_none(_: Kind) -> Option<&'static str> {
    None
}

impl Protocol {
    /// Who does not speak it.
    fn leaves(self) -> Leaves {
        match self {
            Protocol::V1 => leaves_none,
            Protocol::V2 => {
                |kind| (kind == Kind::VictoriaMetrics).then_some("does not speak remote_write 2.0")
            }
        }
    }
}

impl Common {
    /// Takes what concerns all scenarios from the command line.
    pub fn take(options: &mut Options) -> std::result::Result<Common, OptionError> {
        let servers = match options.take("servers") {
            None => vec![Kind::Hearth, Kind::Prometheus, Kind::VictoriaMetrics],
            Some(list) => list
                .split(',')
                .map(|name| Kind::named(name).ok_or(format!("--servers: {name} is not known")))
                .collect::<std::result::Result<_, _>>()?,
        };
        // hearth is built into the same folder as this program.
        let own = std::env::current_exe().ok().and_then(|path| path.parent().map(PathBuf::from));
        let mut program_directories: Vec<PathBuf> = own.into_iter().collect();
        if let Some(list) = options.take("programs") {
            program_directories.extend(list.split(':').map(PathBuf::from));
        }
        let hearth_args = options.take("hearth-args").unwrap_or_default();
        let hearth_args = hearth_args.split(',').filter(|arg| !arg.is_empty());
        Ok(Common {
            program_directories,
            work_directory: match options.take("work-dir") {
                Some(path) => PathBuf::from(path),
                None => std::env::temp_dir().join(format!("hearth-bench-{}", std::process::id())),
            },
            servers,
            hearth_args: hearth_args.map(str::to_owned).collect(),
        })
    }

    /// Measures each server that is installed, one after the other, each in a folder of its own
    /// that goes afterwards. `measure` starts it. What failed with one is its outcome, with the last
    /// lines of its log; the others are measured all the same.
    fn each(
        &self,
        leaves: Leaves,
        mut measure: impl FnMut(&Setup) -> Result<Figures>,
    ) -> Result<Vec<Outcome>> {
        let mut outcomes = Vec::new();
        for &kind in &self.servers {
            if let Some(why) = leaves(kind) {
                eprintln!("{}: {why}, left out", kind.name());
                continue;
            }
            let Some(program) = kind.find(&self.program_directories) else {
                eprintln!("{}: not installed, left out", kind.name());
                continue;
            };
            let version = version(&program);
            let setup = Setup {
                kind,
                program,
                directory: self.work_directory.join(kind.name()),
                address: free_address()?,
                config: None,
                hearth_args: self.hearth_args.clone(),
            };
            let (figures, failure) = match measure(&setup) {
                Ok(figures) => (figures, None),
                Err(error) => (Figures::new(), Some(format!("{error}{}", setup.log_end()))),
            };
            std::fs::remove_dir_all(&setup.directory)?;
            let ack = setup.ack_durability();
            outcomes.push(Outcome { kind, version, ack, figures, failure });
        }
        Ok(outcomes)
    }

    /// As [`Common::each`], with a server that was started on an empty directory and is stopped in
    /// order.
    fn each_server(
        &self,
        leaves: Leaves,
        mut measure: impl FnMut(&Server) -> Result<Figures>,
    ) -> Result<Vec<Outcome>> {
        self.each(leaves, |setup| {
            let server = Server::start(setup)?;
            let figures = measure(&server)?;
            server.stop()?;
            Ok(figures)
        })
    }
}

/// A free loopback port, by asking the kernel for one.
pub fn free_address() -> Result<std::net::SocketAddr> {
    std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()
}

/// Milliseconds since 1970.
pub(crate) fn unix_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.expect("the clock is after 1970").as_millis() as i64
}

/// The first number-like word of `--version`.
fn version(program: &Path) -> String {
    let Ok(output) = Command::new(program).arg("--version").output() else {
        return String::new();
    };
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    text.split(|byte: char| !(byte.is_ascii_alphanumeric() || ".+-".contains(byte)))
        .map(|word| word.trim_start_matches('v'))
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.'))
        .unwrap_or_default()
        .to_owned()
}
