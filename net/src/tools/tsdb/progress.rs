//! What a long command says on its way.

use std::time::{Duration, Instant};

/// Quick commands say nothing.
const QUIET: Duration = Duration::from_secs(2);

/// Says at most once in a while how far the work is.
pub(super) struct Progress {
    what: &'static str,
    last: Instant,
}

impl Progress {
    pub fn new(what: &'static str) -> Progress {
        Progress { what, last: Instant::now() }
    }

    /// The line to be shown now, if one is due.
    pub fn line(&mut self, done: usize, all: usize) -> Option<String> {
        if self.last.elapsed() < QUIET {
            return None;
        }
        self.last = Instant::now();
        let percent = if all == 0 { 100.0 } else { done as f64 / all as f64 * 100.0 };
        Some(format!("{}: {done} of {all} ({percent:.0} %)", self.what))
    }
}
