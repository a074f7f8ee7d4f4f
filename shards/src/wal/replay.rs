//! Reading a log back, segment by segment, into a store.

use std::fmt;
use std::time::Duration;

use engine::disk::{Disk, DiskError, DiskErrorKind};
use engine::store::{Flushed, Store};
use engine::wal::{SegmentError, SegmentHeader};

use super::{SegmentNumber, SegmentStarts, segment_number};
use crate::disk::{FileStream, padded};
use crate::route::ShardId;
use crate::runtime::{now, park};

/// How long frames are replayed in one go.
const PIECE: Duration = Duration::from_millis(2);

/// Attempts to have a segment durable: several shards may try it at once, and one of them wins.
const DURABLE_ATTEMPTS_MAX: u32 = 3;

/// What a log held, and where it goes on.
#[derive(Clone, Debug, Default)]
pub struct Replayed {
    /// Number of the first segment to write.
    pub next_segment: SegmentNumber,
    /// Whether that segment is there, prepared and of the wanted size.
    pub is_prepared: bool,
    pub frame_count: u64,
    pub sample_count: u64,
    pub bytes: u64,
    /// Where the segments begin.
    pub starts: SegmentStarts,
    /// Places where acknowledged data may be missing: segment and description.
    pub losses: Vec<(String, String)>,
    /// Segments of the log, and those of them that are read.
    pub segment_count: u64,
    pub read_count: u64,
}

/// Why a log was not read to its end.
#[derive(Debug)]
pub enum ReplayError {
    Disk(DiskError),
    /// `progress` wanted no more.
    Stopped,
    /// A segment of another version.
    Foreign(String, SegmentError),
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReplayError::Disk(error) => error.fmt(f),
            ReplayError::Stopped => f.write_str("stopped while the log was read"),
            ReplayError::Foreign(name, error) => write!(f, "{name}: {error}"),
        }
    }
}

impl std::error::Error for ReplayError {}

impl From<DiskError> for ReplayError {
    fn from(error: DiskError) -> Self {
        ReplayError::Disk(error)
    }
}

/// Reads all segments of `disk` in order into `store`, those frames that are not `flushed` to parts,
/// for the series only whose hash `keep` wants; `progress` hears of every piece, and answers whether
/// to go on. The log is read as one that begins anew. Between two pieces of [`PIECE`] the shard parks,
/// so that it serves meanwhile.
///
/// Before anything is read it is synced, so that what is acted upon is what a power cut leaves; a
/// segment whose sync fails is written anew, and so is the newest one. Memory: one segment. Damage
/// costs the frames it hit and is told in [`Replayed::losses`].
pub async fn replay<D: Disk>(
    disk: &D,
    by: ShardId,
    segment_bytes: usize,
    store: &mut Store,
    flushed: &Flushed,
    keep: impl Fn(u64) -> bool + Copy,
    mut progress: impl FnMut(&Replayed) -> bool,
) -> Result<Replayed, ReplayError> {
    store.begin_log_after(flushed);
    let mut replayed = Replayed { next_segment: 1, ..Replayed::default() };
    let segments = tidy(disk, by, &mut replayed.losses).await?;
    replayed.segment_count = segments.len() as u64;
    // The newest that holds frames which are nowhere else.
    let mut newest_used = None;
    // Of the segments read so far.
    let mut newest_ms = None;
    for (at, (number, name)) in segments.iter().enumerate() {
        let (bytes, length) = disk.read_used(name).await?;
        replayed.next_segment = number + 1;
        match store.begin_replay(&bytes) {
            Ok(mut segment) => {
                loop {
                    let begun = now();
                    if store.replay_frames(&mut segment, keep, || now() - begun >= PIECE) {
                        break;
                    }
                    if !progress(&replayed) {
                        return Err(ReplayError::Stopped);
                    }
                    park().await;
                }
                let report = segment.report();
                if let Ok(header) = SegmentHeader::decode(&bytes) {
                    replayed.starts.record(*number, header.first_lsn);
                }
                replayed.bytes += length as u64;
                replayed.frame_count += report.frame_count as u64;
                if report.frame_count > 0 {
                    newest_used = Some(name);
                }
                replayed.sample_count += report.sample_count as u64;
                newest_ms = newest_ms.max(report.max_ms);
                let losses = report.lost.iter().filter(|lost| lost.is_loss());
                let known_count = replayed.losses.len();
                replayed.losses.extend(losses.map(|lost| {
                    let damage = &lost.damage;
                    let what = format!(
                        "{:?} at bytes {:?}, frames {:?}, newest sample before {:?} ms, after \
                         {:?} ms",
                        damage.kind, damage.bytes, damage.lsns, lost.after_ms, lost.before_ms
                    );
                    (name.clone(), what)
                }));
                if known_count == replayed.losses.len() {
                    cut_unused(disk, name, report.end_offset, length).await;
                } else {
                    keep_damaged(disk, name, &mut replayed.losses[known_count..]).await;
                }
            }
            Err(SegmentError::Unused) => {
                if at + 1 == segments.len() {
                    replayed.next_segment = *number;
                    replayed.is_prepared = length == segment_bytes;
                }
            }
            Err(error @ (SegmentError::Version { .. } | SegmentError::HashName { .. })) => {
                return Err(ReplayError::Foreign(name.clone(), error));
            }
            // A segment gets its name when it is whole: a shorter one was damaged.
            Err(
                error @ (SegmentError::NotASegment
                | SegmentError::Checksum { .. }
                | SegmentError::CutShort { .. }),
            ) => {
                let next_lsn = store.chain().next_lsn;
                let what = format!(
                    "{error}: nothing of it can be read, frames from {next_lsn} on, newest sample \
                     before {newest_ms:?} ms"
                );
                replayed.losses.push((name.clone(), what));
                let known_count = replayed.losses.len() - 1;
                keep_damaged(disk, name, &mut replayed.losses[known_count..]).await;
            }
        }
        replayed.read_count += 1;
        if !progress(&replayed) {
            return Err(ReplayError::Stopped);
        }
        park().await;
    }
    if let Some(name) = newest_used {
        renew(disk, by, name).await;
    }
    Ok(replayed)
}

/// Keeps a damaged segment aside, and adds to the report of its damage where.
async fn keep_damaged<D: Disk>(disk: &D, name: &str, losses: &mut [(String, String)]) {
    let kept = match disk.quarantine(name).await {
        Ok(path) => format!("; the segment is kept as {path}"),
        Err(error) => format!("; the segment could not be kept: {error}"),
    };
    losses.iter_mut().for_each(|(_, what)| what.push_str(&kept));
}

/// Gives back what a segment was prepared with and never used: no later start has to read it. A
/// failure changes nothing, and the next start tries again.
async fn cut_unused<D: Disk>(disk: &D, name: &str, end_offset: usize, segment_bytes: usize) {
    let used_bytes = padded(end_offset);
    if used_bytes < segment_bytes {
        let _ = disk.shorten(name, used_bytes as u64).await;
    }
}

/// Removes what an interrupted preparation left and makes the rest durable; returns the segments.
async fn tidy<D: Disk>(
    disk: &D,
    by: ShardId,
    losses: &mut Vec<(String, String)>,
) -> Result<Vec<(SegmentNumber, String)>, DiskError> {
    let mut segments = Vec::new();
    for name in disk.list().await? {
        if name.ends_with(".tmp") {
            // Several shards may read, and tidy, the log of an older generation.
            match disk.remove(&name).await {
                Err(error) if error.kind != DiskErrorKind::NotFound => return Err(error),
                _ => {}
            }
        } else if let Some(number) = segment_number(&name) {
            segments.push((number, name));
        }
    }
    // In order, so that what a power cut leaves of them has no gap.
    segments.sort_unstable();
    for (_, name) in &segments {
        make_durable(disk, by, name, losses).await?;
    }
    disk.sync_dir().await?;
    Ok(segments)
}

/// Writes what can be read of `name` to a new file that takes the name, durably.
async fn write_anew<D: Disk>(disk: &D, by: ShardId, name: &str) -> Result<(), DiskError> {
    let mut bytes = disk.read(name).await?;
    FileStream::create_by(disk, name, by).await?.finish(&mut bytes).await
}

/// Writes the segment anew that was in use when the log ended.
///
/// When the process is killed between a sync that failed and the write that would have followed in
/// another segment, nobody is left who knows: the frames are read, and the sync of a start, which
/// has nothing to write any more, succeeds. They were never acknowledged, but what a start has shown
/// is to stay. Segments before have it behind them, acknowledged there. Cost: a segment written and
/// synced.
///
/// A disk that takes nothing leaves the segment as it is, and the start goes on. Where several shards
/// read the log, each does it; one that was tidied away by another has that other behind it.
async fn renew<D: Disk>(disk: &D, by: ShardId, name: &str) {
    let _ = write_anew(disk, by, name).await;
}

/// Has `name` survive a power cut as it is read now.
///
/// A sync that fails may tell of writes that an earlier one took for done, and another sync of the
/// file would say nothing that is true: what can be read is all there is. It is written to a new file
/// that takes the name. What of it did not arrive shows as damage when the frames are read.
///
/// Errors: a disk that lets nothing be written.
async fn make_durable<D: Disk>(
    disk: &D,
    by: ShardId,
    name: &str,
    losses: &mut Vec<(String, String)>,
) -> Result<(), DiskError> {
    let mut attempt = 0;
    loop {
        let file = disk.open(name).await?;
        let Err(error) = disk.sync(&file).await else { return Ok(()) };
        drop(file);
        attempt += 1;
        let written = async {
            let kept = disk.quarantine(name).await?;
            write_anew(disk, by, name).await?;
            Ok(kept)
        };
        match written.await {
            Ok(kept) => {
                let what =
                    format!("{error}; what can be read was written anew, and is kept as {kept}");
                losses.push((name.to_owned(), what));
                return Ok(());
            }
            // Another shard that reads this log has done it at the same time.
            Err(DiskError { kind: DiskErrorKind::NotFound, .. })
                if attempt < DURABLE_ATTEMPTS_MAX => {}
            Err(error) => return Err(error),
        }
    }
}
