//! Tables of whole numbers, a row for each of many things and one more for the end, read at any place.
//!
//! ```text
//! table   where each group begins, and the end: 4 each | groups
//! group   rows: 1 | ( base: varint, width: 1, offsets: rows · width bits, rounded up to bytes )*
//! ```
//!
//! A group has up to 64 rows and the row behind them, which begins the next: what ends where the next
//! begins is read at one place. Numbers that ascend, or hardly differ, take two bytes or none where a
//! plain table has four or eight.

use super::error::BlockError;
use super::pages::{Pages, Section, le_u32};
use crate::encode::BitPacker;
use crate::mem::varint::{push_u64, take_bytes, take_u64};

const GROUP_ROWS: usize = 64;

/// Collects a table of `COLUMNS` numbers a row.
#[derive(Debug)]
pub(super) struct PackedWriter<const COLUMNS: usize> {
    /// Where each group begins behind the directory.
    starts: Vec<u32>,
    groups: Vec<u8>,
    /// Rows of the group that is being written.
    rows: Vec<[u64; COLUMNS]>,
    row_count: usize,
}

impl<const COLUMNS: usize> Default for PackedWriter<COLUMNS> {
    fn default() -> Self {
        PackedWriter { starts: vec![], groups: vec![], rows: vec![], row_count: 0 }
    }
}

impl<const COLUMNS: usize> PackedWriter<COLUMNS> {
    /// Rows pushed so far.
    pub fn row_count(&self) -> usize {
        self.row_count
    }

    pub fn push(&mut self, row: [u64; COLUMNS]) {
        self.rows.push(row);
        self.row_count += 1;
        if self.rows.len() > GROUP_ROWS {
            self.end_group();
            self.rows.clear();
            self.rows.push(row);
        }
    }

    fn end_group(&mut self) {
        self.starts.push(self.groups.len() as u32);
        self.groups.push(self.rows.len() as u8);
        for column in 0..COLUMNS {
            let numbers = || self.rows.iter().map(|row| row[column]);
            let base = numbers().min().unwrap_or(0);
            let range = numbers().max().unwrap_or(0) - base;
            let width = u64::BITS - range.leading_zeros();
            push_u64(&mut self.groups, base);
            self.groups.push(width as u8);
            let mut bits = BitPacker::default();
            for row in &self.rows {
                bits.push(&mut self.groups, row[column] - base, width);
            }
            bits.finish(&mut self.groups);
        }
    }

    /// The table's bytes; the row of the end was pushed last.
    pub fn finish(mut self) -> Vec<u8> {
        if self.rows.len() > 1 {
            self.end_group();
        }
        let directory_bytes = 4 * (self.starts.len() + 1);
        let mut out = Vec::with_capacity(directory_bytes + self.groups.len());
        let ends = self.starts.iter().copied().chain([self.groups.len() as u32]);
        for start in ends {
            out.extend_from_slice(&(start + directory_bytes as u32).to_le_bytes());
        }
        out.append(&mut self.groups);
        out
    }
}

/// The number at `index` of those of `width` bits each.
fn number(packed: &[u8], width: u32, index: usize) -> Option<u64> {
    let bit = index * width as usize;
    let mut window = [0; 16];
    let bytes = packed.get(bit / 8..(bit + width as usize).div_ceil(8))?;
    window.get_mut(..bytes.len())?.copy_from_slice(bytes);
    let mask = if width == 0 { 0 } else { u64::MAX >> (u64::BITS - width) };
    Some((u128::from_le_bytes(window) >> (bit % 8)) as u64 & mask)
}

/// A row of the table in `section`, and the next. Cost: some 20 ns, and what the pages cost.
///
/// Errors: damaged, or a place that the table has not.
pub(super) fn packed_rows<const COLUMNS: usize>(
    section: Section,
    pages: &Pages,
    row: u32,
) -> Result<[[u64; COLUMNS]; 2], BlockError> {
    let (group, place) = (row as usize / GROUP_ROWS, row as usize % GROUP_ROWS);
    let broken = || pages.broken("table");
    let directory_bytes = le_u32(section.get(pages, 0, 4)?, 0);
    if 4 * group as u64 + 8 > u64::from(directory_bytes) {
        return Err(broken());
    }
    let bounds = section.get(pages, 4 * group as u64, 8)?;
    let (start, end) = (le_u32(bounds, 0), le_u32(bounds, 4));
    let length = end.checked_sub(start).ok_or_else(broken)?;
    let mut rest = section.get(pages, u64::from(start), length as usize)?;
    let mut found = [[0; COLUMNS]; 2];
    (|| {
        let row_count = usize::from(take_bytes(&mut rest, 1)?[0]);
        for column in 0..COLUMNS {
            let base = take_u64(&mut rest)?;
            let width = u32::from(take_bytes(&mut rest, 1)?[0]);
            let packed = take_bytes(&mut rest, (row_count * width as usize).div_ceil(8))?;
            if width > u64::BITS || place + 1 >= row_count {
                return None;
            }
            for (next, found) in found.iter_mut().enumerate() {
                found[column] = base.checked_add(number(packed, width, place + next)?)?;
            }
        }
        Some(())
    })()
    .ok_or_else(broken)?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::pages::PageWriter;
    use super::{PackedWriter, Pages, Section, packed_rows};

    const MAGIC: &[u8; 8] = b"PACKTEST";

    /// Writes rows and the last for the end; expects all back. Returns the bytes of the table.
    #[track_caller]
    fn check(rows: &[[u64; 2]]) -> usize {
        let mut writer = PackedWriter::default();
        rows.iter().for_each(|&row| writer.push(row));
        assert_eq!(writer.row_count(), rows.len());
        let table = writer.finish();
        let (mut out, mut pages) = (vec![], PageWriter::default());
        pages.push(&mut out, &[7; 9]);
        pages.push(&mut out, &table);
        pages.push(&mut out, &[0xff; 9]);
        pages.finish(&mut out, MAGIC, 1, &[]);
        let (pages, _) = Pages::open(Arc::new(out), "test", MAGIC, &[1]).unwrap();
        let section = Section { start: 9, bytes: table.len() as u64 };
        for (number, pair) in rows.windows(2).enumerate() {
            assert_eq!(packed_rows(section, &pages, number as u32).unwrap(), [pair[0], pair[1]]);
        }
        for beyond in [rows.len() - 1, rows.len() + 64, rows.len() + 1000] {
            assert!(packed_rows::<2>(section, &pages, beyond as u32).is_err());
        }
        table.len()
    }

    #[test]
    fn rows_come_back() {
        assert_eq!(check(&[[5, 5]]), 4);
        check(&[[0, u64::MAX], [u64::MAX, 0]]);
        for count in [2, 64, 65, 66, 128, 129, 130, 1000] {
            // Places that ascend by 200 to 299, and a second that is mostly the same.
            let row = |n: u64| [1 << 33 | (n * 200 + n * n % 100), 3600 - u64::from(n % 500 == 7)];
            let bytes = check(&(0..count).map(row).collect::<Vec<_>>());
            assert!(bytes < 20 + count as usize * 5 / 2);
        }
    }
}
