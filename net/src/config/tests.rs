//! What is printed, what is refused, and how other files are found.

use std::path::Path;

use super::{Config, LoadOptions, Loaded, Millis, glob};
use crate::config::{ByteSize, Secret, Url};

fn parse(text: &str) -> Result<Config, super::yaml::Abort> {
    let lookup = |name: &str| (name == "FOO").then(|| "bar".to_owned());
    Config::parse(text, &LoadOptions::default(), lookup).map(|(config, _)| config)
}

#[track_caller]
fn check_printed(text: &str, expected: &str) {
    let printed = parse(text).unwrap().to_yaml_text();
    assert_eq!(printed, expected);
    let again = parse(&printed).unwrap();
    assert_eq!(again.to_yaml_text(), expected, "what is printed must load as the same");
}

/// `expected` is Prometheus's own text; `line` where the fault is.
#[track_caller]
fn check_refused(text: &str, line: usize, expected: &str) {
    let abort = parse(text).map(|config| config.to_yaml_text()).unwrap_err();
    assert_eq!((abort.message.as_str(), abort.line), (expected, line));
}

const FULL: &str = include_str!("testdata/full.yml");
/// Compared byte for byte with what Prometheus 3.5 prints for the same file; the rest are keys
/// that 3.14 adds.
const FULL_PRINTED: &str = include_str!("testdata/full.printed.yml");

#[test]
fn printing_gives_prometheus_bytes() {
    assert_eq!(parse(FULL).unwrap().to_yaml_text(), FULL_PRINTED);
    check_printed(
        "",
        "global:\n  scrape_interval: 1m\n  scrape_timeout: 10s\n  evaluation_interval: 1m\n  \
         metric_name_validation_scheme: utf8\n  metric_name_escaping_scheme: allow-utf-8\n  \
         scrape_native_histograms: false\n  extra_scrape_metrics: false\nruntime:\n  gogc: 75\n\
         storage:\n  tsdb:\n    outofordertimewindow: 0\n    retention:\n      time: 15d\n\
         otlp:\n  translation_strategy: UnderscoreEscapingWithSuffixes\n  \
         label_name_underscore_sanitization: true\n  \
         label_name_preserve_multiple_underscores: true\n",
    );
}

#[test]
fn secrets_never_show() {
    let text = "remote_write:\n- url: http://u:hidden@h/p\n  \
                basic_auth: {username: a, password: hidden}\n";
    let config = parse(text).unwrap();
    for shown in [config.to_yaml_text(), format!("{config:?}")] {
        assert!(!shown.contains("hidden"), "{shown}");
    }
    let basic = config.remote_write[0].http.basic_auth.as_ref().unwrap();
    assert_eq!(basic.password.reveal(), "hidden");
    assert_eq!(format!("{:?}", Secret::new("hidden")), "<secret>");
}

#[test]
fn faults_carry_their_lines() {
    let unmarshal = |text: &str| format!("yaml: unmarshal errors:\n  {text}");
    check_refused(
        "global:\n  nope: 1\n  sample_limit: abc\n",
        2,
        &unmarshal(
            "line 2: field nope not found in type config.plain\n  \
             line 3: cannot unmarshal !!str `abc` into uint",
        ),
    );
    check_refused(
        "scrape_configs:\n- job_name: a\n  honor_labels: a long text\n",
        3,
        &unmarshal("line 3: cannot unmarshal !!str `a long ...` into bool"),
    );
    check_refused(
        "rule_files: a\n",
        1,
        &unmarshal("line 1: cannot unmarshal !!str `a` into []string"),
    );
    check_refused("global:\n  scrape_interval: 1x\n", 2, "unknown unit \"x\" in duration \"1x\"");
    check_refused("scrape_configs:\n- job_name: a\n- honor_labels: true\n", 3, "job_name is empty");
    check_refused(
        "global:\n  external_labels: {a: b, a: c}\n",
        2,
        &unmarshal("line 2: key \"a\" already set in map"),
    );
}

#[test]
fn faults_name_gos_types() {
    for (text, fault) in [
        ("global: {scrape_protocols: a}", "!!str `a` into []config.ScrapeProtocol"),
        ("global: {scrape_protocols: [[]]}", "!!seq into config.ScrapeProtocol"),
        ("global: {body_size_limit: []}", "!!seq into units.Base2Bytes"),
        ("global: {external_labels: []}", "!!seq into map[string]string"),
        ("scrape_configs: {}", "!!map into []*config.ScrapeConfig"),
        ("scrape_configs: [{fallback_scrape_protocol: []}]", "!!seq into config.ScrapeProtocol"),
        ("scrape_configs: [{params: a}]", "!!str `a` into url.Values"),
        ("scrape_configs: [{static_configs: a}]", "!!str `a` into []*targetgroup.Group"),
        ("scrape_configs: [{static_configs: [{labels: a}]}]", "!!str `a` into model.LabelSet"),
        ("scrape_configs: [{static_configs: [{labels: {a: []}}]}]", "!!seq into model.LabelValue"),
        ("scrape_configs: [{http_headers: a}]", "!!str `a` into config.Headers"),
        ("scrape_configs: [{proxy_connect_header: a}]", "!!str `a` into config.ProxyHeader"),
        ("scrape_configs: [{proxy_connect_header: {a: b}}]", "!!str `b` into []config.Secret"),
        ("scrape_configs: [{bearer_token: []}]", "!!seq into config.plain"),
        (
            "scrape_configs: [{relabel_configs: [{source_labels: a}]}]",
            "!!str `a` into model.LabelNames",
        ),
        ("scrape_configs: [{relabel_configs: [{modulus: a}]}]", "!!str `a` into uint64"),
        ("alerting: {alertmanagers: [{api_version: []}]}", "!!seq into config.plain"),
        ("remote_write: {}", "!!map into []*config.RemoteWriteConfig"),
        ("remote_read: {}", "!!map into []*config.RemoteReadConfig"),
        ("storage: {exemplars: {max_exemplars: a}}", "!!str `a` into int64"),
        ("tracing: {client_type: []}", "!!seq into config.plain"),
    ] {
        let expected = format!("yaml: unmarshal errors:\n  line 1: cannot unmarshal {fault}");
        check_refused(text, 1, &expected);
    }
    check_refused(
        "global: {body_size_limit: 99999999999999999999}",
        1,
        "units: invalid 99999999999999999999",
    );
    let empty = "scrape_configs: [{tls_config: {min_version: ''}}]";
    check_refused(empty, 1, "unknown TLS version: ");
    check_refused("global: {sample_limit: !!int a}", 1, "yaml: cannot decode !!str `a` as a !!int");
}

#[test]
fn yaml_means_what_go_yaml_means() {
    let config = parse(
        "scrape_configs:\n- &base\n  job_name: 0123\n  honor_labels: yes\n  sample_limit: 1_000\n  \
         label_limit: 0x10\n- <<: *base\n  job_name: ~x\n  metrics_path: ~\n",
    )
    .unwrap();
    let [first, second] = &config.scrape_configs[..] else { panic!("two jobs") };
    assert_eq!(first.job_name, "0123");
    assert_eq!((first.sample_limit, first.label_limit), (1000, 16));
    assert_eq!((second.job_name.as_str(), second.honor_labels), ("~x", true));
    assert_eq!(second.metrics_path, "", "null is the zero value, not the default");
}

#[test]
fn aliases_cannot_make_a_small_file_large() {
    let mut text = String::from("scrape_configs:\n- job_name: a\n  oauth2:\n    claims:\n");
    text.push_str("      a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..9 {
        let inner = vec![format!("*a{}", level - 1); 10].join(", ");
        text.push_str(&format!("      a{level}: &a{level} [{inner}]\n"));
    }
    let abort = parse(&text).map(|_| ()).unwrap_err();
    assert_eq!(abort.message, "yaml: document contains excessive aliasing");
}

#[test]
fn external_labels_take_the_environment() {
    let config = parse(
        "global:\n  external_labels: {a: '$FOO', b: '${FOO}x', c: '$$FOO', d: '$NONE', e: 'x$'}\n",
    )
    .unwrap();
    let labels = &config.global.external_labels;
    let values: Vec<&str> = labels.values().map(String::as_str).collect();
    assert_eq!(values, ["bar", "barx", "$FOO", "", "x$"]);
}

#[test]
fn units_read_and_print() {
    #[track_caller]
    fn duration(text: &str, ms: i64, printed: &str) {
        assert_eq!(Millis::parse(text), Ok(Millis(ms)));
        assert_eq!(Millis(ms).to_string(), printed);
    }
    duration("0", 0, "0s");
    duration("90d", 90 * 86_400_000, "90d");
    duration("1h30m", 5_400_000, "1h30m");
    duration("2w", 14 * 86_400_000, "2w");
    duration("1500ms", 1500, "1s500ms");
    for text in ["", "1", "-1s", "1m1h", "1s1s", "300y", "99999999999999999999s"] {
        assert!(Millis::parse(text).is_err(), "{text}");
    }
    #[track_caller]
    fn size(text: &str, bytes: i64, printed: &str) {
        assert_eq!(ByteSize::parse(text), Ok(ByteSize(bytes)));
        assert_eq!(ByteSize(bytes).to_string(), printed);
    }
    size("0", 0, "0B");
    size("15MB", 15 << 20, "15MiB");
    size("1.5GiB", 3 << 29, "1GiB512MiB");
    size("1KB1B", 1025, "1KiB1B");
    assert_eq!(ByteSize::parse("100"), Err("units: unknown unit  in 100".to_owned()));
    assert_eq!(ByteSize::parse("1kB"), Err("units: unknown unit kB in 1kB".to_owned()));
}

#[test]
fn urls_are_checked_and_their_passwords_hidden() {
    let url = Url::parse("https://u:p%41@host:1/x?y#z").unwrap();
    assert_eq!((url.scheme(), url.host()), ("https", "host:1"));
    assert_eq!(url.redacted(), "https://u:xxxxx@host:1/x?y#z");
    for (text, why) in [
        ("://x", "missing protocol scheme"),
        ("http://h:a/", "invalid port \":a\" after host"),
        ("a:b:c/%zz", "invalid URL escape \"%zz\""),
        ("1a:b", "first path segment in URL cannot contain colon"),
    ] {
        assert_eq!(Url::parse(text).unwrap_err(), format!("parse \"{text}\": {why}"));
    }
}

#[test]
fn patterns_find_files() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/config");
    let names = |pattern: &str| -> Vec<String> {
        let found = glob(&format!("{folder}/{pattern}")).unwrap();
        let names = found.iter().filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()));
        names.collect()
    };
    assert_eq!(names("sd/*.rs"), ["aws.rs", "clouds.rs", "clusters.rs", "mod.rs"]);
    assert_eq!(names("sd/[a-b]?s.rs"), ["aws.rs"]);
    assert_eq!(names("s*/[^acm]*.rs"), [""; 0]);
    assert_eq!(names("sd/mod.rs"), ["mod.rs"]);
    assert_eq!(names("none/*.rs"), [""; 0]);
    assert!(glob("a/[").is_err());
}

#[test]
fn the_embedded_configuration_loads() {
    let loaded = Loaded::embedded(&LoadOptions::default());
    assert_eq!(loaded.jobs.len(), 1);
    assert_eq!(loaded.jobs[0].scrape_interval_ms(), 15_000);
    assert!(loaded.warnings.is_empty());
}

#[test]
fn a_missing_file_is_one_sentence() {
    let error = Loaded::from_file(Path::new("/none/x.yml"), &LoadOptions::default()).unwrap_err();
    assert_eq!(error.to_string(), "open /none/x.yml: no such file or directory");
}

#[test]
fn a_damaged_file_is_refused_or_loads_but_never_panics() {
    let lines: Vec<&str> = FULL.lines().collect();
    proptest::proptest!(|(
        at in 0..lines.len(),
        from in 0..lines.len(),
        junk in "[ -~]{0,12}",
        how in 0..3,
    )| {
        let mut damaged = lines.clone();
        let longer = format!("{}{junk}", lines[at]);
        match how {
            0 => drop(damaged.remove(at)),
            1 => damaged[at] = lines[from],
            _ => damaged[at] = &longer,
        }
        if let Ok(config) = parse(&damaged.join("\n")) {
            parse(&config.to_yaml_text()).unwrap_or_else(|abort| panic!("{abort}"));
        }
    });
}
