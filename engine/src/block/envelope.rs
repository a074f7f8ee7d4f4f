//! Small files that are read whole.
//!
//! ```text
//! magic: 8 | version: 4 | contents | CRC of all before: 4
//! ```

use super::error::Problem;

/// A kind of such files, in the version that is written and read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Envelope {
    pub magic: &'static [u8; 8],
    pub version: u32,
}

impl Envelope {
    /// Whether `file` says that it is of this kind.
    pub fn has(self, file: &[u8]) -> bool {
        file.starts_with(self.magic)
    }

    /// The file of what `push` appends.
    pub fn seal(self, push: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = self.magic.to_vec();
        out.extend_from_slice(&self.version.to_le_bytes());
        push(&mut out);
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    /// The contents of `file`. Errors: it is none of this kind, of another version, or damaged.
    pub fn open(self, file: &[u8]) -> Result<&[u8], Problem> {
        let (sealed, crc) = file.split_last_chunk().ok_or(Problem::Foreign)?;
        let rest = sealed.strip_prefix(self.magic).ok_or(Problem::Foreign)?;
        if crc32c::crc32c(sealed) != u32::from_le_bytes(*crc) {
            return Err(Problem::Damaged { start: 0, end: file.len() as u64 });
        }
        let (version, contents) = rest.split_first_chunk().ok_or(Problem::Foreign)?;
        match u32::from_le_bytes(*version) {
            version if version == self.version => Ok(contents),
            version => Err(Problem::Version(version)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: Envelope = Envelope { magic: b"TESTKIND", version: 2 };

    #[test]
    fn contents_come_back_and_nothing_else_does() {
        let file = KIND.seal(|out| out.extend_from_slice(b"contents"));
        assert!(KIND.has(&file));
        assert_eq!(KIND.open(&file), Ok(&b"contents"[..]));
        assert_eq!(KIND.open(&KIND.seal(|_| ())), Ok(&b""[..]));
        let damaged = Err(Problem::Damaged { start: 0, end: file.len() as u64 });
        for bit in 0..8 * file.len() {
            let mut broken = file.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            let expected = if bit < 64 { Err(Problem::Foreign) } else { damaged };
            assert_eq!(KIND.open(&broken), expected, "{bit}");
        }
        for length in 0..file.len() {
            assert!(KIND.open(&file[..length]).is_err(), "{length}");
        }
        let newer = Envelope { version: 3, ..KIND }.seal(|_| ());
        assert_eq!(KIND.open(&newer), Err(Problem::Version(3)));
        let other = Envelope { magic: b"OTHERONE", ..KIND }.seal(|_| ());
        assert_eq!(KIND.open(&other), Err(Problem::Foreign));
    }
}
