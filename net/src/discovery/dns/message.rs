//! Messages of the domain name system, as much as discovery needs.
//!
//! Source: RFC 1035, RFC 2782 (SRV), RFC 6891 (EDNS).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordType {
    A = 1,
    Ns = 2,
    Mx = 15,
    Aaaa = 28,
    Srv = 33,
}

impl RecordType {
    /// The name in the configuration; `SRV` for any other.
    pub fn from_text(text: &str) -> RecordType {
        match text.to_ascii_uppercase().as_str() {
            "A" => RecordType::A,
            "AAAA" => RecordType::Aaaa,
            "MX" => RecordType::Mx,
            "NS" => RecordType::Ns,
            _ => RecordType::Srv,
        }
    }
}

/// Names end with a dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    Address(IpAddr),
    Ns(String),
    Mx(String),
    Srv { target: String, port: u16 },
}

#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub is_truncated: bool,
    /// 0: good. 3: no such name.
    pub code: u8,
    pub records: Vec<Record>,
}

/// Longest answer over UDP that is asked for.
pub const UDP_BYTES_MAX: usize = 4096;

const INTERNET: u16 = 1;
const OPT: u16 = 41;

/// A question; `with_edns` allows answers longer than 512 bytes.
///
/// Errors: a name with a part that is empty or longer than 63 bytes.
pub fn question(
    id: u16,
    name: &str,
    record_type: RecordType,
    with_edns: bool,
) -> Result<Vec<u8>, String> {
    let mut out = id.to_be_bytes().to_vec();
    // Recursion desired; one question, and one additional record with EDNS.
    out.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(with_edns)]);
    for part in name.trim_end_matches('.').split('.') {
        match u8::try_from(part.len()) {
            Ok(len @ 1..=63) => out.push(len),
            _ => return Err(format!("bad domain name {name:?}")),
        }
        out.extend_from_slice(part.as_bytes());
    }
    out.push(0);
    out.extend_from_slice(&(record_type as u16).to_be_bytes());
    out.extend_from_slice(&INTERNET.to_be_bytes());
    if with_edns {
        out.push(0);
        out.extend_from_slice(&OPT.to_be_bytes());
        out.extend_from_slice(&(UDP_BYTES_MAX as u16).to_be_bytes());
        out.extend_from_slice(&[0; 6]);
    }
    Ok(out)
}

/// Reads an answer to question `id`; none if it is no such thing. Records of other kinds are
/// passed over.
pub fn answer(message: &[u8], id: u16) -> Option<Answer> {
    let mut reader = Reader { message, at: 0 };
    if reader.u16()? != id {
        return None;
    }
    let flags = reader.u16()?;
    let is_answer = flags & 0x8000 != 0;
    let (questions, answers) = (reader.u16()?, reader.u16()?);
    reader.at += 4;
    for _ in 0..questions {
        reader.name()?;
        reader.at += 4;
    }
    let mut records = vec![];
    for _ in 0..answers {
        reader.name()?;
        let kind = reader.u16()?;
        reader.at += 6;
        let len = usize::from(reader.u16()?);
        let end = reader.at.checked_add(len).filter(|end| *end <= message.len())?;
        let data = &message[reader.at..end];
        match kind {
            1 => records
                .push(Record::Address(Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?).into())),
            28 => {
                let address = Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?);
                records.push(Record::Address(address.into()));
            }
            2 => records.push(Record::Ns(reader.name()?)),
            15 => {
                reader.at += 2;
                records.push(Record::Mx(reader.name()?));
            }
            33 => {
                reader.at += 4;
                let port = reader.u16()?;
                records.push(Record::Srv { target: reader.name()?, port });
            }
            _ => {}
        }
        reader.at = end;
    }
    let code = (flags & 15) as u8;
    is_answer.then_some(Answer { is_truncated: flags & 0x0200 != 0, code, records })
}

struct Reader<'a> {
    message: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn u16(&mut self) -> Option<u16> {
        let bytes = self.message.get(self.at..self.at + 2)?;
        self.at += 2;
        Some(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// A name with its final dot. Its end may stand elsewhere; a name that points forward or in a
    /// circle is none.
    fn name(&mut self) -> Option<String> {
        let mut name = String::new();
        let mut at = self.at;
        let mut end = None;
        loop {
            let len = *self.message.get(at)?;
            match len {
                0 => {
                    self.at = end.unwrap_or(at + 1);
                    return Some(if name.is_empty() { ".".to_owned() } else { name });
                }
                1..=63 => {
                    let part = self.message.get(at + 1..at + 1 + usize::from(len))?;
                    name.push_str(&String::from_utf8_lossy(part));
                    name.push('.');
                    at += 1 + usize::from(len);
                }
                0xc0.. => {
                    let low = *self.message.get(at + 1)?;
                    let to = usize::from(len & 0x3f) << 8 | usize::from(low);
                    end.get_or_insert(at + 2);
                    if to >= at {
                        return None;
                    }
                    at = to;
                }
                _ => return None,
            }
            if name.len() > 255 {
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question() {
        let asked = question(0x1234, "a.bc.", RecordType::Srv, false).unwrap();
        assert_eq!(asked, b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x01a\x02bc\0\0\x21\0\x01");
        assert_eq!(question(1, "a", RecordType::A, true).unwrap().len(), 30);
        assert!(question(1, "a..b", RecordType::A, true).is_err());
        assert!(question(1, &"a".repeat(64), RecordType::A, true).is_err());
    }

    #[test]
    fn an_answer() {
        let mut message = b"\0\x01\x81\x80\0\x01\0\x04\0\0\0\0\x01a\x02bc\0\0\x21\0\x01".to_vec();
        message.extend(b"\xc0\x0c\0\x21\0\x01\0\0\0\x3c\0\x0a\0\x01\0\x02\x1f\x90\x01x\xc0\x0e");
        message.extend(b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x01");
        message.extend(b"\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x02\xc0\x0e");
        message.extend(b"\xc0\x0c\0\x0f\0\x01\0\0\0\x3c\0\x04\0\x0a\xc0\x0e");
        let records = vec![
            Record::Srv { target: "x.bc.".into(), port: 8080 },
            Record::Address([10, 0, 0, 1].into()),
            Record::Mx("bc.".into()),
        ];
        let expected = Answer { is_truncated: false, code: 0, records };
        assert_eq!(answer(&message, 1), Some(expected));
        assert_eq!(answer(&message, 2), None);
        for at in 0..message.len() {
            answer(&message[..at], 1);
            for byte in [0, 0x3f, 0xc0, 0xff] {
                let mut changed = message.clone();
                changed[at] = byte;
                answer(&changed, 1);
            }
        }
    }
}
