//! The HTTP API from outside: the real binary, real requests, Prometheus's answers to the letter.

use serde_json::{Value, json};
use tests::http::{self, Answer};
use tests::process::unix_ms;
use tests::remote_write::{self, HEADERS, Metadata, Series};
use tests::workspace::TemporaryFolder;
use tests::{Hearth, Options};

fn series<'a>(labels: &[(&'a str, &str)], samples: &[(i64, f64)]) -> Series<'a> {
    Series {
        labels: labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
        samples: samples.to_vec(),
    }
}

/// hearth over `shard_count` shards with two series of four samples, one a minute; and the time
/// of the newest.
fn with_data(shard_count: usize) -> (Hearth, i64) {
    let hearth = Hearth::start(Options::receiver(shard_count));
    let newest_ms = unix_ms() / 60_000 * 60_000 - 60_000;
    let samples = |scale: f64| -> Vec<(i64, f64)> {
        (0..4).map(|step| (newest_ms - (3 - step) * 60_000, (step + 1) as f64 * scale)).collect()
    };
    let sent = [
        series(&[("__name__", "m"), ("a", "1"), ("job", "x")], &samples(1.0)),
        series(&[("__name__", "m"), ("a", "2"), ("job", "x")], &samples(0.25)),
    ];
    let answer = remote_write::send(hearth.address, &sent).expect("hearth answers");
    assert_eq!((answer.status, answer.text()), (204, String::new()));
    (hearth, newest_ms)
}

#[track_caller]
fn check(answer: &Answer, status: u16, expected: Value) {
    assert_eq!((answer.status, answer.json()), (status, expected));
}

#[track_caller]
fn check_error(answer: &Answer, status: u16, kind: &str, text: &str) {
    let json = answer.json();
    assert_eq!(answer.status, status, "{json}");
    assert_eq!(json["status"], "error");
    assert_eq!(json["errorType"], kind, "{json}");
    let error = json["error"].as_str().unwrap_or_default();
    assert!(error.contains(text), "{error} must contain {text}");
}

#[test]
fn queries_answer_as_prometheus_does() {
    for shard_count in [1, 3] {
        let (hearth, newest_ms) = with_data(shard_count);
        let s = newest_ms / 1000;
        let get = |target: &str| hearth.get(&target.replace("{T}", &s.to_string()));
        check(
            &get("/api/v1/query?query=sum(m)&time={T}"),
            200,
            json!({"status": "success", "data": {"resultType": "vector", "result": [
                {"metric": {}, "value": [s, "5"]}
            ]}}),
        );
        check(
            &get("/api/v1/query?query=m%7Ba=%222%22%7D&time={T}"),
            200,
            json!({"status": "success", "data": {"resultType": "vector", "result": [
                {"metric": {"__name__": "m", "a": "2", "job": "x"}, "value": [s, "1"]}
            ]}}),
        );
        // As people write it by hand.
        assert_eq!(
            get("/api/v1/query?query=m{a=\"2\"}<2&time={T}").json()["data"],
            get("/api/v1/query?query=m%7Ba=%222%22%7D&time={T}").json()["data"],
        );
        check(
            &get("/api/v1/query?query=scalar(m%7Ba=%221%22%7D)%2B0.5&time={T}"),
            200,
            json!({"status": "success", "data": {"resultType": "scalar", "result": [s, "4.5"]}}),
        );
        let start = s - 60;
        check(
            &get(&format!("/api/v1/query_range?query=sum(m)&start={start}&end={s}&step=30")),
            200,
            json!({"status": "success", "data": {"resultType": "matrix", "result": [
                {"metric": {}, "values": [[s - 60, "3.75"], [s - 30, "3.75"], [s, "5"]]}
            ]}}),
        );
        // The same as a form.
        let form = format!("query=sum(m)&start={start}&end={s}&step=30");
        let posted = hearth.post(
            "/api/v1/query_range",
            &[("Content-Type", "application/x-www-form-urlencoded")],
            form.as_bytes(),
        );
        assert_eq!(posted.status, 200);
        assert_eq!(posted.json()["data"]["result"][0]["values"][2][1], "5");
        check(
            &get("/api/v1/series?match[]=m"),
            200,
            json!({"status": "success", "data": [
                {"__name__": "m", "a": "1", "job": "x"}, {"__name__": "m", "a": "2", "job": "x"}
            ]}),
        );
        check(
            &get("/api/v1/labels"),
            200,
            json!({"status": "success", "data": ["__name__", "a", "job"]}),
        );
        check(
            &get("/api/v1/label/a/values"),
            200,
            json!({"status": "success", "data": ["1", "2"]}),
        );
        check(
            &get("/api/v1/format_query?query=sum(m)by(a)"),
            200,
            json!({"status": "success", "data": "sum by (a) (m)"}),
        );
    }
}

#[test]
fn bad_requests_are_refused_with_prometheus_texts() {
    let (hearth, _) = with_data(2);
    let check = |target: &str, status: u16, kind: &str, text: &str| {
        check_error(&hearth.get(target), status, kind, text);
    };
    check(
        "/api/v1/query?query=sum(",
        400,
        "bad_data",
        "invalid parameter \"query\": 1:5: parse error: unclosed left parenthesis",
    );
    check("/api/v1/query?query=rate(m)", 400, "bad_data", "expected type range vector");
    check("/api/v1/query?query=m&time=x", 400, "bad_data", "invalid parameter \"time\"");
    let range = "/api/v1/query_range?query=m";
    check(
        &format!("{range}&start=0&end=10&step=0"),
        400,
        "bad_data",
        "zero or negative query resolution step widths are not accepted. Try a positive integer",
    );
    check(
        &format!("{range}&start=10&end=0&step=1"),
        400,
        "bad_data",
        "end timestamp must not be before start time",
    );
    check(
        &format!("{range}&start=0&end=11001&step=1"),
        400,
        "bad_data",
        "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query \
         resolution (?step=XX)",
    );
    check("/api/v1/series", 400, "bad_data", "no match[] parameter provided");
    check("/api/v1/query?query=m*on()m", 422, "execution", "many-to-many matching not allowed");
    assert_eq!(hearth.get("/nope").status, 404);
    assert_eq!(hearth.get("/-/reload").status, 405);
    assert_eq!(hearth.post("/-/reload", &[], b"").status, 403);
}

#[test]
fn remote_write_judges_each_sample_and_says_so() {
    let (hearth, newest_ms) = with_data(2);
    let labels = [("__name__", "m"), ("a", "1"), ("job", "x")];
    let send = |samples: &[(i64, f64)]| {
        remote_write::send(hearth.address, &[series(&labels, samples)]).expect("hearth answers")
    };
    let check = |answer: Answer, status: u16, text: &str| {
        assert_eq!(answer.status, status, "{}", answer.text());
        assert!(answer.text().contains(text), "{} must contain {text}", answer.text());
    };
    check(send(&[(newest_ms, 4.0)]), 204, "");
    check(send(&[(newest_ms, 5.0)]), 400, "duplicate sample for timestamp");
    check(send(&[(newest_ms - 1, 5.0)]), 400, "out of order sample");
    let future = unix_ms() + 11 * 60_000;
    check(send(&[(future, 5.0)]), 400, "too far in the future");
    check(send(&[(newest_ms + 1, 6.0)]), 204, "");

    let post = |headers: &[(&str, &str)], body: &[u8]| hearth.post("/api/v1/write", headers, body);
    check(post(HEADERS, b"not snappy"), 400, "");
    check(post(HEADERS, &remote_write::compress(b"\xff\xff\xff")), 400, "");
    check(
        post(&[("Content-Encoding", "snappy"), ("Content-Type", "application/json")], b""),
        415,
        "expected application/x-protobuf as the first (media) part, got application/json \
         content-type",
    );
    check(
        post(&[("Content-Encoding", "zstd"), ("Content-Type", "application/x-protobuf")], b""),
        415,
        "zstd encoding (compression) is not accepted by this server; only snappy is acceptable",
    );
    // A declared length beyond the limit is refused before anything is allocated.
    check(post(HEADERS, b"\xff\xff\xff\xff\x0f"), 400, "exceeds the 33554432 bytes limit");
    assert_eq!(
        hearth.query("count_over_time(m{a=\"1\"}[1h])", newest_ms + 1)["result"][0]["value"][1],
        "5"
    );
}

/// A series that was met before takes a short way when it has one plain sample; its other samples in
/// the same request must be judged in the order in which all of them stand.
#[test]
fn samples_of_one_series_in_one_request_are_judged_in_their_order() {
    for shards in [1, 2] {
        let (hearth, newest_ms) = with_data(shards);
        let labels = [("__name__", "m"), ("a", "1"), ("job", "x")];
        let turned = [("job", "x"), ("a", "1"), ("__name__", "m")];
        let other = [("__name__", "other"), ("job", "x")];
        let send = |all: &[Series<'_>]| remote_write::send(hearth.address, all).unwrap();
        let at = |step: i64| (newest_ms + step, step as f64);
        let count = |expected: &str| {
            let query = "count_over_time(m{a=\"1\"}[1h])";
            assert_eq!(hearth.query(query, newest_ms + 1000)["result"][0]["value"][1], expected);
        };
        // Learned, in both orders of its labels.
        for (labels, step) in [(&labels, 1), (&turned, 2), (&labels, 3)] {
            assert_eq!(send(&[series(labels, &[at(step)])]).status, 204);
        }
        count("7");
        // Several samples first, the plain one behind them; and the other way round.
        let several = [at(10), at(11)];
        let answer = send(&[series(&labels, &several), series(&labels, &[at(12)])]);
        assert_eq!(answer.status, 204, "{}", answer.text());
        let several = [at(21), at(22)];
        let answer = send(&[
            series(&other, &[at(20)]),
            series(&turned, &[at(20)]),
            series(&labels, &several),
            series(&other, &[at(21)]),
        ]);
        assert_eq!(answer.status, 204, "{}", answer.text());
        count("13");
        // What is late in the request's order is refused, and nothing else.
        let answer = send(&[
            series(&labels, &[at(32)]),
            series(&turned, &[at(30), at(33)]),
            series(&labels, &[at(34)]),
        ]);
        assert_eq!((answer.status, answer.text().trim()), (400, "out of order sample"));
        count("16");
        // A plain sample that is refused does not make others be judged twice.
        let answer = send(&[series(&other, &[at(19)]), series(&labels, &[at(40), at(41)])]);
        assert_eq!((answer.status, answer.text().trim()), (400, "out of order sample"));
        count("18");
        let twice = send(&[series(&other, &[at(51)]), series(&labels, &[at(50), at(51)])]);
        assert_eq!(twice.status, 204, "{}", twice.text());
        count("20");
    }
}

#[test]
fn native_histograms_and_exemplars_of_remote_write_are_kept() {
    let mut options = Options::receiver(2);
    options.args.push("--enable-feature=exemplar-storage".to_owned());
    let mut hearth = Hearth::start(options);
    let newest_ms = unix_ms() / 1000 * 1000;
    let send = |hearth: &Hearth, job: &str, histograms: &[(i64, u8)]| {
        let request = remote_write::encode_histograms_v2(job, histograms);
        let body = remote_write::compress(&request);
        let answer = hearth.post("/api/v1/write", remote_write::HEADERS_V2, &body);
        let written = |what: &str| {
            let name = format!("x-prometheus-remote-write-{what}-written");
            answer.header(&name).unwrap_or_default().to_owned()
        };
        let written = ["samples", "histograms", "exemplars"].map(written).join(" ");
        (answer.status, answer.text().trim_end().to_owned(), written)
    };
    let good = [(newest_ms - 2000, 3), (newest_ms - 1000, 5)];
    for job in ["a", "b", "c"] {
        assert_eq!(send(&hearth, job, &good), (204, String::new(), "0 2 2".into()));
    }
    let wrong = [(newest_ms - 3000, 1), (newest_ms - 1000, 6), (newest_ms, 9)];
    let labels = r#"{__name__="h", job="a"}"#;
    let text = [
        format!("out of order sample for series {labels}"),
        format!("out of order exemplar for series {labels}"),
        format!("duplicate sample for timestamp for series {labels}"),
    ];
    assert_eq!(send(&hearth, "a", &wrong), (400, text.join("\n"), "0 1 2".into()));
    for _ in 0..2 {
        let answer = hearth.get("/api/v1/query_exemplars?query=h%7Bjob%3D%22b%22%7D%2B1");
        let exemplar = |at_ms: i64| {
            let timestamp = at_ms / 1000; // Whole seconds.
            json!({"labels": {"trace_id": "abc"}, "value": "0.5", "timestamp": timestamp})
        };
        let expected = json!([{
            "seriesLabels": {"__name__": "h", "job": "b"},
            "exemplars": good.map(|(at_ms, _)| exemplar(at_ms)),
        }]);
        check(&answer, 200, json!({"status": "success", "data": expected}));
        let found = hearth.query("histogram_count(h{job=\"c\"})", newest_ms);
        assert_eq!(found["result"][0]["value"][1], "5", "{found}");
        hearth.kill();
        hearth.restart();
    }
    check(&hearth.get("/api/v1/query_exemplars?query=1"), 200, json!({"status": "success"}));
}

#[test]
fn metadata_of_remote_write_is_kept_and_shown() {
    let mut hearth = Hearth::start(Options::receiver(2));
    let send = |hearth: &Hearth, help| {
        let up = Metadata { kind: remote_write::GAUGE, family: "up", help, unit: "" };
        let bytes = Metadata {
            kind: remote_write::COUNTER,
            family: "sent_bytes_total",
            help: "<sent>",
            unit: "bytes",
        };
        let answer = remote_write::send_metadata(hearth.address, &[up, bytes]);
        assert_eq!(answer.expect("hearth answers").status, 204);
    };
    let up = |help| json!([{"type": "gauge", "help": help, "unit": ""}]);
    let bytes = json!([{"type": "counter", "help": "<sent>", "unit": "bytes"}]);
    send(&hearth, "First.");
    send(&hearth, "Whether a target answers.");
    let data = json!({"sent_bytes_total": bytes, "up": up("Whether a target answers.")});
    let whole = json!({"status": "success", "data": data});
    check(&hearth.get("/api/v1/metadata"), 200, whole.clone());
    let one = json!({"status": "success", "data": {"sent_bytes_total": bytes}});
    check(&hearth.get("/api/v1/metadata?metric=sent_bytes_total"), 200, one.clone());
    check(&hearth.get("/api/v1/metadata?limit=1"), 200, one);
    assert!(hearth.stop().success());
    hearth.restart();
    check(&hearth.get("/api/v1/metadata"), 200, whole);
}

#[test]
fn the_receiver_is_off_unless_asked_for() {
    let hearth = Hearth::start(Options {
        config: Some("scrape_configs: []\n".to_owned()),
        ..Options::default()
    });
    let answer = hearth.post("/api/v1/write", HEADERS, b"");
    assert_eq!(answer.status, 404);
    assert!(answer.text().contains(
        "remote write receiver needs to be enabled with --web.enable-remote-write-receiver"
    ));
}

#[test]
fn hearth_scrapes_itself_out_of_the_box() {
    let mut hearth = Hearth::start(Options::default());
    let up =
        hearth.wait_query("up", |data| data["result"].as_array().is_some_and(|r| !r.is_empty()));
    assert_eq!(up["result"][0]["value"][1], "1", "{up}");
    let targets = hearth.get("/api/v1/targets").json();
    assert_eq!(targets["data"]["activeTargets"][0]["health"], "up", "{targets}");
    for target in [
        "/",
        "/-/healthy",
        "/metrics",
        "/api/v1/status/config",
        "/api/v1/status/flags",
        "/api/v1/status/runtimeinfo",
        "/api/v1/status/buildinfo",
        "/api/v1/status/tsdb",
        "/api/v1/metadata",
    ] {
        let answer = hearth.get(target);
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        assert!(!answer.body.is_empty(), "{target}");
    }
    assert!(hearth.get("/metrics").text().contains("prometheus_tsdb_head_series"));
    assert!(hearth.stop().success());
    assert!(http::get(hearth.address, "/-/healthy").is_err(), "nobody listens after the stop");
}

#[test]
fn data_survives_an_orderly_stop_and_another_shard_count() {
    let (mut hearth, newest_ms) = with_data(2);
    assert!(hearth.stop().success());
    for shard_count in [1, 3] {
        hearth.set_args(Options::receiver(shard_count).args);
        hearth.restart();
        let data = hearth.query("sum(sum_over_time(m[1h]))", newest_ms);
        assert_eq!(data["result"][0]["value"][1], "12.5", "{shard_count} shards: {data}");
        let answer = remote_write::send(
            hearth.address,
            &[series(
                &[("__name__", "after"), ("n", &shard_count.to_string())],
                &[(newest_ms, 1.0)],
            )],
        );
        assert_eq!(answer.expect("hearth answers").status, 204);
        hearth.kill();
    }
    hearth.restart();
    assert_eq!(hearth.query("count(after)", newest_ms)["result"][0]["value"][1], "2");
}

#[test]
fn flags_and_configs_that_are_wrong_end_with_one_clear_error() {
    let run = |args: &[&str]| {
        let output = tests::process::run(args).expect("hearth runs");
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&text).into_owned())
    };
    let (code, text) = run(&["--nope"]);
    assert_ne!(code, Some(0));
    assert!(text.contains("unknown long flag '--nope'"), "{text}");

    let folder = tests::workspace::TemporaryFolder::new("config");
    let path = folder.path().join("bad.yml");
    std::fs::write(&path, "global:\n  scrape_intervall: 5s\n").expect("writable");
    let (code, text) = run(&[&format!("--config.file={}", path.display())]);
    assert_ne!(code, Some(0));
    assert!(text.contains("bad.yml"), "{text}");
    assert!(text.contains("line 2: field scrape_intervall not found in type"), "{text}");
}

#[test]
fn reload_is_all_or_nothing() {
    let options = Options {
        config: Some("scrape_configs: []\n".to_owned()),
        args: vec!["--web.enable-lifecycle".to_owned()],
    };
    let hearth = Hearth::start(options);
    let config = || hearth.get("/api/v1/status/config").json()["data"]["yaml"].to_string();
    let before = config();
    std::fs::write(hearth.config_file(), "scrape_configs: [{}]\n").expect("writable");
    let answer = hearth.post("/-/reload", &[], b"");
    assert_eq!(answer.status, 500, "{}", answer.text());
    assert!(answer.text().contains("failed to reload config"), "{}", answer.text());
    assert_eq!(config(), before);
    assert!(hearth.get("/metrics").text().contains("prometheus_config_last_reload_successful 0"));
    // A short interval, so that the first scrape is near: its offset is anywhere in the interval.
    let good = "scrape_configs:\n- job_name: x\n  scrape_interval: 1s\n  \
                static_configs: [{targets: ['127.0.0.1:1']}]\n";
    std::fs::write(hearth.config_file(), good).expect("writable");
    assert_eq!(hearth.post("/-/reload", &[], b"").status, 200);
    assert!(config().contains("job_name: x"));
    let up =
        hearth.wait_query("up", |data| data["result"].as_array().is_some_and(|r| !r.is_empty()));
    assert_eq!(up["result"][0]["metric"]["job"], "x");
    assert_eq!(up["result"][0]["value"][1], "0");
}

#[test]
fn plans_and_trees_of_queries_are_shown() {
    let hearth = Hearth::start(Options::receiver(2));
    let plan = hearth.get("/api/v1/explain?query=sum(m)%2Fsum(m)&start=0&end=60&step=15").json();
    assert_eq!(plan["data"]["rewrites"]["share_parts"], 1, "{plan}");
    assert_eq!(plan["data"]["nodes"][0]["steps"], json!(["binary /"]), "{plan}");
    assert_eq!(plan["data"]["nodes"][1]["place"], "shards", "{plan}");
    let text = hearth.get("/api/v1/explain?query=m&time=5&format=text").text();
    assert_eq!(
        text,
        "#1 shards: select {__name__=\"m\"}\n     value within 300000 ms\n     rows  [at 5000 ms]\n\
         rewrites: none\n"
    );
    check_error(&hearth.get("/api/v1/explain?query=m("), 400, "bad_data", "parse error");
    check(
        &hearth.get("/api/v1/parse_query?query=-1"),
        200,
        json!({"status": "success", "data": {"type": "numberLiteral", "val": "-1"}}),
    );
}

#[test]
fn queries_under_way_can_be_seen_and_ended() {
    let mut options = Options::receiver(2);
    options.args.push("--web.enable-admin-api".to_owned());
    let hearth = Hearth::start(options);
    check(&hearth.get("/api/v1/active_queries"), 200, json!({"status": "success", "data": []}));
    // Long enough to be seen, in many short pieces.
    let heavy = vec!["sum_over_time(vector(1)[1d:1s])"; 300].join("%2B");
    let heavy = format!("/api/v1/query?query={heavy}&time=0");
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| hearth.get(&heavy));
        let id = loop {
            let queries = hearth.get("/api/v1/active_queries").json();
            if let Some(id) = queries["data"][0]["id"].as_str() {
                let text = queries["data"][0]["query"].as_str().unwrap_or_default();
                assert!(text.starts_with("sum_over_time(vector(1)[1d:1s])+"), "{text}");
                break id.to_owned();
            }
            assert!(!asked.is_finished(), "the query ended before it was seen");
        };
        let target = format!("/api/v1/active_queries/{id}/cancel");
        assert_eq!(hearth.post(&target, &[], b"").status, 200);
        check_error(&asked.join().expect("an answer"), 499, "canceled", "query was canceled");
        check_error(&hearth.post(&target, &[], b""), 404, "not_found", "no query is under way");
    });
}

#[test]
fn queries_are_logged_in_the_file_that_is_named() {
    let folder = TemporaryFolder::new("query-log");
    let file = |name: &str| folder.path().join(name).display().to_string();
    let config =
        |name: &str| format!("global: {{query_log_file: {:?}}}\nscrape_configs: []\n", file(name));
    let mut options = Options::receiver(1);
    options.config = Some(config("first.log"));
    options.args.push("--web.enable-lifecycle".to_owned());
    let hearth = Hearth::start(options);
    hearth.get("/api/v1/query?query=1%2B1&time=5");
    hearth.get("/api/v1/query?query=(");
    std::fs::write(hearth.config_file(), config("second.log")).expect("the folder is writable");
    assert_eq!(hearth.post("/-/reload", &[], b"").status, 200);
    hearth.get("/api/v1/query_range?query=2&start=0&end=60&step=30");
    std::fs::write(hearth.config_file(), config("no/such.log")).expect("the folder is writable");
    let refused = hearth.post("/-/reload", &[], b"");
    assert!(refused.text().contains("can't create json log file"), "{}", refused.text());
    let lines = |name: &str| -> Vec<Value> {
        let text = std::fs::read_to_string(file(name)).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    };
    while lines("second.log").is_empty() {
        std::thread::yield_now();
    }
    let (first, second) = (lines("first.log"), lines("second.log"));
    assert_eq!((first.len(), second.len()), (1, 1), "{first:?} {second:?}");
    assert_eq!(first[0]["params"]["query"], "1+1");
    assert_eq!(first[0]["params"]["start"], "1970-01-01T00:00:05.000Z");
    assert_eq!(first[0]["httpRequest"]["path"], "/api/v1/query");
    assert_eq!(first[0]["httpRequest"]["clientIP"], "127.0.0.1");
    assert_eq!(second[0]["params"]["step"], 30);
    assert!(second[0]["stats"]["timings"]["execTotalTime"].is_number());
}
