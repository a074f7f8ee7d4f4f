//! Freed memory and the system.
#![allow(unsafe_code)]

use std::time::Duration;

use libmimalloc_sys::{mi_collect, mi_option_set, mi_option_t};

/// The allocator's option `purge_delay`, which its bindings do not name.
const PURGE_DELAY: mi_option_t = 15;

/// Has freed memory go back to the system after `delay`; by itself the allocator keeps it for a
/// second, and a burst of queries would hold what each of them held. Nothing to a process with
/// another allocator.
pub fn return_freed_memory_after(delay: Duration) {
    let delay_ms = delay.as_millis().try_into().unwrap_or(std::ffi::c_long::MAX);
    // SAFETY: it stores a number at a place of the allocator's own table, atomically.
    unsafe { mi_option_set(PURGE_DELAY, delay_ms) }
}

/// Has memory that is touched from now on come in pages of the base size, not in huge ones.
///
/// The allocator keeps objects of one size together, each thread its own, and asks for huge pages: the
/// first object of a size then costs two megabytes. With a million series that was a third of all
/// memory, and clearing it a fifth of a start; an append took the same time with either.
///
/// What a kernel does not know it does not do: nothing changes then.
pub fn use_base_pages() {
    #[cfg(target_os = "linux")]
    // SAFETY: it sets a flag of this process that the kernel looks at when it hands out memory; it
    // takes numbers, and touches none of ours.
    unsafe {
        libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0);
    }
}

/// Has this thread's freed memory go back whose time has passed: the allocator looks at it only when
/// more is allocated, and tables that have grown leave half their size behind when no more come.
/// Nothing to a process with another allocator. Cost: some 10 ns for each 64 KiB of the thread's memory.
pub fn return_freed_memory() {
    // SAFETY: it may be called at any time, and touches what the allocator owns alone.
    unsafe { mi_collect(false) }
}

/// Has all memory go back that threads freed in whole, however lately: a few milliseconds for a gigabyte,
/// so it is called by a thread that nobody waits for, and which has little memory of its own to go
/// through. Nothing to a process with another allocator.
///
/// Without it the time at which freed memory is due may be lost where two threads set it at once, and
/// from then on nothing would go back (mimalloc's issue 1246).
pub fn return_freed_memory_of_all() {
    // SAFETY: as above.
    unsafe { mi_collect(true) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use libmimalloc_sys::mi_option_get;

    use super::{PURGE_DELAY, return_freed_memory_after};

    #[test]
    #[cfg(target_os = "linux")]
    fn huge_pages_are_off_where_the_kernel_knows() {
        super::use_base_pages();
        // SAFETY: it reads a flag.
        let is_off = unsafe { libc::prctl(libc::PR_GET_THP_DISABLE, 0, 0, 0, 0) };
        assert!(is_off == 1 || is_off == -1);
    }

    #[test]
    fn the_option_is_the_one_that_is_meant() {
        // SAFETY: it reads a number of the allocator's own table.
        let get = || unsafe { mi_option_get(PURGE_DELAY) };
        assert_eq!(get(), 1000, "the allocator's default");
        return_freed_memory_after(Duration::from_millis(10));
        assert_eq!(get(), 10);
    }
}
