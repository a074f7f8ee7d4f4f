//! What a template is made of, and how messages show it.

use std::fmt;

use crate::model::quote::quote;

/// Statements one after the other.
pub(super) type List = Vec<Statement>;

#[derive(Debug)]
pub(super) enum Statement {
    Text(String),
    Action(Pipe),
    If(Branch),
    With(Branch),
    Range(Branch),
    Template {
        position: usize,
        name: String,
        pipe: Option<Pipe>,
    },
    Break(usize),
    Continue(usize),
    /// The ends of lists; never in a finished tree.
    Else(usize),
    End(usize),
}

#[derive(Debug)]
pub(super) struct Branch {
    pub pipe: Pipe,
    pub list: List,
    pub otherwise: Option<List>,
}

/// Commands, each the last argument of the next: `a b | c`.
#[derive(Debug)]
pub(super) struct Pipe {
    pub position: usize,
    /// `=`; else `:=`.
    pub is_assignment: bool,
    pub variables: Vec<String>,
    pub commands: Vec<Command>,
}

#[derive(Debug)]
pub(super) struct Command {
    pub position: usize,
    /// Never empty.
    pub arguments: Vec<Operand>,
}

#[derive(Debug)]
pub(super) struct Operand {
    pub position: usize,
    pub term: Term,
}

#[derive(Debug)]
pub(super) enum Term {
    Dot,
    Nil,
    Bool(bool),
    Number {
        text: String,
        number: Number,
    },
    String {
        literal: String,
        text: String,
    },
    Identifier(String),
    /// `.a.b`
    Field(Vec<String>),
    /// `$x.a.b`: the variable with its dollar sign, then fields.
    Variable(Vec<String>),
    /// `(…)`
    Pipe(Pipe),
    /// `(…).a.b`
    Chain(Box<Operand>, Vec<String>),
}

/// A constant, as what it may be taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Number {
    pub int: Option<i64>,
    pub uint: Option<u64>,
    pub float: Option<f64>,
}

/// Place and text of what is being carried out, for messages.
#[derive(Clone, Copy)]
pub(super) enum At<'a> {
    Nothing,
    Statement(&'a Statement),
    Pipe(&'a Pipe),
    Command(&'a Command),
    Operand(&'a Operand),
}

impl At<'_> {
    pub fn position(&self) -> Option<usize> {
        match self {
            At::Nothing => None,
            At::Statement(statement) => Some(statement.position()),
            At::Pipe(pipe) => Some(pipe.position),
            At::Command(command) => Some(command.position),
            At::Operand(operand) => Some(operand.position),
        }
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            At::Nothing => Ok(()),
            At::Statement(statement) => statement.fmt(f),
            At::Pipe(pipe) => pipe.fmt(f),
            At::Command(command) => command.fmt(f),
            At::Operand(operand) => operand.fmt(f),
        }
    }
}

impl Statement {
    pub fn position(&self) -> usize {
        match self {
            Statement::Text(_) => 0,
            Statement::Action(pipe) => pipe.position,
            Statement::If(branch) | Statement::With(branch) | Statement::Range(branch) => {
                branch.pipe.position
            }
            Statement::Template { position, .. }
            | Statement::Break(position)
            | Statement::Continue(position)
            | Statement::Else(position)
            | Statement::End(position) => *position,
        }
    }
}

fn joined<T: fmt::Display>(f: &mut fmt::Formatter<'_>, items: &[T], between: &str) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(between)?;
        }
        item.fmt(f)?;
    }
    Ok(())
}

impl Branch {
    fn show(&self, f: &mut fmt::Formatter<'_>, keyword: &str) -> fmt::Result {
        write!(f, "{{{{{keyword} {}}}}}", self.pipe)?;
        joined(f, &self.list, "")?;
        if let Some(list) = &self.otherwise {
            f.write_str("{{else}}")?;
            joined(f, list, "")?;
        }
        f.write_str("{{end}}")
    }
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Statement::Text(text) => f.write_str(text),
            Statement::Action(pipe) => write!(f, "{{{{{pipe}}}}}"),
            Statement::If(branch) => branch.show(f, "if"),
            Statement::With(branch) => branch.show(f, "with"),
            Statement::Range(branch) => branch.show(f, "range"),
            Statement::Template { name, pipe, .. } => {
                write!(f, "{{{{template {}", quote(name))?;
                if let Some(pipe) = pipe {
                    write!(f, " {pipe}")?;
                }
                f.write_str("}}")
            }
            Statement::Break(_) => f.write_str("{{break}}"),
            Statement::Continue(_) => f.write_str("{{continue}}"),
            Statement::Else(_) => f.write_str("{{else}}"),
            Statement::End(_) => f.write_str("{{end}}"),
        }
    }
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.variables.is_empty() {
            joined(f, &self.variables, ", ")?;
            f.write_str(if self.is_assignment { " = " } else { " := " })?;
        }
        joined(f, &self.commands, " | ")
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        joined(f, &self.arguments, " ")
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = |f: &mut fmt::Formatter<'_>, names: &[String]| {
            names.iter().try_for_each(|name| write!(f, ".{name}"))
        };
        match &self.term {
            Term::Dot => f.write_str("."),
            Term::Nil => f.write_str("nil"),
            Term::Bool(value) => value.fmt(f),
            Term::Number { text, .. } => f.write_str(text),
            Term::String { literal, .. } => f.write_str(literal),
            Term::Identifier(name) => f.write_str(name),
            Term::Field(names) => fields(f, names),
            Term::Variable(names) => f.write_str(&names.join(".")),
            Term::Pipe(pipe) => write!(f, "({pipe})"),
            Term::Chain(operand, names) => {
                operand.fmt(f)?;
                fields(f, names)
            }
        }
    }
}
