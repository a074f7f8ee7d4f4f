//! Where a body ends: after so many bytes, with the last chunk, or with the connection.
//!
//! Source: RFC 9112, 6 and 7.1; Go `net/http/internal/chunked.go`.

/// Longest line of a chunk's size with its extensions, and of trailers together.
const LINE_BYTES_MAX: u32 = 8 << 10;

/// Longest size that is read: sixteen hexadecimal digits.
const SIZE_DIGITS_MAX: u32 = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// Bytes that are left.
    Length(u64),
    Chunked(Chunk),
    UntilClose,
}

/// What stands next in a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunk {
    /// The size read so far, and how many digits it has.
    Size(u64, u32),
    /// The rest of the size's line: the size, and how long it may still be.
    Extension(u64, u32),
    Data(u64),
    /// The line end after the data.
    End,
    /// Lines after the last chunk: whether the current one is empty so far, and how long they may
    /// still be.
    Trailer(bool, u32),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// All bytes are taken, and others must follow.
    More,
    /// The body ended after `used` bytes.
    Done {
        used: usize,
    },
    Broken(&'static str),
}

impl Framing {
    pub fn chunked() -> Framing {
        Framing::Chunked(Chunk::Size(0, 0))
    }

    pub fn ends_with_connection(self) -> bool {
        self == Framing::UntilClose
    }

    /// Takes the next bytes from the connection; gives those of the body to `sink`.
    pub fn take<E>(
        &mut self,
        bytes: &[u8],
        mut sink: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<Progress, E> {
        match self {
            Framing::UntilClose => {
                sink(bytes)?;
                Ok(Progress::More)
            }
            Framing::Length(left) => {
                let count = (bytes.len() as u64).min(*left);
                sink(&bytes[..count as usize])?;
                *left -= count;
                Ok(if *left == 0 {
                    Progress::Done { used: count as usize }
                } else {
                    Progress::More
                })
            }
            Framing::Chunked(chunk) => chunk.take(bytes, sink),
        }
    }
}

impl Chunk {
    fn take<E>(
        &mut self,
        bytes: &[u8],
        mut sink: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<Progress, E> {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            *self = match *self {
                Chunk::Data(left) => {
                    let count = ((bytes.len() - at) as u64).min(left);
                    sink(&bytes[at..at + count as usize])?;
                    at += count as usize;
                    if count < left { Chunk::Data(left - count) } else { Chunk::End }
                }
                other => {
                    at += 1;
                    match other.step(byte) {
                        Ok(Some(next)) => next,
                        Ok(None) => return Ok(Progress::Done { used: at }),
                        Err(why) => return Ok(Progress::Broken(why)),
                    }
                }
            };
        }
        Ok(Progress::More)
    }

    /// What follows a byte that is no data; none if it is the body's last.
    fn step(self, byte: u8) -> Result<Option<Chunk>, &'static str> {
        let begin =
            |size| if size == 0 { Chunk::Trailer(true, LINE_BYTES_MAX) } else { Chunk::Data(size) };
        Ok(Some(match (self, byte) {
            (Chunk::Size(_, 0), b'\r' | b'\n' | b';' | b' ') => {
                return Err("invalid byte in chunk length");
            }
            (Chunk::Size(size, _) | Chunk::Extension(size, _), b'\n') => begin(size),
            (Chunk::Size(size, _), b'\r' | b';' | b' ' | b'\t') => {
                Chunk::Extension(size, LINE_BYTES_MAX)
            }
            (Chunk::Size(size, digits), byte) => {
                let digit = char::from(byte).to_digit(16).ok_or("invalid byte in chunk length")?;
                if digits == SIZE_DIGITS_MAX {
                    return Err("http chunk length too large");
                }
                Chunk::Size(size << 4 | u64::from(digit), digits + 1)
            }
            (Chunk::Extension(_, 0) | Chunk::Trailer(_, 0), _) => {
                return Err("header line too long");
            }
            (Chunk::Extension(size, left), _) => Chunk::Extension(size, left - 1),
            (Chunk::End, b'\r') => Chunk::End,
            (Chunk::End, b'\n') => Chunk::Size(0, 0),
            (Chunk::End, _) => return Err("malformed chunked encoding"),
            (Chunk::Trailer(true, _), b'\n') => return Ok(None),
            (Chunk::Trailer(false, left), b'\n') => Chunk::Trailer(true, left - 1),
            (Chunk::Trailer(is_empty, left), b'\r') => Chunk::Trailer(is_empty, left - 1),
            (Chunk::Trailer(_, left), _) => Chunk::Trailer(false, left - 1),
            (Chunk::Data(_), _) => unreachable!("data is taken as a whole"),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The body of `text` in pieces of `piece` bytes, and how it ended.
    fn read(mut framing: Framing, text: &str, piece: usize) -> (String, Progress) {
        let mut body = vec![];
        let mut before = 0;
        for bytes in text.as_bytes().chunks(piece) {
            let sink = |bytes: &[u8]| {
                body.extend_from_slice(bytes);
                Ok::<_, ()>(())
            };
            match framing.take(bytes, sink).unwrap() {
                Progress::More => before += bytes.len(),
                Progress::Done { used } => {
                    let used = before + used;
                    return (String::from_utf8(body).unwrap(), Progress::Done { used });
                }
                broken => return (String::from_utf8(body).unwrap(), broken),
            }
        }
        (String::from_utf8(body).unwrap(), Progress::More)
    }

    #[track_caller]
    fn check(framing: Framing, text: &str, body: &str, end: Progress) {
        for piece in [1, 3, 1000] {
            let (got, ended) = read(framing, text, piece);
            assert_eq!((got.as_str(), &ended), (body, &end), "{text:?} by {piece}");
        }
    }

    #[test]
    fn bodies_end_where_they_say() {
        check(Framing::Length(3), "abcdef", "abc", Progress::Done { used: 3 });
        check(Framing::Length(9), "abc", "abc", Progress::More);
        check(Framing::UntilClose, "abc", "abc", Progress::More);
        let chunked = Framing::chunked();
        let text = "3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\nrest";
        check(chunked, text, "abc0123456789", Progress::Done { used: text.len() - 4 });
        check(chunked, "1\na\n0\n\n", "a", Progress::Done { used: 7 });
        check(chunked, "0\r\nTrailer: x\r\n\r\n", "", Progress::Done { used: 17 });
        check(chunked, "3\r\nab", "ab", Progress::More);
        check(chunked, "\r\n", "", Progress::Broken("invalid byte in chunk length"));
        check(chunked, "g\r\n", "", Progress::Broken("invalid byte in chunk length"));
        check(chunked, "1\r\nab", "a", Progress::Broken("malformed chunked encoding"));
        check(chunked, &"0".repeat(17), "", Progress::Broken("http chunk length too large"));
        let long = format!("1;{}\r\n", "x".repeat(9000));
        check(chunked, &long, "", Progress::Broken("header line too long"));
    }
}
