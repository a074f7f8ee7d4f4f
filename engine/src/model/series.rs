//! The name of a series inside one shard.

use bytemuck::TransparentWrapper;

/// Position of a series in the columns of one shard or of another source: dense, from zero, and
/// without meaning anywhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, TransparentWrapper)]
#[repr(transparent)]
pub struct SeriesId(pub u32);

impl SeriesId {
    #[inline]
    pub fn index(self) -> usize {
        self.0 as usize
    }

    /// The positions of a column of series, where they stand.
    #[inline]
    pub fn positions(column: &[SeriesId]) -> &[u32] {
        SeriesId::peel_slice(column)
    }

    /// The series at the positions of a column, where they stand.
    #[inline]
    pub fn at(positions: &[u32]) -> &[SeriesId] {
        SeriesId::wrap_slice(positions)
    }
}
