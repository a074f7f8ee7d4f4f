//! Private keys under a passphrase, as PEM text holds them.
//!
//! ```text
//! ENCRYPTED PRIVATE KEY            PKCS#8, PBES2: PBKDF2 by any HMAC of SHA, AES-CBC or 3DES-CBC
//! Proc-Type: 4,ENCRYPTED           PEM of old: MD5 makes the key; AES-CBC, 3DES-CBC, DES-CBC
//! ```
//!
//! Source: RFC 8018, RFC 1421, OpenSSL's `EVP_BytesToKey`.

use std::num::NonZeroU32;

use aes::cipher::block_padding::{Padding, Pkcs7};
use aes::cipher::{BlockDecryptMut, KeyIvInit};
use cbc::Decryptor;
use md5::{Digest, Md5};
use ring::pbkdf2;

use super::validity::element;
use crate::http::encoding::{base64, base64_decode};

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;

/// 1.2.840.113549.1.5.13
const PBES2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0d];
/// 1.2.840.113549.1.5.12
const PBKDF2: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x05, 0x0c];

/// 1.2.840.113549.2.*, by the last number.
const HMACS: &[(&[u8], pbkdf2::Algorithm)] = &[
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02, 0x07], pbkdf2::PBKDF2_HMAC_SHA1),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02, 0x09], pbkdf2::PBKDF2_HMAC_SHA256),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02, 0x0a], pbkdf2::PBKDF2_HMAC_SHA384),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x02, 0x0b], pbkdf2::PBKDF2_HMAC_SHA512),
];

#[derive(Clone, Copy)]
enum Cipher {
    Aes128,
    Aes192,
    Aes256,
    TripleDes,
    Des,
}

/// A cipher, its name in the head of a PEM of old, and its identifier in PBES2.
const CIPHERS: &[(Cipher, &str, &[u8])] = &[
    (Cipher::Aes128, "AES-128-CBC", &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x02]),
    (Cipher::Aes192, "AES-192-CBC", &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x16]),
    (Cipher::Aes256, "AES-256-CBC", &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2a]),
    (Cipher::TripleDes, "DES-EDE3-CBC", &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x03, 0x07]),
    (Cipher::Des, "DES-CBC", &[0x2b, 0x0e, 0x03, 0x02, 0x07]),
];

impl Cipher {
    fn key_bytes(self) -> usize {
        match self {
            Cipher::Aes128 => 16,
            Cipher::Aes192 | Cipher::TripleDes => 24,
            Cipher::Aes256 => 32,
            Cipher::Des => 8,
        }
    }

    fn decrypt(self, key: &[u8], iv: &[u8], data: &[u8]) -> Option<Vec<u8>> {
        match self {
            Cipher::Aes128 => decrypted::<Decryptor<aes::Aes128>>(key, iv, data),
            Cipher::Aes192 => decrypted::<Decryptor<aes::Aes192>>(key, iv, data),
            Cipher::Aes256 => decrypted::<Decryptor<aes::Aes256>>(key, iv, data),
            Cipher::TripleDes => decrypted::<Decryptor<des::TdesEde3>>(key, iv, data),
            Cipher::Des => decrypted::<Decryptor<des::Des>>(key, iv, data),
        }
    }
}

fn decrypted<D: KeyIvInit + BlockDecryptMut>(key: &[u8], iv: &[u8], data: &[u8]) -> Option<Vec<u8>>
where
    Pkcs7: Padding<D::BlockSize>,
{
    D::new_from_slices(key, iv).ok()?.decrypt_padded_vec_mut::<Pkcs7>(data).ok()
}

/// One section of a PEM text.
struct Section<'a> {
    label: &'a str,
    /// `name: value`, before the empty line.
    headers: Vec<(&'a str, &'a str)>,
    der: Vec<u8>,
}

/// The first section.
fn section(pem: &str) -> Option<Section<'_>> {
    let (label, rest) = pem.split_once("-----BEGIN ")?.1.split_once("-----")?;
    let body = rest.split_once(&format!("-----END {label}-----"))?.0;
    let is_header = |line: &&str| line.contains(':');
    let lines = || body.lines().map(str::trim);
    let headers = lines().filter(is_header).filter_map(|line| line.split_once(": ")).collect();
    let text: String = lines().filter(|line| !is_header(line)).collect();
    Some(Section { label, headers, der: base64_decode(&text)? })
}

/// The text of a key that no passphrase protects any more: `pem` itself if none does.
///
/// Errors: no passphrase, the wrong one, or a way of locking that is not known.
pub fn unlocked(pem: &str, passphrase: &str) -> Result<String, String> {
    let section = section(pem).ok_or("PEM data was not found in buffer")?;
    let header = |name: &str| section.headers.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
    let is_old = header("Proc-Type").is_some_and(|value| value.contains("ENCRYPTED"));
    let is_new = section.label == "ENCRYPTED PRIVATE KEY";
    if !is_old && !is_new {
        return Ok(pem.to_owned());
    }
    if passphrase.is_empty() {
        return Err("private key password is required for encrypted private keys".to_owned());
    }
    let der = if is_old {
        let info = header("DEK-Info").and_then(|info| info.split_once(','));
        let (cipher, iv) = info.ok_or("the encrypted key does not say by which cipher")?;
        let known = CIPHERS.iter().find(|(_, name, _)| *name == cipher);
        let (cipher, ..) = *known.ok_or_else(|| format!("a key under {cipher} is not known"))?;
        let iv = hex(iv).filter(|iv| iv.len() >= 8).ok_or("the encrypted key lacks its IV")?;
        let key = old_key(passphrase.as_bytes(), &iv[..8], cipher.key_bytes());
        cipher.decrypt(&key, &iv, &section.der)
    } else {
        let locked = Locked::read(&section.der).ok_or(
            "the encrypted key is locked in a way that is not known (PBES2 with PBKDF2 is)",
        )?;
        locked.unlock(passphrase.as_bytes())
    };
    // A wrong passphrase gives noise, which may end like a padding by chance.
    let der = der.filter(|der| matches!(element(der), Some((SEQUENCE, _, []))));
    let der = der.ok_or("failed to decrypt the private key: the passphrase is wrong")?;
    let label = if is_old { section.label } else { "PRIVATE KEY" };
    Ok(format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", base64(&der)))
}

/// The key of a PEM of old: digests of the one before, the passphrase and the salt, until it is
/// long enough.
fn old_key(passphrase: &[u8], salt: &[u8], key_bytes: usize) -> Vec<u8> {
    let mut key = vec![];
    let mut digest = vec![];
    while key.len() < key_bytes {
        let mut hasher = Md5::new();
        hasher.update(&digest);
        hasher.update(passphrase);
        hasher.update(salt);
        digest = hasher.finalize().to_vec();
        key.extend_from_slice(&digest);
    }
    key.truncate(key_bytes);
    key
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim().as_bytes();
    let pairs = digits.chunks(2).map(|pair| std::str::from_utf8(pair).ok());
    pairs.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect()
}

/// PKCS#8's `EncryptedPrivateKeyInfo` under PBES2.
struct Locked<'a> {
    salt: &'a [u8],
    iterations: NonZeroU32,
    hmac: pbkdf2::Algorithm,
    cipher: Cipher,
    iv: &'a [u8],
    data: &'a [u8],
}

impl<'a> Locked<'a> {
    fn read(der: &'a [u8]) -> Option<Locked<'a>> {
        let (all, _) = expect(SEQUENCE, der)?;
        let (scheme, rest) = expect(SEQUENCE, all)?;
        let (data, _) = expect(OCTET_STRING, rest)?;
        let parts = algorithm(PBES2, scheme)?;
        let (derivation, rest) = expect(SEQUENCE, expect(SEQUENCE, parts)?.0)?;
        let (encryption, _) = expect(SEQUENCE, rest)?;
        let (salt, rest) =
            expect(OCTET_STRING, expect(SEQUENCE, algorithm(PBKDF2, derivation)?)?.0)?;
        let (count, mut rest) = expect(INTEGER, rest)?;
        let iterations = count
            .iter()
            .try_fold(0u32, |sum, &digit| sum.checked_mul(256)?.checked_add(u32::from(digit)))?;
        if let Some((INTEGER, _, after)) = element(rest) {
            // The length of the key, which the cipher says anyway.
            rest = after;
        }
        let hmac = match element(rest) {
            Some((SEQUENCE, named, _)) => expect(OBJECT_IDENTIFIER, named)?.0,
            _ => HMACS[0].0,
        };
        let (id, iv) = expect(OBJECT_IDENTIFIER, encryption)?;
        Some(Locked {
            salt,
            iterations: NonZeroU32::new(iterations)?,
            hmac: HMACS.iter().find(|(known, _)| *known == hmac)?.1,
            cipher: CIPHERS.iter().find(|(_, _, known)| *known == id)?.0,
            iv: expect(OCTET_STRING, iv)?.0,
            data,
        })
    }

    fn unlock(&self, passphrase: &[u8]) -> Option<Vec<u8>> {
        let mut key = vec![0; self.cipher.key_bytes()];
        pbkdf2::derive(self.hmac, self.iterations, self.salt, passphrase, &mut key);
        self.cipher.decrypt(&key, self.iv, self.data)
    }
}

/// The content of the first element, which has that tag, and what follows it.
fn expect(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = element(der)?;
    (found == tag).then_some((content, rest))
}

/// The parameters of an `AlgorithmIdentifier`'s content, if it names that algorithm.
fn algorithm<'a>(id: &[u8], named: &'a [u8]) -> Option<&'a [u8]> {
    let (found, parameters) = expect(OBJECT_IDENTIFIER, named)?;
    (found == id).then_some(parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by OpenSSL 3: one key in clear, and locked by the passphrase `secret` in every way.
    const KEYS: &str = include_str!("locked_test_keys.txt");

    fn key(name: &str) -> &'static str {
        KEYS.split("== ").find_map(|part| part.strip_prefix(name)?.strip_prefix('\n')).unwrap()
    }

    #[track_caller]
    fn check(name: &str, passphrase: &str, expected: Result<&str, &str>) {
        let der = |pem: &str| section(pem).unwrap().der;
        let got = unlocked(key(name), passphrase).map(|pem| der(&pem));
        assert_eq!(got, expected.map(|name| der(key(name))).map_err(str::to_owned), "{name}");
    }

    #[test]
    fn keys_are_unlocked() {
        for name in ["128, SHA-1", "192, SHA-256", "256, SHA-384", "256, SHA-512", "3DES, SHA-256"]
        {
            check(name, "secret", Ok("PKCS#8"));
            check(name, "other", Err("failed to decrypt the private key: the passphrase is wrong"));
            check(name, "", Err("private key password is required for encrypted private keys"));
        }
        for name in ["old 128", "old 192", "old 256", "old 3DES", "old DES"] {
            check(name, "secret", Ok("SEC1"));
            check(name, "other", Err("failed to decrypt the private key: the passphrase is wrong"));
        }
        check("PKCS#8", "secret", Ok("PKCS#8"));
        check("SEC1", "", Ok("SEC1"));
        check(
            "scrypt",
            "secret",
            Err("the encrypted key is locked in a way that is not known (PBES2 with PBKDF2 is)"),
        );
        assert_eq!(unlocked("x", ""), Err("PEM data was not found in buffer".to_owned()));
    }

    #[test]
    fn cut_keys_are_refused() {
        let whole = section(key("256, SHA-512")).unwrap().der;
        for len in 0..whole.len() {
            assert!(Locked::read(&whole[..len]).is_none(), "{len}");
        }
    }
}
