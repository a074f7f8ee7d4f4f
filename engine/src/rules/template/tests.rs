//! What templates give: the rows of `corpus.tsv`, recorded from promtool, and bounds.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::{Template, TemplateData};
use crate::model::histogram::{FloatHistogram, Side, Span};
use crate::model::{Batch, Labels};
use crate::rules::{Alert, Host, Query, Refused, RuleSample, RuleSpec, RuleValue};

/// What the corpus was recorded with.
struct Recorded;

fn sample(labels: &[(&str, &str)], value: f64) -> RuleSample {
    RuleSample::float(Labels::from_pairs(labels.iter().copied()), value)
}

impl Host for Recorded {
    async fn query(&self, query: Query<'_>, _time_ms: i64) -> Result<Vec<RuleSample>, String> {
        // Every answer comes late, so that every run is repeated.
        let mut waited = false;
        poll_fn(|context| {
            if std::mem::replace(&mut waited, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        let Query::Text(text) = query else { return Ok(Vec::new()) };
        match text {
            "m" => Ok(vec![
                sample(&[("__name__", "m"), ("i", "1")], 10.0),
                sample(&[("__name__", "m"), ("i", "2")], 20.0),
            ]),
            "-m" => Ok(vec![sample(&[("i", "1")], -10.0), sample(&[("i", "2")], -20.0)]),
            "scalar(m)" => Ok(vec![sample(&[], f64::NAN)]),
            "time()" => Ok(vec![sample(&[], 0.0)]),
            "1.5" => Ok(vec![sample(&[], 1.5)]),
            "h" => Ok(vec![RuleSample {
                labels: Labels::from_pairs([("__name__", "h")]),
                value: RuleValue::Histogram(Arc::new(histogram())),
            }]),
            "bad(" => Err("1:5: parse error: unclosed left parenthesis".to_owned()),
            _ => Ok(Vec::new()),
        }
    }

    async fn append(&self, _batch: &Batch) -> Result<Refused, String> {
        Ok(Refused::default())
    }

    fn notify(&self, _rule: &RuleSpec, _alerts: Vec<Alert>) {}
}

fn histogram() -> FloatHistogram {
    FloatHistogram {
        count: 3.0,
        sum: 10.0,
        positive: Side { spans: vec![Span { offset: 0, length: 2 }], buckets: vec![1.0, 2.0] },
        ..FloatHistogram::default()
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
}

/// `ok` and the text, `parse` or `run` and the message.
fn outcome(text: &str) -> (&'static str, String) {
    let template = match Template::of_alert("x", text) {
        Ok(template) => template,
        Err(error) => return ("parse", error.message),
    };
    let labels = Labels::from_pairs([
        ("__name__", "up"),
        ("instance", "a.example.com:9100"),
        ("job", "node"),
    ]);
    let data = TemplateData {
        labels: &labels,
        value: &RuleValue::Float(2.5),
        external_labels: &Labels::from_pairs([("cluster", "c1")]),
        external_url: "http://prom.example.com/base",
        now_ms: 0,
    };
    match wait(template.expand(&data, &Recorded)) {
        Ok(text) => ("ok", text),
        Err(error) => ("run", error.message),
    }
}

#[test]
fn templates_give_what_promtool_gives() {
    let restored = |field: &str| field.replace('⏎', "\n").replace('⇥', "\t");
    let mut differences = Vec::new();
    let mut row_count = 0;
    for row in include_str!("corpus.tsv").lines().filter(|row| !row.starts_with('#')) {
        let fields: Vec<&str> = row.split('\t').collect();
        let [kind, text, expected] = fields[..] else { panic!("three fields: {row}") };
        row_count += 1;
        let (found_kind, found) = outcome(&restored(text));
        if (found_kind, &found) != (kind, &restored(expected)) {
            differences.push(format!("{text}\n  {kind} {expected}\n  {found_kind} {found}"));
        }
    }
    let count = differences.len();
    assert!(count == 0, "{count} of {row_count} differ\n{}", differences.join("\n"));
}

#[track_caller]
fn check_bounded(text: &str, message: &str) {
    let (kind, found) = outcome(text);
    assert!(kind != "ok" && found.contains(message), "{text:.80}: {kind} {found:.300}");
}

#[test]
fn what_a_template_may_take_is_bounded() {
    check_bounded("{{ range 1000000000 }}{{ end }}", "takes more than 1000000 steps");
    check_bounded(
        "{{ $x := \"0123456789\" }}{{ range 100 }}{{ $x = printf \"%s%s\" $x $x }}{{ end }}",
        "output longer than 1048576 bytes",
    );
    check_bounded("{{ range 20000 }}{{ printf \"%1000d\" 1 }}{{ end }}", "output longer than");
    check_bounded("{{ printf \"%999999d%999999d\" 1 1 }}", "output longer than");
    check_bounded(
        "{{ define \"r\" }}{{ template \"r\" }}{{ end }}{{ template \"r\" }}",
        "exceeded maximum template depth (100)",
    );
    check_bounded(
        "{{ $x := \"aaaaaaaaaa\" }}{{ range 20 }}{{ $x = reReplaceAll \"a\" \"aa\" $x }}{{ end }}",
        "output longer than",
    );
    check_bounded(&format!("{{{{ {}1{} }}}}", "(".repeat(60), ")".repeat(60)), "depth exceeded");
    check_bounded(
        &format!("{}{}", "{{ if 1 }}".repeat(60), "{{ end }}".repeat(60)),
        "depth exceeded",
    );
    let deepest = format!("{{{{ {}1{} }}}}", "(".repeat(40), ")".repeat(40));
    assert_eq!(outcome(&deepest), ("ok", "1".to_owned()));
}

/// Pieces of templates in any order: whatever comes of it, it comes.
#[test]
fn no_text_makes_a_template_panic() {
    let corpus: Vec<&str> = include_str!("corpus.tsv")
        .lines()
        .filter_map(|row| row.split('\t').nth(1))
        .flat_map(|text| text.split_inclusive([' ', '}', '(', ')', '|', '"']))
        .collect();
    let mut state = 7_u64;
    let mut random = |bound: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % bound
    };
    let mut texts = 0;
    for _ in 0..6_000 {
        let mut text: String = (0..1 + random(12)).map(|_| corpus[random(corpus.len())]).collect();
        if random(4) == 0 {
            text = format!("{{{{ {} }}}}", text.replace(['{', '}'], ""));
        }
        texts += usize::from(outcome(&text).0 == "ok");
    }
    assert!(texts > 100, "{texts} of the random templates give a text");
}
