//! Parameters of a request as Go's `r.Form` has them: those of a urlencoded body first, then those
//! of the URL's query, each in the order written.
//!
//! Source: Go `net/url` `ParseQuery`, `net/http` `Request.ParseForm`.

/// All parameters of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form {
    pairs: Vec<(String, String)>,
    /// The first pair that could not be read, in Go's words. Endpoints that Prometheus lets ignore
    /// it ignore it; the pair itself is left out.
    error: Option<String>,
}

impl Form {
    /// Reads `body` (empty unless its type is urlencoded), then `query`.
    pub fn parse(body: &[u8], query: &str) -> Form {
        let mut form = Form::default();
        form.add(&String::from_utf8_lossy(body));
        form.add(query);
        form
    }

    fn add(&mut self, encoded: &str) {
        for pair in encoded.split('&').filter(|pair| !pair.is_empty()) {
            if pair.contains(';') {
                self.fail("invalid semicolon separator in query".into());
                continue;
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match (unescape(name, true), unescape(value, true)) {
                (Ok(name), Ok(value)) => self.pairs.push((name, value)),
                (Err(error), _) | (_, Err(error)) => self.fail(error),
            }
        }
    }

    fn fail(&mut self, error: String) {
        self.error.get_or_insert(error);
    }

    /// The first value of `name`, or the empty string: Go's `FormValue`.
    pub fn get(&self, name: &str) -> &str {
        let found = self.pairs.iter().find(|(candidate, _)| candidate == name);
        found.map_or("", |(_, value)| value)
    }

    /// All values of `name` in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// What `ParseForm` would have returned.
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }
}

/// Undoes percent encoding; in a query `+` is a space. Bytes that are not UTF-8 are replaced.
pub fn unescape(text: &str, in_query: bool) -> Result<String, String> {
    let bytes = unescape_bytes(text, in_query)?;
    Ok(String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// [`unescape`], where the bytes stay what they are.
pub fn unescape_bytes(text: &str, in_query: bool) -> Result<Vec<u8>, String> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while index < bytes.len() {
        match bytes[index] {
            b'%' => {
                let digit =
                    |at: usize| bytes.get(at).and_then(|&byte| char::from(byte).to_digit(16));
                let (Some(high), Some(low)) = (digit(index + 1), digit(index + 2)) else {
                    let end = (index + 3).min(bytes.len());
                    let shown = String::from_utf8_lossy(&bytes[index..end]).into_owned();
                    return Err(format!("invalid URL escape {shown:?}"));
                };
                out.push((high * 16 + low) as u8);
                index += 3;
            }
            b'+' if in_query => {
                out.push(b' ');
                index += 1;
            }
            byte => {
                out.push(byte);
                index += 1;
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::Form;

    #[track_caller]
    fn check(body: &str, query: &str, expected: &[(&str, &str)], error: Option<&str>) {
        let form = Form::parse(body.as_bytes(), query);
        let pairs: Vec<(&str, &str)> =
            form.pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(pairs, expected);
        assert_eq!(form.error(), error);
    }

    #[test]
    fn body_comes_first_and_bad_pairs_are_left_out() {
        check("", "", &[], None);
        check("a=1&b=2", "a=3", &[("a", "1"), ("b", "2"), ("a", "3")], None);
        check("", "q=a+b%2Bc&e", &[("q", "a b+c"), ("e", "")], None);
        check("", "a=%zz&b=1", &[("b", "1")], Some("invalid URL escape \"%zz\""));
        check("", "a=%", &[], Some("invalid URL escape \"%\""));
        check("", "a;b=1&c=2", &[("c", "2")], Some("invalid semicolon separator in query"));
        check("", "m[]=%7Ba%3D%22%C3%A9%22%7D", &[("m[]", "{a=\"é\"}")], None);
    }
}
