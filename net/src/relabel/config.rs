//! One relabel rule as the configuration file states it, and what makes it invalid.

use std::fmt;

use crate::wire::names::NameValidation;
use crate::wire::quote::quoted;

/// What a rule does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Action {
    /// Sets the target label to the expanded replacement if the regex matches.
    #[default]
    Replace,
    /// Drops the set unless the regex matches.
    Keep,
    /// Drops the set if the regex matches.
    Drop,
    /// Drops the set unless the target label equals the source value.
    KeepEqual,
    /// Drops the set if the target label equals the source value.
    DropEqual,
    /// Sets the target label to a hash of the source value modulo `modulus`.
    HashMod,
    /// Copies labels whose name matches to the name that the replacement gives.
    LabelMap,
    /// Removes labels whose name matches.
    LabelDrop,
    /// Removes labels whose name does not match.
    LabelKeep,
    /// Sets the target label to the source value in lower case.
    Lowercase,
    /// Sets the target label to the source value in upper case.
    Uppercase,
}

impl Action {
    const ALL: [Action; 11] = [
        Action::Replace,
        Action::Keep,
        Action::Drop,
        Action::KeepEqual,
        Action::DropEqual,
        Action::HashMod,
        Action::LabelMap,
        Action::LabelDrop,
        Action::LabelKeep,
        Action::Lowercase,
        Action::Uppercase,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Action::Replace => "replace",
            Action::Keep => "keep",
            Action::Drop => "drop",
            Action::KeepEqual => "keepequal",
            Action::DropEqual => "dropequal",
            Action::HashMod => "hashmod",
            Action::LabelMap => "labelmap",
            Action::LabelDrop => "labeldrop",
            Action::LabelKeep => "labelkeep",
            Action::Lowercase => "lowercase",
            Action::Uppercase => "uppercase",
        }
    }

    /// Reads the action's name, in any case of letters; the error is Prometheus's text.
    pub fn from_text(text: &str) -> Result<Action, String> {
        let lower = text.to_lowercase();
        Self::ALL
            .into_iter()
            .find(|action| action.as_str() == lower)
            .ok_or_else(|| format!("unknown relabel action {}", quoted(text.as_bytes())))
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One rule. [`RelabelConfig::default`] is what the file's defaults say; the reader of the file
/// sets the fields that it finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelabelConfig {
    /// Labels whose values are joined by `separator`; `None` when the key is not written.
    pub source_labels: Option<Vec<Box<str>>>,
    pub separator: Box<str>,
    /// Pattern in Go's syntax for whole values; `None` when the key is not written, which means
    /// `(.*)`. (Some actions refuse a pattern that is written, even if it is the default's.)
    pub regex: Option<Box<str>>,
    pub modulus: u64,
    /// The label that is written; `replace` expands `$1` and `${name}` in it.
    pub target_label: Box<str>,
    pub replacement: Box<str>,
    pub action: Action,
    /// The scheme of this rule; the configuration's reader fills it from the global one.
    pub name_validation: NameValidation,
}

impl Default for RelabelConfig {
    fn default() -> Self {
        RelabelConfig {
            source_labels: None,
            separator: Self::SEPARATOR.into(),
            regex: None,
            modulus: 0,
            target_label: "".into(),
            replacement: Self::REPLACEMENT.into(),
            action: Action::Replace,
            name_validation: NameValidation::Utf8,
        }
    }
}

impl RelabelConfig {
    pub const SEPARATOR: &str = ";";
    pub const REGEX: &str = "(.*)";
    pub const REPLACEMENT: &str = "$1";

    /// Judges everything but the regex, which is judged when the rules are compiled.
    ///
    /// # Errors
    ///
    /// Prometheus's text, the first that applies in Prometheus's order.
    pub fn validate(&self) -> Result<(), String> {
        use Action::*;
        let action = self.action;
        if action == HashMod && self.modulus == 0 {
            return Err("relabel configuration for hashmod requires non-zero modulus".into());
        }
        let writes_target =
            matches!(action, Replace | HashMod | Lowercase | Uppercase | KeepEqual | DropEqual);
        if writes_target && self.target_label.is_empty() {
            return Err(format!(
                "relabel configuration for {action} action requires 'target_label' value"
            ));
        }
        let target_is_valid = if action == Replace && has_variable(&self.target_label) {
            self.is_valid_template(&self.target_label)
        } else {
            !writes_target || self.name_validation.is_valid_label_name(self.target_label.as_bytes())
        };
        // For hashmod the target is judged last, after the replacement; it has none to judge.
        if !target_is_valid {
            let target = quoted(self.target_label.as_bytes());
            return Err(format!("{target} is invalid 'target_label' for {action} action"));
        }
        let has_own_replacement = &*self.replacement != Self::REPLACEMENT;
        if matches!(action, Lowercase | Uppercase | KeepEqual | DropEqual) && has_own_replacement {
            return Err(format!("'replacement' can not be set for {action} action"));
        }
        if action == LabelMap && !self.is_valid_template(&self.replacement) {
            let replacement = quoted(self.replacement.as_bytes());
            return Err(format!("{replacement} is invalid 'replacement' for {action} action"));
        }
        let has_others =
            self.modulus != 0 || &*self.separator != Self::SEPARATOR || has_own_replacement;
        if matches!(action, DropEqual | KeepEqual) && (has_others || self.regex.is_some()) {
            return Err(format!(
                "{action} action requires only 'source_labels' and `target_label`, and no other \
                 fields"
            ));
        }
        let has_labels = self.source_labels.is_some() || !self.target_label.is_empty();
        if matches!(action, LabelDrop | LabelKeep) && (has_others || has_labels) {
            return Err(format!("{action} action requires only 'regex', and no other fields"));
        }
        Ok(())
    }

    /// Whether `template` may give a label's name once its variables are replaced.
    fn is_valid_template(&self, template: &str) -> bool {
        match self.name_validation {
            NameValidation::Utf8 => self.name_validation.is_valid_label_name(template.as_bytes()),
            NameValidation::Legacy => is_legacy_template(template.as_bytes()),
        }
    }
}

/// Whether a template refers to groups of the regex.
pub(super) fn has_variable(template: &str) -> bool {
    template.contains('$')
}

/// `^(?:(?:[a-zA-Z_]|\$(?:\{\w+\}|\w+))+\w*)+$`: letters, digits and variables, no digit first.
fn is_legacy_template(template: &[u8]) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let word_bytes = |text: &[u8]| text.iter().take_while(|&&byte| is_word(byte)).count();
    if template.is_empty() || template[0].is_ascii_digit() {
        return false;
    }
    let mut rest = template;
    while !rest.is_empty() {
        rest = match rest {
            [b'$', b'{', inner @ ..] => {
                let count = word_bytes(inner);
                if count == 0 || inner.get(count) != Some(&b'}') {
                    return false;
                }
                &inner[count + 1..]
            }
            [b'$', inner @ ..] if word_bytes(inner) > 0 => &inner[word_bytes(inner)..],
            [byte, inner @ ..] if is_word(*byte) => inner,
            _ => return false,
        };
    }
    true
}
