//! How the data directory is laid out over shards, recorded so that it never changes in silence.
//!
//! ```text
//! hearth-layout 1
//! route xxh3-64/multiply-high
//! shards 2
//! generation 1
//! ```
//!
//! A change of the shard count writes a new generation of logs beside the old one and then
//! replaces this file; until then the old generation is the truth.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::ROUTE_NAME;

const FILE_NAME: &str = "layout";
const MAGIC: &str = "hearth-layout 1";

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    pub shard_count: usize,
    /// Counts the changes of the shard count, from one.
    pub generation: u64,
}

#[derive(Debug)]
pub enum LayoutError {
    Io(PathBuf, io::Error),
    /// The file is there and says something else.
    Strange(PathBuf, String),
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LayoutError::Io(path, error) => write!(f, "{}: {error}", path.display()),
            LayoutError::Strange(path, what) => write!(
                f,
                "{}: {what}: the data was written by another version of hearth, or the file is \
                 damaged",
                path.display()
            ),
        }
    }
}

impl std::error::Error for LayoutError {}

impl Layout {
    /// Reads the record of `data_dir`; `None` if there is none yet.
    pub fn read(data_dir: &Path) -> Result<Option<Layout>, LayoutError> {
        let path = data_dir.join(FILE_NAME);
        match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(LayoutError::Io(path, error)),
            Ok(text) => match parse(&text) {
                Ok(layout) => Ok(Some(layout)),
                Err(what) => Err(LayoutError::Strange(path, what)),
            },
        }
    }

    /// Replaces the record durably: written aside, synced, renamed, the directory synced.
    pub fn write(self, data_dir: &Path) -> Result<(), LayoutError> {
        let path = data_dir.join(FILE_NAME);
        let aside = data_dir.join("layout.tmp");
        let write = || {
            let mut file = File::create(&aside)?;
            file.write_all(self.to_string().as_bytes())?;
            file.sync_all()?;
            fs::rename(&aside, &path)?;
            File::open(data_dir)?.sync_all()
        };
        write().map_err(|error| LayoutError::Io(path.clone(), error))
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{MAGIC}")?;
        writeln!(f, "route {ROUTE_NAME}")?;
        writeln!(f, "shards {}", self.shard_count)?;
        writeln!(f, "generation {}", self.generation)
    }
}

fn parse(text: &str) -> Result<Layout, String> {
    let mut lines = text.lines();
    if lines.next() != Some(MAGIC) {
        return Err(format!("does not begin with {MAGIC:?}"));
    }
    let mut field = |name: &str| {
        let line = lines.next().unwrap_or_default();
        let value = line.strip_prefix(name).and_then(|rest| rest.strip_prefix(' '));
        value.map(str::to_owned).ok_or_else(|| format!("{line:?} where {name:?} belongs"))
    };
    let route = field("route")?;
    if route != ROUTE_NAME {
        return Err(format!("series are routed by {route:?}, not by {ROUTE_NAME:?}"));
    }
    let shards = field("shards")?;
    let shard_count =
        shards.parse().ok().filter(|count| (1..=engine::limits::SHARD_COUNT_MAX).contains(count));
    let generation = field("generation")?;
    Ok(Layout {
        shard_count: shard_count.ok_or_else(|| format!("{shards:?} shards"))?,
        generation: generation.parse().map_err(|_| format!("generation {generation:?}"))?,
    })
}

#[cfg(test)]
mod tests {
    use super::{Layout, parse};

    #[test]
    fn a_record_reads_back() {
        let layout = Layout { shard_count: 12, generation: 3 };
        let text = "hearth-layout 1\nroute xxh3-64/multiply-high\nshards 12\ngeneration 3\n";
        assert_eq!(layout.to_string(), text);
        assert_eq!(parse(text), Ok(layout));
    }

    #[track_caller]
    fn check_refused(from: &str, to: &str, expected: &str) {
        let text = Layout { shard_count: 2, generation: 1 }.to_string().replace(from, to);
        assert_eq!(parse(&text).unwrap_err(), expected);
    }

    #[test]
    fn a_strange_record_is_refused() {
        check_refused("layout 1", "layout 2", r#"does not begin with "hearth-layout 1""#);
        check_refused(
            "xxh3-64/",
            "md5/",
            r#"series are routed by "md5/multiply-high", not by "xxh3-64/multiply-high""#,
        );
        check_refused("shards 2", "shards 0", r#""0" shards"#);
        check_refused("shards 2", "shards 1025", r#""1025" shards"#);
        check_refused("shards", "sharks", r#""sharks 2" where "shards" belongs"#);
        check_refused("generation 1", "", r#""" where "generation" belongs"#);
    }
}
