//! `--config.auto-reload`: looks at the configuration's files again and again.
//!
//! A change that does not load is tried again at every look, as Prometheus does, until it loads or
//! is taken back.
//!
//! Source: Prometheus `cmd/prometheus/main.go`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cli::Flags;
use crate::config::checksum;
use crate::{log_error, log_info};

/// Shortest distance of two looks.
const INTERVAL_MIN: Duration = Duration::from_secs(1);

pub struct AutoReload {
    /// None: nobody asked for it, or there is no file.
    watched: Option<Watched>,
}

struct Watched {
    file: PathBuf,
    interval: Duration,
    /// Of the files as they were loaded; none where they could not be read.
    loaded: Option<Vec<u8>>,
}

impl AutoReload {
    pub fn new(flags: &Flags) -> AutoReload {
        let is_wanted =
            flags.bool("config.auto-reload") || flags.features().has("auto-reload-config");
        let Some(file) = flags.config_file().filter(|_| is_wanted) else {
            return AutoReload { watched: None };
        };
        let interval =
            Duration::from_millis(flags.duration("config.auto-reload-interval").ms().max(0) as u64);
        let interval = interval.max(INTERVAL_MIN);
        log_info!(
            "Automatic configuration file reloading enabled",
            "interval" = format!("{interval:?}")
        );
        let loaded = sum(&file).ok();
        AutoReload { watched: Some(Watched { file, interval, loaded }) }
    }

    /// The configuration was loaded as its files are now.
    pub fn note(&mut self) {
        if let Some(watched) = &mut self.watched {
            watched.loaded = sum(&watched.file).ok();
        }
    }

    /// Waits until the files are other than those that were loaded.
    pub async fn changed(&mut self) {
        let Some(watched) = &mut self.watched else { return std::future::pending().await };
        loop {
            tokio::time::sleep(watched.interval).await;
            match sum(&watched.file) {
                Ok(now) if watched.loaded.as_ref() == Some(&now) => {}
                _ => break,
            }
        }
        log_info!("Configuration file change detected, reloading the configuration.");
    }
}

fn sum(file: &Path) -> Result<Vec<u8>, String> {
    checksum(file).inspect_err(|why| {
        log_error!("Failed to generate checksum during configuration reload", "err" = why);
    })
}
