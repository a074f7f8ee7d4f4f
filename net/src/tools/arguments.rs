//! Flags and files of a command, in kingpin's syntax.

use std::path::Path;

use engine::promql::ParseOptions;

use crate::wire::quote::quoted;

/// A flag's name; whether it takes a value.
pub(super) type Flag = (&'static str, bool);

#[derive(Debug, Default)]
pub(super) struct Arguments {
    flags: Vec<(&'static str, String)>,
    pub files: Vec<String>,
}

const FEATURES: Flag = ("enable-feature", true);

impl Arguments {
    /// # Errors
    ///
    /// kingpin's text for the first argument that is wrong.
    pub fn parse(arguments: &[String], known: &[Flag]) -> Result<Arguments, String> {
        let mut parsed = Arguments::default();
        let mut rest = arguments.iter();
        let mut only_files = false;
        while let Some(argument) = rest.next() {
            let Some(body) = argument.strip_prefix("--").filter(|_| !only_files) else {
                if argument.starts_with('-') && argument.len() > 1 && !only_files {
                    let short = argument.chars().nth(1).unwrap_or('-');
                    return Err(format!("unknown short flag '-{short}'"));
                }
                if !Path::new(argument).exists() {
                    return Err(format!("path '{argument}' does not exist"));
                }
                parsed.files.push(argument.clone());
                continue;
            };
            if body.is_empty() {
                only_files = true;
                continue;
            }
            let (name, value) = match body.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (body, None),
            };
            let find = |name: &str| known.iter().chain([&FEATURES]).find(|flag| flag.0 == name);
            let negated = name.strip_prefix("no-").and_then(find).filter(|flag| !flag.1);
            let Some((name, takes_value)) = find(name).or(negated) else {
                return Err(format!("unknown long flag '--{name}'"));
            };
            let value = match (takes_value, value) {
                (true, Some(value)) => value,
                (true, None) => match rest.next() {
                    Some(value) => value.clone(),
                    None => return Err(format!("expected argument for flag '--{name}'")),
                },
                (false, Some(value)) => return Err(format!("unexpected {value}")),
                (false, None) => negated.is_none().to_string(),
            };
            parsed.flags.push((name, value));
        }
        Ok(parsed)
    }

    pub fn require_files(&self, name: &str) -> Result<(), String> {
        if self.files.is_empty() {
            return Err(format!("required argument '{name}' not provided"));
        }
        Ok(())
    }

    /// The value given last.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values(name).last()
    }

    pub fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.flags.iter().filter(move |flag| flag.0 == name).map(|flag| flag.1.as_str())
    }

    pub fn is_set(&self, name: &str) -> bool {
        self.value(name) == Some("true")
    }

    fn has_feature(&self, feature: &str) -> bool {
        self.values(FEATURES.0).flat_map(|list| list.split(',')).any(|name| name == feature)
    }

    /// What of the language is switched on.
    pub fn promql(&self) -> ParseOptions {
        ParseOptions {
            experimental_functions: self.has_feature("promql-experimental-functions"),
            extended_range_selectors: self.has_feature("promql-extended-range-selectors"),
            fill_modifiers: self.has_feature("promql-binop-fill-modifiers"),
            ..ParseOptions::default()
        }
    }

    pub fn delayed_names(&self) -> bool {
        self.has_feature("promql-delayed-name-removal")
    }

    /// The lint checks asked for, of those the command has.
    pub fn lint(&self, known: &[&str]) -> Result<Lint, String> {
        let mut lint = Lint { is_fatal: self.is_set("lint-fatal"), ..Lint::default() };
        for name in self.value("lint").unwrap_or("duplicate-rules").split(',') {
            match name {
                "all" => (lint.duplicate_rules, lint.long_intervals) = (true, true),
                "duplicate-rules" => lint.duplicate_rules = true,
                "too-long-scrape-interval" if known.contains(&name) => lint.long_intervals = true,
                "none" => {}
                _ => {
                    let known = known.join(", ");
                    let name = quoted(name.as_bytes());
                    return Err(format!("unknown lint option {name}, known are: {known}"));
                }
            }
        }
        Ok(lint)
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lint {
    pub duplicate_rules: bool,
    pub long_intervals: bool,
    pub is_fatal: bool,
}
