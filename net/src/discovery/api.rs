//! What providers need of somebody else's API: requests with a deadline, JSON, targets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use engine::model::{Labels, LabelsBuilder};
use http::header::{ACCEPT, ACCEPT_ENCODING, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::Value;

use super::TargetGroup;
use crate::config::HttpClientConfig;
use crate::http::client::{AGENT, Answer, Ask, Client, ClientOptions};
use crate::http::url::{Url, escape_query};

/// Longest answer.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// How much of a refusal's text is told.
const REFUSAL_BYTES_MAX: usize = 500;

/// A client of one API.
pub struct Api {
    client: Client,
    timeout: Duration,
    /// Of every request.
    pub headers: HeaderMap,
    /// Path of the socket that is spoken to instead of the URL's host; empty for none.
    pub unix_socket: String,
}

impl Api {
    pub fn new(http: &HttpClientConfig, timeout: Duration) -> Result<Api, String> {
        Ok(Api::with_options(ClientOptions::new(http)?, timeout))
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
        Api { client: Client::new(options), timeout, headers, unix_socket: String::new() }
    }

    pub fn header(&mut self, name: &'static str, value: &str) -> Result<(), String> {
        let value = HeaderValue::from_str(value);
        let value = value.map_err(|_| format!("{name}: the value does not fit into a header"))?;
        self.headers.insert(HeaderName::from_static(name), value);
        Ok(())
    }

    /// The body of a GET of `url`; any status but 2xx is an error.
    pub async fn get(&mut self, url: &str) -> Result<Vec<u8>, String> {
        self.send(Method::GET, url, vec![]).await.map(|(_, body)| body)
    }

    pub async fn json(&mut self, url: &str) -> Result<Value, String> {
        parse(&self.get(url).await?)
    }

    pub async fn send(
        &mut self,
        method: Method,
        url: &str,
        body: Vec<u8>,
    ) -> Result<(Answer, Vec<u8>), String> {
        let url = Url::parse(url)?;
        let ask = Ask {
            method,
            body: body.into(),
            unix_socket: &self.unix_socket,
            ..Ask::get(&url, &self.headers, ANSWER_BYTES_MAX)
        };
        let mut body = vec![];
        let sent = tokio::time::timeout(self.timeout, self.client.send(&ask, &mut body)).await;
        let answer = match sent {
            Ok(answered) => answered.map_err(|error| error.to_string())?,
            Err(_) => return Err(self.client.timed_out(&ask.method, &url)),
        };
        if answer.status.is_success() {
            return Ok((answer, body));
        }
        let text = String::from_utf8_lossy(&body[..body.len().min(REFUSAL_BYTES_MAX)]);
        let (status, text) = (&answer.status_line, text.trim());
        let colon = if text.is_empty() { "" } else { ": " };
        Err(format!("server returned HTTP status {status}{colon}{text}"))
    }
}

pub fn parse(body: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(body).map_err(|error| format!("cannot read the answer: {error}"))
}

/// A scalar of JSON as text; empty for everything else.
pub fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(yes) => yes.to_string(),
        _ => String::new(),
    }
}

/// The items of a list; none of anything else.
pub fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Names and texts of an object.
pub fn pairs(value: &Value) -> impl Iterator<Item = (&str, String)> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), text(value)))
}

/// `,a,b,`: with the separator around it, so that a rule need not know places.
pub fn joined<T: AsRef<str>>(texts: impl IntoIterator<Item = T>, separator: &str) -> String {
    let texts: Vec<T> = texts.into_iter().collect();
    let texts: Vec<&str> = texts.iter().map(T::as_ref).collect();
    format!("{separator}{}{separator}", texts.join(separator))
}

/// `host:port`, IPv6 addresses in brackets.
pub fn host_port(host: &str, port: impl std::fmt::Display) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
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

/// A text as a part of a label's name: what may not stand there becomes `_`.
pub fn sanitized(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect()
}

/// Labels of a target or a group in the making. Empty values are absent labels.
#[derive(Clone)]
pub struct Meta {
    prefix: &'static str,
    builder: LabelsBuilder,
}

impl Meta {
    /// `prefix` stands before every name: `__meta_consul_`.
    pub fn new(prefix: &'static str) -> Meta {
        Meta { prefix, builder: LabelsBuilder::default() }
    }

    pub fn set(&mut self, name: &str, value: impl AsRef<str>) -> &mut Meta {
        let name = format!("{}{name}", self.prefix);
        self.builder.set(name.as_bytes(), value.as_ref().as_bytes());
        self
    }

    /// Under a name that somebody else chose the end of.
    pub fn set_free(&mut self, name: &str, free: &str, value: impl AsRef<str>) -> &mut Meta {
        self.set(&format!("{name}{}", sanitized(free)), value)
    }

    /// Every pair of an object under its own name.
    pub fn set_all(&mut self, name: &str, object: &Value) -> &mut Meta {
        for (free, value) in pairs(object) {
            self.set_free(name, free, value);
        }
        self
    }

    /// A label without the prefix.
    pub fn set_plain(&mut self, name: &str, value: impl AsRef<str>) -> &mut Meta {
        self.builder.set(name.as_bytes(), value.as_ref().as_bytes());
        self
    }

    pub fn address(&mut self, address: impl AsRef<str>) -> &mut Meta {
        self.set_plain("__address__", address)
    }

    /// Takes all labels of another.
    pub fn merge(&mut self, other: &Meta) -> &mut Meta {
        let labels = other.builder.clone().finish();
        labels.iter().for_each(|(name, value)| self.builder.set(name, value));
        self
    }

    pub fn finish(&self) -> Labels {
        self.builder.clone().finish()
    }
}

/// One group under `source`.
pub fn group(source: impl Into<String>, labels: Labels, targets: Vec<Labels>) -> TargetGroup {
    TargetGroup { source: source.into(), labels, targets }
}

/// The groups of a provider that gives one group only.
pub fn one_group(source: &str, targets: Vec<Labels>) -> Vec<TargetGroup> {
    vec![group(source, Labels::default(), targets)]
}

/// Labels by key, for joining what several requests give.
pub type MetaByKey = BTreeMap<String, Meta>;

#[cfg(test)]
pub mod testing {
    use super::TargetGroup;
    use crate::http::testing::on_control;

    /// Groups as lines: their labels, then each target's.
    pub fn shown(groups: &[TargetGroup]) -> String {
        let mut lines = vec![];
        for group in groups {
            lines.push(format!("{} {}", group.source, group.labels));
            lines.extend(group.targets.iter().map(|target| format!("  {target}")));
        }
        lines.join("\n")
    }

    /// What a refresh gives, or why it failed.
    #[track_caller]
    pub fn check(refresh: impl Future<Output = Result<Vec<TargetGroup>, String>>, expected: &str) {
        let shown = on_control(refresh).map_or_else(|error| error, |groups| shown(&groups));
        assert_eq!(shown, expected.trim());
    }
}
