//! `cargo run -p tests --bin alertmanager-check -- ALERTMANAGER`: hearth's alerts in a real
//! Alertmanager, as a webhook behind it hears of them. Without the program it says so and ends.
//! Budget: two minutes.
//!
//! Two Alertmanagers group, inhibit, silence and resolve; one of them is away for a while; hearth
//! is started anew while an alert is pending, and again while it fires.

use std::net::SocketAddr;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::http::{self, encode};
use tests::process::{Hearth, Options, free_address, unix_ms};
use tests::remote_write::{self, Series};
use tests::webhook::Webhook;
use tests::workspace::TemporaryFolder;

const RULES: &str = r#"
groups:
- name: check
  interval: 1s
  rules:
  - alert: High
    expr: level{i=~"[abc]"} > 1
    annotations: {summary: "{{ $labels.i }} is at {{ $value }}"}
  - alert: Brief
    expr: level{i="brief"} > 1
    for: 5s
  - alert: Kept
    expr: level{i="kept"} > 1
    keep_firing_for: 5s
  - alert: Cause
    expr: level{i="down"} > 1
    labels: {severity: critical}
  - alert: Effect
    expr: level{i="down"} > 1
    labels: {severity: warning}
  - alert: Silenced
    expr: level{i="silenced"} > 1
  - alert: Slow
    expr: level{i="slow"} > 1
    for: 20s
"#;

/// A real Alertmanager whose notices go to `/<name>` of a webhook.
struct Alertmanager {
    child: Child,
    address: SocketAddr,
    program: String,
    folder: TemporaryFolder,
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Alertmanager {
    fn start(program: &str, webhook: &Webhook, name: &str) -> Alertmanager {
        let folder = TemporaryFolder::new("alertmanager");
        let config = format!(
            "route: {{receiver: hook, group_by: [alertname], group_wait: 2s, group_interval: 1s, \
             repeat_interval: 1h}}
receivers: [{{name: hook, webhook_configs: [{{url: 'http://{}/{name}', send_resolved: true}}]}}]
inhibit_rules:
- source_matchers: ['severity=\"critical\"']
  target_matchers: ['severity=\"warning\"']
  equal: [i]
",
            webhook.address
        );
        std::fs::write(folder.path().join("config.yml"), config).expect("the folder is writable");
        let address = free_address();
        let child = spawn(program, &folder, address);
        Alertmanager { child, address, program: program.to_owned(), folder }
    }

    fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn restart(&mut self) {
        self.child = spawn(&self.program, &self.folder, self.address);
    }

    fn silence(&self, alert: &str) {
        let silence = json!({
            "matchers": [{"name": "alertname", "value": alert, "isRegex": false, "isEqual": true}],
            "startsAt": "2020-01-01T00:00:00Z", "endsAt": "2100-01-01T00:00:00Z",
            "createdBy": "check", "comment": "check",
        });
        let headers = [("Content-Type", "application/json")];
        let body = silence.to_string();
        let target = "/api/v2/silences";
        let answer = http::request(self.address, "POST", target, &headers, body.as_bytes());
        assert_eq!(answer.expect("Alertmanager answers").status, 200);
    }
}

fn spawn(program: &str, folder: &TemporaryFolder, address: SocketAddr) -> Child {
    let child = Command::new(program)
        .arg(format!("--config.file={}", folder.path().join("config.yml").display()))
        .arg(format!("--storage.path={}", folder.path().join("data").display()))
        .arg(format!("--web.listen-address={address}"))
        .arg("--cluster.listen-address=")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let deadline = Instant::now() + Duration::from_secs(30);
    while !http::get(address, "/-/ready").is_ok_and(|answer| answer.status == 200) {
        assert!(Instant::now() < deadline, "{program} was not ready");
        std::thread::sleep(Duration::from_millis(50));
    }
    child
}

fn start(alertmanagers: &[&Alertmanager]) -> Hearth {
    let mut options = Options::receiver(2);
    let targets: Vec<String> = alertmanagers.iter().map(|one| one.address.to_string()).collect();
    options.config = Some("scrape_configs: []\n".to_owned());
    let more = ["--web.enable-lifecycle", "--rules.alert.for-grace-period=1s"];
    options.args.extend(more.map(str::to_owned));
    options.args.push("--rules.alert.resend-delay=2s".to_owned());
    let hearth = Hearth::start(options);
    let config = hearth.config_file();
    std::fs::write(config.with_file_name("rules.yml"), RULES).expect("the folder is writable");
    let text = format!(
        "rule_files: [rules.yml]\nalerting: {{alertmanagers: [{{static_configs: [{{targets: \
         {targets:?}}}]}}]}}\n"
    );
    std::fs::write(config, text).expect("the folder is writable");
    assert_eq!(hearth.post("/-/reload", &[], b"").status, 200, "{}", hearth.log());
    hearth
}

fn put(hearth: &Hearth, instance: &str, value: f64) {
    let labels = vec![("__name__", "level".to_owned()), ("i", instance.to_owned())];
    let series = Series { labels, samples: vec![(unix_ms(), value)] };
    assert_eq!(remote_write::send(hearth.address, &[series]).expect("hearth answers").status, 204);
}

/// The alert of this name, once it is in `state`.
fn wait_state(hearth: &Hearth, name: &str, state: &str) -> Value {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let data = hearth.get("/api/v1/alerts").json();
        let alerts = data["data"]["alerts"].as_array().cloned().unwrap_or_default();
        let found = alerts.iter().find(|alert| alert["labels"]["alertname"] == name);
        match found {
            Some(alert) if alert["state"] == state => return alert.clone(),
            None if state == "inactive" => return Value::Null,
            _ => {}
        }
        assert!(Instant::now() < deadline, "{name} is not {state}: {data:#}\n{}", hearth.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A notice of the group of an alert, in `status`.
fn of(name: &str, status: &str) -> impl Fn(&Value) -> bool {
    move |body| body["groupLabels"]["alertname"] == name && body["status"] == status
}

fn has_heard(webhook: &Webhook, path: &str, name: &str) -> bool {
    webhook.posted(path).iter().any(|body| body["groupLabels"]["alertname"] == name)
}

fn metric(hearth: &Hearth, name: &str, address: SocketAddr) -> f64 {
    let page = hearth.get("/metrics").text();
    let is_it = |line: &&str| line.starts_with(name) && line.contains(&address.to_string());
    let line = page.lines().find(is_it).unwrap_or_default();
    line.rsplit(' ').next().and_then(|value| value.parse().ok()).unwrap_or(f64::NAN)
}

fn main() -> ExitCode {
    let Some(program) = std::env::args().nth(1) else {
        println!("skipped: name an Alertmanager, as in `alertmanager-check -- ALERTMANAGER`");
        return ExitCode::SUCCESS;
    };
    let webhook = Webhook::start();
    let mut first = Alertmanager::start(&program, &webhook, "1");
    let second = Alertmanager::start(&program, &webhook, "2");
    first.silence("Silenced");
    let mut hearth = start(&[&first, &second]);
    let said = |what: &str| println!("good: {what}");

    put(&hearth, "slow", 2.0);
    put(&hearth, "a", 2.0);
    put(&hearth, "b", 2.0);
    for path in ["/1", "/2"] {
        let notice = webhook.wait("High", path, |body| {
            of("High", "firing")(body)
                && body["alerts"].as_array().is_some_and(|all| all.len() == 2)
        });
        let summary = notice["alerts"][0]["annotations"]["summary"].as_str().unwrap_or_default();
        assert!(summary.ends_with("is at 2"), "{summary}");
    }
    said("two alerts fire and come to both Alertmanagers as one group, templates expanded");

    put(&hearth, "brief", 2.0);
    wait_state(&hearth, "Brief", "pending");
    put(&hearth, "brief", 0.0);
    wait_state(&hearth, "Brief", "inactive");
    said("a pending alert goes back to inactive");

    let before = wait_state(&hearth, "Slow", "pending");
    hearth.stop();
    hearth.restart();
    let shown = |value: &Value| value["activeAt"].as_str().unwrap_or_default().to_owned();
    let firing = wait_state(&hearth, "Slow", "firing");
    println!("      pending since {}, after the restart since {}", shown(&before), shown(&firing));
    webhook.wait("Slow", "/1", of("Slow", "firing"));
    said("an alert that was pending at a restart fires");

    let since = |hearth: &Hearth| {
        let selector = encode("ALERTS_FOR_STATE{alertname=\"Slow\"}");
        let answer = hearth.get(&format!("/api/v1/query?query={selector}")).json();
        answer["data"]["result"][0]["value"][1].clone()
    };
    let before = since(&hearth);
    hearth.kill();
    hearth.restart();
    wait_state(&hearth, "Slow", "firing");
    assert_eq!(since(&hearth), before);
    let ended = |name| webhook.posted("/1").iter().any(of(name, "resolved"));
    assert!(!ended("Slow") && !ended("High"), "nothing ends by a restart");
    said("an alert that fired at a kill fires on since the same time, and nobody hears of an end");

    put(&hearth, "kept", 2.0);
    webhook.wait("Kept", "/1", of("Kept", "firing"));
    put(&hearth, "kept", 0.0);
    let begun = Instant::now();
    wait_state(&hearth, "Kept", "inactive");
    assert!(begun.elapsed() > Duration::from_secs(4), "{:?}", begun.elapsed());
    webhook.wait("end of Kept", "/1", of("Kept", "resolved"));
    said("keep_firing_for keeps an alert, then it resolves");

    put(&hearth, "down", 2.0);
    put(&hearth, "silenced", 2.0);
    for path in ["/1", "/2"] {
        webhook.wait("Cause", path, of("Cause", "firing"));
    }
    webhook.wait("Silenced", "/2", of("Silenced", "firing"));
    std::thread::sleep(Duration::from_secs(4));
    assert!(!has_heard(&webhook, "/1", "Effect") && !has_heard(&webhook, "/2", "Effect"));
    said("an inhibited alert is not told");
    assert!(!has_heard(&webhook, "/1", "Silenced"));
    said("a silenced alert is told by the other Alertmanager alone");

    first.stop();
    let is_three = |body: &Value| {
        of("High", "firing")(body) && body["alerts"].as_array().is_some_and(|all| all.len() == 3)
    };
    put(&hearth, "c", 2.0);
    webhook.wait("a third High", "/2", is_three);
    let lost = metric(&hearth, "prometheus_notifications_dropped_total", first.address);
    assert!(lost > 0.0, "{lost}");
    first.restart();
    let is_c = |body: &Value| body.to_string().contains("\"i\":\"c\"");
    webhook.wait("the third High", "/1", is_c);
    said("while one Alertmanager is away the other hears, and it hears when it is back");

    for instance in ["a", "b", "c", "slow", "down", "silenced"] {
        put(&hearth, instance, 0.0);
    }
    for path in ["/1", "/2"] {
        for name in ["High", "Slow", "Cause"] {
            webhook.wait("end", path, of(name, "resolved"));
        }
    }
    said("all ends are told");
    let sent = metric(&hearth, "prometheus_notifications_sent_total", second.address);
    println!("{sent} alerts were sent to the second Alertmanager");
    ExitCode::SUCCESS
}
