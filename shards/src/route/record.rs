//! How the data directory is laid out over shards, recorded so that it never changes in silence.
//!
//! ```text
//! hearth-layout 1
//! route xxh3-64/multiply-high
//! generation 1 shards 2
//! generation 2 shards 4
//! ```
//!
//! A generation is a set of logs written by one number of shards. When that number changes, a new
//! generation begins; the older ones are only read any more, by every shard, each for its own
//! series.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use engine::limits::SHARD_COUNT_MAX;

use super::ROUTE_NAME;

const FILE_NAME: &str = "layout";
const MAGIC: &str = "hearth-layout 1";

/// Most changes of the shard count that a directory takes: a bound on what a strange file can make
/// us read.
const GENERATION_COUNT_MAX: usize = 10_000;

/// What the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Shards of each generation, the first of which has number one.
    pub shard_counts: Vec<usize>,
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
    pub fn write(&self, data_dir: &Path) -> Result<(), LayoutError> {
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
        for (shard_count, generation) in self.shard_counts.iter().zip(1..) {
            writeln!(f, "generation {generation} shards {shard_count}")?;
        }
        Ok(())
    }
}

fn parse(text: &str) -> Result<Layout, String> {
    let mut lines = text.lines();
    if lines.next() != Some(MAGIC) {
        return Err(format!("does not begin with {MAGIC:?}"));
    }
    let route = lines.next().unwrap_or_default();
    if route.strip_prefix("route ") != Some(ROUTE_NAME) {
        return Err(format!("{route:?} where \"route {ROUTE_NAME}\" belongs"));
    }
    let mut shard_counts = Vec::new();
    for (line, generation) in lines.zip(1..) {
        let shard_count = line
            .strip_prefix(&format!("generation {generation} shards "))
            .and_then(|shards| shards.parse().ok())
            .filter(|shards| (1..=SHARD_COUNT_MAX).contains(shards));
        shard_counts.push(shard_count.ok_or_else(|| {
            format!("{line:?} where \"generation {generation} shards …\" belongs")
        })?);
    }
    if shard_counts.is_empty() || shard_counts.len() > GENERATION_COUNT_MAX {
        return Err(format!("{} generations", shard_counts.len()));
    }
    Ok(Layout { shard_counts })
}

#[cfg(test)]
mod tests {
    use super::{Layout, parse};

    const TEXT: &str = "hearth-layout 1\nroute xxh3-64/multiply-high\n\
                        generation 1 shards 12\ngeneration 2 shards 3\n";

    #[test]
    fn a_record_reads_back() {
        let layout = Layout { shard_counts: vec![12, 3] };
        assert_eq!(layout.to_string(), TEXT);
        assert_eq!(parse(TEXT), Ok(layout));
    }

    #[track_caller]
    fn check_refused(from: &str, to: &str, expected: &str) {
        assert_eq!(parse(&TEXT.replace(from, to)).unwrap_err(), expected);
    }

    #[test]
    fn a_strange_record_is_refused() {
        check_refused("layout 1", "layout 2", r#"does not begin with "hearth-layout 1""#);
        check_refused(
            "xxh3-64/",
            "md5/",
            r#""route md5/multiply-high" where "route xxh3-64/multiply-high" belongs"#,
        );
        let second = r#"where "generation 2 shards …" belongs"#;
        check_refused("shards 3", "shards 0", &format!(r#""generation 2 shards 0" {second}"#));
        check_refused(
            "shards 3",
            "shards 1025",
            &format!(r#""generation 2 shards 1025" {second}"#),
        );
        check_refused(
            "generation 2",
            "generation 3",
            &format!(r#""generation 3 shards 3" {second}"#),
        );
        let begin = TEXT.find("generation").unwrap();
        assert_eq!(parse(&TEXT[..begin]).unwrap_err(), "0 generations");
    }
}
