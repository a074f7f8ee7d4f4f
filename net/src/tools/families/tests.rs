use super::{FamilyType, families};

#[track_caller]
fn refused(page: &str, line: usize, message: &str) {
    let fault = families(page.as_bytes()).expect_err(page);
    assert_eq!((fault.line, fault.message.as_str()), (line, message), "{page}");
}

#[test]
fn lines_of_a_histogram_are_one_metric() {
    let page = "# HELP h a \\\\ b\n# TYPE h histogram\nh_bucket{x=\"1\",le=\"1\"} 2\n\
                h_bucket{x=\"1\",le=\"+Inf\"} 3\nh_sum{x=\"1\"} 4.5\nh_count{x=\"1\"} 3 1000\n\
                # TYPE s summary\ns{quantile=\"0.5\"} 1\ns_sum 1\ns_count 2\n\
                {\"my.metric\", a=\"b\"} 1\nlast_sum 7\n";
    let found = families(page.as_bytes()).expect("the page is good");
    let names: Vec<(&str, FamilyType, usize)> =
        found.iter().map(|family| (&*family.name, family.kind, family.series_count())).collect();
    assert_eq!(
        names,
        [
            ("h", FamilyType::Histogram, 4),
            ("last_sum", FamilyType::Untyped, 1),
            ("my.metric", FamilyType::Untyped, 1),
            ("s", FamilyType::Summary, 3),
        ]
    );
    let metric = &found[0].metrics[0];
    assert_eq!(found[0].help.as_deref(), Some("a \\ b"));
    assert_eq!(metric.labels, [("x".to_owned(), "1".to_owned())]);
    assert_eq!(metric.parts, [(1.0, 2.0), (f64::INFINITY, 3.0)]);
    assert_eq!((metric.sum, metric.count, metric.timestamp_ms), (4.5, 3.0, Some(1000)));
}

#[test]
fn pages_are_refused_with_their_line() {
    refused("a 1\nb\n", 2, "expected float as value, got \"\"");
    refused("a 1\nb", 2, "unexpected end of input stream");
    refused("a{\n", 1, "invalid label name for metric \"a\"");
    refused("a{b=\"x\"\n", 1, "unexpected end of label value \"x\"");
    refused("a 1\nb 2", 2, "unexpected end of input stream");
    refused("\n{} 1\n", 2, "invalid metric name");
    refused("-a 1\n", 1, "invalid metric name");
    refused("a{b=1} 1\n", 1, "expected '\"' at start of label value, found '1'");
    refused("a{b:\"1\"} 1\n", 1, "expected '=' after label name, found ':'");
    refused("a{b=\"1\\x\"} 1\n", 1, "invalid escape sequence '\\x'");
    refused("a{b=\"1\"c=\"2\"} 1\n", 1, "unexpected end of label value \"1\"");
    refused("a{b=\"1\",b=\"2\"} 1\n", 1, "duplicate label names for metric \"a\"");
    refused("a{__name__=\"b\"} 1\n", 1, "label name \"__name__\" is reserved");
    refused("a one\n", 1, "expected float as value, got \"one\"");
    refused("a 1 x\n", 1, "expected integer as timestamp, got \"x\"");
    refused("a 1 2 3\n", 1, "spurious string after timestamp: \" 3\"");
    refused("# TYPE a thing\n", 1, "unknown metric type \"thing\"");
    refused(
        "a 1\n# TYPE a gauge\n",
        2,
        "second TYPE line for metric name \"a\", or TYPE reported after samples",
    );
    refused("# HELP a b\n# HELP a b\n", 2, "second HELP line for metric name \"a\"");
    refused("# TYPE h histogram\nh_count -1\n", 2, "negative count for histogram \"h\"");
}
