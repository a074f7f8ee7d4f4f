//! A data directory that Prometheus left: blocks served where they stand, the log imported once.
//!
//! The block is the golden one of the engine; the logs in `corpus/prometheus/` were written by
//! Prometheus 3.5.3, with what it answers to `{__name__!=""}[1h]` from them.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tests::process::{Hearth, Options};
use tests::workspace::{TemporaryFolder, root};

const BLOCK_ID: &str = "01M8JERSKN23TW9GPCAJDKRB9S";
const BLOCK_END_MS: i64 = 1_795_915_801_817;

fn golden_block() -> PathBuf {
    root().join("engine/src/block/prometheus/golden")
}

fn copy_block(data: &Path) {
    let to = data.join(BLOCK_ID);
    fs::create_dir_all(to.join("chunks")).unwrap();
    for name in ["index", "meta.json", "tombstones", "chunks/000001"] {
        fs::copy(golden_block().join(name), to.join(name)).unwrap();
    }
}

fn start(shard_count: usize, prepare: impl FnOnce(&Path)) -> Hearth {
    let folder = TemporaryFolder::new("hearth");
    let data = folder.path().join("data");
    fs::create_dir_all(&data).unwrap();
    prepare(&data);
    let mut options = Options::receiver(shard_count);
    options.args.push("--web.enable-admin-api".to_owned());
    Hearth::start_in(options, folder)
}

/// The result of an instant query, sorted by labels.
fn result(hearth: &Hearth, query: &str, at_ms: i64) -> Vec<Value> {
    let data = hearth.query(query, at_ms);
    let mut result = data["result"].as_array().expect("a vector or a matrix").clone();
    result.sort_by_key(|series| {
        let labels = series["metric"].as_object().expect("labels");
        labels.iter().map(|(name, value)| format!("{name}={value},")).collect::<String>()
    });
    result
}

fn counts(hearth: &Hearth, selector: &str) -> Vec<String> {
    let series = result(hearth, &format!("{selector}[1h]"), BLOCK_END_MS);
    let samples = |one: &Value, kind: &str| one[kind].as_array().map_or(0, Vec::len);
    let count = |one: &Value| samples(one, "values") + samples(one, "histograms");
    series.iter().map(|one| count(one).to_string()).collect()
}

/// Counts of the samples of all series, in order of labels, as the block's golden text has them.
fn golden_counts() -> Vec<String> {
    let text = fs::read_to_string(golden_block().join("last.txt")).unwrap();
    text.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

#[test]
fn blocks_are_served_where_they_stand() {
    for shard_count in [1, 3] {
        let mut hearth = start(shard_count, copy_block);
        let sum = |counts: &[String]| counts.iter().map(|n| n.parse::<u64>().unwrap()).sum::<u64>();
        let found = counts(&hearth, "{__name__!=\"\"}");
        assert_eq!(found.len(), golden_counts().len());
        assert_eq!(sum(&found), sum(&golden_counts()));
        let up = result(&hearth, "up{job=\"native\"}", BLOCK_END_MS);
        assert_eq!(up[0]["value"][1], "1");
        let rate = result(&hearth, "{__name__=\"float:rate\"}", BLOCK_END_MS);
        assert_eq!(rate[0]["histogram"][1]["count"], "2");
        let names = hearth.get("/api/v1/label/__name__/values").json();
        assert_eq!(names["data"].as_array().unwrap().len(), 10);
        let blocks = hearth.get("/api/v1/status/tsdb/blocks").json();
        assert_eq!(blocks["data"]["blocks"][0]["ulid"], BLOCK_ID, "{blocks}");

        // Deletions are written where Prometheus looks for them, and outlive a restart.
        let target = "/api/v1/admin/tsdb/delete_series?match[]=up%7Bjob%3D%22custom%22%7D";
        assert_eq!(hearth.post(target, &[], b"").status, 204);
        assert_eq!(counts(&hearth, "up"), ["134"]);
        let block = hearth.data_directory().join(BLOCK_ID);
        assert!(fs::metadata(block.join("tombstones")).unwrap().len() > 9);
        let snapshot = hearth.post("/api/v1/admin/tsdb/snapshot", &[], b"").json();
        let name = snapshot["data"]["name"].as_str().expect("a snapshot has a name").to_owned();
        let copy = hearth.data_directory().join("snapshots").join(name).join(BLOCK_ID);
        assert!(copy.join("chunks/000001").exists() && copy.join("index").exists());
        assert!(hearth.stop().success());
        hearth.restart();
        assert_eq!(counts(&hearth, "up"), ["134"]);
        assert_eq!(sum(&counts(&hearth, "{__name__!=\"\"}")), sum(&golden_counts()) - 133);
    }
}

/// Directories of blocks in a data directory, but for those that are being made or removed.
fn block_dirs(data: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path());
    let is_block = |path: &PathBuf| path.extension().is_none() && path.join("meta.json").exists();
    entries.filter(is_block).collect()
}

fn meta(block: &Path) -> Value {
    serde_json::from_slice(&fs::read(block.join("meta.json")).unwrap()).unwrap()
}

#[test]
fn blocks_are_merged_and_written_anew_without_what_was_deleted() {
    const COPY_ID: &str = "01M8JERSKN23TW9GPCAJDKRB9T";
    let mut hearth = start(2, |data| {
        copy_block(data);
        copy_block(&data.join("other"));
        let copy = data.join(COPY_ID);
        fs::rename(data.join("other").join(BLOCK_ID), &copy).unwrap();
        let text = fs::read_to_string(copy.join("meta.json")).unwrap();
        fs::write(copy.join("meta.json"), text.replace(BLOCK_ID, COPY_ID)).unwrap();
    });
    let data = hearth.data_directory();
    // A directory that is read while names change in it may show some of them only.
    let is_new = |path: &Path| !path.ends_with(BLOCK_ID) && !path.ends_with(COPY_ID);
    let merged = loop {
        if let [only] = &block_dirs(&data)[..]
            && is_new(only)
        {
            break only.clone();
        }
        assert!(hearth.is_alive(), "{}", hearth.log());
    };
    let parents = meta(&merged)["compaction"]["parents"].as_array().map(Vec::len);
    assert_eq!((parents, &meta(&merged)["compaction"]["level"]), (Some(2), &Value::from(2)));
    assert_eq!(counts(&hearth, "{__name__!=\"\"}"), golden_counts());

    let target = "/api/v1/admin/tsdb/delete_series?match[]=up%7Bjob%3D%22custom%22%7D";
    assert_eq!(hearth.post(target, &[], b"").status, 204);
    assert_eq!(hearth.post("/api/v1/admin/tsdb/clean_tombstones", &[], b"").status, 204);
    let cleaned = block_dirs(&data);
    assert!(cleaned.len() == 1 && cleaned[0] != merged, "{cleaned:?}");
    assert!(meta(&cleaned[0])["stats"]["numTombstones"].is_null());
    assert_eq!(counts(&hearth, "up"), ["134"]);
    let sum = |counts: &[String]| counts.iter().map(|n| n.parse::<u64>().unwrap()).sum::<u64>();
    for _ in 0..2 {
        let left = sum(&counts(&hearth, "{__name__!=\"\"}"));
        assert_eq!(left, sum(&golden_counts()) - 133);
        assert!(hearth.stop().success());
        hearth.restart();
    }
}

#[test]
fn a_damaged_block_is_left_out_and_told() {
    for (file, place) in [("index", 40), ("meta.json", 3), ("chunks/000001", 1), ("index", 2000)] {
        let hearth = start(2, |data| {
            copy_block(data);
            let path = data.join(BLOCK_ID).join(file);
            let mut bytes = fs::read(&path).unwrap();
            bytes[place] ^= 0x10;
            fs::write(path, bytes).unwrap();
        });
        assert!(counts(&hearth, "up").is_empty());
        assert!(hearth.log().contains(BLOCK_ID), "{}", hearth.log());
        assert!(hearth.data_directory().join(BLOCK_ID).join("index").exists());
    }
}

#[track_caller]
fn check_import(kind: &str, shard_count: usize) {
    let corpus = root().join("tests/corpus/prometheus");
    let mut hearth = start(shard_count, |data| {
        fs::create_dir(data.join("wal")).unwrap();
        fs::copy(corpus.join(format!("wal-{kind}")), data.join("wal/00000000")).unwrap();
        fs::create_dir(data.join("chunks_head")).unwrap();
    });
    let expected = fs::read(corpus.join(format!("wal-{kind}.json"))).unwrap();
    let expected: Vec<Value> = serde_json::from_slice(&expected).unwrap();
    let newest = expected.iter().flat_map(|series| {
        let columns = ["values", "histograms"].map(|kind| series[kind].as_array());
        columns.into_iter().flatten().flatten().map(|sample| sample[0].as_f64().unwrap())
    });
    let at_ms = (newest.fold(0.0, f64::max) * 1000.0).ceil() as i64;
    let mut sorted = expected;
    sorted.sort_by_key(|series| {
        let labels = series["metric"].as_object().unwrap();
        labels.iter().map(|(name, value)| format!("{name}={value},")).collect::<String>()
    });
    assert_eq!(result(&hearth, "{__name__!=\"\"}[1h]", at_ms), sorted);
    let data = hearth.data_directory();
    assert!(!data.join("wal").exists() && !data.join("chunks_head").exists());
    assert!(data.join("imported/0001/wal/00000000").exists());
    assert!(hearth.log().contains("Imported what Prometheus"), "{}", hearth.log());

    // What was imported is durable, and an import that is done again takes nothing twice.
    hearth.kill();
    fs::rename(data.join("imported/0001/wal"), data.join("wal")).unwrap();
    hearth.restart();
    assert_eq!(result(&hearth, "{__name__!=\"\"}[1h]", at_ms), sorted);
    assert!(data.join("imported/0002/wal/00000000").exists());
    assert!(hearth.stop().success());
    hearth.restart();
    assert_eq!(result(&hearth, "{__name__!=\"\"}[1h]", at_ms), sorted);
}

#[test]
fn the_log_is_imported_once() {
    check_import("snappy", 1);
    check_import("zstd", 2);
}
