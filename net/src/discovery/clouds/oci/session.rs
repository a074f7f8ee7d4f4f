//! The key that a machine makes for one session.

use ring::rand::{SecureRandom, SystemRandom};
use rsa::PrivateKey;
use rsa::pkcs8::{EncodePrivateKey, EncodePublicKey, LineEnding};
use rsa::rand_core::{TryCryptoRng, TryRng};

use crate::http::encoding::base64;

const KEY_BITS: usize = 2048;

pub struct SessionKey {
    /// PKCS#8.
    pub private_pem: String,
    /// What a PEM of the public key holds between its first and its last line, in one.
    pub public_text: String,
}

impl SessionKey {
    /// Takes a part of a second of a core.
    pub fn new() -> Result<SessionKey, String> {
        let made = PrivateKey::new(&mut Numbers(SystemRandom::new()), KEY_BITS);
        let key = made.map_err(|error| format!("failed to generate a new keypair: {error}"))?;
        let failed = |what: &str| format!("failed to marshal the {what} part of the new keypair");
        let private = key.to_pkcs8_pem(LineEnding::LF).map_err(|_| failed("private"))?;
        let public = key.to_public_key().to_public_key_der().map_err(|_| failed("public"))?;
        Ok(SessionKey {
            private_pem: private.as_str().to_owned(),
            public_text: base64(public.as_bytes()),
        })
    }
}

/// The system's random numbers.
struct Numbers(SystemRandom);

#[derive(Debug)]
struct NoNumbers;

impl std::fmt::Display for NoNumbers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the system gives no random numbers")
    }
}

impl std::error::Error for NoNumbers {}

impl TryRng for Numbers {
    type Error = NoNumbers;

    fn try_next_u32(&mut self) -> Result<u32, NoNumbers> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_ne_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, NoNumbers> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_ne_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), NoNumbers> {
        self.0.fill(bytes).map_err(|_| NoNumbers)
    }
}

impl TryCryptoRng for Numbers {}

#[cfg(test)]
mod tests {
    use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, UnparsedPublicKey};

    use super::SessionKey;
    use crate::http::encoding::base64_decode;
    use crate::http::jwt::rsa_signature;

    #[test]
    fn the_public_half_proves_what_the_private_one_signs() {
        let key = SessionKey::new().unwrap();
        let signature = rsa_signature(&key.private_pem, &RSA_PKCS1_SHA256, b"text").unwrap();
        // ring takes the key without the wrapping that names its algorithm.
        let wrapped = base64_decode(&key.public_text).unwrap();
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &wrapped[24..]);
        assert!(public.verify(b"text", &signature).is_ok());
    }
}
