//! Groups of static sections and of files that change under the watch.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::file::{FileStats, Files};
use super::{DiscoveryStats, Source, TargetGroup, Update, static_groups, watch};
use crate::config::{
    DiscoveryConfigs, FilePath, FileSdConfig, HttpSdConfig, LoadOptions, Loaded, StaticConfig,
};
use crate::http::testing::{FakeServer, on_control, reply_json};

/// A directory of its own for each test; removed at the end.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Dir {
        let path = std::env::temp_dir().join(format!("hearth-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Dir(path)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.join(name), text).unwrap();
    }

    fn files(&self, pattern: &str) -> Files {
        let path = FilePath(self.0.join(pattern).display().to_string());
        Files::new(FileSdConfig { files: vec![path], ..FileSdConfig::default() })
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// `targets | labels` of each group, the file's own label left out.
fn shown<'a>(groups: impl Iterator<Item = &'a Arc<TargetGroup>>) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    groups
        .map(|group| {
            let targets: Vec<_> =
                group.targets.iter().map(|target| text(target.get(b"__address__"))).collect();
            let labels: Vec<_> = group
                .labels
                .iter()
                .filter(|(name, _)| *name != b"__meta_filepath")
                .map(|(name, value)| format!("{}={}", text(name), text(value)))
                .collect();
            format!("{} | {}", targets.join(","), labels.join(","))
        })
        .collect()
}

#[test]
fn static_sections_are_numbered() {
    let configs = [
        StaticConfig { targets: vec!["a:1".into(), "b:2".into()], ..StaticConfig::default() },
        StaticConfig::default(),
    ];
    let groups = static_groups(&configs);
    assert_eq!(shown(groups.iter()), ["a:1,b:2 | ", " | "]);
    assert_eq!(groups[1].source, "1");
}

#[test]
fn files_are_read_when_they_change() {
    let dir = Dir::new("file-sd-change");
    let stats = FileStats::default();
    let mut files = dir.files("*.json");
    assert!(!files.refresh(true, &stats), "no file, no change");

    dir.write("a.json", r#"[{"targets": ["a:1"], "labels": {"x": "y"}}, {"targets": ["b:2"]}]"#);
    assert!(files.refresh(false, &stats));
    assert_eq!(shown(files.groups()), ["a:1 | x=y", "b:2 | "]);
    let first = files.groups().next().unwrap();
    assert!(first.source.ends_with("a.json:0"), "{}", first.source);
    assert!(first.labels.get(b"__meta_filepath").ends_with(b"a.json"));
    assert_eq!(stats.mtimes().len(), 1);
    assert!(!files.refresh(false, &stats), "the same file is no change");
    assert!(!files.refresh(true, &stats), "read again, still the same");

    dir.write("a.json", r#"[{"targets": ["a:1"], "labels": {"x": "y"}}]"#);
    assert!(files.refresh(false, &stats));
    assert_eq!(shown(files.groups()), ["a:1 | x=y"]);

    std::fs::remove_file(dir.0.join("a.json")).unwrap();
    assert!(files.refresh(false, &stats));
    assert_eq!(files.groups().count(), 0);
    assert!(stats.mtimes().is_empty());
}

#[test]
fn a_broken_file_keeps_its_groups() {
    let dir = Dir::new("file-sd-broken");
    let stats = FileStats::default();
    let mut files = dir.files("t.yml");
    dir.write("t.yml", "- targets: [a:1]\n  labels: {x: y}\n");
    assert!(files.refresh(false, &stats));
    for broken in
        ["- targets: [a:1\n", "- target: [a:1]\n", "-\n", "- targets: [a:1]\n  labels: {\"\": y}\n"]
    {
        dir.write("t.yml", broken);
        assert!(!files.refresh(false, &stats), "{broken}");
        assert_eq!(shown(files.groups()), ["a:1 | x=y"], "{broken}");
    }
    assert_eq!(stats.read_error_count.load(Ordering::Relaxed), 4);
    assert!(!files.refresh(false, &stats));
    assert_eq!(stats.read_error_count.load(Ordering::Relaxed), 4, "a broken file is read once");
    dir.write("t.yml", "");
    assert!(files.refresh(false, &stats));
    assert_eq!(files.groups().count(), 0);
}

#[test]
fn json_is_strict() {
    let dir = Dir::new("file-sd-json");
    let stats = FileStats::default();
    let mut files = dir.files("t.json");
    for (index, broken) in [
        r#"[{"targets": ["a"], "nope": 1}]"#,
        r#"[null]"#,
        r#"{"targets": []}"#,
        r#"[{"targets": ["a"], "labels": {"": "x"}}]"#,
    ]
    .iter()
    .enumerate()
    {
        dir.write("t.json", broken);
        files.refresh(true, &stats);
        assert_eq!(stats.read_error_count.load(Ordering::Relaxed), index as u64 + 1, "{broken}");
    }
}

fn source(name: &str, configs: &DiscoveryConfigs) -> Source {
    Source { name: name.into(), configs: configs.clone() }
}

#[test]
fn the_watch_sends_every_job_first() {
    let loaded = Loaded::embedded(&LoadOptions::default());
    let dir = Dir::new("file-sd-watch");
    dir.write("a.yml", "- targets: [f:1]\n");
    let mut configs = loaded.jobs[0].discovery.clone();
    let path = FilePath(dir.0.join("*.yml").display().to_string());
    configs.file_sd_configs = vec![FileSdConfig { files: vec![path], ..FileSdConfig::default() }];
    let updates = on_control(async {
        let (orders, sources) = async_channel::unbounded();
        let (sender, receiver) = async_channel::bounded(4);
        tokio::task::spawn_local(watch("scrape", sources, Arc::default(), sender));
        let both = vec![source("one", &configs), source("two", &Default::default())];
        orders.send(both).await.unwrap();
        [receiver.recv().await.unwrap(), receiver.recv().await.unwrap()]
    });
    let shown: Vec<_> =
        updates.iter().map(|update| (update.name.as_str(), shown(update.groups.iter()))).collect();
    let first = vec!["localhost:9090 | ".to_owned(), "f:1 | ".to_owned()];
    assert_eq!(shown, [("one", first), ("two", vec![])]);
}

#[test]
fn equal_sections_share_a_provider_that_outlives_a_reload() {
    let server = FakeServer::http(|_| reply_json(r#"[{"targets":["a:1"]}]"#));
    let http = HttpSdConfig { url: server.url("/"), ..HttpSdConfig::default() };
    let http = HttpSdConfig { refresh_interval: crate::config::Millis::seconds(60), ..http };
    let configs = DiscoveryConfigs { http_sd_configs: vec![http], ..DiscoveryConfigs::default() };
    let stats = Arc::new(DiscoveryStats::default());
    on_control(async {
        let (orders, sources) = async_channel::unbounded();
        let (sender, updates) = async_channel::bounded(8);
        tokio::task::spawn_local(watch("scrape", sources, stats.clone(), sender));
        let next = async || {
            let update: Update = updates.recv().await.unwrap();
            (update.name.clone(), update.groups.len())
        };
        let both = vec![source("one", &configs), source("two", &configs)];
        orders.send(both).await.unwrap();
        assert_eq!(next().await, ("one".into(), 0), "at once, before anything is found");
        assert_eq!(next().await, ("two".into(), 0));
        assert_eq!(next().await, ("one".into(), 1));
        assert_eq!(next().await, ("two".into(), 1));
        orders.send(vec![source("two", &configs), source("new", &configs)]).await.unwrap();
        assert_eq!(next().await, ("two".into(), 1));
        assert_eq!(next().await, ("new".into(), 1), "known already");
        // A job that is known is not told of nothing while its new provider has not answered.
        let mut other = configs.clone();
        other.http_sd_configs[0].url = server.url("/other");
        orders.send(vec![source("two", &other), source("last", &other)]).await.unwrap();
        assert_eq!(next().await, ("last".into(), 0));
        assert_eq!(next().await, ("two".into(), 1));
    });
    assert_eq!(server.asked(), ["GET /", "GET /other"]);
    let counts = stats.counts();
    // The provider of the first sections ended with its last user.
    let running: Vec<_> = counts.refreshes.keys().map(|key| key.1.as_str()).collect();
    assert_eq!(running, ["two"]);
    assert_eq!(counts.durations["http"].read(shards::runtime::now()).count, 2);
    let manager = &counts.managers["scrape"];
    let targets: Vec<_> =
        manager.configs.iter().map(|(name, stats)| (name.as_str(), stats.target_count)).collect();
    assert_eq!(targets, [("last", 1), ("two", 1)]);
    assert_eq!((manager.received, manager.sent, manager.failed_configs), (2, 9, 0));
}

#[test]
fn the_kernel_tells_of_changes() {
    let dir = Dir::new("file-sd-events");
    let below = dir.0.join("later");
    let path = FilePath(below.join("*.json").display().to_string());
    let mut files = Files::new(FileSdConfig { files: vec![path], ..FileSdConfig::default() });
    let stats = FileStats::default();
    on_control(async {
        let mut events = files.events(&stats);
        // The directory comes after the watch.
        std::fs::create_dir(&below).unwrap();
        events.watch_dirs(&stats);
        std::fs::write(dir.0.join("other.json"), "[]").unwrap();
        for (text, expected) in [("a:1", "a:1 | "), ("b:1", "b:1 | ")] {
            std::fs::write(below.join("new"), format!("[{{\"targets\": [\"{text}\"]}}]")).unwrap();
            events.changed().await;
            std::fs::rename(below.join("new"), below.join("t.json")).unwrap();
            events.changed().await;
            files.refresh(false, &stats);
            assert_eq!(shown(files.groups()), [expected]);
        }
        std::fs::remove_dir_all(&below).unwrap();
        events.changed().await;
        files.refresh(false, &stats);
        assert_eq!(files.groups().count(), 0);
    });
    assert_eq!(stats.watch_error_count.load(Ordering::Relaxed), 0);
}
