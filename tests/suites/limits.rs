//! Texts as long as a request may be, nested and chained in every way: each is answered, and the
//! server goes on.

use tests::http;
use tests::process::{Hearth, Options};

/// Bytes of a text, about.
const TEXT_BYTES: usize = 1 << 20;

/// `part` over and over, up to the bound of a text.
fn repeated(part: &str) -> String {
    part.repeat(TEXT_BYTES / part.len())
}

/// `open` and `close` around `core`, as often as it fits.
fn nested(open: &str, core: &str, close: &str) -> String {
    let depth = TEXT_BYTES / (open.len() + close.len());
    format!("{}{core}{}", open.repeat(depth), close.repeat(depth))
}

#[test]
fn no_text_ends_the_server() {
    let mut hearth = Hearth::start(Options::receiver(2));
    let expressions = [
        nested("(", "1", ")"),
        nested("-", "a", ""),
        nested("abs(", "a", ")"),
        nested("sum(", "a", ")"),
        nested("a[5m:", "", "]"),
        nested("{a=\"", "", "\"}"),
        nested("(a or ", "a", ")"),
        repeated("("),
        repeated("sum("),
        repeated("1+") + "1",
        repeated("1^") + "1",
        repeated("a+") + "a",
        repeated("a or ") + "a",
        repeated("-1-") + "1",
        format!("a{}", repeated("[5m:1m]")),
        format!("a{}", repeated(" offset 5m")),
        format!("a{{{}}}", repeated("b=\"c\",")),
        format!("a{{b=~\"{}\"}}", nested("(", "x", ")")),
        format!("a{{b=~\"{}\"}}", repeated("a*")),
        format!("a{{b=~\"{}\"}}", repeated("(a|b)")),
        format!("label_replace(a,\"{}\",\"$1\",\"b\",\"(.*)\")", repeated("x")),
        repeated("\u{0}"),
        repeated("\""),
    ];
    for text in &expressions {
        let shown: String = text.chars().take(20).collect();
        for path in ["query", "parse_query", "series"] {
            let name = if path == "series" { "match[]" } else { "query" };
            let fields = format!("{name}={}&time=1", http::encode(text));
            let headers = [("Content-Type", "application/x-www-form-urlencoded")];
            let answer = hearth.post(&format!("/api/v1/{path}"), &headers, fields.as_bytes());
            let is_answered = matches!(answer.status, 200 | 400 | 404 | 405 | 413 | 422 | 503);
            assert!(is_answered, "{path} of {shown}: {} {}", answer.status, answer.text());
        }
        assert!(hearth.is_alive(), "{shown} has ended it: {}", hearth.log());
    }
    assert!(hearth.stop().success());
}
