//! Rules and alerts from outside: the real binary, an Alertmanager of our own on loopback.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::http::encode;
use tests::process::unix_ms;
use tests::remote_write::{self, Series};
use tests::webhook::Webhook;
use tests::{Hearth, Options};

const ALERTS: &str = "/api/v2/alerts";

const RULES: &str = r#"
groups:
- name: first
  interval: 1s
  labels: {team: x}
  rules:
  - record: level:max
    expr: max by (i) (level)
    labels: {from: rule}
  - alert: High
    expr: level:max > 1
    keep_firing_for: 2s
    labels: {severity: page, from: ""}
    annotations: {summary: "<much> of it"}
  - alert: Slow
    expr: level > 1
    for: 1h
- name: second
  interval: 1h
  limit: 5
  rules:
  - record: never
    expr: level
"#;

fn config(webhook: &Webhook) -> String {
    format!(
        "global: {{external_labels: {{dc: a}}}}
rule_files: [rules.yml]
alerting:
  alert_relabel_configs: [{{action: labeldrop, regex: team}}]
  alertmanagers:
  - path_prefix: /am
    static_configs: [{{targets: ['{0}']}}]
  - static_configs: [{{targets: ['{0}', 'dropped:1']}}]
    relabel_configs: [{{source_labels: [__address__], regex: 'dropped.*', action: drop}}]
",
        webhook.address
    )
}

/// hearth with [`RULES`], its alerts going to `webhook`.
fn start(webhook: &Webhook) -> Hearth {
    let mut options = Options::receiver(2);
    options.config = Some("scrape_configs: []\n".to_owned());
    options.args.extend(
        [
            "--web.enable-lifecycle",
            "--web.external-url=http://h:1/p/",
            "--web.route-prefix=/",
            "--rules.alert.resend-delay=1s",
        ]
        .map(str::to_owned),
    );
    let hearth = Hearth::start(options);
    std::fs::write(hearth.config_file().with_file_name("rules.yml"), RULES).unwrap();
    reload(&hearth, &config(webhook));
    hearth
}

#[track_caller]
fn reload(hearth: &Hearth, config: &str) {
    std::fs::write(hearth.config_file(), config).unwrap();
    let answer = hearth.post("/-/reload", &[], b"");
    assert_eq!(answer.status, 200, "{}", answer.text());
}

fn put(hearth: &Hearth, instance: &str, value: f64) {
    let labels = vec![("__name__", "level".to_owned()), ("i", instance.to_owned())];
    let series = Series { labels, samples: vec![(unix_ms(), value)] };
    assert_eq!(remote_write::send(hearth.address, &[series]).unwrap().status, 204);
}

/// Waits until the API's answer satisfies `wanted`; returns its data.
#[track_caller]
fn wait(hearth: &Hearth, target: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let data = hearth.get(target).json()["data"].clone();
        if wanted(&data) {
            return data;
        }
        assert!(Instant::now() < deadline, "{target}: {data:#}\n{}", hearth.log());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn alerts_fire_are_kept_and_end() {
    let webhook = Webhook::start();
    let hearth = start(&webhook);
    // They are found on a thread of their own.
    let is_found = |data: &Value| data["droppedAlertmanagers"] != json!([]);
    let ams = wait(&hearth, "/api/v1/alertmanagers", is_found);
    let url = |path| json!({"url": format!("http://{}{path}", webhook.address)});
    assert_eq!(
        ams,
        json!({
            "activeAlertmanagers": [url("/am/api/v2/alerts"), url(ALERTS)],
            "droppedAlertmanagers": [{"url": "http://dropped:1/api/v2/alerts"}],
        })
    );
    put(&hearth, "1", 2.0);
    let is_high = |body: &Value| body[0]["labels"]["alertname"] == "High";
    let sent = webhook.wait("alert", ALERTS, is_high);
    let labels = json!({"alertname": "High", "dc": "a", "i": "1", "severity": "page"});
    assert_eq!(sent[0]["labels"], labels, "{sent}");
    assert_eq!(sent[0]["annotations"], json!({"summary": "<much> of it"}));
    let link = "http://h:1/p/graph?g0.expr=level%3Amax+%3E+1&g0.tab=1";
    assert_eq!(sent[0]["generatorURL"], link);
    let time = |name: &str| sent[0][name].as_str().unwrap_or_default().to_owned();
    assert!(time("startsAt") < time("endsAt") && time("startsAt").len() == 24, "{sent}");
    webhook.wait("alert below the prefix", "/am/api/v2/alerts", is_high);

    // Its series, and what was recorded.
    // The notice goes out before the series is written.
    let is_there = |data: &Value| data["result"] != json!([]);
    let firing = hearth.wait_query("ALERTS{alertname=\"High\"}", is_there);
    let expected = json!({"__name__": "ALERTS", "alertname": "High", "alertstate": "firing",
                          "i": "1", "severity": "page", "team": "x"});
    assert_eq!(firing["result"][0]["metric"], expected);
    let recorded = hearth.query("level:max", unix_ms());
    let expected = json!({"__name__": "level:max", "from": "rule", "i": "1", "team": "x"});
    assert_eq!(recorded["result"][0]["metric"], expected);
    let pending = hearth.wait_query("ALERTS{alertname=\"Slow\"}", is_there);
    assert_eq!(pending["result"][0]["metric"]["alertstate"], "pending");

    // Kept for two seconds, then told as ended.
    put(&hearth, "1", 0.0);
    let is_kept = |data: &Value| data["alerts"][0].get("keepFiringSince").is_some();
    let kept = wait(&hearth, "/api/v1/alerts", is_kept);
    assert_eq!(kept["alerts"][0]["state"], "firing");
    assert_eq!(kept["alerts"][0]["value"], "2e+00");
    wait(&hearth, "/api/v1/alerts", |data| data == &json!({"alerts": []}));
    // What fires is told with an end that moves on; what has ended, with the one it had.
    let starts_at = sent[0]["startsAt"].clone();
    webhook.wait("end", ALERTS, |body| {
        let is_same = |other: &&Value| is_high(other) && other[0]["endsAt"] == body[0]["endsAt"];
        let repeated = webhook.posted(ALERTS).iter().filter(is_same).count();
        is_high(body) && body[0]["startsAt"] == starts_at && repeated > 1
    });
    hearth.wait_query("ALERTS or level:max{i=\"2\"}", |data| data["result"] == json!([]));
    let page = hearth.get("/metrics").text();
    for line in [
        "prometheus_rule_group_rules{rule_group=",
        "prometheus_rule_evaluation_failures_total{rule_group=",
        "prometheus_notifications_alertmanagers_discovered 2",
    ] {
        assert!(page.contains(line), "{line} in {page}");
    }
}

#[test]
fn rules_are_shown_filtered_and_page_by_page() {
    let webhook = Webhook::start();
    let hearth = start(&webhook);
    let is_evaluated = |data: &Value| data["groups"][0]["rules"][0]["health"] == "ok";
    let data = wait(&hearth, "/api/v1/rules", is_evaluated);
    let names = |data: &Value| -> Vec<String> {
        let groups = data["groups"].as_array().unwrap().iter();
        let rules = groups.flat_map(|group| group["rules"].as_array().unwrap());
        rules.map(|rule| rule["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&data), ["level:max", "High", "Slow", "never"]);
    let high = &data["groups"][0]["rules"][1];
    for (field, expected) in [
        ("state", json!("inactive")),
        ("query", json!("level:max > 1")),
        ("duration", json!(0)),
        ("keepFiringFor", json!(2)),
        ("labels", json!({"from": "", "severity": "page", "team": "x"})),
        ("annotations", json!({"summary": "<much> of it"})),
        ("alerts", json!([])),
        ("type", json!("alerting")),
    ] {
        assert_eq!(high[field], expected, "{field} of {high}");
    }
    let second = &data["groups"][1];
    assert_eq!((&second["limit"], &second["interval"]), (&json!(5), &json!(3600)));
    assert_eq!(second["rules"][0]["health"], "unknown");
    assert_eq!(second["lastEvaluation"], "0001-01-01T00:00:00Z");
    let check = |filter: &str, expected: &[&str]| {
        let data = hearth.get(&format!("/api/v1/rules?{filter}")).json()["data"].clone();
        assert_eq!(names(&data), expected, "{filter}");
        data
    };
    check("type=alert", &["High", "Slow"]);
    check("type=RECORD", &["level:max", "never"]);
    check("rule_name[]=High&rule_name[]=never", &["High", "never"]);
    check("rule_group[]=second", &["never"]);
    check("file[]=none", &[]);
    let selector = |text: &str| format!("match[]={}", encode(text));
    let either = [r#"{severity="page"}"#, r#"{from="rule"}"#].map(selector).join("&");
    check(&either, &["level:max", "High"]);
    let data = check("exclude_alerts=true&rule_name[]=High", &["High"]);
    assert_eq!(data["groups"][0]["rules"][0]["alerts"], Value::Null);
    let data = check("group_limit=1", &["level:max", "High", "Slow"]);
    let token = data["groupNextToken"].as_str().unwrap();
    let data = check(&format!("group_limit=1&group_next_token={token}"), &["never"]);
    assert_eq!(data.get("groupNextToken"), None);
    for (filter, error) in [
        ("type=x", "invalid parameter \"type\": not supported value \"x\""),
        ("group_next_token=x", "group_limit needs to be present in order to paginate"),
        ("group_limit=0", "group_limit needs to be greater than 0"),
        ("group_limit=x", "strconv.ParseInt: parsing \"x\": invalid syntax"),
        ("group_limit=1&group_next_token=x", "invalid group_next_token 'x'"),
        ("exclude_alerts=x", "strconv.ParseBool: parsing \"x\": invalid syntax"),
        (&selector(r#"{a=""}"#), "match[] must contain at least one non-empty matcher"),
    ] {
        let answer = hearth.get(&format!("/api/v1/rules?{filter}"));
        let text = answer.json()["error"].as_str().unwrap_or_default().to_owned();
        assert!(answer.status == 400 && text.contains(error), "{filter}: {text}");
    }
}

#[test]
fn a_reload_keeps_alerts_and_refuses_broken_rules() {
    let webhook = Webhook::start();
    let hearth = start(&webhook);
    put(&hearth, "1", 2.0);
    let slow = |data: &Value| {
        let alerts = data["alerts"].as_array().unwrap().iter();
        alerts.clone().find(|alert| alert["labels"]["alertname"] == "Slow").cloned()
    };
    let before = wait(&hearth, "/api/v1/alerts", |data| slow(data).is_some());
    let file = hearth.config_file().with_file_name("rules.yml");
    std::fs::write(&file, RULES.replace("for: 1h", "for: 2h").replace("level:max\n", "other\n"))
        .unwrap();
    reload(&hearth, &config(&webhook));
    // The group has changed: it goes on with its alerts, and what it records no more ends.
    let is_changed = |data: &Value| data["groups"][0]["rules"][2]["duration"] == json!(7200);
    wait(&hearth, "/api/v1/rules", is_changed);
    let after = wait(&hearth, "/api/v1/alerts", |data| slow(data).is_some());
    assert_eq!(slow(&after).unwrap()["activeAt"], slow(&before).unwrap()["activeAt"]);
    hearth.wait_query("level:max", |data| data["result"] == json!([]));
    hearth.wait_query("other", |data| data["result"] != json!([]));
    std::fs::write(&file, "groups: [{name: a, rules: [{record: x, expr: 'sum('}]}]").unwrap();
    let answer = hearth.post("/-/reload", &[], b"");
    assert_eq!(answer.status, 500, "{}", answer.text());
    assert!(answer.text().contains("error loading rules, previous rule set restored"));
    assert_eq!(hearth.get("/api/v1/rules").json()["data"]["groups"][0]["name"], "first");
    // Without its file the group goes, and its series with it.
    std::fs::remove_file(&file).unwrap();
    reload(&hearth, &config(&webhook));
    assert_eq!(hearth.get("/api/v1/rules").json()["data"], json!({"groups": []}));
    hearth.wait_query("other or ALERTS", |data| data["result"] == json!([]));
}
