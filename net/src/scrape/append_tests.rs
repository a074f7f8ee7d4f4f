//! Pages with histograms and exemplars, read into a batch.

use std::sync::Arc;

use engine::model::Labels;

use super::append::{PageError, PageReader, PageRules};
use super::cache::ScrapeCache;
use super::mutate::LabelLimits;
use super::samples::ScrapeSamples;
use crate::relabel::Rules;
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
        read.1?;
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
    let (counts, read) = reader.read(&mut cache, body, format, 9000, 9000, &mut samples);
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
