//! Relabel rules in the file: `net::relabel` judges them, this reads and prints them.

use super::yaml::{Abort, Decoded, Decoder, Field, Node, Yaml, section};
use crate::relabel::{Action, RelabelConfig};
use engine::regex::CaptureRegex;

section! {
    /// A rule as written.
    pub struct RuleFields("relabel.plain");
    flow source_labels: Option<Vec<String>>, go "[]string" => "model.LabelNames";
    keep separator: String = RelabelConfig::SEPARATOR.to_owned();
    omit regex: Option<String>;
    omit modulus: u64, go "uint" => "uint64";
    omit target_label: String;
    keep replacement: String = RelabelConfig::REPLACEMENT.to_owned();
    omit action: String = Action::Replace.as_str().to_owned();
}

fn rule(fields: RuleFields, regex_is_null: bool) -> Result<RelabelConfig, String> {
    if fields.action.is_empty() {
        return Err("relabel action cannot be empty".to_owned());
    }
    let labels = fields.source_labels.unwrap_or_default();
    if labels.iter().any(String::is_empty) {
        return Err("\"\" is not a valid label name".to_owned());
    }
    let regex = if regex_is_null { Some(String::new()) } else { fields.regex };
    if let Some(regex) = &regex {
        CaptureRegex::anchored(regex).map_err(|error| error.to_string())?;
    }
    let labels: Vec<Box<str>> = labels.into_iter().map(String::into_boxed_str).collect();
    Ok(RelabelConfig {
        source_labels: (!labels.is_empty()).then_some(labels),
        separator: fields.separator.into(),
        regex: regex.map(String::into_boxed_str),
        modulus: fields.modulus,
        target_label: fields.target_label.into(),
        replacement: fields.replacement.into(),
        action: Action::from_text(&fields.action)?,
        ..RelabelConfig::default()
    })
}

impl Field for RelabelConfig {
    fn go_type() -> String {
        "*relabel.Config".to_owned()
    }
    fn zero() -> Self {
        RelabelConfig::default()
    }
    fn set_zero(&mut self) {
        *self = RelabelConfig::default();
    }
    fn is_empty(&self) -> bool {
        false
    }
    fn decode(&mut self, decoder: &mut Decoder, node: &Node) -> Decoded {
        let mut fields = RuleFields::default();
        if !fields.decode(decoder, node)? {
            return Ok(false);
        }
        // A regex that is written but null is the empty one, not the default.
        let regex_is_null = node.get("regex").is_some_and(Node::is_null);
        *self = rule(fields, regex_is_null).map_err(|message| Abort::at(node.line, message))?;
        Ok(true)
    }
    fn to_yaml(&self) -> Yaml {
        let texts = |labels: &[Box<str>]| labels.iter().map(|label| label.to_string()).collect();
        RuleFields {
            source_labels: self.source_labels.as_deref().map(texts),
            separator: self.separator.to_string(),
            regex: self.regex.as_deref().map(str::to_owned),
            modulus: self.modulus,
            target_label: self.target_label.to_string(),
            replacement: self.replacement.to_string(),
            action: self.action.as_str().to_owned(),
        }
        .to_yaml()
    }
}
