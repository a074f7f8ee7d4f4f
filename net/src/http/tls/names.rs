//! The alternative names of a certificate, as texts. rustls compares names, and lists none.
//!
//! Source: RFC 5280, 4.1 and 4.2.1.6.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::validity::element;

const SEQUENCE: u8 = 0x30;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const EXTENSIONS: u8 = 0xa3;
/// 2.5.29.17
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];

const EMAIL: u8 = 0x81;
const DNS: u8 = 0x82;
const URI: u8 = 0x86;
const ADDRESS: u8 = 0x87;

/// Names of hosts, e-mail addresses, IP addresses and URIs of a certificate (X.509, DER); none of
/// what cannot be read.
pub fn alternative_names(certificate: &[u8]) -> Vec<String> {
    names(certificate).unwrap_or_default()
}

fn names(certificate: &[u8]) -> Option<Vec<String>> {
    let (SEQUENCE, certificate, _) = element(certificate)? else { return None };
    let (SEQUENCE, mut rest, _) = element(certificate)? else { return None };
    let mut extensions = loop {
        let (tag, content, after) = element(rest)?;
        if tag == EXTENSIONS {
            break element(content)?.1;
        }
        rest = after;
    };
    while let Some((SEQUENCE, extension, after)) = element(extensions) {
        extensions = after;
        let (OBJECT_IDENTIFIER, id, mut value) = element(extension)? else { return None };
        if id != ALTERNATIVE_NAMES {
            continue;
        }
        // Whether it is critical may stand between.
        let mut found = element(value)?;
        while found.0 != OCTET_STRING {
            value = found.2;
            found = element(value)?;
        }
        let (SEQUENCE, mut list, _) = element(found.1)? else { return None };
        let mut names = vec![];
        while let Some((tag, name, after)) = element(list) {
            list = after;
            match tag {
                EMAIL | DNS | URI => names.push(String::from_utf8_lossy(name).into_owned()),
                ADDRESS => names.extend(address(name)),
                _ => {}
            }
        }
        return Some(names);
    }
    None
}

fn address(bytes: &[u8]) -> Option<String> {
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(bytes).to_string());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|bytes| Ipv6Addr::from(bytes).to_string())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::alternative_names;

    #[test]
    fn names_are_listed() {
        let wanted = ["a.example", "127.0.0.1", "::1"].map(str::to_owned);
        let params = CertificateParams::new(wanted.to_vec()).unwrap();
        let cert = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        assert_eq!(alternative_names(cert.der()), wanted);
        let nameless = CertificateParams::new(vec![]).unwrap();
        let cert = nameless.self_signed(&KeyPair::generate().unwrap()).unwrap();
        assert!(alternative_names(cert.der()).is_empty());
        assert!(alternative_names(b"no certificate").is_empty());
    }
}
