//! Results as a table with ratios, and as raw numbers in a file.

use std::borrow::Cow;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::server::Kind;

/// What a scenario was run with, and what came of it.
#[derive(Clone, Debug)]
pub struct Run {
    pub parameters: Value,
    pub outcomes: Vec<Outcome>,
}

/// One server's result: figures by name, in the order they are shown.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub kind: Kind,
    pub version: String,
    /// What a success answer means.
    pub ack: &'static str,
    pub figures: Vec<(Cow<'static, str>, f64)>,
    /// Why there are no figures.
    pub failure: Option<String>,
}

impl Run {
    /// The servers that failed, each with its reason, as lines of text; none where none did.
    pub fn failures(&self) -> Option<String> {
        let failures = self.outcomes.iter().filter_map(|outcome| {
            Some(format!("{} failed: {}", outcome.kind.name(), outcome.failure.as_ref()?))
        });
        let failures: Vec<String> = failures.collect();
        (!failures.is_empty()).then(|| failures.join("\n"))
    }
}

impl Outcome {
    pub fn figure(&self, name: &str) -> Option<f64> {
        self.figures.iter().find(|(own, _)| own == name).map(|(_, value)| *value)
    }
}

/// A Markdown table: a row a figure, a column a server, and hearth's ratio to each peer.
pub fn table(outcomes: &[Outcome]) -> String {
    let mut out = String::from("| figure |");
    let peers: Vec<&Outcome> =
        outcomes.iter().filter(|outcome| outcome.kind != Kind::Hearth).collect();
    let hearth = outcomes.iter().find(|outcome| outcome.kind == Kind::Hearth);
    for outcome in outcomes {
        out += &format!(" {} {} |", outcome.kind.name(), outcome.version);
    }
    for peer in peers.iter().filter(|_| hearth.is_some()) {
        out += &format!(" hearth / {} |", peer.kind.name());
    }
    let columns = out.matches('|').count() - 1;
    out += "\n|";
    out += &"---|".repeat(columns);
    out.push('\n');
    out += "| a success answer means |";
    for outcome in outcomes {
        out += &format!(" {} |", outcome.ack);
    }
    out += &" |".repeat(columns - 1 - outcomes.len());
    out.push('\n');
    let names = outcomes.iter().max_by_key(|outcome| outcome.figures.len());
    for (name, _) in names.map(|outcome| outcome.figures.as_slice()).unwrap_or_default() {
        out += &format!("| {name} |");
        for outcome in outcomes {
            match outcome.figure(name) {
                Some(value) => out += &format!(" {} |", number(value)),
                None => out += " - |",
            }
        }
        for peer in &peers {
            if let Some(hearth) = hearth {
                match (hearth.figure(name), peer.figure(name)) {
                    (Some(own), Some(other)) if other != 0.0 => {
                        out += &format!(" {:.2} |", own / other);
                    }
                    _ => out += " - |",
                }
            }
        }
        out.push('\n');
    }
    out
}

/// A number with thousands separators, and decimals only where they say something.
pub fn number(value: f64) -> String {
    if value.abs() < 100.0 {
        return format!("{value:.2}");
    }
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) && !out.ends_with('-') {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Writes the raw numbers with what they depend on.
pub fn save(path: &Path, scenario: &str, run: &Run) -> std::io::Result<()> {
    let results: Vec<Value> = run
        .outcomes
        .iter()
        .map(|outcome| {
            let figures: Map<String, Value> = outcome
                .figures
                .iter()
                .map(|(name, value)| (name.to_string(), json!(value)))
                .collect();
            json!({
                "server": outcome.kind.name(),
                "version": outcome.version,
                "ack": outcome.ack,
                "figures": figures,
                "failure": outcome.failure,
            })
        })
        .collect();
    let machine = json!({
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "cpu": first_value("/proc/cpuinfo", "model name"),
        "kernel": std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim(),
    });
    let document = json!({
        "scenario": scenario, "parameters": run.parameters, "machine": machine, "results": results,
    });
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(path, format!("{document:#}\n"))
}

fn first_value(path: &str, key: &str) -> String {
    std::fs::read_to_string(path)
        .unwrap_or_default()
        .lines()
        .find(|line| line.starts_with(key))
        .and_then(|line| line.split_once(':'))
        .map(|(_, value)| value.trim().to_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Outcome, number, table};
    use crate::server::Kind;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(number(1234567.8), "1,234,568");
        assert_eq!(number(0.123), "0.12");
        assert_eq!(number(999.0), "999");
    }

    #[test]
    fn a_table_has_a_ratio_for_each_peer() {
        let outcome = |kind, value| Outcome {
            kind,
            version: "1".into(),
            ack: "",
            figures: vec![("x".into(), value)],
            failure: None,
        };
        let text = table(&[outcome(Kind::Hearth, 6.0), outcome(Kind::Prometheus, 2.0)]);
        assert!(text.contains("| x | 6.00 | 2.00 | 3.00 |"), "{text}");
        let widths: Vec<usize> = text.lines().map(|line| line.matches('|').count()).collect();
        assert!(widths.iter().all(|width| *width == widths[0]), "{text}");
    }
}
