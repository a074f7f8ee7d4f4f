//! Can this machine run shards? Asked once, before any executor, because the executor itself
//! answers with a panic about an old kernel, whatever the cause.

use std::fmt;
use std::fs;
use std::io;

use io_uring::{IoUring, Probe, opcode};

/// Locked memory that the rings of a process need at least; glommio refuses less.
const MEMLOCK_BYTES_MIN: u64 = 512 << 10;

/// One sentence: what is missing, why, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing(String);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Missing {}

/// Checks io_uring and the limit of locked memory.
pub fn probe() -> Result<(), Missing> {
    probe_memlock()?;
    probe_io_uring()
}

fn probe_io_uring() -> Result<(), Missing> {
    let ring = IoUring::new(8).map_err(|error| {
        let switch = fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok();
        Missing(explain(&error, switch.as_deref().map(str::trim)))
    })?;
    let mut probe = Probe::new();
    let known = ring.submitter().register_probe(&mut probe).is_ok()
        && [
            opcode::PollAdd::CODE,
            opcode::Timeout::CODE,
            opcode::Accept::CODE,
            opcode::Connect::CODE,
            opcode::Write::CODE,
            opcode::Send::CODE,
        ]
        .iter()
        .all(|&code| probe.is_supported(code));
    if known {
        return Ok(());
    }
    Err(Missing(
        "io_uring of this kernel lacks operations that hearth needs: run Linux 5.8 or newer".into(),
    ))
}

/// Turns the error of `io_uring_setup` and the kernel's switch into a sentence.
fn explain(error: &io::Error, switch: Option<&str>) -> String {
    let cause = match (error.raw_os_error(), switch) {
        (Some(libc::EPERM), Some("2")) => {
            "it is switched off for everybody (kernel.io_uring_disabled is 2): \
             run `sysctl kernel.io_uring_disabled=0`"
        }
        (Some(libc::EPERM), Some("1")) => {
            "it is switched off for ordinary users (kernel.io_uring_disabled is 1): \
             run `sysctl kernel.io_uring_disabled=0`, or run hearth with CAP_SYS_ADMIN or in the \
             group of kernel.io_uring_group"
        }
        (Some(libc::EPERM | libc::EACCES), _) => {
            "a seccomp profile forbids it, as the default one of docker does: run the container \
             with `--security-opt seccomp=unconfined` or with a profile that allows \
             io_uring_setup, io_uring_enter and io_uring_register"
        }
        (Some(libc::ENOSYS), _) => {
            "this kernel does not have it or a seccomp profile hides it: run Linux 5.8 or newer, \
             in a container with a profile that allows io_uring_setup, io_uring_enter and \
             io_uring_register"
        }
        (Some(libc::ENOMEM), _) => {
            "there is not enough lockable memory: raise `ulimit -l` to 8192 or more"
        }
        (Some(libc::EMFILE | libc::ENFILE), _) => {
            "no file descriptor is left: raise `ulimit -n` to 65536 or more"
        }
        _ => "the kernel refuses: see the error",
    };
    format!("io_uring cannot be used: {cause} ({error})")
}

fn probe_memlock() -> Result<(), Missing> {
    let soft = memlock_soft_limit(&fs::read_to_string("/proc/self/limits").unwrap_or_default());
    match soft {
        Some(bytes) if bytes < MEMLOCK_BYTES_MIN => Err(Missing(format!(
            "the limit of locked memory is {bytes} bytes, but io_uring needs {MEMLOCK_BYTES_MIN}: \
             raise `ulimit -l` to 8192 or more"
        ))),
        _ => Ok(()),
    }
}

/// Soft limit in bytes from the text of `/proc/self/limits`; `None` if unlimited or unknown.
fn memlock_soft_limit(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max locked memory"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::{explain, memlock_soft_limit, probe};

    #[track_caller]
    fn check(errno: i32, switch: Option<&str>, expected: &str) {
        let sentence = explain(&io::Error::from_raw_os_error(errno), switch);
        assert!(sentence.contains(expected), "{sentence}");
    }

    #[test]
    fn a_refusal_names_its_cause_and_remedy() {
        check(libc::EPERM, Some("2"), "sysctl kernel.io_uring_disabled=0");
        check(libc::EPERM, Some("1"), "kernel.io_uring_group");
        check(libc::EPERM, Some("0"), "seccomp=unconfined");
        check(libc::EPERM, None, "seccomp=unconfined");
        check(libc::ENOSYS, Some("0"), "Linux 5.8");
        check(libc::ENOMEM, Some("0"), "ulimit -l");
        check(libc::EMFILE, Some("0"), "ulimit -n");
        check(libc::EIO, Some("0"), "Input/output error");
    }

    #[test]
    fn the_limit_of_locked_memory_is_read() {
        let limits = "Max cpu time              unlimited            unlimited            seconds\n\
                      Max locked memory         8388608              8388608              bytes\n";
        assert_eq!(memlock_soft_limit(limits), Some(8 << 20));
        assert_eq!(memlock_soft_limit(&limits.replace("8388608", "unlimited")), None);
        assert_eq!(memlock_soft_limit(""), None);
    }

    #[test]
    fn this_machine_can_run_shards() {
        assert_eq!(probe(), Ok(()));
    }
}
