//! Which CPUs this process may use, and how many shards that makes.
//!
//! Read from `/proc` and `/sys`, because the affinity mask is what counts in a container: glommio
//! lists the machine's CPUs, of which a cpuset may forbid some.

use std::collections::BTreeSet;
use std::fs;

/// CPUs that the affinity mask of this process allows, ascending.
///
/// Falls back to `0..available_parallelism` where `/proc` is hidden.
pub fn allowed_cpus() -> Vec<usize> {
    fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| {
            let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
            parse_cpu_list(line)
        })
        .filter(|cpus| !cpus.is_empty())
        .unwrap_or_else(|| (0..parallelism()).collect())
}

/// One CPU per physical core among `cpus`, then the remaining hardware threads: the order in which
/// shards take CPUs.
pub fn by_physical_core(cpus: &[usize]) -> CpuOrder {
    let mut seen = BTreeSet::new();
    let (first, second): (Vec<usize>, Vec<usize>) =
        cpus.iter().partition(|&&cpu| seen.insert(first_sibling(cpu)));
    let physical_count = first.len();
    CpuOrder { cpus: first.into_iter().chain(second).collect(), physical_count }
}

/// See [`by_physical_core`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuOrder {
    pub cpus: Vec<usize>,
    /// So many of `cpus` are the first hardware thread of their core.
    pub physical_count: usize,
}

/// Shards to run when nobody says how many: one per physical core, fewer where a quota gives the
/// process less time than that.
pub fn default_shard_count() -> usize {
    by_physical_core(&allowed_cpus()).physical_count.min(parallelism()).max(1)
}

/// The standard library's count, which knows cgroup quotas.
fn parallelism() -> usize {
    std::thread::available_parallelism().map_or(1, |count| count.get())
}

/// Lowest hardware thread of the core of `cpu`; `cpu` itself where `/sys` does not say.
fn first_sibling(cpu: usize) -> usize {
    let path = format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
    fs::read_to_string(path)
        .ok()
        .and_then(|list| parse_cpu_list(&list)?.first().copied())
        .unwrap_or(cpu)
}

/// The kernel's list form: `0-3,8,10-11`. `None` if it is not of that form.
fn parse_cpu_list(list: &str) -> Option<Vec<usize>> {
    /// More CPUs than any kernel supports: a bound on what a strange file can make us build.
    const CPU_MAX: usize = 1 << 16;

    let mut cpus = Vec::new();
    for range in list.trim().split(',').filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if last > CPU_MAX {
            return None;
        }
        cpus.extend(first..=last);
    }
    Some(cpus)
}

#[cfg(test)]
mod tests {
    use super::{allowed_cpus, by_physical_core, default_shard_count, parse_cpu_list};

    #[track_caller]
    fn check(list: &str, expected: Option<&[usize]>) {
        assert_eq!(parse_cpu_list(list).as_deref(), expected, "{list:?}");
    }

    #[test]
    fn cpu_lists_of_the_kernel_are_understood() {
        check("", Some(&[]));
        check("0\n", Some(&[0]));
        check("\t0-1", Some(&[0, 1]));
        check("0-1,4,6-7", Some(&[0, 1, 4, 6, 7]));
        check("x", None);
        check("1-", None);
        check("0-99999999", None);
    }

    #[test]
    fn this_machine_has_a_core_for_a_shard() {
        let allowed = allowed_cpus();
        let order = by_physical_core(&allowed);
        let mut sorted = order.cpus.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, allowed);
        assert!((1..=allowed.len()).contains(&order.physical_count));
        assert!((1..=allowed.len()).contains(&default_shard_count()));
    }
}
