//! The metric families of the workload: names, labels and kinds as node_exporter has them.
//!
//! About 1,000 series an instance: a host of 16 cores, 8 disks, 6 network devices, 10 file
//! systems. Roughly half never change, a third are counters, the rest are gauges.

/// How a value moves from one step to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Constant,
    /// Grows by a whole number.
    CounterWhole,
    /// Grows by the same whole number in every step.
    CounterSteady(u32),
    /// Grows by hundredths.
    CounterDecimal,
    /// Walks in pages of 4 KiB.
    GaugeBytes,
    /// Walks in hundredths.
    GaugeDecimal,
    /// Walks between 0 and 100 in whole numbers.
    GaugeWhole,
    /// Walks between 0 and 100 with all the digits that a float has.
    GaugeFull,
}

/// The values one label takes.
#[derive(Clone, Copy, Debug)]
pub enum Values {
    List(&'static [&'static str]),
    /// `0..count`.
    Numbers(usize),
    /// A prefix and `0..count`.
    Prefixed(&'static str, usize),
}

impl Values {
    pub fn count(&self) -> usize {
        match self {
            Values::List(list) => list.len(),
            Values::Numbers(count) | Values::Prefixed(_, count) => *count,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Family {
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [(&'static str, Values)],
}

impl Family {
    /// Series of this family on one instance: the product of its labels' values.
    pub fn series_count(&self) -> usize {
        self.labels.iter().map(|(_, values)| values.count()).product()
    }
}

const CPUS: Values = Values::Numbers(16);
const DISKS: Values = Values::Prefixed("nvme", 8);
const NICS: Values = Values::List(&["eth0", "eth1", "bond0", "lo", "docker0", "veth5b1c"]);
const MODES: Values =
    Values::List(&["idle", "iowait", "irq", "nice", "softirq", "steal", "system", "user"]);
const MOUNTS: Values = Values::List(&[
    "/",
    "/boot",
    "/home",
    "/srv",
    "/tmp",
    "/var",
    "/var/lib/docker",
    "/var/log",
    "/data/0",
    "/data/1",
]);
const FSTYPE: Values = Values::List(&["ext4"]);
const ZONES: Values = Values::Numbers(4);

macro_rules! families {
    ($($name:literal $kind:ident [$($label:literal : $values:expr),*];)*) => {
        pub const FAMILIES: &[Family] = &[
            $(Family { name: $name, kind: Kind::$kind, labels: &[$(($label, $values)),*] },)*
        ];
    };
}

families! {
    "node_cpu_seconds_total" CounterDecimal ["cpu": CPUS, "mode": MODES];
    "node_cpu_guest_seconds_total" Constant ["cpu": CPUS, "mode": Values::List(&["nice", "user"])];
    "node_cpu_core_throttles_total" Constant ["core": Values::Numbers(8), "package": Values::Numbers(2)];
    "node_cpu_frequency_max_hertz" Constant ["cpu": CPUS];
    "node_cpu_frequency_min_hertz" Constant ["cpu": CPUS];
    "node_cpu_scaling_frequency_hertz" GaugeBytes ["cpu": CPUS];
    "node_schedstat_running_seconds_total" CounterDecimal ["cpu": CPUS];
    "node_schedstat_waiting_seconds_total" CounterDecimal ["cpu": CPUS];
    "node_schedstat_timeslices_total" CounterWhole ["cpu": CPUS];
    "node_softnet_processed_total" CounterWhole ["cpu": CPUS];
    "node_softnet_dropped_total" Constant ["cpu": CPUS];
    "node_softnet_times_squeezed_total" Constant ["cpu": CPUS];
    "node_disk_reads_completed_total" CounterWhole ["device": DISKS];
    "node_disk_reads_merged_total" Constant ["device": DISKS];
    "node_disk_read_bytes_total" CounterWhole ["device": DISKS];
    "node_disk_read_time_seconds_total" CounterDecimal ["device": DISKS];
    "node_disk_writes_completed_total" CounterWhole ["device": DISKS];
    "node_disk_writes_merged_total" CounterWhole ["device": DISKS];
    "node_disk_written_bytes_total" CounterWhole ["device": DISKS];
    "node_disk_write_time_seconds_total" CounterDecimal ["device": DISKS];
    "node_disk_io_now" Constant ["device": DISKS];
    "node_disk_io_time_seconds_total" CounterDecimal ["device": DISKS];
    "node_disk_io_time_weighted_seconds_total" CounterDecimal ["device": DISKS];
    "node_disk_discards_completed_total" Constant ["device": DISKS];
    "node_disk_discarded_sectors_total" Constant ["device": DISKS];
    "node_disk_flush_requests_total" Constant ["device": DISKS];
    "node_disk_info" Constant ["device": DISKS, "model": Values::List(&["SAMSUNG MZQL27T6HBLA-00A07"])];
    "node_filesystem_size_bytes" Constant ["fstype": FSTYPE, "mountpoint": MOUNTS];
    "node_filesystem_avail_bytes" GaugeBytes ["fstype": FSTYPE, "mountpoint": MOUNTS];
    "node_filesystem_free_bytes" GaugeBytes ["fstype": FSTYPE, "mountpoint": MOUNTS];
    "node_filesystem_files" Constant ["fstype": FSTYPE, "mountpoint": MOUNTS];
    "node_filesystem_files_free" GaugeBytes ["fstype": FSTYPE, "mountpoint": MOUNTS];
    "node_filesystem_readonly" Constant ["fstype": FSTYPE, "mountpoint": MOUNTS];
    "node_filesystem_device_error" Constant ["fstype": FSTYPE, "mountpoint": MOUNTS];
    "node_network_receive_bytes_total" CounterWhole ["device": NICS];
    "node_network_receive_packets_total" CounterWhole ["device": NICS];
    "node_network_receive_errs_total" Constant ["device": NICS];
    "node_network_receive_drop_total" Constant ["device": NICS];
    "node_network_receive_multicast_total" Constant ["device": NICS];
    "node_network_transmit_bytes_total" CounterWhole ["device": NICS];
    "node_network_transmit_packets_total" CounterWhole ["device": NICS];
    "node_network_transmit_errs_total" Constant ["device": NICS];
    "node_network_transmit_drop_total" Constant ["device": NICS];
    "node_network_carrier" Constant ["device": NICS];
    "node_network_mtu_bytes" Constant ["device": NICS];
    "node_network_speed_bytes" Constant ["device": NICS];
    "node_network_up" Constant ["device": NICS];
    "node_memory_MemTotal_bytes" Constant [];
    "node_memory_MemFree_bytes" GaugeBytes [];
    "node_memory_MemAvailable_bytes" GaugeBytes [];
    "node_memory_Buffers_bytes" GaugeBytes [];
    "node_memory_Cached_bytes" GaugeBytes [];
    "node_memory_Dirty_bytes" GaugeBytes [];
    "node_memory_SwapTotal_bytes" Constant [];
    "node_memory_SwapFree_bytes" Constant [];
    "node_memory_HugePages_Total" Constant [];
    "node_memory_Slab_bytes" GaugeBytes [];
    "node_load1" GaugeDecimal [];
    "node_load5" GaugeDecimal [];
    "node_load15" GaugeDecimal [];
    "node_context_switches_total" CounterWhole [];
    "node_intr_total" CounterWhole [];
    "node_forks_total" CounterWhole [];
    "node_procs_running" GaugeDecimal [];
    "node_procs_blocked" Constant [];
    "node_boot_time_seconds" Constant [];
    "node_time_seconds" CounterDecimal [];
    "node_uname_info" Constant ["machine": Values::List(&["x86_64"]), "release": Values::List(&["6.1.0-18-amd64"])];
    "node_hwmon_temp_celsius" GaugeDecimal ["chip": Values::Prefixed("platform_coretemp_", 2), "sensor": Values::Prefixed("temp", 16)];
    "node_hwmon_temp_crit_celsius" Constant ["chip": Values::Prefixed("platform_coretemp_", 2), "sensor": Values::Prefixed("temp", 16)];
    "node_pressure_cpu_waiting_seconds_total" CounterDecimal [];
    "node_pressure_io_waiting_seconds_total" CounterDecimal [];
    "node_pressure_memory_waiting_seconds_total" Constant [];
    "node_sockstat_TCP_inuse" GaugeDecimal [];
    "node_sockstat_TCP_tw" GaugeDecimal [];
    "node_netstat_Tcp_ActiveOpens" CounterWhole [];
    "node_netstat_Tcp_PassiveOpens" CounterWhole [];
    "node_netstat_Tcp_RetransSegs" CounterWhole [];
    "node_vmstat_pgfault" CounterWhole [];
    "node_vmstat_pgmajfault" Constant [];
    "node_vmstat_pgpgin" CounterWhole [];
    "node_vmstat_pgpgout" CounterWhole [];
    "node_scrape_collector_duration_seconds" GaugeDecimal ["collector": Values::Prefixed("collector_", 40)];
    "node_scrape_collector_success" Constant ["collector": Values::Prefixed("collector_", 40)];
    "node_zoneinfo_nr_free_pages" GaugeBytes ["node": ZONES, "zone": Values::List(&["DMA", "DMA32", "Normal"])];
    "node_zoneinfo_present_pages" Constant ["node": ZONES, "zone": Values::List(&["DMA", "DMA32", "Normal"])];
    "node_systemd_unit_state" Constant ["name": Values::Prefixed("unit-", 60), "state": Values::List(&["active", "failed", "inactive"])];
    "process_cpu_seconds_total" CounterDecimal [];
    "process_resident_memory_bytes" GaugeBytes [];
    "process_open_fds" Constant [];
    "process_max_fds" Constant [];
    "go_goroutines" Constant [];
    "go_memstats_alloc_bytes" GaugeBytes [];
    "go_memstats_mallocs_total" CounterWhole [];
    "go_gc_duration_seconds" GaugeDecimal ["quantile": Values::List(&["0", "0.25", "0.5", "0.75", "1"])];
}

#[cfg(test)]
mod tests {
    use super::{FAMILIES, Kind};

    #[test]
    fn an_instance_has_about_a_thousand_series_and_half_stand_still() {
        let total: usize = FAMILIES.iter().map(|family| family.series_count()).sum();
        let constant: usize = FAMILIES
            .iter()
            .filter(|family| family.kind == Kind::Constant)
            .map(|family| family.series_count())
            .sum();
        assert!((900..1200).contains(&total), "{total}");
        assert!((0.45..0.6).contains(&(constant as f64 / total as f64)), "{constant} of {total}");
    }
}
