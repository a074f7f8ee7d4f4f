//! Bugs that are planted at the seam, so that it is known that the simulation finds such.

use engine::wal::SEGMENT_HEADER_BYTES;

use super::world::{Change, World};

/// One bug of a storage engine or of its disk layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// The log is acknowledged when it is written.
    AcknowledgesBeforeSync,
    /// Every second sync of the log is left out.
    SyncsLogSometimes,
    SyncsNoDirectory,
    SyncsSomeDirectories,
    /// Files get their names before their content is synced.
    RenamesPartsUnsynced,
    RenamesBlocksUnsynced,
    RenamesTombstonesUnsynced,
    /// What was read at a start was never made durable.
    StartsWithoutSync,
    /// A sync that failed is tried again, and succeeds.
    RetriesFailedSyncs,
    HidesWriteErrors,
    HidesShortWrites,
    LosesWrites,
    MisdirectsWrites,
    /// The log is cut when a part is begun, not when it is durable.
    RemovesLogBeforePart,
    RemovesOneSegmentMore,
    ForgetsTombstones,
    /// A name is taken away before the new file gets it.
    RenamesInTwoSteps,
    ShortensTooMuch,
    ListsAllButOne,
    /// Replay ends one frame early.
    DropsLastFrame,
    /// Replay takes whatever a frame says.
    SkipsChecksums,
    /// Damaged files are taken away, and not kept.
    KeepsNothing,
}

/// Which run finds a bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FoundBy {
    Crashes,
    Faults,
    Damage,
}

impl Bug {
    pub fn found_by(self) -> FoundBy {
        match self {
            Bug::RetriesFailedSyncs | Bug::HidesWriteErrors | Bug::HidesShortWrites => {
                FoundBy::Faults
            }
            Bug::SkipsChecksums | Bug::KeepsNothing => FoundBy::Damage,
            _ => FoundBy::Crashes,
        }
    }

    /// What its run must say: that of others may come first.
    pub fn symptom(self) -> &'static str {
        match self {
            Bug::HidesShortWrites => "right behind it",
            Bug::SkipsChecksums => "has changed",
            _ => "",
        }
    }

    pub const ALL: [Bug; 22] = [
        Bug::AcknowledgesBeforeSync,
        Bug::SyncsLogSometimes,
        Bug::SyncsNoDirectory,
        Bug::SyncsSomeDirectories,
        Bug::RenamesPartsUnsynced,
        Bug::RenamesBlocksUnsynced,
        Bug::RenamesTombstonesUnsynced,
        Bug::StartsWithoutSync,
        Bug::RetriesFailedSyncs,
        Bug::HidesWriteErrors,
        Bug::HidesShortWrites,
        Bug::LosesWrites,
        Bug::MisdirectsWrites,
        Bug::RemovesLogBeforePart,
        Bug::RemovesOneSegmentMore,
        Bug::ForgetsTombstones,
        Bug::RenamesInTwoSteps,
        Bug::ShortensTooMuch,
        Bug::ListsAllButOne,
        Bug::DropsLastFrame,
        Bug::SkipsChecksums,
        Bug::KeepsNothing,
    ];

    /// Whether a sync of the file at `path` does nothing.
    pub(super) fn skips_sync(self, path: &str, is_reopened: bool, world: &World) -> bool {
        // A segment has its name aside until it is prepared, and its handle keeps that.
        let is_log = path.starts_with("log/");
        match self {
            Bug::AcknowledgesBeforeSync => is_log && !is_reopened,
            Bug::SyncsLogSometimes => is_log && !is_reopened && world.one_in(2),
            Bug::RenamesPartsUnsynced => path.ends_with(".part.tmp"),
            Bug::RenamesBlocksUnsynced => path.ends_with(".block.tmp"),
            Bug::RenamesTombstonesUnsynced => path.ends_with(".tombstones.tmp"),
            Bug::StartsWithoutSync => is_reopened,
            _ => false,
        }
    }

    /// Changes what was read.
    pub(super) fn misreads(self, path: &str, bytes: &mut [u8]) {
        if !path.ends_with(".wal") {
            return;
        }
        let frames = frames(bytes);
        match self {
            Bug::DropsLastFrame => {
                if let Some(&last) = frames.last() {
                    bytes[last..].fill(0);
                }
            }
            Bug::SkipsChecksums => frames.into_iter().for_each(|at| correct_checksum(bytes, at)),
            _ => {}
        }
    }
}

const FRAME_MAGIC: [u8; 4] = [0xf5, b'H', b'W', 0x9a];

/// Where frames begin.
fn frames(bytes: &[u8]) -> Vec<usize> {
    let mut at = SEGMENT_HEADER_BYTES;
    let mut frames = vec![];
    while at + 24 <= bytes.len() {
        if bytes[at..at + 4] == FRAME_MAGIC {
            frames.push(at);
        }
        at += 8;
    }
    frames
}

/// Has a frame say the checksum of what it holds.
fn correct_checksum(bytes: &mut [u8], at: usize) {
    let length = u32::from_le_bytes(bytes[at + 4..at + 8].try_into().expect("four bytes")) as usize;
    let Some(records) = bytes.get(at + 24..at + 24 + length) else { return };
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[at..at + 20]), records);
    bytes[at + 20..at + 24].copy_from_slice(&crc.to_le_bytes());
}

/// Removes all segments of a log but the last, durably.
pub(super) fn remove_log(world: &World, log: &str) {
    let mut dirs = world.dirs.borrow_mut();
    let Some(dir) = dirs.get_mut(log) else { return };
    let mut names: Vec<String> =
        dir.entries.keys().filter(|name| name.ends_with(".wal")).cloned().collect();
    names.pop();
    for name in names {
        dir.entries.remove(&name);
        dir.synced.remove(&name);
        dir.pending.push(Change::Remove(name));
    }
}

/// Removes the segment after `name`, unless it is the last.
pub(super) fn remove_next(world: &World, log: &str, name: &str) {
    let mut dirs = world.dirs.borrow_mut();
    let Some(dir) = dirs.get_mut(log) else { return };
    let mut later =
        dir.entries.keys().filter(|other| other.as_str() > name && other.ends_with(".wal"));
    if let (Some(next), Some(_)) = (later.next().cloned(), later.next()) {
        dir.entries.remove(&next);
        dir.pending.push(Change::Remove(next));
    }
}
