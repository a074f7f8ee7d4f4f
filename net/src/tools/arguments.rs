//! Flags and arguments of a command, in kingpin's syntax.
//!
//! A command is a row of a table: its words, its flags, its arguments. Flags may stand before,
//! between and behind the words and arguments.
//!
//! Source: alecthomas/kingpin `parser.go`, `app.go`, `values.go`.

use std::path::Path;

use engine::promql::ParseOptions;

use super::{Console, say};
use crate::config::{GoDuration, Url};
use crate::wire::quote::quoted;

/// What a value must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A flag without a value.
    Switch,
    Text,
    /// In Go's notation.
    Duration,
    Int,
    Url,
    /// A file that is there.
    File,
    Enum(&'static [&'static str]),
    /// `name=value`.
    Pair,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Flag {
    pub name: &'static str,
    pub short: Option<char>,
    pub kind: Kind,
    pub default: &'static str,
    pub is_required: bool,
    pub help: &'static str,
}

/// A flag that may be left out.
pub(super) const fn flag(name: &'static str, kind: Kind, help: &'static str) -> Flag {
    Flag { name, short: None, kind, default: "", is_required: false, help }
}

impl Flag {
    pub const fn or(self, default: &'static str) -> Flag {
        Flag { default, ..self }
    }

    pub const fn short(self, short: char) -> Flag {
        Flag { short: Some(short), ..self }
    }

    pub const fn required(self) -> Flag {
        Flag { is_required: true, ..self }
    }
}

/// An argument that is no flag.
#[derive(Clone, Copy, Debug)]
pub(super) struct Positional {
    pub name: &'static str,
    pub kind: Kind,
    pub default: &'static str,
    pub is_required: bool,
    /// The last one may stand many times.
    pub is_many: bool,
}

pub(super) const fn one(name: &'static str, kind: Kind) -> Positional {
    Positional { name, kind, default: "", is_required: true, is_many: false }
}

pub(super) const fn optional(name: &'static str, kind: Kind, default: &'static str) -> Positional {
    Positional { name, kind, default, is_required: false, is_many: false }
}

pub(super) const fn many(name: &'static str, kind: Kind, is_required: bool) -> Positional {
    Positional { name, kind, default: "", is_required, is_many: true }
}

pub(super) struct Command {
    /// `check`, `rules`.
    pub words: &'static [&'static str],
    pub flags: &'static [&'static [Flag]],
    pub positionals: &'static [Positional],
    pub help: &'static str,
    /// The exit code. An error is written to standard error, and the code is 1.
    pub run: fn(&Arguments, &mut Console<'_>) -> Result<u8, String>,
}

/// Flags that every command takes.
pub(super) const COMMON_FLAGS: &[Flag] = &[
    flag(
        FEATURES,
        Kind::Text,
        "Comma separated: promql-experimental-functions, promql-delayed-name-removal, \
         promql-extended-range-selectors, promql-binop-fill-modifiers.",
    ),
    flag("experimental", Kind::Switch, "Enable experimental commands."),
];

const FEATURES: &str = "enable-feature";

#[derive(Debug, Default)]
pub(super) struct Arguments {
    flags: Vec<(&'static str, String)>,
    positionals: Vec<(&'static str, String)>,
}

impl Command {
    fn starts_with(&self, words: &[&str]) -> bool {
        self.words.starts_with(words)
    }

    fn all_flags(&self) -> impl Iterator<Item = &'static Flag> {
        self.flags.iter().copied().flatten().chain(COMMON_FLAGS)
    }
}

/// Finds the command that arguments name, and its values.
///
/// # Errors
///
/// kingpin's text for the first argument that is wrong.
pub(super) fn parse<'a>(
    arguments: &[String],
    tables: &'a [&'a [Command]],
) -> Result<(&'a Command, Arguments), String> {
    let commands = || tables.iter().copied().flatten();
    let mut parsed = Arguments::default();
    let mut words: Vec<&str> = Vec::new();
    let mut command: Option<&Command> = None;
    let mut rest = arguments.iter().map(String::as_str);
    let mut only_arguments = false;
    while let Some(argument) = rest.next() {
        if !only_arguments && argument == "--" {
            only_arguments = true;
        } else if !only_arguments && argument.starts_with('-') && argument.len() > 1 {
            let known = || commands().filter(|command| command.starts_with(&words));
            let find = |wanted: &dyn Fn(&Flag) -> bool| {
                known().flat_map(Command::all_flags).find(|flag| wanted(flag))
            };
            parsed.take_flag(argument, &find, &mut rest)?;
        } else if let Some(command) = command {
            parsed.take_positional(argument, command)?;
        } else {
            words.push(argument);
            if !commands().any(|command| command.starts_with(&words)) {
                return Err(format!("expected command but got {}", quoted(argument.as_bytes())));
            }
            command = commands().find(|command| command.words == words);
        }
    }
    let Some(command) = command else {
        return Err(format!("must select a subcommand of '{}'", words.join(" ")));
    };
    parsed.complete(command)?;
    Ok((command, parsed))
}

impl Arguments {
    fn take_flag<'a>(
        &mut self,
        argument: &'a str,
        find: &dyn Fn(&dyn Fn(&Flag) -> bool) -> Option<&'static Flag>,
        rest: &mut impl Iterator<Item = &'a str>,
    ) -> Result<(), String> {
        let (flag, shown, value) = match argument.strip_prefix("--") {
            Some(body) => {
                let (name, value) = match body.split_once('=') {
                    Some((name, value)) => (name, Some(value)),
                    None => (body, None),
                };
                let negated = name.strip_prefix("no-").and_then(|name| {
                    find(&|flag: &Flag| flag.name == name && flag.kind == Kind::Switch)
                });
                match (find(&|flag: &Flag| flag.name == name), negated) {
                    (Some(flag), _) => (flag, format!("--{name}"), value),
                    (None, Some(flag)) if value.is_none() => {
                        self.flags.push((flag.name, "false".to_owned()));
                        return Ok(());
                    }
                    _ => return Err(format!("unknown long flag '--{name}'")),
                }
            }
            None => {
                let short = argument[1..].chars().next().unwrap_or('-');
                let Some(flag) = find(&|flag: &Flag| flag.short == Some(short)) else {
                    return Err(format!("unknown short flag '-{short}'"));
                };
                let value = &argument[1 + short.len_utf8()..];
                (flag, format!("-{short}"), (!value.is_empty()).then_some(value))
            }
        };
        let value = match (flag.kind, value) {
            (Kind::Switch, None) => "true",
            (Kind::Switch, Some(value)) => return Err(format!("unexpected {value}")),
            (_, Some(value)) => value,
            (_, None) => {
                rest.next().ok_or_else(|| format!("expected argument for flag '{shown}'"))?
            }
        };
        judge(flag.kind, value)?;
        self.flags.push((flag.name, value.to_owned()));
        Ok(())
    }

    fn take_positional(&mut self, value: &str, command: &Command) -> Result<(), String> {
        let known = command.positionals;
        let at = self.positionals.len();
        let last = known.last().filter(|last| last.is_many);
        let Some(positional) = known.get(at).or(last) else {
            return Err(format!("unexpected {value}"));
        };
        judge(positional.kind, value)?;
        self.positionals.push((positional.name, value.to_owned()));
        Ok(())
    }

    /// Fills in defaults; what must be there is there.
    fn complete(&mut self, command: &Command) -> Result<(), String> {
        for flag in command.all_flags() {
            if self.flags.iter().any(|given| given.0 == flag.name) {
                continue;
            }
            if flag.is_required {
                return Err(format!("required flag(s) '--{}' not provided", flag.name));
            }
            if !flag.default.is_empty() {
                self.flags.push((flag.name, flag.default.to_owned()));
            }
        }
        for positional in command.positionals.iter().skip(self.positionals.len()) {
            if positional.is_required {
                return Err(format!("required argument '{}' not provided", positional.name));
            }
            if !positional.default.is_empty() {
                self.positionals.push((positional.name, positional.default.to_owned()));
            }
        }
        Ok(())
    }

    /// The value of a flag or argument given last.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values(name).last()
    }

    /// As [`Arguments::value`]; empty if it was not given.
    pub fn text(&self, name: &str) -> &str {
        self.value(name).unwrap_or_default()
    }

    pub fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        let given = self.flags.iter().chain(&self.positionals);
        given.filter(move |given| given.0 == name).map(|given| given.1.as_str())
    }

    pub fn is_set(&self, name: &str) -> bool {
        self.value(name) == Some("true")
    }

    pub fn duration(&self, name: &str) -> GoDuration {
        self.value(name).and_then(|text| GoDuration::parse(text).ok()).unwrap_or_default()
    }

    pub fn int(&self, name: &str) -> Option<i64> {
        self.value(name).and_then(|text| text.parse().ok())
    }

    /// What was given as `name=value`.
    pub fn pairs(&self, name: &str) -> Vec<(&str, &str)> {
        self.values(name).filter_map(|pair| pair.split_once(['=', ':'])).collect()
    }

    fn has_feature(&self, feature: &str) -> bool {
        self.values(FEATURES).flat_map(|list| list.split(',')).any(|name| name == feature)
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

    /// Tells which features nobody knows.
    pub fn warn_of_features(&self, console: &mut Console<'_>) {
        const KNOWN: [&str; 6] = [
            "",
            "promql-experimental-functions",
            "promql-delayed-name-removal",
            // Has no effect any more.
            "promql-duration-expr",
            "promql-extended-range-selectors",
            "promql-binop-fill-modifiers",
        ];
        for name in self.values(FEATURES).flat_map(|list| list.split(',')) {
            if !KNOWN.contains(&name) {
                let text = "WARNING: Unknown feature passed to --enable-feature:";
                say!(console.out, "  {text} {name}");
            }
        }
    }

    pub fn delayed_names(&self) -> bool {
        self.has_feature("promql-delayed-name-removal")
    }
}

/// Whether a value is what its kind asks for.
fn judge(kind: Kind, value: &str) -> Result<(), String> {
    match kind {
        Kind::Switch | Kind::Text => Ok(()),
        Kind::Duration => GoDuration::parse(value).map(drop),
        Kind::Int => {
            let shown = quoted(value.as_bytes());
            let wrong = |_| format!("strconv.ParseInt: parsing {shown}: invalid syntax");
            value.parse::<i64>().map(drop).map_err(wrong)
        }
        Kind::Url => Url::parse(value).map(drop).map_err(|why| format!("invalid URL: {why}")),
        Kind::File => match Path::new(value) {
            path if path.is_dir() => {
                let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
                Err(format!("'{name}' is a directory"))
            }
            path if path.exists() => Ok(()),
            _ => Err(format!("path '{value}' does not exist")),
        },
        Kind::Enum(known) if known.contains(&value) => Ok(()),
        Kind::Enum(known) => {
            let known = known.join(",");
            Err(format!("enum value must be one of {known}, got '{value}'"))
        }
        Kind::Pair if value.contains(['=', ':']) => Ok(()),
        Kind::Pair => Err(format!("expected KEY=VALUE got '{value}'")),
    }
}
