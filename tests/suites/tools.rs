//! Commands on a data directory that a server wrote, against what the server answered.

use std::path::Path;

use tests::process::{Hearth, Options, run, unix_ms};
use tests::remote_write::{NativeHistogram, Series, send, send_native_histograms};
use tests::workspace::TemporaryFolder;

/// Standard output of a command that must end well.
#[track_caller]
fn out(args: &[&str]) -> String {
    let done = run(args).expect("hearth runs");
    let err = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{args:?}: {err}");
    String::from_utf8(done.stdout).expect("texts are UTF-8")
}

/// A server with two series of floats and one of histograms in its directory, stopped.
fn written(start_ms: i64) -> Hearth {
    let mut hearth = Hearth::start(Options::receiver(2));
    let labels = |name: &str| vec![("__name__".to_owned(), name.to_owned())];
    let floats = |step: i64| (0..50).map(|at| (start_ms + at * 1000, (at * step) as f64)).collect();
    let named = |name: &str| vec![("__name__", name.to_owned())];
    let series = [
        Series { labels: named("a"), samples: floats(1) },
        Series { labels: named("b"), samples: floats(-3) },
    ];
    assert!(send(hearth.address, &series).expect("the server answers").status / 100 == 2);
    let histogram = NativeHistogram {
        schema: 0,
        sum: 12.5,
        zero_threshold: 0.001,
        zero_count: 1,
        first_bucket: 1,
        bucket_counts: vec![2, 3],
    };
    let histograms = [(labels("h"), vec![(start_ms, histogram)])];
    let sent = send_native_histograms(hearth.address, &histograms).expect("the server answers");
    assert!(sent.status / 100 == 2, "{}", sent.text());
    assert!(hearth.stop().success());
    hearth
}

#[test]
fn a_directory_is_dumped_verified_and_exported() {
    let start_ms = unix_ms() - 60_000;
    let hearth = written(start_ms);
    let data = hearth.data_directory();
    let data = data.to_str().expect("a path of letters");
    let dump = out(&["tsdb", "dump", data]);
    let lines: Vec<&str> = dump.lines().collect();
    assert_eq!(lines.len(), 101);
    assert_eq!(lines[1], format!("{{__name__=\"a\"}} 1 {}", start_ms + 1000));
    assert_eq!(lines[99], format!("{{__name__=\"b\"}} -147 {}", start_ms + 49_000));
    let histogram = "{count:6, sum:12.5, [-0.001,0.001]:1, (1,2]:2, (2,4]:3}";
    assert_eq!(lines[100], format!("{{__name__=\"h\"}} {histogram} {start_ms}"));
    let min_time = format!("--min-time={}", start_ms + 48_000);
    let some = out(&["tsdb", "dump", "--match=a", "--match={__name__=~'b|a'}", &min_time, data]);
    assert_eq!(some.lines().count(), 4);
    assert_eq!(
        out(&["tsdb", "dump", "--format=seriesjson", "--match=h", data]),
        "{\"__name__\":\"h\"}\n"
    );
    // All three series belong to one shard.
    assert_eq!(out(&["tsdb", "verify", data]), "1 of 1 blocks and parts are good\n");

    // What is exported is the same, and dumped once more it still is.
    let folder = TemporaryFolder::new("export");
    let exported = folder.path().to_str().expect("a path of letters").to_owned();
    let listed = out(&["tsdb", "export", data, &exported]);
    assert!(listed.contains(" 101 "), "{listed}");
    assert!(out(&["tsdb", "verify", &exported]).contains(" blocks and parts are good"));
    let analyzed = out(&["tsdb", "analyze", &exported]);
    assert!(analyzed.contains("Label names: 1\n"), "{analyzed}");
    let again = TemporaryFolder::new("import");
    let imported = again.path().to_str().expect("a path of letters");
    let first = out(&["tsdb", "import", imported, &exported]);
    assert_eq!(first.lines().skip(1).count(), listed.lines().skip(1).count());
    // A second time there is nothing to do.
    assert_eq!(out(&["tsdb", "import", imported, &exported]), "");
    assert_eq!(out(&["tsdb", "list", imported]), out(&["tsdb", "list", &exported]));
}

#[test]
fn a_directory_in_use_and_a_damaged_block_are_told() {
    let hearth = Hearth::start(Options::receiver(1));
    let data = hearth.data_directory();
    let busy = run(&["tsdb", "dump", data.to_str().expect("a path of letters")]);
    let busy = busy.expect("hearth runs");
    let told = String::from_utf8_lossy(&busy.stderr).into_owned();
    assert!(!busy.status.success() && told.contains("is in use by a server"), "{told}");

    let folder = TemporaryFolder::new("damaged");
    let (page, blocks) = (folder.path().join("page"), folder.path().join("blocks"));
    std::fs::write(&page, "a 1 1\na 2 3\nb 5 2\n# EOF\n").expect("the folder is writable");
    let text = |path: &Path| path.to_str().expect("a path of letters").to_owned();
    let created = out(&["tsdb", "create-blocks-from", "openmetrics", &text(&page), &text(&blocks)]);
    let id = created.lines().nth(1).and_then(|line| line.split(' ').next()).expect("a block");
    let chunks = blocks.join(id).join("chunks/000001");
    let mut bytes = std::fs::read(&chunks).expect("chunks are there");
    let place = bytes.len() - 8;
    bytes[place] ^= 1;
    std::fs::write(&chunks, bytes).expect("the file is writable");
    let verified = run(&["tsdb", "verify", &text(&blocks)]).expect("hearth runs");
    let told = String::from_utf8_lossy(&verified.stderr).into_owned();
    assert!(!verified.status.success() && told.contains("FAILED"), "{told}");
    let refused = run(&["tsdb", "import", &text(&folder.path().join("data")), &text(&blocks)]);
    let refused = refused.expect("hearth runs");
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && told.contains(id), "{told}");
}
