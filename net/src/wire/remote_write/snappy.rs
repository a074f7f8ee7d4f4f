//! The body's compression: one block of snappy.

use super::{REQUEST_BYTES_MAX, Refusal};

/// Decompresses `body` into `out`, which is reused: its length after the call is the request's.
///
/// # Errors
///
/// 400: the declared length is beyond [`REQUEST_BYTES_MAX`] (found before anything is allocated),
/// or the block is corrupt.
pub fn decompress(body: &[u8], out: &mut Vec<u8>) -> Result<(), Refusal> {
    let length = snap::raw::decompress_len(body).map_err(|error| corrupt(&error))?;
    if length > REQUEST_BYTES_MAX {
        return Err(too_large());
    }
    if body.is_empty() {
        return Err(Refusal::new(400, "snappy: corrupt input"));
    }
    // Only what is longer than the request before is filled with zeros.
    out.resize(length, 0);
    let written =
        snap::raw::Decoder::new().decompress(body, out).map_err(|error| corrupt(&error))?;
    out.truncate(written);
    Ok(())
}

pub(super) fn too_large() -> Refusal {
    Refusal::new(400, format!("decoded size exceeds the {REQUEST_BYTES_MAX} bytes limit"))
}

/// Go's decoder has this text for any damage; the cause follows it.
fn corrupt(error: &snap::Error) -> Refusal {
    match error {
        snap::Error::TooBig { .. } => too_large(),
        error => Refusal::new(400, format!("snappy: corrupt input: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::decompress;

    #[test]
    fn a_block_comes_back_and_the_buffer_is_reused() {
        let mut out = b"what was there before, longer than the block".to_vec();
        let body = snap::raw::Encoder::new().compress_vec(b"abcabcabcabcabc").unwrap();
        decompress(&body, &mut out).unwrap();
        assert_eq!(out, b"abcabcabcabcabc");
    }

    #[test]
    fn a_bomb_is_refused_before_it_is_unpacked() {
        // Declares four gigabytes less one, then two bytes.
        let mut out = Vec::new();
        let refusal = decompress(b"\xff\xff\xff\xff\x0f\x00a", &mut out).unwrap_err();
        assert_eq!(refusal.status, 400);
        assert_eq!(refusal.message, "decoded size exceeds the 33554432 bytes limit");
        assert_eq!(out.capacity(), 0);
    }

    #[test]
    fn damage_is_named() {
        for body in [&b""[..], b"\x05", b"\x05\x00a", b"\xff\xff\xff\xff\xff\xff"] {
            let refusal = decompress(body, &mut Vec::new()).unwrap_err();
            assert_eq!(refusal.status, 400);
        }
        let refusal = decompress(b"\x05\x00a", &mut Vec::new()).unwrap_err();
        assert!(refusal.message.starts_with("snappy: corrupt input"), "{}", refusal.message);
    }
}
