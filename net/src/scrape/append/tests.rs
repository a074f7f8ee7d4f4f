//! Pages with histograms and exemplars, read into a batch.

use std::sync::Arc;

use engine::model::Labels;
use futures_util::FutureExt;

use super::{PageError, PageReader, PageRules};
use crate::relabel::Rules;
use crate::scrape::cache::ScrapeCache;
use crate::scrape::mutate::LabelLimits;
use crate::scrape::samples::ScrapeSamples;
use crate::wire::names::NameValidation;
use crate::wire::protobuf::Options;
use crate::wire::text::Format;

fn rules() -> PageRules {
    PageRules {
        honor_labels: false,
        honor_timestamps: true,
        track_timestamps_staleness: false,
        sample_limit: 0,
        bucket_limit: 0,
        schema_max: 8,
        exemplars: true,
        starts: false,
        type_and_unit: false,
        label_limits: LabelLimits::default(),
        metric_relabel: Rules::new(&[]).unwrap(),
        name_validation: NameValidation::Utf8,
    }
}

/// The batch of the second of two equal scrapes, a line an entry.
fn read(rules: PageRules, options: Options, page: &str) -> Result<Vec<String>, PageError> {
    let target = Labels::from_pairs([("job", "j")]);
    let mut reader = PageReader::new(Arc::new(rules), options, target);
    let (mut cache, mut samples) = (ScrapeCache::default(), ScrapeSamples::default());
    for time_ms in [1000, 2000] {
        samples.clear();
        let format = Format::OpenMetrics;
        let read = reader.read(&mut cache, page.as_bytes(), format, time_ms, time_ms, &mut samples);
        read.now_or_never().expect("a small page is one turn").1?;
        samples.batch.assert_columns();
        cache.end_iteration(true);
    }
    let batch = samples.batch;
    let mut lines = vec![];
    for (index, &series) in batch.sample_series().iter().enumerate() {
        let (value, ms) = (batch.values()[index], batch.timestamps_ms()[index]);
        lines.push(format!("{} {value} @{ms}", batch.labels(series)));
    }
    for (index, &series) in batch.histogram_series().iter().enumerate() {
        let histogram = batch.histograms()[index].histogram.test_expression();
        let ms = batch.histogram_timestamps_ms()[index];
        lines.push(format!("{} {histogram} @{ms}", batch.labels(series)));
    }
    for exemplar in batch.exemplars() {
        let labels = batch.labels(exemplar.series);
        lines.push(format!("{labels} # {} {}", exemplar.labels, exemplar.value));
    }
    Ok(lines)
}

const PAGE: &str = "# TYPE h histogram\nh_bucket{a=\"1\",le=\"1\"} 1 # {t=\"x\"} 0.5\n\
    h_bucket{a=\"1\",le=\"+Inf\"} 3\nh_sum{a=\"1\"} 4\nh_count{a=\"1\"} 3\n\
    h_bucket{a=\"2\",le=\"+Inf\"} 1\nh_count{a=\"2\"} 1\nh_sum{a=\"2\"} 2\n\
    # TYPE g gauge\ng 1\n# EOF\n";

#[test]
fn classic_histograms_become_native_ones() {
    let convert = Options { convert_classic: true, ..Options::default() };
    let converted = [
        "{__name__=\"g\", job=\"j\"} 1 @2000",
        "{__name__=\"h\", a=\"1\", job=\"j\"} {{schema:-53 count:3 sum:4 custom_values:[1] \
         buckets:[1 2]}} @2000",
        "{__name__=\"h\", a=\"2\", job=\"j\"} {{schema:-53 count:1 sum:2 custom_values:[] \
         buckets:[1]}} @2000",
    ];
    assert_eq!(read(rules(), convert, PAGE).unwrap(), converted);
    let both = Options { always_classic: true, ..convert };
    let lines = read(rules(), both, PAGE).unwrap();
    assert_eq!(lines.len(), 11, "{lines:#?}");
    let exemplar = "{__name__=\"h_bucket\", a=\"1\", job=\"j\", le=\"1.0\"} # {t=\"x\"} 0.5";
    assert_eq!(lines.last().map(String::as_str), Some(exemplar));
    let without = PageRules { exemplars: false, ..rules() };
    assert_eq!(read(without, Options::default(), PAGE).unwrap().len(), 8);
}

#[test]
fn histograms_are_limited() {
    let convert = Options { convert_classic: true, ..Options::default() };
    let limited = |bucket_limit| read(PageRules { bucket_limit, ..rules() }, convert, PAGE);
    assert_eq!(limited(1).unwrap_err(), PageError::BucketLimit);
    assert!(limited(2).is_ok());
    let counted = PageRules { sample_limit: 2, ..rules() };
    assert_eq!(read(counted, convert, PAGE).unwrap_err(), PageError::SampleLimit);
}

#[test]
fn starts_stand_in_lines_of_their_own() {
    let page = "# TYPE a counter\na_total 1\na_created 1.5\n# TYPE g gauge\ng 1\n# EOF\n";
    let with_starts = PageRules { starts: true, ..rules() };
    let target = Labels::from_pairs([("job", "j")]);
    let mut reader = PageReader::new(Arc::new(with_starts), Options::default(), target);
    let (mut cache, mut samples) = (ScrapeCache::default(), ScrapeSamples::default());
    let (body, format) = (page.as_bytes(), Format::OpenMetrics);
    let read = reader.read(&mut cache, body, format, 9000, 9000, &mut samples);
    let (counts, read) = read.now_or_never().expect("a small page is one turn");
    read.unwrap();
    assert_eq!((counts.scraped, samples.batch.sample_count()), (2, 2));
    assert_eq!([0, 1].map(|sample| samples.batch.start_ms(sample)), [1500, 0]);
    assert_eq!(read_lines(rules(), page).len(), 3);
}

fn read_lines(rules: PageRules, page: &str) -> Vec<String> {
    read(rules, Options::default(), page).unwrap()
}

#[test]
fn types_and_units_become_labels() {
    let page = "# TYPE a_seconds counter\n# UNIT a_seconds seconds\n\
                a_seconds_total{__type__=\"x\"} 1\n# TYPE b unknown\nb{__type__=\"y\"} 2\n# EOF\n";
    let labelled = PageRules { type_and_unit: true, ..rules() };
    assert_eq!(
        read_lines(labelled, page),
        [
            "{__name__=\"a_seconds_total\", __type__=\"counter\", __unit__=\"seconds\", job=\"j\"} 1 \
         @2000",
            "{__name__=\"b\", __type__=\"y\", job=\"j\"} 2 @2000",
        ]
    );
}

/// Labels and values of the batch that each of `pages` gives, one after the other.
fn read_pages(pages: &[&str]) -> Vec<String> {
    let target = Labels::from_pairs([("job", "j")]);
    let mut reader = PageReader::new(Arc::new(rules()), Options::default(), target);
    let (mut cache, mut samples) = (ScrapeCache::default(), ScrapeSamples::default());
    let mut read = vec![];
    for (page, time_ms) in pages.iter().zip(1..) {
        samples.clear();
        let body = page.as_bytes();
        let reading = reader.read(&mut cache, body, Format::Text, time_ms, time_ms, &mut samples);
        reading.now_or_never().expect("a small page is one turn").1.unwrap();
        cache.end_iteration(true);
        let batch = &samples.batch;
        let samples = batch.sample_series().iter().zip(batch.values());
        let lines = samples.map(|(&series, value)| format!("{} {value}", batch.labels(series)));
        read.push(lines.collect::<Vec<_>>().join("; "));
    }
    read
}

#[test]
fn labels_are_made_again_for_markers_and_for_series_without_an_owner() {
    let whole = "# TYPE h histogram\nh_bucket{le=\"1\"} 1\na{x=\"1\"} 2\nb 3\n";
    let without = "# TYPE h histogram\nb 4\n";
    let bucket = "{__name__=\"h_bucket\", job=\"j\", le=\"1.0\"}";
    let (a, b) = ("{__name__=\"a\", job=\"j\", x=\"1\"}", "{__name__=\"b\", job=\"j\"}");
    let all = format!("{bucket} 1; {a} 2; {b} 3");
    let stale = format!("{b} 4; {bucket} NaN; {a} NaN");
    assert_eq!(
        read_pages(&[whole, whole, without, without, whole, whole]),
        [&all, &all, &stale, &format!("{b} 4"), &all, &all].map(String::as_str)
    );
    // Lines move: texts of entries stand in the new layout.
    let turned = "b 3\n# TYPE h histogram\na{x=\"1\"} 2\nh_bucket{le=\"1\"} 1\n";
    let moved = format!("{b} 3; {a} 2; {bucket} 1");
    assert_eq!(
        read_pages(&[whole, turned, turned, whole]),
        [&all, &moved, &moved, &all].map(String::as_str)
    );
}
