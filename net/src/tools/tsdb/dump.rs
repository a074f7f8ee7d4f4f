//! `tsdb dump`, `tsdb dump-openmetrics`: samples as text, series by series.

use std::io::Write as _;
use std::path::Path;

use engine::model::float::push_g;
use engine::model::histogram::Whole;
use engine::model::{FloatHistogram, Labels, Samples};

use super::store::{Series, Wanted, is_whole, with_store};
use super::{Console, GOOD};
use crate::tools::arguments::Arguments;
use crate::wire::json::push_labels;
use crate::wire::quote::{labels_text, quoted};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// A sample a line.
    Text,
    /// A series a line, as JSON.
    Json,
    OpenMetrics,
}

pub(super) fn run(arguments: &Arguments, console: &mut Console<'_>) -> Result<u8, String> {
    let is_json = arguments.text("format") == "seriesjson";
    dump(arguments, if is_json { Format::Json } else { Format::Text }, console)
}

pub(super) fn openmetrics(arguments: &Arguments, console: &mut Console<'_>) -> Result<u8, String> {
    dump(arguments, Format::OpenMetrics, console)
}

fn dump(arguments: &Arguments, format: Format, console: &mut Console<'_>) -> Result<u8, String> {
    let wanted = Wanted::of(arguments)?;
    with_store(Path::new(arguments.text("db path")), console, move |store, output| {
        let series = Series::select(store, &wanted)?;
        let mut samples = Samples::default();
        let mut text = Vec::new();
        for index in 0..series.len() {
            series.read(store, index, wanted.range, &mut samples)?;
            text.clear();
            match format {
                Format::Text => push_samples(&mut text, series.labels(index), &samples),
                Format::Json if samples.values.is_empty() && samples.histograms.is_empty() => {}
                Format::Json => {
                    push_labels(&mut text, series.labels(index).as_ref());
                    text.push(b'\n');
                }
                Format::OpenMetrics => {
                    push_openmetrics(&mut text, series.labels(index), &samples);
                }
            }
            if output.write_all(&text).is_err() {
                return Ok(GOOD);
            }
        }
        if format == Format::OpenMetrics {
            // As above.
            let _ = output.write_all(b"# EOF\n");
        }
        Ok(GOOD)
    })
}

/// Floats and histograms in order of time.
fn push_samples(out: &mut Vec<u8>, labels: &Labels, samples: &Samples) {
    let shown = labels_text(labels.iter());
    let mut push = |value: &dyn Fn(&mut Vec<u8>), time_ms: i64| {
        out.extend_from_slice(shown.as_bytes());
        out.push(b' ');
        value(out);
        out.extend_from_slice(format!(" {time_ms}\n").as_bytes());
    };
    let mut histograms = samples.histogram_timestamps_ms.iter().zip(&samples.histograms).peekable();
    for (&time_ms, &value) in samples.timestamps_ms.iter().zip(&samples.values) {
        while let Some((&at_ms, histogram)) = histograms.next_if(|(at_ms, _)| **at_ms < time_ms) {
            push(&|out| push_histogram(out, histogram), at_ms);
        }
        push(&|out| push_g(out, value), time_ms);
    }
    for (&at_ms, histogram) in histograms {
        push(&|out| push_histogram(out, histogram), at_ms);
    }
}

fn push_histogram(out: &mut Vec<u8>, histogram: &FloatHistogram) {
    let text =
        if is_whole(histogram) { Whole(histogram).to_string() } else { histogram.to_string() };
    out.extend_from_slice(text.as_bytes());
}

fn push_openmetrics(out: &mut Vec<u8>, labels: &Labels, samples: &Samples) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let rest = labels.iter().filter(|(name, _)| *name != b"__name__");
    let pairs: Vec<String> =
        rest.map(|(name, value)| format!("{}={}", text(name), quoted(value))).collect();
    let series = format!("{}{{{}}} ", text(labels.get(b"__name__")), pairs.join(","));
    for (&time_ms, &value) in samples.timestamps_ms.iter().zip(&samples.values) {
        out.extend_from_slice(series.as_bytes());
        push_g(out, value);
        out.extend_from_slice(format!(" {:.3}\n", time_ms as f64 / 1000.0).as_bytes());
    }
}
