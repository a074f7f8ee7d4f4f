//! What a generator of alerts must do, a test a clause.
//!
//! Source: prometheus/compliance `alert_generator/specification.md` 1.0. Where Prometheus itself does
//! other than it says (`endsAt` of a firing alert runs from the evaluation, not from the beginning),
//! Prometheus is followed.

use super::tests::*;
use super::*;
use crate::exec::testing::block_on;

/// Evaluates at a minute with a resend delay in minutes; what is sent: state and minutes since when
/// it fires, when it ended, until when it holds.
fn round(group: &Group, host: &TestHost, minute: i64, resend_minutes: i64) -> String {
    let globals = Globals::default();
    let at = Evaluation {
        time_ms: minute * MINUTE_MS,
        query_offset_ms: 0,
        resend_delay_ms: resend_minutes * MINUTE_MS,
        globals: &globals,
    };
    block_on(group.evaluate(at, host));
    for rule in 0..group.spec().rules.len() {
        group.note_evaluation(rule, at.time_ms, 0.0);
    }
    host.take_notices()
}

/// A group of one alert on `up == 0` that fires after some minutes.
fn on_zero(for_minutes: i64) -> Group {
    group(vec![alerting("A", "up == 0", (for_minutes, 0), &[], &[("text", "{{ $value }}")])])
}

fn put_up(host: &TestHost, minute: i64, value: f64) {
    host.put(&[("__name__", "up"), ("i", "x")], minute * MINUTE_MS, value);
}

/// States of the rule while `up` is zero at the minutes of `values` that are `0`.
fn states(for_minutes: i64, values: &str) -> Vec<&'static str> {
    let (host, group) = (TestHost::new(), on_zero(for_minutes));
    let minutes = values.chars().zip(0..);
    minutes
        .map(|(value, minute)| {
            put_up(&host, minute, f64::from(value.to_digit(10).unwrap_or_default()));
            round(&group, &host, minute, 1);
            state_of(&group)
        })
        .collect()
}

#[test]
fn results_are_there_for_later_rules_of_the_group() {
    let host = TestHost::new();
    let group = group(vec![
        recording("first", "vector(1)", &[]),
        alerting("Second", "first == 1", (0, 0), &[], &[]),
        recording("third", r#"count(ALERTS{alertname="Second"})"#, &[]),
    ]);
    round(&group, &host, 0, 1);
    assert_eq!(host.show("third", 0), r#"{__name__="third"} 1"#);
}

#[test]
fn each_element_of_the_result_is_an_alert() {
    let host = TestHost::new();
    let group = on_zero(0);
    for i in ["x", "y"] {
        host.put(&[("__name__", "up"), ("i", i)], 0, 0.0);
    }
    round(&group, &host, 0, 1);
    let labels: Vec<String> =
        group.active_alerts(0).iter().map(|alert| alert.labels.to_string()).collect();
    assert_eq!(labels, [r#"{alertname="A", i="x"}"#, r#"{alertname="A", i="y"}"#]);
}

#[test]
fn templates_see_their_element_and_override_its_labels() {
    let host = TestHost::new();
    let labels = [("i", "was {{ $labels.i }}"), ("alertname", "never")];
    let annotations = [("text", "{{ $labels.i }} is {{ $value }}")];
    let group = group(vec![alerting("A", "up == 0", (0, 0), &labels, &annotations)]);
    put_up(&host, 0, 0.0);
    round(&group, &host, 0, 1);
    let alert = group.active_alerts(0).remove(0);
    assert_eq!(alert.labels.to_string(), r#"{alertname="A", i="was x"}"#);
    assert_eq!(alert.annotations, [("text".to_owned(), "x is 0".to_owned())]);
}

#[test]
fn alerts_with_the_same_labels_fail_the_rule_and_send_nothing() {
    let host = TestHost::new();
    let group = group(vec![alerting("A", "up == 0", (0, 0), &[("i", "same")], &[])]);
    for i in ["x", "y"] {
        host.put(&[("__name__", "up"), ("i", i)], 0, 0.0);
    }
    assert_eq!(round(&group, &host, 0, 1), "");
    assert_eq!(group.state(0).health, Health::Bad);
    assert!(group.state(0).last_error.contains("the same labelset"));
    assert_eq!(host.show("ALERTS", 0), "");
}

#[test]
fn an_alert_is_pending_for_less_than_its_duration() {
    assert_eq!(states(2, "000"), ["pending", "pending", "firing"]);
}

#[test]
fn annotations_change_at_once() {
    let (host, group) = (TestHost::new(), {
        let annotations = [("text", r#"{{ "other" | query | first | value }}"#)];
        group(vec![alerting("A", "up == 0", (2, 0), &[], &annotations)])
    });
    for minute in 0..4 {
        put_up(&host, minute, 0.0);
        host.put(&[("__name__", "other")], minute * MINUTE_MS, minute as f64);
        round(&group, &host, minute, 1);
        let alert = group.active_alerts(0).remove(0);
        assert_eq!(alert.annotations[0].1, minute.to_string());
    }
    assert_eq!(state_of(&group), "firing");
}

#[test]
fn an_alert_without_duration_fires_at_once() {
    let (host, group) = (TestHost::new(), on_zero(0));
    put_up(&host, 7, 0.0);
    round(&group, &host, 7, 1);
    let alert = group.active_alerts(0).remove(0);
    let minute = 7 * MINUTE_MS;
    assert_eq!((alert.active_at_ms, alert.fired_at_ms), (minute, Some(minute)));
}

#[test]
fn a_duration_shorter_than_the_interval_fires_at_the_next_evaluation() {
    let mut rule = alerting("A", "up == 0", (0, 0), &[], &[]);
    let RuleKind::Alerting(spec) = &mut rule.kind else { panic!("it is an alert") };
    spec.for_ms = 1000;
    let (host, group) = (TestHost::new(), group(vec![rule]));
    let mut states = Vec::new();
    for minute in 0..3 {
        put_up(&host, minute, 0.0);
        round(&group, &host, minute, 1);
        states.push(state_of(&group));
    }
    assert_eq!(states, ["pending", "firing", "firing"]);
    let fired_at_ms = group.active_alerts(0).remove(0).fired_at_ms;
    assert_eq!(fired_at_ms, Some(MINUTE_MS));
}

#[test]
fn an_alert_that_is_not_produced_is_inactive_at_once() {
    assert_eq!(states(2, "01"), ["pending", "inactive"]);
    assert_eq!(states(0, "01"), ["firing", "inactive"]);
}

#[test]
fn an_alert_after_its_end_is_a_new_one() {
    let (host, group) = (TestHost::new(), on_zero(1));
    for (value, minute) in [0.0, 0.0, 1.0, 0.0, 0.0].into_iter().zip(0..) {
        put_up(&host, minute, value);
        round(&group, &host, minute, 1);
    }
    let alert = group.active_alerts(0).remove(0);
    assert_eq!(alert.active_at_ms, 3 * MINUTE_MS);
    assert_eq!((alert.fired_at_ms, alert.resolved_at_ms), (Some(4 * MINUTE_MS), None));
}

#[test]
fn series_of_active_alerts_have_their_labels_and_state_and_nothing_else() {
    let host = TestHost::new();
    let labels = [("alertstate", "very_critical"), ("severity", "page")];
    let group = group(vec![alerting("A", "up == 0", (1, 0), &labels, &[])]);
    let mut shown = Vec::new();
    for (value, minute) in [0.0, 0.0, 1.0].into_iter().zip(0..) {
        put_up(&host, minute, value);
        round(&group, &host, minute, 1);
        shown.push(host.show("ALERTS", minute * MINUTE_MS));
    }
    let series = |state| {
        format!(
            r#"{{__name__="ALERTS", alertname="A", alertstate="{state}", i="x", severity="page"}} 1"#
        )
    };
    assert_eq!(shown, [series("pending"), series("firing"), String::new()]);
    // The time is that of the evaluation.
    assert_eq!(host.show("timestamp(ALERTS)", MINUTE_MS).rsplit(' ').next(), Some("60"));
}

#[test]
fn pending_alerts_are_not_sent_and_firing_ones_at_once() {
    let (host, group) = (TestHost::new(), on_zero(2));
    let sent: Vec<String> = (0..3)
        .map(|minute| {
            put_up(&host, minute, 0.0);
            round(&group, &host, minute, 1)
        })
        .collect();
    assert_eq!(sent, ["", "", "x[firing fired 2 resolved - until 6]"]);
}

#[test]
fn firing_alerts_are_sent_again_after_the_resend_delay() {
    let (host, group) = (TestHost::new(), on_zero(0));
    let sent: Vec<i64> = (0..10)
        .filter(|&minute| {
            put_up(&host, minute, 0.0);
            !round(&group, &host, minute, 3).is_empty()
        })
        .collect();
    // More than the delay must have passed.
    assert_eq!(sent, [0, 4, 8]);
}

#[test]
fn inactive_alerts_are_sent_at_once_and_again_for_a_quarter_of_an_hour() {
    let (host, group) = (TestHost::new(), on_zero(0));
    let sent: Vec<(i64, String)> = (0..30)
        .map(|minute| {
            put_up(&host, minute, if minute == 0 { 0.0 } else { 1.0 });
            (minute, round(&group, &host, minute, 4))
        })
        .filter(|(_, sent)| !sent.is_empty())
        .collect();
    let minutes: Vec<i64> = sent.iter().map(|(minute, _)| *minute).collect();
    assert_eq!(minutes, [0, 1, 6, 11, 16]);
    assert!(sent[1..].iter().all(|(_, sent)| sent.starts_with("x[inactive fired 0 resolved 1 ")));
}

#[test]
fn an_inactive_alert_is_not_sent_beside_a_new_one() {
    let (host, group) = (TestHost::new(), on_zero(2));
    let mut sent = Vec::new();
    for (value, minute) in [0., 0., 0., 1., 0., 0., 0., 0.].into_iter().zip(0..) {
        put_up(&host, minute, value);
        sent.push(round(&group, &host, minute, 1));
    }
    let (fired, ended) =
        ("x[firing fired 2 resolved - until 6]", "x[inactive fired 2 resolved 3 until 7]");
    let again = "x[firing fired 6 resolved - until 10]";
    assert_eq!(sent, ["", "", fired, ended, "", "", again, ""]);
}

#[test]
fn ends_at_is_four_times_the_larger_of_resend_delay_and_interval() {
    for (resend_minutes, until) in [(0, 4), (1, 4), (3, 12)] {
        let (host, group) = (TestHost::new(), on_zero(0));
        put_up(&host, 0, 0.0);
        let sent = round(&group, &host, 0, resend_minutes);
        assert_eq!(sent, format!("x[firing fired 0 resolved - until {until}]"));
    }
}

#[test]
fn starts_at_stays_and_ends_at_is_the_end() {
    let (host, group) = (TestHost::new(), on_zero(1));
    let mut sent = Vec::new();
    for (value, minute) in [0., 0., 0., 0., 1.].into_iter().zip(0..) {
        put_up(&host, minute, value);
        sent.push(round(&group, &host, minute, 1));
    }
    assert_eq!(sent[1], "x[firing fired 1 resolved - until 5]");
    assert_eq!(sent[3], "x[firing fired 1 resolved - until 7]");
    assert_eq!(sent[4], "x[inactive fired 1 resolved 4 until 8]");
}

#[test]
fn the_state_of_a_rule_is_that_of_its_most_urgent_alert() {
    let (host, group) = (TestHost::new(), on_zero(1));
    assert_eq!(state_of(&group), "unknown");
    host.put(&[("__name__", "up"), ("i", "x")], 0, 0.0);
    round(&group, &host, 0, 1);
    assert_eq!(state_of(&group), "pending");
    host.put(&[("__name__", "up"), ("i", "y")], MINUTE_MS, 0.0);
    round(&group, &host, 1, 1);
    let states: Vec<&str> =
        group.active_alerts(0).iter().map(|alert| alert.state.as_str()).collect();
    assert_eq!(states, ["firing", "pending"]);
    assert_eq!(state_of(&group), "firing");
}
