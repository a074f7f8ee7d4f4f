//! Reading everything of a block that has a checksum.
//!
//! Symbols and the postings table were verified when the block was opened. Of the files of chunks every
//! chunk is read, one behind the other, whether a series has it or not.

use std::ops::Range;

use super::super::error::BlockError;
use super::chunk::{Chunk, SEGMENT_MAGIC};
use super::floats::Broken;
use super::read::PrometheusBlock;
use crate::disk::FileBytes;

/// Bytes of a file of chunks that are read at once; more where a chunk is longer.
const PIECE_BYTES: usize = 1 << 20;

impl PrometheusBlock {
    /// Verifies postings and series of the index, and all chunks. The index is in memory; of the files
    /// of chunks `read_in` brings each piece there before it is touched, and ends the work with `false`.
    /// Whether it came to the end.
    ///
    /// Errors: what is damaged, or what `read_in` says.
    pub fn verify<E: From<BlockError>>(
        &self,
        mut read_in: impl FnMut(&FileBytes, Range<usize>) -> Result<bool, E>,
    ) -> Result<bool, E> {
        self.verify_index().map_err(|what| self.error(what))?;
        for segment in self.segments() {
            let length = (**segment).as_ref().len();
            let (mut at, mut piece_bytes) = (SEGMENT_MAGIC.len(), PIECE_BYTES);
            while at < length {
                let end = at.saturating_add(piece_bytes).min(length);
                if !read_in(segment, at..end)? {
                    return Ok(false);
                }
                let bytes = &(**segment).as_ref()[at..end];
                let whole = verify_chunks(bytes, end == length).map_err(|what| self.error(what))?;
                piece_bytes = if whole > 0 { PIECE_BYTES } else { piece_bytes.saturating_mul(2) };
                at += whole;
            }
        }
        Ok(true)
    }

    fn verify_index(&self) -> Result<(), Broken> {
        let mut series = vec![];
        for name in self.index.all_names() {
            for entry in self.index.entries(name) {
                series.clear();
                self.index.add_postings(entry, &mut series)?;
            }
        }
        let mut buffer = vec![];
        for series in &self.index.all_series()? {
            let (_, chunks) = self.index.series(series, &mut buffer)?;
            for chunk in chunks {
                self.has_place(chunk?.reference).then_some(()).ok_or("place of a chunk")?;
            }
        }
        Ok(())
    }
}

/// Verifies the chunks that are whole in `bytes`, which begin with one; the bytes that they take. With
/// `is_end` nothing follows that could complete the last.
fn verify_chunks(bytes: &[u8], is_end: bool) -> Result<usize, Broken> {
    let mut rest = bytes;
    while !rest.is_empty() {
        match Chunk::at(rest) {
            Ok((_, taken)) => rest = &rest[taken..],
            // Writers of long ago left what they had reserved.
            Err(_) if is_end && rest.iter().all(|&byte| byte == 0) => return Ok(bytes.len()),
            Err(_) if !is_end && !Chunk::is_within(rest) => break,
            Err(what) => return Err(what),
        }
    }
    Ok(bytes.len() - rest.len())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::BlockFiles;
    use super::*;
    use crate::index::Listing;

    const META: &[u8] = include_bytes!("golden/meta.json");
    const INDEX: &[u8] = include_bytes!("golden/index");
    const CHUNKS: &[u8] = include_bytes!("golden/chunks/000001");

    fn open(index: &[u8], chunks: &[u8]) -> Result<PrometheusBlock, BlockError> {
        PrometheusBlock::open(BlockFiles {
            meta: META.to_vec(),
            index: Arc::new(index.to_vec()),
            segments: vec![Arc::new(chunks.to_vec())],
        })
    }

    /// Whether a block of these files is found to be whole.
    fn is_whole(index: &[u8], chunks: &[u8]) -> bool {
        let whole =
            open(index, chunks).and_then(|block| block.verify(|_, _| Ok::<_, BlockError>(true)));
        whole.is_ok_and(|is_done| is_done)
    }

    /// All series with their chunks, and all values of labels.
    fn everything(index: &[u8]) -> String {
        let block = open(index, CHUNKS).unwrap();
        let mut buffer = vec![];
        let mut out = String::new();
        for series in &block.all_series().unwrap() {
            let labels = block.labels(series, &mut buffer).unwrap().to_string();
            let chunks: Result<Vec<_>, _> = block.chunks(series).unwrap().collect();
            out += &format!("{labels} {:?}\n", chunks.unwrap());
        }
        for name in Listing::names(None).in_steps(&block, usize::MAX).unwrap() {
            let values = Listing::values(&name, None).in_steps(&block, usize::MAX).unwrap();
            out += &format!("{name:?} {values:?}\n");
        }
        out
    }

    #[test]
    fn any_damage_is_found() {
        assert!(is_whole(INDEX, CHUNKS));
        assert!(is_whole(INDEX, &[CHUNKS, &[0; 100]].concat()));
        assert!(!is_whole(INDEX, &[CHUNKS, &[0, 1]].concat()));
        for at in 0..INDEX.len() {
            let mut damaged = INDEX.to_vec();
            damaged[at] ^= 0x10;
            // Zeros between sections, and sections of old formats: nothing reads them.
            let is_missed = is_whole(&damaged, CHUNKS);
            assert!(!is_missed || everything(&damaged) == everything(INDEX), "{at}");
        }
        for at in 0..CHUNKS.len() {
            let mut damaged = CHUNKS.to_vec();
            damaged[at] ^= 0x10;
            // Three bytes of the header are padding.
            assert_eq!(is_whole(INDEX, &damaged), (5..8).contains(&at), "{at}");
            assert!(!is_whole(INDEX, &CHUNKS[..at]), "cut at {at}");
        }
    }

    #[test]
    fn chunks_may_end_anywhere_in_a_piece() {
        let bytes = &CHUNKS[8..];
        let mut ends = vec![0];
        while let Some(&end) = ends.last().filter(|&&end| end < bytes.len()) {
            ends.push(end + Chunk::at(&bytes[end..]).unwrap().1);
        }
        for cut in 0..bytes.len() {
            let whole = ends.iter().copied().filter(|&end| end <= cut).max();
            assert_eq!(verify_chunks(&bytes[..cut], false).ok(), whole, "{cut}");
        }
    }
}
