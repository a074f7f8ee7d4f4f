//! `promql format`, `promql label-matchers`: a query in its long form, and with other matchers.
//!
//! Source: Prometheus `cmd/promtool/main.go`.

use engine::model::{MatchOp, Matcher};
use engine::promql::{Ast, Expr, parse, pretty};

use super::arguments::{Arguments, Flag, Positional, flag, one};
use super::{Console, GOOD, Kind, say};

pub(super) const QUERY: &[Positional] = &[one("query", Kind::Text)];
pub(super) const SET_FLAGS: &[Flag] =
    &[flag("type", Kind::Enum(&["=", "!=", "=~", "!~"]), "Type of the matcher.")
        .or("=")
        .short('t')];
pub(super) const SET: &[Positional] =
    &[one("query", Kind::Text), one("name", Kind::Text), one("value", Kind::Text)];
pub(super) const DELETE: &[Positional] = &[one("query", Kind::Text), one("name", Kind::Text)];

fn read(arguments: &Arguments) -> Result<Ast, String> {
    if !arguments.is_set("experimental") {
        return Err("This command is experimental and requires the --experimental flag to be set."
            .to_owned());
    }
    parse(arguments.text("query"), &arguments.promql()).map_err(|errors| errors.to_string())
}

fn show(ast: &Ast, console: &mut Console<'_>) -> Result<u8, String> {
    say!(console.out, "{}", pretty(ast, ast.root()));
    Ok(GOOD)
}

pub(super) fn format(arguments: &Arguments, console: &mut Console<'_>) -> Result<u8, String> {
    show(&read(arguments)?, console)
}

/// Changes the matchers of every selector.
fn edit(ast: &mut Ast, mut change: impl FnMut(&mut Vec<Matcher>)) {
    for id in ast.ids().collect::<Vec<_>>() {
        if let Expr::Vector(selector) = ast.expr_mut(id) {
            change(&mut selector.matchers);
        }
    }
}

pub(super) fn set(arguments: &Arguments, console: &mut Console<'_>) -> Result<u8, String> {
    let mut ast = read(arguments)?;
    let op = match arguments.text("type") {
        "!=" => MatchOp::NotEqual,
        "=~" => MatchOp::Regexp,
        "!~" => MatchOp::NotRegexp,
        _ => MatchOp::Equal,
    };
    let (name, value) = (arguments.text("name"), arguments.text("value"));
    let matcher = Matcher::new(name, op, value);
    edit(&mut ast, |matchers| {
        let mut is_found = false;
        for known in matchers.iter_mut().filter(|known| *known.name == *name) {
            *known = matcher.clone();
            is_found = true;
        }
        if !is_found {
            // The name, where it stands before the braces, is the last.
            let last = matchers.last().is_some_and(|last| &*last.name == "__name__");
            matchers.insert(matchers.len() - usize::from(last), matcher.clone());
        }
    });
    show(&ast, console)
}

pub(super) fn delete(arguments: &Arguments, console: &mut Console<'_>) -> Result<u8, String> {
    let mut ast = read(arguments)?;
    let name = arguments.text("name");
    edit(&mut ast, |matchers| matchers.retain(|known| *known.name != *name));
    show(&ast, console)
}
