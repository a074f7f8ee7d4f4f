//! What the kernel tells of directories: that a file in one of them was written, moved or removed.
//!
//! It does not tell everything: network file systems, and files behind links into other directories.
//! Whoever listens looks for itself now and then.
//!
//! Source: `inotify(7)`.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use futures_util::{FutureExt, StreamExt};
use inotify::{EventMask, EventStream, Inotify, WatchDescriptor, WatchMask};

use super::file::FileStats;
use crate::log_warn;

/// Room for the events that are read at once.
const EVENTS_BYTES: usize = 4096;

/// Events of some directories. Without the kernel's help there never is one.
pub struct DirEvents {
    dirs: Vec<PathBuf>,
    watched: HashMap<WatchDescriptor, PathBuf>,
    stream: Option<EventStream<[u8; EVENTS_BYTES]>>,
}

impl DirEvents {
    pub fn new(dirs: impl Iterator<Item = PathBuf>, stats: &FileStats) -> DirEvents {
        let mut dirs: Vec<PathBuf> = dirs.collect();
        dirs.sort();
        dirs.dedup();
        let stream = Inotify::init()
            .and_then(|inotify| inotify.into_event_stream([0; EVENTS_BYTES]))
            .map_err(|error| {
                stats.watch_error_count.fetch_add(1, Ordering::Relaxed);
                log_warn!("Error adding file watcher", "err" = error);
            });
        let mut events = DirEvents { dirs, watched: HashMap::new(), stream: stream.ok() };
        events.watch_dirs(stats);
        events
    }

    /// Begins to listen to directories that were not there before.
    pub fn watch_dirs(&mut self, stats: &FileStats) {
        let Some(stream) = &self.stream else { return };
        for dir in &self.dirs {
            if self.watched.values().any(|watched| watched == dir) {
                continue;
            }
            // What is just being written is told of when it is closed.
            let mask = WatchMask::CLOSE_WRITE
                | WatchMask::MOVED_TO
                | WatchMask::MOVED_FROM
                | WatchMask::DELETE;
            match stream.watches().add(dir, mask) {
                Ok(watch) => {
                    self.watched.insert(watch, dir.clone());
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(_) => {
                    stats.watch_error_count.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    /// Waits for a change.
    pub async fn changed(&mut self) {
        let Some(stream) = &mut self.stream else { return std::future::pending().await };
        let mut next = stream.next().await;
        // Those that are there already are of the same change.
        loop {
            match next {
                // A directory that is gone may come back.
                Some(Ok(event)) if event.mask.contains(EventMask::IGNORED) => {
                    self.watched.remove(&event.wd);
                }
                Some(Ok(_)) => {}
                // Without events there still are the looks of whoever listens.
                Some(Err(_)) | None => {
                    self.stream = None;
                    return;
                }
            }
            match stream.next().now_or_never() {
                Some(more) => next = more,
                None => return,
            }
        }
    }
}
