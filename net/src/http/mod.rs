//! HTTP both ways, without any knowledge of what is asked or answered.
//!
//! ```text
//! server   accept loop of one shard, one task a connection, limits, panics, orderly stop
//! guard    the web server's file: TLS, users, headers, rate
//! router   table of method + pattern -> endpoint
//! request_line  targets as Go takes them
//! request  what an endpoint gets        form   parameters as Go's r.Form has them
//! body     what an endpoint gives: bytes, or chunks pulled as the client reads them
//! gzip     answers, where the client takes it and it pays
//! client   requests as a configuration says: keep-alive, TLS, credentials, proxies, bounded gzip
//! jwt      texts signed with an RSA key
//! tls      encrypted streams, both sides
//! place    sockets of a shard or of the control thread
//! sigv4    signatures for services of AWS
//! url      the part of Go's net/url that targets need
//! ```
//!
//! Not here: endpoints (`api`, `ui`).

pub mod body;
pub mod client;
pub mod encoding;
pub mod form;
pub mod guard;
pub mod gzip;
pub mod jwt;
pub mod place;
pub mod request;
mod request_line;
pub mod router;
pub mod server;
pub mod sigv4;
#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;
pub mod tls;
pub mod url;

pub use body::{Body, Pull};
pub use form::Form;
pub use request::{BodyError, Request};
pub use router::{Found, Route, Router};

/// An answer on its way out.
pub type Response = ::http::Response<Body>;

/// A plain text answer as Go's `http.Error` writes it: a newline after the message.
pub fn text_error(status: ::http::StatusCode, message: &str) -> Response {
    let mut response = text(status, format!("{message}\n"));
    let nosniff = ::http::HeaderValue::from_static("nosniff");
    response.headers_mut().insert(::http::header::X_CONTENT_TYPE_OPTIONS, nosniff);
    response
}

/// A plain text answer.
pub fn text(status: ::http::StatusCode, text: impl Into<Vec<u8>>) -> Response {
    with_type(status, "text/plain; charset=utf-8", text.into())
}

/// An answer of one piece with its content type.
pub fn with_type(
    status: ::http::StatusCode,
    content_type: &'static str,
    bytes: Vec<u8>,
) -> Response {
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    let content_type = ::http::HeaderValue::from_static(content_type);
    response.headers_mut().insert(::http::header::CONTENT_TYPE, content_type);
    response
}
