//! Whom a certificate is of, as texts.
//!
//! Source: RFC 5280, 4.1.2.6.

use super::validity::element;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xa0;

/// The values in the subject of a certificate (X.509, DER), whatever they are values of; none of
/// what cannot be read.
pub fn subject_values(certificate: &[u8]) -> Vec<String> {
    values(certificate).unwrap_or_default()
}

fn values(certificate: &[u8]) -> Option<Vec<String>> {
    let (SEQUENCE, certificate, _) = element(certificate)? else { return None };
    let (SEQUENCE, mut rest, _) = element(certificate)? else { return None };
    if rest.first() == Some(&VERSION) {
        rest = element(rest)?.2;
    }
    // Serial number, signature algorithm, issuer, validity.
    for _ in 0..4 {
        rest = element(rest)?.2;
    }
    let (SEQUENCE, mut names, _) = element(rest)? else { return None };
    let mut values = vec![];
    while let Some((SET, mut parts, after)) = element(names) {
        names = after;
        while let Some((SEQUENCE, part, after)) = element(parts) {
            parts = after;
            let (_, _, value) = element(part)?;
            values.push(String::from_utf8_lossy(element(value)?.1).into_owned());
        }
    }
    Some(values)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::subject_values;

    #[test]
    fn the_values_of_a_subject() {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "machine");
        params.distinguished_name.push(DnType::OrganizationName, "opc-tenant:ocid1");
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        assert_eq!(subject_values(made.der()), ["machine", "opc-tenant:ocid1"]);
        for len in 0..made.der().len() {
            assert!(subject_values(&made.der()[..len]).is_empty());
        }
    }
}
