//! How much memory the process may use, and what happens when it is nearly all used: no series is
//! made any more, and those that are there go on. What is freed goes back to the system.
//!
//! What is watched is the process's anonymous memory, as the kernel counts it, so that queries,
//! buffers and whatever the allocator holds count too. Mapped files do not: the kernel takes them
//! back by itself.

use std::fs;
use std::path::{Component, Path};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::observe::{Event, SharedReporter};
use crate::runtime::return_freed_memory_of_all;
use crate::settings::StorageSettings;
use crate::stats::ShardStats;

/// Of the limit one part in this many is kept for what series that are there will need: their
/// samples until the next flush, queries, buffers, and the next start, which needs a quarter more
/// while it reads the log.
const RESERVE_PART: u64 = 4;

/// The same while new series are refused: it ends when clearly less is used.
const RESERVE_PART_REFUSING: u64 = 3;

/// Faster than new series were ever seen to take memory; by it the next look is due before the
/// limit can be reached.
const GROWTH_BYTES_PER_SECOND: u64 = 2 << 30;

const LOOK_EVERY_MIN: Duration = Duration::from_millis(10);
/// Freed memory goes back as often.
const LOOK_EVERY_MAX: Duration = Duration::from_millis(500);

/// The memory that this process can have: that of the machine, or less where a control group says
/// so. `None` where the system hides both.
pub fn available_bytes() -> Option<u64> {
    let read = |path: &Path| fs::read_to_string(path).ok();
    available_bytes_in(Path::new("/"), &read)
}

fn available_bytes_in(root: &Path, read: &dyn Fn(&Path) -> Option<String>) -> Option<u64> {
    let machine = read(&root.join("proc/meminfo")).and_then(|text| kib_of(&text, "MemTotal:"));
    let groups = read(&root.join("proc/self/cgroup")).unwrap_or_default();
    let limits = groups.lines().filter_map(|line| {
        // `0::/path`: version 2; `7:memory:/path`: version 1.
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        let (tree, file) = match controllers {
            "" => ("sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|one| one == "memory") => {
                ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => return None,
        };
        // A group's limit holds for those below it; in a container the path may not be visible,
        // and the tree's root is the container's own group.
        let within =
            Path::new(path).components().filter(|part| matches!(part, Component::Normal(_)));
        let mut folder = root.join(tree);
        let folders = std::iter::once(folder.clone()).chain(within.map(|part| {
            folder.push(part);
            folder.clone()
        }));
        folders.filter_map(|folder| read(&folder.join(file))?.trim().parse::<u64>().ok()).min()
    });
    limits.chain(machine).min()
}

/// Bytes of a line `name   123 kB`.
fn kib_of(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.split_ascii_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// Anonymous memory of this process.
fn used_bytes() -> Option<u64> {
    kib_of(&fs::read_to_string("/proc/self/status").ok()?, "RssAnon:")
}

/// Whether series may be made, and when to look again.
fn judge(used_bytes: u64, limit_bytes: u64, takes_series: bool) -> (bool, Duration) {
    let part = if takes_series { RESERVE_PART } else { RESERVE_PART_REFUSING };
    let left = (limit_bytes - limit_bytes / part).saturating_sub(used_bytes);
    // Half of the time in which what is left could be used up.
    let pause = Duration::from_millis(left.saturating_mul(500) / GROWTH_BYTES_PER_SECOND);
    (left > 0, pause.clamp(LOOK_EVERY_MIN, LOOK_EVERY_MAX))
}

/// A thread that looks at the process's memory, and gives back what is free.
pub struct MemoryWatch {
    end: Sender<()>,
    thread: Option<JoinHandle<()>>,
}

impl MemoryWatch {
    /// Watches that the process uses less than `limit_bytes`; without a limit, or where the system does
    /// not say how much it uses, it only gives back. Looks once before it returns.
    pub fn start(
        limit_bytes: Option<u64>,
        settings: Arc<StorageSettings>,
        stats: Arc<ShardStats>,
        reporter: SharedReporter,
    ) -> MemoryWatch {
        let (end, ended) = channel();
        stats.memory_limit_bytes.set(limit_bytes.unwrap_or(0));
        let mut takes_series = true;
        let mut look = move || {
            let (limit_bytes, used_bytes) = (limit_bytes?, used_bytes()?);
            stats.memory_used_bytes.set(used_bytes);
            let (fits, pause) = judge(used_bytes, limit_bytes, takes_series);
            if takes_series && !fits {
                reporter.report(Event::MemoryFull { used_bytes, limit_bytes });
            }
            takes_series = fits;
            settings.set_takes_series(fits);
            Some(pause)
        };
        let mut pause = look().unwrap_or(LOOK_EVERY_MAX);
        let watch = move || {
            let mut kept_for = Duration::ZERO;
            while ended.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                kept_for += pause;
                if kept_for >= LOOK_EVERY_MAX {
                    return_freed_memory_of_all();
                    kept_for = Duration::ZERO;
                }
                pause = look().unwrap_or(LOOK_EVERY_MAX);
            }
        };
        let thread = thread::Builder::new().name("memory".into()).spawn(watch).ok();
        MemoryWatch { end, thread }
    }

    pub fn stop(self) {
        drop(self.end);
        if let Some(thread) = self.thread {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::path::Path;
    use std::time::Duration;

    use super::{available_bytes, available_bytes_in, judge, used_bytes};

    #[track_caller]
    fn check(files: &[(&str, &str)], expected: Option<u64>) {
        let files: HashMap<&str, &str> = files.iter().copied().collect();
        let read = |path: &Path| files.get(path.to_str()?).map(|text| (*text).to_owned());
        assert_eq!(available_bytes_in(Path::new("/"), &read), expected);
    }

    #[test]
    fn the_smallest_limit_holds() {
        let machine = ("/proc/meminfo", "MemTotal:        8 kB\nMemFree:   1 kB\n");
        check(&[], None);
        check(&[machine], Some(8192));
        let group = ("/proc/self/cgroup", "0::/a.slice/b.service\n");
        check(&[machine, group], Some(8192));
        check(&[machine, group, ("/sys/fs/cgroup/a.slice/memory.max", "max\n")], Some(8192));
        let above = ("/sys/fs/cgroup/a.slice/memory.max", "5000\n");
        let own = ("/sys/fs/cgroup/a.slice/b.service/memory.max", "6000\n");
        check(&[machine, group, above, own], Some(5000));
        check(&[machine, group, ("/sys/fs/cgroup/memory.max", "4000\n")], Some(4000));
        let first = ("/proc/self/cgroup", "5:cpu:/x\n7:hugetlb,memory:/docker/1\n");
        let limit = ("/sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes", "3000\n");
        check(&[machine, first, limit], Some(3000));
        let none = "9223372036854771712\n";
        let limit = ("/sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes", none);
        check(&[machine, first, limit], Some(8192));
    }

    #[test]
    fn this_process_uses_some_of_what_there_is() {
        let (used, available) = (used_bytes().unwrap(), available_bytes().unwrap());
        assert!(0 < used && used < available, "{used} of {available}");
    }

    #[test]
    fn series_are_refused_before_the_limit() {
        const GIB: u64 = 1 << 30;
        assert_eq!(judge(0, 16 * GIB, true), (true, Duration::from_millis(500)));
        assert_eq!(judge(GIB / 2, GIB, true), (true, Duration::from_millis(62)));
        assert_eq!(judge(GIB - GIB / 4, GIB, true), (false, Duration::from_millis(10)));
        assert_eq!(judge(2 * GIB, GIB, true), (false, Duration::from_millis(10)));
        // What was refused is taken again when there is clearly room.
        assert!(judge(GIB / 10 * 7, GIB, true).0 && !judge(GIB / 10 * 7, GIB, false).0);
        assert!(judge(GIB / 2, GIB, false).0);
    }
}
