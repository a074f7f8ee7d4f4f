//! Paths of other files: patterns and what they match.
//!
//! Source: Go `path/filepath`, `Glob` and `Match`.

use std::path::{Path, PathBuf};

use super::Config;
use crate::wire::quote::quoted;

/// The rule files there are now, in the order of the patterns; those of one pattern by name.
///
/// # Errors
///
/// A pattern that is malformed.
pub fn expand_rule_files(config: &Config) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    for pattern in &config.rule_files {
        files.extend(glob(pattern).map_err(|error| {
            let pattern = quoted(pattern.as_bytes());
            format!("error retrieving rule files for {pattern}: {error}")
        })?);
    }
    Ok(files)
}

/// The existing paths that match a pattern of `*`, `?`, `[a-z]` and `\` within parts of a path.
/// What cannot be read has no matches.
///
/// # Errors
///
/// A malformed pattern.
pub fn glob(pattern: &str) -> Result<Vec<PathBuf>, String> {
    let mut found = vec![PathBuf::from(if pattern.starts_with('/') { "/" } else { "" })];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        let part: Vec<char> = part.chars().collect();
        matches(&part, &[])?; // A malformed pattern is refused even if nothing is there.
        if !part.iter().any(|c| "*?[\\".contains(*c)) {
            let part: String = part.iter().collect();
            found.iter_mut().for_each(|path| path.push(&part));
            continue;
        }
        let mut next = Vec::new();
        for dir in &found {
            let dir_to_read = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
            let Ok(entries) = std::fs::read_dir(dir_to_read) else { continue };
            let mut names: Vec<String> =
                entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
            names.sort();
            for name in names {
                if matches(&part, &name.chars().collect::<Vec<_>>())? {
                    next.push(dir.join(name));
                }
            }
        }
        found = next;
    }
    found.retain(|path| path.symlink_metadata().is_ok());
    Ok(found)
}

/// Whether `name` matches a pattern of one part. Cost: the product of both lengths at worst.
fn matches(pattern: &[char], name: &[char]) -> Result<bool, String> {
    let (mut at_pattern, mut at_name) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if pattern.get(at_pattern) == Some(&'*') {
            retry = Some((at_pattern, at_name));
            at_pattern += 1;
            continue;
        }
        let step = match (pattern.get(at_pattern), name.get(at_name)) {
            (None, None) => return rest_is_valid(&pattern[at_pattern..]).map(|()| true),
            (None, Some(_)) => None,
            (Some(_), c) => one(&pattern[at_pattern..], c.copied())?,
        };
        match (step, retry) {
            (Some(len), _) => {
                at_pattern += len;
                at_name += 1;
            }
            (None, Some((star, start))) if start < name.len() => {
                retry = Some((star, start + 1));
                at_pattern = star + 1;
                at_name = start + 1;
            }
            (None, _) => {
                return rest_is_valid(&pattern[at_pattern..]).map(|()| false);
            }
        }
    }
}

fn rest_is_valid(mut pattern: &[char]) -> Result<(), String> {
    while let Some(first) = pattern.first() {
        let len = if *first == '*' { 1 } else { element_len(pattern)? };
        pattern = &pattern[len..];
    }
    Ok(())
}

/// Length of the pattern's first element, which is not a star.
fn element_len(pattern: &[char]) -> Result<usize, String> {
    let malformed = || "syntax error in pattern".to_owned();
    match pattern[0] {
        '\\' if pattern.len() < 2 => Err(malformed()),
        '\\' => Ok(2),
        '[' => {
            let start = if pattern.get(1) == Some(&'^') { 2 } else { 1 };
            let mut at = start;
            while at < pattern.len() {
                match pattern[at] {
                    ']' if at > start => return Ok(at + 1),
                    '\\' => at += 2,
                    _ => at += 1,
                }
            }
            Err(malformed())
        }
        _ => Ok(1),
    }
}

/// The length of the pattern's first element if it takes `c`.
fn one(pattern: &[char], c: Option<char>) -> Result<Option<usize>, String> {
    let len = element_len(pattern)?;
    let Some(c) = c else { return Ok(None) };
    let taken = match pattern[0] {
        '?' => true,
        '\\' => pattern[1] == c,
        '[' => in_class(&pattern[1..len - 1], c),
        literal => literal == c,
    };
    Ok(taken.then_some(len))
}

fn in_class(class: &[char], c: char) -> bool {
    let (negated, mut class) = match class.first() {
        Some('^') => (true, &class[1..]),
        _ => (false, class),
    };
    let mut found = false;
    while let Some(&first) = class.first() {
        let skip = usize::from(first == '\\' && class.len() > 1);
        let low = class[skip];
        class = &class[skip + 1..];
        let high = match class {
            ['-', '\\', high, ..] => {
                class = &class[3..];
                *high
            }
            ['-', high, ..] => {
                class = &class[2..];
                *high
            }
            _ => low,
        };
        found |= (low..=high).contains(&c);
    }
    found != negated
}
