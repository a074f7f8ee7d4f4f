//! TCP on a shard.
//!
//! Reads and writes are plain system calls that do not wait; only readiness goes through the
//! executor's ring. Buffers to read into may be uninitialised: zeroing them first costs half again
//! the CPU of a 300 KB body.
#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_lite::{AsyncRead, AsyncWrite};
use socket2::{Domain, Protocol, Socket, Type};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// A listening socket that shares its port with the other shards'.
pub struct TcpListener {
    listener: glommio::net::TcpListener,
    address: SocketAddr,
}

impl TcpListener {
    /// Binds with `SO_REUSEPORT`: the kernel spreads connections over the sockets of one address.
    ///
    /// Any other process of the same user may bind the address, too; [`check_address_free`] first.
    pub fn bind_reuseport(address: SocketAddr) -> io::Result<TcpListener> {
        let socket = bind(address, true)?;
        socket.listen(BACKLOG)?;
        let address = local_address(&socket)?;
        // SAFETY: the descriptor is a listening socket, and `into_raw_fd` gave its ownership up.
        let listener = unsafe { glommio::net::TcpListener::from_raw_fd(socket.into_raw_fd()) };
        Ok(TcpListener { listener, address })
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
        let accepted = self.listener.shared_accept().await.map_err(io::Error::from)?;
        TcpStream::new(accepted.bind_to_executor())
    }
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
    stream: glommio::net::TcpStream,
    peer: SocketAddr,
    /// The last read left room in its buffer, so the socket was empty: the next read asks for
    /// readiness at once.
    drained: bool,
}

impl TcpStream {
    fn new(stream: glommio::net::TcpStream) -> io::Result<TcpStream> {
        let peer = stream.peer_addr().map_err(io::Error::from)?;
        Ok(TcpStream { stream, peer, drained: true })
    }

    /// Connects without a deadline; [`super::timeout`] gives one.
    pub async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
        let stream = glommio::net::TcpStream::connect(address).await.map_err(io::Error::from)?;
        TcpStream::new(stream)
    }

    pub fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr().map_err(io::Error::from)
    }

    /// Sends small segments at once (`TCP_NODELAY`).
    pub fn set_nodelay(&self, on: bool) -> io::Result<()> {
        self.stream.set_nodelay(on).map_err(io::Error::from)
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
        if !self.drained {
            match self.receive(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
        // glommio reads into initialised memory and registers for readiness when there is nothing
        // to read. One byte serves both; what it may catch is completed below.
        let mut first = [0u8];
        let polled = Pin::new(&mut self.stream).poll_read(cx, &mut first);
        self.drained = false;
        if ready!(polled)? == 0 {
            return Poll::Ready(Ok(0));
        }
        buffer[0].write(first[0]);
        match self.receive(&mut buffer[1..]) {
            Ok(more) => Poll::Ready(Ok(1 + more)),
            // An error stays with the socket and shows in the next read.
            Err(_) => Poll::Ready(Ok(1)),
        }
    }

    /// One `recv` that does not wait.
    fn receive(&mut self, buffer: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        // SAFETY: the descriptor is open as long as `self.stream`, and the kernel writes at most
        // `buffer.len()` bytes to a buffer of that length.
        let received = unsafe {
            libc::recv(
                self.stream.as_raw_fd(),
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
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    /// Writes of several buffers by one system call; `Ready(Ok(n))` counts over all of them.
    pub fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut message: libc::msghdr =
            // SAFETY: `msghdr` is a C struct for which all zeroes mean an empty message.
            unsafe { std::mem::zeroed() };
        message.msg_iov = buffers.as_ptr().cast_mut().cast();
        message.msg_iovlen = buffers.len().min(libc::UIO_MAXIOV as usize);
        // SAFETY: `IoSlice` has the layout of `iovec`, `msg_iovlen` of them stand at `msg_iov`,
        // and sending only reads from them.
        let sent = unsafe {
            libc::sendmsg(
                self.stream.as_raw_fd(),
                &message,
                libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
            )
        };
        match usize::try_from(sent).map_err(|_| io::Error::last_os_error()) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // glommio tries again and registers for readiness.
                match buffers.iter().find(|buffer| !buffer.is_empty()) {
                    Some(first) => self.poll_write(cx, first),
                    None => Poll::Ready(Ok(0)),
                }
            }
            done => Poll::Ready(done),
        }
    }

    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Ends the writing side. A connection that the peer has reset already counts as closed.
    pub fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(Pin::new(&mut self.stream).poll_close(cx)) {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            done => Poll::Ready(done),
        }
    }
}

/// The hearing end of a socket pair: lets a shard await what cannot be awaited itself.
pub struct Bell(glommio::net::UnixStream);

impl Bell {
    /// Takes the receiving end on the shard's thread.
    pub fn new(receiver: StdUnixStream) -> Bell {
        // SAFETY: the descriptor is a stream socket, and `into_raw_fd` gave its ownership up.
        Bell(unsafe { glommio::net::UnixStream::from_raw_fd(receiver.into_raw_fd()) })
    }

    /// Ready once for everything that was sent since the last time.
    pub fn poll_rung(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut bytes = [0; 64];
        match ready!(Pin::new(&mut self.0).poll_read(cx, &mut bytes))? {
            0 => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            _ => Poll::Ready(Ok(())),
        }
    }
}

/// A connection to a socket in the file system. Closes when dropped.
pub struct UnixStream(glommio::net::UnixStream);

impl UnixStream {
    /// Connects without a deadline; [`super::timeout`] gives one.
    pub async fn connect(path: &str) -> io::Result<UnixStream> {
        glommio::net::UnixStream::connect(path).await.map(UnixStream).map_err(io::Error::from)
    }

    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }

    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    pub fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}
