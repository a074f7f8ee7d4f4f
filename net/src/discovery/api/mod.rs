//! What providers need of somebody else's API.
//!
//! ```text
//! here      requests with a deadline, answers of bounded size
//! json      places in an answer, scalars as text
//! meta      labels and groups of what was found
//! memory    tokens and answers that are kept from one refresh to the next
//! testing   a server that expects requests one by one
//! ```

pub mod json;
mod memory;
pub mod meta;
#[cfg(test)]
pub mod testing;

use std::sync::Arc;
use std::time::Duration;

use http::header::{ACCEPT, ACCEPT_ENCODING, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::Value;

pub use json::{at, items, pairs, parse, text, text_at, texts};
pub use memory::Memory;
pub use meta::{Meta, MetaByKey, group, host_port, joined, one_group};

use crate::config::HttpClientConfig;
use crate::http::client::{AGENT, Ask, Client, ClientOptions};
use crate::http::url::{Url, escape_query};

/// Longest answer, decoded.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// How much of a refusal's text is told.
const REFUSAL_BYTES_MAX: usize = 500;

/// A client of one API.
pub struct Api {
    client: Client,
    /// How long one request may take.
    pub timeout: Duration,
    /// Of every request.
    pub headers: HeaderMap,
    /// Path of the socket that is spoken to instead of the URL's host; empty for none.
    pub unix_socket: String,
    pub memory: Memory,
    answer_bytes_max: usize,
}

/// What to ask for.
pub struct Request {
    pub method: Method,
    pub url: String,
    /// Beside those of the API; they win over them.
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn new(method: Method, url: impl Into<String>) -> Request {
        Request { method, url: url.into(), headers: vec![], body: vec![] }
    }

    pub fn get(url: impl Into<String>) -> Request {
        Request::new(Method::GET, url)
    }

    pub fn post(url: impl Into<String>, content_type: &str, body: impl Into<Vec<u8>>) -> Request {
        let request = Request { body: body.into(), ..Request::new(Method::POST, url) };
        request.with("content-type", content_type)
    }

    pub fn post_json(url: impl Into<String>, body: &Value) -> Request {
        Request::post(url, "application/json", body.to_string())
    }

    pub fn post_form<'a>(
        url: impl Into<String>,
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Request {
        let form = query(pairs);
        let form = form.strip_prefix('?').unwrap_or("");
        Request::post(url, "application/x-www-form-urlencoded", form)
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Request {
        self.headers.push((name, value.into()));
        self
    }

    pub fn bearer(self, token: &str) -> Request {
        self.with("authorization", format!("Bearer {token}"))
    }
}

/// An answer of any status.
pub struct Reply {
    pub status: u16,
    /// `404 Not Found`
    pub status_line: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Reply {
    /// A header's text; empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    /// Errors: any status but 2xx, with what the server says about it.
    pub fn accepted(self) -> Result<Reply, String> {
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        let text = String::from_utf8_lossy(&self.body[..self.body.len().min(REFUSAL_BYTES_MAX)]);
        let (status, text) = (&self.status_line, text.trim());
        let colon = if text.is_empty() { "" } else { ": " };
        Err(format!("server returned HTTP status {status}{colon}{text}"))
    }

    pub fn json(&self) -> Result<Value, String> {
        parse(&self.body)
    }
}

impl Api {
    /// Connections are counted under `name`.
    pub fn new(name: &str, http: &HttpClientConfig, timeout: Duration) -> Result<Api, String> {
        Ok(Api::with_options(ClientOptions::new(name, http)?, timeout))
    }

    /// With the system's roots and no credentials.
    pub fn plain(timeout: Duration) -> Api {
        Api::with_options(ClientOptions::plain(), timeout)
    }

    fn with_options(options: Arc<ClientOptions>, timeout: Duration) -> Api {
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let (unix_socket, memory) = (String::new(), Memory::default());
        let client = Client::new(options);
        let answer_bytes_max = ANSWER_BYTES_MAX;
        Api { client, timeout, headers, unix_socket, memory, answer_bytes_max }
    }

    /// A header of every request from now on.
    pub fn header(&mut self, name: &'static str, value: &str) -> Result<(), String> {
        self.headers.insert(HeaderName::from_static(name), header_value(name, value)?);
        Ok(())
    }

    /// The JSON that answers a GET of `url`.
    pub async fn json(&mut self, url: &str) -> Result<Value, String> {
        self.ask(Request::get(url)).await
    }

    /// The JSON that answers a request; any status but 2xx is an error.
    pub async fn ask(&mut self, request: Request) -> Result<Value, String> {
        self.send(request).await?.json()
    }

    /// Any status but 2xx is an error.
    pub async fn send(&mut self, request: Request) -> Result<Reply, String> {
        self.exchange(request).await?.accepted()
    }

    /// Takes an answer of any status.
    pub async fn exchange(&mut self, request: Request) -> Result<Reply, String> {
        let url = Url::parse(&request.url)?;
        let mut headers = self.headers.clone();
        for (name, value) in &request.headers {
            headers.insert(HeaderName::from_static(name), header_value(name, value)?);
        }
        let ask = Ask {
            method: request.method,
            body: request.body.into(),
            unix_socket: &self.unix_socket,
            ..Ask::get(&url, &headers, self.answer_bytes_max)
        };
        let mut body = vec![];
        let sent = tokio::time::timeout(self.timeout, self.client.send(&ask, &mut body)).await;
        let answer = match sent {
            Ok(answered) => answered.map_err(|error| error.to_string())?,
            Err(_) => return Err(self.client.timed_out(&ask.method, &url)),
        };
        let (status, status_line, headers) =
            (answer.status.as_u16(), answer.status_line, answer.headers);
        Ok(Reply { status, status_line, headers, body })
    }
}

fn header_value(name: &str, value: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(value)
        .map_err(|_| format!("{name}: the value does not fit into a header"))
}

/// A query string of pairs, with its question mark; empty without pairs.
pub fn query<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut out = String::new();
    for (name, value) in pairs {
        out.push(if out.is_empty() { '?' } else { '&' });
        out.push_str(&format!("{}={}", escape_query(name), escape_query(value)));
    }
    out
}

/// A text as one segment of a path.
pub fn segment(text: &str) -> String {
    escape_query(text).replace('+', "%20")
}

/// A secret from its field or the file that its other field names, blanks at the ends cut off.
/// Files are read for every refresh.
pub fn secret(text: &str, file: &str, what: &str) -> Result<String, String> {
    if file.is_empty() {
        return Ok(text.to_owned());
    }
    let read = std::fs::read_to_string(file);
    read.map(|text| text.trim().to_owned())
        .map_err(|error| format!("unable to read {what} file {file}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::testing::serve;
    use super::*;
    use crate::http::testing::on_control;

    /// What a GET gives when the server answers so.
    #[track_caller]
    fn check(answer: &str, expected: Result<&str, &str>) {
        let server = serve(&[("GET /", answer)]);
        let mut api = Api::plain(Duration::from_secs(5));
        api.answer_bytes_max = 1000;
        let got = on_control(api.json(&server.url("/")));
        let got = got.map(|value| value.to_string());
        assert_eq!(got, expected.map(str::to_owned).map_err(str::to_owned));
    }

    #[test]
    fn answers() {
        check(r#"{"a":1}"#, Ok(r#"{"a":1}"#));
        check("204", Err("cannot read the answer: EOF while parsing a value at line 1 column 0"));
        check(
            "200\n{\"a\":",
            Err("cannot read the answer: EOF while parsing a value at line 1 column 5"),
        );
        check("200\n<html>", Err("cannot read the answer: expected value at line 1 column 1"));
        check(
            "429\n slow down\n",
            Err("server returned HTTP status 429 Too Many Requests: slow down"),
        );
        check("500", Err("server returned HTTP status 500 Internal Server Error"));
        let long = format!("500\n{}", "x".repeat(900));
        let cut =
            format!("server returned HTTP status 500 Internal Server Error: {}", "x".repeat(500));
        check(&long, Err(&cut));
        check(&format!("\"{}\"", "x".repeat(1000)), Err("body size limit exceeded"));
        // Too deep for the reader, not for the stack.
        let deep = format!("200\n{}", "[".repeat(900));
        check(&deep, Err("cannot read the answer: recursion limit exceeded at line 1 column 128"));
    }

    #[test]
    fn a_value_that_is_no_header_is_refused() {
        let mut api = Api::plain(Duration::from_secs(5));
        let request = Request::get("http://127.0.0.1:1/").with("x-auth-token", "a\nb");
        let got = on_control(api.exchange(request)).err();
        assert_eq!(got.as_deref(), Some("x-auth-token: the value does not fit into a header"));
        assert!(api.header("x-auth-token", "a\nb").is_err());
    }

    #[test]
    fn queries() {
        assert_eq!(query([]), "");
        assert_eq!(query([("a b", "c&d"), ("e", "")]), "?a+b=c%26d&e=");
        assert_eq!(segment("a b/c"), "a%20b%2Fc");
    }
}
