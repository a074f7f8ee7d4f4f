//! What is run: each scenario starts one server after the other on the same workload, checks that
//! the samples are really there, and returns figures.

pub mod append;
pub mod overload;
pub mod query;
pub mod remote_write;
pub mod rules;
pub mod scrape;
pub mod start;

use std::borrow::Cow;
use std::path::PathBuf;
use std::process::Command;

use crate::server::Kind;

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

/// A free loopback port, by asking the kernel for one.
pub fn free_address() -> std::io::Result<std::net::SocketAddr> {
    std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()
}

/// The first number-like word of `--version`.
pub fn version(program: &std::path::Path) -> String {
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
