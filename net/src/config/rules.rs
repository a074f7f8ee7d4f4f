//! Rule files: groups of recording and alerting rules, checked as a whole.
//!
//! A file is read twice, as Prometheus does: once for what it says, once for where it says it.
//! Both readings may find faults, and both are told.
//!
//! Source: Prometheus `model/rulefmt/rulefmt.go`; go-yaml v3.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use engine::promql::{self, Ast, ParseOptions};
use engine::rules::template::Template;
use engine::rules::{AlertSpec, GroupSpec, RuleKind, RuleSpec};

use super::load::cause;
use super::units::Millis;
use super::yaml::{self, Decoded, Decoder, Field, Node, Reading, Yaml, plain_field, section};
use crate::wire::names::NameValidation;
use crate::wire::quote::quoted;

section! {
    struct GroupsFile("rulefmt.RuleGroups");
    keep groups: Vec<RuleGroup>;
}

section! {
    /// A group as written.
    pub struct RuleGroup("rulefmt.RuleGroup");
    keep name: String;
    /// Zero: the configuration's `evaluation_interval`.
    omit interval: Millis;
    omit query_offset: Option<Millis>;
    omit limit: i64;
    keep rules: Vec<Rule>;
    omit labels: BTreeMap<String, String>;
}

section! {
    /// A rule as written; `record` or `alert` is empty.
    pub struct Rule("rulefmt.Rule");
    omit record: String;
    omit alert: String;
    keep expr: String;
    omit for_duration as "for": Millis;
    omit keep_firing_for: Millis;
    omit labels: BTreeMap<String, String>;
    omit annotations: BTreeMap<String, String>;
}

section! {
    struct GroupsPlaces("rulefmt.ruleGroups");
    keep groups: Vec<GroupPlaces>;
}

section! {
    struct GroupPlaces("rulefmt.RuleGroupNode");
    keep name: String;
    omit interval: Millis;
    omit query_offset: Option<Millis>;
    omit limit: i64;
    keep rules: Vec<RulePlaces>;
    omit labels: BTreeMap<String, String>;
}

section! {
    struct RulePlaces("rulefmt.RuleNode");
    omit record: Place;
    omit alert: Place;
    keep expr: Place;
    omit for_duration as "for": Millis;
    omit keep_firing_for: Millis;
    omit labels: BTreeMap<String, String>;
    omit annotations: BTreeMap<String, String>;
}

/// Where a value of any shape begins; zeros when it is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    line: usize,
    column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

impl Field for Place {
    plain_field!("yaml.Node", Place::default(), |value| *value == Place::default());

    fn decode(&mut self, _: &mut Decoder, node: &Node) -> Decoded {
        *self = Place { line: node.line, column: node.column };
        Ok(true)
    }

    fn to_yaml(&self) -> Yaml {
        Yaml::Null
    }
}

/// By what a rule file is judged.
#[derive(Clone, Copy, Debug, Default)]
pub struct RuleOptions {
    pub ignore_unknown_fields: bool,
    pub names: NameValidation,
    pub promql: ParseOptions,
}

/// A rule file that passed every check.
#[derive(Clone, Debug)]
pub struct RuleGroups {
    pub groups: Vec<RuleGroup>,
    /// The trees of the rules' expressions, group by group.
    exprs: Vec<Vec<Ast>>,
    /// What an operator should know.
    pub warnings: Vec<String>,
}

impl RuleGroups {
    /// # Errors
    ///
    /// All that is wrong with the file, in Prometheus's words, without the file's name.
    pub fn parse(text: &str, options: &RuleOptions) -> Result<RuleGroups, Vec<String>> {
        let mut faults = Vec::new();
        let mut warnings = Vec::new();
        let mut file = GroupsFile::default();
        let reading = Reading { unknown_fields: options.ignore_unknown_fields, v3: true };
        match yaml::decode_as(text, reading, &mut file) {
            Ok(false) => {}
            Ok(true) => warnings.push(
                "Multiple document yaml rules files are not supported, only the first document \
                 is processed"
                    .to_owned(),
            ),
            Err(abort) => faults.push(abort.message),
        }
        let mut places = GroupsPlaces::default();
        let reading = Reading { unknown_fields: true, v3: true };
        if let Err(abort) = yaml::decode_as(text, reading, &mut places) {
            faults.push(abort.message);
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let exprs = check_groups(&file.groups, &places.groups, options)?;
        Ok(RuleGroups { groups: file.groups, exprs, warnings })
    }

    /// # Errors
    ///
    /// As [`RuleGroups::parse`], each with the file's name before it.
    pub fn from_file(path: &Path, options: &RuleOptions) -> Result<RuleGroups, Vec<String>> {
        let name = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|error| vec![format!("{name}: open {name}: {}", cause(&error))])?;
        let named = |fault: String| format!("{name}: {fault}");
        RuleGroups::parse(&text, options).map_err(|faults| faults.into_iter().map(named).collect())
    }

    /// The groups complete: with the group's labels in its rules, and `interval_ms` where a group
    /// names none.
    pub fn specs(&self, file: &str, interval_ms: i64) -> Vec<GroupSpec> {
        let file: Arc<str> = file.into();
        self.groups
            .iter()
            .zip(&self.exprs)
            .map(|(group, exprs)| GroupSpec {
                file: file.clone(),
                name: group.name.clone(),
                interval_ms: match group.interval.ms() {
                    0 => interval_ms,
                    own => own,
                },
                query_offset_ms: group.query_offset.map(Millis::ms),
                limit: group.limit,
                rules: group
                    .rules
                    .iter()
                    .zip(exprs)
                    .map(|(rule, expr)| rule.spec(&group.labels, expr))
                    .collect(),
            })
            .collect()
    }
}

impl Rule {
    /// The alert's or the metric's.
    pub fn name(&self) -> &str {
        if self.alert.is_empty() { &self.record } else { &self.alert }
    }

    fn spec(&self, group_labels: &BTreeMap<String, String>, expr: &Ast) -> RuleSpec {
        let mut labels = group_labels.clone();
        labels.extend(self.labels.clone());
        let kind = if self.alert.is_empty() {
            RuleKind::Recording
        } else {
            RuleKind::Alerting(AlertSpec {
                for_ms: self.for_duration.ms(),
                keep_firing_for_ms: self.keep_firing_for.ms(),
                annotations: self.annotations.clone().into_iter().collect(),
            })
        };
        RuleSpec {
            name: self.name().to_owned(),
            text: self.expr.clone(),
            expr: expr.clone(),
            labels: labels.into_iter().collect(),
            kind,
        }
    }

    /// Notes what is wrong, each fault with its place before it where it has one; the expression's
    /// tree if it has one.
    fn check(
        &self,
        places: &RulePlaces,
        options: &RuleOptions,
        note: &mut dyn FnMut(String, String),
    ) -> Option<Ast> {
        let both = || format!("{}: {}: ", places.record, places.alert);
        match (self.record.is_empty(), self.alert.is_empty()) {
            (false, false) => {
                note(both(), "only one of 'record' and 'alert' must be set".to_owned());
            }
            (true, true) => note(both(), "one of 'record' or 'alert' must be set".to_owned()),
            _ => {}
        }
        let mut expr = None;
        if self.expr.is_empty() {
            note(format!("{}: ", places.expr), "field 'expr' must be set in rule".to_owned());
        } else {
            match promql::parse(&self.expr, &options.promql) {
                Ok(tree) => expr = Some(tree),
                Err(error) => {
                    let text = format!("could not parse expression: {error}");
                    note(format!("{}: ", places.expr), text);
                }
            }
        }
        if !self.record.is_empty() {
            self.check_recording(options.names, &mut |text| {
                note(format!("{}: ", places.record), text);
            });
        }
        check_labels(&self.labels, options.names, &mut |text| note(String::new(), text));
        for name in self.annotations.keys() {
            if !options.names.is_valid_label_name(name.as_bytes()) {
                note(String::new(), format!("invalid annotation name: {name}"));
            }
        }
        if !self.alert.is_empty() {
            for (texts, kind) in [(&self.labels, "label"), (&self.annotations, "annotation")] {
                for (name, text) in texts {
                    if let Err(error) = Template::of_alert(&self.alert, text) {
                        let name = quoted(name.as_bytes());
                        note(String::new(), format!("{kind} {name}: {error}"));
                    }
                }
            }
        }
        expr
    }

    fn check_recording(&self, names: NameValidation, note: &mut dyn FnMut(String)) {
        for (given, field) in [
            (!self.annotations.is_empty(), "annotations"),
            (self.for_duration != Millis(0), "for"),
            (self.keep_firing_for != Millis(0), "keep_firing_for"),
        ] {
            if given {
                note(format!("invalid field '{field}' in recording rule"));
            }
        }
        let name = &self.record;
        if !names.is_valid_metric_name(name.as_bytes()) {
            note(format!("invalid recording rule name: {name}"));
        }
        if name.contains(['{', '}']) {
            note(format!(
                "braces present in the recording rule name; should it be in expr?: {name}"
            ));
        }
    }
}

/// What YAML made of texts is UTF-8, so values of labels need no check.
fn check_labels(
    labels: &BTreeMap<String, String>,
    names: NameValidation,
    note: &mut dyn FnMut(String),
) {
    for name in labels.keys() {
        if !names.is_valid_label_name(name.as_bytes()) || name == "__name__" {
            note(format!("invalid label name: {name}"));
        }
    }
}

fn check_groups(
    groups: &[RuleGroup],
    places: &[GroupPlaces],
    options: &RuleOptions,
) -> Result<Vec<Vec<Ast>>, Vec<String>> {
    let mut faults = Vec::new();
    let mut names = HashSet::new();
    let mut exprs = Vec::with_capacity(groups.len());
    for (group, places) in groups.iter().zip(places) {
        // Prometheus knows no place of a group: it says 0:0.
        if group.name.is_empty() {
            faults.push("0:0: Groupname must not be empty".to_owned());
        }
        if !names.insert(&group.name) {
            let name = &group.name;
            faults.push(format!("0:0: groupname: \"{name}\" is repeated in the same file"));
        }
        check_labels(&group.labels, options.names, &mut |text| faults.push(text));
        let mut trees = Vec::with_capacity(group.rules.len());
        for (index, (rule, places)) in group.rules.iter().zip(&places.rules).enumerate() {
            let of_rule = format!(
                "group {}, rule {}, {}",
                quoted(group.name.as_bytes()),
                index + 1,
                quoted(rule.name().as_bytes())
            );
            let mut note =
                |place: String, text: String| faults.push(format!("{place}{of_rule}: {text}"));
            trees.extend(rule.check(places, options, &mut note));
        }
        exprs.push(trees);
    }
    if faults.is_empty() { Ok(exprs) } else { Err(faults) }
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
