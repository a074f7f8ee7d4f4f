//! `check metrics`: whether a page on standard input follows the conventions of names, and how many
//! series its families have.
//!
//! Source: Prometheus `cmd/promtool/main.go`; client_golang `prometheus/testutil/promlint`.

use super::arguments::{Arguments, Flag, flag};
use super::families::{Family, FamilyType, families};
use super::table::aligned;
use super::{BAD, Console, GOOD, Kind, LINT, say};

pub(super) const FLAGS: &[Flag] = &[
    flag("extended", Kind::Switch, "Print how many series the metrics have."),
    flag("lint", Kind::Text, "all, none.").or("all"),
];

pub(super) fn run(arguments: &Arguments, console: &mut Console<'_>) -> Result<u8, String> {
    let lints = arguments.text("lint") != "none";
    let is_extended = arguments.is_set("extended");
    if !lints && !is_extended {
        return Err(
            "error: at least one of --extended or linting must be enabled\nUse --extended \
                    for cardinality analysis, or remove --lint=none to enable linting"
                .to_owned(),
        );
    }
    let mut page = Vec::new();
    console.input.read_to_end(&mut page).map_err(|error| error.to_string())?;
    let families = families(&page).map_err(|error| match lints {
        true => format!("error while linting: {error}"),
        false => format!("error while parsing text to metric families: {error}"),
    })?;
    let mut code = GOOD;
    if lints {
        let mut problems: Vec<(&str, String)> = families
            .iter()
            .flat_map(|family| problems(family).into_iter().map(|text| (&*family.name, text)))
            .collect();
        problems.sort();
        for (metric, text) in &problems {
            say!(console.err, "{metric} {text}");
        }
        code = if problems.is_empty() { GOOD } else { LINT };
    }
    if is_extended && console.out.write_all(extended(&families).as_bytes()).is_err() {
        return Ok(BAD);
    }
    Ok(code)
}

/// A table of families and their numbers of series, the largest first.
fn extended(families: &[Family]) -> String {
    let mut counts: Vec<(&str, usize)> =
        families.iter().map(|family| (&*family.name, family.series_count())).collect();
    counts.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), *name));
    let total: usize = counts.iter().map(|(_, count)| count).sum();
    let row = |cells: [&str; 3]| cells.map(str::to_owned).into_iter().chain([String::new()]);
    let mut rows = vec![row(["Metric", "Cardinality", "Percentage"]).collect()];
    for (name, count) in counts {
        let share = format!("{:.2}%", count as f64 / total as f64 * 100.0);
        rows.push(row([name, &count.to_string(), &share]).collect());
    }
    rows.push(row(["Total", &total.to_string(), "100%"]).collect());
    aligned(&rows, 4, 4, false)
}

/// What a family's names, types and labels do against the conventions.
fn problems(family: &Family) -> Vec<String> {
    let mut found = Vec::new();
    let mut note = |text: &str| found.push(text.to_owned());
    let name = family.name.as_str();
    let lower = name.to_lowercase();
    let names_part =
        |part: &str| lower.contains(&format!("_{part}_")) || lower.ends_with(&format!("_{part}"));
    let kind = family.kind;
    let is_counter = kind == FamilyType::Counter;
    let is_untyped = kind == FamilyType::Untyped;
    let is_histogram = kind == FamilyType::Histogram;
    let is_summary = kind == FamilyType::Summary;
    if family.help.is_none() {
        note("no help text");
    }
    if let Some((unit, base)) = unit_of(name)
        && unit != base
    {
        note(&format!("use base unit \"{base}\" instead of \"{unit}\""));
    }
    match name.ends_with("_total") {
        false if is_counter => note("counter metrics should have \"_total\" suffix"),
        true if !is_untyped && !is_counter => {
            note("non-counter metrics should not have \"_total\" suffix");
        }
        _ => {}
    }
    if !is_untyped {
        if !is_histogram && name.ends_with("_bucket") {
            note("non-histogram metrics should not have \"_bucket\" suffix");
        }
        for suffix in ["_count", "_sum"] {
            if !is_histogram && !is_summary && name.ends_with(suffix) {
                note(&format!(
                    "non-histogram and non-summary metrics should not have \"{suffix}\" suffix"
                ));
            }
        }
        for (label, _) in family.metrics.iter().flat_map(|metric| &metric.labels) {
            if !is_histogram && label == "le" {
                note("non-histogram metrics should not have \"le\" label");
            }
            if !is_summary && label == "quantile" {
                note("non-summary metrics should not have \"quantile\" label");
            }
        }
        if names_part(kind.as_str()) {
            note(&format!("metric name should not include type '{}'", kind.as_str()));
        }
    }
    if name.contains(':') {
        note("metric names should not contain ':'");
    }
    if is_camel_case(name) {
        note("metric names should be written in 'snake_case' not 'camelCase'");
    }
    for (label, _) in family.metrics.iter().flat_map(|metric| &metric.labels) {
        if is_camel_case(label) {
            note("label names should be written in 'snake_case' not 'camelCase'");
        }
    }
    for _ in ABBREVIATIONS.iter().filter(|unit| names_part(unit)) {
        note("metric names should not contain abbreviated units");
    }
    for (index, metric) in family.metrics.iter().enumerate() {
        if family.metrics[index + 1..].iter().any(|other| other.labels == metric.labels) {
            note("metric not unique");
        }
    }
    found
}

fn is_camel_case(name: &str) -> bool {
    let pairs = name.as_bytes().windows(2);
    pairs.into_iter().any(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase())
}

/// Units, and the base unit to be used instead.
const UNITS: [(&str, &str); 24] = [
    ("amperes", "amperes"),
    ("bytes", "bytes"),
    ("celsius", "celsius"),
    ("grams", "grams"),
    ("joules", "joules"),
    ("kelvin", "kelvin"),
    ("meters", "meters"),
    ("metres", "metres"),
    ("seconds", "seconds"),
    ("volts", "volts"),
    ("minutes", "seconds"),
    ("hours", "seconds"),
    ("days", "seconds"),
    ("weeks", "seconds"),
    ("kelvins", "kelvin"),
    ("fahrenheit", "celsius"),
    ("rankine", "celsius"),
    ("inches", "meters"),
    ("yards", "meters"),
    ("miles", "meters"),
    ("bits", "bytes"),
    ("calories", "joules"),
    ("pounds", "grams"),
    ("ounces", "grams"),
];

/// As client_golang spells them.
const PREFIXES: [&str; 18] = [
    "pico", "nano", "micro", "milli", "centi", "deci", "deca", "hecto", "kilo", "kibi", "mega",
    "mibi", "giga", "gibi", "tera", "tebi", "peta", "pebi",
];

const ABBREVIATIONS: [&str; 14] =
    ["s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "tb", "pb", "m", "h", "d"];

/// The first unit that is a part of a name, and its base unit.
fn unit_of(name: &str) -> Option<(&str, &'static str)> {
    let base = |unit: &str| UNITS.iter().find(|(known, _)| *known == unit).map(|(_, base)| *base);
    name.split('_').find_map(|part| {
        let with_prefix =
            || PREFIXES.iter().find_map(|prefix| part.strip_prefix(prefix).and_then(base));
        base(part).or_else(with_prefix).map(|base| (part, base))
    })
}
