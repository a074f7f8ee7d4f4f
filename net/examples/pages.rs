//! How fast pages are read: `cargo run --release -p net --example pages -- FILE...`
//!
//! A file is a page as `curl` saves it. Each is read for a second: by the parser alone; along the
//! layout of the page before; and the whole way into samples by id, as a scrape does, for one target
//! and for many in turn.

use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::model::{Labels, SeriesId};
use futures_util::FutureExt;
use net::relabel::Rules;
use net::scrape::append::{PageReader, PageRules};
use net::scrape::cache::ScrapeCache;
use net::scrape::mutate::LabelLimits;
use net::scrape::samples::{Line, ScrapeSamples};
use net::wire::names::NameValidation;
use net::wire::protobuf::Options;
use net::wire::text::layout::{Layout, Walk};
use net::wire::text::{Entry, Format, Parser};
use shards::{SeriesOwner, ShardId};

/// Targets of which each has its page read in turn, so that none is in the core's caches.
const TARGET_COUNT: usize = 200;

const BUDGET: Duration = Duration::from_secs(1);

fn main() {
    println!("{:<40} {:>8} {:>12} {:>10} {:>10}", "page", "samples", "way", "GB/s", "ns/sample");
    for file in std::env::args().skip(1) {
        let page = std::fs::read(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
        let name = file.rsplit('/').next().unwrap_or(&file);
        let count = parsed(&page);
        let show = |way, seconds: f64| {
            let (gigabytes, each) =
                (page.len() as f64 / seconds / 1e9, seconds * 1e9 / count as f64);
            println!("{name:<40} {count:>8} {way:>12} {gigabytes:>10.2} {each:>10.1}");
        };
        show("parser", seconds(|| parsed(&page)));
        let mut layout = Layout::default();
        walked(&page, &mut layout);
        show("layout", seconds(|| walked(&page, &mut layout)));
        let mut scrape = Scrape::new();
        scrape.read(&page);
        show("scrape", seconds(|| scrape.read(&page)));
        let mut scrapes: Vec<Scrape> = (0..TARGET_COUNT).map(|_| Scrape::new()).collect();
        let mut read_all = || scrapes.iter_mut().map(|scrape| scrape.read(&page)).sum();
        read_all();
        show("of many", seconds(read_all) / TARGET_COUNT as f64);
    }
}

/// Seconds of one call, the least of many.
fn seconds(mut call: impl FnMut() -> usize) -> f64 {
    let start = Instant::now();
    let mut least = f64::INFINITY;
    while start.elapsed() < BUDGET {
        let before = Instant::now();
        black_box(call());
        least = least.min(before.elapsed().as_secs_f64());
    }
    least
}

/// Samples of a page.
fn parsed(page: &[u8]) -> usize {
    let mut parser = Parser::new(page, Format::Text);
    let mut count = 0;
    while let Some(entry) = parser.next_entry().expect("a good page") {
        count += usize::from(matches!(black_box(entry), Entry::Sample(_)));
    }
    count
}

/// The same along the layout of the page before.
fn walked(page: &[u8], layout: &mut Layout) -> usize {
    let mut walk = Walk::new(page, Format::Text, layout);
    let mut count = 0;
    loop {
        walk.known_lines(usize::MAX, |line, _, value| {
            black_box((line, value));
            count += 1;
        });
        match walk.next_entry().expect("a good page") {
            Some(Entry::Sample(_)) => {
                walk.note(Some(count as u32));
                count += 1;
            }
            Some(_) => {}
            None => break,
        }
    }
    if let Some(fresh) = walk.finish() {
        *layout = fresh;
    }
    count
}

/// One target.
struct Scrape {
    reader: PageReader,
    cache: ScrapeCache,
    samples: ScrapeSamples,
    time_ms: i64,
}

impl Scrape {
    fn new() -> Scrape {
        let rules = PageRules {
            honor_labels: false,
            honor_timestamps: true,
            track_timestamps_staleness: false,
            sample_limit: 0,
            bucket_limit: 0,
            schema_max: 8,
            exemplars: false,
            starts: false,
            type_and_unit: false,
            label_limits: LabelLimits::default(),
            metric_relabel: Rules::default(),
            name_validation: NameValidation::Utf8,
        };
        let target = Labels::from_pairs([("instance", "localhost:9100"), ("job", "node")]);
        Scrape {
            reader: PageReader::new(Arc::new(rules), Options::default(), target),
            cache: ScrapeCache::default(),
            samples: ScrapeSamples::default(),
            time_ms: 0,
        }
    }

    /// Reads a page; whoever has its series answers at once.
    fn read(&mut self, page: &[u8]) -> usize {
        self.time_ms += 1000;
        self.samples.clear();
        let (format, time_ms) = (Format::Text, self.time_ms);
        let Scrape { reader, cache, samples, .. } = self;
        let (_, read) = {
            let mut read = pin!(reader.read(cache, page, format, time_ms, time_ms, samples));
            loop {
                // A turn of a large page; there is nobody else who wants one.
                if let Some(read) = read.as_mut().now_or_never() {
                    break read;
                }
            }
        };
        read.expect("a good page");
        for (line, number) in samples.lines.iter().zip(0..) {
            if let Line::Entry(id) = *line {
                let owner = SeriesOwner { shard: ShardId(0), series: SeriesId(number) };
                cache.set_owner(id, Some(owner));
            }
        }
        cache.end_iteration(true);
        samples.sample_count()
    }
}
