//! What can be wrong with a block or a part.

use std::fmt;

/// Why a file cannot be used, or not at this place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockError {
    /// `block 01…` or `part 12`; without a name while it is not known yet.
    pub file: Box<str>,
    pub problem: Problem,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// It does not end as such a file ends: it is something else, or was cut.
    Foreign,
    /// A format version this program does not know.
    Version(u32),
    /// The checksum of these bytes does not hold.
    Damaged { start: u64, end: u64 },
    /// Checksums hold, and yet the contents make no sense: the writer had a bug.
    Broken(&'static str),
    /// What was written is beyond what the format can hold.
    Full(&'static str),
}

impl fmt::Display for BlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = &self.file;
        match self.problem {
            Problem::Foreign => write!(f, "{file}: cut short, or no such file at all"),
            Problem::Version(version) => write!(f, "{file}: unknown format version {version}"),
            Problem::Damaged { start, end } => {
                write!(f, "{file}: checksum mismatch in bytes {start}..{end}")
            }
            Problem::Broken(what) => write!(f, "{file}: broken {what}"),
            Problem::Full(what) => write!(f, "{file}: too many {what}"),
        }
    }
}

impl std::error::Error for BlockError {}
