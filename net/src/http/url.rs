//! The part of Go's `net/url` that targets need: absolute http and https URLs, references to them,
//! and query encoding.

use std::fmt;

use super::form::unescape;

/// An absolute URL. Printed, it shows no password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    pub scheme: String,
    /// What stands before the host, with an `@` behind it.
    pub user: Option<User>,
    /// Host and port as written; IPv6 addresses in brackets.
    pub authority: String,
    /// With its leading slash, percent-encoded, without the query.
    pub path: String,
    /// Without the question mark; empty if there is none.
    pub query: String,
}

/// Credentials in a URL, percent-encoded as they stand there.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    name: String,
    password: Option<String>,
}

impl User {
    fn parse(text: &str) -> Option<User> {
        let is_good =
            |byte: u8| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&byte);
        if !text.bytes().all(is_good) {
            return None;
        }
        let (name, password) = match text.split_once(':') {
            Some((name, password)) => (name, Some(password)),
            None => (text, None),
        };
        for part in [Some(name), password].into_iter().flatten() {
            unescape(part, false).ok()?;
        }
        Some(User { name: name.to_owned(), password: password.map(str::to_owned) })
    }

    /// Name and password as they are meant.
    pub fn credentials(&self) -> (String, String) {
        let meant = |text: &str| unescape(text, false).unwrap_or_default();
        (meant(&self.name), self.password.as_deref().map_or_else(String::new, meant))
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let password = if self.password.is_some() { ":***" } else { "" };
        write!(f, "{}{password}@", self.name)
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Url {
    /// Reads an absolute URL. Errors do not repeat it where it has a password.
    pub fn parse(text: &str) -> Result<Url, String> {
        let fail = |why: &str| Err(format!("parse {:?}: {why}", shown(text)));
        let Some((scheme, rest)) = text.split_once("://") else {
            return fail("missing protocol scheme");
        };
        let rest = rest.split('#').next().unwrap_or("");
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, ""),
        };
        let (user, authority) = match authority.rsplit_once('@') {
            None => (None, authority),
            Some((user, host)) => match User::parse(user) {
                Some(user) => (Some(user), host),
                None => return fail("net/url: invalid userinfo"),
            },
        };
        if authority.is_empty() {
            return fail("invalid authority");
        }
        if authority.starts_with('[') && !authority.contains(']') {
            return fail("missing ']' in host");
        }
        let path = if path.is_empty() { "/" } else { path };
        Ok(Url {
            scheme: scheme.to_ascii_lowercase(),
            user,
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

    /// The URL as a request names it: without the user.
    pub fn without_user(&self) -> String {
        format!("{}://{}{}", self.scheme, self.authority, self.path_and_query())
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
        write!(f, "{}://", self.scheme)?;
        if let Some(user) = &self.user {
            write!(f, "{user}")?;
        }
        write!(f, "{}{}", self.authority, self.path_and_query())
    }
}

/// The text of a URL that is none, without a password.
fn shown(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    match authority.rsplit_once('@') {
        Some((user, _)) if user.contains(':') => {
            let name = user.split(':').next().unwrap_or("");
            format!("{scheme}://{name}:***{}", &rest[user.len()..])
        }
        _ => text.to_owned(),
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
        check("http://[::1", "parse \"http://[::1\": missing ']' in host");
        check("http:///m", "parse \"http:///m\": invalid authority");
        check("http://u:p@a/m", "http://u:***@a/m");
        check("http://u@a/m", "http://u@a/m");
        check("http://u:p w@a/m", "parse \"http://u:***@a/m\": net/url: invalid userinfo");
        check("http://u:%zz@a/m", "parse \"http://u:***@a/m\": net/url: invalid userinfo");
        check("http://u:p@/m", "parse \"http://u:***@/m\": invalid authority");
    }

    #[test]
    fn users() {
        let url = Url::parse("http://u%40x:p:w%2F@a/m").unwrap();
        let credentials = url.user.as_ref().unwrap().credentials();
        assert_eq!(credentials, ("u@x".to_owned(), "p:w/".to_owned()));
        assert_eq!(url.without_user(), "http://a/m");
        assert!(!format!("{url:?}").contains("p:w"));
        assert_eq!(url.join("/n").unwrap().user, url.user);
        assert_eq!(url.join("http://b/n").unwrap().user, None);
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
