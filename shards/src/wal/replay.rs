//! Reading a log back: every frame that is whole, once, in order.

use engine::disk::{Disk, DiskError};
use engine::wal::{Chain, Damage, DamageKind, Event, Frame, Replay, SegmentError, SegmentHeader};

use super::{SegmentNumber, segment_name, segment_number};
use crate::runtime::park;

/// Frames between two looks at the clock of fairness: replay gives its shard back that often.
const FRAMES_PER_TURN: usize = 64;

/// What a log held, and where it goes on.
#[derive(Clone, Debug, Default)]
pub struct Replayed {
    pub chain: Chain,
    /// Number of the first segment to write.
    pub next_segment: SegmentNumber,
    /// Whether that segment is there, prepared and of the wanted size.
    pub is_prepared: bool,
    /// Epoch of the next writer: one more than any that was found.
    pub epoch: u32,
    pub frame_count: u64,
    pub bytes: u64,
    /// What could not be read, with the segment's name.
    pub damage: Vec<(String, String)>,
}

/// A log that must not be written to: it is not ours, or not readable.
#[derive(Debug)]
pub enum ReplayError {
    Disk(DiskError),
    /// A segment of another version.
    Foreign(String, SegmentError),
}

impl std::fmt::Display for ReplayError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ReplayError::Disk(error) => error.fmt(f),
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

/// Reads all segments of `disk` in order and hands each frame to `apply`, with its segment's
/// header unless that is damaged. `progress` hears the bytes read so far.
///
/// Before anything is read it is synced, so that what is acted upon is what a power cut leaves.
/// Memory: two segments.
pub async fn replay<D: Disk>(
    disk: &D,
    segment_bytes: usize,
    mut apply: impl FnMut(Option<SegmentHeader>, Frame<'_>),
    mut progress: impl FnMut(u64),
) -> Result<Replayed, ReplayError> {
    let names = tidy(disk).await?;
    let mut replayed = Replayed { next_segment: 1, epoch: 1, ..Replayed::default() };
    let mut upcoming = read(disk, names.first()).await?;
    let mut previous = None;
    for (at, name) in names.iter().enumerate() {
        let bytes = upcoming;
        upcoming = read(disk, names.get(at + 1)).await?;
        replayed.bytes += bytes.len() as u64;
        progress(replayed.bytes);
        let number = segment_number(name).expect("listed by its number");
        // A segment whose write failed may hold frames that were written again to the next one.
        let continued = SegmentHeader::decode(&upcoming)
            .ok()
            .map(|next| Chain { next_lsn: next.first_lsn, last_crc: next.previous_crc });
        let mut segment = match Replay::new(&bytes, previous) {
            Ok(segment) => segment,
            Err(SegmentError::Unused | SegmentError::CutShort { .. }) => {
                let is_last = at + 1 == names.len();
                replayed.is_prepared = is_last && bytes.len() == segment_bytes;
                if is_last {
                    replayed.next_segment = number;
                }
                continue;
            }
            Err(error @ (SegmentError::Version { .. } | SegmentError::HashName { .. })) => {
                return Err(ReplayError::Foreign(name.clone(), error));
            }
            Err(error) => {
                replayed.damage.push((name.clone(), error.to_string()));
                replayed.next_segment = number + 1;
                continue;
            }
        };
        let header = segment.header();
        replayed.epoch = replayed.epoch.max(header.map_or(0, |header| header.epoch) + 1);
        replayed.next_segment = number + 1;
        let mut chain = segment.end_chain();
        while let Some(event) = segment.next() {
            match event {
                Event::Frame(frame) => {
                    if continued.is_some_and(|continued| continued.next_lsn <= frame.lsn) {
                        break;
                    }
                    apply(header, frame);
                    chain = segment.end_chain();
                    replayed.frame_count += 1;
                    if replayed.frame_count.is_multiple_of(FRAMES_PER_TURN as u64) {
                        park().await;
                    }
                }
                Event::Damage(damage) => {
                    if continued == Some(chain) {
                        break;
                    }
                    replayed.damage.push((name.clone(), describe(&damage)));
                }
            }
        }
        previous = Some(chain);
        replayed.chain = chain;
    }
    Ok(replayed)
}

/// Removes what an interrupted preparation left, syncs the rest; returns the segments' names.
async fn tidy<D: Disk>(disk: &D) -> Result<Vec<String>, DiskError> {
    let mut names = Vec::new();
    for name in disk.list().await? {
        if name.ends_with(".tmp") {
            disk.remove(&name).await?;
        } else if segment_number(&name).is_some() {
            let file = disk.open(&name).await?;
            disk.sync(&file).await?;
            names.push(name);
        }
    }
    disk.sync_dir().await?;
    names.sort_unstable_by_key(|name| segment_number(name));
    debug_assert!(
        names.iter().all(|name| {
            segment_number(name).is_some_and(|number| segment_name(number) == *name)
        })
    );
    Ok(names)
}

/// The content of `name`, if there is one more.
async fn read<D: Disk>(disk: &D, name: Option<&String>) -> Result<Vec<u8>, DiskError> {
    match name {
        Some(name) => disk.read(name).await,
        None => Ok(Vec::new()),
    }
}

fn describe(damage: &Damage) -> String {
    let what = match damage.kind {
        DamageKind::Frames => "frames that do not check",
        DamageKind::TornTail => "a write that was cut at the end",
        DamageKind::Unchained => "a frame that does not continue the one before it",
        DamageKind::Gap => "the segment before it ends early or is missing",
        DamageKind::Header => "its header does not check",
    };
    let (bytes, lsns) = (&damage.bytes, &damage.lsns);
    match lsns.is_empty() {
        true => format!("{what} (bytes {}..{})", bytes.start, bytes.end),
        false => format!(
            "{what} (bytes {}..{}, frames {}..{} are lost)",
            bytes.start, bytes.end, lsns.start, lsns.end
        ),
    }
}
