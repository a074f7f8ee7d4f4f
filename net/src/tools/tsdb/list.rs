//! `tsdb list`: the blocks of a directory.

use std::path::Path;

use super::files::{Summary, find};
use super::{Console, GOOD, say};
use crate::tools::arguments::Arguments;
use crate::tools::table::aligned;
use crate::tools::test_rules::go_duration;

pub(super) fn run(arguments: &Arguments, console: &mut Console<'_>) -> Result<u8, String> {
    let (found, faults) = find(Path::new(arguments.text("db path")))?;
    for (path, why) in faults {
        say!(console.err, "WARNING: {}: {why}", path.display());
    }
    let is_human = arguments.is_set("human-readable");
    let rows: Vec<Vec<String>> =
        found.iter().map(|found| row(&found.block.summary(), found.bytes, is_human)).collect();
    // A reader that went away is no fault of the command.
    let _ = console.out.write_all(table(rows, true).as_bytes());
    Ok(GOOD)
}

/// Lines of a list, below the names of the columns.
pub(super) fn table(rows: Vec<Vec<String>>, has_header: bool) -> String {
    const HEADER: [&str; 8] = [
        "BLOCK ULID",
        "MIN TIME",
        "MAX TIME",
        "DURATION",
        "NUM SAMPLES",
        "NUM CHUNKS",
        "NUM SERIES",
        "SIZE",
    ];
    let header = has_header.then(|| HEADER.map(str::to_owned).to_vec());
    let rows: Vec<Vec<String>> = header.into_iter().chain(rows).collect();
    aligned(&rows, 13, 2, false)
}

pub(super) fn row(summary: &Summary, bytes: u64, is_human: bool) -> Vec<String> {
    let time = |ms: i64| match is_human {
        true => jiff::Timestamp::from_second(ms / 1000).map_or_else(
            |_| ms.to_string(),
            |at| at.strftime("%Y-%m-%d %H:%M:%S +0000 UTC").to_string(),
        ),
        false => ms.to_string(),
    };
    vec![
        summary.id.to_string(),
        time(summary.start_ms),
        time(summary.end_ms),
        go_duration(summary.end_ms - summary.start_ms),
        summary.sample_count.to_string(),
        summary.chunk_count.to_string(),
        summary.series_count.to_string(),
        if is_human { human_bytes(bytes) } else { bytes.to_string() },
    ]
}

/// `1MiB2KiB3B`.
fn human_bytes(mut bytes: u64) -> String {
    if bytes == 0 {
        return "0B".to_owned();
    }
    let mut parts = Vec::new();
    for unit in ["B", "KiB", "MiB", "GiB", "TiB", "PiB"] {
        if !bytes.is_multiple_of(1024) {
            parts.push(format!("{}{unit}", bytes % 1024));
        }
        bytes /= 1024;
    }
    parts.into_iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::human_bytes;

    #[test]
    fn sizes_name_all_their_units() {
        assert_eq!(human_bytes(0), "0B");
        assert_eq!(human_bytes(1023), "1023B");
        assert_eq!(human_bytes(1024 * 1024 + 3), "1MiB3B");
    }
}
