//! Where to listen.

use std::net::{SocketAddr, ToSocketAddrs};

use shards::runtime;

/// Socket addresses of `host:port` texts; an empty host means every address of the machine.
///
/// Errors: a text that is no address, or an address that somebody listens on already.
pub fn resolve(texts: &[String]) -> Result<Vec<SocketAddr>, String> {
    let mut addresses = vec![];
    for text in texts {
        let full = if text.starts_with(':') { format!("[::]{text}") } else { text.clone() };
        let mut found =
            full.to_socket_addrs().map_err(|error| format!("listen {text}: {error}"))?;
        let address = found.next().ok_or_else(|| format!("listen {text}: no such host"))?;
        runtime::check_address_free(address)
            .map_err(|error| format!("Unable to start web listener: listen {text}: {error}"))?;
        addresses.push(address);
    }
    Ok(addresses)
}
