//! Where to listen.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::thread;
use std::time::{Duration, Instant};

use shards::runtime;

/// How long a former process may take to let go of an address: the kernel keeps the sockets of a
/// ring open for a moment after its process was killed.
const RELEASE_WAIT: Duration = Duration::from_secs(2);

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
        wait_free(address)
            .map_err(|error| format!("Unable to start web listener: listen {text}: {error}"))?;
        addresses.push(address);
    }
    Ok(addresses)
}

fn wait_free(address: SocketAddr) -> io::Result<()> {
    let begun = Instant::now();
    loop {
        match runtime::check_address_free(address) {
            Err(error)
                if error.kind() == io::ErrorKind::AddrInUse && begun.elapsed() < RELEASE_WAIT =>
            {
                thread::sleep(Duration::from_millis(20));
            }
            done => return done,
        }
    }
}
