//! A server's side of TLS, as the web server's file says.
//!
//! Source: prometheus/exporter-toolkit `web/tls_config.go` (`ConfigToTLSConfig`).

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, NamedGroup, RootCertStore, ServerConfig,
    SignatureScheme,
};

use crate::config::web::{ClientAuth, ServerPem, TlsServerConfig};

use super::client::{system_roots, versions};
use super::names::alternative_names;
use super::{pem, provider};

/// Builds what connections need. `with_http2` offers HTTP/2 beside HTTP/1.1.
///
/// Suites and curves that rustls has not are passed over.
///
/// Errors: certificate, key or authorities that do not serve; versions that rustls has not.
pub fn server_config(
    config: &TlsServerConfig,
    pem: &ServerPem,
    with_http2: bool,
) -> Result<Arc<ServerConfig>, String> {
    let provider = limited(config);
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions(&config.min_version.0, &config.max_version.0)?)
        .map_err(|error| format!("tls: {error}"))?;
    let builder = match verifier(config, pem, provider)? {
        None => builder.with_no_client_auth(),
        Some(verifier) => builder.with_client_cert_verifier(verifier),
    };
    let pair = pem::key_pair(&pem.cert, &pem.key)
        .map_err(|why| format!("failed to load X509KeyPair: {why}"))?;
    let mut built = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(pair)));
    let protocols: &[&[u8]] = if with_http2 { &[b"h2", b"http/1.1"] } else { &[b"http/1.1"] };
    built.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(Arc::new(built))
}

/// The provider with the suites and curves that the file allows. Go does not let suites of TLS 1.3
/// be chosen.
fn limited(config: &TlsServerConfig) -> Arc<CryptoProvider> {
    let mut limited = (*provider()).clone();
    if !config.cipher_suites.is_empty() {
        limited.cipher_suites.retain(|suite| {
            let name = format!("{:?}", suite.suite());
            suite.tls13().is_some() || config.cipher_suites.iter().any(|wanted| wanted.0 == name)
        });
    }
    if !config.curve_preferences.is_empty() {
        let group = |name: &str| match name {
            "CurveP256" => NamedGroup::secp256r1,
            "CurveP384" => NamedGroup::secp384r1,
            "CurveP521" => NamedGroup::secp521r1,
            _ => NamedGroup::X25519,
        };
        let wanted: Vec<_> = config.curve_preferences.iter().map(|curve| group(&curve.0)).collect();
        limited.kx_groups.retain(|known| wanted.contains(&known.name()));
    }
    Arc::new(limited)
}

fn verifier(
    config: &TlsServerConfig,
    pem: &ServerPem,
    provider: Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, String> {
    let auth = config.client_auth()?;
    let inner = match auth {
        ClientAuth::None => return Ok(None),
        ClientAuth::Request | ClientAuth::RequireAny => None,
        ClientAuth::VerifyIfGiven | ClientAuth::RequireAndVerify => {
            let roots = if pem.client_ca.is_empty() {
                system_roots()
            } else {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(pem::certificates(&pem.client_ca)?);
                Arc::new(roots)
            };
            let builder = WebPkiClientVerifier::builder_with_provider(roots, provider);
            Some(builder.build().map_err(|error| format!("client CA: {error}"))?)
        }
    };
    Ok(Some(Arc::new(Verifier {
        inner,
        is_mandatory: matches!(auth, ClientAuth::RequireAny | ClientAuth::RequireAndVerify),
        allowed_names: config.client_allowed_sans.clone(),
    })))
}

/// Judges clients: their chain, if authorities are named, and their names, if some are.
#[derive(Debug)]
struct Verifier {
    /// None: whoever signed the certificate, it will do.
    inner: Option<Arc<dyn ClientCertVerifier>>,
    is_mandatory: bool,
    /// Empty: any name.
    allowed_names: Vec<String>,
}

impl ClientCertVerifier for Verifier {
    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        self.is_mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.as_ref().map_or(&[], |inner| inner.root_hint_subjects())
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if let Some(inner) = &self.inner {
            inner.verify_client_cert(end_entity, intermediates, now)?;
        }
        let names = || alternative_names(end_entity);
        if !self.allowed_names.is_empty()
            && !names().iter().any(|name| self.allowed_names.contains(name))
        {
            return Err(Error::General("could not find allowed SANs in client cert".to_owned()));
        }
        Ok(ClientCertVerified::assertion())
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
