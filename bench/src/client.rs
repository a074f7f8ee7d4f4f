//! One HTTP/1.1 connection that sends and reads whole messages: blocking, reused buffers.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

pub struct Connection {
    stream: TcpStream,
    address: SocketAddr,
    buffer: Vec<u8>,
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
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(120)))?;
        stream.set_write_timeout(Some(Duration::from_secs(120)))?;
        Ok(Connection { stream, address, buffer: Vec::with_capacity(64 * 1024) })
    }

    pub fn get(&mut self, path: &str) -> Result<Response> {
        write!(self.stream, "GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address)?;
        self.response()
    }

    /// Sends `body` with extra header lines (each ending in CRLF).
    pub fn post(&mut self, path: &str, headers: &str, body: &[u8]) -> Result<Response> {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\n{headers}Content-Length: {}\r\n\r\n",
            self.address,
            body.len()
        );
        self.stream.write_all(head.as_bytes())?;
        self.stream.write_all(body)?;
        self.response()
    }

    fn response(&mut self) -> Result<Response> {
        self.buffer.clear();
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
        let has_retry_after = header("retry-after").is_some();
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
