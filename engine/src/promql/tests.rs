//! The language against tables: Prometheus's own cases where they are at hand, and ours.

use std::fmt::Write;

use super::{ParseErrors, ParseOptions, parse, parse_selector, pretty, print};

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

/// What a text gives: its printed form, or `! ` and the message.
fn outcome(text: &str) -> String {
    match parse(text, &ParseOptions::ALL) {
        Ok(ast) => print(&ast, ast.root()),
        Err(errors) => format!("! {errors}"),
    }
}

/// Our own corpus: `text`, `text => printed` or `text =>! message`. What is printed prints the
/// same again.
#[test]
fn the_corpus_prints_or_is_refused_as_written() {
    let corpus = include_str!("../../../tests/corpus/promql/expressions.txt");
    let mut failures = Vec::new();
    for line in corpus.lines().filter(|line| !line.starts_with('#')) {
        let (text, expected) = line.split_once(" =>").unwrap_or((line, line));
        let expected = expected.trim_start();
        let got = outcome(&text.replace("\\n", "\n"));
        let stable = expected.starts_with('!') || outcome(expected) == expected;
        if got != expected || !stable {
            failures.push(format!("{line}\n    {got}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Our own corpus: a query, a line `=>`, its lines, an empty line.
#[test]
fn long_expressions_are_broken_into_lines() {
    let corpus = include_str!("../../../tests/corpus/promql/pretty.txt");
    for case in corpus.split("\n\n").filter(|case| !case.starts_with('#')) {
        let (text, expected) = case.trim_end().split_once("\n=>\n").expect("two parts");
        let ast = parse(text, &ParseOptions::ALL).expect(text);
        assert_eq!(pretty(&ast, ast.root()), expected);
        let again = parse(expected, &ParseOptions::ALL).expect(expected);
        assert_eq!(print(&again, again.root()), print(&ast, ast.root()));
    }
    // Lines that would go in further and further stay one.
    let chain = "1 + ".repeat(1 << 17) + "1";
    let ast = parse(&chain, &ParseOptions::ALL).expect("a chain");
    assert_eq!(pretty(&ast, ast.root()), chain);
}

#[track_caller]
fn check_selector(text: &str, expected: Result<&str, &str>) {
    let got = parse_selector(text)
        .map(|matchers| matchers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        .map_err(|errors| errors.to_string());
    assert_eq!(got.as_deref().map_err(|message| &**message), expected);
}

#[test]
fn selectors_stand_alone() {
    check_selector("up{job=\"a\"}", Ok("job=\"a\" __name__=\"up\""));
    check_selector("{\"a.b\", c=~'d'}", Ok("__name__=\"a.b\" c=~\"d\""));
    check_selector("{}", Ok(""));
    check_selector("up offset 5m", Err("1:4: parse error: unexpected <offset>"));
    check_selector("", Err("unknown position: parse error: unexpected end of input"));
    check_selector("1", Err("1:1: parse error: unexpected number \"1\""));
    check_selector(
        "a{b}",
        Err(
            "1:4: parse error: unexpected \"}\" in label matching, expected label matching operator",
        ),
    );
}

/// Deep and long texts, on a thread with a small stack.
#[track_caller]
fn check_size(text: String, expected_error: Option<&'static str>) {
    let run = move || match parse(&text, &ParseOptions::ALL) {
        Ok(ast) => {
            assert_eq!(expected_error, None);
            print(&ast, ast.root());
        }
        Err(errors) => assert_eq!(Some(&*errors.errors[0].message), expected_error),
    };
    std::thread::Builder::new()
        .stack_size(256 << 10)
        .spawn(run)
        .expect("a thread")
        .join()
        .expect("no text overflows the stack");
}

#[test]
fn no_text_overflows_the_stack() {
    const DEEP: &str = "expression is nested deeper than 2000 levels";
    let nested = |open: &str, core: &str, close: &str, depth: usize| {
        format!("{}{core}{}", open.repeat(depth), close.repeat(depth))
    };
    check_size("1+".repeat(1 << 19) + "1", None);
    check_size("1^".repeat(1 << 19) + "1", None);
    check_size("a and ".repeat(1 << 18) + "a", None);
    check_size(nested("(", "1", ")", 2_000), None);
    check_size(nested("(", "1", ")", 2_001), Some(DEEP));
    check_size(nested("(", "1", ")", 1 << 19), Some(DEEP));
    check_size(nested("-", "a", "", 1 << 20), Some(DEEP));
    check_size(nested("abs(", "a", ")", 2_000), None);
    check_size(nested("sum(", "a", ")", 2_001), Some(DEEP));
    check_size("abs(".repeat(1 << 18), Some(DEEP));
    let duration = "duration is nested deeper than 2000 levels";
    check_size(nested("a[", &nested("(", "1", ")", 2_001), "]", 1), Some(duration));
    check_size(format!("a[{}5m]", "1+".repeat(1 << 19)), None);
    check_size(format!("a[{}1]", "1^".repeat(1_999)), None);
    check_size(format!("a{{{}}}", "b=\"c\",".repeat(1 << 17)), None);
}

#[test]
fn errors_of_many_parts_stay_cheap() {
    let text = format!("({}){}", "-{}-1".repeat(10_000), "[1m:]".repeat(1_000));
    let errors = parse(&text, &TABLE_OPTIONS).expect_err("empty selectors").errors;
    assert_eq!(errors.len(), 10_999);
    let last = errors.last().expect("errors");
    assert_eq!((last.position.start, last.position.end), (0, 50_012 + 5 * 998));
}
