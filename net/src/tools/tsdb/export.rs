//! `tsdb export`: samples of a directory as blocks of Prometheus.
//!
//! Blocks are written one after the other, series by series in order of their labels: memory is that
//! of the labels of all series, and of one series' samples.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use engine::block::prometheus::StartTimestamps;
use engine::model::{Samples, TimeRange};

use super::files::open_prometheus;
use super::list::{row, table};
use super::progress::Progress;
use super::ranges::{block_ms, block_start};
use super::store::{Series, Wanted, span, to_series_samples, with_store};
use super::writer::create_block;
use super::{Console, GOOD};
use crate::tools::arguments::Arguments;

pub(super) fn run(arguments: &Arguments, console: &mut Console<'_>) -> Result<u8, String> {
    let wanted = Wanted::of(arguments)?;
    let out = PathBuf::from(arguments.text("output directory"));
    let length_ms = block_ms(arguments.duration("max-block-duration").ms());
    let (is_quiet, is_human) = (arguments.is_set("quiet"), arguments.is_set("human-readable"));
    let starts = match arguments.is_set("no-start-timestamps") {
        true => StartTimestamps::Drop,
        false => StartTimestamps::Keep,
    };
    with_store(Path::new(arguments.text("db path")), console, move |store, output| {
        let Some(span) = span(&store.borrow()) else { return Ok(GOOD) };
        let first_ms = wanted.range.min_ms.max(span.min_ms);
        let last_ms = wanted.range.max_ms.min(span.max_ms);
        let mut has_header = true;
        let mut samples = Samples::default();
        let mut progress = Progress::new("export: series of a block");
        let mut start_ms = block_start(first_ms, length_ms);
        while start_ms <= last_ms {
            let end_ms = start_ms + length_ms;
            let range =
                TimeRange { min_ms: start_ms.max(first_ms), max_ms: (end_ms - 1).min(last_ms) };
            let series = Series::select(store, &Wanted { range, ..wanted.clone() })?;
            let mut block = create_block(&out, start_ms, end_ms, starts)?;
            for index in 0..series.len() {
                if let Some(line) = progress.line(index, series.len()) {
                    output.tell(&line);
                }
                series.read(store, index, range, &mut samples)?;
                block.push(series.labels(index).as_ref(), &to_series_samples(&mut samples))?;
            }
            if let Some(meta) = block.finish()?
                && !is_quiet
            {
                let found = open_prometheus(&out.join(meta.id.to_string()))?;
                let row = row(&found.block.summary(), found.bytes, is_human);
                // A reader that went away does not stop the export.
                let _ = output.write_all(table(vec![row], has_header).as_bytes());
                let _ = output.flush();
                has_header = false;
            }
            start_ms = end_ms;
        }
        Ok(GOOD)
    })
}
