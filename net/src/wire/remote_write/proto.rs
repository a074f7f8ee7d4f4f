//! Protocol buffers, as much of them as remote_write needs: fields of one message, in order.
//!
//! Nothing is copied and nothing is trusted: a length is checked against its message before it is
//! used. Groups (deprecated before this protocol was made) are refused.
//!
//! Source: protobuf.dev, "Encoding".

use super::{Refusal, Span};

/// Why bytes are no such message, and where. Small, because every field's result has room for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken {
    offset: u32,
    fault: Fault,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    VarintCut,
    VarintOverflow,
    WireType(u8),
    FieldZero,
    /// Field of this number has another wire type than its message says.
    FieldType(u32),
    /// Bytes that a field takes and that its message still has.
    TooLong {
        needed: u64,
        had: u32,
    },
}

impl From<Broken> for Refusal {
    fn from(broken: Broken) -> Refusal {
        let what = match broken.fault {
            Fault::VarintCut => "unexpected end in a varint".into(),
            Fault::VarintOverflow => "varint overflow".into(),
            Fault::WireType(wire_type) => format!("illegal wire type {wire_type}"),
            Fault::FieldZero => "illegal field number 0".into(),
            Fault::FieldType(number) => format!("wrong wire type for field {number}"),
            Fault::TooLong { needed, had } => {
                format!("field of {needed} bytes, message has {had} left")
            }
        };
        Refusal::new(400, format!("proto: {what} at byte {}", broken.offset))
    }
}

fn broken(offset: usize, fault: Fault) -> Broken {
    Broken { offset: offset as u32, fault } // A request's offsets fit, see `REQUEST_BYTES_MAX`.
}

/// Reads the fields of one message: bytes `at..end` of the request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    request: &'a [u8],
    at: usize,
    end: usize,
}

/// Value of a field by its wire type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Varint(u64),
    Fixed64(u64),
    Fixed32,
    Bytes(Text),
}

/// A length-delimited value together with its length as it stands on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Text {
    /// Start of the length.
    pub prefix: u32,
    pub span: Span,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    pub number: u64,
    pub value: Value,
    /// Where the field's tag stands, for messages.
    pub offset: usize,
}

impl<'a> Message<'a> {
    pub fn new(request: &'a [u8]) -> Message<'a> {
        Message { request, at: 0, end: request.len() }
    }

    /// From `at` on.
    pub fn from(request: &'a [u8], at: usize) -> Message<'a> {
        Message { request, at, end: request.len() }
    }

    pub fn within(request: &'a [u8], span: Span) -> Message<'a> {
        Message { request, at: span.start as usize, end: span.end as usize }
    }

    /// The next field, or none at the message's end.
    #[inline]
    pub fn next_field(&mut self) -> Result<Option<Field>, Broken> {
        if self.at == self.end {
            return Ok(None);
        }
        let offset = self.at;
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => {
                let bytes = self.take(8, offset)?;
                let bytes = &self.request[bytes.start as usize..bytes.end as usize];
                Value::Fixed64(u64::from_le_bytes(bytes.try_into().expect("eight bytes")))
            }
            2 => {
                let prefix = self.at as u32;
                let length = self.varint()?;
                Value::Bytes(Text { prefix, span: self.take(length, offset)? })
            }
            5 => {
                self.take(4, offset)?;
                Value::Fixed32
            }
            wire_type => {
                return Err(broken(offset, Fault::WireType(wire_type as u8)));
            }
        };
        let number = tag >> 3;
        if number == 0 {
            return Err(broken(offset, Fault::FieldZero));
        }
        Ok(Some(Field { number, value, offset }))
    }

    /// The bytes of the next field, if its tag is `tag`, of one byte and of wire type 2, and it is
    /// whole and shorter than 128 bytes. Otherwise nothing is taken, and [`Message::next_field`] says
    /// what there is.
    #[inline]
    pub fn next_short(&mut self, tag: u8) -> Option<Span> {
        debug_assert!(tag < 0x80 && tag & 7 == 2);
        let rest = &self.request[self.at..self.end];
        let &[first, length, ..] = rest else { return None };
        if first != tag || length >= 0x80 || usize::from(length) > rest.len() - 2 {
            return None;
        }
        let start = self.at + 2;
        self.at = start + usize::from(length);
        Some(Span { start: start as u32, end: self.at as u32 })
    }

    /// As [`Message::next_short`], of less than 16384 bytes.
    #[inline]
    pub fn next_message(&mut self, tag: u8) -> Option<Span> {
        debug_assert!(tag < 0x80 && tag & 7 == 2);
        let rest = &self.request[self.at..self.end];
        let &[first, low, high, ..] = rest else { return None };
        let (length, head) = match (low < 0x80, high < 0x80) {
            (true, _) => (usize::from(low), 2),
            (false, true) => (usize::from(low & 0x7f) | usize::from(high) << 7, 3),
            (false, false) => return None,
        };
        if first != tag || length > rest.len() - head {
            return None;
        }
        let start = self.at + head;
        self.at = start + length;
        Some(Span { start: start as u32, end: self.at as u32 })
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Broken> {
        match self.request[self.at..self.end].first() {
            Some(&byte) if byte < 0x80 => {
                self.at += 1;
                Ok(u64::from(byte))
            }
            _ => match self.request[self.at..self.end] {
                [low, high, ..] if high < 0x80 => {
                    self.at += 2;
                    Ok(u64::from(low & 0x7f) | u64::from(high) << 7)
                }
                _ => self.long_varint(),
            },
        }
    }

    fn long_varint(&mut self) -> Result<u64, Broken> {
        let start = self.at;
        let mut value = 0u64;
        for (index, &byte) in self.request[start..self.end].iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index); // Bits beyond 64 fall off, as in Go.
            if byte < 0x80 {
                self.at = start + index + 1;
                return Ok(value);
            }
        }
        let is_cut = self.end - start < 10;
        Err(broken(start, if is_cut { Fault::VarintCut } else { Fault::VarintOverflow }))
    }

    #[inline]
    fn take(&mut self, length: u64, offset: usize) -> Result<Span, Broken> {
        if length > (self.end - self.at) as u64 {
            let had = (self.end - self.at) as u32;
            return Err(broken(offset, Fault::TooLong { needed: length, had }));
        }
        let start = self.at;
        self.at += length as usize; // Fits: at most what is left.
        Ok(Span { start: start as u32, end: self.at as u32 })
    }

    /// The varints of a packed field.
    #[inline]
    pub fn next_packed(&mut self) -> Result<Option<u64>, Broken> {
        if self.at == self.end { Ok(None) } else { self.varint().map(Some) }
    }
}

impl Field {
    pub fn bytes(&self) -> Result<Text, Broken> {
        match self.value {
            Value::Bytes(text) => Ok(text),
            _ => Err(self.wrong_type()),
        }
    }

    pub fn varint(&self) -> Result<u64, Broken> {
        match self.value {
            Value::Varint(value) => Ok(value),
            _ => Err(self.wrong_type()),
        }
    }

    pub fn double(&self) -> Result<f64, Broken> {
        match self.value {
            Value::Fixed64(bits) => Ok(f64::from_bits(bits)),
            _ => Err(self.wrong_type()),
        }
    }

    pub fn wrong_type(&self) -> Broken {
        broken(self.offset, Fault::FieldType(self.number as u32))
    }
}

impl Text {
    /// Appends length and bytes in the form of canonical label sets. On the wire they have the
    /// same form, unless the sender wrote the length with idle bytes.
    #[inline]
    pub fn push_canonical(self, request: &[u8], out: &mut Vec<u8>) {
        let (prefix, start) = (self.prefix as usize, self.span.start as usize);
        if start - prefix == 1 || request[start - 1] != 0 {
            push_short(request, prefix, self.span.end as usize, out);
        } else {
            engine::model::labels::push_string(out, self.span.of(request));
        }
    }

    /// Bytes that [`Text::push_canonical`] writes at most.
    #[inline]
    pub fn canonical_bytes_max(self) -> usize {
        (self.span.end - self.prefix) as usize
    }

    #[inline]
    pub fn is_empty(self) -> bool {
        self.span.start == self.span.end
    }
}

/// Most bytes that [`push_short`] copies in one piece. Most names and values are shorter.
const PIECE_BYTES: usize = 32;

/// Appends `request[start..end]`. A short text is copied together with what stands behind it, and
/// the rest is cut off again: a copy of fixed size costs two instructions, one of any size a call.
#[inline]
fn push_short(request: &[u8], start: usize, end: usize, out: &mut Vec<u8>) {
    match request.get(start..start + PIECE_BYTES) {
        Some(piece) if end - start <= PIECE_BYTES => {
            let length = out.len() + (end - start);
            out.extend_from_slice(piece);
            out.truncate(length);
        }
        _ => out.extend_from_slice(&request[start..end]),
    }
}

/// Name and value of a label message: fields 1 and 2.
#[inline]
pub(super) fn label(request: &[u8], span: Span) -> Result<(Text, Text), Broken> {
    if let Some(label) = plain_label(request, span) {
        return Ok(label);
    }
    let (mut name, mut value) = (Text::default(), Text::default());
    let mut message = Message::within(request, span);
    while let Some(field) = message.next_field()? {
        match field.number {
            1 => name = field.bytes()?,
            2 => value = field.bytes()?,
            _ => {}
        }
    }
    Ok((name, value))
}

/// A label as encoders write it: name, value, each shorter than 128 bytes, nothing else.
#[inline]
fn plain_label(request: &[u8], span: Span) -> Option<(Text, Text)> {
    let text = |bytes: &[u8], tag: u8, at: usize| {
        let length = *bytes.get(at + 1)?;
        let start = span.start + at as u32 + 2;
        let text = Text { prefix: start - 1, span: Span { start, end: start + u32::from(length) } };
        (bytes[at] == tag && length < 0x80).then_some((text, at + 2 + usize::from(length)))
    };
    let bytes = span.of(request);
    let (name, name_end) = text(bytes, 1 << 3 | 2, 0)?;
    let (value, value_end) = text(bytes, 2 << 3 | 2, name_end)?;
    (value_end == bytes.len()).then_some((name, value))
}

/// A varint of exactly six bytes.
#[inline]
pub(super) fn six_byte_varint(bytes: [u8; 6]) -> Option<i64> {
    let [a, b, c, d, e, f] = bytes;
    let word = u64::from_le_bytes([a, b, c, d, e, f, 0, 0]);
    if word & 0x8080_8080_8080 != 0x0080_8080_8080 {
        return None;
    }
    // Seven bits of each byte, first joined by twos.
    let joined = word & 0x007f_007f_007f | (word & 0x7f00_7f00_7f00) >> 1;
    let part = |index: u32| (joined >> (16 * index) & 0x3fff) << (14 * index);
    Some((part(0) | part(1) | part(2)) as i64)
}

/// A float sample as it came.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sample {
    pub timestamp_ms: i64,
    pub value: f64,
    /// Of protocol 2; zero is unknown.
    pub start_ms: i64,
}

/// A sample message: the same in both protocols, but for the start timestamp of the second one.
#[inline]
pub(super) fn sample(request: &[u8], span: Span) -> Result<Sample, Broken> {
    let mut sample = Sample::default();
    let mut message = Message::within(request, span);
    while let Some(field) = message.next_field()? {
        match field.number {
            1 => sample.value = field.double()?,
            2 => sample.timestamp_ms = field.varint()? as i64,
            3 => sample.start_ms = field.varint()? as i64,
            _ => {}
        }
    }
    Ok(sample)
}

#[cfg(test)]
mod tests {
    use super::{Message, Value};

    /// What is taken of `bytes` at once is what the field is; what is not leaves the field to be read.
    /// `is_taken`: it must be.
    fn check(bytes: &[u8], is_taken: bool) {
        let mut whole = Message::new(bytes);
        let field = whole.next_field();
        for next in [Message::next_short, Message::next_message] {
            let mut short = Message::new(bytes);
            let taken = next(&mut short, 0x2a);
            if let Some(span) = taken {
                let field = field.unwrap().unwrap();
                let Value::Bytes(text) = field.value else { panic!("{field:?}") };
                assert_eq!((field.number, text.span), (5, span), "{bytes:?}");
                assert_eq!(short.at, whole.at, "{bytes:?}");
            } else {
                assert_eq!(short.at, 0, "{bytes:?}");
            }
            assert!(taken.is_some() || !is_taken, "{bytes:?}");
        }
    }

    #[test]
    fn a_short_field_is_the_field() {
        let long = [&[0x2a, 0x80, 0x01][..], &[7; 128]].concat();
        let longest = [&[0x2a, 0x7f][..], &[7; 127]].concat();
        for (bytes, is_taken) in [
            (&[0x2a, 2, 7, 7, 0x2a, 0][..], true),
            (&[0x2a, 0, 0x2a], true),
            (&longest, true),
            (&longest[..128], false),
            (&long, false),
            (&[0x2a, 2, 7], false),
            (&[0x2a], false),
            (&[], false),
            (&[0x22, 1, 7], false),
            (&[0x28, 1], false),
            (&[0x2a, 0x81, 0x00, 7], false),
        ] {
            check(bytes, is_taken);
        }
    }
}
