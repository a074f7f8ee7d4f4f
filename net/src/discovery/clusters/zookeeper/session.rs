//! A session with a ZooKeeper server: requests one at a time, and the events of watches.
//!
//! Frames are a length (4 bytes, big endian) and that many bytes. Every request sets a watch, which
//! fires once.
//!
//! Source: ZooKeeper, "Programmer's Guide"; its `zookeeper.jute` (records, operations, errors).

use std::collections::VecDeque;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longest frame that is read. Nodes are at most 1 MiB by default, lists of children may be longer.
const FRAME_BYTES_MAX: usize = 64 << 20;

const DEFAULT_PORT: u16 = 2181;

pub const EXISTS: i32 = 3;
pub const GET_DATA: i32 = 4;
pub const GET_CHILDREN: i32 = 8;
pub const PING: i32 = 11;

pub const XID_EVENT: i32 = -1;
pub const XID_PING: i32 = -2;

pub const NO_NODE: i32 = -101;

/// What happened to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Created,
    Deleted,
    Data,
    Children,
}

pub struct Session {
    stream: TcpStream,
    /// What was read and is not a whole frame yet.
    pending: Vec<u8>,
    events: VecDeque<(Change, String)>,
    last_xid: i32,
    /// Without a sign of life for that long, the session is over.
    timeout: Duration,
}

impl Session {
    /// Errors: no connection or no answer within `wanted_timeout`.
    pub async fn open(server: &str, wanted_timeout: Duration) -> Result<Session, String> {
        let address = match server.rsplit_once(':') {
            Some((_, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => server.to_owned(),
            _ => format!("{server}:{DEFAULT_PORT}"),
        };
        let late = |_| format!("{address}: no answer within {wanted_timeout:?}");
        let stream = timeout(wanted_timeout, TcpStream::connect(&address)).await.map_err(late)?;
        let stream = stream.map_err(|error| format!("{address}: {error}"))?;
        let (pending, events) = (vec![], VecDeque::new());
        let mut session = Session { stream, pending, events, last_xid: 0, timeout: wanted_timeout };
        // Version, last transaction, timeout, session and password: all new.
        let mut hello = Writer::default();
        hello.int(0).long(0).int(wanted_timeout.as_millis().min(i32::MAX as u128) as i32);
        hello.long(0).buffer(&[0; 16]);
        session.write(hello).await?;
        let answer = session.frame_in_time().await?;
        let mut answer = Reader(&answer);
        let (_version, millis) = (answer.int()?, answer.int()?);
        // A server that shortened the time means it.
        if millis > 0 {
            session.timeout = wanted_timeout.min(Duration::from_millis(millis as u64));
        }
        Ok(session)
    }

    /// A node's content, none if there is no such node. Its change or end will be told.
    pub async fn data(&mut self, path: &str) -> Result<Option<Vec<u8>>, String> {
        let Some(answer) = self.ask(GET_DATA, path).await? else { return Ok(None) };
        Reader(&answer).buffer().map(|data| Some(data.to_vec()))
    }

    /// Names of a node's children, none if there is no such node. A change of them will be told.
    pub async fn children(&mut self, path: &str) -> Result<Option<Vec<String>>, String> {
        let Some(answer) = self.ask(GET_CHILDREN, path).await? else { return Ok(None) };
        let mut answer = Reader(&answer);
        let count = answer.int()?.max(0);
        let names: Result<Vec<String>, String> = (0..count).map(|_| answer.text()).collect();
        names.map(Some)
    }

    /// Whether there is such a node. Its beginning or end will be told.
    pub async fn exists(&mut self, path: &str) -> Result<bool, String> {
        Ok(self.ask(EXISTS, path).await?.is_some())
    }

    /// The next change. Keeps the session alive while there is none.
    pub async fn event(&mut self) -> Result<(Change, String), String> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            // A frame is lost by no deadline: what was read of it stays.
            match timeout(self.timeout / 3, self.frame()).await {
                Ok(frame) => {
                    self.take(&frame?)?;
                }
                Err(_) => self.ping().await?,
            }
        }
    }

    async fn ping(&mut self) -> Result<(), String> {
        let mut ping = Writer::default();
        ping.int(XID_PING).int(PING);
        self.write(ping).await?;
        loop {
            let frame = self.frame_in_time().await?;
            if self.take(&frame)? == Some(XID_PING) {
                return Ok(());
            }
        }
    }

    /// The answer without its header, none for a node that is not there.
    async fn ask(&mut self, operation: i32, path: &str) -> Result<Option<Vec<u8>>, String> {
        self.last_xid = self.last_xid.checked_add(1).unwrap_or(1);
        let mut request = Writer::default();
        request.int(self.last_xid).int(operation).buffer(path.as_bytes()).byte(1);
        self.write(request).await?;
        loop {
            let frame = self.frame_in_time().await?;
            if self.take(&frame)? != Some(self.last_xid) {
                continue;
            }
            let mut header = Reader(&frame[4..]);
            let (_transaction, error) = (header.long()?, header.int()?);
            return match error {
                0 => Ok(Some(header.0.to_vec())),
                NO_NODE => Ok(None),
                error => Err(format!("{path}: the server answers with error {error}")),
            };
        }
    }

    /// Keeps an event; the number of the request that another frame answers.
    fn take(&mut self, frame: &[u8]) -> Result<Option<i32>, String> {
        let mut reader = Reader(frame);
        let xid = reader.int()?;
        if xid != XID_EVENT {
            return Ok(Some(xid));
        }
        let (_transaction, _error) = (reader.long()?, reader.int()?);
        let (kind, _state) = (reader.int()?, reader.int()?);
        let change = match kind {
            1 => Change::Created,
            2 => Change::Deleted,
            3 => Change::Data,
            4 => Change::Children,
            // About the session itself.
            _ => return Ok(None),
        };
        self.events.push_back((change, reader.text()?));
        Ok(None)
    }

    async fn write(&mut self, frame: Writer) -> Result<(), String> {
        let mut bytes = (frame.0.len() as u32).to_be_bytes().to_vec();
        bytes.extend_from_slice(&frame.0);
        let written = timeout(self.timeout, self.stream.write_all(&bytes)).await;
        written.map_err(|_| "the server takes no requests".to_owned())?.map_err(|e| e.to_string())
    }

    async fn frame_in_time(&mut self) -> Result<Vec<u8>, String> {
        let limit = self.timeout;
        let late = |_| format!("no answer within {limit:?}");
        timeout(limit, self.frame()).await.map_err(late)?
    }

    async fn frame(&mut self) -> Result<Vec<u8>, String> {
        loop {
            if let Some((head, rest)) = self.pending.split_first_chunk::<4>() {
                let len = u32::from_be_bytes(*head) as usize;
                if len > FRAME_BYTES_MAX {
                    return Err(format!("a frame of {len} bytes, more than {FRAME_BYTES_MAX}"));
                }
                if rest.len() >= len {
                    let frame = rest[..len].to_vec();
                    self.pending.drain(..4 + len);
                    return Ok(frame);
                }
            }
            let read = self.stream.read_buf(&mut self.pending).await;
            if read.map_err(|error| error.to_string())? == 0 {
                return Err("the server closed the connection".to_owned());
            }
        }
    }
}

/// A record in the making.
#[derive(Default)]
pub struct Writer(pub Vec<u8>);

impl Writer {
    pub fn byte(&mut self, value: u8) -> &mut Writer {
        self.0.push(value);
        self
    }

    pub fn int(&mut self, value: i32) -> &mut Writer {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub fn long(&mut self, value: i64) -> &mut Writer {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub fn buffer(&mut self, bytes: &[u8]) -> &mut Writer {
        self.int(bytes.len() as i32);
        self.0.extend_from_slice(bytes);
        self
    }
}

/// What is left of a record.
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (head, rest) =
            self.0.split_first_chunk::<N>().ok_or("an answer that ends too early")?;
        self.0 = rest;
        Ok(*head)
    }

    pub fn int(&mut self) -> Result<i32, String> {
        self.array().map(i32::from_be_bytes)
    }

    pub fn long(&mut self) -> Result<i64, String> {
        self.array().map(i64::from_be_bytes)
    }

    /// A length below zero stands for nothing.
    pub fn buffer(&mut self) -> Result<&'a [u8], String> {
        let len = self.int()?.max(0) as usize;
        let (bytes, rest) =
            self.0.split_at_checked(len).ok_or("an answer that ends too early".to_owned())?;
        self.0 = rest;
        Ok(bytes)
    }

    pub fn text(&mut self) -> Result<String, String> {
        self.buffer().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }
}
