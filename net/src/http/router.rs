//! A table of method and pattern to endpoint.
//!
//! A pattern is a path whose segments are literal, `:name` (one segment, not empty) or, at the end,
//! `*rest` (whatever follows). Literal paths win over patterns, patterns win in the table's order.

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use http::Method;

/// One row of the table.
pub struct Route<E> {
    pub methods: &'static [Method],
    pub pattern: &'static str,
    pub endpoint: E,
}

/// What the table says to a method and a path.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'a, E> {
    /// The endpoint, and what stood for `:name` or `*rest`, still percent-encoded.
    Endpoint {
        endpoint: E,
        pattern: &'static str,
        parameter: &'a str,
    },
    /// The path exists, the method does not: the `Allow` header's value.
    MethodNotAllowed {
        allow: String,
    },
    NotFound,
}

pub struct Router<E> {
    routes: Vec<Route<E>>,
    /// Indices into `routes` of the literal paths.
    literal: HashMap<&'static str, Vec<usize>, RandomState>,
    /// Indices of the rest, in order.
    patterns: Vec<usize>,
}

impl<E: Copy> Router<E> {
    pub fn new(routes: Vec<Route<E>>) -> Router<E> {
        let mut literal: HashMap<_, Vec<usize>, _> = HashMap::default();
        let mut patterns = vec![];
        for (index, route) in routes.iter().enumerate() {
            if route.pattern.contains([':', '*']) {
                patterns.push(index);
            } else {
                literal.entry(route.pattern).or_default().push(index);
            }
        }
        Router { routes, literal, patterns }
    }

    pub fn find<'a>(&self, method: &Method, path: &'a str) -> Found<'a, E> {
        let mut allowed = vec![];
        for &index in self.literal.get(path).into_iter().flatten() {
            let route = &self.routes[index];
            if route.methods.contains(method) {
                let (endpoint, pattern) = (route.endpoint, route.pattern);
                return Found::Endpoint { endpoint, pattern, parameter: "" };
            }
            allowed.extend(route.methods.iter());
        }
        for &index in &self.patterns {
            let route = &self.routes[index];
            let Some(parameter) = matched(route.pattern, path) else { continue };
            if route.methods.contains(method) {
                let (endpoint, pattern) = (route.endpoint, route.pattern);
                return Found::Endpoint { endpoint, pattern, parameter };
            }
            if !is_options_only(route.methods) {
                allowed.extend(route.methods.iter());
            }
        }
        if allowed.is_empty() {
            return Found::NotFound;
        }
        allowed.push(&Method::OPTIONS);
        allowed.sort_unstable_by_key(|method| method.as_str());
        allowed.dedup();
        let allow: Vec<&str> = allowed.iter().map(|method| method.as_str()).collect();
        Found::MethodNotAllowed { allow: allow.join(", ") }
    }
}

/// OPTIONS is allowed everywhere; a route for it alone does not make a path exist.
fn is_options_only(methods: &[Method]) -> bool {
    methods == [Method::OPTIONS]
}

/// What `path` has for the pattern's parameter, if it matches.
fn matched<'a>(pattern: &str, path: &'a str) -> Option<&'a str> {
    let at = pattern.find([':', '*'])?;
    let rest = path.strip_prefix(&pattern[..at])?;
    if pattern[at..].starts_with('*') {
        return Some(rest);
    }
    let tail = pattern[at..].find('/').map_or("", |slash| &pattern[at + slash..]);
    let end = rest.find('/').unwrap_or(rest.len());
    (end > 0 && &rest[end..] == tail).then_some(&rest[..end])
}

#[cfg(test)]
mod tests {
    use super::{Found, Route, Router};
    use http::Method;

    #[track_caller]
    fn check(method: Method, path: &str, expected: &str) {
        let router = Router::new(vec![
            Route { methods: &[Method::GET, Method::POST], pattern: "/query", endpoint: "query" },
            Route { methods: &[Method::POST], pattern: "/write", endpoint: "write" },
            Route { methods: &[Method::GET], pattern: "/label/:name/values", endpoint: "values" },
            Route { methods: &[Method::GET], pattern: "/user/*path", endpoint: "user" },
        ]);
        let found = match router.find(&method, path) {
            Found::Endpoint { endpoint, parameter, .. } => format!("{endpoint}({parameter})"),
            Found::MethodNotAllowed { allow } => format!("allow {allow}"),
            Found::NotFound => "not found".into(),
        };
        assert_eq!(found, expected, "{method} {path}");
    }

    #[test]
    fn routes() {
        check(Method::GET, "/query", "query()");
        check(Method::POST, "/query", "query()");
        check(Method::DELETE, "/query", "allow GET, OPTIONS, POST");
        check(Method::GET, "/write", "allow OPTIONS, POST");
        check(Method::GET, "/query/", "not found");
        check(Method::GET, "/label/a/values", "values(a)");
        check(Method::GET, "/label/a%20b/values", "values(a%20b)");
        check(Method::GET, "/label//values", "not found");
        check(Method::GET, "/label/a/b/values", "not found");
        check(Method::PUT, "/label/a/values", "allow GET, OPTIONS");
        check(Method::GET, "/user/a/b.html", "user(a/b.html)");
        check(Method::GET, "/", "not found");
    }
}
