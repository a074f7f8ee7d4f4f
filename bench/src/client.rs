//! One HTTP/1.1 connection that sends and reads whole messages: blocking, reused buffers.
//!
//! A server may close a connection between two requests, some do so after two minutes: then the
//! request goes out on another one.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

pub struct Connection {
    stream: TcpStream,
    address: SocketAddr,
    buffer: Vec<u8>,
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
        let (stream, buffer) = (connect(address)?, Vec::with_capacity(64 * 1024));
        Ok(Connection { stream, address, buffer, is_used: false, is_ended: false })
    }

    pub fn get(&mut self, path: &str) -> Result<Response> {
        let head = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address);
        self.exchange(head.as_bytes(), &[])
    }

    /// Sends `body` with extra header lines (each ending in CRLF).
    pub fn post(&mut self, path: &str, headers: &str, body: &[u8]) -> Result<Response> {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\n{headers}Content-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        self.exchange(head.as_bytes(), body)
    }

    fn exchange(&mut self, head: &[u8], body: &[u8]) -> Result<Response> {
        if self.is_ended {
            self.reopen()?;
        }
        let mut exchanged = self.try_exchange(head, body);
        if self.is_used && self.buffer.is_empty() && exchanged.as_ref().is_err_and(is_closed) {
            self.reopen()?;
            exchanged = self.try_exchange(head, body);
        }
        self.is_used = exchanged.is_ok();
        exchanged
    }

    fn reopen(&mut self) -> Result<()> {
        self.stream = connect(self.address)?;
        (self.is_used, self.is_ended) = (false, false);
        Ok(())
    }

    fn try_exchange(&mut self, head: &[u8], body: &[u8]) -> Result<Response> {
        self.buffer.clear();
        self.stream.write_all(head)?;
        self.stream.write_all(body)?;
        self.response()
    }

    fn response(&mut self) -> Result<Response> {
        let head_end = loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break at + 4;
            }
            self.read_more()?;
        };
        let head = String::from_utf8_lossy(&self.buffer[..head_end]).to_ascii_lowercase();
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
        let body = if header("transfer-encoding") == Some("chunked") {
            self.chunked(head_end)?
        } else {
            let length = match header("content-length") {
                Some(text) => text
                    .parse::<usize>()
                    .map_err(|_| Error::new(ErrorKind::InvalidData, "bad content-length"))?,
                None => 0, // 204 and 304 have no body and need not say so.
            };
            while self.buffer.len() < head_end + length {
                self.read_more()?;
            }
            self.buffer[head_end..head_end + length].to_vec()
        };
        Ok(Response { status, body, has_retry_after })
    }

    fn chunked(&mut self, mut at: usize) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line_end = loop {
                if let Some(end) = find(&self.buffer[at..], b"\r\n") {
                    break at + end;
                }
                self.read_more()?;
            };
            let size = std::str::from_utf8(&self.buffer[at..line_end])
                .ok()
                .and_then(|text| usize::from_str_radix(text.trim(), 16).ok())
                .ok_or_else(|| Error::new(ErrorKind::InvalidData, "bad chunk size"))?;
            let start = line_end + 2;
            while self.buffer.len() < start + size + 2 {
                self.read_more()?;
            }
            if size == 0 {
                return Ok(body);
            }
            body.extend_from_slice(&self.buffer[start..start + size]);
            at = start + size + 2;
        }
    }

    fn read_more(&mut self) -> Result<()> {
        let mut chunk = [0; 16 * 1024];
        match self.stream.read(&mut chunk)? {
            0 => Err(Error::new(ErrorKind::UnexpectedEof, "the server closed the connection")),
            count => {
                self.buffer.extend_from_slice(&chunk[..count]);
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

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
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
    use std::net::TcpListener;

    use super::*;

    /// Serves one connection an entry: so many requests, answered each, of which the last says whether
    /// the server closes then. Returns how many requests arrived.
    fn serve(listener: &TcpListener, connections: &[(usize, bool)]) -> usize {
        let mut request_count = 0;
        for &(count, says_so) in connections {
            let (mut stream, _) = listener.accept().unwrap();
            for request in 1..=count {
                let mut head = vec![];
                while !head.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    head.push(byte[0]);
                }
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
