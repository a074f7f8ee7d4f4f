//! The file of unit tests.

use std::collections::BTreeMap;
use std::path::Path;

use crate::api::params::parse_time;
use crate::config::yaml::{
    Abort, Decoded, Decoder, Field, Node, Section, Yaml, plain_field, section,
};
use crate::config::{FilePath, Millis};

section! {
    pub struct TestFile("main.unitTestFile");
    omit rule_files: Vec<FilePath>;
    omit evaluation_interval: Millis;
    /// Groups named here are evaluated in this order.
    omit group_eval_order: Vec<String>;
    omit tests: Vec<TestGroup>;
    /// Floats may differ by one step of their representation.
    omit fuzzy_compare: bool;
}

section! {
    /// Series and what is expected of them.
    pub struct TestGroup("main.testGroup");
    /// Of the series' values.
    omit interval: Millis;
    omit input_series: Vec<InputSeries>;
    omit alert_rule_test: Vec<AlertTest>;
    omit promql_expr_test: Vec<ExprTest>;
    omit external_labels: BTreeMap<String, String>;
    omit external_url: String;
    omit name: String;
    omit start_timestamp: StartTime;
}

section! {
    pub struct InputSeries("main.series");
    omit series: String;
    omit values: String;
}

section! {
    pub struct AlertTest("main.alertTestCase");
    omit eval_time: Millis;
    omit alertname: String;
    omit exp_alerts: Vec<ExpectedAlert>;
}

section! {
    pub struct ExpectedAlert("main.alert");
    omit exp_labels: BTreeMap<String, String>;
    omit exp_annotations: BTreeMap<String, String>;
}

section! {
    pub struct ExprTest("main.promqlTestCase");
    omit expr: String;
    omit eval_time: Millis;
    omit exp_samples: Vec<ExpectedSample>;
}

section! {
    pub struct ExpectedSample("main.sample");
    omit labels: String;
    omit value: f64;
    /// If it is given, the value is not looked at.
    omit histogram: String;
}

/// When a group's time begins, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StartTime(pub i64);

impl Field for StartTime {
    plain_field!("main.testStartTimestamp", StartTime(0), |value| value.0 == 0);

    fn decode(&mut self, decoder: &mut Decoder, node: &Node) -> Decoded {
        let mut text = String::new();
        if !text.decode(decoder, node)? {
            return Ok(false);
        }
        self.0 = parse_time(&text).map_err(|message| Abort::at(node.line, message))?;
        Ok(true)
    }

    fn to_yaml(&self) -> Yaml {
        Yaml::Plain(self.0.to_string())
    }
}

impl TestFile {
    /// Fills in defaults and resolves paths against the file's folder.
    pub fn fill(&mut self, dir: &Path) -> Result<(), String> {
        self.visit_mut(&mut |field| field.join_dir(dir));
        if self.evaluation_interval == Millis(0) {
            self.evaluation_interval = Millis::seconds(60);
        }
        let mut seen = Vec::new();
        for name in &self.group_eval_order {
            if seen.contains(&name) {
                return Err(format!("group name repeated in evaluation order: {name}"));
            }
            seen.push(name);
        }
        for group in &mut self.tests {
            if group.interval == Millis(0) {
                group.interval = self.evaluation_interval;
            }
        }
        Ok(())
    }
}

impl TestGroup {
    /// How long the group's time lasts: until the last test.
    pub fn duration_ms(&self) -> i64 {
        let alerts = self.alert_rule_test.iter().map(|test| test.eval_time);
        let exprs = self.promql_expr_test.iter().map(|test| test.eval_time);
        alerts.chain(exprs).max().unwrap_or_default().ms()
    }
}
