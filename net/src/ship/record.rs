//! `shipped.json`: what was shipped, and where to.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};
use shards::disk::sync_dir;

const NAME: &str = "shipped.json";
const VERSION: u32 = 1;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    version: u32,
    /// As the flag has it: another destination has nothing yet.
    to: String,
    /// Nothing before this is shipped any more.
    pub shipped_before_ms: Option<i64>,
}

impl Record {
    /// Reads the record in `dir`; one that begins anew when there is none, or one of another
    /// destination.
    ///
    /// Errors: it cannot be read, and shipping everything once more is not what is wanted.
    pub fn read(dir: &Path, to: &str) -> Result<Record, String> {
        let path = dir.join(NAME);
        let fresh = Record { version: VERSION, to: to.to_owned(), shipped_before_ms: None };
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(fresh),
            read => read.map_err(|error| format!("{}: {error}", path.display()))?,
        };
        let record: Record = serde_json::from_slice(&bytes).map_err(|error| {
            format!("{}: {error}: remove it to ship everything anew", path.display())
        })?;
        if record.version != VERSION {
            let version = record.version;
            return Err(format!("{}: version {version} is not known", path.display()));
        }
        Ok(if record.to == to { record } else { fresh })
    }

    /// Replaces the record in `dir`, durably.
    pub fn write(&self, dir: &Path) -> io::Result<()> {
        let aside = dir.join(format!("{NAME}.tmp"));
        let mut file = File::create(&aside)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()?;
        fs::rename(&aside, dir.join(NAME))?;
        sync_dir(dir)
    }
}
