//! `debug`: what a server tells of itself, in one archive.
//!
//! Source: Prometheus `cmd/promtool/{debug,archive,main}.go`; POSIX `pax`, the ustar format.

use std::io::Write as _;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::arguments::{Arguments, Positional, one};
use super::server::Server;
use super::{Console, GOOD, Kind, say};

pub(super) const POSITIONALS: &[Positional] = &[one("server", Kind::Url)];

const ARCHIVE: &str = "debug.tar.gz";

/// A profile of half a minute takes that long.
const TIMEOUT: Duration = Duration::from_secs(90);

/// Paths, and the files they become.
const PPROF: &[(&str, &str)] = &[
    ("debug/pprof/block", "block.pb"),
    ("debug/pprof/goroutine", "goroutine.pb"),
    ("debug/pprof/heap", "heap.pb"),
    ("debug/pprof/mutex", "mutex.pb"),
    ("debug/pprof/profile?seconds=30", "cpu.pb"),
    ("debug/pprof/threadcreate", "threadcreate.pb"),
    ("debug/pprof/trace?seconds=30", "trace.pb"),
];
const METRICS: &[(&str, &str)] = &[("metrics", "metrics.txt")];

pub(super) fn pprof(arguments: &Arguments, console: &mut Console<'_>) -> Result<u8, String> {
    collect(arguments, &[PPROF], console)
}

pub(super) fn metrics(arguments: &Arguments, console: &mut Console<'_>) -> Result<u8, String> {
    collect(arguments, &[METRICS], console)
}

pub(super) fn all(arguments: &Arguments, console: &mut Console<'_>) -> Result<u8, String> {
    collect(arguments, &[PPROF, METRICS], console)
}

fn collect(
    arguments: &Arguments,
    endpoints: &[&[(&str, &str)]],
    console: &mut Console<'_>,
) -> Result<u8, String> {
    let failed = |why: String| format!("error completing debug command: {why}");
    let mut server = Server::new(arguments, arguments.text("server")).map_err(failed)?;
    let mut archive = GzEncoder::new(Vec::new(), Compression::default());
    let mut wrote = |bytes: &[u8]| archive.write_all(bytes).map_err(|error| error.to_string());
    for (path, file) in endpoints.iter().copied().flatten() {
        let reply = server.get(path, TIMEOUT).map_err(failed)?;
        if !reply.status.is_success() {
            let url = format!("{}{path}", server.base());
            let told = String::from_utf8_lossy(&reply.body).into_owned();
            return Err(failed(format!("{url}: {}: {}", reply.status, told.trim())));
        }
        // Profiles come packed by themselves.
        let body = if file.ends_with(".pb") { unpacked(reply.body) } else { reply.body };
        wrote(&header(file, body.len())).map_err(failed)?;
        wrote(&body).map_err(failed)?;
        wrote(&vec![0; body.len().next_multiple_of(512) - body.len()]).map_err(failed)?;
    }
    wrote(&[0; 1024]).map_err(failed)?;
    let bytes = archive.finish().map_err(|error| failed(error.to_string()))?;
    std::fs::write(ARCHIVE, bytes).map_err(|error| failed(error.to_string()))?;
    say!(console.out, "Compiling debug information complete, all files written in \"{ARCHIVE}\".");
    Ok(GOOD)
}

fn unpacked(body: Vec<u8>) -> Vec<u8> {
    let mut plain = Vec::new();
    let read = std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&*body), &mut plain);
    if read.is_ok() { plain } else { body }
}

/// A file's header in an archive.
fn header(name: &str, bytes: usize) -> [u8; 512] {
    let mut block = [0; 512];
    let mut put = |at: usize, text: &str| {
        block[at..at + text.len()].copy_from_slice(text.as_bytes());
    };
    put(0, name);
    put(100, "0000644\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{bytes:011o}\0"));
    put(136, "00000000000\0");
    // The sum is made with blanks in its own place.
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}
