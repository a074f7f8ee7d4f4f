//! `--web.config.file`: what it says is in force for every connection and request, and a change of
//! it, or of a certificate that it names, is noticed within a second.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::cli::Flags;
use crate::config::web::WebConfig;
use crate::http::guard::{Guard, Rules};
use crate::{log_error, log_info};

/// How often files are looked at.
const LOOK: Duration = Duration::from_secs(1);

pub struct WebFile {
    /// None: the server has no such file.
    path: Option<PathBuf>,
    guard: Arc<Guard>,
    /// Of the files as they were read last.
    stamps: Vec<Stamp>,
}

/// What changes with a file; none of one that is not there.
type Stamp = Option<(SystemTime, u64)>;

impl WebFile {
    /// Reads the file that the flags name. Error: exporter-toolkit's text.
    pub fn load(flags: &Flags) -> Result<WebFile, String> {
        let path = flags.text("web.config.file");
        let path = (!path.is_empty()).then(|| PathBuf::from(path));
        let mut file = WebFile { path, guard: Arc::default(), stamps: vec![] };
        let rules = file.read()?;
        file.apply(rules);
        Ok(file)
    }

    pub fn guard(&self) -> Arc<Guard> {
        self.guard.clone()
    }

    /// Reads the file as it is now; nothing changes yet.
    pub fn read(&self) -> Result<Rules, String> {
        match &self.path {
            Some(path) => WebConfig::from_file(path).and_then(|config| Rules::new(&config)),
            None => Ok(Rules::default()),
        }
    }

    /// Puts what was read in force.
    pub fn apply(&mut self, rules: Rules) {
        self.stamps = self.stamps_now();
        self.guard.replace(rules);
    }

    /// Follows the files; never ends.
    pub async fn follow(&mut self) {
        if self.path.is_none() {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(LOOK).await;
            let now = self.stamps_now();
            if now == self.stamps {
                continue;
            }
            self.stamps = now;
            match self.read() {
                Ok(rules) => {
                    log_info!("Web configuration file change detected, it is in force.");
                    self.guard.replace(rules);
                }
                // The former one stays.
                Err(why) => log_error!("Unable to parse web configuration", "err" = why),
            }
        }
    }

    /// Of the file, and of those that it names.
    fn stamps_now(&self) -> Vec<Stamp> {
        let Some(path) = &self.path else { return vec![] };
        let mut stamps = vec![stamp(path)];
        if let Ok(config) = WebConfig::from_file(path) {
            let tls = &config.tls;
            let files = [&tls.cert_file, &tls.key_file, &tls.client_ca_file];
            let files = files.into_iter().filter(|file| !file.is_empty());
            stamps.extend(files.map(|file| stamp(Path::new(&**file))));
        }
        stamps
    }
}

fn stamp(path: &Path) -> Stamp {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}
