use super::{CaptureRegex, Captures, Regex};

/// The values in `matching` match `pattern`, those in `other` do not.
#[track_caller]
fn check(pattern: &str, matching: &[&str], other: &[&str]) {
    let regex = Regex::new(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
    let captures = CaptureRegex::anchored(pattern).unwrap();
    for (values, expected) in [(matching, true), (other, false)] {
        for value in values {
            assert_eq!(regex.is_match(value.as_bytes()), expected, "{pattern} on {value:?}");
            assert_eq!(captures.is_match(value.as_bytes()), expected, "{pattern} on {value:?}");
            let found = captures.captures(value.as_bytes(), &mut Captures::default());
            assert_eq!(found, expected, "{pattern} on {value:?}, with groups");
        }
    }
}

#[track_caller]
fn check_error(pattern: &str, expected: &str) {
    let error = Regex::new(pattern).expect_err(pattern).to_string();
    assert_eq!(error, format!("error parsing regexp: {expected}"), "{pattern}");
}

#[track_caller]
fn check_set(pattern: &str, expected: Option<&[&str]>) {
    let regex = Regex::new(pattern).unwrap();
    let set = regex
        .set_matches()
        .map(|set| set.iter().map(|value| std::str::from_utf8(value).unwrap()).collect::<Vec<_>>());
    assert_eq!(set.as_deref(), expected, "{pattern}");
    for value in expected.unwrap_or_default() {
        assert!(regex.is_match(value.as_bytes()), "{pattern} on {value}");
    }
}

/// Expands `template` for the first match of `pattern` in `value`; `None` if there is none.
#[track_caller]
fn check_expand(pattern: &str, value: &str, template: &str, expected: Option<&str>) {
    let regex = CaptureRegex::unanchored(pattern).unwrap();
    let mut captures = Captures::default();
    let found = regex.captures(value.as_bytes(), &mut captures).then(|| {
        let mut out = vec![];
        regex.expand(template.as_bytes(), value.as_bytes(), &captures, &mut out);
        String::from_utf8(out).unwrap()
    });
    assert_eq!(found.as_deref(), expected, "{pattern} on {value:?} with {template:?}");
}

#[test]
fn whole_values_match() {
    check("", &[""], &["a"]);
    check("foo", &["foo"], &["", "fo", "foob", "xfoo"]);
    check("foo|bar|", &["foo", "bar", ""], &["fo", "foobar"]);
    check("^foo$", &["foo"], &["foob", "\nfoo"]);
    check("foo.*", &["foo", "foo\nbar"], &["fo", "xfoo"]);
    check("foo.+", &["foob", "foo\n"], &["foo"]);
    check(".*foo", &["foo", "xfoo"], &["foob"]);
    check(".*foo.*bar.*", &["foobar", "xfoo bar."], &["barfoo", "fooba"]);
    check("a.+b.+c", &["axbxc", "abbbc", "aébéc"], &["abc", "axbc", "abxc"]);
    check("a.*a", &["aa", "aba"], &["a"]);
    check(".+", &["a", "\n"], &[""]);
    check(".*", &["a", "\n", ""], &[]);
    check(".+.+", &["ab"], &["a", "é"]);
    check("(?-s:.*)", &["a", ""], &["\n"]);
    check("a?", &["", "a"], &["aa"]);
    check("(?i)stra(ß|ss)e|k", &["STRASSE", "Straẞe", "k", "K", "\u{212a}"], &["strase"]);
    check("(foo|bar)-[0-9]+", &["foo-1", "bar-23"], &["foo-", "foo-٣"]);
    check(".*foo[0-9].*", &["foo1", "xfoo12y", "foofoo1\n"], &["foo", "fo1"]);
    check(".*foo[0-9]", &["foo1", "foo1foo1"], &["foo12"]);
    check("foo[0-9].*", &["foo1", "foo1x"], &["xfoo1"]);
    check(".*^foo[0-9]$.*|.*b?", &["foo1", "\nfoo"], &[]);
    check("(.*)x(a|b+)(.*)", &["xa", "1xbb2"], &["x", "ab"]);
    check("a{2,3}", &["aa", "aaa"], &["a", "aaaa"]);
    check("(a{2}|b)*c", &["c", "aac", "baac"], &["ac"]);
    check("x(?i:ab)c", &["xABc", "xabc"], &["Xabc", "xabC"]);
    check("(?i)a(?-i)b", &["Ab", "ab"], &["AB"]);
    check("(?i:a(?m)b)|C", &["AB", "C"], &["c"]);
    check("(?m)a$\n^b", &["a\nb"], &["ab"]);
    check("a$\n^b", &[], &["a\nb"]);
    check("(?U)a+?", &["a", "aaa"], &[""]);
    check("(|a)*b", &["b", "aab"], &["c"]);
}

#[test]
fn the_syntax_is_gos_where_it_differs_from_rusts() {
    check(r"\d+", &["12"], &["٣", "a"]);
    check(r"\w", &["a", "_", "9"], &["é"]);
    check(r"\W", &["é", "-"], &["a"]);
    check(r"\s", &[" ", "\t", "\n", "\x0c", "\r"], &["\x0b", "\u{a0}"]);
    check(r"[[:space:]]", &["\x0b"], &["\u{a0}"]);
    check(r"[[:^alpha:][:upper:]]", &["A", "1", "é"], &["a"]);
    check(r"a\b.*", &["a", "a-", "aé"], &["ab"]);
    check(r"\Ba|b", &["b"], &["a"]);
    check(r"[a&&b]", &["a", "&", "b"], &["&&"]);
    check(r"[a~~b]", &["~"], &["c"]);
    check(r"[+--b]", &[",", "b"], &["a"]);
    check(r"[[a]", &["[", "a"], &["]"]);
    check(r"[]a]", &["]", "a"], &["["]);
    check(r"[^]a]", &["b"], &["]"]);
    check(r"[a-]", &["a", "-"], &["b"]);
    check(r"[a-b-c]", &["a", "b", "-", "c"], &["d"]);
    check(r"{foo}", &["{foo}"], &["foo"]);
    check(r"a{", &["a{"], &["a"]);
    check(r"a{,2}", &["a{,2}"], &["aa"]);
    check(r"a{1", &["a{1"], &["a"]);
    check(r"a{01}", &["a{01}"], &["a"]);
    check(r"a{0}b", &["b"], &["ab"]);
    check(r"\Qa.b*\E+", &["a.b*", "a.b***"], &["aab", "a.b"]);
    check(r"\Qa\E*\Q+\E", &["+", "aa+"], &["a"]);
    check(r"\141\x62\x{63}\07", &["abc\x07"], &["abc"]);
    check(r"\0", &["\0"], &["0"]);
    check(r"\x{10FFFF}|\x{d800}", &["\u{10ffff}"], &["\u{fffd}"]);
    check(r"\_\-\#\/", &["_-#/"], &[]);
    check(r"\pN+", &["1٣"], &["a"]);
    check(r"\p{Greek}\P{Lu}", &["αa"], &["aa", "αA"]);
    check(r"\p{^Greek}", &["a"], &["α"]);
    check(r"(?i)\p{Lu}", &["a", "A"], &["1"]);
    check(r"(?i)[^a]", &["b"], &["a", "A"]);
    check(r"[\pL\d-]", &["é", "7", "-"], &[" "]);
    check(r"(?P<n>a)(?<n>b)", &["ab"], &["a"]);
    check("a*(?i)*", &["aa"], &["b"]);
    check("^*", &[""], &["^"]);
    check("(?:a)(?:b|(?:c|d))", &["ab", "ad"], &["ae"]);
}

#[test]
fn refusals_are_gos_word_by_word() {
    check_error("(", "missing closing ): `(`");
    check_error("a(b", "missing closing ): `a(b`");
    check_error("a)b", "unexpected ): `a)b`");
    check_error("a|*", "missing argument to repetition operator: `*`");
    check_error("(*)", "missing argument to repetition operator: `*`");
    check_error("+?b", "missing argument to repetition operator: `+?`");
    check_error("?", "missing argument to repetition operator: `?`");
    check_error("{2}", "missing argument to repetition operator: `{2}`");
    check_error(r"\Q\E*", "missing argument to repetition operator: `*`");
    check_error("(?i)*", "missing argument to repetition operator: `*`");
    check_error("a**", "invalid nested repetition operator: `**`");
    check_error("xa*?+?y", "invalid nested repetition operator: `*?+?`");
    check_error("a{2}{3}", "invalid nested repetition operator: `{2}{3}`");
    check_error("x{1001}", "invalid repeat count: `{1001}`");
    check_error("x{2,1}", "invalid repeat count: `{2,1}`");
    check_error("x{1,1001}", "invalid repeat count: `{1,1001}`");
    check_error("x{99999999999}", "invalid repeat count: `{99999999999}`");
    check_error("(x{100}){11}", "invalid repeat count: `{11}`");
    check_error("((x{2}y){501})", "invalid repeat count: `{501}`");
    check_error("[a", "missing closing ]: `[a`");
    check_error("x[", "missing closing ]: `[`");
    check_error("[a-", "missing closing ]: `[a-`");
    check_error("[z-a]", "invalid character class range: `z-a`");
    check_error(r"[\x62-\x61]", r"invalid character class range: `\x62-\x61`");
    check_error("[a--b]", "invalid character class range: `a--`");
    check_error("[[:nope:]]", "invalid character class range: `[:nope:]`");
    check_error(r"\p{Nope}", r"invalid character class range: `\p{Nope}`");
    check_error(r"\p{greek}", r"invalid character class range: `\p{greek}`");
    check_error(r"\p{Grek}", r"invalid character class range: `\p{Grek}`");
    check_error(r"\pq", r"invalid character class range: `\pq`");
    check_error(r"\p", r"invalid character class range: `\p`");
    check_error(r"x\p{L", r"invalid character class range: `\p{L`");
    check_error("\\", r"trailing backslash at end of expression: ``");
    check_error(r"a\8", r"invalid escape sequence: `\8`");
    check_error(r"\1", r"invalid escape sequence: `\1`");
    check_error(r"\q", r"invalid escape sequence: `\q`");
    check_error(r"\C", r"invalid escape sequence: `\C`");
    check_error(r"\é", r"invalid escape sequence: `\é`");
    check_error(r"\u00e9", r"invalid escape sequence: `\u`");
    check_error(r"\x", r"invalid escape sequence: `\x`");
    check_error(r"\x1", r"invalid escape sequence: `\x1`");
    check_error(r"\x1g0", r"invalid escape sequence: `\x1g`");
    check_error(r"\xg0", r"invalid escape sequence: `\xg0`");
    check_error(r"\x{", r"invalid escape sequence: `\x{`");
    check_error(r"\x{}", r"invalid escape sequence: `\x{}`");
    check_error(r"\x{110000}1", r"invalid escape sequence: `\x{110000`");
    check_error("(?x)a", "invalid or unsupported Perl syntax: `(?x`");
    check_error("(?R)", "invalid or unsupported Perl syntax: `(?R`");
    check_error("(?=a)", "invalid or unsupported Perl syntax: `(?=`");
    check_error("(?i-)", "invalid or unsupported Perl syntax: `(?i-)`");
    check_error("(?--i)", "invalid or unsupported Perl syntax: `(?--`");
    check_error("(?P=n)", "invalid or unsupported Perl syntax: `(?P`");
    check_error("a(?i", "invalid or unsupported Perl syntax: `(?i`");
    check_error("(?P<n", "invalid named capture: `(?P<n`");
    check_error("a(?<!b)c", "invalid named capture: `(?<!b)c`");
    check_error("(?P<>a)", "invalid named capture: `(?P<>`");
    check_error("(?<x y>a)", "invalid named capture: `(?<x y>`");
}

#[test]
fn the_limits_are_gos() {
    let nested = |open: &str, close: &str, count| open.repeat(count) + &close.repeat(count);
    assert!(Regex::new(&nested("(", ")", 999)).is_ok());
    assert!(Regex::new(&nested("(?:", ")*", 999)).is_ok());
    assert!(CaptureRegex::anchored(&nested("(a", ")*", 331)).is_ok());
    for deep in [nested("(", ")", 1000), nested("(?:", ")*", 1000), nested("(a|", ")", 1000)] {
        check_error(&deep, &format!("expression nests too deeply: `{deep}`"));
    }
    let large = format!("({}){{1000}}", "(xx?)".repeat(1000));
    check_error(&large, &format!("expression too large: `{large}`"));
    let large = r"\pL".repeat(27_000);
    check_error(&large, &format!("expression too large: `{large}`"));
}

#[test]
fn messages_about_the_whole_show_the_anchors_where_prometheus_adds_them() {
    let error = CaptureRegex::anchored("(a").unwrap_err().to_string();
    assert_eq!(error, "error parsing regexp: missing closing ): `^(?s:(a)$`");
    // The text is wrapped, not the tree: a pattern may close the group and open another.
    let regex = CaptureRegex::anchored("a)(b").unwrap();
    assert!(regex.is_match(b"ab"));
}

#[test]
fn finite_patterns_are_sets() {
    check_set("", Some(&[""]));
    check_set("foo", Some(&["foo"]));
    check_set("foo|bar|baz|foo", Some(&["bar", "baz", "foo"]));
    check_set("foo|", Some(&["", "foo"]));
    check_set("foo(a|b)?", Some(&["foo", "fooa", "foob"]));
    check_set(r"^10\.0\.(1|2)\.1$", Some(&["10.0.1.1", "10.0.2.1"]));
    check_set("(?:(a)|[bc])", Some(&["a", "b", "c"]));
    check_set("(?i)ab", Some(&["AB", "Ab", "aB", "ab"]));
    check_set("a{1,3}", Some(&["a", "aa", "aaa"]));
    check_set(r"\x{d800}", Some(&[]));
    check_set("a.*", None);
    check_set("a[^b]", None);
    check_set("^a|b", None);
    check_set("[a-z]{3}", None);
    let regex = Regex::new("prod-[0-9]{2}").unwrap();
    assert_eq!(regex.set_matches().map(<[_]>::len), Some(100));
    let many: Vec<String> = (0..50_000).map(|n| format!("(value{n})")).collect();
    let regex = Regex::new(&many.join("|")).unwrap();
    assert_eq!(regex.set_matches().map(<[_]>::len), Some(50_000));
    assert!(regex.is_match(b"value49999") && !regex.is_match(b"value50000"));
}

#[test]
fn large_alternations_with_operators_compile() {
    let many: Vec<String> = (0..5_000).map(|n| format!("instance-{n}-[a-z]+")).collect();
    let regex = Regex::new(&many.join("|")).unwrap();
    assert!(regex.is_match(b"instance-4999-x") && !regex.is_match(b"instance-5000-x"));
}

#[test]
fn prefixes_are_known() {
    for (pattern, expected) in
        [("foo.*", "foo"), ("foo[0-9]+x", "foo"), (".*foo", ""), ("(?i)foo.*", ""), ("a.*|b", "")]
    {
        assert_eq!(Regex::new(pattern).unwrap().prefix(), expected.as_bytes(), "{pattern}");
    }
    assert!(Regex::new("(.*)").unwrap().matches_anything());
    assert!(Regex::new("^.*$").unwrap().matches_anything());
    assert!(!Regex::new(".+").unwrap().matches_anything());
}

#[test]
fn a_byte_that_is_no_utf8_counts_as_one_replacement_character() {
    for (pattern, value, expected) in [
        ("a.b", &b"a\xffb"[..], true),
        ("a..b", b"a\xe2\x82b", true),
        ("a.b", b"a\xe2\x82b", false),
        ("a.*b", b"a\xffb", true),
        ("a\u{fffd}b", b"a\xffb", true),
        ("a\u{fffd}b|c", "a\u{fffd}b".as_bytes(), true),
        ("a[^x]b", b"a\xffb", true),
    ] {
        assert_eq!(Regex::new(pattern).unwrap().is_match(value), expected, "{pattern}");
    }
    let regex = CaptureRegex::anchored("(.)(.)b(.*)").unwrap();
    let mut captures = Captures::default();
    let value = b"\xc3\xa9\xffb\xfe\xfd";
    assert!(regex.captures(value, &mut captures));
    let mut out = vec![];
    regex.expand(b"$3-$2-$1", value, &captures, &mut out);
    assert_eq!(out, b"\xfe\xfd-\xff-\xc3\xa9");
}

#[test]
fn templates_expand_as_gos() {
    check_expand("(.*)", "abc", "$1", Some("abc"));
    check_expand("a(b)c(d)?", "xabcx", "[$1|$2|$0|$3]", Some("[b||abc|]"));
    check_expand("(?P<x>a)(?P<y>b)", "ab", "${y}$x", Some("ba"));
    check_expand("(?P<x>a)?(?P<x>b)", "b", "$x", Some("b"));
    check_expand("(a)", "a", "$1x ${1}x $1_ $01 $", Some(" ax   $"));
    check_expand("(a)", "a", "$$1 $$$1", Some("$1 $a"));
    check_expand("(a)", "a", "${1 ${} $- $é1-$1", Some("${1 ${} $- -a"));
    check_expand("(a)", "a", "$999999999999", Some(""));
    check_expand("(a)", "b", "x", None);
    check_expand("(a+?)(a*)", "aaa", "$1,$2", Some("a,aa"));
    check_expand("a|ab", "xab", "$0", Some("a"));
    check_expand("b|", "ab", "<$0>", Some("<>"));
}

proptest::proptest! {
    /// Whatever stands in a pattern, compiling it ends, and with a verdict.
    #[test]
    fn no_pattern_panics(pattern in r"[\[\](){}|*+?.^$\\\-:<>,PpQExidbBsUm0-9aké]{0,24}") {
        if let Ok(regex) = Regex::new(&pattern) {
            let captures = CaptureRegex::unanchored(&format!("^(?s:{pattern})$"));
            for value in ["", "a", "ak", "-1", "é", "d{2}", "aa\n"] {
                let expected = regex.is_match(value.as_bytes());
                if let Ok(captures) = &captures {
                    proptest::prop_assert_eq!(captures.is_match(value.as_bytes()), expected);
                }
            }
        }
    }
}
