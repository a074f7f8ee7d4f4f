//! A client's side of TLS: whom it trusts, who it says it is, and what went wrong in Go's words.

use std::fs;
use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    SupportedProtocolVersion, version,
};

use crate::config::TlsConfig;

use super::pem;
use super::provider;
use super::validity::is_valid_at;

/// Certificates and key of a configuration as they are now, in PEM; empty where not configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    pub ca: Vec<u8>,
    pub cert: Vec<u8>,
    pub key: Vec<u8>,
}

/// Builds what a connection needs. `with_http2` offers HTTP/2 beside HTTP/1.1.
///
/// Errors: what cannot be read, or versions that rustls has not.
pub fn client_config(
    config: &TlsConfig,
    identity: &Identity,
    with_http2: bool,
) -> Result<Arc<ClientConfig>, String> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&versions(&config.min_version.0, &config.max_version.0)?)
        .map_err(|error| error.to_string())?;
    let verifier = Verifier::new(config.insecure_skip_verify, &identity.ca)?;
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    let mut built = if identity.cert.is_empty() {
        builder.with_no_client_auth()
    } else {
        let chain = pem::certificates(&identity.cert)?;
        let key = pem::private_key(&identity.key)?;
        builder
            .with_client_auth_cert(chain, key)
            .map_err(|error| format!("unable to use specified client cert: {error}"))?
    };
    if with_http2 {
        built.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    }
    Ok(Arc::new(built))
}

/// The versions between two bounds of the configuration; empty is no bound.
pub fn versions(min: &str, max: &str) -> Result<Vec<&'static SupportedProtocolVersion>, String> {
    let rank = |name: &str, unset| match name {
        "TLS10" => 10,
        "TLS11" => 11,
        "TLS12" => 12,
        "TLS13" => 13,
        _ => unset,
    };
    let (min, max) = (rank(min, 12), rank(max, 13));
    if min > max {
        return Err(
            "tls_config.max_version must be greater than or equal to tls_config.min_version if \
             both are specified"
                .to_owned(),
        );
    }
    let mut versions = vec![];
    if min <= 12 && max >= 12 {
        versions.push(&version::TLS12);
    }
    if max >= 13 {
        versions.push(&version::TLS13);
    }
    if versions.is_empty() {
        return Err("TLS 1.0 and 1.1 are not supported, only TLS 1.2 and 1.3".to_owned());
    }
    Ok(versions)
}

/// Where systems keep the certificates they trust, in Go's order.
const SYSTEM_FILES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The system's roots, read once; `SSL_CERT_FILE` names another file.
pub(super) fn system_roots() -> Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let read = || {
        let text = match std::env::var("SSL_CERT_FILE") {
            Ok(file) => fs::read(file).ok(),
            Err(_) => SYSTEM_FILES.iter().find_map(|file| fs::read(file).ok()),
        };
        let mut roots = RootCertStore::empty();
        // A system's file may hold a certificate or two that rustls does not take.
        roots.add_parsable_certificates(
            pem::certificates(&text.unwrap_or_default()).unwrap_or_default(),
        );
        Arc::new(roots)
    };
    ROOTS.get_or_init(read).clone()
}

/// Judges servers as Go does: a certificate that is itself among the trusted ones is good, even
/// one that calls itself an authority.
#[derive(Debug)]
struct Verifier {
    /// None: nothing is judged.
    webpki: Option<Arc<WebPkiServerVerifier>>,
    trusted: Vec<CertificateDer<'static>>,
    is_insecure: bool,
}

impl Verifier {
    fn new(is_insecure: bool, ca: &[u8]) -> Result<Verifier, String> {
        let mut trusted = vec![];
        let roots = if ca.is_empty() {
            system_roots()
        } else {
            trusted = pem::certificates(ca)?;
            if trusted.is_empty() {
                return Err("unable to use specified CA cert".to_owned());
            }
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(trusted.iter().cloned());
            Arc::new(roots)
        };
        // Without any root every server is unknown.
        let webpki = WebPkiServerVerifier::builder_with_provider(roots, provider()).build().ok();
        Ok(Verifier { webpki, trusted, is_insecure })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.is_insecure {
            return Ok(ServerCertVerified::assertion());
        }
        if self.trusted.iter().any(|trusted| trusted.as_ref() == end_entity.as_ref()) {
            if !is_valid_at(end_entity, now.as_secs()) {
                return Err(CertificateError::Expired.into());
            }
            let parsed = ParsedCertificate::try_from(end_entity)?;
            rustls::client::verify_server_name(&parsed, server_name)?;
            return Ok(ServerCertVerified::assertion());
        }
        let Some(webpki) = &self.webpki else {
            return Err(CertificateError::UnknownIssuer.into());
        };
        webpki.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &provider().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

/// Why a handshake with `host` failed, in the words users know from Go.
pub fn go_error(error: &std::io::Error, host: &str) -> String {
    let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    let Some(cause) = cause else {
        return match error.kind() {
            std::io::ErrorKind::UnexpectedEof => "EOF".to_owned(),
            _ => error.to_string(),
        };
    };
    let failed = "tls: failed to verify certificate: x509: ";
    match cause {
        Error::InvalidCertificate(why) => match why {
            // One of the trusted authorities has the issuer's name, but not its key.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                format!("{failed}certificate signed by unknown authority")
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                format!("{failed}certificate is not valid for {host}")
            }
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => {
                format!("{failed}certificate has expired or is not yet valid")
            }
            // An authority shows its own certificate, and nobody trusts it.
            CertificateError::Other(why) if why.to_string().contains("CaUsedAsEndEntity") => {
                format!("{failed}certificate signed by unknown authority")
            }
            why => format!("{failed}{why}"),
        },
        Error::AlertReceived(alert) => format!("remote error: tls: {}", alert_words(alert)),
        Error::InvalidMessage(_) => "tls: first record does not look like a TLS handshake".into(),
        cause => format!("tls: {cause}"),
    }
}

fn alert_words(alert: &rustls::AlertDescription) -> String {
    use rustls::AlertDescription as Alert;
    match alert {
        Alert::BadCertificate => "bad certificate".into(),
        Alert::CertificateRequired => "certificate required".into(),
        Alert::HandshakeFailure => "handshake failure".into(),
        Alert::ProtocolVersion => "protocol version not supported".into(),
        Alert::UnknownCA => "unknown certificate authority".into(),
        Alert::CertificateExpired => "expired certificate".into(),
        Alert::UnrecognisedName => "unrecognized name".into(),
        other => format!("{other:?}"),
    }
}
