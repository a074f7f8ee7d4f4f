//! What the kernel says about this process.

use std::fs;

use engine::model::MetricType;

use super::page::Page;

/// Clock ticks a second and bytes a page: Linux's constants on every platform hearth runs on.
const TICKS_PER_SECOND: f64 = 100.0;
const PAGE_BYTES: f64 = 4096.0;

/// Fields of `/proc/self/stat` by number, as proc(5) counts them.
struct Stat(Vec<String>);

impl Stat {
    fn read() -> Option<Stat> {
        let text = fs::read_to_string("/proc/self/stat").ok()?;
        // The second field is the program's name in parentheses, which may hold blanks.
        let after_name = &text[text.rfind(')')? + 1..];
        Some(Stat(after_name.split_whitespace().map(str::to_owned).collect()))
    }

    fn field(&self, number: usize) -> f64 {
        self.0.get(number - 3).and_then(|text| text.parse().ok()).unwrap_or(0.0)
    }
}

pub fn thread_count() -> i64 {
    Stat::read().map_or(0, |stat| stat.field(20) as i64)
}

/// Bytes of resident memory.
pub fn resident_bytes() -> f64 {
    Stat::read().map_or(0.0, |stat| stat.field(24) * PAGE_BYTES)
}

/// Writes the `process_*` families.
pub fn write(out: &mut Page<'_>, started_ms: i64) {
    let Some(stat) = Stat::read() else { return };
    let cpu_seconds = (stat.field(14) + stat.field(15)) / TICKS_PER_SECOND;
    let help = "Total user and system CPU time spent in seconds.";
    out.single("process_cpu_seconds_total", help, MetricType::Counter, cpu_seconds);
    let open = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    out.single(
        "process_max_fds",
        "Maximum number of open file descriptors.",
        MetricType::Gauge,
        limit("Max open files"),
    );
    out.single(
        "process_open_fds",
        "Number of open file descriptors.",
        MetricType::Gauge,
        open.saturating_sub(1) as f64,
    );
    let resident = stat.field(24) * PAGE_BYTES;
    let help = "Resident memory size in bytes.";
    out.single("process_resident_memory_bytes", help, MetricType::Gauge, resident);
    let help = "Start time of the process since unix epoch in seconds.";
    out.single("process_start_time_seconds", help, MetricType::Gauge, started_ms as f64 / 1000.0);
    if let Some((received, sent)) = network_bytes() {
        let help = "Number of bytes received by the process over the network.";
        out.single("process_network_receive_bytes_total", help, MetricType::Counter, received);
        let help = "Number of bytes sent by the process over the network.";
        out.single("process_network_transmit_bytes_total", help, MetricType::Counter, sent);
    }
    let help = "Number of operating system threads of the process.";
    out.single("process_threads", help, MetricType::Gauge, stat.field(20));
    let help = "Virtual memory size in bytes.";
    out.single("process_virtual_memory_bytes", help, MetricType::Gauge, stat.field(23));
    let help = "Maximum amount of virtual memory available in bytes.";
    out.gauge("process_virtual_memory_max_bytes", help, limit("Max address space"));
}

/// A soft limit of the process; what is unlimited is the largest number there is, as Prometheus says.
fn limit(name: &str) -> f64 {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let soft = limits.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next());
    match soft {
        Some("unlimited") => u64::MAX as f64,
        soft => soft.and_then(|soft| soft.parse().ok()).unwrap_or(0.0),
    }
}

/// Bytes that came in and went out over IP in the process's network namespace.
fn network_bytes() -> Option<(f64, f64)> {
    let text = fs::read_to_string("/proc/self/net/netstat").ok()?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("IpExt: "));
    let (names, values) = (lines.next()?, lines.next()?);
    let of = |wanted: &str| {
        let found = names.split(' ').zip(values.split(' ')).find(|(name, _)| *name == wanted)?;
        found.1.parse().ok()
    };
    Some((of("InOctets")?, of("OutOctets")?))
}
