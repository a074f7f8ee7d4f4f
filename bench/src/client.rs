//! One HTTP/1.1 connection that sends and reads whole messages: blocking, reused buffers.
//!
//! It runs on the same cores as the server, so it does as little as a client can: what the kernel
//! hands over passes through a buffer that stays in the cache, and is copied once.
//!
//! A server may close a connection between two requests, some do so after two minutes: then the
//! request goes out on another one.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Bytes that are read at once, and more than any head.
const BUFFER_BYTES: usize = 64 * 1024;

pub struct Connection {
    stream: TcpStream,
    address: SocketAddr,
    /// `buffer[begin..end]` was read and not taken yet.
    buffer: Box<[u8]>,
    begin: usize,
    end: usize,
    /// It has had an answer, so the server may close it before the next request.
    is_used: bool,
    /// The server closes it behind its last answer.
    is_ended: bool,
}

/// A response: status and body. Of the headers is kept whether one says when to come again.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub body: Vec<u8>,
    pub has_retry_after: bool,
}

impl Connection {
    pub fn open(address: SocketAddr) -> Result<Connection> {
        let (stream, buffer) = (connect(address)?, vec![0; BUFFER_BYTES].into());
        let (is_used, is_ended) = (false, false);
        Ok(Connection { stream, address, buffer, begin: 0, end: 0, is_used, is_ended })
    }

    pub fn get(&mut self, path: &str) -> Result<Response> {
        self.get_into(path, Vec::new())
    }

    /// As [`Connection::get`], into the room of a body that is not needed any more.
    pub fn get_into(&mut self, path: &str, room: Vec<u8>) -> Result<Response> {
        let head = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address);
        self.exchange(head.as_bytes(), &[], room)
    }

    /// Sends `body` with extra header lines (each ending in CRLF).
    pub fn post(&mut self, path: &str, headers: &str, body: &[u8]) -> Result<Response> {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\n{headers}Content-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        self.exchange(head.as_bytes(), body, Vec::new())
    }

    fn exchange(&mut self, head: &[u8], body: &[u8], room: Vec<u8>) -> Result<Response> {
        if self.is_ended {
            self.reopen()?;
        }
        let mut exchanged = self.try_exchange(head, body, room);
        let has_nothing = self.end == 0;
        if self.is_used && has_nothing && exchanged.as_ref().is_err_and(is_closed) {
            self.reopen()?;
            exchanged = self.try_exchange(head, body, Vec::new());
        }
        self.is_used = exchanged.is_ok();
        exchanged
    }

    fn reopen(&mut self) -> Result<()> {
        self.stream = connect(self.address)?;
        (self.is_used, self.is_ended) = (false, false);
        Ok(())
    }

    fn try_exchange(&mut self, head: &[u8], body: &[u8], room: Vec<u8>) -> Result<Response> {
        (self.begin, self.end) = (0, 0);
        self.stream.write_all(head)?;
        self.stream.write_all(body)?;
        self.response(room)
    }

    fn response(&mut self, mut body: Vec<u8>) -> Result<Response> {
        body.clear();
        let head = self.up_to(b"\r\n\r\n")?.to_ascii_lowercase();
        let status = head
            .split_ascii_whitespace()
            .nth(1)
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| Error::new(ErrorKind::InvalidData, "no status line"))?;
        let header = |name: &str| {
            head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
        };
        let has_retry_after = header("retry-after").is_some();
        self.is_ended = header("connection") == Some("close");
        if header("transfer-encoding") == Some("chunked") {
            while self.chunk(&mut body)? > 0 {}
        } else {
            let length = match header("content-length") {
                Some(text) => text
                    .parse::<usize>()
                    .map_err(|_| Error::new(ErrorKind::InvalidData, "bad content-length"))?,
                None => 0, // 204 and 304 have no body and need not say so.
            };
            self.take(length, &mut body)?;
        }
        Ok(Response { status, body, has_retry_after })
    }

    /// Appends one chunk of a body; its length, which is zero for the last one.
    fn chunk(&mut self, body: &mut Vec<u8>) -> Result<usize> {
        let size = usize::from_str_radix(self.up_to(b"\r\n")?.trim(), 16)
            .map_err(|_| Error::new(ErrorKind::InvalidData, "bad chunk size"))?;
        self.take(size, body)?;
        self.up_to(b"\r\n")?;
        Ok(size)
    }

    /// Takes a text and the mark at its end, which is left out.
    fn up_to(&mut self, mark: &[u8]) -> Result<String> {
        let mut searched = 0;
        loop {
            let read = &self.buffer[self.begin..self.end];
            let found = read[searched..].windows(mark.len()).position(|window| window == mark);
            if let Some(at) = found {
                let length = searched + at;
                let text = String::from_utf8_lossy(&read[..length]).into_owned();
                self.begin += length + mark.len();
                return Ok(text);
            }
            searched = (read.len() + 1).saturating_sub(mark.len());
            if self.begin > 0 {
                self.buffer.copy_within(self.begin..self.end, 0);
                (self.begin, self.end) = (0, self.end - self.begin);
            }
            self.read_more()?;
        }
    }

    /// Takes `count` bytes.
    fn take(&mut self, mut count: usize, body: &mut Vec<u8>) -> Result<()> {
        while count > 0 {
            if self.begin == self.end {
                (self.begin, self.end) = (0, 0);
                self.read_more()?;
            }
            let length = count.min(self.end - self.begin);
            body.extend_from_slice(&self.buffer[self.begin..][..length]);
            self.begin += length;
            count -= length;
        }
        Ok(())
    }

    fn read_more(&mut self) -> Result<()> {
        if self.end == self.buffer.len() {
            return Err(Error::new(ErrorKind::InvalidData, "a line without an end"));
        }
        match self.stream.read(&mut self.buffer[self.end..])? {
            0 => Err(Error::new(ErrorKind::UnexpectedEof, "the server closed the connection")),
            count => {
                self.end += count;
                Ok(())
            }
        }
    }
}

fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(120)))?;
    stream.set_write_timeout(Some(Duration::from_secs(120)))?;
    Ok(stream)
}

fn is_closed(error: &Error) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}

/// `text` as it may stand in a query string.
pub fn encode_component(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'.' => {
                out.push(char::from(byte));
            }
            _ => out += &format!("%{byte:02X}"),
        }
    }
    out
}

/// One instant query; the first sample's value. `None` if the answer holds none.
pub fn query_scalar(address: SocketAddr, query: &str, at_unix_s: f64) -> Result<Option<f64>> {
    let encoded = encode_component(query);
    let path = format!("/api/v1/query?query={encoded}&time={at_unix_s}");
    let response = Connection::open(address)?.get(&path)?;
    let answer: serde_json::Value = serde_json::from_slice(&response.body)?;
    if answer["status"] != "success" {
        return Err(Error::other(format!("{query}: {answer}")));
    }
    let value = answer["data"]["result"][0]["value"][1].as_str();
    Ok(value.and_then(|text| text.parse().ok()))
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::{BUFFER_BYTES, Connection};

    fn read_request(stream: &mut TcpStream) -> std::io::Result<()> {
        let mut asked = vec![];
        while !asked.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            asked.extend_from_slice(&byte);
        }
        Ok(())
    }

    /// What a client makes of `sent`, which a server writes `piece` bytes at a time.
    fn received(sent: &[u8], piece: usize) -> std::io::Result<(u16, Vec<u8>)> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let (mut stream, _) = listener.accept()?;
                read_request(&mut stream)?;
                stream.set_nodelay(true)?;
                sent.chunks(piece).try_for_each(|piece| stream.write_all(piece))
            });
            let response = Connection::open(address)?.get_into("/", b"old".to_vec())?;
            Ok((response.status, response.body))
        })
    }

    #[track_caller]
    fn check(sent: &[u8], status: u16, body: &[u8]) {
        for piece in [3, 1000, usize::MAX] {
            assert_eq!(received(sent, piece).unwrap(), (status, body.to_vec()));
        }
    }

    #[test]
    fn bodies_are_read_whole() {
        check(b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"");
        check(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", 200, b"abc");
        let chunked = b"HTTP/1.1 422 X\r\nTransfer-Encoding: chunked\r\n\r\n\
                        3\r\nabc\r\na\r\n0123456789\r\n0\r\n\r\n";
        check(chunked, 422, b"abc0123456789");
        let body: Vec<u8> = (0..3 * BUFFER_BYTES).map(|n| n as u8).collect();
        let mut long = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        for chunk in body.chunks(BUFFER_BYTES + 17) {
            long.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            long.extend_from_slice(chunk);
            long.extend_from_slice(b"\r\n");
        }
        long.extend_from_slice(b"0\r\n\r\n");
        assert_eq!(received(&long, usize::MAX).unwrap(), (200, body));
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        let endless = vec![b'x'; 2 * BUFFER_BYTES];
        for sent in [&b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab"[..], b"", &endless] {
            assert!(received(sent, usize::MAX).is_err());
        }
    }

    /// Serves one connection an entry: so many requests, answered each, of which the last says whether
    /// the server closes then. Returns how many requests arrived.
    fn serve(listener: &TcpListener, connections: &[(usize, bool)]) -> usize {
        let mut request_count = 0;
        for &(count, says_so) in connections {
            let (mut stream, _) = listener.accept().unwrap();
            for request in 1..=count {
                read_request(&mut stream).unwrap();
                request_count += 1;
                let close = if says_so && request == count { "Connection: close\r\n" } else { "" };
                write!(stream, "HTTP/1.1 200 OK\r\n{close}Content-Length: 2\r\n\r\nok").unwrap();
            }
        }
        request_count
    }

    #[test]
    fn a_closed_connection_is_opened_again() {
        for says_so in [false, true] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let server =
                std::thread::spawn(move || serve(&listener, &[(2, says_so), (1, says_so)]));
            let mut connection = Connection::open(address).unwrap();
            for _ in 0..3 {
                let response = connection.get("/").unwrap();
                assert_eq!((response.status, &*response.body), (200, &b"ok"[..]));
            }
            assert_eq!(server.join().unwrap(), 3);
            let gone = connection.get("/").unwrap_err();
            assert_eq!(gone.kind(), ErrorKind::ConnectionRefused, "nobody listens any more");
        }
    }
}
