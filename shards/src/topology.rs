//! Which CPUs this process may use, and how many shards that makes.
//!
//! Read from `/proc` and `/sys`, because the affinity mask is what counts in a container: of the
//! machine's CPUs a cpuset may forbid some.

use std::collections::{BTreeMap, BTreeSet};
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

/// The order in which shards take CPUs: one hardware thread of each physical core, node of memory by
/// node, then the remaining hardware threads in the same order. So few shards share a node, whose
/// memory each of them then uses, because a pinned thread is given pages of its own node; and no two
/// shards share a core before they must.
pub fn placement_order(cpus: &[usize]) -> CpuOrder {
    order_by(cpus, &|path| fs::read_to_string(path).ok())
}

/// See [`placement_order`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuOrder {
    pub cpus: Vec<usize>,
    /// So many of `cpus` are the first hardware thread of their core.
    pub physical_count: usize,
}

fn order_by(cpus: &[usize], read: &dyn Fn(&str) -> Option<String>) -> CpuOrder {
    let node_of = nodes(read);
    let mut in_order = cpus.to_vec();
    in_order.sort_by_key(|cpu| (node_of.get(cpu).copied().unwrap_or(0), *cpu));
    let mut seen = BTreeSet::new();
    let (first, second): (Vec<usize>, Vec<usize>) =
        in_order.into_iter().partition(|&cpu| seen.insert(first_sibling(cpu, read)));
    let physical_count = first.len();
    CpuOrder { cpus: first.into_iter().chain(second).collect(), physical_count }
}

/// The node of memory of each CPU; empty where `/sys` does not say.
fn nodes(read: &dyn Fn(&str) -> Option<String>) -> BTreeMap<usize, usize> {
    let list = |path: &str| read(path).and_then(|list| parse_cpu_list(&list)).unwrap_or_default();
    let online = list("/sys/devices/system/node/online");
    let cpus = |node: usize| list(&format!("/sys/devices/system/node/node{node}/cpulist"));
    online.into_iter().flat_map(|node| cpus(node).into_iter().map(move |cpu| (cpu, node))).collect()
}

/// Shards to run when nobody says how many: one per physical core, fewer where a quota gives the
/// process less time than that.
pub fn default_shard_count() -> usize {
    placement_order(&allowed_cpus()).physical_count.min(parallelism()).max(1)
}

/// The standard library's count, which knows cgroup quotas.
fn parallelism() -> usize {
    std::thread::available_parallelism().map_or(1, |count| count.get())
}

/// Lowest hardware thread of the core of `cpu`; `cpu` itself where `/sys` does not say.
fn first_sibling(cpu: usize, read: &dyn Fn(&str) -> Option<String>) -> usize {
    let path = format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
    read(&path).and_then(|list| parse_cpu_list(&list)?.first().copied()).unwrap_or(cpu)
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
    use super::{allowed_cpus, default_shard_count, order_by, parse_cpu_list, placement_order};

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

    /// A machine as `/sys` shows it: nodes with their CPUs, and the hardware threads of cores.
    #[track_caller]
    fn check_order(nodes: &[&str], cores: &[&str], allowed: &[usize], expected: (&[usize], usize)) {
        let read = |path: &str| {
            if path == "/sys/devices/system/node/online" {
                return (!nodes.is_empty()).then(|| format!("0-{}\n", nodes.len() - 1));
            }
            let number = |text: &str| {
                let digits =
                    text.split('/').next()?.trim_start_matches(|c: char| !c.is_ascii_digit());
                digits.parse::<usize>().ok()
            };
            if let Some(rest) = path.strip_prefix("/sys/devices/system/node/node") {
                return nodes.get(number(rest)?).map(|list| format!("{list}\n"));
            }
            let cpu = number(path.strip_prefix("/sys/devices/system/cpu/cpu")?)?;
            let has = |list: &&&str| parse_cpu_list(list).is_some_and(|cpus| cpus.contains(&cpu));
            cores.iter().find(has).map(|list| format!("{list}\n"))
        };
        let order = order_by(allowed, &read);
        assert_eq!((&*order.cpus, order.physical_count), expected);
    }

    #[test]
    fn shards_take_physical_cores_node_by_node() {
        // A machine that hides everything.
        check_order(&[], &[], &[0, 1, 2], (&[0, 1, 2], 3));
        // A desktop: four cores of two threads, siblings four apart.
        let desktop = ["0,4", "1,5", "2,6", "3,7"];
        let all: Vec<usize> = (0..8).collect();
        check_order(&["0-7"], &desktop, &all, (&[0, 1, 2, 3, 4, 5, 6, 7], 4));
        // The same with neighbours as siblings, as in many virtual machines.
        let neighbours = ["0-1", "2-3", "4-5", "6-7"];
        check_order(&["0-7"], &neighbours, &all, (&[0, 2, 4, 6, 1, 3, 5, 7], 4));
        // Two sockets whose CPUs are numbered in turns.
        let two = ["0,8", "1,9", "2,10", "3,11", "4,12", "5,13", "6,14", "7,15"];
        let nodes = ["0,2,4,6,8,10,12,14", "1,3,5,7,9,11,13,15"];
        let all: Vec<usize> = (0..16).collect();
        let expected = [0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15];
        check_order(&nodes, &two, &all, (&expected, 8));
        // A container that has one core of each, and the second thread of another.
        check_order(&nodes, &two, &[3, 4, 12, 14], (&[4, 14, 3, 12], 3));
    }

    #[test]
    fn this_machine_has_a_core_for_a_shard() {
        let allowed = allowed_cpus();
        let order = placement_order(&allowed);
        let mut sorted = order.cpus.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, allowed);
        assert!((1..=allowed.len()).contains(&order.physical_count));
        assert!((1..=allowed.len()).contains(&default_shard_count()));
    }
}
