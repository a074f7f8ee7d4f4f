//! Samples on their way from memory to disk, and what administrators do with them, from outside.
//!
//! Blocks are short, and time is what the samples say: nothing here waits for hours.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;
use tests::process::{Hearth, Options, unix_ms};
use tests::remote_write::{self, Series};
use tests::workspace::TemporaryFolder;

const STEP_MS: i64 = 1_000;
const SERIES_COUNT: usize = 20;

fn options(shard_count: usize) -> Options {
    let mut options = Options::receiver(shard_count);
    for argument in [
        "--web.enable-admin-api",
        "--storage.flush-interval=50ms",
        "--storage.tsdb.min-block-duration=20s",
        "--storage.tsdb.max-block-duration=180s",
    ] {
        options.args.push(argument.to_owned());
    }
    options
}

/// Sends one sample of each series for each of `steps`; its value is the number of the step.
fn send(hearth: &Hearth, base_ms: i64, steps: std::ops::Range<i64>) {
    for step in steps {
        let series: Vec<Series<'_>> = (0..SERIES_COUNT)
            .map(|number| Series {
                labels: vec![("__name__", "m".to_owned()), ("n", number.to_string())],
                samples: vec![(base_ms + step * STEP_MS, step as f64)],
            })
            .collect();
        let answer = remote_write::send(hearth.address, &series).expect("hearth answers");
        assert_eq!(answer.status, 204, "{}", answer.text());
    }
}

/// A number of `/metrics`; zero while it is not there.
fn metric(hearth: &Hearth, name: &str) -> f64 {
    let text = hearth.get("/metrics").text();
    let line =
        text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")).map(str::to_owned));
    line.map_or(0.0, |value| value.parse().expect("a number"))
}

fn count(hearth: &Hearth, selector: &str, at_ms: i64) -> f64 {
    let data = hearth.query(&format!("sum(count_over_time({selector}[1h]))"), at_ms);
    let value = &data["result"][0]["value"][1];
    value.as_str().map_or(0.0, |text| text.parse().expect("a number"))
}

#[test]
fn samples_move_to_blocks_are_deleted_and_kept_in_snapshots() {
    let mut hearth = Hearth::start(options(2));
    let base_ms = unix_ms() / 1000 * 1000 - 600_000;
    let end_ms = base_ms + 300 * STEP_MS;
    let total = 300.0 * SERIES_COUNT as f64;
    send(&hearth, base_ms, 0..300);
    // Upkeep is asked for by time; the answers are the same before, meanwhile and after.
    while metric(&hearth, "prometheus_tsdb_blocks_loaded") < 2.0 {
        assert_eq!(count(&hearth, "m", end_ms), total);
    }
    assert_eq!(count(&hearth, "m", end_ms), total);
    let blocks = hearth.get("/api/v1/status/tsdb/blocks").json();
    let first = &blocks["data"]["blocks"][0];
    assert_eq!(first["ulid"].as_str().map(str::len), Some(26), "{blocks}");
    assert!(first["stats"]["numSeries"].as_i64() > Some(0), "{blocks}");
    let values = hearth.get("/api/v1/label/n/values").json();
    assert_eq!(values["data"].as_array().map(Vec::len), Some(SERIES_COUNT));

    let refused = hearth.post("/api/v1/admin/tsdb/delete_series", &[], b"");
    assert_eq!(refused.status, 400);
    assert_eq!(refused.json()["error"], "no match[] parameter provided");
    let target = "/api/v1/admin/tsdb/delete_series?match[]=m%7Bn%3D%223%22%7D";
    assert_eq!(hearth.post(target, &[], b"").status, 204);
    let left = total - 300.0;
    assert_eq!(count(&hearth, "m", end_ms), left);
    assert_eq!(count(&hearth, "m{n=\"3\"}", end_ms), 0.0);
    assert_eq!(hearth.post("/api/v1/admin/tsdb/clean_tombstones", &[], b"").status, 204);
    assert_eq!(count(&hearth, "m", end_ms), left);

    let snapshot = hearth.post("/api/v1/admin/tsdb/snapshot", &[], b"").json();
    let name = snapshot["data"]["name"].as_str().expect("a name").to_owned();
    let folder = hearth.data_directory().join("snapshots").join(&name);
    hearth.kill();
    hearth.restart();
    assert_eq!(count(&hearth, "m", end_ms), left);
    // What comes after a deletion is not deleted.
    send(&hearth, base_ms, 300..301);
    assert_eq!(count(&hearth, "m{n=\"3\"}", end_ms + STEP_MS), 1.0);

    // A snapshot is a data directory.
    hearth.kill();
    let aside = hearth.data_directory().with_extension("aside");
    std::fs::rename(&folder, &aside).expect("a folder can be moved");
    std::fs::remove_dir_all(hearth.data_directory()).expect("a folder can be removed");
    std::fs::rename(&aside, hearth.data_directory()).expect("a folder can be moved");
    hearth.restart();
    assert_eq!(count(&hearth, "m", end_ms + STEP_MS), left);
}

#[test]
fn the_admin_api_is_off_unless_asked_for() {
    let hearth = Hearth::start(Options::receiver(1));
    for call in ["delete_series?match[]=m", "clean_tombstones", "snapshot"] {
        let answer = hearth.post(&format!("/api/v1/admin/tsdb/{call}"), &[], b"");
        assert_eq!((answer.status, &answer.json()["errorType"]), (500, &"unavailable".into()));
        assert_eq!(answer.json()["error"], "admin APIs disabled");
    }
}

/// Blocks that were shipped to `bucket`, by the time they begin, with their metas.
fn shipped(bucket: &Path) -> BTreeMap<i64, Value> {
    let mut metas = BTreeMap::new();
    for entry in fs::read_dir(bucket).into_iter().flatten() {
        // Without a meta a block is on its way.
        let Ok(meta) = fs::read(entry.unwrap().path().join("meta.json")) else { continue };
        let meta: Value = serde_json::from_slice(&meta).unwrap();
        let former = metas.insert(meta["minTime"].as_i64().unwrap(), meta);
        assert!(former.is_none(), "a range is there twice");
    }
    metas
}

#[test]
fn finished_ranges_are_shipped_once_and_a_server_opens_them() {
    let bucket = TemporaryFolder::new("bucket");
    let mut options = options(2);
    options.config = Some("global: {external_labels: {site: s1}}\nscrape_configs: []\n".into());
    options.args.push(format!("--storage.ship.to={}", bucket.path().display()));
    options.args.push("--storage.ship.interval=50ms".to_owned());
    let mut hearth = Hearth::start(options);
    let base_ms = unix_ms() / 20_000 * 20_000 - 600_000;
    send(&hearth, base_ms, 0..150);
    while metric(&hearth, "hearth_ship_blocks_total") < 3.0 {}
    hearth.kill();
    hearth.restart();
    send(&hearth, base_ms, 150..300);
    // Ranges end 20 s apart; the last one is not finished.
    let is_done = |metas: &BTreeMap<i64, Value>| metas.len() >= 14;
    while !is_done(&shipped(bucket.path())) {
        assert!(hearth.is_alive(), "{}", hearth.log());
    }
    assert!(metric(&hearth, "hearth_ship_before_timestamp_seconds") > 0.0);
    assert_eq!(metric(&hearth, "hearth_ship_failures_total"), 0.0, "{}", hearth.log());
    assert!(hearth.stop().success());

    let metas = shipped(bucket.path());
    let mut end_ms = base_ms;
    for (start_ms, meta) in &metas {
        assert_eq!((*start_ms, meta["maxTime"].as_i64()), (end_ms, Some(end_ms + 20_000)));
        assert_eq!(meta["thanos"]["labels"]["site"], "s1");
        assert_eq!(meta["stats"]["numSamples"], 20 * SERIES_COUNT);
        end_ms += 20_000;
    }
    // The bucket is a data directory of Prometheus.
    let reader = Hearth::start_on(Options::receiver(1), bucket.path().to_owned());
    let found = count(&reader, "m", end_ms - 1);
    assert_eq!(found, (metas.len() * 20 * SERIES_COUNT) as f64);
}
