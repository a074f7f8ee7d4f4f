//! The log of one shard: frames in groups, acknowledged when they are durable, read back at start.
//!
//! ```text
//! append ──► groups ──► one write at a time ──► watermark ──► who waits
//!            laid out      to the segment          LSN up to which
//!            over segments in use                  all is durable
//! ```
//!
//! What an acknowledgement means is [`WalSync`]'s. Segments are prepared (zeros, synced, named)
//! before they are needed, so that on the path of an acknowledgement no file changes its size. A
//! segment of which a write or sync failed is never written again: what was not acknowledged moves
//! to the next one. A full disk refuses new frames with a message and heals by itself.
//!
//! Not here: the bytes of frames and segments (`engine::wal`), what they mean (`engine::store`),
//! files (`crate::disk`).

mod commit;
mod groups;
mod log;
mod replay;
mod starts;
mod watermark;

use std::fmt;
use std::time::Duration;

pub use groups::{Space, Writer};
pub use log::{Start, Wal};
pub use replay::{ReplayError, Replayed, replay};
pub use starts::SegmentStarts;

use crate::disk::padded;

/// Number of a segment: its place in the log of its shard.
pub type SegmentNumber = u64;

/// When a frame counts as durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalSync {
    /// When its group was written and synced to the medium. Nothing that was acknowledged is lost,
    /// by a killed process or by a power cut.
    Batch,
    /// When it was written to the page cache, which is synced every so often: a power cut may take
    /// what was acknowledged since.
    Interval(Duration),
    /// When it was written to the page cache, which is synced with every full segment, as
    /// Prometheus does.
    Os,
}

#[derive(Clone, Copy, Debug)]
pub struct WalOptions {
    pub sync: WalSync,
    /// Size of a segment, in whole blocks; a frame that is larger gets a larger one.
    pub segment_bytes: usize,
    /// How long a frame that nobody waits for (a scrape's) may stay in memory.
    pub sync_delay_max: Duration,
    /// Frames that wait to be written, before further ones are refused as overload.
    pub queue_bytes_max: usize,
    /// Pause between two attempts when the disk takes nothing.
    pub retry_delay: Duration,
}

impl WalOptions {
    /// Smallest segment that is worth its preparation.
    pub const SEGMENT_BYTES_MIN: usize = 64 << 10;

    /// The options with every number brought within its bounds.
    pub fn normalized(mut self) -> WalOptions {
        self.segment_bytes = padded(self.segment_bytes.max(Self::SEGMENT_BYTES_MIN));
        self
    }
}

impl Default for WalOptions {
    fn default() -> Self {
        WalOptions {
            sync: WalSync::Batch,
            segment_bytes: 32 << 20,
            sync_delay_max: Duration::from_millis(100),
            queue_bytes_max: 64 << 20,
            retry_delay: Duration::from_millis(500),
        }
    }
}

/// Why a frame is not durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WalError {
    /// The disk is slower than what comes in. The frame was not taken.
    Overloaded,
    /// The disk takes nothing at present, with its reason. Heals by itself.
    Unwritable(String),
    /// The log was closed.
    Closed,
}

impl fmt::Display for WalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WalError::Overloaded => f.write_str("log: too much waits to be written"),
            WalError::Unwritable(message) => write!(f, "write to the log: {message}"),
            WalError::Closed => f.write_str("log is closed"),
        }
    }
}

impl std::error::Error for WalError {}

/// File name of segment `number`.
fn segment_name(number: SegmentNumber) -> String {
    format!("{number:08}.wal")
}

/// Number of the segment with this file name.
fn segment_number(name: &str) -> Option<SegmentNumber> {
    name.strip_suffix(".wal")?.parse().ok()
}
