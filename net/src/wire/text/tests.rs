//! What pages mean, and that both ways through them agree. Cases follow Prometheus's own
//! (`promparse_test.go`, `openmetricsparse_test.go`).

use engine::model::LabelsBuilder;
use proptest::prelude::*;

use super::{Entry, Format, Parser};

/// One line an entry; the error, if any, last.
fn render(mut parser: Parser<'_>) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut lines = Vec::new();
    loop {
        match parser.next_entry() {
            Ok(None) => return lines,
            Err(error) => {
                lines.push(format!("error: {error}"));
                return lines;
            }
            Ok(Some(Entry::Type { metric, metric_type })) => {
                lines.push(format!("type {} {}", text(metric), metric_type.as_str()));
            }
            Ok(Some(Entry::Help { metric, help })) => {
                lines.push(format!("help {} [{}]", text(metric), text(&help)));
            }
            Ok(Some(Entry::Unit { metric, unit })) => {
                lines.push(format!("unit {} {}", text(metric), text(unit)));
            }
            Ok(Some(Entry::Comment(comment))) => lines.push(format!("comment {}", text(comment))),
            Ok(Some(Entry::Sample(sample))) => {
                let mut line = format!("[{}]", text(sample.series));
                parser.labels(|name, value| line += &format!(" {}={}", text(name), text(value)));
                line += &format!(" {:?}", sample.value);
                if let Some(timestamp_ms) = sample.timestamp_ms {
                    line += &format!(" @{timestamp_ms}");
                }
                if let Some(exemplar) = parser.exemplar() {
                    line += " #";
                    parser.exemplar_labels(|name, value| {
                        line += &format!(" {}={}", text(name), text(value));
                    });
                    line += &format!(" {:?} @{:?}", exemplar.value, exemplar.timestamp_ms);
                }
                lines.push(line);
            }
        }
    }
}

#[track_caller]
fn check(format: Format, page: &str, expected: &[&str]) {
    let got = render(Parser::new(page.as_bytes(), format));
    assert_eq!(got, expected, "{page}");
    assert_eq!(render(Parser::new_slow(page.as_bytes(), format)), expected, "by tokens: {page}");
}

#[track_caller]
fn check_text(page: &str, expected: &[&str]) {
    check(Format::Text, page, expected);
}

#[track_caller]
fn check_openmetrics(page: &str, expected: &[&str]) {
    check(Format::OpenMetrics, page, expected);
}

#[test]
fn text_samples() {
    check_text("", &[]);
    check_text("\n \n", &[]);
    check_text("a 1", &["[a] __name__=a 1.0"]);
    check_text("a 1\n", &["[a] __name__=a 1.0"]);
    check_text("a\t-1.5e3   12\n", &["[a] __name__=a -1500.0 @12"]);
    check_text("a{}1\n", &["[a{}] __name__=a 1.0"]);
    check_text("a{b=\"c\",}  +Inf\n", &["[a{b=\"c\",}] __name__=a b=c inf"]);
    check_text(
        "a { b = \"c\" d=\"e\" } NaN\n",
        &["[a { b = \"c\" d=\"e\" }] __name__=a b=c d=e NaN"],
    );
    check_text("a:b{c=\"d\"}\t1\n", &["[a:b{c=\"d\"}] __name__=a:b c=d 1.0"]);
    check_text(
        "a{b=\"\\\"c\\\\\\n\\t\"} 1\n",
        &["[a{b=\"\\\"c\\\\\\n\\t\"}] __name__=a b=\"c\\\n\\t 1.0"],
    );
    check_text("a{b=\"line\nfeed\"} 1\n", &["[a{b=\"line\nfeed\"}] __name__=a b=line\nfeed 1.0"]);
    check_text("a{b=\"abc\0\"} 1", &["[a{b=\"abc\0\"}] __name__=a b=abc\0 1.0"]);
    check_text("a 1 2\nb 3\n", &["[a] __name__=a 1.0 @2", "[b] __name__=b 3.0"]);
    // Blanks before a name become part of it, as in Prometheus.
    check_text(" a 1\n", &["[ a] __name__= a 1.0"]);
}

#[test]
fn text_names_in_quotes() {
    check_text("{\"a.b\"} 1\n", &["[{\"a.b\"}] __name__=a.b 1.0"]);
    check_text(
        "{\"a\\\"b\",\"c.d\"=\"e\"} 1\n",
        &["[{\"a\\\"b\",\"c.d\"=\"e\"}] __name__=a\"b c.d=e 1.0"],
    );
    check_text("{c=\"d\",\"a\"} 1\n", &["[{c=\"d\",\"a\"}] __name__=a c=d 1.0"]);
    check_text("a{\"b.c\"=\"d\"} 1\n", &["[a{\"b.c\"=\"d\"}] __name__=a b.c=d 1.0"]);
    check_text("# TYPE \"a b\" gauge\n", &["type a b gauge"]);
}

#[test]
fn text_metadata() {
    check_text("# HELP a some text\n", &["help a [some text]"]);
    check_text("# HELP a  two\\\\\\n\\\"\n", &["help a [ two\\\n\\\"]"]);
    check_text("# HELP a\n# HELP b \n# HELP c    \n", &["help a []", "help b []", "help c []"]);
    check_text("# HELP a foo\0bar\n", &["help a [foo\0bar]"]);
    check_text("#\t TYPE \t a untyped\n", &["type a unknown"]);
    check_text("# TYPE a counter", &["type a counter"]);
    check_text("# Hrandom\n#\n#x\n", &["comment # Hrandom", "comment #", "comment #x"]);
    check_text("# HELP\n", &["comment # HELP"]);
    // A zero at the start of a line or in a bare comment ends the page without an error.
    check_text("a 1\n\0b 2\n", &["[a] __name__=a 1.0"]);
    check_text("#x\0\nb 2\n", &[]);
}

#[test]
fn bounds_are_normalized() {
    check_text(
        "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_bucket{le=\"x\"} 1\n\
         # TYPE s summary\ns{quantile=\"0\",le=\"1\"} 1\n# TYPE c counter\nc{le=\"1\"} 1\n",
        &[
            "type h histogram",
            "[h_bucket{le=\"1\"}] __name__=h_bucket le=1.0 1.0",
            "[h_bucket{le=\"+Inf\"}] __name__=h_bucket le=+Inf 1.0",
            "[h_bucket{le=\"x\"}] __name__=h_bucket le=x 1.0",
            "type s summary",
            "[s{quantile=\"0\",le=\"1\"}] __name__=s quantile=0.0 le=1 1.0",
            "type c counter",
            "[c{le=\"1\"}] __name__=c le=1 1.0",
        ],
    );
}

#[track_caller]
fn check_error(format: Format, page: &[u8], expected: &str) {
    for parser in [Parser::new(page, format), Parser::new_slow(page, format)] {
        let lines = render(parser);
        let last = lines.last().map_or("", String::as_str);
        assert_eq!(last, format!("error: {expected}"), "{}", String::from_utf8_lossy(page));
    }
}

#[test]
fn text_refusals() {
    let check = |page: &str, expected: &str| check_error(Format::Text, page.as_bytes(), expected);
    check("a", r#"expected value after metric, got "\n" ("INVALID") while parsing: "a\n""#);
    check("a{b='c'} 1\n", r#"expected label value, got "'" ("INVALID") while parsing: "a{b='""#);
    check(
        "a{b=\n\"c\"} 1\n",
        r#"expected label value, got "\n" ("INVALID") while parsing: "a{b=\n""#,
    );
    check(
        "a{\u{e4}=\"foo\"} 1\n",
        r#"expected label name, got "\xc3" ("INVALID") while parsing: "a{\xc3""#,
    );
    check_error(Format::Text, b"a{b=\"\xff\"} 1\n", r#"invalid UTF-8 label value: "\"\xff\"""#);
    check(
        "a true\n",
        r#"strconv.ParseFloat: parsing "true": invalid syntax while parsing: "a true""#,
    );
    check(
        "something_weird{problem=\"",
        r#"expected label value, got "\"\n" ("INVALID") while parsing: "something_weird{problem=\"\n""#,
    );
    check(
        "empty_label_name{=\"\"} 0",
        r#"expected label name, got "=\"" ("EQUAL") while parsing: "empty_label_name{=\"""#,
    );
    check("foo 1_2\n", r#"unsupported character in float while parsing: "foo 1_2""#);
    check("foo 0x1p-3\n", r#"unsupported character in float while parsing: "foo 0x1p-3""#);
    check(
        "foo 0 1_2\n",
        r#"expected next entry after timestamp, got "_" ("INVALID") while parsing: "foo 0 1_""#,
    );
    check("{a=\"ok\"} 1", r#"metric name not set while parsing: "{a=\"ok\"} 1""#);
    check(
        "# TYPE #\n#EOF\n",
        r##"expected metric name after TYPE, got "#" ("INVALID") while parsing: "# TYPE #""##,
    );
    check("# TYPE a b\n", r#"invalid metric type "b""#);
    check("# TYPE a \n", r#"invalid metric type """#);
    check_error(Format::Text, b"# HELP a \xff\n", r#"help text "\xff" is not a valid utf8 string"#);
    check(
        "a 1 9223372036854775808\n",
        r#"strconv.ParseInt: parsing "9223372036854775808": value out of range while parsing: "a 1 9223372036854775808""#,
    );
    check("{\"a\",\"b\"} 1\n", r#"metric name already set while parsing: "{\"a\",\"b\"}""#);
    check("a{\"b\"} 1\n", r#"metric name already set while parsing: "a{\"b\"}""#);
    check(
        "a 1 -5\n",
        r#"expected timestamp or new record, got "-" ("INVALID") while parsing: "a 1 -""#,
    );
    check("9a 1\n", r#"expected a valid start token, got "9" ("INVALID") while parsing: "9""#);
}

#[test]
fn openmetrics_samples() {
    check_openmetrics("# EOF", &[]);
    check_openmetrics("# EOF\n", &[]);
    check_openmetrics("a 1\n# EOF\n", &["[a] __name__=a 1.0"]);
    check_openmetrics(
        "a{b=\"c\",d=\"e\"} 1 1.5\n# EOF\n",
        &["[a{b=\"c\",d=\"e\"}] __name__=a b=c d=e 1.0 @1500"],
    );
    check_openmetrics("a 1 -0.0011\n# EOF\n", &["[a] __name__=a 1.0 @-1"]);
    check_openmetrics(
        "{\"a.b\",c=\"d\"} 1\n# EOF\n",
        &["[{\"a.b\",c=\"d\"}] __name__=a.b c=d 1.0"],
    );
    check_openmetrics(
        "a_total 17 12 # {trace_id=\"x\\\"y\"} 0.5 99.123\na 1 # {} 4\n# EOF\n",
        &[
            "[a_total] __name__=a_total 17.0 @12000 # trace_id=x\\\"y 0.5 @Some(99123)",
            "[a] __name__=a 1.0 # 4.0 @None",
        ],
    );
    check_openmetrics(
        "# HELP a \\\"x\\\"\\n\n# TYPE a stateset\n# UNIT a_seconds seconds\n# UNIT b \n# EOF\n",
        &["help a [\"x\"\n]", "type a stateset", "unit a_seconds seconds", "unit b "],
    );
    check_openmetrics("a_created 1\n# EOF\n", &["[a_created] __name__=a_created 1.0"]);
}

#[test]
fn openmetrics_refusals() {
    let check =
        |page: &str, expected: &str| check_error(Format::OpenMetrics, page.as_bytes(), expected);
    check("", "data does not end with # EOF");
    check("\n", r#"expected a valid start token, got "\n" ("INVALID") while parsing: "\n""#);
    check("metric", r#"expected value after metric, got "metric" ("EOF") while parsing: "metric""#);
    check("metric 1", "data does not end with # EOF");
    check("metric 1\n", "data does not end with # EOF");
    check("metric_total 1 # {aa=\"bb\"} 4", "data does not end with # EOF");
    check("a\n#EOF\n", r#"expected value after metric, got "\n" ("INVALID") while parsing: "a\n""#);
    check(
        "\n\n#EOF\n",
        r#"expected a valid start token, got "\n" ("INVALID") while parsing: "\n""#,
    );
    check(
        " a 1\n#EOF\n",
        r#"expected a valid start token, got " " ("INVALID") while parsing: " ""#,
    );
    check("9\n#EOF\n", r#"expected a valid start token, got "9" ("INVALID") while parsing: "9""#);
    check("# TYPE u untyped\n#EOF\n", r#"invalid metric type "untyped""#);
    check("# TYPE c counter \n#EOF\n", r#"invalid metric type "counter ""#);
    check(
        "#  TYPE c counter\n#EOF\n",
        r##"expected a valid start token, got "#  " ("INVALID") while parsing: "#  ""##,
    );
    check("# UNIT metric suffix\n#EOF\n", r#"unit "suffix" not a suffix of metric "metric""#);
    check(
        "# UNIT metricsuffix suffix\n#EOF\n",
        r#"unit "suffix" not a suffix of metric "metricsuffix""#,
    );
    check("# HELP m\n#EOF\n", "expected text in HELP");
    check(
        "a\t1\n#EOF\n",
        r#"expected value after metric, got "\t" ("INVALID") while parsing: "a\t""#,
    );
    check(
        "a 1\t2\n#EOF\n",
        r#"strconv.ParseFloat: parsing "1\t2": invalid syntax while parsing: "a 1\t2""#,
    );
    check(
        "a 1 2 \n#EOF\n",
        r#"expected next entry after timestamp, got " \n" ("INVALID") while parsing: "a 1 2 \n""#,
    );
    check(
        "a 1 2 #\n#EOF\n",
        r##"expected next entry after timestamp, got " #\n" ("TIMESTAMP") while parsing: "a 1 2 #\n""##,
    );
    check(
        "a{b=\"c\"d=\"e\"} 1\n# EOF\n",
        r#"expected comma or brace close, got "d=" ("LNAME") while parsing: "a{b=\"c\"d=""#,
    );
    check(
        "a 1 1z\n# EOF\n",
        r#"strconv.ParseFloat: parsing "1z": invalid syntax while parsing: "a 1 1z""#,
    );
    check("a 1 NaN\n# EOF\n", "invalid timestamp NaN");
    check("a 1 # {} 1 -Inf\n# EOF\n", "invalid exemplar timestamp -Inf");
    check(
        "a 1 # {\"b\"} 1\n# EOF\n",
        r#"expected label name, got "} " ("BCLOSE") while parsing: "a 1 # {\"b\"} ""#,
    );
    check("# EOF\na 1\n", "unexpected data after # EOF");
    // The sample before it is given, then its line's rest is refused.
    check(
        "a 1 \n# EOF\n",
        r##"expected a valid start token, got "\n#" ("LINEBREAK") while parsing: "\n#""##,
    );
}

#[test]
fn protobuf_is_refused_honestly() {
    check(Format::Protobuf, "x", &["error: protobuf expositions are not supported"]);
}

#[test]
fn a_label_that_stands_twice_is_named() {
    let mut parser = Parser::new(b"a{b=\"1\",c=\"2\",b=\"3\"} 1\na{b=\"\"} 1\n", Format::Text);
    let mut builder = LabelsBuilder::default();
    assert!(parser.next_entry().is_ok());
    assert_eq!(parser.labels_into(&mut builder), Err(b"b"[..].into()));
    let mut builder = LabelsBuilder::default();
    assert!(parser.next_entry().is_ok());
    assert_eq!(parser.labels_into(&mut builder), Ok(()));
    assert_eq!(builder.finish().to_string(), "{__name__=\"a\"}");
}

/// Pieces of which random pages are made: what lines consist of, in any order.
fn piece() -> impl Strategy<Value = String> {
    let pieces = [
        "a",
        "metric_name",
        "{",
        "}",
        "=",
        "\"",
        "\\",
        ",",
        " ",
        "\t",
        "\n",
        "\0",
        "1",
        "-2.5e3",
        "NaN",
        " 12",
        "b=\"c\"",
        "\"q.r\"",
        "# HELP a text",
        "# TYPE a histogram",
        "# UNIT a_s s",
        "le=\"1\"",
        "a{b=\"c\"} 1\n",
        "a 1 2\n",
        " # {t=\"x\"} 1 2",
        "# EOF",
        "# ",
        "#",
        "é",
        "\\n",
        "\"\\\"\"",
        "9",
        ":",
        "+Inf",
        "a{b=\"c\",d=\"e\"} 1e99 5\n",
    ];
    proptest::sample::select(pieces.map(String::from).to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn both_ways_through_a_page_agree(pieces in proptest::collection::vec(piece(), 0..24)) {
        let page = pieces.concat();
        for format in [Format::Text, Format::OpenMetrics] {
            prop_assert_eq!(
                render(Parser::new(page.as_bytes(), format)),
                render(Parser::new_slow(page.as_bytes(), format))
            );
        }
    }

    #[test]
    fn no_bytes_bring_the_parser_down(page in proptest::collection::vec(any::<u8>(), 0..64)) {
        for format in [Format::Text, Format::OpenMetrics] {
            render(Parser::new(&page, format));
        }
    }
}
