//! Rules made ready, and what each action does.

use engine::model::LabelsBuilder;
use engine::regex::{CaptureRegex, Captures};
use md5::{Digest, Md5};

use super::case;
use super::config::{Action, RelabelConfig, has_variable};

/// A list of rules, applied in order.
#[derive(Debug, Default)]
pub struct Rules {
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    config: RelabelConfig,
    regex: CaptureRegex,
    /// Neither target nor replacement refers to a group: nothing is to be expanded.
    is_literal: bool,
}

/// Buffers that live as long as one set is worked on.
#[derive(Debug, Default)]
struct Scratch {
    source: Vec<u8>,
    captures: Captures,
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Rules {
    /// Compiles rules that [`RelabelConfig::validate`] found valid.
    ///
    /// # Errors
    ///
    /// A regex is none: Go's text.
    pub fn new(configs: &[RelabelConfig]) -> Result<Rules, String> {
        let compile = |config: &RelabelConfig| {
            let pattern = config.regex.as_deref().unwrap_or(RelabelConfig::REGEX);
            Ok(Rule {
                regex: CaptureRegex::anchored(pattern).map_err(|error| error.to_string())?,
                is_literal: !has_variable(&config.target_label)
                    && !has_variable(&config.replacement),
                config: config.clone(),
            })
        };
        Ok(Rules { rules: configs.iter().map(compile).collect::<Result<_, String>>()? })
    }

    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Applies the rules to `labels`; false if one of them drops the set, and then `labels` are
    /// as the rules before it left them.
    ///
    /// Where `labelmap` copies two labels to one name, the last by name wins.
    pub fn apply(&self, labels: &mut LabelsBuilder) -> bool {
        let mut scratch = Scratch::default();
        self.rules.iter().all(|rule| rule.apply(labels, &mut scratch))
    }

    /// Applies the rule at `index` alone.
    pub fn apply_one(&self, index: usize, labels: &mut LabelsBuilder) -> bool {
        self.rules[index].apply(labels, &mut Scratch::default())
    }
}

impl Rule {
    /// Whether the set is kept.
    fn apply(&self, labels: &mut LabelsBuilder, scratch: &mut Scratch) -> bool {
        let config = &self.config;
        let target = config.target_label.as_bytes();
        self.join_sources(labels, &mut scratch.source);
        let source = &scratch.source;
        match config.action {
            Action::Drop => return !self.regex.is_match(source),
            Action::Keep => return self.regex.is_match(source),
            Action::DropEqual => return labels.get(target) != source,
            Action::KeepEqual => return labels.get(target) == source,
            Action::Replace => self.replace(labels, scratch),
            Action::Lowercase => labels.set(target, case::lowercase(source).as_bytes()),
            Action::Uppercase => labels.set(target, case::uppercase(source).as_bytes()),
            Action::HashMod => {
                let remainder = last_hash_bytes(source) % config.modulus;
                labels.set(target, itoa::Buffer::new().format(remainder).as_bytes());
            }
            Action::LabelMap => self.map_names(labels, scratch),
            Action::LabelDrop => labels.retain(|name, _| !self.regex.is_match(name)),
            Action::LabelKeep => labels.retain(|name, _| self.regex.is_match(name)),
        }
        true
    }

    /// The values of the source labels with the separator between them.
    fn join_sources(&self, labels: &LabelsBuilder, out: &mut Vec<u8>) {
        out.clear();
        let names = self.config.source_labels.as_deref().unwrap_or_default();
        for (index, name) in names.iter().enumerate() {
            if index > 0 {
                out.extend_from_slice(self.config.separator.as_bytes());
            }
            out.extend_from_slice(labels.get(name.as_bytes()));
        }
    }

    fn replace(&self, labels: &mut LabelsBuilder, scratch: &mut Scratch) {
        let config = &self.config;
        let (target, replacement) = (config.target_label.as_bytes(), config.replacement.as_bytes());
        if self.is_literal {
            if self.regex.is_match(&scratch.source)
                && config.name_validation.is_valid_label_name(target)
            {
                labels.set(target, replacement);
            }
            return;
        }
        if !self.regex.captures(&scratch.source, &mut scratch.captures) {
            return;
        }
        let Scratch { source, captures, name, value } = scratch;
        name.clear();
        value.clear();
        self.regex.expand(target, source, captures, name);
        if config.name_validation.is_valid_label_name(name) {
            self.regex.expand(replacement, source, captures, value);
            labels.set(name, value); // An empty value removes the label.
        }
    }

    fn map_names(&self, labels: &mut LabelsBuilder, scratch: &mut Scratch) {
        let mut copies: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for (name, value) in labels.iter() {
            if self.regex.captures(name, &mut scratch.captures) {
                let mut copy = Vec::new();
                let replacement = self.config.replacement.as_bytes();
                self.regex.expand(replacement, name, &scratch.captures, &mut copy);
                copies.push((copy, value.to_vec()));
            }
        }
        for (name, value) in copies {
            labels.set(&name, &value);
        }
    }
}

/// The last eight bytes of the MD5 sum, high byte first.
fn last_hash_bytes(text: &[u8]) -> u64 {
    let sum: [u8; 16] = Md5::digest(text).into();
    sum[8..].iter().fold(0, |number, &byte| number << 8 | u64::from(byte))
}
