//! The fields of one protobuf message, in order. Nothing is copied, and every length is judged
//! against its message.

/// A field's value by its wire type; values of 32 bits are passed over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a>(pub &'a [u8]);

const CUT: &str = "proto: unexpected EOF";

impl<'a> Fields<'a> {
    /// Number and value of the next field, or none at the message's end.
    pub fn next(&mut self) -> Result<Option<(u64, Value<'a>)>, String> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = tag >> 3;
        if number == 0 {
            return Err(format!("proto: illegal tag 0 (wire type {})", tag & 7));
        }
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => {
                let bytes = self.take(8)?.try_into().map_err(|_| CUT)?;
                Value::Fixed64(u64::from_le_bytes(bytes))
            }
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(length)?)
            }
            5 => {
                self.take(4)?;
                Value::Fixed32
            }
            wire_type => return Err(format!("proto: illegal wireType {wire_type}")),
        };
        Ok(Some((number, value)))
    }

    pub fn varint(&mut self) -> Result<u64, String> {
        let mut value = 0;
        for (index, &byte) in self.0.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * index); // Bits beyond 64 fall off.
            if byte < 0x80 {
                self.0 = &self.0[index + 1..];
                return Ok(value);
            }
        }
        Err(if self.0.len() < 10 { CUT.to_owned() } else { "proto: integer overflow".to_owned() })
    }

    pub fn take(&mut self, length: u64) -> Result<&'a [u8], String> {
        let length = usize::try_from(length).map_err(|_| CUT)?;
        let (taken, rest) = self.0.split_at_checked(length).ok_or(CUT)?;
        self.0 = rest;
        Ok(taken)
    }
}

impl<'a> Value<'a> {
    pub fn bytes(self) -> Result<&'a [u8], String> {
        match self {
            Value::Bytes(bytes) => Ok(bytes),
            other => Err(other.wrong()),
        }
    }

    pub fn varint(self) -> Result<u64, String> {
        match self {
            Value::Varint(value) => Ok(value),
            other => Err(other.wrong()),
        }
    }

    pub fn sint(self) -> Result<i64, String> {
        self.varint().map(zigzag)
    }

    pub fn double(self) -> Result<f64, String> {
        match self {
            Value::Fixed64(bits) => Ok(f64::from_bits(bits)),
            other => Err(other.wrong()),
        }
    }

    /// The numbers of a repeated field, packed or one by one.
    pub fn push_sints(self, out: &mut Vec<i64>) -> Result<(), String> {
        match self {
            Value::Varint(value) => out.push(zigzag(value)),
            Value::Bytes(packed) => {
                let mut packed = Fields(packed);
                while !packed.0.is_empty() {
                    out.push(zigzag(packed.varint()?));
                }
            }
            other => return Err(other.wrong()),
        }
        Ok(())
    }

    /// As [`Value::push_sints`], of doubles.
    pub fn push_doubles(self, out: &mut Vec<f64>) -> Result<(), String> {
        match self {
            Value::Fixed64(bits) => out.push(f64::from_bits(bits)),
            Value::Bytes(packed) => {
                let (doubles, rest) = packed.as_chunks::<8>();
                if !rest.is_empty() {
                    return Err(CUT.to_owned());
                }
                out.extend(doubles.iter().map(|bytes| f64::from_le_bytes(*bytes)));
            }
            other => return Err(other.wrong()),
        }
        Ok(())
    }

    fn wrong(self) -> String {
        let wire_type = match self {
            Value::Varint(_) => 0,
            Value::Fixed64(_) => 1,
            Value::Bytes(_) => 2,
            Value::Fixed32 => 5,
        };
        format!("proto: wrong wireType = {wire_type}")
    }
}

fn zigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}
