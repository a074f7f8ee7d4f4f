//! What the shards tell, as log lines.

use shards::Event;
use shards::observe::Reporter;

use crate::observe::log::Level;
use crate::{log_error, log_info, log_limited, log_warn};

pub struct LogReporter;

impl Reporter for LogReporter {
    fn report(&self, event: Event) {
        match event {
            Event::TaskPanicked { class, message } => {
                log_error!("A task panicked and was ended", "class" = class, "err" = message);
            }
            Event::ShardStalled { shard, stalled } => {
                let seconds = stalled.as_secs_f64();
                log_warn!("A shard does not turn", "shard" = shard, "seconds" = seconds);
            }
            Event::MemoryFull { used_bytes, limit_bytes } => log_limited!(
                Level::Warn,
                "Memory is nearly used up: no new series are taken, known ones go on",
                "used_bytes" = used_bytes,
                "limit_bytes" = limit_bytes
            ),
            Event::DirectWritesRefused { path } => log_warn!(
                "The file system refuses direct writes; the log goes through the page cache",
                "path" = path.display()
            ),
            Event::LogWriteFailed { message } => {
                log_error!("Writing the log failed", "err" = message);
            }
            Event::LogWriteHealed => log_info!("The log can be written again"),
            Event::LogDamaged { path, message } => {
                log_error!("The log is damaged", "path" = path.display(), "err" = message);
            }
            Event::MaintenanceFailed { shard, message } => {
                let text = "Flushing, compacting or removing failed and is tried again";
                log_error!(text, "shard" = shard, "err" = message);
            }
            Event::ShardCountChanged { recorded, now } => log_info!(
                "The number of shards changed; recorded data is routed anew",
                "recorded" = recorded,
                "now" = now
            ),
            Event::PrometheusImported { report, kept } => {
                log_info!(
                    "Imported what Prometheus had not written to blocks",
                    "series" = report.series_count,
                    "samples" = report.sample_count,
                    "out_of_order" = report.out_of_order_count,
                    "already_there" = report.passed_count,
                    "moved_to" = kept.display()
                );
                let lost = [report.malformed_count, report.orphaned_count, report.refused_count];
                if lost != [0; 3] {
                    log_warn!(
                        "Not everything could be imported",
                        "malformed_records" = report.malformed_count,
                        "samples_without_series" = report.orphaned_count,
                        "series_over_the_limit" = report.refused_count
                    );
                }
            }
            Event::ReplayFinished { frames, samples, bytes, elapsed } => log_info!(
                "The log was read back",
                "frames" = frames,
                "samples" = samples,
                "bytes" = bytes,
                "duration" = format!("{elapsed:?}")
            ),
            // Events of a newer floor are told by whoever adds them here.
            other => log_info!("Event", "event" = format!("{other:?}")),
        }
    }
}
