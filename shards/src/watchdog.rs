//! Notices a shard that does not turn: an endless loop, a page fault that takes seconds.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::observe::{Event, SharedReporter};
use crate::stats::ShardStats;

/// A shard that has not shown itself for so long has stalled. Four heartbeats.
const STALL: Duration = Duration::from_secs(1);

const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A thread that looks at all shards.
pub struct Watchdog {
    end: Sender<()>,
    thread: Option<JoinHandle<()>>,
}

/// What the watchdog remembers of a shard.
struct Seen {
    heartbeats: u64,
    at: Instant,
    is_told: bool,
}

impl Watchdog {
    pub fn start(stats: Arc<[Arc<ShardStats>]>, reporter: SharedReporter) -> Watchdog {
        let (end, ended) = channel();
        let look = move || {
            let begun = Instant::now();
            let mut seen: Vec<Seen> =
                stats.iter().map(|_| Seen { heartbeats: 0, at: begun, is_told: false }).collect();
            while ended.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
                for (shard, (stats, seen)) in stats.iter().zip(&mut seen).enumerate() {
                    look_at(shard, stats, seen, &reporter);
                }
            }
        };
        // Without the thread the process runs on; only stalls go unnoticed.
        let thread = thread::Builder::new().name("watchdog".into()).spawn(look).ok();
        Watchdog { end, thread }
    }

    pub fn stop(self) {
        drop(self.end);
        if let Some(thread) = self.thread {
            let _ = thread.join();
        }
    }
}

fn look_at(shard: usize, stats: &ShardStats, seen: &mut Seen, reporter: &SharedReporter) {
    let heartbeats = stats.heartbeats.get();
    if heartbeats != seen.heartbeats {
        *seen = Seen { heartbeats, at: Instant::now(), is_told: false };
        return;
    }
    let stalled = seen.at.elapsed();
    if stalled >= STALL && !std::mem::replace(&mut seen.is_told, true) {
        // The one counter that is not its shard's to write: the shard stands still.
        stats.stalls.add(1);
        reporter.report(Event::ShardStalled { shard, stalled });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::{Duration, Instant};

    use super::{STALL, Seen, look_at};
    use crate::observe::{Event, Reporter, SharedReporter};
    use crate::stats::ShardStats;

    #[derive(Default)]
    struct Heard(Mutex<Vec<Event>>);

    impl Reporter for Heard {
        fn report(&self, event: Event) {
            self.0.lock().unwrap().push(event);
        }
    }

    #[test]
    fn a_stall_is_told_once() {
        let heard = Arc::new(Heard::default());
        let reporter: SharedReporter = heard.clone();
        let stats = ShardStats::default();
        let long_ago = Instant::now().checked_sub(STALL + Duration::from_millis(1)).unwrap();
        let mut seen = Seen { heartbeats: 0, at: long_ago, is_told: false };
        look_at(3, &stats, &mut seen, &reporter);
        look_at(3, &stats, &mut seen, &reporter);
        assert_eq!(heard.0.lock().unwrap().len(), 1);
        stats.heartbeats.add(1);
        look_at(3, &stats, &mut seen, &reporter);
        seen.at = long_ago;
        look_at(3, &stats, &mut seen, &reporter);
        assert_eq!((heard.0.lock().unwrap().len(), stats.stalls.get()), (2, 2));
    }
}
