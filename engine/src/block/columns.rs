//! Timestamp columns, each written once for all series that share it.
//!
//! All series of a scrape have the same timestamps, jitter included. So they stand apart from the
//! values, numbered, in a table:
//!
//! ```text
//! row   first: 8 | last: 8 | place: 8 | bytes: 4 | count: 3 | codec: 1
//! ```
//!
//! The writer knows a column again by a hash of its timestamps and then compares them all. It
//! remembers the columns it met lately, in a bounded memory; one that it forgot is written twice,
//! which costs bytes and nothing else.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use xxhash_rust::xxh3::xxh3_64;

use super::pages::{PageWriter, le_u32, le_u64};
use crate::encode::{self, TimestampCodec};

pub(super) const COLUMN_ROW_BYTES: usize = 32;

/// Bytes of encoded columns that one of two generations remembers.
const MEMORY_BYTES_MAX: usize = 16 << 20;

/// Where a column stands, and what it spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ColumnRow {
    pub min_ms: i64,
    pub max_ms: i64,
    pub place: u64,
    pub bytes: u32,
    pub count: u32,
    pub codec: TimestampCodec,
}

impl ColumnRow {
    fn push(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.min_ms.to_le_bytes());
        out.extend_from_slice(&self.max_ms.to_le_bytes());
        out.extend_from_slice(&self.place.to_le_bytes());
        out.extend_from_slice(&self.bytes.to_le_bytes());
        out.extend_from_slice(&(self.count | (self.codec as u32) << 24).to_le_bytes());
    }

    /// `row` is as long as a row.
    pub fn decode(row: &[u8]) -> Option<ColumnRow> {
        let last = le_u32(row, 28);
        Some(ColumnRow {
            min_ms: le_u64(row, 0) as i64,
            max_ms: le_u64(row, 8) as i64,
            place: le_u64(row, 16),
            bytes: le_u32(row, 24),
            count: last & 0xff_ffff,
            codec: TimestampCodec::from_code((last >> 24) as u8)?,
        })
    }
}

#[derive(Debug)]
struct Known {
    column: u32,
    bytes: Box<[u8]>,
}

type Generation = HashMap<u64, Known, FixedState>;

/// The columns of a block that is being written.
#[derive(Debug, Default)]
pub(super) struct ColumnWriter {
    /// Rows as they will be written.
    pub rows: Vec<u8>,
    young: Generation,
    old: Generation,
    young_bytes: usize,
    work: encode::Columns,
    encoded: Vec<u8>,
    decoded: Vec<i64>,
}

impl ColumnWriter {
    pub fn count(&self) -> usize {
        self.rows.len() / COLUMN_ROW_BYTES
    }

    pub fn row(&self, column: u32) -> ColumnRow {
        let start = column as usize * COLUMN_ROW_BYTES;
        ColumnRow::decode(&self.rows[start..start + COLUMN_ROW_BYTES]).expect("written here")
    }

    /// Number of the column of `timestamps_ms`, which is written now if it is not known.
    pub fn column(
        &mut self,
        timestamps_ms: &[i64],
        pages: &mut PageWriter,
        out: &mut Vec<u8>,
    ) -> u32 {
        let hash = xxh3_64(bytemuck::cast_slice(timestamps_ms));
        if let Some(known) = self.young.get(&hash) {
            if is_column(&self.rows, known, timestamps_ms, &mut self.decoded) {
                return known.column;
            }
        } else if let Some(known) = self.old.remove(&hash) {
            let is_column = is_column(&self.rows, &known, timestamps_ms, &mut self.decoded);
            let column = known.column;
            self.remember(hash, known);
            if is_column {
                return column;
            }
        }
        self.encoded.clear();
        let codec = encode::push_timestamps(&mut self.encoded, timestamps_ms, &mut self.work);
        let column = self.count() as u32;
        let row = ColumnRow {
            min_ms: timestamps_ms[0],
            max_ms: timestamps_ms[timestamps_ms.len() - 1],
            place: pages.position(),
            bytes: self.encoded.len() as u32,
            count: timestamps_ms.len() as u32,
            codec,
        };
        row.push(&mut self.rows);
        pages.push(out, &self.encoded);
        let bytes = self.encoded.as_slice().into();
        self.remember(hash, Known { column, bytes });
        column
    }

    fn remember(&mut self, hash: u64, known: Known) {
        self.young_bytes += known.bytes.len() + COLUMN_ROW_BYTES;
        self.young.insert(hash, known);
        if self.young_bytes >= MEMORY_BYTES_MAX {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
    }
}

fn is_column(rows: &[u8], known: &Known, timestamps_ms: &[i64], decoded: &mut Vec<i64>) -> bool {
    let start = known.column as usize * COLUMN_ROW_BYTES;
    let row = ColumnRow::decode(&rows[start..start + COLUMN_ROW_BYTES]).expect("written here");
    let count = row.count as usize;
    decoded.clear();
    encode::decode_timestamps(&known.bytes, row.codec, row.min_ms, row.max_ms, count, decoded)
        .expect("written here");
    decoded == timestamps_ms
}
