//! Texts of `--help` and `--version`, laid out as kingpin does.

use super::flags::{FLAGS, Flag, Kind, Scope};

/// Columns of a terminal when nothing else is known.
const WIDTH: usize = 80;
/// Flags longer than this stand on a line of their own.
const FLAG_WIDTH_MAX: usize = 30;

/// Text of `--help`.
pub fn help(program: &str) -> String {
    let mut rows = vec![
        ("-h, --[no-]help".to_owned(), "Show this text.".to_owned()),
        ("    --[no-]version".to_owned(), "Show the version.".to_owned()),
    ];
    rows.extend(FLAGS.iter().filter(|flag| !flag.hidden).map(|flag| (spelled(flag), text(flag))));
    let short = rows.iter().map(|(flag, _)| flag.len()).filter(|len| *len < FLAG_WIDTH_MAX);
    let column = short.max().unwrap_or(0);
    let mut out = format!(
        "usage: {program} [<flags>]\n\n\
         A monitoring system compatible with Prometheus.\n\n\nFlags:\n"
    );
    for (flag, text) in &rows {
        let indent = " ".repeat(column + 4);
        let mut lines = wrapped(text, WIDTH - column - 4).into_iter();
        out.push_str(&format!("  {flag:column$}  "));
        if flag.len() >= FLAG_WIDTH_MAX {
            out.push_str(&format!("\n{indent}"));
        }
        out.push_str(&lines.next().unwrap_or_default());
        out.push('\n');
        lines.for_each(|line| out.push_str(&format!("{indent}{line}\n")));
    }
    out
}

/// Text of `--version`.
pub fn version() -> String {
    format!("hearth, version {}\n", env!("CARGO_PKG_VERSION"))
}

fn text(flag: &Flag) -> String {
    let scope = match flag.scope {
        Scope::Any => "",
        Scope::Server => " Use with server mode only.",
        Scope::Agent => " Use with agent mode only.",
    };
    format!("{}{scope}", flag.help)
}

fn spelled(flag: &Flag) -> String {
    let (name, default) = (flag.name, flag.default);
    match flag.kind {
        Kind::Bool => format!("    --[no-]{name}"),
        Kind::List if default.is_empty() => format!("    --{name}={} ...", name.to_uppercase()),
        Kind::List => format!("    --{name}={default} ..."),
        Kind::Text => format!("    --{name}=\"{default}\""),
        _ if default.is_empty() => format!("    --{name}={}", name.to_uppercase()),
        _ => format!("    --{name}={default}"),
    }
}

/// Lines of at most `width` characters, broken at spaces.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.last_mut().expect("there is always a line");
        if last.is_empty() {
            last.push_str(word);
        } else if last.len() + 1 + word.len() <= width {
            last.push(' ');
            last.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}
