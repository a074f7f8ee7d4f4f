//! How full the chunks of blocks are.

use engine::block::SeriesSamples;
use engine::block::prometheus::PrometheusBlock;
use engine::index::CompiledMatcher;
use engine::model::TimeRange;

use super::files::{AnyBlock, Found, chunks, select, text};
use super::{Console, say};

#[derive(Default)]
struct Chunks {
    count: usize,
    float_samples: Vec<usize>,
    float_bytes: Vec<usize>,
    histogram_samples: Vec<usize>,
    histogram_bytes: Vec<usize>,
    histogram_buckets: Vec<usize>,
}

/// Shows what `analyze --extended` adds.
pub(super) fn show(
    blocks: &[&Found],
    matchers: &[CompiledMatcher],
    console: &mut Console<'_>,
) -> Result<(), String> {
    let mut all = Chunks::default();
    for found in blocks {
        match &found.block {
            AnyBlock::Prometheus(block) => all.add(block, matchers)?,
            AnyBlock::Own(_) => {
                say!(
                    console.out,
                    "\nCompaction analysis: blocks of hearth have columns, no chunks that could be \
                     more or less full"
                );
                return Ok(());
            }
        }
    }
    say!(console.out, "\nCompaction analysis:\n");
    for (title, numbers) in [
        ("samples per float chunk", all.float_samples),
        ("bytes per float chunk", all.float_bytes),
        ("samples per histogram chunk", all.histogram_samples),
        ("bytes per histogram chunk", all.histogram_bytes),
        ("buckets per histogram chunk", all.histogram_buckets),
    ] {
        say!(console.out, "{}", spread(title, numbers, all.count));
    }
    Ok(())
}

impl Chunks {
    fn add(&mut self, block: &PrometheusBlock, matchers: &[CompiledMatcher]) -> Result<(), String> {
        let mut samples = SeriesSamples::default();
        for series in select(block, matchers)? {
            for meta in chunks(block, series)? {
                let chunk = block.chunk(&meta).map_err(text)?;
                self.count += 1;
                if chunk.encoding.is_float() {
                    self.float_samples.push(chunk.sample_count());
                    self.float_bytes.push(chunk.data.len());
                    continue;
                }
                self.histogram_samples.push(chunk.sample_count());
                self.histogram_bytes.push(chunk.data.len());
                samples.clear();
                let range = TimeRange { min_ms: meta.min_ms, max_ms: meta.max_ms };
                block.series_samples(series, range, &mut samples).map_err(text)?;
                let buckets = samples.histograms.iter().map(|sample| {
                    let histogram = &sample.histogram;
                    histogram.positive.iter().count() + histogram.negative.iter().count()
                });
                self.histogram_buckets.push(buckets.sum());
            }
        }
        Ok(())
    }
}

/// Least, mean and most, and how many lie in each of about ten ranges.
fn spread(title: &str, mut numbers: Vec<usize>, total: usize) -> String {
    numbers.sort_unstable();
    let (Some(&least), Some(&most)) = (numbers.first(), numbers.last()) else {
        return format!("{title}: N/A\n");
    };
    let mut step = 10;
    while step < (most - least) / 10 && step <= 10_000 {
        step *= 10;
    }
    let (start, end) = (least - least % step, most - most % step + step);
    let mut counts = vec![0; (end - start) / step + 1];
    for number in &numbers {
        counts[(number - start) / step] += 1;
    }
    let mean = numbers.iter().sum::<usize>() / numbers.len();
    let mut out = format!("{title} (min/avg/max): {least}/{mean}/{most}\n");
    let digits = |number: usize| number.to_string().len();
    let (left, right) = (digits(end), digits(end + step));
    let width = digits(counts.iter().copied().max().unwrap_or(0));
    for (place, count) in counts.iter().enumerate() {
        let bar = "#".repeat(100 * count / total.max(1));
        let (from, to) = (place * step + start + 1, (place + 1) * step + start);
        out.push_str(&format!("[{from:left$}, {to:right$}]: {count:width$} {bar}\n"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::spread;

    #[test]
    fn ranges_are_as_in_promtool() {
        assert_eq!(spread("x", Vec::new(), 0), "x: N/A\n");
        assert_eq!(
            spread("x", vec![3, 12, 13], 4),
            "x (min/avg/max): 3/9/13\n[ 1, 10]: 1 #########################\n[11, 20]: 2 \
             ##################################################\n[21, 30]: 0 \n"
        );
    }
}
