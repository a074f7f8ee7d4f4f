//! Which proxy a request goes through.
//!
//! Source: prometheus/common `config/http_config.go` (`ProxyConfig`), golang.org/x/net
//! `http/httpproxy`.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::config::ProxyConfig;
use crate::http::url::{Url, split_host_port};

use super::options::basic_authorization;

#[derive(Debug, Default)]
pub struct Proxies {
    for_http: Option<Proxy>,
    for_https: Option<Proxy>,
    except: Exceptions,
    /// Headers of `CONNECT` requests.
    pub connect_headers: HeaderMap,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyKind {
    Http,
    Https,
    /// SOCKS version 5; the proxy resolves names.
    Socks5,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    pub kind: ProxyKind,
    pub host: String,
    pub port: u16,
    pub user: Option<(String, String)>,
}

impl Proxies {
    /// Errors: an address that is no proxy's.
    pub fn new(config: &ProxyConfig) -> Result<Proxies, String> {
        let mut proxies = Proxies::default();
        if config.proxy_from_environment {
            let variable = |name: &str| {
                let text = std::env::var(name.to_uppercase()).or_else(|_| std::env::var(name));
                text.unwrap_or_default()
            };
            proxies.for_http = Proxy::parse(&variable("http_proxy"))?;
            proxies.for_https = Proxy::parse(&variable("https_proxy"))?;
            proxies.except = Exceptions::parse(&variable("no_proxy"));
            proxies.except.local = true;
        } else if let Some(url) = &config.proxy_url {
            proxies.for_http = Proxy::parse(url.as_str())?;
            proxies.for_https = proxies.for_http.clone();
            if !config.no_proxy.is_empty() {
                proxies.except = Exceptions::parse(&config.no_proxy);
                proxies.except.local = true;
            }
        }
        for (name, values) in &config.proxy_connect_header {
            let bad = || format!("invalid proxy_connect_header {name:?}");
            let name: HeaderName = name.parse().map_err(|_| bad())?;
            for value in values {
                let value = HeaderValue::from_str(value.reveal()).map_err(|_| bad())?;
                proxies.connect_headers.append(&name, value);
            }
        }
        Ok(proxies)
    }

    pub fn of(&self, url: &Url) -> Option<&Proxy> {
        let proxy = if url.scheme == "https" { &self.for_https } else { &self.for_http };
        let proxy = proxy.as_ref()?;
        let (host, port) = url.host_port().ok()?;
        (!self.except.covers(host, port)).then_some(proxy)
    }
}

impl Proxy {
    fn parse(text: &str) -> Result<Option<Proxy>, String> {
        if text.is_empty() {
            return Ok(None);
        }
        let fail = |why: &str| Err(format!("invalid proxy address {text:?}: {why}"));
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let (kind, default_port) = match scheme {
            "http" => (ProxyKind::Http, 80),
            "https" => (ProxyKind::Https, 443),
            "socks5" | "socks5h" => (ProxyKind::Socks5, 1080),
            _ => return fail("unknown scheme"),
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
        let (user, authority) = match authority.rsplit_once('@') {
            Some((user, authority)) => {
                let (name, password) = user.split_once(':').unwrap_or((user, ""));
                (Some((unescape(name), unescape(password))), authority)
            }
            None => (None, authority),
        };
        let (host, port) = split_host_port(authority);
        let port = match port {
            "" => default_port,
            port => match port.parse() {
                Ok(port) => port,
                Err(_) => return fail("invalid port"),
            },
        };
        if host.is_empty() {
            return fail("no host");
        }
        Ok(Some(Proxy { kind, host: host.to_owned(), port, user }))
    }

    /// The header by which a client makes itself known to the proxy.
    pub fn authorization(&self) -> Option<HeaderValue> {
        let (name, password) = self.user.as_ref()?;
        HeaderValue::from_str(&basic_authorization(name, password)).ok()
    }
}

/// Takes percent-encoding off.
fn unescape(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match hex.filter(|_| byte == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(value) => {
                out.push(value);
                rest = &after[2..];
            }
            None => {
                out.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Hosts that are asked directly.
#[derive(Debug, Default)]
struct Exceptions {
    all: bool,
    /// This machine itself.
    local: bool,
    rules: Vec<Exception>,
}

#[derive(Debug)]
enum Exception {
    /// Addresses with the same leading bits, of one port where it is given.
    Network(IpAddr, u8, Option<u16>),
    /// A domain and what is below it; without `itself` only that.
    Domain { name: String, itself: bool, port: Option<u16> },
}

impl Exceptions {
    fn parse(text: &str) -> Exceptions {
        let mut exceptions = Exceptions::default();
        for item in text.split(',').map(|item| item.trim().to_lowercase()) {
            if item.is_empty() {
                continue;
            }
            if item == "*" {
                exceptions.all = true;
                continue;
            }
            if let Some((address, bits)) = item.split_once('/')
                && let (Ok(address), Ok(bits)) = (address.parse(), bits.parse())
            {
                exceptions.rules.push(Exception::Network(address, bits, None));
                continue;
            }
            let (host, port) = match item.parse::<IpAddr>() {
                Ok(_) => (item.as_str(), ""),
                Err(_) => split_host_port(&item),
            };
            let port = port.parse().ok();
            if let Ok(address) = host.parse::<IpAddr>() {
                exceptions.rules.push(Exception::Network(address, 128, port));
                continue;
            }
            let name = host.strip_prefix('*').unwrap_or(host);
            let itself = !name.starts_with('.');
            let name = name.trim_start_matches('.').to_owned();
            exceptions.rules.push(Exception::Domain { name, itself, port });
        }
        exceptions
    }

    fn covers(&self, host: &str, port: u16) -> bool {
        let host = host.trim_end_matches('.').to_lowercase();
        let address: Option<IpAddr> = host.parse().ok();
        let is_local = host == "localhost" || address.is_some_and(|address| address.is_loopback());
        self.all
            || (self.local && is_local)
            || self.rules.iter().any(|rule| match rule {
                Exception::Network(network, bits, of_port) => {
                    of_port.is_none_or(|of_port| of_port == port)
                        && address.is_some_and(|address| same_network(address, *network, *bits))
                }
                Exception::Domain { name, itself, port: of_port } => {
                    of_port.is_none_or(|of_port| of_port == port)
                        && (*itself && host == *name
                            || host.strip_suffix(name.as_str()).is_some_and(|h| h.ends_with('.')))
                }
            })
    }
}

fn same_network(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let (address, network, width) = match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(n)) => (u32::from(a).into(), u32::from(n).into(), 32),
        (IpAddr::V6(a), IpAddr::V6(n)) => (u128::from(a), u128::from(n), 128),
        _ => return false,
    };
    let dropped = width - u32::from(bits).min(width);
    address.checked_shr(dropped).unwrap_or(0) == network.checked_shr(dropped).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{Exceptions, Proxy, ProxyKind};

    #[track_caller]
    fn check(no_proxy: &str, host: &str, port: u16, expected: bool) {
        assert_eq!(Exceptions::parse(no_proxy).covers(host, port), expected, "{no_proxy} {host}");
    }

    #[test]
    fn exceptions() {
        check("", "a.example", 80, false);
        check("*", "a.example", 80, true);
        check("example", "example", 80, true);
        check("example", "a.example", 80, true);
        check("example", "anexample", 80, false);
        check(".example", "example", 80, false);
        check(".example", "a.example", 80, true);
        check("*.example", "a.example", 80, true);
        check("a.example:81", "a.example", 80, false);
        check("b, a.example:80", "A.Example.", 80, true);
        check("10.0.0.0/8", "10.2.3.4", 80, true);
        check("10.0.0.0/8", "11.2.3.4", 80, false);
        check("0.0.0.0/0", "11.2.3.4", 80, true);
        check("10.0.0.1", "10.0.0.1", 80, true);
        check("10.0.0.1:81", "10.0.0.1", 80, false);
        check("fd00::/8", "fd01::1", 80, true);
        check("fd00::1", "fd00::1", 80, true);
    }

    #[test]
    fn addresses() {
        let proxy = |text| Proxy::parse(text).map(|proxy| proxy.map(|p| (p.kind, p.host, p.port)));
        assert_eq!(proxy(""), Ok(None));
        assert_eq!(proxy("p:3128"), Ok(Some((ProxyKind::Http, "p".into(), 3128))));
        assert_eq!(proxy("https://p/"), Ok(Some((ProxyKind::Https, "p".into(), 443))));
        assert_eq!(proxy("socks5://[::1]"), Ok(Some((ProxyKind::Socks5, "::1".into(), 1080))));
        let user = Proxy::parse("http://u:p%40x@p").unwrap().unwrap().user;
        assert_eq!(user, Some(("u".into(), "p@x".into())));
        for bad in ["ftp://p", "http://", "http://p:x"] {
            assert!(proxy(bad).is_err(), "{bad}");
        }
    }
}
