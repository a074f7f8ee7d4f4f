//! The black-box harness: starts the real binary and speaks HTTP.
//!
//! ```text
//! process       hearth as a child process: start, stop, kill, wait until ready
//! hostile_targets  targets that mean harm
//! http          one request, one answer
//! remote_write  requests built by hand, so that no decoder tests its own encoder
//! compare       answers of two servers
//! ledger        what a client was promised, and whether the server kept it
//! medium        file systems that fill up, or lose their power
//! promqltest    the test language of PromQL, against the engine itself
//! generate      random data and queries from a seed
//! oracle        a naive evaluation, to compare with
//! prometheus    a real Prometheus as a process, to compare with
//! sim           storage on a simulated disk, for crashes and faults at every operation
//! tls           certificates, and requests over TLS
//! webhook       a receiver of notices of alerts
//! workspace     where the repository, the binary and the shared test data are
//! ```

pub mod compare;
pub mod generate;
pub mod hostile_targets;
pub mod http;
pub mod ledger;
pub mod medium;
pub mod oracle;
pub mod process;
pub mod prometheus;
pub mod promqltest;
pub mod remote_write;
#[path = "../sim/mod.rs"]
pub mod sim;
pub mod tls;
pub mod webhook;
pub mod workspace;

pub use process::{Hearth, Options};
