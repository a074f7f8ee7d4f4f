//! Certificates and keys as PEM text holds them.

use std::sync::Arc;

use rustls::Error;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::provider;

/// All certificates of a text; other sections are passed over.
///
/// Errors: a section that is no PEM.
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    read.map_err(|error| error.to_string())
}

/// The first private key of a text: PKCS#8, PKCS#1 or SEC1.
pub fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(pem)
        .map_err(|_| "tls: failed to find any PEM data in key input".to_owned())
}

/// A chain of certificates with the key of the first.
///
/// Errors: Go's words for what is missing or does not belong together.
pub fn key_pair(cert: &[u8], key: &[u8]) -> Result<Arc<CertifiedKey>, String> {
    let chain = certificates(cert)?;
    if chain.is_empty() {
        return Err("tls: failed to find any PEM data in certificate input".to_owned());
    }
    match CertifiedKey::from_der(chain, private_key(key)?, &provider()) {
        Ok(pair) => Ok(Arc::new(pair)),
        Err(Error::InconsistentKeys(_)) => {
            Err("tls: private key does not match public key".to_owned())
        }
        Err(error) => Err(format!("tls: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::key_pair;

    #[test]
    fn a_pair_belongs_together() {
        let made = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (one, other) = (made(), made());
        let pem = |cert: &rcgen::CertifiedKey<rcgen::KeyPair>| {
            (cert.cert.pem().into_bytes(), cert.signing_key.serialize_pem().into_bytes())
        };
        let ((cert, key), (_, other_key)) = (pem(&one), pem(&other));
        let told = |cert: &[u8], key: &[u8]| key_pair(cert, key).err().unwrap_or_default();
        assert_eq!(told(&cert, &key), "");
        assert_eq!(told(&cert, &other_key), "tls: private key does not match public key");
        assert_eq!(told(b"", &key), "tls: failed to find any PEM data in certificate input");
        assert_eq!(told(&cert, b"x"), "tls: failed to find any PEM data in key input");
    }
}
