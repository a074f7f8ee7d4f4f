//! The part of Go's `net/url` that targets need: absolute http and https URLs, references to them,
//! and query encoding.

use std::fmt;

/// An absolute URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    pub scheme: String,
    /// Host and port as written; IPv6 addresses in brackets.
    pub authority: String,
    /// With its leading slash, percent-encoded, without the query.
    pub path: String,
    /// Without the question mark; empty if there is none.
    pub query: String,
}

impl Url {
    /// Reads an absolute URL. User information is refused: credentials belong into the
    /// configuration's own fields.
    pub fn parse(text: &str) -> Result<Url, String> {
        let fail = |why: &str| Err(format!("parse {text:?}: {why}"));
        let Some((scheme, rest)) = text.split_once("://") else {
            return fail("missing protocol scheme");
        };
        let rest = rest.split('#').next().unwrap_or("");
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, ""),
        };
        if authority.is_empty() || authority.contains('@') {
            return fail("invalid authority");
        }
        let path = if path.is_empty() { "/" } else { path };
        Ok(Url {
            scheme: scheme.to_ascii_lowercase(),
            authority: authority.to_owned(),
            path: escape_path(path),
            query: query.to_owned(),
        })
    }

    /// Where a `Location` header leads.
    pub fn join(&self, location: &str) -> Result<Url, String> {
        if location.contains("://") {
            return Url::parse(location);
        }
        if let Some(rest) = location.strip_prefix("//") {
            return Url::parse(&format!("{}://{rest}", self.scheme));
        }
        let location = location.split('#').next().unwrap_or("");
        let (path, query) = location.split_once('?').unwrap_or((location, ""));
        let path = match path {
            "" => self.path.clone(),
            _ if path.starts_with('/') => path.to_owned(),
            _ => format!("{}{path}", &self.path[..=self.path.rfind('/').unwrap_or(0)]),
        };
        Ok(Url { path: escape_path(&path), query: query.to_owned(), ..self.clone() })
    }

    /// Host (without brackets) and port, the scheme's own port by default.
    pub fn host_port(&self) -> Result<(&str, u16), String> {
        let default = if self.scheme == "https" { 443 } else { 80 };
        let (host, port) = split_host_port(&self.authority);
        let port = match port {
            "" => default,
            port => port.parse().map_err(|_| format!("invalid port {port:?}"))?,
        };
        Ok((host, port))
    }

    /// Path and query: the target of the request line.
    pub fn path_and_query(&self) -> String {
        match self.query.as_str() {
            "" => self.path.clone(),
            query => format!("{}?{query}", self.path),
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority, self.path_and_query())
    }
}

/// Splits `host:port`; brackets of an IPv6 address are taken off, a missing port is empty.
pub fn split_host_port(authority: &str) -> (&str, &str) {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, after) = rest.split_once(']').unwrap_or((rest, ""));
        return (host, after.strip_prefix(':').unwrap_or(""));
    }
    match authority.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') => (host, port),
        _ => (authority, ""),
    }
}

/// Percent-encodes what Go's `EscapedPath` does; what is encoded already stays.
pub fn escape_path(path: &str) -> String {
    escape(path, |byte| byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@%!'()*[]".contains(&byte))
}

/// Go's `url.QueryEscape`.
pub fn escape_query(text: &str) -> String {
    escape(text, |byte| byte.is_ascii_alphanumeric() || b"-_.~ ".contains(&byte)).replace(' ', "+")
}

fn escape(text: &str, plain: impl Fn(u8) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if plain(byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{Url, escape_query, split_host_port};

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let written = Url::parse(text).map_or_else(|error| error, |url| url.to_string());
        assert_eq!(written, expected);
    }

    #[test]
    fn urls() {
        check("http://a:1/m?x=1#f", "http://a:1/m?x=1");
        check("HTTP://a", "http://a/");
        check("http://[::1]:9/é b", "http://[::1]:9/%C3%A9%20b");
        check("a/b", "parse \"a/b\": missing protocol scheme");
        check("http:///m", "parse \"http:///m\": invalid authority");
        check("http://u:p@a/m", "parse \"http://u:p@a/m\": invalid authority");
    }

    #[test]
    fn references() {
        let base = Url::parse("http://a:1/x/y?q=1").unwrap();
        for (location, expected) in [
            ("/z", "http://a:1/z"),
            ("z?r=2", "http://a:1/x/z?r=2"),
            ("//b/c", "http://b/c"),
            ("https://c/d", "https://c/d"),
            ("", "http://a:1/x/y"),
        ] {
            assert_eq!(base.join(location).unwrap().to_string(), expected, "{location}");
        }
    }

    #[test]
    fn parts() {
        assert_eq!(split_host_port("a:1"), ("a", "1"));
        assert_eq!(split_host_port("a"), ("a", ""));
        assert_eq!(split_host_port("[::1]:80"), ("::1", "80"));
        assert_eq!(split_host_port("::1"), ("::1", ""));
        assert_eq!(Url::parse("https://h/").unwrap().host_port(), Ok(("h", 443)));
        assert_eq!(escape_query("a b&é"), "a+b%26%C3%A9");
    }
}
