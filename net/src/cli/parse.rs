//! From arguments to values.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::features::Features;
use super::flags::{FLAGS, Fate, Flag, Kind, Scope};
use super::{Command, flags};
use crate::config::{ByteSize, LoadOptions, Millis, RetentionConfig};
use crate::observe::log;
use crate::wire::quote::quoted;

/// When a sample that was acknowledged is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalSync {
    /// Before the acknowledgement.
    Batch,
    /// At most this long after it.
    Interval(Millis),
    /// When the operating system writes it.
    Os,
}

impl WalSync {
    fn parse(text: &str) -> Result<WalSync, String> {
        match (text, text.strip_prefix("interval=")) {
            ("batch", _) => Ok(WalSync::Batch),
            ("os", _) => Ok(WalSync::Os),
            (_, Some(interval)) => match Millis::parse(interval)? {
                Millis(0) => Err("interval of --storage.wal.sync must be above 0".to_owned()),
                interval => Ok(WalSync::Interval(interval)),
            },
            _ => Err(format!(
                "value of --storage.wal.sync must be batch, interval=<duration> or os, got {}",
                quoted(text.as_bytes())
            )),
        }
    }
}

/// The value of every flag, given or not.
#[derive(Clone, Debug)]
pub struct Flags {
    /// By name, spelled as `/api/v1/status/flags` shows them; lists joined by commas.
    values: BTreeMap<&'static str, String>,
    lists: BTreeMap<&'static str, Vec<String>>,
    given: Vec<&'static Flag>,
}

/// Reads arguments, the program's name not among them.
///
/// # Errors
///
/// kingpin's text for the first argument that is wrong.
pub fn parse(arguments: &[String]) -> Result<Command, String> {
    let mut given: Vec<(&'static Flag, String)> = Vec::new();
    let mut command = None;
    let mut rest: Vec<String> = arguments.iter().rev().cloned().collect();
    let mut files_read = 0;
    while let Some(argument) = rest.pop() {
        if let Some(file) = argument.strip_prefix('@') {
            files_read += 1;
            if files_read > ARGUMENT_FILES_MAX {
                return Err(format!("more than {ARGUMENT_FILES_MAX} arguments files"));
            }
            rest.extend(arguments_of(file)?.into_iter().rev());
            continue;
        }
        let Some(body) = argument.strip_prefix("--") else {
            match argument.chars().nth(1) {
                Some('h') if argument.starts_with('-') => command = Some(Command::Help),
                Some(short) if argument.starts_with('-') => {
                    return Err(format!("unknown short flag '-{short}'"));
                }
                _ => return Err(format!("unexpected {argument}")),
            }
            continue;
        };
        if body.is_empty() {
            // Only arguments follow, and there are none to take.
            return rest
                .pop()
                .map_or(finish(command, given), |next| Err(format!("unexpected {next}")));
        }
        let (name, value) = match body.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (body, None),
        };
        match name {
            "help" | "help-long" | "help-man" => command = command.or(Some(Command::Help)),
            "version" => command = Some(Command::Version),
            _ => given.push(flag_and_value(name, value, &mut rest)?),
        }
    }
    finish(command, given)
}

/// Bound of `@file` arguments, which may name further files.
const ARGUMENT_FILES_MAX: usize = 64;

/// Finds a flag and takes its value, from the next argument if need be.
fn flag_and_value(
    name: &str,
    value: Option<String>,
    rest: &mut Vec<String>,
) -> Result<(&'static Flag, String), String> {
    let find = |name: &str| FLAGS.iter().find(|flag| flag.name == name);
    let inverted = name.strip_prefix("no-").and_then(find).filter(|flag| flag.kind == Kind::Bool);
    let Some(flag) = find(name).or(inverted) else {
        return Err(format!("unknown long flag '--{name}'"));
    };
    if flag.kind == Kind::Bool {
        if let Some(value) = value {
            return Err(format!("unexpected {value}"));
        }
        return Ok((flag, (flag.name == name).to_string()));
    }
    let missing = || format!("expected argument for flag '--{name}'");
    let value = match value {
        Some(value) => value,
        None => {
            rest.pop().filter(|next| next == "-" || !next.starts_with('-')).ok_or_else(missing)?
        }
    };
    Ok((flag, value))
}

/// Lines of a file, without comments and empty lines.
fn arguments_of(file: &str) -> Result<Vec<String>, String> {
    if file.is_empty() {
        return Err("expected @ file to expand arguments from".to_owned());
    }
    let text = std::fs::read_to_string(file).map_err(|error| {
        let file = quoted(file.as_bytes());
        format!("failed to open arguments file {file}: {error}")
    })?;
    let wanted = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    Ok(wanted.map(str::to_owned).collect())
}

fn finish(
    command: Option<Command>,
    given: Vec<(&'static Flag, String)>,
) -> Result<Command, String> {
    if let Some(command) = command {
        return Ok(command);
    }
    let mut flags = Flags { values: BTreeMap::new(), lists: BTreeMap::new(), given: Vec::new() };
    for flag in FLAGS {
        let text = if flag.default.is_empty() { zero(flag.kind) } else { flag.default };
        flags.set(flag, text).expect("the table's defaults must be valid");
        if flag.kind == Kind::List {
            let items = flag.default.split(',').filter(|item| !item.is_empty());
            flags.lists.insert(flag.name, items.map(str::to_owned).collect());
        }
    }
    for (flag, value) in &given {
        let first = !flags.given.iter().any(|other| other.name == flag.name);
        if !first && flag.kind != Kind::List {
            return Err(format!("flag '{}' cannot be repeated", flag.name));
        }
        if first {
            flags.given.push(flag);
            flags.lists.remove(flag.name);
        }
        flags.set(flag, value)?;
    }
    flags.check()?;
    Ok(Command::Run(Box::new(flags)))
}

fn zero(kind: Kind) -> &'static str {
    match kind {
        Kind::Bool => "false",
        Kind::Int | Kind::Float | Kind::Duration | Kind::Bytes => "0",
        Kind::Text | Kind::List | Kind::Word(_) | Kind::WalSync => "",
    }
}

/// The value as it is shown, or kingpin's text.
fn normal(flag: &Flag, text: &str) -> Result<String, String> {
    let number = || {
        text.parse::<f64>().map_err(|_| {
            let text = quoted(text.as_bytes());
            format!("strconv.ParseFloat: parsing {text}: invalid syntax")
        })
    };
    Ok(match flag.kind {
        Kind::Bool | Kind::Text | Kind::List => text.to_owned(),
        Kind::Int => (number()? as i64).to_string(),
        Kind::Float => number()?.to_string(),
        Kind::Duration => Millis::parse(text)?.to_string(),
        Kind::Bytes => ByteSize::parse(text)?.to_string(),
        Kind::Word(_) if flag.name == "log.level" => {
            log::Level::from_text(text)?;
            text.to_lowercase()
        }
        Kind::Word(_) if flag.name == "log.format" => {
            log::Format::from_text(text)?;
            text.to_owned()
        }
        Kind::Word(words) if !words.contains(&text) => {
            let words = words.join(",");
            return Err(format!("enum value must be one of {words}, got '{text}'"));
        }
        Kind::Word(_) => text.to_owned(),
        Kind::WalSync => {
            WalSync::parse(text)?;
            text.to_owned()
        }
    })
}

impl Flags {
    fn set(&mut self, flag: &'static Flag, text: &str) -> Result<(), String> {
        let mut value = normal(flag, text)?;
        if flag.kind == Kind::List {
            let list = self.lists.entry(flag.name).or_default();
            list.push(text.to_owned());
            value = list.join(",");
        }
        self.values.insert(flag.name, value);
        Ok(())
    }

    /// What no flag can judge alone.
    fn check(&self) -> Result<(), String> {
        let ratio = self.float("auto-gomemlimit.ratio");
        if !(ratio > 0.0 && ratio <= 1.0) {
            return Err(
                "--auto-gomemlimit.ratio must be greater than 0 and less than or equal to 1."
                    .to_owned(),
            );
        }
        let limit = self.int("web.search.max-limit");
        if limit < 0 {
            return Err(format!(
                "--web.search.max-limit must be non-negative; got {limit} (use 0 to disable the \
                 cap)"
            ));
        }
        if self.int("shards") < 0 {
            return Err("--shards must not be negative".to_owned());
        }
        let agent: Vec<String> = self
            .given
            .iter()
            .filter(|flag| flag.scope == Scope::Agent)
            .map(|flag| quoted(format!("--{}", flag.name).as_bytes()))
            .collect();
        if !agent.is_empty() && !self.bool("agent") {
            let agent = agent.join(" ");
            return Err(format!("The following flag(s) can only be used in agent mode: [{agent}]"));
        }
        let refused = self.given.iter().find_map(|flag| match flag.fate {
            Fate::Refused(why) if self.text(flag.name) != zero(flag.kind) => {
                Some(format!("--{}: {why}", flag.name))
            }
            _ => None,
        });
        refused.map_or(Ok(()), Err)
    }

    /// A sentence for every flag that was given and changes nothing.
    pub fn warnings(&self) -> Vec<String> {
        let warned = self.given.iter().filter_map(|flag| match flag.fate {
            Fate::Warned(why) => Some(format!("--{} changes nothing: {why}", flag.name)),
            _ => None,
        });
        warned.collect()
    }

    pub fn is_given(&self, name: &str) -> bool {
        self.given.iter().any(|flag| flag.name == name)
    }

    /// The value as spelled for [`Flags::status`].
    ///
    /// # Panics
    ///
    /// These getters panic on a name that is not in the table: a bug of the caller.
    pub fn text(&self, name: &str) -> &str {
        match self.values.get(name) {
            Some(value) => value,
            None => panic!("flag must be in the table: {name}"),
        }
    }

    pub fn bool(&self, name: &str) -> bool {
        self.text(name) == "true"
    }

    pub fn int(&self, name: &str) -> i64 {
        self.text(name).parse().unwrap_or(0)
    }

    pub fn float(&self, name: &str) -> f64 {
        self.text(name).parse().unwrap_or(0.0)
    }

    pub fn duration(&self, name: &str) -> Millis {
        Millis::parse(self.text(name)).unwrap_or_default()
    }

    pub fn bytes(&self, name: &str) -> ByteSize {
        ByteSize::parse(self.text(name)).unwrap_or_default()
    }

    pub fn list(&self, name: &str) -> &[String] {
        self.lists.get(name).map_or(&[], Vec::as_slice)
    }

    pub fn wal_sync(&self) -> WalSync {
        WalSync::parse(self.text("storage.wal.sync")).unwrap_or(WalSync::Batch)
    }

    pub fn log(&self) -> (log::Level, log::Format) {
        let level = log::Level::from_text(self.text("log.level"));
        let format = log::Format::from_text(self.text("log.format"));
        (level.unwrap_or(log::Level::Info), format.unwrap_or(log::Format::Logfmt))
    }

    pub fn data_dir(&self) -> PathBuf {
        PathBuf::from(self.text("storage.tsdb.path"))
    }

    /// The configuration file to load; `None` for the embedded configuration, which runs when no
    /// file is named and the working directory holds none of the usual name.
    pub fn config_file(&self) -> Option<PathBuf> {
        let path = PathBuf::from(self.text("config.file"));
        (self.is_given("config.file") || path.exists()).then_some(path)
    }

    pub fn features(&self) -> Features {
        Features::from_lists(self.list("enable-feature"))
    }

    /// How long and how much to keep where the configuration file does not say.
    pub fn retention(&self) -> RetentionConfig {
        let time = self.duration("storage.tsdb.retention.time");
        let size = self.bytes("storage.tsdb.retention.size");
        match (time, size) {
            (Millis(0), ByteSize(0)) => LoadOptions::default().retention,
            _ => RetentionConfig { time, size, percentage: 0.0 },
        }
    }

    pub fn load_options(&self) -> LoadOptions {
        let features = self.features();
        LoadOptions {
            agent: self.bool("agent"),
            retention: self.retention(),
            proto_first: features.has("created-timestamp-zero-ingestion")
                || features.has("st-storage"),
            extra_scrape_metrics: features.has("extra-scrape-metrics"),
        }
    }

    /// Names and values as `/api/v1/status/flags` shows them, `retention` as it is in force.
    pub fn status(&self, retention: &RetentionConfig) -> BTreeMap<&'static str, String> {
        let mut values = self.values.clone();
        values.insert("storage.tsdb.retention.time", retention.time.to_string());
        values.insert("storage.tsdb.retention.size", retention.size.to_string());
        let block_max = self.max_block_duration(retention);
        values.insert(flags::MAX_BLOCK_DURATION, block_max.to_string());
        values
    }

    /// Time that a block spans at most. Unless it is given, Prometheus derives it: a tenth of the
    /// retention, at most 31 days.
    pub fn max_block_duration(&self, retention: &RetentionConfig) -> Millis {
        let given = self.duration(flags::MAX_BLOCK_DURATION);
        if given > Millis(0) {
            return given;
        }
        let tenth = Millis(retention.time.ms() / 10);
        if tenth > Millis(0) { tenth.min(MAX_BLOCK_MAX) } else { MAX_BLOCK_MAX }
    }
}

const MAX_BLOCK_MAX: Millis = Millis::seconds(31 * 86_400);
