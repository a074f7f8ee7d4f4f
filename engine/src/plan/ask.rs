//! What is asked of the shards at once: parts, and the scans that answer them.
//!
//! ```text
//! parts   sum(rate(a[5m]))   avg(rate(a[5m]))   max(a)   rate(b[1h])
//!              └──── select ────┘                 │            │
//!              └────────────── scan a ────────────┘          scan b
//! ```
//!
//! A scan reads the samples of each series once. A select makes a row of them, for all parts that
//! want the same one.

use std::cmp::Reverse;

use crate::model::{Matcher, TimeRange};

use super::part::{Extend, Select, SelectOutput, ShardPart, Window};

/// Most parts among which common scans are looked for: each is held against all others.
pub const PARTS_MERGED_MAX: usize = 256;

#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    pub parts: Vec<ShardPart>,
    /// Each part belongs to one of them.
    pub scans: Vec<Scan>,
}

/// One walk over the series of some matchers.
#[derive(Clone, Debug, PartialEq)]
pub struct Scan {
    pub matchers: Vec<Matcher>,
    /// Holds the ranges of all selects.
    pub range: TimeRange,
    /// Those that look at staleness markers stand first.
    pub selects: Vec<ScanSelect>,
}

/// A row of each series, the same for all of its parts.
#[derive(Clone, Debug, PartialEq)]
pub struct ScanSelect {
    /// What its series match beside the scan's matchers.
    pub also: Vec<Matcher>,
    /// The samples that it looks at.
    pub range: TimeRange,
    /// By position in [`Ask::parts`]; not empty.
    pub parts: Vec<usize>,
}

impl Ask {
    pub fn one(part: ShardPart) -> Ask {
        Ask::apart(vec![part])
    }

    /// A scan for each part.
    pub fn apart(parts: Vec<ShardPart>) -> Ask {
        let scan = |(index, part): (usize, &ShardPart)| {
            let range = part.select.range();
            let select = ScanSelect { also: vec![], range, parts: vec![index] };
            Scan { matchers: part.matchers.clone(), range, selects: vec![select] }
        };
        Ask { scans: parts.iter().enumerate().map(scan).collect(), parts }
    }

    /// Scans for several parts. Those whose selector is another's, or narrows another's, share its
    /// scan if the other reads all their samples anyway. O(parts × scans); more than
    /// [`PARTS_MERGED_MAX`] stay apart.
    pub fn merged(parts: Vec<ShardPart>) -> Ask {
        if parts.len() > PARTS_MERGED_MAX {
            return Ask::apart(parts);
        }
        let mut order: Vec<usize> = (0..parts.len()).collect();
        // Who takes others in comes before them.
        order.sort_by_key(|&index| {
            let range = parts[index].select.range();
            (parts[index].matchers.len(), Reverse(range.max_ms.saturating_sub(range.min_ms)))
        });
        let mut scans: Vec<Scan> = Vec::new();
        for index in order {
            let (part, range) = (&parts[index], parts[index].select.range());
            let matchers = || part.matchers.clone();
            let scan = match scans.iter().position(|scan| scan.takes_in(part, range, &parts)) {
                Some(known) => &mut scans[known],
                None => {
                    scans.push(Scan { matchers: matchers(), range, selects: vec![] });
                    scans.last_mut().expect("just pushed")
                }
            };
            let mut also = matchers();
            also.retain(|matcher| !scan.matchers.contains(matcher));
            let is_like = |select: &&mut ScanSelect| {
                select.also == also && parts[select.parts[0]].select.is_like(&part.select)
            };
            match scan.selects.iter_mut().find(is_like) {
                Some(select) => select.parts.push(index),
                None => scan.selects.push(ScanSelect { also, range, parts: vec![index] }),
            }
        }
        for scan in &mut scans {
            scan.selects.sort_by_key(|select| !parts[select.parts[0]].select.sees_markers());
        }
        Ask { parts, scans }
    }
}

impl Scan {
    fn takes_in(&self, part: &ShardPart, range: TimeRange, parts: &[ShardPart]) -> bool {
        let own = &parts[self.selects[0].parts[0]];
        let are_rows =
            |part: &ShardPart| !matches!(part.select.output, SelectOutput::Samples { .. });
        self.range.min_ms <= range.min_ms
            && range.max_ms <= self.range.max_ms
            && self.matchers.iter().all(|matcher| part.matchers.contains(matcher))
            && are_rows(part)
            && are_rows(own)
    }
}

impl Select {
    /// The samples that any of its steps can look at.
    pub fn range(&self) -> TimeRange {
        let (before_ms, after_ms) = match &self.output {
            SelectOutput::Value
            | SelectOutput::Timestamp
            | SelectOutput::TimestampMs
            | SelectOutput::StartTimestamp => (self.lookback_ms, 0),
            SelectOutput::Smoothed { .. } => (self.lookback_ms + 1, self.lookback_ms),
            SelectOutput::Window(Window { range_ms, extend, .. })
            | SelectOutput::Samples { range_ms, extend } => match extend {
                Extend::No => (*range_ms, 0),
                Extend::Anchored => (range_ms + self.lookback_ms, 0),
                Extend::Smoothed => (range_ms + self.lookback_ms, self.lookback_ms),
            },
        };
        let (start_ms, end_ms) = (self.grid.start_ms, self.grid.end_ms());
        TimeRange {
            min_ms: self.lookup.time_ms(start_ms).saturating_sub(before_ms).saturating_add(1),
            max_ms: self.lookup.time_ms(end_ms).saturating_add(after_ms),
        }
    }

    /// Whether a staleness marker says that there is no value; windows do not see them.
    pub fn sees_markers(&self) -> bool {
        use SelectOutput::*;
        matches!(self.output, Value | Timestamp | TimestampMs | StartTimestamp)
    }

    /// Whether both make the same row of a series, wherever they stand in the text.
    fn is_like(&self, other: &Select) -> bool {
        use SelectOutput::{Smoothed, Window};
        let is_like = match (&self.output, &other.output) {
            (Window(own), Window(other)) => {
                (own.function, own.range_ms, own.extend)
                    == (other.function, other.range_ms, other.extend)
                    && own.params == other.params
            }
            (Smoothed { .. }, Smoothed { .. }) => true,
            (own, other) => own == other,
        };
        is_like
            && (self.grid, self.lookup, self.lookback_ms, self.skips_buckets)
                == (other.grid, other.lookup, other.lookback_ms, other.skips_buckets)
    }
}

#[cfg(test)]
mod tests {
    use super::Ask;
    use crate::plan::{Op, Plan, PlanOptions, QueryTimes, Rewrite, Rewrites};
    use crate::promql::{ParseOptions, parse};

    /// The scans of `text`: matchers, then for each select what it adds and how many parts it has.
    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let ast = parse(text, &ParseOptions::ALL).unwrap();
        let rewrites = Rewrites::ALL.without(Rewrite::ShareParts);
        let options = PlanOptions { rewrites, ..PlanOptions::default() };
        let plan = Plan::new(&ast, QueryTimes::instant(1_000_000), &options).unwrap();
        let parts = plan.nodes.iter().filter_map(|node| match &node.op {
            Op::Scatter(part) => Some((**part).clone()),
            _ => None,
        });
        let ask = Ask::merged(parts.collect());
        let texts = |matchers: &[crate::model::Matcher]| {
            matchers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
        };
        let mut shown: Vec<String> = ask
            .scans
            .iter()
            .map(|scan| {
                let selects = scan.selects.iter();
                let selects: Vec<String> = selects
                    .map(|select| format!("{}x{}", texts(&select.also), select.parts.len()))
                    .collect();
                format!("{}: {}", texts(&scan.matchers), selects.join(" "))
            })
            .collect();
        shown.sort();
        assert_eq!(shown, expected, "{text}");
        let mut members: Vec<usize> = ask
            .scans
            .iter()
            .flat_map(|scan| &scan.selects)
            .flat_map(|select| select.parts.clone())
            .collect();
        members.sort_unstable();
        assert_eq!(members, (0..ask.parts.len()).collect::<Vec<_>>());
    }

    #[test]
    fn equal_selectors_share_a_scan_and_equal_selects_a_row() {
        check("sum(a) / sum(b)", &[r#"__name__="a": x1"#, r#"__name__="b": x1"#]);
        check("sum(rate(a[5m])) / count(rate(a[5m]))", &[r#"__name__="a": x2"#]);
        check("sum(rate(a[5m])) / count(rate(a[1h]))", &[r#"__name__="a": x1 x1"#]);
        check("sum(rate(a[1h])) / sum(a)", &[r#"__name__="a": x1 x1"#]);
    }

    #[test]
    fn a_narrower_selector_is_filtered_from_the_wider_one() {
        check(r#"sum(a{x="1"}) / sum(a)"#, &[r#"__name__="a": x1 x="1"x1"#]);
        check(
            r#"sum(a{x="1"}) / sum(a{x="2"})"#,
            &[r#"x="1",__name__="a": x1"#, r#"x="2",__name__="a": x1"#],
        );
    }

    #[test]
    fn no_scan_reads_more_than_one_of_its_parts_wants() {
        check(
            r#"sum(rate(a{x="1"}[1h])) / sum(a)"#,
            &[r#"__name__="a": x1"#, r#"x="1",__name__="a": x1"#],
        );
        check("sum(a) - sum(a offset 1d)", &[r#"__name__="a": x1"#, r#"__name__="a": x1"#]);
    }
}
