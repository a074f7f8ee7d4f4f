//! Bodies of answers: bounded after decoding, however well they were compressed.

use std::io::{self, Write};

use flate2::write::MultiGzDecoder;

use super::FetchError;

/// Takes at most `limit` bytes. (Prometheus refuses a body of exactly the limit, too.)
pub(super) struct Bounded<'a> {
    out: &'a mut Vec<u8>,
    limit: usize,
    exceeded: bool,
}

impl Write for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.out.len() + bytes.len() >= self.limit {
            self.exceeded = true;
            return Err(io::Error::other("limit"));
        }
        self.out.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) enum Sink<'a> {
    Plain(Bounded<'a>),
    Gzip(Box<MultiGzDecoder<Bounded<'a>>>),
}

impl<'a> Sink<'a> {
    /// Takes at most `limit` bytes into `out`, decoded from what `encoding` says they are.
    pub fn new(encoding: &[u8], out: &'a mut Vec<u8>, limit: usize) -> Sink<'a> {
        let bounded = Bounded { out, limit, exceeded: false };
        if encoding.eq_ignore_ascii_case(b"gzip") {
            Sink::Gzip(Box::new(MultiGzDecoder::new(bounded)))
        } else {
            Sink::Plain(bounded)
        }
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        let written = match self {
            Sink::Plain(sink) => sink.write_all(bytes),
            Sink::Gzip(decoder) => decoder.write_all(bytes),
        };
        written.map_err(|error| self.refusal(&error))
    }

    pub fn finish(mut self) -> Result<(), FetchError> {
        let finished = match &mut self {
            Sink::Plain(_) => Ok(()),
            Sink::Gzip(decoder) => decoder.try_finish(),
        };
        finished.map_err(|error| self.refusal(&error))
    }

    fn refusal(&self, error: &io::Error) -> FetchError {
        let exceeded = match self {
            Sink::Plain(sink) => sink.exceeded,
            Sink::Gzip(decoder) => decoder.get_ref().exceeded,
        };
        if exceeded {
            return FetchError::BodyTooLarge;
        }
        FetchError::Decode(match error.kind() {
            io::ErrorKind::UnexpectedEof => "unexpected EOF".to_owned(),
            _ => format!("gzip: {error}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `body` as the sink takes it in pieces of 7 bytes, with room for `limit`.
    fn decoded(gzip: bool, body: &[u8], limit: usize) -> Result<Vec<u8>, String> {
        let mut out = vec![];
        let mut sink = Sink::new(if gzip { b"gzip" } else { b"" }, &mut out, limit);
        for piece in body.chunks(7) {
            sink.write(piece).map_err(|error| error.to_string())?;
        }
        sink.finish().map_err(|error| error.to_string())?;
        Ok(out)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_body_is_bounded_after_decoding() {
        let zeroes = vec![0u8; 1 << 20];
        assert_eq!(decoded(false, b"up 1\n", 100), Ok(b"up 1\n".to_vec()));
        assert_eq!(decoded(true, &gzip(b"up 1\n"), 100), Ok(b"up 1\n".to_vec()));
        assert_eq!(decoded(false, b"up 1\n", 5), Err("body size limit exceeded".into()));
        assert_eq!(decoded(true, &gzip(&zeroes), 1 << 20), Err("body size limit exceeded".into()));
        assert!(decoded(true, &gzip(&zeroes), 2 << 20).unwrap() == zeroes);
        let two = [gzip(b"a 1\n"), gzip(b"b 2\n")].concat();
        assert_eq!(decoded(true, &two, 100), Ok(b"a 1\nb 2\n".to_vec()));
        assert!(decoded(true, &gzip(b"up 1\n")[..12], 100).is_err());
        assert!(decoded(true, b"not gzip at all", 100).unwrap_err().starts_with("gzip: "));
    }
}
