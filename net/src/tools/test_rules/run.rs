//! One group of tests: its time from beginning to end, and what is asked on the way.

use std::path::PathBuf;
use std::sync::Arc;

use engine::exec::testing::block_on;
use engine::model::Labels;
use engine::promql::series::{Element, expand, parse_series_description};
use engine::rules::group::Evaluation;
use engine::rules::{AlertState, Globals, Group, RuleKind, RuleValue};

use super::Settings;
use super::diff::diff;
use super::file::{AlertTest, ExpectedSample, ExprTest, TestFile, TestGroup};
use super::report::{
    Pairs, ShownAlert, ShownSample, alerts_json, alerts_text, go_duration, indented, samples_text,
};
use super::store::Store;
use crate::config::rules::RuleGroups;
use crate::tools::{Console, say};
use crate::wire::quote::quoted;

/// Runs a group of tests; what went wrong.
pub(super) fn run_group(
    file: &TestFile,
    test: &TestGroup,
    rule_files: &[PathBuf],
    settings: &Settings,
    console: &mut Console<'_>,
) -> Vec<String> {
    let step_ms = file.evaluation_interval.ms();
    let mut store = match Store::new(test, settings, step_ms) {
        Ok(store) => store,
        Err(fault) => return vec![fault],
    };
    let groups = match load(file, test, rule_files, settings) {
        Ok(groups) => groups,
        Err(faults) => return faults,
    };
    let mut alert_tests: Vec<&AlertTest> = test.alert_rule_test.iter().collect();
    if let Some(nameless) = alert_tests.iter().find(|test| test.alertname.is_empty()) {
        let of_group = match test.name.as_str() {
            "" => String::new(),
            name => format!(" (in TestGroup {name})"),
        };
        return vec![format!(
            "an item under alert_rule_test misses required attribute alertname at eval_time \
             {}{of_group}",
            nameless.eval_time
        )];
    }
    alert_tests.sort_by_key(|test| test.eval_time);
    let globals = Globals {
        external_labels: Labels::from_pairs(&test.external_labels),
        external_url: test.external_url.as_str().into(),
    };
    let mut faults = Vec::new();
    let begin_ms = test.start_timestamp.0;
    let mut alert_tests = alert_tests.into_iter().peekable();
    let mut now_ms = begin_ms;
    while now_ms <= begin_ms + test.duration_ms() {
        store.advance(now_ms);
        let errors = evaluate(&groups, now_ms, &globals, &store);
        if !errors.is_empty() {
            faults.extend(errors);
            return faults;
        }
        // A test between two evaluations sees what the earlier one left.
        let next_ms = now_ms + step_ms - begin_ms;
        while let Some(alert_test) = alert_tests.next_if(|test| test.eval_time.ms() < next_ms) {
            faults.extend(check_alerts(&groups, alert_test, &test.name, settings.diff));
        }
        now_ms += step_ms;
    }
    for expr in &test.promql_expr_test {
        faults.extend(check_expr(&store, expr, begin_ms, file.fuzzy_compare));
    }
    if settings.debug {
        let whole_ms = (test.duration_ms() / 1000 + 1) * 1000;
        match store.dump(whole_ms, begin_ms + whole_ms) {
            Ok(dump) => {
                say!(
                    console.err,
                    "DEBUG: Dump of all data (input_series and rules) at {}:\n{dump}",
                    go_duration(whole_ms)
                );
            }
            Err(error) => {
                say!(console.err, "DEBUG: Failed query exec, err: {error}");
            }
        }
    }
    faults
}

/// The groups of the rule files in the order in which they are evaluated.
fn load(
    file: &TestFile,
    test: &TestGroup,
    rule_files: &[PathBuf],
    settings: &Settings,
) -> Result<Vec<Group>, Vec<String>> {
    let mut specs = Vec::new();
    for path in rule_files {
        let rules = RuleGroups::from_file(path, &settings.rules)?;
        specs.extend(rules.specs(&path.display().to_string(), test.interval.ms()));
    }
    // Groups that are not named come with the first, as in promtool.
    specs.sort_by_key(|spec| {
        file.group_eval_order.iter().position(|name| *name == spec.name).unwrap_or(0)
    });
    Ok(specs.into_iter().map(|spec| Group::new(Arc::new(spec), true)).collect())
}

/// Evaluates all groups; the errors of their rules.
fn evaluate(groups: &[Group], now_ms: i64, globals: &Globals, store: &Store) -> Vec<String> {
    let mut errors = Vec::new();
    for group in groups {
        let at = Evaluation {
            time_ms: now_ms,
            query_offset_ms: group.spec().query_offset_ms.unwrap_or(0),
            resend_delay_ms: 0,
            globals,
        };
        block_on(group.evaluate(at, store));
        for (index, rule) in group.spec().rules.iter().enumerate() {
            let state = group.state(index);
            if !state.last_error.is_empty() {
                errors.push(format!(
                    "    rule: {}, time: {}, err: {}",
                    rule.name,
                    go_duration(now_ms),
                    state.last_error
                ));
            }
        }
    }
    errors
}

fn owned(labels: &Labels) -> Pairs {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    labels.iter().map(|(name, value)| (text(name), text(value))).collect()
}

fn check_alerts(
    groups: &[Group],
    test: &AlertTest,
    group_name: &str,
    shows_diff: bool,
) -> Option<String> {
    let mut found = Vec::new();
    for group in groups {
        for (index, rule) in group.spec().rules.iter().enumerate() {
            if rule.name != test.alertname || !matches!(rule.kind, RuleKind::Alerting(_)) {
                continue;
            }
            let alerts = group.active_alerts(index).into_iter();
            found.extend(alerts.filter(|alert| alert.state == AlertState::Firing).map(|alert| {
                ShownAlert { labels: owned(&alert.labels), annotations: alert.annotations }
            }));
        }
    }
    let mut expected: Vec<ShownAlert> = test
        .exp_alerts
        .iter()
        .map(|alert| {
            let mut labels = alert.exp_labels.clone();
            labels.insert("alertname".to_owned(), test.alertname.clone());
            let annotations = alert.exp_annotations.clone().into_iter().collect();
            ShownAlert { labels: labels.into_iter().collect(), annotations }
        })
        .collect();
    found.sort();
    expected.sort();
    if found == expected {
        return None;
    }
    let of_group = match group_name {
        "" => String::new(),
        name => format!("    name: {name},\n"),
    };
    let indent = "            ";
    if shows_diff {
        let diff = diff(&alerts_json(&expected), &alerts_json(&found));
        return Some(format!(
            "{of_group}    alertname: {}, time: {}, \n        diff: {}",
            test.alertname,
            test.eval_time,
            indented(&diff, indent)
        ));
    }
    Some(format!(
        "{of_group}    alertname: {}, time: {}, \n        exp:{}, \n        got:{}",
        test.alertname,
        test.eval_time,
        indented(&alerts_text(&expected), indent),
        indented(&alerts_text(&found), indent)
    ))
}

fn check_expr(store: &Store, test: &ExprTest, begin_ms: i64, fuzzy: bool) -> Option<String> {
    let failed = |error: &str| {
        let expr = quoted(test.expr.as_bytes());
        Some(format!("    expr: {expr}, time: {}, err: {error}", test.eval_time))
    };
    let found = match store.ask_text(&test.expr, begin_ms + test.eval_time.ms()) {
        Ok(found) => found,
        Err(error) => return failed(&error),
    };
    let mut found: Vec<ShownSample> = found
        .into_iter()
        .map(|sample| {
            let (value, histogram) = match &sample.value {
                RuleValue::Float(value) => (*value, String::new()),
                RuleValue::Histogram(histogram) => (0.0, histogram.test_expression()),
            };
            ShownSample { labels: owned(&sample.labels), value, histogram }
        })
        .collect();
    let mut expected = Vec::new();
    for sample in &test.exp_samples {
        match expected_sample(sample) {
            Ok(sample) => expected.push(sample),
            Err(error) => {
                let labels = quoted(sample.labels.as_bytes());
                return failed(&format!("labels {labels}: {error}"));
            }
        }
    }
    expected.sort_by(|left, right| left.labels.cmp(&right.labels));
    found.sort_by(|left, right| left.labels.cmp(&right.labels));
    let same = expected.len() == found.len()
        && expected.iter().zip(&found).all(|(expected, found)| expected.is_same(found, fuzzy));
    if same {
        return None;
    }
    Some(format!(
        "    expr: {}, time: {},\n        exp: {}\n        got: {}",
        quoted(test.expr.as_bytes()),
        test.eval_time,
        samples_text(&expected),
        samples_text(&found)
    ))
}

fn expected_sample(sample: &ExpectedSample) -> Result<ShownSample, String> {
    let (labels, _) =
        parse_series_description(&sample.labels).map_err(|errors| errors.to_string())?;
    let (mut value, mut histogram) = (sample.value, String::new());
    if !sample.histogram.is_empty() {
        let (_, values) = parse_series_description(&format!("{{}} {}", sample.histogram))
            .map_err(|errors| errors.to_string())?;
        let elements = expand(&values)?;
        match elements.as_slice() {
            [Element::Histogram { histogram: found, .. }] => histogram = found.test_expression(),
            [_] => return Err(format!("expected histogram, got {}", sample.histogram)),
            elements => return Err(format!("expected 1 value, got {}", elements.len())),
        }
        value = 0.0;
    }
    Ok(ShownSample { labels: owned(&labels), value, histogram })
}
