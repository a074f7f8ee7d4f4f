//! TLS over any stream, as client and as server. rustls does the work and knows no sockets, so
//! shards and the control thread share it.
//!
//! ```text
//! stream      hyper's transport, encrypted
//! client      the configuration's tls_config -> rustls; whom to trust; errors in Go's words
//! server      the web server's tls_server_config -> rustls; which clients to trust
//! pem         certificates and keys out of files
//! locked_key  private keys under a passphrase
//! names, subject, validity   what a certificate says of itself
//! ```
//!
//! TLS 1.2 and 1.3; rustls has nothing older.

pub mod client;
pub mod locked_key;
mod names;
pub mod pem;
pub mod server;
pub mod stream;
pub mod subject;
mod validity;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

pub use stream::TlsStream;

/// The one provider of cryptography: ring.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: std::sync::OnceLock<Arc<CryptoProvider>> = std::sync::OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(rustls::crypto::ring::default_provider())).clone()
}
