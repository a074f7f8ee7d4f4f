//! What a rule file is refused for, text by text.

use super::{RuleGroups, RuleOptions};

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let found = RuleGroups::parse(text, &RuleOptions::default()).err().unwrap_or_default();
    assert_eq!(found, expected, "{text}");
}

#[test]
fn rules_are_refused_with_their_places() {
    check(
        r#"groups:
- name: a
  rules:
  - record: x
    alert: y
    expr: up
  - expr: up
  - record: x
    expr: up +
  - record: x
  - record: "a{b}"
    expr: |
      sum(
       foo bar
      )
    for: 5m
    annotations: {a: b}
    labels: {"": x, __name__: y, ok: "1"}
- name: a
  rules: []
- rules:
  - alert: z z
    expr: up
    labels: {a: "{{ foo }}"}
    annotations: {b: "{{ $x }}", "": "{{"}
"#,
        &[
            r#"4:13: 5:12: group "a", rule 1, "y": only one of 'record' and 'alert' must be set"#,
            r#"0:0: 0:0: group "a", rule 2, "": one of 'record' or 'alert' must be set"#,
            r#"9:11: group "a", rule 3, "x": could not parse expression: 1:5: parse error: unexpected end of input"#,
            r#"0:0: group "a", rule 4, "x": field 'expr' must be set in rule"#,
            r#"12:11: group "a", rule 5, "a{b}": could not parse expression: 2:6: parse error: unexpected identifier "bar" in aggregation"#,
            r#"11:13: group "a", rule 5, "a{b}": invalid field 'annotations' in recording rule"#,
            r#"11:13: group "a", rule 5, "a{b}": invalid field 'for' in recording rule"#,
            r#"11:13: group "a", rule 5, "a{b}": braces present in the recording rule name; should it be in expr?: a{b}"#,
            r#"group "a", rule 5, "a{b}": invalid label name: "#,
            r#"group "a", rule 5, "a{b}": invalid label name: __name__"#,
            r#"0:0: groupname: "a" is repeated in the same file"#,
            "0:0: Groupname must not be empty",
            r#"group "", rule 1, "z z": invalid annotation name: "#,
            r#"group "", rule 1, "z z": label "a": template: __alert_z z:1: function "foo" not defined"#,
            r#"group "", rule 1, "z z": annotation "": template: __alert_z z:1: unclosed action"#,
            r#"group "", rule 1, "z z": annotation "b": template: __alert_z z:1: undefined variable "$x""#,
        ],
    );
}

#[test]
fn both_readings_tell_their_faults() {
    check(
        "groups:\n- name: a\n  foo: 1\n  limit: abcdefghijklmnop\n  rules:\n  - record: [x]\n    \
         expr: up\n    bar: 2\n    labels: [a]\n    \n  - record: x\n    record: y\n    expr: up\n  \
         - 5\n  -\n",
        &[
            "yaml: unmarshal errors:\n  \
             line 3: field foo not found in type rulefmt.RuleGroup\n  \
             line 4: cannot unmarshal !!str `abcdefg...` into int\n  \
             line 6: cannot unmarshal !!seq into string\n  \
             line 8: field bar not found in type rulefmt.Rule\n  \
             line 9: cannot unmarshal !!seq into map[string]string\n  \
             line 12: mapping key \"record\" already defined at line 11\n  \
             line 14: cannot unmarshal !!int `5` into rulefmt.Rule",
            "yaml: unmarshal errors:\n  \
             line 4: cannot unmarshal !!str `abcdefg...` into int\n  \
             line 9: cannot unmarshal !!seq into map[string]string\n  \
             line 12: mapping key \"record\" already defined at line 11\n  \
             line 14: cannot unmarshal !!int `5` into rulefmt.RuleNode",
        ],
    );
    check(
        "groupz: []",
        &["yaml: unmarshal errors:\n  line 1: field groupz not found in type rulefmt.RuleGroups"],
    );
    check(
        "groups: [{name: a, interval: 1x}]",
        &[r#"unknown unit "x" in duration "1x""#, r#"unknown unit "x" in duration "1x""#],
    );
    check("", &[]);
    check("groups:", &[]);
}

#[test]
fn unknown_fields_may_be_passed_over() {
    let text = "foo: 1\ngroups: [{name: a, bar: 2, rules: [{record: x, expr: up, baz: 3}]}]\n";
    let options = RuleOptions { ignore_unknown_fields: true, ..RuleOptions::default() };
    assert_eq!(RuleGroups::parse(text, &options).map(|file| file.groups.len()), Ok(1));
    assert!(RuleGroups::parse(text, &RuleOptions::default()).is_err());
}

#[test]
fn groups_become_complete() {
    let text = "groups:\n- name: a\n  labels: {x: '1', y: '2'}\n  rules:\n  - {alert: A, expr: up == 0, for: 5m, labels: {y: ''}, annotations: {z: t}}\n  - {record: r, expr: up}\n- {name: b, interval: 5s, query_offset: 0s, limit: 3, rules: []}\n---\nmore: 1\n";
    let file = RuleGroups::parse(text, &RuleOptions::default()).unwrap();
    assert_eq!(file.warnings.len(), 1);
    let groups = file.specs("f.yml", 60_000);
    assert_eq!((groups[0].interval_ms, groups[1].interval_ms), (60_000, 5_000));
    assert_eq!((groups[0].query_offset_ms, groups[1].query_offset_ms), (None, Some(0)));
    assert_eq!(groups[1].limit, 3);
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(groups[0].rules[0].labels, [pair("x", "1"), pair("y", "")]);
    assert_eq!(groups[0].rules[1].labels, [pair("x", "1"), pair("y", "2")]);
    assert_eq!(groups, file.specs("f.yml", 60_000));
    assert_ne!(groups, file.specs("g.yml", 60_000));
}
