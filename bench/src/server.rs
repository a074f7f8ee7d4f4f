//! A server under test as a process: how it is started, and what it costs.
//!
//! CPU seconds come from `/proc/<pid>/stat` (user and system, all threads), memory from
//! `/proc/<pid>/status`, bytes on disk from walking the data directory. Nothing is linked in.

use std::fs;
use std::io::{Error, Result};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::client::Connection;

/// Lines of a server's log that an error shows.
const LOG_LINES_SHOWN: usize = 5;

/// The servers that a scenario can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Hearth,
    Prometheus,
    VictoriaMetrics,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Hearth => "hearth",
            Kind::Prometheus => "prometheus",
            Kind::VictoriaMetrics => "victoria-metrics",
        }
    }

    pub fn named(name: &str) -> Option<Kind> {
        let all = [Kind::Hearth, Kind::Prometheus, Kind::VictoriaMetrics];
        all.into_iter().find(|kind| kind.name() == name)
    }

    /// The program: in `directories` first, then on PATH, under any of its usual names.
    pub fn find(self, directories: &[PathBuf]) -> Option<PathBuf> {
        let names: &[&str] = match self {
            Kind::Hearth => &["hearth"],
            Kind::Prometheus => &["prometheus"],
            Kind::VictoriaMetrics => &["victoria-metrics", "victoria-metrics-prod"],
        };
        let path = std::env::var_os("PATH").unwrap_or_default();
        directories
            .iter()
            .cloned()
            .chain(std::env::split_paths(&path))
            .flat_map(|directory| names.iter().map(move |name| directory.join(name)))
            .find(|candidate| candidate.is_file())
    }
}

/// How a server is to be run.
#[derive(Clone, Debug)]
pub struct Setup {
    pub kind: Kind,
    pub program: PathBuf,
    /// Emptied before the start.
    pub directory: PathBuf,
    pub address: SocketAddr,
    /// A Prometheus configuration; without one the server scrapes nothing.
    pub config: Option<String>,
    /// Further arguments for hearth (`--shards=1`).
    pub hearth_args: Vec<String>,
}

impl Setup {
    /// What a success answer to remote_write promises.
    pub fn ack_durability(&self) -> &'static str {
        let sync = self.hearth_args.iter().find_map(|arg| arg.strip_prefix("--storage.wal.sync="));
        match (self.kind, sync) {
            (Kind::Hearth, None | Some("batch")) => "synced to disk",
            (Kind::Hearth, Some(_)) | (Kind::Prometheus, _) => "in the page cache",
            (Kind::VictoriaMetrics, _) => "in memory, up to 5 s",
        }
    }

    /// The last lines that the server wrote, for whoever has to say what went wrong.
    pub fn log_end(&self) -> String {
        let log = fs::read_to_string(self.directory.join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].iter();
        last.map(|line| format!("\n  {line}")).collect()
    }
}

/// A running server; killed when dropped.
pub struct Server {
    child: Child,
    pub kind: Kind,
    pub address: SocketAddr,
    pub data_directory: PathBuf,
}

/// What a process had used at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    pub at: Instant,
    pub cpu_seconds: f64,
    pub resident_bytes: u64,
}

impl Server {
    /// Starts the server on an empty directory and waits until it says it is ready (at most
    /// ten minutes).
    pub fn start(setup: &Setup) -> Result<Server> {
        let _ = fs::remove_dir_all(&setup.directory);
        Server::restart(setup)
    }

    /// As [`Server::start`], on what the directory holds.
    pub fn restart(setup: &Setup) -> Result<Server> {
        let data_directory = setup.directory.join("data");
        fs::create_dir_all(&data_directory)?;
        let config = setup.directory.join("prometheus.yml");
        fs::write(&config, setup.config.as_deref().unwrap_or("scrape_configs: []\n"))?;
        let log = fs::File::create(setup.directory.join("log"))?;
        let mut command = Command::new(&setup.program);
        let (data, config) = (data_directory.display(), config.display());
        match setup.kind {
            Kind::Hearth | Kind::Prometheus => {
                command
                    .arg(format!("--config.file={config}"))
                    .arg(format!("--storage.tsdb.path={data}"))
                    .arg(format!("--web.listen-address={}", setup.address))
                    .arg("--web.enable-remote-write-receiver");
                if setup.kind == Kind::Hearth {
                    command.args(&setup.hearth_args);
                } else {
                    for message in ["prometheus.WriteRequest", "io.prometheus.write.v2.Request"] {
                        command.arg(format!(
                            "--web.remote-write-receiver.accepted-protobuf-messages={message}"
                        ));
                    }
                }
            }
            Kind::VictoriaMetrics => {
                command
                    .arg(format!("-storageDataPath={data}"))
                    .arg(format!("-httpListenAddr={}", setup.address))
                    .arg("-retentionPeriod=100y")
                    .arg("-search.latencyOffset=1s") // The check asks for the newest samples.
                    .arg("-search.maxQueryDuration=5m"); // And counts all, which may be millions.
                if setup.config.is_some() {
                    command.arg(format!("-promscrape.config={config}"));
                }
            }
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .map_err(|error| Error::other(format!("{}: {error}", setup.program.display())))?;
        let mut server = Server { child, kind: setup.kind, address: setup.address, data_directory };
        server.wait_ready(&setup.directory)?;
        Ok(server)
    }

    fn wait_ready(&mut self, directory: &Path) -> Result<()> {
        let path = match self.kind {
            Kind::VictoriaMetrics => "/health",
            _ => "/-/ready",
        };
        let deadline = Instant::now() + Duration::from_secs(600);
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                let log = fs::read_to_string(directory.join("log")).unwrap_or_default();
                let first: Vec<&str> = log.lines().take(5).collect();
                let text = format!("{} ended: {status}\n{}", self.kind.name(), first.join("\n"));
                return Err(Error::other(text));
            }
            let answer =
                Connection::open(self.address).and_then(|mut connection| connection.get(path));
            if answer.is_ok_and(|response| response.status == 200) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Err(Error::other(format!("{} was not ready after ten minutes", self.kind.name())))
    }

    pub fn usage(&self) -> Result<Usage> {
        Ok(Usage {
            at: Instant::now(),
            cpu_seconds: cpu_seconds(&self.child.id().to_string())?,
            resident_bytes: self.status_kib("VmRSS:")? * 1024,
        })
    }

    /// Begins to look for the peak of resident memory anew.
    pub fn forget_peak(&self) -> Result<()> {
        fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5")
    }

    /// Most resident memory since the start or [`Server::forget_peak`].
    pub fn peak_resident_bytes(&self) -> Result<u64> {
        Ok(self.status_kib("VmHWM:")? * 1024)
    }

    fn status_kib(&self, field: &str) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let number = line.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok());
        Ok(number.unwrap_or(0))
    }

    /// Bytes that the data directory occupies (allocated, as `du`, and not the apparent size).
    pub fn disk_bytes(&self) -> u64 {
        disk_bytes(&self.data_directory)
    }

    /// Ends the server in order (SIGTERM), at most 30 s, then kills it.
    pub fn stop(mut self) -> Result<()> {
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status()?;
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// User and system time of all threads of a process so far; `self` is this one.
pub fn cpu_seconds(process: &str) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The command name may hold spaces; fields are counted after its closing parenthesis.
    let fields: Vec<&str> =
        stat.rsplit(") ").next().unwrap_or_default().split_ascii_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|text| text.parse::<f64>().ok());
    let (Some(user), Some(system)) = (ticks(11), ticks(12)) else {
        return Err(Error::other(format!("/proc/{process}/stat is not as expected: {stat}")));
    };
    Ok((user + system) / ticks_per_second())
}

/// Clock ticks of `/proc/<pid>/stat` in a second: 100 on every Linux this runs on.
fn ticks_per_second() -> f64 {
    100.0
}

fn disk_bytes(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(entries) = fs::read_dir(path) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => disk_bytes(&entry.path()),
            Ok(metadata) => metadata.blocks() * 512,
            Err(_) => 0,
        })
        .sum()
}
