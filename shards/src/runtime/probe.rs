//! Can this machine run shards? Asked once, before any executor, for one sentence with cause and
//! remedy instead of an error of a shard.

use std::fmt;
use std::fs;
use std::io;

use io_uring::{IoUring, Probe, opcode};

/// One sentence: what is missing, why, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing(String);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Missing {}

/// Checks io_uring.
pub fn probe() -> Result<(), Missing> {
    let ring = IoUring::new(8).map_err(|error| {
        let switch = fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok();
        Missing(explain(&error, switch.as_deref().map(str::trim)))
    })?;
    let mut probe = Probe::new();
    let codes =
        [opcode::PollAdd::CODE, opcode::PollRemove::CODE, opcode::Write::CODE, opcode::Fsync::CODE];
    let known = ring.submitter().register_probe(&mut probe).is_ok()
        && ring.params().is_feature_ext_arg()
        && codes.iter().all(|&code| probe.is_supported(code));
    if known {
        return Ok(());
    }
    Err(Missing(
        "io_uring of this kernel lacks operations that hearth needs: run Linux 5.19 or newer"
            .into(),
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
            "this kernel does not have it or a seccomp profile hides it: run Linux 5.19 or newer, \
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

#[cfg(test)]
mod tests {
    use std::io;

    use super::{explain, probe};

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
        check(libc::ENOSYS, Some("0"), "Linux 5.19");
        check(libc::ENOMEM, Some("0"), "ulimit -l");
        check(libc::EMFILE, Some("0"), "ulimit -n");
        check(libc::EIO, Some("0"), "Input/output error");
    }

    #[test]
    fn this_machine_can_run_shards() {
        assert_eq!(probe(), Ok(()));
    }
}
