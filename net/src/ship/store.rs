//! An object store as a destination: S3, GCS and Azure in builds with their features.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::path::Path as FilePath;

use object_store::path::Path;
use object_store::{Error, ObjectStore, PutPayload};

use super::stats::ShipStats;

/// Bytes that are sent at once; the least that every store takes is 5 MiB.
const PART_BYTES: u64 = 8 << 20;

/// How the variables begin that are about stores, and those that begin otherwise.
const PREFIXES: [&str; 3] = ["AWS_", "GOOGLE_", "AZURE_"];
const NAMES: [&str; 2] = ["SERVICE_ACCOUNT", "IDENTITY_ENDPOINT"];

/// What the environment says to stores, under the names by which they know it.
pub(super) fn settings(
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Vec<(String, String)> {
    let known = variables.filter_map(|(name, value)| {
        let (name, value) = (name.into_string().ok()?, value.into_string().ok()?);
        let is_known = PREFIXES.iter().any(|prefix| name.starts_with(prefix))
            || NAMES.contains(&name.as_str());
        is_known.then(|| (name.to_ascii_lowercase(), value))
    });
    known.collect()
}

#[derive(Debug)]
pub struct Store {
    store: Box<dyn ObjectStore>,
    prefix: Path,
}

impl Store {
    /// Credentials come from the environment, under the names that the stores' own tools take.
    pub fn parse(url: &str) -> Result<Store, String> {
        let failed = |error: &dyn std::fmt::Display| format!("{url}: {error}");
        let parsed = url::Url::parse(url).map_err(|error| failed(&error))?;
        let opened = object_store::parse_url_opts(&parsed, settings(std::env::vars_os()));
        let (store, prefix) = opened.map_err(|error| failed(&error))?;
        Ok(Store { store, prefix })
    }

    fn path(&self, name: &str) -> Result<Path, String> {
        let relative = Path::parse(name).map_err(|error| error.to_string())?;
        Ok(self.prefix.parts().chain(relative.parts()).collect())
    }

    /// See [`super::Destination::size`], and the same of the others.
    pub async fn size(&self, name: &str) -> Result<Option<u64>, String> {
        match self.store.head(&self.path(name)?).await {
            Ok(found) => Ok(Some(found.size)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Memory: one part.
    pub async fn send(&self, file: &FilePath, name: &str, stats: &ShipStats) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("{}: {error}", file.display());
        let mut open = File::open(file).map_err(failed)?;
        let mut next_part = || {
            let mut part = vec![];
            open.by_ref().take(PART_BYTES).read_to_end(&mut part).map_err(failed)?;
            Ok::<_, String>(part)
        };
        let path = self.path(name)?;
        let mut part = next_part()?;
        if (part.len() as u64) < PART_BYTES {
            let length = part.len() as u64;
            self.put(name, part).await?;
            stats.advance(length, true);
            return Ok(());
        }
        let upload = self.store.put_multipart(&path).await;
        let mut upload = upload.map_err(|error| error.to_string())?;
        while !part.is_empty() {
            let length = part.len() as u64;
            if let Err(error) = upload.put_part(PutPayload::from(part)).await {
                // What has arrived is removed, as far as the store lets us.
                let _ = upload.abort().await;
                return Err(error.to_string());
            }
            stats.advance(length, true);
            part = next_part()?;
        }
        upload.complete().await.map(drop).map_err(|error| error.to_string())
    }

    pub async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<(), String> {
        let put = self.store.put(&self.path(name)?, PutPayload::from(bytes)).await;
        put.map(drop).map_err(|error| error.to_string())
    }
}
