//! Where the client runs: on a shard or on the control thread (tokio). It needs sockets
//! from either, and nothing else: connections are driven by whoever waits for their answers, so no
//! task is started here.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use shards::runtime;
use tokio::io::{AsyncRead, AsyncWrite};

/// Bytes both ways, whoever waits for them.
pub trait Stream: Read + Write + Unpin {}

impl<T: Read + Write + Unpin> Stream for T {}

pub type BoxStream = Box<dyn Stream>;

/// Whether this is a thread of tokio.
pub fn is_tokio() -> bool {
    tokio::runtime::Handle::try_current().is_ok()
}

pub async fn connect_tcp(address: SocketAddr) -> io::Result<BoxStream> {
    if is_tokio() {
        let stream = tokio::net::TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        return Ok(Box::new(Tokio(stream)));
    }
    let stream = runtime::TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(Box::new(stream))
}

pub async fn connect_unix(path: &str) -> io::Result<BoxStream> {
    if is_tokio() {
        return Ok(Box::new(Tokio(tokio::net::UnixStream::connect(path).await?)));
    }
    Ok(Box::new(runtime::UnixStream::connect(path).await?))
}

/// Addresses of a host: itself if it is one, else what the system's resolver says.
pub async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    if let Ok(address) = host.parse() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let name = host.to_owned();
    let found = runtime::blocking(move || {
        (name.as_str(), port).to_socket_addrs().map(|addresses| addresses.collect::<Vec<_>>())
    });
    match found.await {
        Ok(addresses) if !addresses.is_empty() => Ok(addresses),
        Ok(_) => Err(format!("dial tcp: lookup {host}: no such host")),
        Err(error) => Err(format!("dial tcp: lookup {host}: {}", lookup_words(&error))),
    }
}

/// Go's words where the system's resolver says that a name or its addresses are not there.
fn lookup_words(error: &io::Error) -> String {
    let text = error.to_string();
    let is_absent = ["Name or service not known", "No address associated with hostname"]
        .iter()
        .any(|words| text.contains(words));
    if is_absent { "no such host".to_owned() } else { text }
}

/// Sends all of `bytes`.
pub async fn write_all(stream: &mut BoxStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let sent = std::future::poll_fn(|cx| Pin::new(&mut *stream).poll_write(cx, bytes)).await?;
        if sent == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        bytes = &bytes[sent..];
    }
    std::future::poll_fn(|cx| Pin::new(&mut *stream).poll_flush(cx)).await
}

/// Reads some bytes; none at the end of the stream.
pub async fn read_some(stream: &mut BoxStream, buffer: &mut [u8]) -> io::Result<usize> {
    let mut buffer = ReadBuf::new(buffer);
    std::future::poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, buffer.unfilled())).await?;
    Ok(buffer.filled().len())
}

/// A stream of tokio as hyper's transport.
pub struct Tokio<T>(pub T);

/// Bytes read at once on the control thread.
const READ_BYTES: usize = 16 << 10;

impl<T: AsyncRead + Unpin> Read for Tokio<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut bytes = [0; READ_BYTES];
        let room = cursor.remaining().min(READ_BYTES);
        let mut buffer = tokio::io::ReadBuf::new(&mut bytes[..room]);
        std::task::ready!(Pin::new(&mut self.0).poll_read(cx, &mut buffer))?;
        cursor.put_slice(buffer.filled());
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> Write for Tokio<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
