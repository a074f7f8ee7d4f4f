//! A file as memory of its own, read whole.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Bytes read at once.
const PIECE_BYTES: u64 = 64 << 10;

/// Of a file that is zeros only, so many bytes are enough to say so.
const ZEROS_BYTES: usize = 4096;

/// The bytes of the file at `path`. Blocks.
pub(super) fn read_whole(path: &Path) -> io::Result<Vec<u8>> {
    let (mut bytes, length) = read_pieces(path)?;
    bytes.resize(length, 0);
    Ok(bytes)
}

/// As [`read_whole`], and how many bytes the file has. Of a file that is zeros, as the segment that was
/// prepared last, only the first: making room for zeros costs more than reading them.
pub(super) fn read_used(path: &Path) -> io::Result<(Vec<u8>, usize)> {
    let (mut bytes, length) = read_pieces(path)?;
    let is_zero = bytes.is_empty();
    bytes.resize(if is_zero { length.min(ZEROS_BYTES) } else { length }, 0);
    Ok((bytes, length))
}

/// The bytes up to the last piece that is not zeros, and how many there are in all.
fn read_pieces(path: &Path) -> io::Result<(Vec<u8>, usize)> {
    let mut file = File::open(path)?;
    let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    // Memory that nobody touches is not there. Pieces of zeros all go to the same place.
    let (mut bytes, mut zero_count) = (Vec::with_capacity(length), 0);
    loop {
        let start = bytes.len();
        let count = file.by_ref().take(PIECE_BYTES).read_to_end(&mut bytes)?;
        if count == 0 {
            return Ok((bytes, start + zero_count));
        }
        if bytes[start..].iter().fold(0, |any, byte| any | byte) == 0 {
            bytes.truncate(start);
            zero_count += count;
        } else if zero_count > 0 {
            bytes.resize(start + zero_count + count, 0);
            bytes.copy_within(start..start + count, start + zero_count);
            bytes[start..start + zero_count.min(count)].fill(0);
            zero_count = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{read_used, read_whole};
    use crate::scratch::Scratch;

    const PIECE_BYTES: usize = super::PIECE_BYTES as usize;

    /// Files of pieces that are zeros, or are not at one place.
    #[test]
    fn it_reads_what_is_there() {
        let scratch = Scratch::new("whole");
        std::fs::create_dir_all(scratch.path()).unwrap();
        let path = scratch.path().join("file");
        let check = |pieces: &[Option<usize>], more: usize| {
            let mut expected = vec![0; pieces.len() * PIECE_BYTES + more];
            for (number, place) in pieces.iter().enumerate() {
                if let Some(place) = place {
                    expected[number * PIECE_BYTES + place] = 7;
                }
            }
            std::fs::write(&path, &expected).unwrap();
            assert!(read_whole(&path).unwrap() == expected, "{pieces:?} {more}");
            let (used, length) = read_used(&path).unwrap();
            assert_eq!(length, expected.len());
            match expected.contains(&7) {
                true => assert!(used == expected, "{pieces:?} {more}"),
                false => assert!(used.len() == length.min(4096) && !used.contains(&7)),
            }
        };
        let (zero, first, last) = (None, Some(0), Some(PIECE_BYTES - 1));
        for more in [0, 1, 4096] {
            check(&[], more);
            check(&[zero], more);
            check(&[last, zero, zero], more);
            check(&[zero, zero, first, zero, last, last], more);
            check(&[zero, first, zero, zero, last], more);
        }
        assert!(read_whole(&scratch.path().join("missing")).is_err());
    }
}
