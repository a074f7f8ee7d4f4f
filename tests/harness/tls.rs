//! Certificates made for one test, and requests over TLS.

use std::io::{Error, Result};
use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::http::{self, Answer};

/// Signs certificates.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// Certificate and key, PEM.
pub struct Issued {
    pub cert: String,
    pub key: String,
}

impl Authority {
    pub fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new(vec![]).expect("no names are good names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("ring makes keys");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a whole certificate");
        Authority { issuer }
    }

    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate of a host or an address.
    pub fn issue(&self, name: &str) -> Issued {
        let key = KeyPair::generate().expect("ring makes keys");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a good name");
        let cert = params.signed_by(&key, &self.issuer).expect("a whole certificate");
        Issued { cert: cert.pem(), key: key.serialize_pem() }
    }
}

/// `GET` over TLS by a client that trusts `authority` alone and shows `identity`, if it has one.
pub fn get(
    address: SocketAddr,
    target: &str,
    authority: &Authority,
    identity: Option<&Issued>,
) -> Result<Answer> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.issuer.der().clone()).map_err(Error::other)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(Error::other)?
        .with_root_certificates(roots);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some(Issued { cert, key }) => {
            let cert = CertificateDer::from_pem_slice(cert.as_bytes()).map_err(Error::other)?;
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(Error::other)?;
            builder.with_client_auth_cert(vec![cert], key).map_err(Error::other)?
        }
    };
    let name = ServerName::from(address.ip());
    let client = ClientConnection::new(Arc::new(config), name).map_err(Error::other)?;
    let stream = StreamOwned::new(client, http::connect(address)?);
    http::exchange(stream, &address.to_string(), ("GET", target), &[], b"")
}
