//! Where things are: the repository, the binary under test, test data beside the repository.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The repository's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie in the repository")
}

/// A folder of test data that lies beside the repository, or `None` with a line on stderr: a
/// suite that ran without it must not look like one that ran with it.
pub fn conformance(folder: &str) -> Option<PathBuf> {
    let path = root().join("../shared/conformance").join(folder);
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("NOT RUN: {} is not there", path.display());
    None
}

/// The binary under test: `HEARTH_BIN`, or built by cargo in the profile of this test.
pub fn hearth_binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match std::env::var_os("HEARTH_BIN") {
        Some(path) => PathBuf::from(path),
        None => built("hearth"),
    })
}

/// A program of the workspace, built by cargo in the profile of this test.
///
/// Cargo builds binaries for the integration tests of their own package only, so the harness asks
/// for it; when it is fresh that costs a fraction of a second.
pub fn built(program: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    // target/<profile>/deps/<test> or target/<profile>/<program>
    let profile_directory = test
        .ancestors()
        .skip(1)
        .find(|path| !path.ends_with("deps"))
        .expect("a test lies in a profile's folder");
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    build.current_dir(root()).args(["build", "--quiet", "--workspace", "--bin", program]);
    if profile_directory.ends_with("release") {
        build.arg("--release");
    }
    if let Some(target) = profile_directory.parent() {
        build.arg("--target-dir").arg(target);
    }
    let status = build.status().expect("cargo runs");
    assert!(status.success(), "{program} must build");
    profile_directory.join(program)
}

/// A folder that is removed when dropped.
pub struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    pub fn new(name: &str) -> TemporaryFolder {
        use std::sync::atomic::{AtomicU32, Ordering};
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let unique = format!(
            "hearth-test-{name}-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(unique);
        std::fs::create_dir_all(&path).expect("the temporary folder is writable");
        TemporaryFolder(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
