//! One endpoint to scrape, and what its last scrape said.
//!
//! Built by the control thread, scraped by one shard, read by whoever answers about targets. Only
//! the status changes, behind a lock that is taken once a scrape.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine::model::{Labels, LabelsBuilder};

use crate::http::url::Url;
use crate::wire::protobuf;

use super::job::Job;
use super::metadata::SharedMetadata;

const UNIX_SOCKET: &[u8] = b"__unix_socket__";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// Not scraped yet.
    #[default]
    Unknown,
    Up,
    Down,
}

impl Health {
    pub fn as_str(self) -> &'static str {
        match self {
            Health::Unknown => "unknown",
            Health::Up => "up",
            Health::Down => "down",
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Status {
    pub health: Health,
    pub last_error: String,
    /// Start of the last scrape; none before the first.
    pub last_scrape_ms: Option<i64>,
    pub last_duration_seconds: f64,
    pub metadata: SharedMetadata,
    /// Labels before relabelling: a later discovery may change them without changing the target.
    pub discovered: Labels,
}

pub struct Target {
    pub job: Arc<Job>,
    /// All labels after relabelling, those for internal use with them.
    pub labels: Labels,
    /// The labels that its series get.
    pub public: Labels,
    pub url: Url,
    /// The socket in the file system through which it is scraped; empty for none.
    pub unix_socket: String,
    /// Identity: of labels and URL.
    pub hash: u64,
    pub interval_ms: i64,
    pub timeout_ms: i64,
    status: Mutex<Status>,
}

impl Target {
    pub fn new(
        job: Arc<Job>,
        labels: Labels,
        url: Url,
        (interval_ms, timeout_ms): (i64, i64),
        discovered: Labels,
    ) -> Target {
        let mut public = LabelsBuilder::from_labels(labels.as_ref());
        public.retain(|name, _| !name.starts_with(b"__"));
        let mut identity = labels.as_ref().as_bytes().to_vec();
        identity.extend_from_slice(url.to_string().as_bytes());
        Target {
            job,
            public: public.finish(),
            hash: xxhash_rust::xxh3::xxh3_64(&identity),
            unix_socket: String::from_utf8_lossy(labels.get(UNIX_SOCKET)).into_owned(),
            labels,
            url,
            interval_ms,
            timeout_ms,
            status: Mutex::new(Status { discovered, ..Status::default() }),
        }
    }

    pub fn status(&self) -> MutexGuard<'_, Status> {
        // The status is plain values, whole after every assignment.
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Target {
    /// What to make of histograms: as the job says, unless the target's own labels say otherwise.
    pub fn histograms(&self) -> protobuf::Options {
        let says = |name: &str, of_job: bool| match self.labels.get(name.as_bytes()) {
            b"" => of_job,
            text => matches!(text, b"1" | b"t" | b"T" | b"TRUE" | b"true" | b"True"),
        };
        let config = &self.job.config;
        let always = config.always_scrapes_classic_histograms();
        protobuf::Options {
            native: says("__scrape_native_histograms__", config.scrapes_native_histograms()),
            always_classic: says("__always_scrape_classic_histograms__", always),
            convert_classic: says(
                "__convert_classic_histograms_to_nhcb__",
                config.converts_classic_histograms(),
            ),
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.url, self.labels)
    }
}
