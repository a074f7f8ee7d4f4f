//! Groups over a naive source, with time as a number: what Prometheus's alert generator compliance
//! asks for, and what its own tests of rules check.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use super::alerts::series_labels;
use super::*;
use crate::exec::testing::{LocalScatter, block_on};
use crate::exec::{Value, evaluate};
use crate::head::{Refusal, Verdict};
use crate::model::sample::is_stale_nan;
use crate::model::{Batch, Labels};
use crate::plan::{Plan, PlanOptions, QueryTimes};
use crate::promql::{Ast, ParseOptions, parse};

pub(super) const MINUTE_MS: i64 = 60_000;

/// A source that refuses what is not newer, and remembers notices.
pub(super) struct TestHost {
    scatter: RefCell<LocalScatter>,
    newest_ms: RefCell<BTreeMap<Labels, i64>>,
    notices: RefCell<Vec<Alert>>,
    fails: RefCell<bool>,
}

impl TestHost {
    pub(super) fn new() -> TestHost {
        TestHost {
            scatter: RefCell::new(LocalScatter::new(2)),
            newest_ms: RefCell::default(),
            notices: RefCell::default(),
            fails: RefCell::default(),
        }
    }

    pub(super) fn put(&self, labels: &[(&str, &str)], time_ms: i64, value: f64) {
        let labels = Labels::from_pairs(labels.iter().copied());
        self.scatter.borrow_mut().append(&labels, time_ms, value);
    }

    fn ask(&self, ast: &Ast, time_ms: i64) -> Result<Vec<RuleSample>, String> {
        let plan = Plan::new(ast, QueryTimes::instant(time_ms), &PlanOptions::default());
        let plan = plan.map_err(|error| error.to_string())?;
        let outcome = block_on(evaluate(&plan, &*self.scatter.borrow()));
        let value = outcome.map_err(|error| error.to_string())?.value;
        if let Value::Scalar { value, .. } = value {
            return Ok(vec![RuleSample::float(Labels::default(), value)]);
        }
        let mut samples = Vec::new();
        for row in 0..value.row_count() {
            let labels = value.labels(row).to_owned();
            value.for_each_point(row, |_, value| {
                samples.push(RuleSample::float(labels.clone(), value));
            });
        }
        Ok(samples)
    }

    /// What an expression gives, a line an element, sorted.
    pub(super) fn show(&self, text: &str, time_ms: i64) -> String {
        let samples = self.ask(&parse(text, &ParseOptions::ALL).unwrap(), time_ms).unwrap();
        let line = |sample: RuleSample| format!("{} {}", sample.labels, sample.value.as_float());
        let mut lines: Vec<String> = samples.into_iter().map(line).collect();
        lines.sort();
        lines.join("\n")
    }

    pub(super) fn take_notices(&self) -> String {
        let mut out = String::new();
        for alert in self.notices.take() {
            let Alert { state, fired_at_ms, resolved_at_ms, valid_until_ms, .. } = alert;
            let minutes = |ms: Option<i64>| {
                ms.map_or("-".to_owned(), |ms| (ms as f64 / MINUTE_MS as f64).to_string())
            };
            let _ = write!(
                out,
                "{}[{} fired {} resolved {} until {}]",
                String::from_utf8_lossy(alert.labels.get(b"i")),
                state.as_str(),
                minutes(fired_at_ms),
                minutes(resolved_at_ms),
                minutes(valid_until_ms),
            );
        }
        out
    }
}

impl Host for TestHost {
    async fn query(&self, query: Query<'_>, time_ms: i64) -> Result<Vec<RuleSample>, String> {
        match query {
            Query::Rule(ast) => self.ask(ast, time_ms),
            Query::Text(text) => {
                let ast = parse(text, &ParseOptions::ALL).map_err(|errors| errors.to_string())?;
                self.ask(&ast, time_ms)
            }
        }
    }

    async fn append(&self, batch: &Batch) -> Result<Refused, String> {
        if *self.fails.borrow() {
            return Err("the disk is full".to_owned());
        }
        let mut refused = Refused::default();
        for sample in 0..batch.sample_count() {
            let labels = batch.labels(batch.sample_series()[sample]).to_owned();
            let time_ms = batch.timestamps_ms()[sample];
            let mut newest_ms = self.newest_ms.borrow_mut();
            let newest_ms = newest_ms.entry(labels.clone()).or_insert(i64::MIN);
            if time_ms <= *newest_ms {
                let verdict = Verdict::OutOfOrder;
                refused.floats.push(Refusal { sample: sample as u32, verdict });
                continue;
            }
            *newest_ms = time_ms;
            self.scatter.borrow_mut().append(&labels, time_ms, batch.values()[sample]);
        }
        Ok(refused)
    }

    fn notify(&self, _rule: &RuleSpec, alerts: Vec<Alert>) {
        self.notices.borrow_mut().extend(alerts);
    }
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut pairs: Vec<(String, String)> =
        pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    pairs.sort();
    pairs
}

pub(super) fn recording(name: &str, text: &str, labels: &[(&str, &str)]) -> RuleSpec {
    RuleSpec {
        name: name.to_owned(),
        text: text.to_owned(),
        expr: parse(text, &ParseOptions::ALL).unwrap(),
        labels: pairs(labels),
        kind: RuleKind::Recording,
    }
}

pub(super) fn alerting(
    name: &str,
    text: &str,
    minutes: (i64, i64),
    labels: &[(&str, &str)],
    annotations: &[(&str, &str)],
) -> RuleSpec {
    let alert = AlertSpec {
        for_ms: minutes.0 * MINUTE_MS,
        keep_firing_for_ms: minutes.1 * MINUTE_MS,
        annotations: pairs(annotations),
    };
    RuleSpec { kind: RuleKind::Alerting(alert), ..recording(name, text, labels) }
}

fn spec(rules: Vec<RuleSpec>) -> GroupSpec {
    GroupSpec {
        file: "rules.yml".into(),
        name: "group".to_owned(),
        interval_ms: MINUTE_MS,
        query_offset_ms: None,
        limit: 0,
        rules,
    }
}

pub(super) fn group(rules: Vec<RuleSpec>) -> Group {
    Group::new(Arc::new(spec(rules)), true)
}

/// Evaluates at `time_ms` with a resend delay of one minute.
fn evaluate_at(group: &Group, host: &TestHost, time_ms: i64) -> Vec<RuleReport> {
    let globals = Globals::default();
    let at = Evaluation {
        time_ms,
        query_offset_ms: group.spec().query_offset_ms.unwrap_or(0),
        resend_delay_ms: MINUTE_MS,
        globals: &globals,
    };
    let reports = block_on(group.evaluate(at, host));
    for (rule, report) in reports.iter().enumerate() {
        let is_good = report.error.is_none() && report.refused.is_empty();
        let refused_count =
            report.out_of_order_count + report.too_old_count + report.duplicate_count;
        let health = group.state(rule).health;
        assert_eq!(health == Health::Good, is_good && refused_count == 0);
        group.note_evaluation(rule, time_ms, 0.001);
    }
    reports
}

pub(super) fn state_of(group: &Group) -> &'static str {
    group.state(0).state().as_str()
}

/// Runs an alert on `up == 0`, whose value is given by a letter a minute: `0` holds, `1` does not,
/// `_` is no sample. Checks the rule's state after each minute: `.` inactive, `p` pending,
/// `f` firing.
#[track_caller]
fn check_states(minutes: (i64, i64), values: &str, expected: &str) {
    let host = TestHost::new();
    let group = group(vec![alerting("A", "up == 0", minutes, &[], &[])]);
    assert_eq!(state_of(&group), "unknown");
    let mut states = String::new();
    for (minute, value) in values.chars().enumerate() {
        let time_ms = minute as i64 * MINUTE_MS;
        if value != '_' {
            host.put(&[("__name__", "up")], time_ms, f64::from(value.to_digit(10).unwrap()));
        }
        evaluate_at(&group, &host, time_ms);
        states.push(match state_of(&group) {
            "inactive" => '.',
            "pending" => 'p',
            "firing" => 'f',
            other => panic!("{other}"),
        });
    }
    assert_eq!(states, expected, "for {minutes:?}: {values}");
}

#[test]
fn alerts_are_pending_then_firing_then_inactive() {
    check_states((0, 0), "1001", ".ff.");
    check_states((2, 0), "100001", ".ppff.");
    // Back to inactive before it fired, and anew from the start.
    check_states((2, 0), "1001001", ".pp.pp.");
    check_states((1, 0), "0101010", "p.p.p.p");
    check_states((1, 0), "00100", "pf.pf");
    // A sample that is not there counts for five minutes.
    check_states((1, 0), "00______", "pfffff..");
}

#[test]
fn alerts_keep_firing() {
    check_states((0, 2), "01111", "fff..");
    check_states((1, 3), "00111101", "pffff.p.");
    // It comes back while it is kept: as if it had never gone, and the next time counts anew.
    check_states((0, 2), "0101101111", "ffffffff..");
    // Pending alerts are not kept.
    check_states((2, 5), "01111", "p....");
}

#[test]
fn notices_are_sent_again_until_the_end_is_forgotten() {
    let host = TestHost::new();
    let group = group(vec![alerting("A", "up == 0", (1, 0), &[], &[])]);
    let mut sent = Vec::new();
    for minute in 0..22 {
        let value = if minute < 5 { 0.0 } else { 1.0 };
        host.put(&[("__name__", "up"), ("i", "x")], minute * MINUTE_MS, value);
        evaluate_at(&group, &host, minute * MINUTE_MS);
        sent.push(host.take_notices());
    }
    let expected = |minute: i64| match minute {
        0 => String::new(),
        // The delay of a minute must have passed, so every second evaluation sends.
        1 | 3 => format!("x[firing fired 1 resolved - until {}]", minute + 4),
        // The end is told at once.
        5 => "x[inactive fired 1 resolved 5 until 9]".to_owned(),
        7..=20 if minute % 2 == 1 => {
            format!("x[inactive fired 1 resolved 5 until {}]", minute + 4)
        }
        _ => String::new(),
    };
    for (minute, sent) in sent.iter().enumerate() {
        assert_eq!(*sent, expected(minute as i64), "minute {minute}");
    }
    assert_eq!(group.state(0).alerts.iter().count(), 0);
}

#[test]
fn series_of_alerts_show_their_state() {
    let host = TestHost::new();
    let labels = [("severity", "page"), ("gone", "")];
    let group = group(vec![alerting("A", "up == 0", (1, 0), &labels, &[("text", "")])]);
    let up = [("__name__", "up"), ("gone", "x"), ("severity", "none")];
    host.put(&up, 0, 0.0);
    evaluate_at(&group, &host, 0);
    let for_state = r#"{__name__="ALERTS_FOR_STATE", alertname="A", severity="page"} 0"#;
    let pending = r#"{__name__="ALERTS", alertname="A", alertstate="pending", severity="page"} 1"#;
    assert_eq!(host.show("ALERTS", 0), pending);
    assert_eq!(host.show("ALERTS_FOR_STATE", 0), for_state);
    let alert = group.active_alerts(0).remove(0);
    assert_eq!(alert.labels.to_string(), r#"{alertname="A", severity="page"}"#);
    assert_eq!(alert.annotations, pairs(&[("text", "")]));
    // The pending series ends where the firing one begins.
    evaluate_at(&group, &host, MINUTE_MS);
    assert_eq!(host.show("ALERTS", MINUTE_MS), pending.replace("pending", "firing"));
    assert_eq!(host.show("ALERTS_FOR_STATE", MINUTE_MS), for_state);
    // And all of them end with the alert.
    host.put(&up, 2 * MINUTE_MS, 1.0);
    evaluate_at(&group, &host, 2 * MINUTE_MS);
    assert_eq!(host.show("ALERTS or ALERTS_FOR_STATE", 2 * MINUTE_MS), "");
    assert!(host.scatter.borrow().sources.len() == 2);
}

#[test]
fn the_time_of_an_alert_is_the_one_of_its_first_evaluation() {
    let host = TestHost::new();
    let group = group(vec![alerting("A", "up == 0", (2, 0), &[], &[])]);
    for minute in 5..9 {
        host.put(&[("__name__", "up")], minute * MINUTE_MS, 0.0);
        evaluate_at(&group, &host, minute * MINUTE_MS);
    }
    let alert = group.active_alerts(0).remove(0);
    assert_eq!((alert.active_at_ms, alert.fired_at_ms), (300_000, Some(420_000)));
    assert_eq!(host.show("ALERTS_FOR_STATE", 8 * MINUTE_MS).rsplit(' ').next(), Some("300"));
}

#[test]
fn equal_label_sets_fail_a_rule() {
    let host = TestHost::new();
    let text = r#"vector(0) or label_replace(vector(0), "test", "x", "", "")"#;
    let mut rules = spec(vec![
        alerting("A", text, (0, 0), &[("test", "y")], &[]),
        recording("r", text, &[("test", "y")]),
        recording("good", text, &[]),
    ]);
    rules.limit = 2;
    let group = Group::new(Arc::new(rules), true);
    let reports = evaluate_at(&group, &host, 0);
    let words = |kind| {
        Some(format!("vector contains metrics with the same labelset after applying {kind} labels"))
    };
    assert_eq!(reports[0].error, words("alert"));
    assert_eq!(reports[1].error, words("rule"));
    assert_eq!((&reports[2].error, reports[2].sample_count), (&None, 2));
}

#[test]
fn a_limit_that_is_exceeded_fails_the_rule_and_forgets_its_alerts() {
    let host = TestHost::new();
    let group = |limit| {
        let rules = vec![alerting("A", "up == 0", (0, 0), &[], &[]), recording("r", "up", &[])];
        Group::new(Arc::new(GroupSpec { limit, ..spec(rules) }), true)
    };
    for instance in ["1", "2"] {
        host.put(&[("__name__", "up"), ("i", instance)], 0, 0.0);
    }
    for (limit, is_good) in [(-1, true), (0, true), (2, true), (1, false)] {
        let group = group(limit);
        host.newest_ms.borrow_mut().clear();
        let reports = evaluate_at(&group, &host, 0);
        let error = |words: &str| (!is_good).then(|| format!("exceeded limit of 1 with 2 {words}"));
        assert_eq!(reports[0].error, error("alerts"), "limit {limit}");
        assert_eq!(reports[1].error, error("series"), "limit {limit}");
        assert_eq!(group.active_alerts(0).len(), if is_good { 2 } else { 0 });
    }
}

#[test]
fn recorded_series_end_when_the_result_loses_them() {
    let host = TestHost::new();
    let rules = vec![recording("r", "up == 1", &[("job", ""), ("by", "rule")])];
    let group = group(rules);
    let up = [("__name__", "up"), ("job", "x"), ("i", "1")];
    host.put(&up, 0, 1.0);
    evaluate_at(&group, &host, 0);
    assert_eq!(host.show("r", 0), r#"{__name__="r", by="rule", i="1"} 1"#);
    host.put(&up, MINUTE_MS, 0.0);
    evaluate_at(&group, &host, MINUTE_MS);
    assert_eq!(host.show("r", MINUTE_MS), "");
    // An evaluation that fails ends nothing.
    host.put(&up, 2 * MINUTE_MS, 1.0);
    evaluate_at(&group, &host, 2 * MINUTE_MS);
    host.fails.replace(true);
    let reports = evaluate_at(&group, &host, 3 * MINUTE_MS);
    assert_eq!(reports[0].error.as_deref(), Some("the disk is full"));
    host.fails.replace(false);
    assert_eq!(host.show("r", 3 * MINUTE_MS).lines().count(), 1);
    // What is refused counts, and makes the rule bad.
    let reports = evaluate_at(&group, &host, 2 * MINUTE_MS);
    assert_eq!((reports[0].out_of_order_count, reports[0].sample_count), (1, 1));
    assert_eq!(group.state(0).last_error, "out of order sample");
}

#[test]
fn rules_see_what_stood_before_them() {
    let host = TestHost::new();
    let group = group(vec![
        recording("a", "vector(1)", &[]),
        recording("b", "a + 1", &[]),
        alerting("C", "b == 2", (0, 0), &[], &[]),
        recording("d", "count(ALERTS)", &[]),
    ]);
    evaluate_at(&group, &host, 0);
    assert_eq!(host.show("d", 0), r#"{__name__="d"} 1"#);
}

#[test]
fn a_query_offset_looks_and_writes_in_the_past() {
    let host = TestHost::new();
    let rules = vec![recording("r", "up", &[]), alerting("A", "up", (0, 0), &[], &[])];
    let offset = Some(MINUTE_MS);
    let group = Group::new(Arc::new(GroupSpec { query_offset_ms: offset, ..spec(rules) }), true);
    host.put(&[("__name__", "up")], 0, 7.0);
    host.put(&[("__name__", "up")], MINUTE_MS, 8.0);
    evaluate_at(&group, &host, MINUTE_MS);
    assert_eq!(host.show("r", 0), r#"{__name__="r"} 7"#);
    assert_eq!(host.show("timestamp(ALERTS)", MINUTE_MS).rsplit(' ').next(), Some("0"));
    assert_eq!(group.active_alerts(1)[0].active_at_ms, MINUTE_MS);
}

#[test]
fn a_reload_keeps_state_and_ends_what_is_no_more() {
    let host = TestHost::new();
    let alert = |minutes| alerting("A", "up == 0", (minutes, 0), &[], &[]);
    let old = group(vec![
        recording("same", "up", &[]),
        recording("gone", "up", &[]),
        recording("twin", "up", &[]),
        recording("twin", "up + 1", &[]),
        alert(1),
    ]);
    host.put(&[("__name__", "up")], 0, 0.0);
    evaluate_at(&old, &host, 0);
    assert_eq!(old.state(4).state(), AlertState::Pending);
    let mut new = group(vec![
        alert(2),
        recording("twin", "up", &[]),
        recording("same", "up + 5", &[]),
        recording("fresh", "up", &[]),
    ]);
    new.adopt(&old);
    assert_eq!(new.active_alerts(0)[0].active_at_ms, 0);
    for minute in 1..=2 {
        host.put(&[("__name__", "up")], minute * MINUTE_MS, 0.0);
        evaluate_at(&new, &host, minute * MINUTE_MS);
    }
    let now_ms = 2 * MINUTE_MS;
    assert_eq!(host.show("gone", now_ms), "");
    assert_eq!(host.show("same", now_ms), r#"{__name__="same"} 5"#);
    assert_eq!(host.show("twin", now_ms), r#"{__name__="twin"} 0"#);
    // Pending since before the reload, so it fires after two minutes.
    assert_eq!(new.state(0).state(), AlertState::Firing);
    // A longer `for` takes a firing alert back to pending.
    let mut longer = group(vec![alert(5)]);
    longer.adopt(&new);
    evaluate_at(&longer, &host, 3 * MINUTE_MS);
    assert_eq!(longer.state(0).state(), AlertState::Pending);
    // A group that is no more ends all its series.
    longer.disband();
    let globals = Globals::default();
    let (time_ms, query_offset_ms, resend_delay_ms) = (4 * MINUTE_MS, 0, 0);
    let at = Evaluation { time_ms, query_offset_ms, resend_delay_ms, globals: &globals };
    block_on(longer.mark_orphans(at, &host));
    assert_eq!(host.show(r#"{__name__=~".+"}"#, time_ms), r#"{__name__="up"} 0"#);
}

/// An alert with a `for` of 20 minutes was pending for `pending` minutes, then the server was down
/// for `down` minutes; after its second evaluation it restores with a grace of 10 minutes. It must
/// fire so many minutes after the server came back.
#[track_caller]
fn check_restored(pending: i64, down: i64, expected: i64) {
    let host = TestHost::new();
    let rules = || vec![alerting("A", "up == 0", (20, 0), &[("l", "x")], &[])];
    let old = group(rules());
    let put = |minute| host.put(&[("__name__", "up"), ("i", "1")], minute * MINUTE_MS, 0.0);
    for minute in 0..=pending {
        put(minute);
        evaluate_at(&old, &host, minute * MINUTE_MS);
    }
    let new = Group::new(Arc::new(spec(rules())), false);
    let back = pending + down;
    for minute in back..back + 60 {
        put(minute);
        evaluate_at(&new, &host, minute * MINUTE_MS);
        if minute == back + 1 {
            assert!(!host.show("ALERTS", minute * MINUTE_MS).contains("firing"));
            let now_ms = minute * MINUTE_MS;
            let found = vec![ForState {
                labels: series_labels(
                    &new.spec().rules[0],
                    Some(&Labels::from_pairs([("i", "1")])),
                )
                .finish(),
                timestamp_ms: pending * MINUTE_MS,
                active_at_seconds: 0.0,
            }];
            let (rule, _) = new.restorable(10 * MINUTE_MS)[0];
            new.restore(rule, &found, 10 * MINUTE_MS, now_ms);
            new.set_restored();
        }
        if new.state(0).state() == AlertState::Firing {
            assert_eq!(minute - back, expected, "pending {pending}, down {down}");
            return;
        }
    }
    panic!("pending {pending}, down {down}: it must fire");
}

#[test]
fn a_restart_restores_since_when_alerts_are_active() {
    // Fired before: fires with the next evaluation after the restoration.
    check_restored(20, 5, 2);
    check_restored(30, 5, 2);
    // 15 minutes left, less what the two evaluations took.
    check_restored(5, 10, 16);
    // Less left than the grace: the grace.
    check_restored(15, 10, 11);
    check_restored(19, 1, 11);
}

#[test]
fn a_short_for_is_not_restored() {
    let rules = vec![alerting("A", "up", (9, 0), &[], &[]), recording("r", "up", &[])];
    assert!(group(rules).restorable(10 * MINUTE_MS).is_empty());
}

#[test]
fn rules_that_read_each_other_stay_in_order() {
    let check = |texts: &[(&str, &str)], expected: &[&[usize]]| {
        let rule = |&(name, text): &(&str, &str)| {
            if name.starts_with(char::is_uppercase) {
                alerting(name, text, (0, 0), &[], &[])
            } else {
                recording(name, text, &[])
            }
        };
        let rules: Vec<RuleSpec> = texts.iter().map(rule).collect();
        assert_eq!(dependencies::batches(&rules), expected, "{texts:?}");
    };
    check(&[("a", "x"), ("b", "y"), ("C", "z")], &[&[0, 1, 2]]);
    check(&[("a", "x"), ("b", "a"), ("c", "y")], &[&[0, 2], &[1]]);
    check(&[("a", "x"), ("b", "a"), ("c", "b"), ("d", "y")], &[&[0, 3], &[1], &[2]]);
    // What stands later is read one evaluation late.
    check(&[("a", "b"), ("b", "x")], &[&[0, 1]]);
    // A selector without a name may read anything; one with a pattern what it matches.
    check(&[("a", "x"), ("b", r#"{job="x"}"#)], &[&[0], &[1]]);
    check(&[("ab", "x"), ("b", r#"{__name__=~"a.*"}"#), ("c", "y")], &[&[0, 2], &[1]]);
    check(&[("A", "x"), ("b", "count(ALERTS)"), ("c", "y")], &[&[0, 2], &[1]]);
    check(&[("A", "x"), ("b", r#"count(ALERTS{alertname="B"})"#)], &[&[0, 1]]);
    check(&[("A", "x"), ("b", r#"ALERTS_FOR_STATE{alertname=~"A|B"}"#)], &[&[0], &[1]]);
}

#[test]
fn markers_are_staleness_markers() {
    let host = TestHost::new();
    let rules = group(vec![recording("r", "up", &[])]);
    host.put(&[("__name__", "up")], 0, 1.0);
    evaluate_at(&rules, &host, 0);
    evaluate_at(&rules, &host, 10 * MINUTE_MS);
    let scatter = host.scatter.borrow();
    let shown: Vec<String> = scatter.sources.iter().map(|source| format!("{source:?}")).collect();
    assert!(shown.concat().contains("600000: (Float(NaN)"), "{shown:?}");
    assert!(is_stale_nan(crate::model::sample::stale_nan()));
}

#[test]
fn a_run_ends_where_a_rule_must_see_an_earlier_one() {
    let asks = [("text", r#"{{ query "c" | first | value }}"#)];
    let group = group(vec![
        recording("a", "up", &[]),
        recording("b", "up", &[]),
        recording("c", "a + 1", &[]),
        alerting("D", "up", (0, 0), &[], &asks),
        alerting("E", "up", (0, 0), &[], &[]),
        recording("f", "count(ALERTS)", &[]),
        recording("g", "up", &[]),
    ]);
    assert_eq!(group.runs(), [vec![0, 1], vec![2], vec![3, 4], vec![5, 6]]);
    let host = TestHost::new();
    host.put(&[("__name__", "up")], 0, 5.0);
    evaluate_at(&group, &host, 0);
    assert_eq!(group.active_alerts(3)[0].annotations[0].1, "6");
    assert_eq!(host.show("f", 0), r#"{__name__="f"} 2"#);
}

#[test]
fn a_run_blames_the_rule_whose_sample_was_refused() {
    let host = TestHost::new();
    let group = group(vec![
        recording("same", "up", &[]),
        recording("same", "up + 1", &[]),
        recording("other", "up", &[]),
        recording("fails", "up + on () {__name__=~\"up|down\"}", &[]),
    ]);
    host.put(&[("__name__", "up")], 0, 5.0);
    host.put(&[("__name__", "down")], 0, 5.0);
    let reports = evaluate_at(&group, &host, 0);
    let counts: Vec<_> = reports.iter().map(|report| report.out_of_order_count).collect();
    assert_eq!(counts, [0, 1, 0, 0]);
    let good: Vec<_> = (0..4).map(|rule| group.state(rule).health.as_str()).collect();
    assert_eq!(good, ["ok", "err", "ok", "err"]);
    assert!(reports[3].error.as_ref().unwrap().contains("many-to-many"));
    assert_eq!(host.show("same", 0), r#"{__name__="same"} 5"#);
}
