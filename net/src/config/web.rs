//! The file of `--web.config.file`: TLS, users, headers and the rate of hearth's own web server.
//!
//! Source: prometheus/exporter-toolkit `web/tls_config.go`, `web/handler.go`; golang.org/x/crypto
//! `bcrypt`, what a hash must look like.

use std::collections::BTreeMap;
use std::path::Path;

use super::units::{GoDuration, Secret};
use super::value::FilePath;
use super::yaml::{self, Abort, Decoded, Decoder, Field, Node, Yaml, plain_field, section};
use crate::wire::quote::quoted;

section! {
    pub struct WebConfig("web.Config");
    omit tls as "tls_server_config": TlsServerConfig = TlsServerConfig::default();
    omit http as "http_server_config": HttpServerConfig = HttpServerConfig::default();
    omit rate_limit: RateLimit;
    /// Names, and bcrypt's hash of the password of each.
    omit users as "basic_auth_users": BTreeMap<String, Secret>;
}

section! {
    pub struct TlsServerConfig("web.TLSConfig");
    omit cert: String;
    omit key: Secret;
    omit client_ca: String;
    omit cert_file: FilePath;
    omit key_file: FilePath;
    omit client_auth_type: String;
    omit client_ca_file: FilePath;
    omit cipher_suites: Vec<CipherSuite>;
    omit curve_preferences: Vec<Curve>;
    omit min_version: TlsVersion = TlsVersion("TLS12".to_owned());
    omit max_version: TlsVersion = TlsVersion("TLS13".to_owned());
    /// Changes nothing since Go 1.18.
    omit prefer_server_cipher_suites: bool = true;
    /// A client's certificate must carry one of these.
    omit client_allowed_sans: Vec<String>;
}

section! {
    pub struct HttpServerConfig("web.HTTPConfig");
    omit http2: bool = true;
    /// Added to every answer.
    omit headers: BTreeMap<String, String>;
}

section! {
    /// One request an interval, and `burst` at once.
    pub struct RateLimit("web.RateLimiterConfig");
    omit burst: i64;
    /// 0 is no limit.
    omit interval: GoDuration;
}

/// A text that must be one of a list.
macro_rules! named {
    ($(#[$meta:meta])* $name:ident($what:literal): $known:expr) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct $name(pub String);

        impl Field for $name {
            plain_field!("string", $name::default(), |value| value.0.is_empty());

            fn decode(&mut self, decoder: &mut Decoder, node: &Node) -> Decoded {
                let mut text = String::new();
                if !text.decode(decoder, node)? {
                    return Ok(false);
                }
                if !$known.contains(&text.as_str()) {
                    return Err(Abort::at(node.line, format!("unknown {}: {text}", $what)));
                }
                self.0 = text;
                Ok(true)
            }

            fn to_yaml(&self) -> Yaml {
                self.0.to_yaml()
            }
        }
    };
}

named!(
    /// `TLS10` to `TLS13`; empty for the library's own bound.
    TlsVersion("TLS version"): ["TLS10", "TLS11", "TLS12", "TLS13"]
);
named!(
    /// A curve, by Go's name.
    Curve("curve"): ["CurveP256", "CurveP384", "CurveP521", "X25519"]
);
named!(
    /// A cipher suite that Go takes for secure, by its registered name.
    CipherSuite("cipher"): CIPHER_SUITES
);

const CIPHER_SUITES: [&str; 13] = [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
];

/// Headers that may be set, and their values where these are few.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
    ("Content-Security-Policy", &[]),
];

/// What a client must show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    None,
    /// A certificate is asked for; any, or none, will do.
    Request,
    /// A certificate, whoever signed it.
    RequireAny,
    /// None, or one that a client CA signed.
    VerifyIfGiven,
    RequireAndVerify,
}

/// Certificates and key as they are now, in PEM. `client_ca` is empty if there is none.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ServerPem {
    pub cert: Vec<u8>,
    pub key: Vec<u8>,
    pub client_ca: Vec<u8>,
}

impl WebConfig {
    /// Reads the file and checks what stands in it; relative paths are of its folder.
    ///
    /// # Errors
    ///
    /// The text that exporter-toolkit gives.
    pub fn from_file(path: &Path) -> Result<WebConfig, String> {
        let text = read(&path.to_string_lossy())?;
        let text = String::from_utf8(text).map_err(|_| "yaml: invalid UTF-8".to_owned())?;
        WebConfig::parse(&text, path.parent().unwrap_or(Path::new("")))
    }

    /// As [`WebConfig::from_file`], of a text whose relative paths are of `dir`.
    pub fn parse(text: &str, dir: &Path) -> Result<WebConfig, String> {
        let mut config = WebConfig::default();
        yaml::decode(text, &mut config).map_err(|abort| abort.message)?;
        config.check_headers()?;
        config.users.values().try_for_each(|hash| check_bcrypt(hash.reveal()))?;
        config.join_dir(dir);
        Ok(config)
    }

    fn check_headers(&self) -> Result<(), String> {
        for (name, value) in &self.http.headers {
            let Some((_, known)) = HEADERS.iter().find(|(header, _)| header == name) else {
                let name = quoted(name.as_bytes());
                return Err(format!("HTTP header {name} can not be configured"));
            };
            if !known.is_empty() && !known.contains(&value.as_str()) {
                let known: Vec<String> =
                    known.iter().map(|value| quoted(value.as_bytes())).collect();
                return Err(format!(
                    "invalid value for {name}. Expected one of: [{}], but got: {}",
                    known.join(" "),
                    quoted(value.as_bytes())
                ));
            }
        }
        Ok(())
    }
}

impl TlsServerConfig {
    /// Whether the server speaks TLS at all.
    pub fn is_enabled(&self) -> bool {
        let given = [
            &*self.cert,
            self.key.reveal(),
            &self.cert_file,
            &self.key_file,
            &self.client_ca,
            &self.client_ca_file,
            &self.client_auth_type,
        ];
        given.iter().any(|text| !text.is_empty())
    }

    /// # Errors
    ///
    /// An unknown policy, or client CAs that no policy looks at.
    pub fn client_auth(&self) -> Result<ClientAuth, String> {
        let auth = match &*self.client_auth_type {
            "" | "NoClientCert" => ClientAuth::None,
            "RequestClientCert" => ClientAuth::Request,
            "RequireAnyClientCert" | "RequireClientCert" => ClientAuth::RequireAny,
            "VerifyClientCertIfGiven" => ClientAuth::VerifyIfGiven,
            "RequireAndVerifyClientCert" => ClientAuth::RequireAndVerify,
            other => return Err(format!("invalid ClientAuth: {other}")),
        };
        let has_authorities = !self.client_ca.is_empty() || !self.client_ca_file.is_empty();
        if has_authorities && auth == ClientAuth::None {
            return Err("client CA's have been configured without a Client Auth Policy".to_owned());
        }
        Ok(auth)
    }

    /// Reads the files that are named.
    ///
    /// # Errors
    ///
    /// A certificate or key that is not configured, or a file that cannot be read.
    pub fn read(&self) -> Result<ServerPem, String> {
        if self.cert_file.is_empty() && self.cert.is_empty() {
            return Err("missing one of cert or cert_file".to_owned());
        }
        if self.key_file.is_empty() && self.key.is_empty() {
            return Err("missing one of key or key_file".to_owned());
        }
        let load = |file: &str, text: &str, what: &str| match file {
            "" => Ok(text.as_bytes().to_vec()),
            file => {
                read(file).map_err(|error| format!("failed to read {what}_file ({file}): {error}"))
            }
        };
        Ok(ServerPem {
            cert: load(&self.cert_file, &self.cert, "cert")?,
            key: load(&self.key_file, self.key.reveal(), "key")?,
            client_ca: match &*self.client_ca_file {
                "" => self.client_ca.as_bytes().to_vec(),
                file => read(file)?,
            },
        })
    }
}

fn read(file: &str) -> Result<Vec<u8>, String> {
    std::fs::read(file).map_err(|error| format!("open {file}: {}", super::load::cause(&error)))
}

/// Refuses what is no hash of bcrypt: `$2y$10$` and 53 characters.
fn check_bcrypt(hash: &str) -> Result<(), String> {
    let fault = |text: String| Err(format!("crypto/bcrypt: {text}"));
    let bytes = hash.as_bytes();
    if bytes.len() < 59 {
        return fault("hashedSecret too short to be a bcrypted password".to_owned());
    }
    if bytes[0] != b'$' {
        let first = char::from(bytes[0]);
        return fault(format!(
            "bcrypt hashes must start with '$', but hashedSecret started with '{first}'"
        ));
    }
    if bytes[1] > b'2' {
        let version = char::from(bytes[1]);
        return fault(format!(
            "bcrypt algorithm version '{version}' requested is newer than current version '2'"
        ));
    }
    let cost_at = if bytes[2] == b'$' { 3 } else { 4 };
    let cost = &bytes[cost_at..cost_at + 2];
    match std::str::from_utf8(cost).ok().and_then(|cost| cost.parse::<u32>().ok()) {
        None => Err(format!("strconv.Atoi: parsing {}: invalid syntax", quoted(cost))),
        Some(4..=31) => Ok(()),
        Some(cost) => fault(format!("cost {cost} is outside allowed inclusive range 4..31")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi";

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let told = match WebConfig::parse(text, Path::new("/etc/hearth")) {
            Ok(config) => {
                let read = || config.tls.client_auth().and(config.tls.read().map(drop));
                if config.tls.is_enabled() { read().err().unwrap_or_default() } else { "".into() }
            }
            Err(error) => error,
        };
        assert_eq!(told, expected, "{text}");
    }

    #[test]
    fn files_are_refused_in_the_words_of_exporter_toolkit() {
        check("", "");
        check("tls_server_config:\n", "");
        check(&format!("basic_auth_users: {{alice: {HASH}}}"), "");
        check(
            "hello: 1",
            "yaml: unmarshal errors:\n  line 1: field hello not found in type web.Config",
        );
        check(
            "tls_server_config: {cert_file: '', key_file: k}",
            "missing one of cert or cert_file",
        );
        check("tls_server_config: {cert: c, key: ''}", "missing one of key or key_file");
        check("tls_server_config: {client_auth_type: x}", "invalid ClientAuth: x");
        check(
            "tls_server_config: {cert: c, key_file: nowhere/key}",
            "failed to read key_file (/etc/hearth/nowhere/key): open /etc/hearth/nowhere/key: no \
             such file or directory",
        );
        check(
            "tls_server_config: {cert: c, key: k, client_ca: c}",
            "client CA's have been configured without a Client Auth Policy",
        );
        check("tls_server_config: {min_version: TLS111}", "unknown TLS version: TLS111");
        check("tls_server_config: {curve_preferences: [P257]}", "unknown curve: P257");
        check("tls_server_config: {cipher_suites: [RC4]}", "unknown cipher: RC4");
        check(
            "http_server_config: {headers: {Content-Type: foo}}",
            "HTTP header \"Content-Type\" can not be configured",
        );
        check(
            "http_server_config: {headers: {X-Frame-Options: foo}}",
            "invalid value for X-Frame-Options. Expected one of: [\"deny\" \"sameorigin\"], but \
             got: \"foo\"",
        );
        let short = "crypto/bcrypt: hashedSecret too short to be a bcrypted password";
        check("basic_auth_users: {john: doe}", short);
        let wrong = |from: &str, to: &str| {
            format!("basic_auth_users: {{john: '{}'}}", HASH.replacen(from, to, 1))
        };
        check(
            &wrong("$2y", "x2y"),
            "crypto/bcrypt: bcrypt hashes must start with '$', but hashedSecret started with 'x'",
        );
        check(
            &wrong("$2y", "$3y"),
            "crypto/bcrypt: bcrypt algorithm version '3' requested is newer than current version \
             '2'",
        );
        check(
            &wrong("10", "99"),
            "crypto/bcrypt: cost 99 is outside allowed inclusive range 4..31",
        );
        check(&wrong("10", "xx"), "strconv.Atoi: parsing \"xx\": invalid syntax");
    }

    #[test]
    fn what_is_not_written_has_defaults() {
        let text = "rate_limit: {burst: 2, interval: 1m30s}";
        let config = WebConfig::parse(text, Path::new("")).expect("the file is good");
        assert!(config.http.http2 && !config.tls.is_enabled());
        assert_eq!(config.tls.min_version.0, "TLS12");
        assert_eq!(config.rate_limit, RateLimit { burst: 2, interval: GoDuration(90_000_000_000) });
    }
}
