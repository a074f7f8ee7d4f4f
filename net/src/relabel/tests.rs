//! Cases of Prometheus's `relabel_test.go`, as text.

use engine::model::LabelsBuilder;
use proptest::prelude::*;

use super::{Action, RelabelConfig, Rules};
use crate::wire::names::NameValidation;

/// A rule from `key=value` parts with ` | ` between them; `source_labels` are parted by commas.
fn rule(text: &str) -> RelabelConfig {
    let mut config = RelabelConfig::default();
    for part in text.split(" | ") {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        match key {
            "source" => {
                config.source_labels = Some(value.split(',').map(Into::into).collect());
            }
            "separator" => config.separator = value.into(),
            "regex" => config.regex = Some(value.into()),
            "modulus" => config.modulus = value.parse().unwrap(),
            "target" => config.target_label = value.into(),
            "replacement" => config.replacement = value.into(),
            "legacy" => config.name_validation = NameValidation::Legacy,
            action => config.action = Action::from_text(action).unwrap(),
        }
    }
    config
}

fn labels(text: &str) -> LabelsBuilder {
    let mut labels = LabelsBuilder::default();
    for pair in text.split(' ').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap();
        labels.set(name.as_bytes(), value.as_bytes());
    }
    labels
}

fn text(labels: &LabelsBuilder) -> String {
    let pairs = labels.iter().map(|(name, value)| {
        format!("{}={}", String::from_utf8_lossy(name), String::from_utf8_lossy(value))
    });
    pairs.collect::<Vec<_>>().join(" ")
}

/// `expected` is `dropped` or the labels.
#[track_caller]
fn check(input: &str, rules: &[&str], expected: &str) {
    let configs: Vec<_> = rules.iter().map(|text| rule(text)).collect();
    for config in &configs {
        assert_eq!(config.validate(), Ok(()));
    }
    let mut labels = labels(input);
    let is_kept = Rules::new(&configs).unwrap().apply(&mut labels);
    assert_eq!(if is_kept { text(&labels) } else { "dropped".into() }, expected, "{rules:?}");
}

#[test]
fn replace() {
    check(
        "a=foo b=bar c=baz",
        &["source=a | regex=f(.*) | target=d | replacement=ch${1}-ch${1}"],
        "a=foo b=bar c=baz d=choo-choo",
    );
    check(
        "a=foo b=bar c=baz",
        &[
            "source=a,b | regex=f(.*);(.*)r | target=a | replacement=b${1}${2}m",
            "source=c,a | regex=(b).*b(.*)ba(.*) | target=d | replacement=$1$2$2$3",
        ],
        "a=boobam b=bar c=baz d=boooom",
    );
    check("a=abc", &["source=a | regex=.*(b).* | target=d"], "a=abc d=b");
    check("a=boo", &["source=a | regex=f | target=b | replacement=bar"], "a=boo");
    // An empty replacement removes the label.
    check("a=foo f=baz", &["source=a | regex=(f).* | target=$1 | replacement=$2"], "a=foo");
    check("a=foo", &["source=a | target=a | replacement="], "");
    check("a=foo", &["target=b | replacement=x"], "a=foo b=x");
    check("a=foo", &["target=b"], "a=foo");
    check(
        "a=line1\nline2 b=bar",
        &["source=a | regex=line1.*line2 | target=d | replacement=match${1}"],
        "a=line1\nline2 b=bar d=match",
    );
    check("utf-8.label=x", &["source=utf-8.label | target=d"], "d=x utf-8.label=x");
    check(
        "a=x",
        &["source=a | target=utf-8.label${1} | regex=x | replacement=m"],
        "a=x utf-8.label=m",
    );
    check(
        "a=xy",
        &["source=a | target=l_$1 | regex=(x)(?<second>y) | replacement=v_$second"],
        "a=xy l_x=v_y",
    );
    check(
        "__name__=http_requests_total",
        &["source=__name__ | regex=.*_total$ | target=__type__ | replacement=counter"],
        "__name__=http_requests_total __type__=counter",
    );
}

#[test]
fn replace_with_a_target_made_of_groups() {
    let regex = "regex=some-([^-]+)-([^,]+)";
    check(
        "a=some-name-value",
        &[&format!("source=a | {regex} | replacement=${{2}} | target=${{1}}")],
        "a=some-name-value name=value",
    );
    check(
        "a=some-name-value",
        &[&format!("source=a | {regex} | replacement=${{3}} | target=${{1}}")],
        "a=some-name-value",
    );
    check(
        "a=some-name-0",
        &[&format!("source=a | {regex} | replacement=${{1}} | target=${{3}}")],
        "a=some-name-0",
    );
    check(
        "a=some-name-0",
        &[&format!("legacy | source=a | {regex} | replacement=x | target=${{2}}")],
        "a=some-name-0",
    );
    check(
        "__meta_sd_tags=path:/secret,job:some-job,label:foo=bar",
        &[
            "source=__meta_sd_tags | regex=(?:.+,|^)path:(/[^,]+).* | target=__metrics_path__",
            "source=__meta_sd_tags | regex=(?:.+,|^)job:([^,]+).* | target=job",
            "source=__meta_sd_tags | regex=(?:.+,|^)label:([^=]+)=([^,]+).* | replacement=${2} | target=${1}",
        ],
        "__meta_sd_tags=path:/secret,job:some-job,label:foo=bar __metrics_path__=/secret foo=bar job=some-job",
    );
}

#[test]
fn keep_and_drop() {
    check("a=foo", &["drop | source=a | regex=.*o.*", "source=a | target=d"], "dropped");
    check("a=foo", &["drop | source=a | regex=no-match"], "a=foo");
    check("a=foo", &["drop | source=a | regex=f|o"], "a=foo");
    check("a=foo", &["keep | source=a | regex=no-match"], "dropped");
    check("a=foo", &["keep | source=a | regex=f.*"], "a=foo");
    check("a=foo", &["keep | source=a,b | separator=- | regex=foo-"], "a=foo");
    let ports = "__port1=1234 __port2=5678 __tmp_port=1234";
    check(ports, &["keepequal | source=__tmp_port | target=__port1"], ports);
    check(ports, &["dropequal | source=__tmp_port | target=__port1"], "dropped");
    check(ports, &["dropequal | source=__tmp_port | target=__port2"], ports);
    check(ports, &["keepequal | source=__tmp_port | target=__port2"], "dropped");
}

#[test]
fn hashes() {
    check(
        "a=foo b=bar c=baz",
        &["hashmod | source=c | target=d | modulus=1000"],
        "a=foo b=bar c=baz d=976",
    );
    check("a=foo\nbar", &["hashmod | source=a | target=b | modulus=1000"], "a=foo\nbar b=734");
}

#[test]
fn names() {
    check(
        "a=foo b1=bar b2=baz",
        &["labelmap | regex=(b.*) | replacement=bar_${1}"],
        "a=foo b1=bar b2=baz bar_b1=bar bar_b2=baz",
    );
    check(
        "__meta_my_bar=aaa __meta_my_baz=bbb __meta_other=ccc a=foo",
        &["labelmap | regex=__meta_(my.*) | replacement=${1}"],
        "__meta_my_bar=aaa __meta_my_baz=bbb __meta_other=ccc a=foo my_bar=aaa my_baz=bbb",
    );
    check("a=foo b1=bar b2=baz", &["labelkeep | regex=(b.*)"], "b1=bar b2=baz");
    check("a=foo b1=bar b2=baz", &["labeldrop | regex=(b.*)"], "a=foo");
    check(
        "__meta_port=9091 name=foo",
        &[
            "labeldrop | regex=^name$",
            "source=__meta_port | regex=(.+) | replacement=metrics | target=name",
            "keep | source=name | regex=^metrics$",
        ],
        "__meta_port=9091 name=metrics",
    );
}

#[test]
fn cases() {
    check(
        "foo=bAr123Foo",
        &["uppercase | source=foo | target=up", "lowercase | source=foo | target=low"],
        "foo=bAr123Foo low=bar123foo up=BAR123FOO",
    );
}

#[track_caller]
fn check_invalid(text: &str, expected: &str) {
    assert_eq!(rule(text).validate().unwrap_err(), expected, "{text}");
}

#[test]
fn invalid_rules_are_named_in_prometheus_words() {
    check_invalid(
        "replace",
        "relabel configuration for replace action requires 'target_label' value",
    );
    check_invalid(
        "lowercase",
        "relabel configuration for lowercase action requires 'target_label' value",
    );
    check_invalid(
        "hashmod | target=a",
        "relabel configuration for hashmod requires non-zero modulus",
    );
    check_invalid(
        "lowercase | legacy | target=${3}",
        "\"${3}\" is invalid 'target_label' for lowercase action",
    );
    check_invalid(
        "hashmod | modulus=1 | legacy | target=a-b",
        "\"a-b\" is invalid 'target_label' for hashmod action",
    );
    check_invalid(
        "uppercase | target=a | replacement=x",
        "'replacement' can not be set for uppercase action",
    );
    check_invalid(
        "labelmap | legacy | replacement=a-b",
        "\"a-b\" is invalid 'replacement' for labelmap action",
    );
    check_invalid(
        "keepequal | target=a | regex=(.*)",
        "keepequal action requires only 'source_labels' and `target_label`, and no other fields",
    );
    check_invalid(
        "labeldrop | source=a",
        "labeldrop action requires only 'regex', and no other fields",
    );
    check_invalid(
        "labelkeep | regex=a | separator=-",
        "labelkeep action requires only 'regex', and no other fields",
    );
    assert_eq!(Action::from_text("Foo").unwrap_err(), "unknown relabel action \"Foo\"");
    assert_eq!(Action::from_text("KeepEqual"), Ok(Action::KeepEqual));
    for valid in [
        "lowercase | target=${3}",
        "target=0${3}",
        "target=-${3}",
        "labelmap | legacy | regex=a(.+)",
    ] {
        assert_eq!(rule(valid).validate(), Ok(()), "{valid}");
    }
    let refusal = Rules::new(&[rule("regex=a( | target=b")]).unwrap_err();
    assert_eq!(refusal, "error parsing regexp: missing closing ): `^(?s:a()$`");
}

#[test]
fn legacy_targets_may_hold_variables() {
    for (target, is_valid) in [
        ("-label", false),
        ("label", true),
        ("label${1}", true),
        ("${1}label", true),
        ("${1}", true),
        ("${", false),
        ("$", false),
        ("${}", false),
        ("foo${", false),
        ("$1", true),
        ("asd$2asd", true),
        ("-foo${1}bar-", false),
        ("bar.foo${1}bar", false),
        ("_${1}_", true),
        ("foo${bar}foo", true),
        ("9a", false),
    ] {
        let config = rule(&format!("legacy | target={target}"));
        assert_eq!(config.validate().is_ok(), is_valid, "{target}");
    }
}

proptest! {
    #[test]
    fn no_values_bring_a_rule_down(
        values in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..8), 3),
        action in 0usize..11,
        template in "[a-z$\\{\\}0-9]{0,6}",
    ) {
        let actions = ["replace", "keep", "drop", "keepequal", "dropequal", "hashmod", "labelmap",
            "labeldrop", "labelkeep", "lowercase", "uppercase"];
        let mut config = rule(&format!("{} | source=a,b | target=t | modulus=7", actions[action]));
        config.regex = Some("(.*?)(x*)".into());
        config.replacement = template.into();
        let mut labels = LabelsBuilder::default();
        for (name, value) in [&b"a"[..], b"b", b"c"].iter().zip(&values) {
            labels.set(name, value);
        }
        Rules::new(&[config]).unwrap().apply(&mut labels);
    }
}
