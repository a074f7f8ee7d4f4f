//! The walls, as tests: who may use whom, where `unsafe` may stand, how large a file may grow.
//!
//! A wall is moved by editing a table here, where everybody sees it.

use std::path::{Path, PathBuf};

use tests::workspace::root;

/// Rooms of `engine` and the rooms each may use, lines in reading order: a room may use every room
/// on an earlier line, and itself.
const ENGINE_ROOMS: &[&[&str]] = &[
    &["limits"],
    &["kernels"],
    &["mem"],
    &["regex"],
    &["model"],
    &["disk"],
    &["encode", "index", "promql"],
    &["wal", "head", "plan", "block"],
    &["store"],
    &["exec"],
    &["rules"],
    &["rules"],
];

/// What `engine` must never name: threads, sockets, files, clocks, locks.
const ENGINE_BANNED: &[&str] = &[
    "std::thread",
    "std::net",
    "std::fs",
    "std::time::Instant",
    "Instant::now",
    "SystemTime",
    "std::sync::Mutex",
    "std::sync::RwLock",
];

/// Rooms of `net` that are pure (bytes in, values out) with what they must not name.
const NET_PURE: &[&str] = &["wire", "relabel"];
const NET_PURE_BANNED: &[&str] = &["shards::", "tokio::", "std::net", "std::fs", "std::thread"];

/// Folders in which `unsafe` may stand.
const UNSAFE_ROOMS: &[&str] = &["engine/src/kernels", "shards/src"];

/// Lines of a source file, its test module not counted.
const FILE_LINES_MAX: usize = 600;

/// Texts that must not stand in a source file, with what to do instead.
const BANNED: &[(&str, &str)] = &[
    (concat!("FIX", "ME"), "mend it"),
    (concat!("todo", "!("), "finish it, or answer with an honest error"),
    (concat!("unimplemented", "!("), "finish it, or answer with an honest error"),
    (concat!("#[ig", "nore"), "a test runs, or it is not there"),
    (concat!("should", "_panic"), "refusals are values"),
];

struct Source {
    /// From the repository's root, with forward slashes.
    name: String,
    text: String,
}

impl Source {
    /// The text without comments and without what follows the first test module.
    fn code(&self) -> String {
        let end = self.text.find("#[cfg(test)]\nmod ").unwrap_or(self.text.len());
        self.text[..end]
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .collect::<Vec<_>>()
            .join("\n")
    }

    fn is_test(&self) -> bool {
        self.name.ends_with("tests.rs") || self.name.contains("/testing")
    }
}

/// All Rust sources below `folder`.
fn sources(folder: &str) -> Vec<Source> {
    let mut found = Vec::new();
    collect(&root().join(folder), &mut found);
    assert!(!found.is_empty(), "{folder} has sources");
    found
}

fn collect(path: &Path, found: &mut Vec<Source>) {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(path).expect("a folder").map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for entry in entries {
        if entry.is_dir() {
            collect(&entry, found);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            let name = entry.strip_prefix(root()).expect("below the root").to_string_lossy();
            let text = std::fs::read_to_string(&entry).expect("a source is text");
            found.push(Source { name: name.replace('\\', "/"), text });
        }
    }
}

/// Every `<prefix>ident` in `code`: the idents.
fn names_after<'a>(code: &'a str, prefix: &str) -> Vec<&'a str> {
    code.match_indices(prefix)
        .map(|(at, _)| {
            let rest = &code[at + prefix.len()..];
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            &rest[..end]
        })
        .filter(|name| !name.is_empty())
        .collect()
}

fn report(problems: Vec<String>) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

#[test]
fn engine_rooms_use_only_rooms_on_earlier_lines() {
    let line_of = |room: &str| ENGINE_ROOMS.iter().position(|line| line.contains(&room));
    let mut problems = Vec::new();
    for source in sources("engine/src") {
        let room = source.name.trim_start_matches("engine/src/");
        let room = room.split(['/', '.']).next().unwrap_or_default();
        if room == "lib" {
            continue;
        }
        let Some(own) = line_of(room) else {
            problems.push(format!("{}: the room {room} is not in the table", source.name));
            continue;
        };
        if source.is_test() {
            continue;
        }
        let code = source.code();
        if code.contains("crate::{") {
            problems.push(format!("{}: one `use crate::room` a line, so it reads", source.name));
        }
        for used in names_after(&code, "crate::") {
            match line_of(used) {
                Some(line) if line < own || used == room => {}
                Some(_) => problems.push(format!("{}: {room} must not use {used}", source.name)),
                None => problems.push(format!("{}: {used} is no room", source.name)),
            }
        }
    }
    report(problems);
}

#[test]
fn engine_has_no_thread_socket_file_clock_or_lock() {
    let mut problems = Vec::new();
    for source in sources("engine/src").iter().filter(|source| !source.is_test()) {
        let code = source.code();
        for banned in ENGINE_BANNED.iter().filter(|banned| code.contains(**banned)) {
            problems.push(format!("{}: names {banned}", source.name));
        }
    }
    report(problems);
}

#[test]
fn pure_rooms_of_net_know_no_io() {
    let mut problems = Vec::new();
    for room in NET_PURE {
        for source in sources(&format!("net/src/{room}")).iter().filter(|source| !source.is_test())
        {
            let code = source.code();
            for banned in NET_PURE_BANNED.iter().filter(|banned| code.contains(**banned)) {
                problems.push(format!("{}: names {banned}", source.name));
            }
        }
    }
    report(problems);
}

#[test]
fn only_shards_knows_the_ring() {
    let mut problems = Vec::new();
    for source in sources("net/src").iter().chain(&sources("engine/src")) {
        if source.code().contains("io_uring::") {
            problems.push(format!("{}: names io_uring", source.name));
        }
    }
    report(problems);
}

#[test]
fn floors_depend_downwards() {
    let dependencies = |floor: &str| {
        let manifest = root().join(floor).join("Cargo.toml");
        let text = std::fs::read_to_string(manifest).expect("a crate has a manifest");
        let start = text.find("[dependencies]").expect("a dependency table");
        let end = text[start + 1..].find("\n[").map_or(text.len(), |end| start + 1 + end);
        text[start..end].to_owned()
    };
    let uses = |floor: &str, other: &str| dependencies(floor).contains(&format!("\n{other}.work"));
    let mut problems = Vec::new();
    for (floor, above) in [
        ("engine", &["shards", "net", "bench", "tests"][..]),
        ("shards", &["net", "bench", "tests"]),
        ("net", &["bench", "tests"]),
    ] {
        for other in above.iter().filter(|other| uses(floor, other)) {
            problems.push(format!("{floor} must not depend on {other}"));
        }
    }
    report(problems);
}

#[test]
fn unsafe_stands_only_in_its_rooms() {
    let mut problems = Vec::new();
    for folder in ["engine/src", "shards/src", "net/src", "bench/src", "tests/harness"] {
        for source in sources(folder) {
            let allowed = UNSAFE_ROOMS.iter().any(|room| source.name.starts_with(room));
            let code = source.code();
            let found = ["unsafe {", "unsafe fn", "unsafe impl", "allow(unsafe_code)"];
            if !allowed && found.iter().any(|text| code.contains(text)) {
                problems.push(format!("{}: unsafe outside its rooms", source.name));
            }
        }
    }
    report(problems);
}

#[test]
fn sources_are_small_and_finished() {
    let mut problems = Vec::new();
    for folder in ["engine", "shards", "net/src", "bench", "tests"] {
        for source in sources(folder) {
            let end = source.text.find("#[cfg(test)]\nmod ").unwrap_or(source.text.len());
            let lines = source.text[..end].lines().count();
            if lines > FILE_LINES_MAX && !source.is_test() {
                problems.push(format!("{}: {lines} lines of {FILE_LINES_MAX}", source.name));
            }
            for (text, instead) in BANNED {
                if source.text.contains(text) {
                    problems.push(format!("{}: {text} - {instead}", source.name));
                }
            }
        }
    }
    report(problems);
}
