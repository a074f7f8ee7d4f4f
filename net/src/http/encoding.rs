//! Base64, both alphabets.

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Standard alphabet, padded.
pub fn base64(bytes: &[u8]) -> String {
    let mut out = encode(bytes, STANDARD);
    while !out.len().is_multiple_of(4) {
        out.push('=');
    }
    out
}

/// URL-safe alphabet, without padding.
pub fn base64_url(bytes: &[u8]) -> String {
    encode(bytes, URL_SAFE)
}

fn encode(bytes: &[u8], alphabet: &[u8; 64]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let mut padded = [0; 3];
        padded[..group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes([0, padded[0], padded[1], padded[2]]);
        for place in 0..=group.len() {
            let sextet = (bits >> (18 - 6 * place)) & 63;
            out.push(char::from(alphabet[sextet as usize]));
        }
    }
    out
}

/// Reads the standard alphabet, with or without padding; none for anything else.
pub fn base64_decode(text: &str) -> Option<Vec<u8>> {
    decode(text, STANDARD)
}

/// Reads the URL-safe alphabet, with or without padding; none for anything else.
pub fn base64_url_decode(text: &str) -> Option<Vec<u8>> {
    decode(text, URL_SAFE)
}

fn decode(text: &str, alphabet: &[u8; 64]) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut count) = (0u32, 0);
    for byte in text.bytes() {
        let sextet = alphabet.iter().position(|&letter| letter == byte)? as u32;
        bits = bits << 6 | sextet;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    (count < 6).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::{base64, base64_decode, base64_url, base64_url_decode};

    #[test]
    fn base64_pads() {
        for (bytes, expected) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("user:pass\u{ff}", "dXNlcjpwYXNzw78="),
        ] {
            assert_eq!(base64(bytes.as_bytes()), expected);
            assert_eq!(base64_decode(expected).as_deref(), Some(bytes.as_bytes()));
        }
        assert_eq!(base64_url(&[0xfb, 0xff]), "-_8");
        assert_eq!(base64_url_decode("-_8").as_deref(), Some(&[0xfb, 0xff][..]));
        assert_eq!(base64_decode("a"), None);
        assert_eq!(base64_decode("a*bc"), None);
    }
}
