//! The field's test pages, and OpenMetrics's own cases.
//!
//! Prometheus judges the form of a page and leaves its meaning alone, so it takes pages that
//! OpenMetrics forbids. Those are listed with the reason; everything else must be as the case says.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Entry, Format, ParseError, Parser};

/// The folder `name` of the test data, which lies beside the workspace or further up.
fn folder(name: &str) -> Option<PathBuf> {
    let found = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|above| above.join("shared/conformance").join(name))
        .find(|folder| folder.is_dir());
    if found.is_none() {
        eprintln!("no test data {name}: nothing checked");
    }
    found
}

/// Entries and samples of a page.
fn count(mut parser: Parser<'_>) -> Result<(usize, usize), ParseError> {
    let (mut entries, mut samples) = (0, 0);
    while let Some(entry) = parser.next_entry()? {
        entries += 1;
        samples += usize::from(matches!(entry, Entry::Sample(_)));
    }
    Ok((entries, samples))
}

/// Cases that must be refused by OpenMetrics and are taken by Prometheus, and here: the part of
/// the name before the last number, the numbers, the reason.
const TAKEN: &[(&str, &[u32], &str)] = &[
    ("bad_clashing_names", &[0, 1, 2], "names are not compared between families"),
    (
        "bad_counter_values",
        &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19],
        "values are not judged by type",
    ),
    ("bad_exemplars", &[6], "an exemplar's labels may be of any length"),
    ("bad_exemplars_on_unallowed_metric_types", &[0, 1, 2], "any sample may have an exemplar"),
    ("bad_exemplars_on_unallowed_samples", &[0, 1, 2, 3], "any sample may have an exemplar"),
    ("bad_grouping_or_ordering", &[0, 2, 3, 4, 5, 6, 7, 8, 9, 10], "families may be in pieces"),
    (
        "bad_histograms",
        &[0, 1, 2, 3, 6, 7, 8, 9, 10, 11, 12, 13, 14],
        "samples are not judged together",
    ),
    ("bad_info_and_stateset_values", &[0, 1], "values are not judged by type"),
    ("bad_invalid_labels", &[2, 5], "a label that stands twice is judged with the series"),
    ("bad_metadata_in_wrong_place", &[0, 1, 2], "metadata may follow samples"),
    ("bad_missing_or_extra_commas", &[2], "a comma may follow the last label"),
    (
        "bad_missing_or_invalid_labels_for_a_type",
        &[0, 1, 2, 3, 4, 5, 6, 7],
        "labels are not judged by type",
    ),
    ("bad_repeated_metadata", &[0, 1, 3], "metadata may be repeated"),
    ("bad_stateset_info_values", &[0, 1, 2, 3], "values are not judged by type"),
    ("bad_unit", &[6, 7], "a unit is not judged by type"),
];

/// Taken too; its name has no number. Reason: an exemplar's labels may be of any length.
const TAKEN_UNNUMBERED: &str = "bad_exemplar_complex_chars";

fn is_taken(name: &str) -> bool {
    let Some((family, number)) = name.rsplit_once('_') else { return false };
    name == TAKEN_UNNUMBERED
        || TAKEN.iter().any(|(taken, numbers, _)| {
            *taken == family && number.parse().is_ok_and(|number| numbers.contains(&number))
        })
}

#[test]
fn openmetrics_cases() {
    let Some(folder) = folder("openmetrics") else { return };
    let (mut case_count, mut taken_count) = (0, 0);
    for case in fs::read_dir(folder).unwrap() {
        let path = case.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let Ok(test) = fs::read_to_string(path.join("test.json")) else { continue };
        let page = fs::read(path.join("metrics")).unwrap();
        let is_valid = test.contains("\"shouldParse\": true");
        let result = count(Parser::new(&page, Format::OpenMetrics));
        assert_eq!(result, count(Parser::new_slow(&page, Format::OpenMetrics)), "{name}");
        assert_eq!(result.is_ok(), is_valid || is_taken(&name), "{name}: {result:?}");
        case_count += 1;
        taken_count += usize::from(result.is_ok() != is_valid);
    }
    let listed: usize = TAKEN.iter().map(|(_, numbers, _)| numbers.len()).sum();
    assert_eq!((case_count, taken_count), (211, listed + 1));
}

#[test]
fn pages_of_the_field() {
    let Some(folder) = folder("textparse") else { return };
    for (name, expected) in [
        ("1histogram.om.txt", (44, 42)),
        ("alltypes.237mfs.nometa.prom.txt", (1858, 1857)),
        ("alltypes.237mfs.prom.txt", (2332, 1857)),
        ("alltypes.5mfs.om.txt", (63, 53)),
    ] {
        let page = fs::read(folder.join(name)).unwrap();
        let format = if name.ends_with(".om.txt") { Format::OpenMetrics } else { Format::Text };
        assert_eq!(count(Parser::new(&page, format)), Ok(expected), "{name}");
        assert_eq!(count(Parser::new_slow(&page, format)), Ok(expected), "{name} by tokens");
    }
}
