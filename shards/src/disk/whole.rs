//! A file as memory of its own, read whole.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

/// Bytes read at once.
const PIECE_BYTES: usize = 64 << 10;

/// The bytes of the file at `path`. Blocks.
///
/// Where a file is zeros, as the segment that was prepared last, memory is not touched: making room for
/// zeros costs more than reading them.
pub(super) fn read_whole(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    // From the system this memory is zero, and not there until it is touched.
    let mut bytes = vec![0; length];
    let mut zeros = vec![0; PIECE_BYTES];
    let (mut at, mut was_zero) = (0, false);
    loop {
        let end = (at + PIECE_BYTES).min(bytes.len());
        // Behind zeros there are mostly more. Behind the end there is nothing, unless the file grows.
        let is_aside = was_zero || at == end;
        let room = if is_aside { &mut zeros[..] } else { &mut bytes[at..end] };
        let count = match file.read(room) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        was_zero = room[..count].iter().fold(0, |any, byte| any | byte) == 0;
        if is_aside {
            bytes.resize(bytes.len().max(at + count), 0);
            if !was_zero {
                bytes[at..at + count].copy_from_slice(&zeros[..count]);
            }
        }
        at += count;
    }
    bytes.truncate(at);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::{PIECE_BYTES, read_whole};
    use crate::scratch::Scratch;

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
