//! The write-ahead log as bytes: segments, frames, records, replay. Writing them is the shard's.
//!
//! `FORMAT.md` beside this file draws every byte. The path of one request:
//!
//! ```text
//! FrameWriter::begin(out) → records → finish(&mut chain)
//! ```
//!
//! and back: [`Replay`] walks the bytes of a segment, hands out the frames that are whole and
//! reports those that are not. A damaged frame loses itself only.
//!
//! [`prometheus`] reads the log of Prometheus, which is imported once.
//!
//! Not here: files, offsets, syncing (`shards`); what the records mean (`store`).

mod columns;
mod exemplars;
mod frame;
pub mod prometheus;
mod record;
mod replay;
mod segment;
mod series;
#[cfg(test)]
mod tests;

pub use columns::{ColumnsHeader, DecodedWhen, WhenColumns};
pub use exemplars::{ExemplarsRecord, LoggedExemplar};
pub use frame::{Chain, FRAME_HEADER_BYTES, Frame, FrameWriter};
pub use record::{
    HistogramColumns, HistogramsRecord, MetadataRecord, Record, Records, SampleColumns,
    SamplesRecord,
};
pub use replay::{Damage, DamageKind, Event, Replay};
pub use segment::{SEGMENT_HEADER_BYTES, SegmentError, SegmentHeader};
pub use series::{LabelSet, LabelSets, SeriesRecord};
