//! The runner itself: it must see what is wrong.

use super::LocalEngine;
use super::check::almost_equal;
use super::run::run;
use super::script::parse_script;
use super::variants::pinned;

const LOAD: &str = "load 1m\n  a{b=\"c\"} 0+10x5\n  a{b=\"d\"} 1x5\n  h {{sum:1}}\n\n";

/// Runs an evaluation on top of [`LOAD`]; what it was found guilty of, or the empty text.
fn guilt(eval: &str) -> String {
    let report = run(&format!("{LOAD}{eval}"), &mut LocalEngine::new(2)).expect("a script");
    match &report.failed[..] {
        [] => String::new(),
        [(_, _, message)] => message.clone(),
        more => panic!("one evaluation, {} failures", more.len()),
    }
}

#[track_caller]
fn check(eval: &str, guilty_of: &str) {
    let guilt = guilt(eval);
    assert_eq!(guilt.is_empty(), guilty_of.is_empty(), "{guilt}");
    assert!(guilt.contains(guilty_of), "{guilt}");
}

#[test]
fn wrong_answers_are_seen() {
    check("eval instant at 1m a{b=\"c\"}\n a{b=\"c\"} 10", "");
    check("eval instant at 1m a{b=\"c\"}\n a{b=\"c\"} 10.1", "got 10");
    check("eval instant at 1m a\n a{b=\"c\"} 10", "unexpected {__name__=\"a\", b=\"d\"}");
    check("eval instant at 1m a{b=\"c\"}\n a{b=\"c\"} 10\n a{b=\"e\"} 1", "which is not there");
    check("eval instant at 1m sum(a)\n 11", "expected a scalar");
    check("eval instant at 1m 11\n {} 11", "got scalar 11");
    check("eval instant at 1m 11\n 12", "expected scalar 12");
    check("eval instant at 1m \"a\"\n expect string \"b\"", "expected \"b\"");
    check("eval range from 0 to 2m step 1m a{b=\"c\"}\n a{b=\"c\"} 0 10 20", "");
    check("eval range from 0 to 2m step 1m a{b=\"c\"}\n a{b=\"c\"} 0 10 _", "got [");
    check("eval range from 0 to 1m step 1m a{b=\"c\"}\n a{b=\"c\"} 0 10 20", "do not fit");
    check(
        "eval instant at 1m sort(a)\n expect ordered\n a{b=\"c\"} 10\n a{b=\"d\"} 1",
        "at 1, got",
    );
    let range = "eval instant at 2m a{b=\"d\"}[2m]\n expect range vector from 1m to 2m step 1m\n";
    check(&format!("{range} a{{b=\"d\"}} 1 1"), "");
    check(&format!("{range} a{{b=\"d\"}} 1"), "got [");
}

#[test]
fn wrong_failures_and_annotations_are_seen() {
    check("eval instant at 1m a\n expect fail", "expected a failure");
    let twice = "eval instant at 1m a * on () a\n";
    check(&format!("{twice} expect fail"), "");
    check(&format!("{twice} expect fail regex: found duplicate series"), "");
    check(&format!("{twice} expect fail msg: found"), "expected failure Exact");
    check(twice, "query failed: found duplicate series");
    let rate = "eval instant at 1m rate(a{b=\"d\"}[2m])\n";
    check(&format!("{rate} {{b=\"d\"}} 0"), "");
    check(&format!("{rate} expect info\n {{b=\"d\"}} 0"), "");
    check(&format!("{rate} expect info regex: counter\n {{b=\"d\"}} 0"), "");
    check(&format!("{rate} expect no_info\n {{b=\"d\"}} 0"), "expected no info");
    check(&format!("{rate} expect info msg: other\n {{b=\"d\"}} 0"), "expected info");
    check(&format!("{rate} expect warn\n {{b=\"d\"}} 0"), "expected warning");
    check("eval_fail instant at 1m a\n", "expected a failure");
}

#[test]
fn histograms_and_starts_are_loaded_and_compared() {
    check("eval instant at 0 h\n h {{sum:1}}", "");
    check("eval instant at 0 h\n h {{sum:2}}", "got {{sum:1}}");
    check("eval instant at 0 h\n h 1", "got {{sum:1}}");
    check("eval instant at 0 h\n h {{sum:1 counter_reset_hint:gauge}}", "got {{sum:1}}");
    let load = "load 1m\n  c@st _ -1s -2s-1sx1\n  c 1 2 3 4\n\n";
    let start = "eval range from 0 to 3m step 1m start_timestamp(c)\n";
    check(&format!("{load}{start} {{}} 0 59 118 177"), "");
    let load =
        "load_with_nhcb 1m\n  c_bucket{le=\"1\"} 2\n  c_bucket{le=\"+Inf\"} 3\n  c_sum 4\n\n";
    let native = "{{schema:-53 count:3 sum:4 custom_values:[1] buckets:[2 1]}}";
    check(&format!("{load}eval instant at 0 c\n c {native}"), "");
}

#[track_caller]
fn check_refused(script: &str, message: &str) {
    let error = parse_script(script).expect_err("not a script");
    assert!(error.contains(message), "{error}");
}

#[test]
fn scripts_that_say_nothing_clear_are_refused() {
    check_refused("lode 1m", "line 1: invalid command");
    check_refused("load 1x", "line 1: invalid step definition \"1x\"");
    check_refused("\nload 1m\n a{ 1", "line 3: 1:4: parse error");
    check_refused("load 1m\n a@st -1s\n b 1", "line 3: @st line");
    check_refused("load 1m\n a@st -1s", "@st line has no following");
    check_refused("load 1m\n a@st -1s\n a 1 2", "@st line has 1 values");
    check_refused("load 1m\n a@st -1s*2\n a 1", "invalid start");
    check_refused("eval sometimes at 1m a", "invalid kind of evaluation");
    check_refused("eval instant at 1m a b", "unexpected identifier \"b\"");
    check_refused("eval instant at 1m a\n a 1 2", "multiple values");
    check_refused("eval instant at 1m a\n expect nothing", "invalid expect statement");
    check_refused("eval instant at 1m a\n expect warn\n expect no_warn", "at once");
    check_refused("eval range from 2m to 1m step 1m a", "before start");
}

#[track_caller]
fn check_pinned(text: &str, expected: Option<&str>) {
    assert_eq!(pinned(text, 60_000).map(|(text, _)| text).as_deref(), expected);
}

#[test]
fn selectors_are_pinned_where_the_answer_does_not_depend_on_time() {
    check_pinned("a + rate(b[1m] @ 5)", Some("a @ 60.000 + rate(b[1m] @ 5.000)"));
    check_pinned("rate(a[1m])[5m:]", Some("rate(a[1m])[5m:] @ 60.000"));
    check_pinned("a @ end()", Some("a @ 60.000"));
    check_pinned("time() - a", None);
    let inside = "max_over_time(vector(time())[5m:] @ 60.000)";
    check_pinned("max_over_time(vector(time())[5m:])", Some(inside));
}

#[test]
fn values_are_compared_with_a_relative_difference() {
    assert!(almost_equal(f64::NAN, -f64::NAN));
    assert!(almost_equal(1e300, 1e300 * 1.000_000_1));
    assert!(!almost_equal(1.0, 1.0001));
    assert!(!almost_equal(0.0, 1e-300));
    assert!(!almost_equal(f64::NAN, f64::from_bits(engine::model::STALE_NAN_BITS)));
    assert!(almost_equal(f64::INFINITY, f64::INFINITY));
    assert!(!almost_equal(f64::INFINITY, 1.0));
}
