//! Connections that are made, counted under the name of whoever makes them: a job, a provider, the
//! notifier.
//!
//! Source: `github.com/mwitkow/go-conntrack`, `dialer_reporter.go`.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Why no connection was made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    Timeout,
    Resolution,
    Refused,
    Unknown,
}

/// In the order of [`DialCounts::failed`].
pub const REASONS: [&str; 4] = ["refused", "resolution", "timeout", "unknown"];

/// What became of the connections of one name.
#[derive(Debug, Default)]
pub struct DialStats {
    attempted: AtomicU64,
    established: AtomicU64,
    closed: AtomicU64,
    failed: [AtomicU64; REASONS.len()],
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct DialCounts {
    pub attempted: u64,
    pub established: u64,
    pub closed: u64,
    /// By [`REASONS`].
    pub failed: [u64; REASONS.len()],
}

type Dialers = Mutex<BTreeMap<String, Arc<DialStats>>>;

/// All names there were, as long as the process lives: counters do not end with a configuration.
fn dialers() -> &'static Dialers {
    static DIALERS: OnceLock<Dialers> = OnceLock::new();
    DIALERS.get_or_init(Dialers::default)
}

/// The counts of a name, which is known from now on.
pub fn of(name: &str) -> Arc<DialStats> {
    let mut dialers = dialers().lock().unwrap_or_else(PoisonError::into_inner);
    match dialers.get(name) {
        Some(known) => known.clone(),
        None => dialers.entry(name.to_owned()).or_default().clone(),
    }
}

/// The names with their counts, ascending.
pub fn read() -> Vec<(String, DialCounts)> {
    let dialers = dialers().lock().unwrap_or_else(PoisonError::into_inner);
    dialers.iter().map(|(name, stats)| (name.clone(), stats.read())).collect()
}

impl DialStats {
    pub fn read(&self) -> DialCounts {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        DialCounts {
            // Ends before beginnings, so that no more ended than began.
            closed: get(&self.closed),
            failed: std::array::from_fn(|reason| get(&self.failed[reason])),
            established: get(&self.established),
            attempted: get(&self.attempted),
        }
    }

    fn fail(&self, reason: &'static str) {
        let place = REASONS.iter().position(|known| *known == reason);
        add(&self.failed[place.expect("one of the reasons")]);
    }
}

fn add(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

/// Why there is no connection, and in Go's words.
pub struct DialError {
    pub reason: Reason,
    pub why: String,
}

impl DialError {
    /// No address of a name.
    pub fn resolution(why: String) -> DialError {
        DialError { reason: Reason::Resolution, why }
    }

    pub fn io(error: &io::Error, why: String) -> DialError {
        let reason = match error.kind() {
            io::ErrorKind::ConnectionRefused => Reason::Refused,
            _ => Reason::Unknown,
        };
        DialError { reason, why }
    }
}

/// Makes a connection and counts what becomes of it, if somebody counts.
pub async fn counted<T>(
    stats: Option<&Arc<DialStats>>,
    dial: impl Future<Output = Result<T, DialError>>,
) -> Result<(T, Option<Open>), String> {
    let counting = stats.map(Dial::begin);
    match dial.await {
        Ok(made) => Ok((made, counting.map(Dial::established))),
        Err(error) => {
            if let Some(counting) = counting {
                counting.failed(error.reason);
            }
            Err(error.why)
        }
    }
}

/// A connection being made. Dropped before it is, its time was over.
pub struct Dial {
    stats: Arc<DialStats>,
    is_decided: bool,
}

impl Dial {
    pub fn begin(stats: &Arc<DialStats>) -> Dial {
        add(&stats.attempted);
        Dial { stats: stats.clone(), is_decided: false }
    }

    pub fn established(mut self) -> Open {
        self.is_decided = true;
        add(&self.stats.established);
        Open(self.stats.clone())
    }

    pub fn failed(mut self, reason: Reason) {
        self.decide(reason);
    }

    fn decide(&mut self, reason: Reason) {
        self.is_decided = true;
        let named = match reason {
            Reason::Resolution => return self.stats.fail("resolution"),
            Reason::Timeout => "timeout",
            Reason::Refused => "refused",
            Reason::Unknown => return self.stats.fail("unknown"),
        };
        self.stats.fail(named);
        // As Prometheus counts them: these are among the unknown ones too.
        self.stats.fail("unknown");
    }
}

impl Drop for Dial {
    fn drop(&mut self) {
        if !self.is_decided {
            self.decide(Reason::Timeout);
        }
    }
}

/// A connection; dropped when it is closed.
pub struct Open(Arc<DialStats>);

impl Drop for Open {
    fn drop(&mut self) {
        add(&self.0.closed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dials_are_counted() {
        let check = |what: fn(Dial) -> Option<Open>, expected: DialCounts| {
            let stats = Arc::default();
            let open = what(Dial::begin(&stats));
            assert_eq!(stats.read(), expected);
            drop(open);
            assert_eq!(stats.read().closed, expected.established);
        };
        let none = || DialCounts { attempted: 1, ..DialCounts::default() };
        let failed = |failed| DialCounts { failed, ..none() };
        check(|dial| Some(dial.established()), DialCounts { established: 1, ..none() });
        check(
            |dial| {
                dial.failed(Reason::Refused);
                None
            },
            failed([1, 0, 0, 1]),
        );
        check(
            |dial| {
                dial.failed(Reason::Resolution);
                None
            },
            failed([0, 1, 0, 0]),
        );
        check(
            |dial| {
                dial.failed(Reason::Unknown);
                None
            },
            failed([0, 0, 0, 1]),
        );
        check(
            |dial| {
                drop(dial);
                None
            },
            failed([0, 0, 1, 1]),
        );
    }

    #[test]
    fn a_name_stays() {
        drop(Dial::begin(&of("dials::a_name_stays")).established());
        let (_, counts) = read().into_iter().find(|(n, _)| n == "dials::a_name_stays").unwrap();
        assert_eq!((counts.attempted, counts.closed), (1, 1));
    }
}
