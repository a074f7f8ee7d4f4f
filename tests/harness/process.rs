//! hearth as a child process.

use std::io::Result;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::http::{self, Answer};
use crate::workspace::{TemporaryFolder, hearth_binary};

/// Longest that a start or stop may take before the test fails.
const WITHIN: Duration = Duration::from_secs(120);

/// Distance of two looks at a process: short against what is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(5);

#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The configuration file's text; `None` starts on the embedded default.
    pub config: Option<String>,
    /// Further arguments.
    pub args: Vec<String>,
}

impl Options {
    /// Scrapes nothing, takes remote_write, over so many shards.
    pub fn receiver(shard_count: usize) -> Options {
        Options {
            config: Some("scrape_configs: []\n".to_owned()),
            args: vec![
                "--web.enable-remote-write-receiver".to_owned(),
                format!("--shards={shard_count}"),
            ],
        }
    }
}

/// A running hearth with its folder; killed when dropped.
pub struct Hearth {
    child: Child,
    pub address: SocketAddr,
    options: Options,
    folder: TemporaryFolder,
    data: PathBuf,
}

impl Hearth {
    /// Starts hearth in a new folder and waits until it is ready.
    #[track_caller]
    pub fn start(options: Options) -> Hearth {
        Hearth::start_in(options, TemporaryFolder::new("hearth"))
    }

    /// As [`Hearth::start`], in a folder that may have a data directory `data`.
    #[track_caller]
    pub fn start_in(options: Options, folder: TemporaryFolder) -> Hearth {
        let data = folder.path().join("data");
        Hearth::start_with(options, folder, data)
    }

    /// As [`Hearth::start`], with its data in `data`.
    #[track_caller]
    pub fn start_on(options: Options, data: PathBuf) -> Hearth {
        Hearth::start_with(options, TemporaryFolder::new("hearth"), data)
    }

    /// As [`Hearth::start_in`], where not everybody may ask: its log says when it is ready.
    #[track_caller]
    pub fn start_guarded(options: Options, folder: TemporaryFolder) -> Hearth {
        let data = folder.path().join("data");
        let mut hearth = Hearth::spawn(options, folder, data);
        hearth.wait(|hearth| hearth.log().contains("Server is ready to receive web requests."));
        hearth
    }

    #[track_caller]
    fn start_with(options: Options, folder: TemporaryFolder, data: PathBuf) -> Hearth {
        let mut hearth = Hearth::spawn(options, folder, data);
        hearth.wait_ready();
        hearth
    }

    fn spawn(options: Options, folder: TemporaryFolder, data: PathBuf) -> Hearth {
        let address = free_address();
        let child = spawn(&options, folder.path(), &data, address);
        Hearth { child, address, options, folder, data }
    }

    fn wait_ready(&mut self) {
        self.wait(|hearth| {
            http::get(hearth.address, "/-/ready").is_ok_and(|answer| answer.status == 200)
        });
    }

    fn wait(&mut self, is_ready: impl Fn(&Hearth) -> bool) {
        let deadline = Instant::now() + WITHIN;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                panic!("hearth ended with {status}:\n{}", self.log());
            }
            if is_ready(self) {
                return;
            }
            assert!(Instant::now() < deadline, "hearth was not ready:\n{}", self.log());
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Everything hearth has logged so far, over all its starts.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    pub fn data_directory(&self) -> PathBuf {
        self.data.clone()
    }

    pub fn config_file(&self) -> PathBuf {
        self.folder.path().join("prometheus.yml")
    }

    /// The most memory that was resident so far.
    pub fn peak_resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process_id()));
        let status = status.expect("it runs");
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("its peak");
        let kilobytes = line.split_whitespace().nth(1).and_then(|word| word.parse::<u64>().ok());
        kilobytes.expect("a number") << 10
    }

    /// Whether the process runs.
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|ended| ended.is_none())
    }

    pub fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, and waits until the process is gone.
    pub fn kill(&mut self) {
        self.child.kill().expect("hearth can be killed");
        self.child.wait().expect("a killed child can be waited for");
    }

    /// Starts again on the same folder and address, after a kill or stop.
    pub fn restart(&mut self) {
        self.child = spawn(&self.options, self.folder.path(), &self.data, self.address);
        self.wait_ready();
    }

    /// Arguments of the next start.
    pub fn set_args(&mut self, args: Vec<String>) {
        self.options.args = args;
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.child.id().to_string())
            .status()
            .expect("kill runs");
        assert!(status.success());
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait_end()
    }

    pub fn wait_end(&mut self) -> ExitStatus {
        let deadline = Instant::now() + WITHIN;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return status;
            }
            assert!(Instant::now() < deadline, "hearth did not end:\n{}", self.log());
            std::thread::sleep(LOOK_EVERY);
        }
    }

    #[track_caller]
    pub fn get(&self, target: &str) -> Answer {
        http::get(self.address, target).unwrap_or_else(|error| panic!("GET {target}: {error}"))
    }

    #[track_caller]
    pub fn post(&self, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        http::request(self.address, "POST", target, headers, body)
            .unwrap_or_else(|error| panic!("POST {target}: {error}"))
    }

    /// Polls until `seen` gives something; `what` says in a failure what it waited for.
    #[track_caller]
    pub fn wait_for<T>(&self, what: &str, mut seen: impl FnMut(&Hearth) -> Option<T>) -> T {
        let deadline = Instant::now() + WITHIN;
        loop {
            if let Some(seen) = seen(self) {
                return seen;
            }
            assert!(Instant::now() < deadline, "{what}:\n{}", self.log());
            std::thread::sleep(LOOK_EVERY * 10);
        }
    }

    /// An instant query that must succeed; the answer's `data`.
    #[track_caller]
    pub fn query(&self, query: &str, at_unix_ms: i64) -> Value {
        let at = at_unix_ms as f64 / 1e3;
        let target = format!("/api/v1/query?query={}&time={at}", http::encode(query));
        let answer = self.get(&target).json();
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        answer["data"].clone()
    }

    /// Polls an instant query until `done` holds for its `data`.
    #[track_caller]
    pub fn wait_query(&self, query: &str, done: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + WITHIN;
        loop {
            let data = self.query(query, unix_ms());
            if done(&data) {
                return data;
            }
            assert!(Instant::now() < deadline, "{query}: {data}\n{}", self.log());
            std::thread::sleep(LOOK_EVERY * 10);
        }
    }
}

impl Drop for Hearth {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs hearth to its end with these arguments: for flags and errors.
pub fn run(args: &[&str]) -> Result<Output> {
    Command::new(hearth_binary()).args(args).stdin(Stdio::null()).output()
}

fn spawn(options: &Options, folder: &Path, data: &Path, address: SocketAddr) -> Child {
    let mut command = Command::new(hearth_binary());
    command.arg(format!("--web.listen-address={address}"));
    command.arg(format!("--storage.tsdb.path={}", data.display()));
    if let Some(config) = &options.config {
        let path = folder.join("prometheus.yml");
        if !path.exists() {
            std::fs::write(&path, config).expect("the folder is writable");
        }
        command.arg(format!("--config.file={}", path.display()));
    }
    let log = std::fs::File::options().create(true).append(true).open(folder.join("log"));
    let log = log.expect("the folder is writable");
    command
        .args(&options.args)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a file can be shared"))
        .stderr(log)
        .spawn()
        .expect("hearth starts")
}

/// A free loopback address, by asking the kernel for one.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    listener.local_addr().expect("a bound socket has an address")
}

pub fn unix_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.expect("the clock is after 1970").as_millis() as i64
}
