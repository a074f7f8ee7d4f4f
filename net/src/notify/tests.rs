//! The notifier against Alertmanagers of our own on loopback.

use std::sync::Mutex;

use serde_json::Value;

use super::notice::testing::notice;
use super::*;
use crate::config::{DiscoveryConfigs, LoadOptions};
use crate::discovery::static_groups;
use crate::http::testing::{FakeServer, reply, reply_status};

const OPTIONS: NotifyOptions = NotifyOptions { queue_capacity: 10, batch_max: 2, drains: true };

/// An Alertmanager that answers with `status`, and what it was sent: path, authorization, and the
/// label `i` of each notice.
fn alertmanager(status: u16) -> (FakeServer, Arc<Mutex<Vec<String>>>) {
    let received = Arc::new(Mutex::new(vec![]));
    let log = received.clone();
    let server = FakeServer::http(move |asked| {
        assert_eq!(asked.header("content-type"), "application/json");
        let body: Value = serde_json::from_slice(&asked.body).unwrap();
        let instances: Vec<&str> = body
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["labels"]["i"].as_str().unwrap())
            .collect();
        let line = format!(
            "{} {} {} {}",
            asked.method,
            asked.target,
            asked.header("authorization"),
            instances.join(",")
        );
        log.lock().unwrap().push(line);
        if status == 200 { reply("") } else { reply_status(status, ("x", "y")) }
    });
    (server, received)
}

fn config(text: &str) -> Config {
    Config::parse(text, &LoadOptions::default(), |_| None).unwrap_or_else(|_| panic!("{text}")).0
}

fn notices(instances: &[&str]) -> Vec<Notice> {
    instances.iter().map(|i| notice(&[("alertname", "A"), ("i", i)])).collect()
}

/// Puts `text` in force, with the groups that stand in it.
fn configure(notifier: &Notifier, text: &str) {
    let config = config(text);
    notifier.configure(NotifyPlan::new(&config).unwrap());
    for (index, section) in config.alerting.alertmanagers.iter().enumerate() {
        let DiscoveryConfigs { static_configs, .. } = &section.discovery;
        notifier.set_groups(index, static_groups(static_configs));
    }
}

#[test]
fn every_alertmanager_gets_every_notice_its_section_keeps() {
    let (first, to_first) = alertmanager(200);
    let (second, to_second) = alertmanager(200);
    let (notifier, running) = Notifier::start(OPTIONS).unwrap();
    let text = format!(
        "alerting:
  alert_relabel_configs: [{{source_labels: [i], regex: none, action: drop}}]
  alertmanagers:
  - path_prefix: /am/
    basic_auth: {{username: u, password: p}}
    static_configs: [{{targets: ['{0}', '{0}', 'gone:1']}}]
    relabel_configs: [{{source_labels: [__address__], regex: 'gone:1', action: drop}}]
  - static_configs: [{{targets: ['{1}']}}]
    alert_relabel_configs: [{{source_labels: [i], regex: b, action: drop}}]
",
        first.address, second.address
    );
    configure(&notifier, &text);
    notifier.send(notices(&["a", "none", "b", "c"]));
    notifier.finish(running);
    let path = "POST /am/api/v2/alerts Basic dTpw";
    assert_eq!(*to_first.lock().unwrap(), [format!("{path} a,b"), format!("{path} c")]);
    assert_eq!(*to_second.lock().unwrap(), ["POST /api/v2/alerts  a,c"]);
    let shown = notifier.stats.alertmanagers();
    let urls = [
        format!("http://{}/am/api/v2/alerts", first.address),
        format!("http://{}/api/v2/alerts", second.address),
    ];
    assert_eq!(shown.active, urls);
    assert_eq!(shown.dropped, ["http://gone:1/am/api/v2/alerts"]);
    let counts = |url: &str| {
        let stats = shown.loops.iter().find(|stats| stats.url == url).unwrap();
        let latency = stats.latency.read(std::time::Instant::now()).count;
        (stats.sent.get(), stats.errors.get(), stats.dropped.get(), latency)
    };
    assert_eq!((counts(&urls[0]), counts(&urls[1])), ((3, 0, 0, 2), (2, 0, 0, 1)));
}

#[test]
fn a_batch_that_fails_is_dropped_and_the_next_is_sent() {
    let (server, received) = alertmanager(500);
    let (notifier, running) = Notifier::start(OPTIONS).unwrap();
    let targets = format!("static_configs: [{{targets: ['{}']}}]", server.address);
    configure(&notifier, &format!("alerting: {{alertmanagers: [{{{targets}}}]}}"));
    notifier.send(notices(&["a", "b", "c"]));
    notifier.finish(running);
    assert_eq!(received.lock().unwrap().len(), 2);
    let stats = &notifier.stats.alertmanagers().loops[0];
    assert_eq!((stats.sent.get(), stats.errors.get(), stats.dropped.get()), (0, 3, 3));
}

#[test]
fn a_section_with_sigv4_signs() {
    let (server, received) = alertmanager(200);
    let (notifier, running) = Notifier::start(OPTIONS).unwrap();
    let text = format!(
        "alerting: {{alertmanagers: [{{sigv4: {{region: r1, access_key: id, secret_key: s}}, \
         static_configs: [{{targets: ['{}']}}]}}]}}",
        server.address
    );
    configure(&notifier, &text);
    notifier.send(notices(&["a"]));
    notifier.finish(running);
    let received = received.lock().unwrap();
    let line = received.first().unwrap();
    assert!(
        line.contains("AWS4-HMAC-SHA256 Credential=id/")
            && line.contains("/r1/aps/aws4_request, SignedHeaders=content-type;host;x-amz-date, "),
        "{line}"
    );
}

#[test]
fn a_reload_keeps_what_did_not_change() {
    let (server, received) = alertmanager(200);
    let (notifier, running) = Notifier::start(OPTIONS).unwrap();
    let section = format!("static_configs: [{{targets: ['{}']}}]", server.address);
    let with = |others: &str| format!("alerting:\n  alertmanagers:\n  - {section}\n{others}");
    configure(&notifier, &with("  - static_configs: [{targets: ['localhost:1']}]\n"));
    notifier.configure(NotifyPlan::new(&config(&with(""))).unwrap());
    // Without a word from discovery: the section is as it was.
    notifier.send(notices(&["a"]));
    notifier.finish(running);
    assert_eq!(received.lock().unwrap().len(), 1);
    assert_eq!(notifier.stats.alertmanagers().active.len(), 1);
}

#[test]
fn a_full_queue_loses_its_oldest() {
    for (drains, sent, dropped) in [(true, 10, 5), (false, 0, 15)] {
        let (queue, has_work) =
            send_loop::Queue::new("http://h", NotifyOptions { drains, ..OPTIONS });
        queue.add(&notices(&["1", "2", "3"]));
        queue.add(&notices(&["4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15"]));
        assert_eq!((queue.stats.queue_length.get(), queue.stats.dropped.get()), (10, 5));
        let (server, received) = alertmanager(200);
        let sender = send_loop::SendLoop {
            queue: queue.clone(),
            has_work,
            url: crate::http::url::Url::parse(&server.url("/")).unwrap(),
            client: crate::http::client::ClientOptions::plain(),
            signer: None,
            timeout: std::time::Duration::from_secs(10),
        };
        queue.stop();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        LocalSet::new().block_on(&runtime, sender.run());
        assert_eq!((queue.stats.sent.get(), queue.stats.dropped.get()), (sent, dropped));
        let first = received.lock().unwrap().first().cloned();
        assert_eq!(first, drains.then(|| "POST /  6,7".to_owned()));
    }
}
