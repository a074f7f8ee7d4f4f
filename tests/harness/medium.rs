//! File systems of their own to make trouble on: small ones, and ones whose power goes. Linux, as root.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::workspace::TemporaryFolder;

/// How long a file system may be busy after its user was killed: the kernel lets go of the files of a
/// ring a moment later.
const BUSY_MAX: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediumKind {
    /// ext4 on a file.
    Ext4,
    /// In memory.
    Tmpfs,
}

/// A mounted file system of a bounded size; gone when dropped.
pub struct Medium {
    folder: TemporaryFolder,
}

impl Medium {
    /// Errors: what the system said, for example that this needs root.
    pub fn new(kind: MediumKind, mebibytes: u64) -> Result<Medium, String> {
        let folder = TemporaryFolder::new("medium");
        fs::create_dir_all(folder.path().join("mount")).map_err(|error| error.to_string())?;
        let medium = Medium { folder };
        match kind {
            MediumKind::Ext4 => {
                let image = fs::File::create(medium.image()).map_err(|error| error.to_string())?;
                image.set_len(mebibytes << 20).map_err(|error| error.to_string())?;
                run("mkfs.ext4", &["-q", "-F", &text(&medium.image())])?;
                medium.mount()?;
            }
            MediumKind::Tmpfs => {
                let size = format!("size={mebibytes}m");
                run("mount", &["-t", "tmpfs", "-o", &size, "none", &text(&medium.path())])?;
            }
        }
        Ok(medium)
    }

    fn image(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("mount")
    }

    fn mount(&self) -> Result<(), String> {
        run("mount", &["-o", "loop", &text(&self.image()), &text(&self.path())])
    }

    /// Fills it until nothing more fits.
    pub fn fill(&self) -> io::Result<()> {
        let mut file = fs::File::create(self.path().join("ballast"))?;
        let mut length = 1 << 20;
        while length > 0 {
            match file.write_all(&vec![1; length]) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::StorageFull => length /= 2,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Makes room again.
    pub fn free(&self) -> io::Result<()> {
        fs::remove_file(self.path().join("ballast"))
    }

    /// Cuts the power: nothing more is written, what is not on the medium is gone, and every call
    /// fails until [`Medium::power_on`]. ext4's own `FS_IOC_SHUTDOWN`, without its log.
    pub fn cut_power(&self) -> Result<(), String> {
        let script = "open F,'<',$ARGV[0] or die $!; my $how=pack('L',2); \
                      ioctl(F,0x8004587d,$how) or die $!";
        run("perl", &["-e", script, &text(&self.path())])
    }

    /// Mounts it anew; who used it has ended.
    pub fn power_on(&self) -> Result<(), String> {
        self.unmount()?;
        self.mount()
    }

    fn unmount(&self) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            match run("umount", &[&text(&self.path())]) {
                Err(what) if what.contains("busy") && begun.elapsed() < BUSY_MAX => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                ended => return ended,
            }
        }
    }
}

impl Drop for Medium {
    fn drop(&mut self) {
        // Nothing can be done about it here.
        let _ = self.unmount();
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn run(program: &str, args: &[&str]) -> Result<(), String> {
    let done = Command::new(program).args(args).output();
    let done = done.map_err(|error| format!("{program}: {error}"))?;
    match done.status.success() {
        true => Ok(()),
        false => Err(format!("{program}: {}", String::from_utf8_lossy(&done.stderr).trim())),
    }
}
