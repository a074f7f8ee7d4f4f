//! A block on its way to a directory, cut short and begun again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;

use engine::block::BlockId;
use engine::block::SeriesSamples;
use engine::block::prometheus::{NewBlock, StartTimestamps};
use engine::model::Labels;
use serde_json::{Value, json};
use shards::guests::BlockDir;

use super::destination::Destination;
use super::record::Record;
use super::staged::{Staged, thanos_meta};
use super::stats::ShipStats;

/// A directory that goes when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("ship-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const ID: BlockId = BlockId([7; 16]);

/// A block of one series below `parent`.
fn stage(parent: &Path) -> Staged {
    let new = NewBlock { id: ID, start_ms: 0, end_ms: 7_200_000, level: 1, ..NewBlock::default() };
    let mut dir = BlockDir::create(parent, new, StartTimestamps::Drop).unwrap();
    let samples = SeriesSamples {
        timestamps_ms: (0..480).map(|n| n * 15_000).collect(),
        values: (0..480).map(f64::from).collect(),
        ..SeriesSamples::default()
    };
    dir.push(Labels::from_pairs([("__name__", "up")]).as_ref(), &samples).unwrap();
    dir.finish().unwrap().unwrap();
    let mut found = Staged::find(parent).unwrap();
    assert_eq!(found.len(), 1);
    found.remove(0)
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn labels() -> BTreeMap<String, String> {
    BTreeMap::from([("cluster".to_owned(), "c1".to_owned())])
}

#[test]
fn a_block_arrives_with_its_meta_last_and_once() {
    let scratch = Scratch::new("once");
    let staged = stage(&scratch.path("staged"));
    let bucket = scratch.path("bucket");
    let to = Destination::parse(bucket.to_str().unwrap()).unwrap();
    let stats = ShipStats::default();
    // The first attempt ends before its meta: a file cannot be put where a directory is.
    let block = bucket.join(ID.to_string());
    fs::create_dir_all(block.join("index").join("x")).unwrap();
    run(staged.send(&to, &labels(), &stats)).unwrap_err();
    assert!(block.join("chunks/000001").exists() && !block.join("meta.json").exists());
    let sent_bytes = stats.bytes.load(Relaxed);
    assert!(sent_bytes > 0);
    // The second one sends what is missing.
    fs::remove_dir_all(block.join("index")).unwrap();
    run(staged.send(&to, &labels(), &stats)).unwrap();
    let index_bytes = fs::metadata(block.join("index")).unwrap().len();
    assert_eq!(stats.bytes.load(Relaxed), sent_bytes + index_bytes);
    for name in ["index", "chunks/000001"] {
        let [from, to] = [scratch.path("staged").join(ID.to_string()), block.clone()]
            .map(|dir| fs::read(dir.join(name)).unwrap());
        assert_eq!(from, to, "{name}");
    }
    let meta: Value = serde_json::from_slice(&fs::read(block.join("meta.json")).unwrap()).unwrap();
    assert_eq!(meta["ulid"], ID.to_string());
    assert_eq!(meta["thanos"]["labels"], json!({ "cluster": "c1" }));
    // The third one has nothing to do.
    run(staged.send(&to, &labels(), &stats)).unwrap();
    assert_eq!(stats.bytes.load(Relaxed), sent_bytes + index_bytes);
    staged.remove().unwrap();
    assert_eq!(Staged::find(&scratch.path("staged")).unwrap(), []);
}

#[test]
fn what_was_not_staged_whole_is_removed() {
    let scratch = Scratch::new("whole");
    let parent = scratch.path("staged");
    let staged = stage(&parent);
    fs::create_dir_all(parent.join(format!("{ID}.tmp-for-creation/chunks"))).unwrap();
    fs::create_dir_all(parent.join(BlockId([8; 16]).to_string())).unwrap();
    assert_eq!(Staged::find(&parent).unwrap(), [staged]);
    assert_eq!(fs::read_dir(&parent).unwrap().count(), 1);
}

#[test]
fn the_meta_says_what_thanos_wants_to_know() {
    let scratch = Scratch::new("meta");
    let staged = stage(&scratch.path("staged"));
    let files = BTreeMap::from([("chunks/000001".to_owned(), 12), ("index".to_owned(), 34)]);
    let meta = thanos_meta(&staged.meta, &labels(), &files).unwrap();
    let meta: Value = serde_json::from_slice(&meta).unwrap();
    let expected = json!({
        "version": 1,
        "labels": { "cluster": "c1" },
        "downsample": { "resolution": 0 },
        "source": "hearth",
        "segment_files": ["000001"],
        "files": [
            { "rel_path": "chunks/000001", "size_bytes": 12 },
            { "rel_path": "index", "size_bytes": 34 },
            { "rel_path": "meta.json" },
        ],
    });
    assert_eq!(meta["thanos"], expected);
    assert_eq!(meta["maxTime"], 7_200_000);
}

#[test]
fn a_record_is_of_one_destination() {
    let scratch = Scratch::new("record");
    let dir = scratch.path("");
    let mut record = Record::read(&dir, "a").unwrap();
    assert_eq!(record.shipped_before_ms, None);
    record.shipped_before_ms = Some(7);
    record.write(&dir).unwrap();
    assert_eq!(Record::read(&dir, "a").unwrap(), record);
    assert_eq!(Record::read(&dir, "b").unwrap().shipped_before_ms, None);
    fs::write(dir.join("shipped.json"), "{").unwrap();
    let error = Record::read(&dir, "a").unwrap_err();
    assert!(error.contains("remove it to ship everything anew"), "{error}");
}

#[test]
fn a_destination_that_is_none_says_so() {
    let scratch = Scratch::new("none");
    fs::write(scratch.path("file"), "").unwrap();
    let below = scratch.path("file/below").display().to_string();
    for (to, why) in [("nowhere://x", "nowhere://x: "), ("://", "://: "), (&below, "directory ")] {
        let error = Destination::parse(to).unwrap_err();
        assert!(error.starts_with(why), "{error}");
    }
}

/// Stores know their settings in small letters only.
#[cfg(feature = "ship")]
#[test]
fn the_environment_speaks_to_stores() {
    #[track_caller]
    fn check(name: &str, expected: Option<&str>) {
        let variables = [(name.into(), "v".into())];
        let expected: Vec<_> =
            expected.map(|name| (name.to_owned(), "v".to_owned())).into_iter().collect();
        assert_eq!(super::store::settings(variables.into_iter()), expected);
    }
    check("AWS_SECRET_ACCESS_KEY", Some("aws_secret_access_key"));
    check("GOOGLE_APPLICATION_CREDENTIALS", Some("google_application_credentials"));
    check("AZURE_STORAGE_ACCOUNT_KEY", Some("azure_storage_account_key"));
    check("SERVICE_ACCOUNT", Some("service_account"));
    check("IDENTITY_ENDPOINT", Some("identity_endpoint"));
    // Names that a store would know without its prefix are of something else.
    for other in ["TOKEN", "REGION", "BUCKET", "ENDPOINT", "aws_region", "XAWS_REGION"] {
        check(other, None);
    }
}

/// The store of a URL does as a directory does.
#[cfg(feature = "ship")]
#[test]
fn a_block_arrives_in_a_store() {
    let scratch = Scratch::new("store");
    let staged = stage(&scratch.path("staged"));
    let bucket = scratch.path("bucket");
    fs::create_dir_all(&bucket).unwrap();
    let to = Destination::parse(&format!("file://{}", bucket.display())).unwrap();
    assert!(matches!(to, Destination::Store(_)));
    let stats = ShipStats::default();
    for _ in 0..2 {
        run(staged.send(&to, &labels(), &stats)).unwrap();
    }
    let block = bucket.join(ID.to_string());
    let sizes = ["index", "chunks/000001"].map(|n| fs::metadata(block.join(n)).unwrap().len());
    assert_eq!(stats.bytes.load(Relaxed), sizes.iter().sum::<u64>());
    assert!(block.join("meta.json").exists());
}
