//! Looking for rot in blocks of Prometheus: index and chunks of each are read, slowly, and held against
//! their checksums.
//!
//! What is damaged is told, and the block stays as it is: no merge touches it, and queries go on with
//! what can be read of it.

use std::io;
use std::path::Path;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use engine::block::BlockId;
use engine::block::prometheus::{PrometheusBlock, decode_tombstones};

use super::{GUESTS, Guests, block_files};
use crate::cancel::CancelToken;
use crate::maintain::{Rot, read_in};
use crate::observe::Event;
use crate::runtime::on_thread;
use crate::shard::Shard;

/// Bytes of an index that are read at once.
const PIECE_BYTES: usize = 1 << 20;

/// Longest pause between two looks at whether the process stops.
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// Reads no faster than it may.
struct Pace {
    bytes_per_second: Option<u64>,
    begun: Instant,
    bytes: u64,
    stop: CancelToken,
}

impl Pace {
    fn new(bytes_per_second: Option<u64>, stop: CancelToken) -> Pace {
        Pace { bytes_per_second, begun: Instant::now(), bytes: 0, stop }
    }

    /// Waits until so many bytes more may have been read; whether to go on.
    fn goes_on(&mut self, bytes: usize) -> bool {
        self.bytes += bytes as u64;
        while let Some(bytes_per_second) = self.bytes_per_second
            && !self.stop.is_canceled()
        {
            let least = Duration::from_secs_f64(self.bytes as f64 / bytes_per_second as f64);
            let left = least.saturating_sub(self.begun.elapsed());
            if left.is_zero() {
                break;
            }
            std::thread::sleep(left.min(PAUSE_MAX));
        }
        !self.stop.is_canceled()
    }
}

/// Reads all of the block in `dir`. Blocks.
fn verify(dir: &Path, id: BlockId, pace: &mut Pace) -> Result<(), Rot> {
    let files = match block_files(dir) {
        Ok(files) => files,
        // Merged or forgotten meanwhile.
        Err((_, error)) if error.kind() == io::ErrorKind::NotFound && !dir.exists() => {
            return Ok(());
        }
        Err((what, error)) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Rot::Damaged(format!("block {id}: {what}: {error}")));
        }
        Err((what, error)) => return Err(Rot::Unreadable(format!("block {id}: {what}: {error}"))),
    };
    let unreadable = |what: &'static str| {
        move |rot: Rot| match rot {
            Rot::Unreadable(why) => Rot::Unreadable(format!("block {id}: {what}: {why}")),
            rot => rot,
        }
    };
    let length = (*files.index).as_ref().len();
    for start in (0..length).step_by(PIECE_BYTES) {
        let end = (start + PIECE_BYTES).min(length);
        read_in(&files.index, start..end).map_err(unreadable("index"))?;
        if !pace.goes_on(end - start) {
            return Ok(());
        }
    }
    let block = PrometheusBlock::open(files)?;
    block.verify(|file, range| {
        let bytes = range.len();
        read_in(file, range).map_err(unreadable("chunks"))?;
        Ok::<_, Rot>(pace.goes_on(bytes))
    })?;
    match std::fs::read(dir.join("tombstones")) {
        Ok(bytes) => decode_tombstones(&bytes).map(drop).map_err(|error| {
            Rot::Damaged(format!("block {id}: what was deleted of it is not known: {error}"))
        }),
        Err(_) => Ok(()),
    }
}

impl Guests {
    /// No merge touches the block any more.
    fn leave_alone(&self, id: BlockId) {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
    }
}

impl Shard {
    /// Reads parts, blocks and those of Prometheus once a day until the process stops: a task of its
    /// own.
    pub(crate) async fn scrub(self) {
        let storage = self.0.storage.clone();
        storage
            .scrub(async |bytes_per_second| self.scrub_guests(Some(bytes_per_second)).await)
            .await;
    }

    /// Reads all blocks of Prometheus, on the shard that looks after them.
    pub(crate) async fn scrub_guests(&self, bytes_per_second: Option<u64>) {
        if self.id() != GUESTS {
            return;
        }
        for (id, _) in self.guests().opened() {
            if self.is_stopping() {
                return;
            }
            let (dir, stop) = (self.guests().dir(id), self.0.stop.clone());
            let looked = on_thread("scrub", move || {
                let mut pace = Pace::new(bytes_per_second, stop);
                let found = verify(&dir, id, &mut pace);
                (found, pace.bytes)
            });
            let (found, bytes) = match looked.await {
                Ok(looked) => looked,
                Err(error) => return self.tell_failure(error.to_string()),
            };
            let stats = &self.own_stats().maintenance;
            stats.scrubbed_bytes.add(bytes);
            match found {
                Ok(()) => {}
                Err(Rot::Unreadable(why)) => {
                    stats.damages.add(1);
                    self.tell_failure(why);
                }
                Err(Rot::Damaged(why)) => {
                    self.guests().leave_alone(id);
                    stats.damages.add(1);
                    let message = format!("{why}; it is left as it is, and not merged any more");
                    self.0
                        .reporter
                        .report(Event::LogDamaged { path: self.guests().dir(id), message });
                }
            }
        }
    }
}
