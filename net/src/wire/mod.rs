//! Bytes of the outside world to values and back: exposition formats, remote write, JSON.
//!
//! Everything here is pure: no socket, no file, no clock. A page, a request or an answer comes in
//! as bytes that somebody else has read and bounded; nothing that stands in them reaches a panic.
//!
//! Not here: reading and decompressing bodies (`http`), caches of known series (`scrape`).

pub mod classic;
pub mod exposition;
pub mod float;
pub mod json;
pub mod names;
pub mod negotiation;
pub mod points;
pub mod protobuf;
pub mod quote;
pub mod remote_write;
pub mod text;
