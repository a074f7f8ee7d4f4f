//! A real Prometheus as a process, to compare with.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::http;
use crate::process::free_address;
use crate::workspace::TemporaryFolder;

/// Killed when dropped.
pub struct Prometheus(Child);

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Prometheus {
    /// SIGTERM, and waits for the end.
    pub fn stop(mut self) {
        let id = self.0.id().to_string();
        let status = Command::new("kill").args(["-TERM", &id]).status().expect("kill runs");
        assert!(status.success());
        self.0.wait().expect("a child can be waited for");
    }
}

/// Starts `program` on an empty configuration with its data in `folder`, and waits until it is ready.
///
/// # Panics
///
/// When it does not start or is not ready within half a minute.
pub fn start_prometheus(
    program: &str,
    folder: &TemporaryFolder,
    features: &[&str],
) -> (Prometheus, SocketAddr) {
    let features: Vec<String> =
        features.iter().map(|name| format!("--enable-feature={name}")).collect();
    let features: Vec<&str> = features.iter().map(String::as_str).collect();
    start_prometheus_with(program, folder, "scrape_configs: []\n", &features)
}

/// As [`start_prometheus`], with a configuration and further arguments.
pub fn start_prometheus_with(
    program: &str,
    folder: &TemporaryFolder,
    config_text: &str,
    args: &[&str],
) -> (Prometheus, SocketAddr) {
    let address = free_address();
    let config = folder.path().join("prometheus.yml");
    std::fs::write(&config, config_text).expect("the folder is writable");
    let child = Command::new(program)
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
        .arg(format!("--web.listen-address={address}"))
        .arg("--web.enable-remote-write-receiver")
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let prometheus = Prometheus(child);
    let deadline = Instant::now() + Duration::from_secs(30);
    while !http::get(address, "/-/ready").is_ok_and(|answer| answer.status == 200) {
        assert!(Instant::now() < deadline, "{program} was not ready");
        std::thread::sleep(Duration::from_millis(50));
    }
    (prometheus, address)
}
