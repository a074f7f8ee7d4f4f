//! TCP on a shard.
//!
//! Reads and writes are plain system calls that do not wait; only readiness goes through the
//! executor's ring. Buffers to read into may be uninitialised: zeroing them first costs half again
//! the CPU of a 300 KB body.
#![allow(unsafe_code)]

use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::task::{Context, Poll, ready};

use futures_lite::future::poll_fn;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::operation::Readiness;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// A listening socket that shares its port with the other shards'.
pub struct TcpListener {
    socket: Socket,
    address: SocketAddr,
}

impl TcpListener {
    /// Binds with `SO_REUSEPORT`: the kernel spreads connections over the sockets of one address.
    ///
    /// Any other process of the same user may bind the address, too; [`check_address_free`] first.
    pub fn bind_reuseport(address: SocketAddr) -> io::Result<TcpListener> {
        let socket = bind(address, true)?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        let address = local_address(&socket)?;
        Ok(TcpListener { socket, address })
    }

    /// The bound address, with the port that the kernel chose if it was asked for port zero.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The next connection.
    ///
    /// Errors: out of descriptors or memory, or a connection that died in the queue. The caller
    /// waits a little and tries again.
    pub async fn accept(&self) -> io::Result<TcpStream> {
        let mut to_accept = Readiness::to_read();
        loop {
            match self.socket.accept() {
                Ok((socket, peer)) => return TcpStream::new(socket, peer.as_socket()),
                Err(error) if is_not_ready(&error) => {}
                Err(error) => return Err(error),
            }
            poll_fn(|cx| to_accept.poll(&self.socket, cx)).await?;
        }
    }
}

/// Whether a call is to be made again when the socket is ready.
fn is_not_ready(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

/// Calls `call` until it does not find the socket unready.
fn poll_call<T>(
    socket: &impl AsRawFd,
    readiness: &mut Readiness,
    cx: &mut Context<'_>,
    mut call: impl FnMut() -> io::Result<T>,
) -> Poll<io::Result<T>> {
    loop {
        match call() {
            Err(error) if is_not_ready(&error) => ready!(readiness.poll(socket, cx))?,
            done => return Poll::Ready(done),
        }
    }
}

/// Connects without waiting on the thread.
async fn connect(socket: &Socket, address: &SockAddr) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    match socket.connect(address) {
        Ok(()) => return Ok(()),
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        // The queue of a listener in the file system is full.
        Err(error) => return Err(error),
    }
    let mut connected = Readiness::to_write();
    poll_fn(|cx| connected.poll(socket, cx)).await?;
    socket.take_error()?.map_or(Ok(()), Err)
}

/// Whether nobody listens on `address`: what an ordinary bind would say. Start-up asks once,
/// because [`TcpListener::bind_reuseport`] succeeds beside another process of the same user.
pub fn check_address_free(address: SocketAddr) -> io::Result<()> {
    bind(address, false)?.listen(1)
}

fn bind(address: SocketAddr, reuse_port: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(reuse_port)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn local_address(socket: &Socket) -> io::Result<SocketAddr> {
    let address = socket.local_addr()?;
    address.as_socket().ok_or_else(|| io::Error::other("the kernel names no address"))
}

/// A connection. Closes when dropped.
///
/// Its `poll_*` functions have the contract of `futures::io::{AsyncRead, AsyncWrite}`.
pub struct TcpStream {
    socket: Socket,
    peer: SocketAddr,
    to_read: Readiness,
    to_write: Readiness,
    /// The last read left room in its buffer, so the socket was empty: the next read asks for
    /// readiness at once.
    drained: bool,
}

impl TcpStream {
    fn new(socket: Socket, peer: Option<SocketAddr>) -> io::Result<TcpStream> {
        let peer = peer.ok_or_else(|| io::Error::other("the kernel names no peer"))?;
        let (to_read, to_write) = (Readiness::to_read(), Readiness::to_write());
        Ok(TcpStream { socket, peer, to_read, to_write, drained: true })
    }

    /// Connects without a deadline; [`super::timeout`] gives one.
    pub async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        connect(&socket, &address.into()).await?;
        TcpStream::new(socket, Some(address))
    }

    pub fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        local_address(&self.socket)
    }

    /// Sends small segments at once (`TCP_NODELAY`).
    pub fn set_nodelay(&self, on: bool) -> io::Result<()> {
        self.socket.set_nodelay(on)
    }

    /// Reads into `buffer`; the first `n` bytes of it are initialised by `Ready(Ok(n))`. Zero
    /// bytes mean the end of the stream, or an empty buffer.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [MaybeUninit<u8>],
    ) -> Poll<io::Result<usize>> {
        if buffer.is_empty() {
            return Poll::Ready(Ok(0));
        }
        loop {
            if self.drained {
                ready!(self.to_read.poll(&self.socket, cx))?;
                self.drained = false;
            }
            match self.receive(buffer) {
                Err(error) if is_not_ready(&error) => self.drained = true,
                done => return Poll::Ready(done),
            }
        }
    }

    /// One `recv` that does not wait.
    fn receive(&mut self, buffer: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
        // SAFETY: the descriptor is open as long as `self.socket`, and the kernel writes at most
        // `buffer.len()` bytes to a buffer of that length.
        let received = unsafe {
            libc::recv(
                self.socket.as_raw_fd(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                libc::MSG_DONTWAIT,
            )
        };
        let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
        self.drained = received < buffer.len();
        Ok(received)
    }

    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    /// Writes of several buffers by one system call; `Ready(Ok(n))` counts over all of them.
    pub fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let TcpStream { socket, to_write, .. } = self;
        let buffers = &buffers[..buffers.len().min(libc::UIO_MAXIOV as usize)];
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        poll_call(socket, to_write, cx, || socket.send_vectored_with_flags(buffers, flags))
    }

    pub fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Ends the writing side. A connection that the peer has reset already counts as closed.
    pub fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(closed(self.socket.shutdown(Shutdown::Write)))
    }
}

fn closed(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
        done => done,
    }
}

/// A connection to a socket in the file system. Closes when dropped.
pub struct UnixStream {
    stream: StdUnixStream,
    to_read: Readiness,
    to_write: Readiness,
}

impl UnixStream {
    /// Connects without a deadline; [`super::timeout`] gives one.
    pub async fn connect(path: &str) -> io::Result<UnixStream> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        connect(&socket, &SockAddr::unix(path)?).await?;
        let (to_read, to_write) = (Readiness::to_read(), Readiness::to_write());
        Ok(UnixStream { stream: socket.into(), to_read, to_write })
    }

    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let UnixStream { stream, to_read, .. } = self;
        poll_call(stream, to_read, cx, || (&*stream).read(buffer))
    }

    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let UnixStream { stream, to_write, .. } = self;
        poll_call(stream, to_write, cx, || (&*stream).write(bytes))
    }

    pub fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    pub fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(closed(self.stream.shutdown(Shutdown::Write)))
    }
}
