//! The language against tables: Prometheus's own cases where they are at hand, and ours.

use std::fmt::Write;

use super::{ParseErrors, ParseOptions, parse};

const CONFORMANCE: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/conformance/promql-parser");

/// The options under which Prometheus runs its table.
const TABLE_OPTIONS: ParseOptions = ParseOptions { fill_modifiers: false, ..ParseOptions::ALL };

/// `0-7:message || 2-3:message`, as the tables write errors.
fn list(errors: &ParseErrors) -> String {
    let mut out = String::new();
    for (index, error) in errors.errors.iter().enumerate() {
        let separator = if index > 0 { " || " } else { "" };
        let position = error.position;
        let _ = write!(out, "{separator}{}-{}:{}", position.start, position.end, error.message);
    }
    out
}

/// The tables write a backslash as two, and a newline and a tabulator as in Rust.
fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, if c == '\\' { chars.next() } else { None }) {
            ('\\', Some('n')) => out.push('\n'),
            ('\\', Some('t')) => out.push('\t'),
            ('\\', Some(other)) => out.push(other),
            _ => out.push(c),
        }
    }
    out
}

/// Inputs that the tables hold only the beginning of, because their source has a line break or
/// is put together by code.
const CUT: [&str; 3] = [r"{'foo\\'bar', ", "`", "("];

/// Whether `got` is what the table expects. The table leaves out second errors for which its
/// source states no start.
fn agrees(expected: &str, got: &str) -> bool {
    let without_last = got.rsplit_once(" || ");
    got == expected
        || without_last.is_some_and(|(rest, last)| rest == expected && last.starts_with("0-"))
}

#[test]
fn prometheus_tables_hold() {
    let Ok(good) = std::fs::read_to_string(format!("{CONFORMANCE}/good.txt")) else {
        eprintln!("no conformance tables in {CONFORMANCE}");
        return;
    };
    let bad = std::fs::read_to_string(format!("{CONFORMANCE}/bad.tsv")).expect("bad.tsv");
    let good = good.lines().map(|line| (line, None));
    let bad = bad.lines().skip(1).map(|line| line.split_once('\t').expect("two columns"));
    let bad = bad.map(|(input, expected)| (input, Some(expected)));
    let mut failures = Vec::new();
    let (mut total, mut cut) = (0, 0);
    for (input, expected) in good.chain(bad) {
        if CUT.contains(&input) && expected.is_none_or(str::is_empty) {
            cut += 1;
            continue;
        }
        total += 1;
        // In these inputs the source has a byte that is no UTF-8; the table shows it as ÿ, and a
        // query from outside arrives here with U+FFFD for it, which is two bytes longer.
        let broken = input.contains('ÿ');
        let text = unescape(&input.replace('ÿ', "\u{fffd}"));
        let got = match parse(&text, &TABLE_OPTIONS) {
            Ok(_) => None,
            Err(mut errors) if broken => {
                errors.errors[0].position.end -= 2;
                Some(list(&errors))
            }
            Err(errors) => Some(list(&errors)),
        };
        let holds = match (expected, &got) {
            (Some(expected), Some(got)) => agrees(expected, got),
            (expected, got) => expected.is_none() && got.is_none(),
        };
        if !holds {
            failures.push(format!("{input}\n    {expected:?}\n    {got:?}"));
        }
    }
    eprintln!("{} of {total} hold, {cut} are cut", total - failures.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
