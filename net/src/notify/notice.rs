//! What is told of an alert, and how it is written for Alertmanager's API v2.
//!
//! Source: Prometheus `notifier/{alert,util}.go`; Alertmanager `api/v2/models/postable_alert.go`.

use std::sync::Arc;

use engine::model::{Labels, LabelsBuilder};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::relabel::Rules;
use crate::wire::json::push_html_text;

#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    pub labels: Labels,
    /// Ascending by name.
    pub annotations: Arc<[(String, String)]>,
    pub starts_at_ms: i64,
    /// In the past: the alert has ended. Else how long this notice holds.
    pub ends_at_ms: i64,
    /// Where a browser sees the alert's expression.
    pub generator_url: Arc<str>,
}

/// The notices that `rules` keep, with the external labels that they do not have themselves.
pub fn relabel(rules: &Rules, external: &Labels, notices: Vec<Notice>) -> Vec<Notice> {
    if rules.is_empty() && external.as_ref().is_empty() {
        return notices;
    }
    let relabelled = |mut notice: Notice| {
        let mut builder = LabelsBuilder::from_labels(notice.labels.as_ref());
        for (name, value) in external.iter() {
            if builder.get(name).is_empty() {
                builder.set(name, value);
            }
        }
        rules.apply(&mut builder).then(|| {
            notice.labels = builder.finish();
            notice
        })
    };
    notices.into_iter().filter_map(relabelled).collect()
}

/// The body of a request.
pub fn json(notices: &[Notice]) -> Vec<u8> {
    let mut out = vec![b'['];
    for (index, notice) in notices.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.push(b'{');
        if !notice.annotations.is_empty() {
            out.extend_from_slice(b"\"annotations\":");
            let texts = |(name, value): &(String, String)| (name.clone(), value.clone());
            push_object(&mut out, notice.annotations.iter().map(texts));
            out.push(b',');
        }
        for (name, ms) in [("endsAt", notice.ends_at_ms), ("startsAt", notice.starts_at_ms)] {
            out.extend_from_slice(format!("\"{name}\":\"{}\",", date_time(ms)).as_bytes());
        }
        out.extend_from_slice(b"\"generatorURL\":");
        push_html_text(&mut out, notice.generator_url.as_bytes());
        out.extend_from_slice(b",\"labels\":");
        push_object(&mut out, notice.labels.iter());
        out.push(b'}');
    }
    out.push(b']');
    out
}

fn push_object<T: AsRef<[u8]>>(out: &mut Vec<u8>, pairs: impl Iterator<Item = (T, T)>) {
    out.push(b'{');
    for (index, (name, value)) in pairs.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push_html_text(out, name.as_ref());
        out.push(b':');
        push_html_text(out, value.as_ref());
    }
    out.push(b'}');
}

/// With three decimals, in UTC. A time that no calendar has is Go's zero time.
fn date_time(unix_ms: i64) -> String {
    Timestamp::from_millisecond(unix_ms).map_or_else(
        |_| "0001-01-01T00:00:00.000Z".to_owned(),
        |time| time.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
    )
}

#[cfg(test)]
pub mod testing {
    use super::*;

    pub fn notice(labels: &[(&str, &str)]) -> Notice {
        Notice {
            labels: Labels::from_pairs(labels.iter().copied()),
            annotations: [("text".to_owned(), "<b> \"x\"".to_owned())].into(),
            starts_at_ms: 1_435_781_451_780,
            ends_at_ms: 1_435_781_452_000,
            generator_url: "http://h/graph?g0.expr=up&g0.tab=1".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::notice;
    use super::*;
    use crate::relabel::{Action, RelabelConfig};

    #[test]
    fn a_body_is_what_alertmanager_reads() {
        assert_eq!(json(&[]), b"[]");
        let bare = Notice { annotations: [].into(), ..notice(&[]) };
        let body = json(&[notice(&[("alertname", "A"), ("i", "1")]), bare]);
        assert_eq!(
            String::from_utf8(body).unwrap(),
            r#"[{"annotations":{"text":"\u003cb\u003e \"x\""},"endsAt":"2015-07-01T20:10:52.000Z","startsAt":"2015-07-01T20:10:51.780Z","generatorURL":"http://h/graph?g0.expr=up\u0026g0.tab=1","labels":{"alertname":"A","i":"1"}},{"endsAt":"2015-07-01T20:10:52.000Z","startsAt":"2015-07-01T20:10:51.780Z","generatorURL":"http://h/graph?g0.expr=up\u0026g0.tab=1","labels":{}}]"#
        );
    }

    #[test]
    fn external_labels_come_before_rules() {
        let external = Labels::from_pairs([("a", "external"), ("b", "external")]);
        let config = RelabelConfig {
            source_labels: Some(vec!["b".into()]),
            regex: Some("external".into()),
            action: Action::Drop,
            ..RelabelConfig::default()
        };
        let rules = Rules::new(&[config]).unwrap();
        let notices = vec![notice(&[("b", "own")]), notice(&[("a", "own")])];
        let kept = relabel(&rules, &external, notices);
        let labels: Vec<String> = kept.iter().map(|notice| notice.labels.to_string()).collect();
        assert_eq!(labels, [r#"{a="external", b="own"}"#]);
    }
}
