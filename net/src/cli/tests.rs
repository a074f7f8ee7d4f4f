//! Arguments as kingpin reads them; the error texts are those of the real program.

use super::{Command, FLAGS, Flags, WalSync, help, parse};
use crate::config::Millis;

fn flags(line: &str) -> Result<Flags, String> {
    let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    match parse(&arguments)? {
        Command::Run(flags) => Ok(*flags),
        other => Err(format!("{other:?}")),
    }
}

#[track_caller]
fn check(line: &str, name: &str, expected: &str) {
    assert_eq!(flags(line).unwrap().text(name), expected, "{line}");
}

#[track_caller]
fn check_refused(line: &str, expected: &str) {
    assert_eq!(flags(line).map(|_| ()).unwrap_err(), expected, "{line}");
}

#[test]
fn values_follow_in_either_form() {
    check("", "storage.tsdb.path", "data/");
    check("--storage.tsdb.path=/x", "storage.tsdb.path", "/x");
    check("--storage.tsdb.path /x", "storage.tsdb.path", "/x");
    check("--web.page-title=a=b", "web.page-title", "a=b");
    check("--web.external-url=", "web.external-url", "");
    check("--web.enable-lifecycle", "web.enable-lifecycle", "true");
    check("--no-auto-gomemlimit", "auto-gomemlimit", "false");
    check("--query.max-samples=5e7", "query.max-samples", "50000000");
    check("--query.timeout=90s", "query.timeout", "1m30s");
    check("--storage.tsdb.retention.size=1GB", "storage.tsdb.retention.size", "1GiB");
    check("--log.level=WARN", "log.level", "warn");
    check("--config.file a --", "config.file", "a");
    let lists = flags("--web.listen-address=a:1 --web.listen-address b:2").unwrap();
    assert_eq!(lists.list("web.listen-address"), ["a:1", "b:2"]);
    assert_eq!(lists.text("web.listen-address"), "a:1,b:2");
    assert_eq!(flags("").unwrap().list("web.listen-address"), ["0.0.0.0:9090"]);
}

#[test]
fn errors_are_kingpins() {
    check_refused("--nope", "unknown long flag '--nope'");
    check_refused("--no-config.file", "unknown long flag '--no-config.file'");
    check_refused("-x", "unknown short flag '-x'");
    check_refused("foo", "unexpected foo");
    check_refused("--config.file", "expected argument for flag '--config.file'");
    check_refused("--config.file --agent", "expected argument for flag '--config.file'");
    check_refused("--web.enable-lifecycle=maybe", "unexpected maybe");
    check_refused("--config.file=a --config.file=b", "flag 'config.file' cannot be repeated");
    check_refused("--query.max-concurrency=x", "strconv.ParseFloat: parsing \"x\": invalid syntax");
    check_refused("--query.timeout=x", "not a valid duration string: \"x\"");
    check_refused("--storage.tsdb.retention.size=5", "units: unknown unit  in 5");
    check_refused("--log.level=x", "unrecognized log level x");
    check_refused("--log.format=x", "unrecognized log format x");
    check_refused("-- foo", "unexpected foo");
}

#[test]
fn what_is_not_there_is_refused_or_said() {
    check_refused("--agent", "--agent: hearth has no agent mode");
    check_refused(
        "--storage.agent.path=x",
        "The following flag(s) can only be used in agent mode: [\"--storage.agent.path\"]",
    );
    let warned = flags("--storage.tsdb.wal-compression-type=zstd").unwrap().warnings();
    assert_eq!(warned.len(), 1, "{warned:?}");
    assert_eq!(flags("").unwrap().warnings(), Vec::<String>::new());
    let features = flags("--enable-feature=a,native-histograms --enable-feature=search-api");
    let features = features.unwrap().features();
    assert!(features.has("search-api"));
    assert_eq!(features.warnings().unwrap().len(), 3);
    let carried = flags("--enable-feature=promql-experimental-functions").unwrap().features();
    assert_eq!(carried.warnings().unwrap(), Vec::<String>::new());
}

#[test]
fn own_flags_have_their_values() {
    assert_eq!(flags("").unwrap().wal_sync(), WalSync::Batch);
    assert_eq!(flags("--storage.wal.sync=os").unwrap().wal_sync(), WalSync::Os);
    let interval = flags("--storage.wal.sync=interval=2s").unwrap();
    assert_eq!(interval.wal_sync(), WalSync::Interval(Millis(2000)));
    assert!(flags("--storage.wal.sync=interval=0s").is_err());
    assert!(flags("--storage.wal.sync=never").is_err());
    assert_eq!(flags("--shards=3").unwrap().int("shards"), 3);
}

#[test]
fn retention_falls_back_to_fifteen_days() {
    let status = |line: &str| {
        let flags = flags(line).unwrap();
        let status = flags.status(&flags.retention());
        ["time", "size"]
            .map(|bound| status[format!("storage.tsdb.retention.{bound}").as_str()].clone())
    };
    assert_eq!(status(""), ["15d", "0B"]);
    assert_eq!(status("--storage.tsdb.retention.size=1MB"), ["0s", "1MiB"]);
    assert_eq!(status("--storage.tsdb.retention.time=1w"), ["1w", "0B"]);
    let flags = flags("").unwrap();
    assert_eq!(flags.status(&flags.retention())["storage.tsdb.max-block-duration"], "1d12h");
}

#[test]
fn the_table_is_whole() {
    // 59 documented flags, of which kingpin owns two, 17 hidden ones and nine of hearth's own.
    assert_eq!(FLAGS.iter().filter(|flag| !flag.hidden).count(), 57 + 9);
    assert_eq!(FLAGS.iter().filter(|flag| flag.hidden).count(), 17);
    let mut names: Vec<&str> = FLAGS.iter().map(|flag| flag.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), FLAGS.len());
    assert!(help("hearth").starts_with("usage: hearth [<flags>]\n"));
    assert!(matches!(parse(&["-h".to_owned()]), Ok(Command::Help)));
    assert!(matches!(parse(&["--version".to_owned()]), Ok(Command::Version)));
}
