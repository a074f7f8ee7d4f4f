//! Texts signed with an RSA key: JSON web tokens (RFC 7515) and whatever else wants a signature.

use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{RsaEncoding, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use serde_json::{Map, Value};

use super::encoding::base64_url;
use super::tls::pem;

/// `header.claims.signature`
///
/// Errors: those of [`rsa_signature`].
pub fn signed(
    header: Map<String, Value>,
    claims: Map<String, Value>,
    encoding: &'static dyn RsaEncoding,
    key_pem: &str,
) -> Result<String, String> {
    let part = |map: Map<String, Value>| base64_url(Value::Object(map).to_string().as_bytes());
    let text = format!("{}.{}", part(header), part(claims));
    let signature = rsa_signature(key_pem, encoding, text.as_bytes())?;
    Ok(format!("{text}.{}", base64_url(&signature)))
}

/// A signature (PKCS#1 v1.5) of `text` by the key of a PEM text: PKCS#8 or PKCS#1, not encrypted.
pub fn rsa_signature(
    key_pem: &str,
    encoding: &'static dyn RsaEncoding,
    text: &[u8],
) -> Result<Vec<u8>, String> {
    let key = match pem::private_key(key_pem.as_bytes())? {
        PrivateKeyDer::Pkcs8(key) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
        PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
        _ => return Err("the client's key is no RSA key".to_owned()),
    };
    let key = key.map_err(|error| format!("the client's key: {error}"))?;
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(encoding, &SystemRandom::new(), text, &mut signature)
        .map_err(|_| "cannot sign with the client's key".to_owned())?;
    Ok(signature)
}

/// 32 digits that nobody can foretell.
pub fn random_id() -> Result<String, String> {
    let mut bytes = [0; 16];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| "the system gives no random numbers".to_owned())?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
