//! When a certificate is valid. rustls tells it only together with the whole chain, and a
//! certificate that is trusted by itself has no chain.

/// Whether `unix_seconds` lies in the validity of a certificate (X.509, DER). False for what cannot
/// be read.
pub fn is_valid_at(certificate: &[u8], unix_seconds: u64) -> bool {
    let Some((not_before, not_after)) = validity(certificate) else { return false };
    let now = unix_seconds as i64;
    not_before <= now && now <= not_after
}

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// First and last second, since the Unix epoch.
fn validity(certificate: &[u8]) -> Option<(i64, i64)> {
    let (SEQUENCE, certificate, _) = element(certificate)? else { return None };
    let (SEQUENCE, mut rest, _) = element(certificate)? else { return None };
    if rest.first() == Some(&VERSION) {
        rest = element(rest)?.2;
    }
    // Serial number, signature algorithm, issuer.
    for _ in 0..3 {
        rest = element(rest)?.2;
    }
    let (SEQUENCE, times, _) = element(rest)? else { return None };
    let (tag, not_before, times) = element(times)?;
    let (end_tag, not_after, _) = element(times)?;
    Some((time(tag, not_before)?, time(end_tag, not_after)?))
}

/// The first element of `der`: its tag, its content, and what follows it.
pub(super) fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (len, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let count = usize::from(first & 0x7f);
        if count == 0 || count > 4 {
            return None;
        }
        let (digits, rest) = rest.split_at_checked(count)?;
        (digits.iter().fold(0, |len, &digit| len << 8 | usize::from(digit)), rest)
    };
    let (content, rest) = rest.split_at_checked(len)?;
    Some((tag, content, rest))
}

/// `YYMMDDhhmmssZ` or `YYYYMMDDhhmmssZ` as seconds since the Unix epoch.
fn time(tag: u8, text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year_digits, base) = match tag {
        UTC_TIME => (2, if text.get(..2)? < "50" { 2000 } else { 1900 }),
        GENERALIZED_TIME => (4, 0),
        _ => return None,
    };
    if text.len() != year_digits + 10 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let year: i16 = text[..year_digits].parse().ok()?;
    let part = |at: usize| text[year_digits + at..year_digits + at + 2].parse::<i8>().ok();
    let date = jiff::civil::DateTime::new(
        base + year,
        part(0)?,
        part(2)?,
        part(4)?,
        part(6)?,
        part(8)?,
        0,
    );
    Some(date.ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::{is_valid_at, time};

    #[test]
    fn times() {
        assert_eq!(time(0x17, b"700101000000Z"), Some(0));
        assert_eq!(time(0x17, b"491231235959Z"), Some(2_524_607_999));
        assert_eq!(time(0x18, b"20260102030405Z"), Some(1_767_323_045));
        for (tag, bad) in
            [(0x17, "7001010000Z"), (0x18, "20261302030405Z"), (0x16, "x"), (0x17, "")]
        {
            assert_eq!(time(tag, bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn a_certificate_has_its_time() {
        let mut params = rcgen::CertificateParams::new(vec!["a".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2030, 1, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let der = certificate.der();
        for (seconds, expected) in [
            (1_577_836_799, false),
            (1_577_836_800, true),
            (1_893_456_000, true),
            (1_893_456_001, false),
        ] {
            assert_eq!(is_valid_at(der, seconds), expected, "{seconds}");
        }
        for len in 0..der.len() {
            is_valid_at(&der[..len], 0);
        }
    }
}
