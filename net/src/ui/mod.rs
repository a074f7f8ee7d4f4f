//! The web page: what runs, which targets there are, a box to ask a query in.
//!
//! One page for every path, made of three embedded files. It reads the same API as everybody else,
//! builds its table by text nodes alone, and may load nothing from anywhere else.

use http::{HeaderValue, StatusCode, header};

use crate::http::{Response, text_error, with_type};

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
const ICON: &str = include_str!("icon.svg");

/// Nothing from elsewhere, nothing inline, no frames.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'self'; \
                      frame-ancestors 'none'";

/// The page; `title` and the path `prefix` of all routes come from flags.
pub fn page(title: &str, prefix: &str) -> Response {
    let html = PAGE.replace("{title}", &escaped(title)).replace("{prefix}", &escaped(prefix));
    secured(with_type(StatusCode::OK, "text/html; charset=utf-8", html.into_bytes()))
}

/// A file that the page loads, by its path without the prefix.
pub fn asset(path: &str) -> Response {
    let (content_type, content) = match path {
        "/assets/page.css" => ("text/css; charset=utf-8", STYLE),
        "/assets/page.js" => ("text/javascript; charset=utf-8", SCRIPT),
        "/favicon.svg" | "/favicon.ico" => ("image/svg+xml", ICON),
        _ => return text_error(StatusCode::NOT_FOUND, "404 page not found"),
    };
    secured(with_type(StatusCode::OK, content_type, content.into()))
}

fn secured(mut response: Response) -> Response {
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Text in the place of HTML text or a quoted attribute.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(char),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_keeps_its_own_policy() {
        for inline in ["<style", "style=", "onclick", "javascript:", "<script>"] {
            assert!(!PAGE.contains(inline), "{inline}");
        }
        for unsafe_way in
            ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("]
        {
            assert!(!SCRIPT.contains(unsafe_way), "{unsafe_way}");
        }
        assert!(!PAGE.contains("//") && !STYLE.contains("//"), "nothing is loaded from elsewhere");
    }

    #[test]
    fn titles_are_text() {
        assert_eq!(escaped("<a href=\"x\">&'"), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;");
    }
}
