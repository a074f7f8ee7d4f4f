//! How text is read and written, against go-yaml's own answers.

use std::collections::BTreeMap;

use super::emit::{Yaml, float_text, natural_order, print};
use super::scalar::{Scalar, resolve};

#[track_caller]
fn check_resolved(text: &str, expected: Scalar) {
    assert_eq!(resolve(text), expected, "{text}");
}

#[test]
fn plain_scalars_resolve_as_in_yaml_1_1() {
    check_resolved("", Scalar::Null);
    check_resolved("~", Scalar::Null);
    check_resolved("yes", Scalar::Bool(true));
    check_resolved("Off", Scalar::Bool(false));
    check_resolved("yES", Scalar::Text);
    check_resolved("12", Scalar::Int(12));
    check_resolved("-0x1F", Scalar::Int(-31));
    check_resolved("0o17", Scalar::Int(15));
    check_resolved("017", Scalar::Int(15));
    check_resolved("0b101", Scalar::Int(5));
    check_resolved("1_000", Scalar::Int(1000));
    check_resolved("18446744073709551615", Scalar::Int(u64::MAX.into()));
    check_resolved("18446744073709551616", Scalar::Float(18_446_744_073_709_551_616.0));
    check_resolved("09", Scalar::Float(9.0));
    check_resolved("1.5e3", Scalar::Float(1500.0));
    check_resolved(".5", Scalar::Float(0.5));
    check_resolved("-.inf", Scalar::Float(f64::NEG_INFINITY));
    check_resolved("inf", Scalar::Text);
    check_resolved("1:30", Scalar::Text);
    check_resolved("-", Scalar::Text);
    check_resolved("+x", Scalar::Text);
    check_resolved("2001-02-03", Scalar::Timestamp);
    check_resolved("2001-02-03T04:05:06Z", Scalar::Timestamp);
    check_resolved("2001-02-03 04:05:06.5", Scalar::Timestamp);
    check_resolved("2001-13-03", Scalar::Text);
}

#[track_caller]
fn check_text(text: &str, expected: &str) {
    let pairs = vec![("k".to_owned(), Yaml::Text(text.to_owned()))];
    assert_eq!(print(&Yaml::Mapping(pairs)), format!("k: {expected}\n"));
}

#[test]
fn text_is_quoted_where_it_would_read_as_something_else() {
    check_text("a", "a");
    check_text("", "\"\"");
    check_text("yes", "\"yes\"");
    check_text("12", "\"12\"");
    check_text("12:30:45", "\"12:30:45\"");
    check_text("2001-02-03", "\"2001-02-03\"");
    check_text("a: b", "'a: b'");
    check_text("a:b", "a:b");
    check_text("a #b", "'a #b'");
    check_text("it's", "it's");
    check_text("'x", "'''x'");
    check_text("- a", "'- a'");
    check_text("-a", "-a");
    check_text("?a", "?a");
    check_text("[a", "'[a'");
    check_text(" a", "' a'");
    check_text("a\tb", "\"a\\tb\"");
    check_text("\u{7f}", "\"\\x7F\"");
    check_text("one\ntwo\n", "|\n  one\n  two");
    check_text("one\ntwo", "|-\n  one\n  two");
    check_text("a \nb", "\"a \\nb\"");
    check_text(&format!("{} b c", "a".repeat(90)), &format!("{}\n  b c", "a".repeat(90)));
}

#[test]
fn collections_take_go_yamls_layout() {
    let text = |text: &str| Yaml::Text(text.to_owned());
    let map = |pairs: Vec<(&str, Yaml)>| {
        Yaml::Mapping(pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    };
    let tree = map(vec![
        ("list", Yaml::Sequence(vec![text("a"), map(vec![("x", text("y")), ("z", Yaml::Null)])])),
        ("nested", Yaml::Sequence(vec![Yaml::Sequence(vec![text("a"), text("b")])])),
        ("empty", Yaml::Sequence(vec![])),
        ("none", map(vec![])),
        ("flow", Yaml::Flow(vec![text("a"), text("b,c")])),
    ]);
    assert_eq!(
        print(&tree),
        "list:\n- a\n- x: \"y\"\n  z: null\nnested:\n- - a\n  - b\nempty: []\nnone: {}\n\
         flow: [a, 'b,c']\n"
    );
    assert_eq!(print(&map(vec![])), "{}\n");
}

#[test]
fn keys_sort_by_number_where_they_hold_numbers() {
    let mut keys = ["b", "a10", "a9", "a", "_x", "B", "a09"];
    keys.sort_by(|a, b| natural_order(a, b));
    assert_eq!(keys, ["_x", "B", "a", "a9", "a09", "a10", "b"]);
}

#[test]
fn an_order_with_cycles_sorts_without_panic() {
    let keys = (0..2000_u64).map(|n| {
        let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        format!("{}{}{}", mixed % 120, ["x", "", ".", "_"][n as usize % 4], mixed % 7)
    });
    let mapping = Yaml::sorted_mapping(keys.map(|key| (key, Yaml::Null)));
    let Yaml::Mapping(pairs) = mapping else { panic!("a mapping stays one") };
    assert_eq!(pairs.len(), 2000);
}

#[test]
fn depth_is_bounded_through_aliases_too() {
    let mut text = String::from("- &a0 [x]\n");
    for level in 1..10 {
        let (open, close) = ("[".repeat(40), "]".repeat(40));
        text.push_str(&format!("- &a{level} {open}*a{}{close}\n", level - 1));
    }
    let mut value = Yaml::Null;
    let abort = super::decode(&text, &mut value).unwrap_err();
    assert!(abort.message.ends_with("nested deeper than 200"), "{}", abort.message);
    let deep = format!("{}{}", "[".repeat(150), "]".repeat(150));
    super::decode(&deep, &mut value).unwrap();
}

#[test]
fn no_text_makes_the_reader_panic() {
    proptest::proptest!(|(text in "[-a:\\[\\]{}&*!|>'\"\n 0<#%@,?~=.é]{0,60}")| {
        let mut value = Yaml::Null;
        if super::decode(&text, &mut value).is_ok() {
            super::print(&value);
        }
    });
}

#[test]
fn what_is_printed_reads_as_the_same() {
    proptest::proptest!(|(key in "[a-z0-9:# ]{0,8}", text in "[ -~\n\té]{0,120}", flow in "[ -~é]{0,60}")| {
        let value = Yaml::Mapping(vec![
            (key, Yaml::Text(text)),
            ("list".to_owned(), Yaml::Flow(vec![Yaml::Text(flow), Yaml::Text("x".to_owned())])),
        ]);
        let printed = print(&value);
        let mut read = BTreeMap::<String, Yaml>::new();
        super::decode(&printed, &mut read).unwrap_or_else(|abort| panic!("{abort}\n{printed}"));
        let Yaml::Mapping(pairs) = value else { unreachable!() };
        for (key, value) in pairs {
            let value = match value {
                Yaml::Flow(items) => Yaml::Sequence(items),
                value => value,
            };
            proptest::prop_assert_eq!(read.get(&key), Some(&value), "{}", printed);
        }
    });
}

#[test]
fn floats_print_in_gos_shortest_form() {
    for (value, expected) in
        [(0.5, "0.5"), (1e6, "1e+06"), (123_456.0, "123456"), (1e-5, "1e-05"), (f64::NAN, ".nan")]
    {
        assert_eq!(float_text(value), expected);
    }
}
