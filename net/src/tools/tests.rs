//! Verdicts and texts on the files that promtool is tested with, and on own ones.

use std::path::{Path, PathBuf};

use super::{Console, run_on};

const SHARED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/conformance");

/// Exit code, standard output and standard error.
fn run(arguments: &[&str], input: &str) -> (u8, String, String) {
    let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut input = input.as_bytes();
    let mut console = Console { input: &mut input, out: &mut out, err: &mut err };
    let code = run_on("hearth", &arguments, &mut console);
    let text = |bytes| String::from_utf8(bytes).expect("texts are UTF-8");
    (code, text(out), text(err))
}

/// Exit codes of promtool 3.14 on its own files.
const VERDICTS: &[(&str, &[(&str, u8)])] = &[
    (
        "test rules",
        &[
            ("at-modifier-test.yml", 0),
            ("bad-input-series.yml", 1),
            ("bad-promql.yml", 1),
            ("bad-rules-error-test.yml", 1),
            ("bad-rules-syntax-test.yml", 1),
            ("failing.yml", 1),
            ("long-period.yml", 0),
            ("negative-offset-test.yml", 0),
            ("no-test-group-interval.yml", 0),
            ("rules_run.yml", 1),
            ("rules_run_extrafields.yml", 1),
            ("rules_run_fuzzy.yml", 1),
            ("rules_run_no_fuzzy.yml", 1),
            ("start-time-test.yml", 0),
            ("unittest.yml", 0),
        ],
    ),
    (
        "check rules --lint-fatal",
        &[
            ("at-modifier.yml", 0),
            ("bad-rules-error.yml", 0),
            ("bad-rules-syntax.yml", 1),
            ("features.yml", 1),
            ("negative-offset.yml", 0),
            ("prometheus-config.rules.good.yml", 0),
            ("prometheus-rules.lint.yml", 3),
            ("rules-bad.yml", 1),
            ("rules.yml", 0),
            ("rules_duplicates.yml", 3),
            ("rules_extrafields.yml", 1),
            ("../rules/alert_rule.yaml", 0),
            ("../rules/alert_rule1.yaml", 0),
            ("../rules/invalid_rules.yaml", 1),
            ("../rules/rules.yaml", 0),
            ("../rules/rules1.yaml", 0),
            ("../rules/rules2.yaml", 0),
            ("../rules/rules2_copy.yaml", 0),
            ("../rules/rules_chain.yaml", 0),
            ("../rules/rules_dependencies.yaml", 0),
            ("../rules/rules_indeterminates.yaml", 0),
            ("../rules/rules_multi_doc.yaml", 0),
            ("../rules/rules_multiple.yaml", 0),
            ("../rules/rules_multiple_dependents_on_base.yaml", 0),
            ("../rules/rules_multiple_groups.yaml", 0),
            ("../rules/rules_multiple_independent.yaml", 0),
        ],
    ),
    (
        "check config --lint=all --lint-fatal",
        &[
            ("authorization_credentials_file.bad.yml", 1),
            ("authorization_credentials_file.good.yml", 0),
            ("prometheus-aws-sd-empty-region.good.yml", 0),
            ("prometheus-config.bad.yml", 1),
            ("prometheus-config.good.yml", 0),
            ("prometheus-config.lint.too_long_scrape_interval.yml", 3),
            ("prometheus-config.lint.yml", 3),
            ("url_in_alert_targetgroup_with_relabel_config.bad.yml", 1),
            ("url_in_alert_targetgroup_with_relabel_config.good.yml", 0),
            ("url_in_scrape_targetgroup_with_relabel_config.bad.yml", 1),
            ("url_in_scrape_targetgroup_with_relabel_config.good.yml", 0),
        ],
    ),
    (
        "check config --syntax-only",
        &[
            ("authorization_credentials_file.bad.yml", 0),
            ("config_with_rule_files.yml", 0),
            ("config_with_service_discovery_files.yml", 0),
            ("config_with_tls_files.yml", 0),
            ("prometheus-config.lint.yml", 0),
        ],
    ),
];

#[test]
fn files_have_the_verdict_they_have_in_promtool() {
    let folder = Path::new(SHARED).join("promtool");
    if !folder.exists() {
        return;
    }
    let mut wrong = Vec::new();
    let mut count = 0;
    for (command, files) in VERDICTS {
        for (name, expected) in *files {
            let file: PathBuf = folder.join(name);
            let file = file.to_string_lossy();
            let arguments: Vec<&str> = command.split(' ').chain([&*file]).collect();
            let (code, _, err) = run(&arguments, "");
            count += 1;
            if code != *expected {
                wrong.push(format!("{command} {name}: {code} instead of {expected}: {err}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {count}\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn rules_are_read_from_standard_input() {
    let rules = "groups: [{name: g, rules: [{record: a, expr: up}]}]";
    let told =
        (0, "Checking standard input\n  SUCCESS: 1 rules found\n\n".to_owned(), String::new());
    assert_eq!(run(&["check", "rules"], rules), told);
    let twice = "groups: [{name: g, labels: {x: y}, rules: [{record: a, expr: up}, {record: a, expr: up}]}]";
    let lint = "  FAILED:\nlint error 1 duplicate rule(s) found.\nMetric: a\nLabel(s):\n\tx: y\n\
                Might cause inconsistency while recording expressions\n";
    let told = |code| (code, "Checking standard input\n\n".to_owned(), lint.to_owned());
    assert_eq!(run(&["check", "rules"], twice), told(0));
    assert_eq!(run(&["check", "rules", "--lint-fatal"], twice), told(3));
    assert_eq!(run(&["check", "rules", "--lint=none", "--lint-fatal"], twice).0, 0);
}

#[test]
fn arguments_are_refused_as_kingpin_refuses() {
    let error = |arguments: &[&str]| run(arguments, "").2;
    assert_eq!(
        error(&["check", "rules", "nothing.yml"]),
        "hearth: error: path 'nothing.yml' does not exist, try --help\n"
    );
    assert_eq!(
        error(&["check", "rules", "--nothing"]),
        "hearth: error: unknown long flag '--nothing', try --help\n"
    );
    assert_eq!(
        error(&["test", "rules"]),
        "hearth: error: required argument 'test-rule-file' not provided, try --help\n"
    );
    assert_eq!(
        error(&["check", "nothing"]),
        "hearth: error: expected command but got \"nothing\", try --help\n"
    );
}

#[test]
fn web_configs_are_checked_with_what_they_name() {
    let dir = std::env::temp_dir().join(format!("hearth-web-config-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a folder for files");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let write = |name: &str, text: &str| std::fs::write(dir.join(name), text).expect("a file");
    write("cert.pem", &made.cert.pem());
    write("key.pem", &made.signing_key.serialize_pem());
    write("good.yml", "tls_server_config: {cert_file: cert.pem, key_file: key.pem}");
    write("bad.yml", "tls_server_config: {cert_file: cert.pem, key_file: good.yml}");
    let path = |name: &str| dir.join(name).to_string_lossy().into_owned();
    let (good, bad) = (path("good.yml"), path("bad.yml"));
    let told = format!(
        "{good} SUCCESS\n{bad} FAILED: failed to load X509KeyPair: tls: failed to find any PEM data \
         in key input\n"
    );
    assert_eq!(run(&["check", "web-config", &good, &bad], ""), (1, String::new(), told));
    std::fs::remove_dir_all(dir).expect("the folder goes");
}

#[test]
fn jobs_of_other_files_are_checked_unless_syntax_is_all() {
    let dir = std::env::temp_dir().join(format!("hearth-job-files-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a folder for files");
    let write = |name: &str, text: &str| std::fs::write(dir.join(name), text).expect("a file");
    let jobs = "scrape_configs: [{job_name: a}]";
    write("jobs.yml", jobs);
    write("main.yml", &format!("{jobs}\nscrape_config_files: [jobs.yml]"));
    let path = |name: &str| dir.join(name).to_string_lossy().into_owned();
    let (main, jobs) = (path("main.yml"), path("jobs.yml"));
    let told = format!(
        "  FAILED: error loading scrape configs: \"{jobs}\": found multiple scrape configs with job \
         name \"a\", first found in main config file\n"
    );
    assert_eq!(run(&["check", "config", &main], ""), (1, format!("Checking {main}\n\n"), told));
    assert_eq!(run(&["check", "config", "--syntax-only", &main], "").0, 0);
    std::fs::remove_dir_all(dir).expect("the folder goes");
}

#[test]
fn a_check_writes_nothing() {
    let dir = std::env::temp_dir().join(format!("hearth-check-writes-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a folder for files");
    let main = dir.join("main.yml");
    let text = "scrape_configs: [{job_name: a, scrape_failure_log_file: failures.log, \
                static_configs: [{targets: [a:1]}]}]";
    std::fs::write(&main, text).expect("a file");
    let main = main.to_string_lossy();
    assert_eq!(run(&["check", "config", &main], "").0, 0);
    assert_eq!(run(&["check", "service-discovery", &main, "a"], "").0, 0);
    assert_eq!(std::fs::read_dir(&dir).expect("the folder").count(), 1);
    std::fs::remove_dir_all(&dir).expect("the folder goes");
}

#[test]
fn differences_are_shown_in_colours() {
    let dir = std::env::temp_dir().join(format!("hearth-test-diff-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a folder for files");
    std::fs::write(dir.join("rules.yml"), RULES).expect("a file");
    let tests = "rule_files: [rules.yml]\ntests:\n- input_series: [{series: up, values: '0x9'}]\n  \
                 alert_rule_test:\n  - eval_time: 2m\n    alertname: Down\n    exp_alerts: \
                 [{exp_labels: {severity: info, x: y}}]\n";
    std::fs::write(dir.join("tests.yml"), tests).expect("a file");
    let tests = dir.join("tests.yml");
    let (code, _, err) = run(&["test", "rules", "--diff", &tests.to_string_lossy()], "");
    let indent = " ".repeat(12);
    let lines = [
        "  FAILED:",
        "    alertname: Down, time: 2m, ",
        "        diff: [",
        "    {",
        "        \"Annotations\": {",
        "            \x1b[0;32m\"summary\": \" is 0: 1\"\x1b[0m",
        "        },",
        "        \"Labels\": {",
        "            \"alertname\": \"Down\",",
        "            \"severity\": \x1b[0;33m\"info\" => \"page\"\x1b[0m,",
        "            \x1b[0;31m\"x\": \"y\"\x1b[0m",
        "        }",
        "    }",
        "]",
        "",
    ];
    let lines: Vec<String> = (0..)
        .zip(lines)
        .map(|(at, line)| if (3..=13).contains(&at) { indent.clone() + line } else { line.into() })
        .collect();
    assert_eq!((code, err), (1, lines.join("\n")));
    std::fs::remove_dir_all(dir).expect("the folder goes");
}

const RULES: &str = r#"groups:
- name: g
  rules:
  - record: job:up:sum
    expr: sum by (job) (up)
  - alert: Down
    expr: up == 0
    for: 2m
    labels: {severity: page, cluster: "{{ $externalLabels.cluster }}"}
    annotations: {summary: "{{ $labels.instance }} is {{ $value }}: {{ query \"up\" | len }}"}
"#;

const TESTS: &str = r#"rule_files: [rules.yml]
tests:
- name: first
  interval: 1m
  external_labels: {cluster: c1}
  input_series:
  - {series: 'up{job="a", instance="x"}', values: '1 1 0x5'}
  - {series: 'h', values: '{{schema:0 count:3 sum:10 buckets:[1 2]}}x4'}
  alert_rule_test:
  - {eval_time: 3m, alertname: Down, exp_alerts: []}
  - eval_time: 5m
    alertname: Down
    exp_alerts:
    - exp_labels: {severity: page, cluster: c1, job: a, instance: x}
      exp_annotations: {summary: "x is 0: 1"}
  promql_expr_test:
  - expr: job:up:sum
    eval_time: 1m
    exp_samples: [{labels: 'job:up:sum{job="a"}', value: 1}]
  - expr: h
    eval_time: 0m
    exp_samples: [{labels: h, histogram: '{{schema:0 count:3 sum:10 buckets:[1 2]}}'}]
- name: second
  input_series: [{series: up, values: '0'}]
  alert_rule_test:
  - {eval_time: 2m, alertname: Down}
  promql_expr_test:
  - {expr: up, eval_time: 0, exp_samples: [{labels: up, value: 2}]}
"#;

#[test]
fn unit_tests_say_what_differs() {
    let dir = std::env::temp_dir().join(format!("hearth-test-rules-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("a folder for files");
    std::fs::write(dir.join("rules.yml"), RULES).expect("a file");
    std::fs::write(dir.join("tests.yml"), TESTS).expect("a file");
    let tests = dir.join("tests.yml");
    let tests = tests.to_string_lossy();
    let (code, out, err) = run(&["test", "rules", "--run=first", &tests], "");
    assert_eq!((code, out.as_str(), err.as_str()), (0, "  SUCCESS\n\n", ""));
    let junit = dir.join("junit.xml");
    let flag = format!("--junit={}", junit.display());
    let (code, _, err) = run(&["test", "rules", &flag, &tests], "");
    assert_eq!(code, 1);
    assert_eq!(
        err,
        "  FAILED:\n    name: second,\n    alertname: Down, time: 2m, \n        exp:[], \n        \
         got:[\n            0:\n              Labels:{alertname=\"Down\", severity=\"page\"}\n\
         \x20             Annotations:{summary=\" is 0: 1\"}\n            ]\n    \
         expr: \"up\", time: 0s,\n        exp: {__name__=\"up\"} 2E+00\n        \
         got: {__name__=\"up\"} 0E+00\n"
    );
    let xml = std::fs::read_to_string(junit).expect("the file is written");
    assert!(xml.contains("tests=\"2\" failures=\"2\" errors=\"0\""), "{xml}");
    let (_, _, debug) = run(&["test", "rules", "--debug", "--run=first", &tests], "");
    assert!(
        debug.contains("job:up:sum{job=\"a\"} =>") || debug.contains("{__name__=\"job:up:sum\""),
        "{debug}"
    );
    std::fs::remove_dir_all(dir).expect("the folder goes");
}
