//! Connections that were made and taken, under the names that Prometheus's libraries have for them.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use engine::model::MetricType;

use crate::http::client::dials::{self, DialCounts, REASONS};

use super::page::Page;

/// Connections of the web server, over all shards.
#[derive(Debug, Default)]
pub struct ListenerStats {
    pub open: AtomicUsize,
    pub accepted: AtomicU64,
    pub closed: AtomicU64,
}

pub fn write(out: &mut Page<'_>, listener: &ListenerStats) {
    // What Prometheus counts under this name has no counterpart here, but its zeros are there.
    dials::of("default");
    let dialers = dials::read();
    let mut family = |name: &str, help: &str, of: fn(&DialCounts) -> u64| {
        out.family(name, help, MetricType::Counter);
        for (dialer, counts) in &dialers {
            out.sample(name, &[("dialer_name", dialer)], of(counts) as f64);
        }
    };
    family(
        "net_conntrack_dialer_conn_attempted_total",
        "Total number of connections attempted by the given dialer a given name.",
        |counts| counts.attempted,
    );
    family(
        "net_conntrack_dialer_conn_closed_total",
        "Total number of connections closed which originated from the dialer of a given name.",
        |counts| counts.closed,
    );
    family(
        "net_conntrack_dialer_conn_established_total",
        "Total number of connections successfully established by the given dialer a given name.",
        |counts| counts.established,
    );
    let name = "net_conntrack_dialer_conn_failed_total";
    let help = "Total number of connections failed to dial by the dialer a given name.";
    out.family(name, help, MetricType::Counter);
    for (dialer, counts) in &dialers {
        for (reason, count) in REASONS.iter().zip(counts.failed) {
            out.sample(name, &[("dialer_name", dialer), ("reason", reason)], count as f64);
        }
    }
    let closed = listener.closed.load(Ordering::Relaxed);
    let accepted = listener.accepted.load(Ordering::Relaxed);
    for (name, help, count) in [
        (
            "net_conntrack_listener_conn_accepted_total",
            "Total number of connections opened to the listener of a given name.",
            accepted,
        ),
        (
            "net_conntrack_listener_conn_closed_total",
            "Total number of connections closed that were made to the listener of a given name.",
            closed,
        ),
    ] {
        out.family(name, help, MetricType::Counter);
        out.sample(name, &[("listener_name", "http")], count as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::client::dials::{Dial, Reason};

    #[test]
    fn a_page_of_connections() {
        Dial::begin(&dials::of("observe::page")).failed(Reason::Refused);
        let listener = ListenerStats::default();
        listener.accepted.store(3, Ordering::Relaxed);
        listener.closed.store(1, Ordering::Relaxed);
        let mut bytes = vec![];
        write(&mut Page::new(&mut bytes), &listener);
        let text = String::from_utf8(bytes).unwrap();
        for line in [
            "net_conntrack_dialer_conn_attempted_total{dialer_name=\"observe::page\"} 1\n",
            "net_conntrack_dialer_conn_established_total{dialer_name=\"observe::page\"} 0\n",
            "net_conntrack_dialer_conn_closed_total{dialer_name=\"default\"} 0\n",
            "net_conntrack_dialer_conn_failed_total{dialer_name=\"observe::page\",reason=\"refused\"} 1\n",
            "net_conntrack_listener_conn_accepted_total{listener_name=\"http\"} 3\n",
            "net_conntrack_listener_conn_closed_total{listener_name=\"http\"} 1\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
    }
}
