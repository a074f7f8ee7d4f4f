//! How fast: seeded workloads, load generators that cost little, servers under test as processes,
//! and scenarios that run hearth and its peers side by side in one run.
//!
//! ```text
//! workload   series and their values, from a seed          (no I/O)
//! body       remote_write requests as patched templates    (no I/O)
//! exporter   scrape targets on loopback
//! client     one HTTP/1.1 connection
//! options    arguments of the command line
//! server     a process under test: start, CPU seconds, memory, bytes on disk
//! waits      for how long hearth stood still, and where
//! load       remote_write over connections, closed loop or by a schedule
//! scenarios  what is run and what is checked
//! suite      all scenarios by one command
//! micro      every hot step by itself, for criterion
//! report     tables with ratios, raw numbers kept
//! ```
//!
//! Competitors are processes over HTTP, never linked, and so is hearth but for `append` and `micro`.
//! What a number means: `METHOD.md`; why to doubt it: `BIAS.md`.

pub mod body;
pub mod client;
pub mod exporter;
pub mod load;
#[cfg(feature = "micro")]
pub mod micro;
pub mod options;
pub mod report;
pub mod scenarios;
pub mod server;
pub mod suite;
pub mod waits;
pub mod workload;
