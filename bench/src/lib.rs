//! How fast: seeded workloads, load generators that cost little, servers under test as processes,
//! and scenarios that run hearth and its peers side by side in one run.
//!
//! ```text
//! workload   series and their values, from a seed          (no I/O)
//! body       remote_write requests as patched templates    (no I/O)
//! exporter   scrape targets on loopback
//! client     one HTTP/1.1 connection
//! server     a process under test: start, CPU seconds, memory, bytes on disk
//! scenarios  what is run and what is checked
//! report     tables with ratios, raw numbers kept
//! ```
//!
//! Competitors are processes over HTTP, never linked; of hearth only the storage is, for `append`. What a number means: `METHOD.md`; why to
//! doubt it: `BIAS.md`.

pub mod body;
pub mod client;
pub mod exporter;
pub mod report;
pub mod scenarios;
pub mod server;
pub mod workload;
