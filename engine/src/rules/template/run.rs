//! Carries a template out.
//!
//! Source: Go `text/template/exec.go`.

use std::collections::HashMap;
use std::fmt::Display;
use std::rc::Rc;

use super::STEP_COUNT_MAX;
use super::fields::{field, method};
use super::format::{Output, action_text, plain};
use super::functions::{Failure, Function, Param, Surroundings, function};
use super::parse::Templates;
use super::tree::{At, Branch, Command, List, Operand, Pipe, Statement, Term};
use super::value::{IntType, Sample, Value};
use crate::model::quote::quote;

/// Deepest nesting of templates, lists and pipelines that is followed; protects the stack.
const DEPTH_MAX: usize = 100;

/// Why a run ends, or a list.
pub(super) enum Stop {
    /// The message, with its place.
    Error(String),
    /// The answer to this query is needed; then the template is to be run again.
    Query(String),
    Break,
    Continue,
}

/// Answers to the queries of a template: samples, or why there are none.
pub(super) type Answers = HashMap<String, Result<Rc<[Rc<Sample>]>, String>>;

pub(super) struct Run<'a> {
    pub templates: &'a Templates,
    /// Of the whole text; places are told in it.
    pub root_name: &'a str,
    pub text: &'a str,
    pub surroundings: Surroundings<'a>,
    pub answers: &'a Answers,
    /// Steps that may still be made.
    pub steps_left: usize,
    pub out: Output,
    /// Of the template that is being carried out.
    name: &'a str,
    at: At<'a>,
    variables: Vec<(&'a str, Value)>,
    depth: usize,
}

type Ran<T> = Result<T, Stop>;

impl<'a> Run<'a> {
    pub fn new(
        templates: &'a Templates,
        root_name: &'a str,
        text: &'a str,
        surroundings: Surroundings<'a>,
        answers: &'a Answers,
    ) -> Run<'a> {
        Run {
            templates,
            root_name,
            text,
            surroundings,
            answers,
            steps_left: STEP_COUNT_MAX,
            out: Output::default(),
            name: root_name,
            at: At::Nothing,
            variables: Vec::new(),
            depth: 0,
        }
    }

    pub fn whole(&mut self, data: Value) -> Ran<()> {
        self.variables = vec![("$", data.clone())];
        match self.templates.get(self.root_name) {
            Some(list) => self.list(&data, list),
            None => self.fail(format!("{} is an incomplete or empty template", quote(self.name))),
        }
    }

    fn fail<T>(&self, message: impl Display) -> Ran<T> {
        let Some(position) = self.at.position() else {
            return Err(Stop::Error(format!("template: {}: {message}", self.name)));
        };
        let before = &self.text[..position];
        let line = 1 + before.matches('\n').count();
        let column = position - before.rfind('\n').map_or(0, |newline| newline + 1);
        Err(Stop::Error(format!(
            "template: {}:{line}:{column}: executing {} at <{}>: {message}",
            self.root_name,
            quote(self.name),
            self.at
        )))
    }

    fn step(&mut self) -> Ran<()> {
        self.spend(1)
    }

    fn spend(&mut self, steps: usize) -> Ran<()> {
        match self.steps_left.checked_sub(steps) {
            Some(left) => {
                self.steps_left = left;
                Ok(())
            }
            None => self.fail(format!("template takes more than {STEP_COUNT_MAX} steps")),
        }
    }

    fn deeper(&mut self) -> Ran<()> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return self.fail(format!("exceeded maximum template depth ({DEPTH_MAX})"));
        }
        Ok(())
    }

    fn list(&mut self, dot: &Value, list: &'a List) -> Ran<()> {
        self.deeper()?;
        for statement in list {
            self.statement(dot, statement)?;
        }
        self.depth -= 1;
        Ok(())
    }

    fn statement(&mut self, dot: &Value, statement: &'a Statement) -> Ran<()> {
        self.step()?;
        match statement {
            Statement::Text(text) => self.write(text),
            Statement::Action(pipe) => {
                self.at = At::Statement(statement);
                let value = self.pipeline(dot, pipe)?;
                if pipe.variables.is_empty() {
                    self.at = At::Statement(statement);
                    self.write(&action_text(&value))?;
                }
                Ok(())
            }
            Statement::If(branch) => self.if_or_with(dot, statement, branch),
            Statement::With(branch) => self.if_or_with(dot, statement, branch),
            Statement::Range(branch) => self.range(dot, statement, branch),
            Statement::Template { name, pipe, .. } => {
                self.at = At::Statement(statement);
                self.template(dot, name, pipe.as_ref())
            }
            Statement::Break(_) => Err(Stop::Break),
            Statement::Continue(_) => Err(Stop::Continue),
            Statement::Else(_) | Statement::End(_) => Ok(()),
        }
    }

    fn write(&mut self, text: &str) -> Ran<()> {
        self.spend(text.len() / 64)?;
        match self.out.push(text) {
            Ok(()) => Ok(()),
            Err(message) => self.fail(message),
        }
    }

    fn if_or_with(&mut self, dot: &Value, at: &'a Statement, branch: &'a Branch) -> Ran<()> {
        self.at = At::Statement(at);
        let mark = self.variables.len();
        let value = self.pipeline(dot, &branch.pipe)?;
        if value.is_true() {
            let is_with = matches!(at, Statement::With(_));
            self.list(if is_with { &value } else { dot }, &branch.list)?;
        } else if let Some(list) = &branch.otherwise {
            self.list(dot, list)?;
        }
        self.variables.truncate(mark);
        Ok(())
    }

    fn range(&mut self, dot: &Value, at: &'a Statement, branch: &'a Branch) -> Ran<()> {
        self.at = At::Statement(at);
        let outer = self.variables.len();
        let value = self.pipeline(dot, &branch.pipe)?.unwrapped();
        let mut ran = false;
        let mut each = |run: &mut Self, index: Value, item: Value| {
            ran = true;
            run.iteration(branch, index, item)
        };
        match &value {
            Value::Vector(samples) => {
                for (index, sample) in samples.iter().enumerate() {
                    if !each(self, Value::int(index), Value::Sample(sample.clone()))? {
                        break;
                    }
                }
            }
            Value::Labels(labels) => {
                for (name, text) in labels.iter() {
                    if !each(self, Value::string(name), Value::string(text))? {
                        break;
                    }
                }
            }
            Value::Map(map) => {
                for (name, item) in map.iter() {
                    if !each(self, Value::string(name), item.clone())? {
                        break;
                    }
                }
            }
            Value::Int(..) if branch.pipe.variables.len() > 1 => {
                let shown = plain(&value);
                return self
                    .fail(format!("can't use {shown} to iterate over more than one variable"));
            }
            Value::Int(count, kind) => {
                for item in 0..*count {
                    if !each(self, Value::Nil, Value::Int(item, *kind))? {
                        break;
                    }
                }
            }
            Value::Nil => {}
            other => {
                let shown = match other {
                    Value::Sample(_) => action_text(other),
                    other => plain(other),
                };
                return self.fail(format!("range can't iterate over {shown}"));
            }
        }
        if !ran && let Some(list) = &branch.otherwise {
            self.list(dot, list)?;
        }
        self.variables.truncate(outer);
        Ok(())
    }

    /// One pass of a range; whether another may follow.
    fn iteration(&mut self, branch: &'a Branch, index: Value, item: Value) -> Ran<bool> {
        self.step()?;
        let names = &branch.pipe.variables;
        let mark = self.variables.len();
        if branch.pipe.is_assignment {
            match names.as_slice() {
                [one] => self.assign(one, item.clone())?,
                [first, second, ..] => {
                    self.assign(first, index)?;
                    self.assign(second, item.clone())?;
                }
                [] => {}
            }
        } else {
            if !names.is_empty() {
                self.variables[mark - 1].1 = item.clone();
            }
            if names.len() > 1 {
                self.variables[mark - 2].1 = index;
            }
        }
        let depth = self.depth;
        let ended = self.list(&item, &branch.list);
        self.depth = depth;
        self.variables.truncate(mark);
        match ended {
            Ok(()) | Err(Stop::Continue) => Ok(true),
            Err(Stop::Break) => Ok(false),
            Err(stop) => Err(stop),
        }
    }

    fn template(&mut self, dot: &Value, name: &'a str, pipe: Option<&'a Pipe>) -> Ran<()> {
        let Some((name, list)) = self.templates.get_key_value(name) else {
            return self.fail(format!("template {} not defined", quote(name)));
        };
        let dot = match pipe {
            Some(pipe) => self.pipeline(dot, pipe)?,
            None => Value::Nil,
        };
        // A template sees none of its caller's variables.
        let variables = std::mem::replace(&mut self.variables, vec![("$", dot.clone())]);
        let outer = std::mem::replace(&mut self.name, name);
        self.list(&dot, list)?;
        self.variables = variables;
        self.name = outer;
        Ok(())
    }

    fn assign(&mut self, name: &str, value: Value) -> Ran<()> {
        match self.variables.iter_mut().rev().find(|(known, _)| *known == name) {
            Some((_, held)) => {
                *held = value;
                Ok(())
            }
            None => self.fail(format!("undefined variable: {name}")),
        }
    }

    fn pipeline(&mut self, dot: &Value, pipe: &'a Pipe) -> Ran<Value> {
        self.deeper()?;
        self.at = At::Pipe(pipe);
        let mut value = None;
        for command in &pipe.commands {
            value = Some(self.command(dot, command, value)?.unwrapped());
        }
        let value = value.unwrap_or(Value::Nil);
        for name in &pipe.variables {
            if pipe.is_assignment {
                self.assign(name, value.clone())?;
            } else {
                self.variables.push((name, value.clone()));
            }
        }
        self.depth -= 1;
        Ok(value)
    }

    /// `last` is what the command before gave: the last argument of this one.
    fn command(&mut self, dot: &Value, command: &'a Command, last: Option<Value>) -> Ran<Value> {
        self.step()?;
        let first = &command.arguments[0];
        match &first.term {
            Term::Field(_) | Term::Chain(..) | Term::Variable(_) => {
                let arguments = Some(&command.arguments[..]);
                return self.operand(dot, first, arguments, last);
            }
            Term::Identifier(name) => {
                self.at = At::Operand(first);
                let arguments = &command.arguments[1..];
                return self.call(dot, name, At::Command(command), arguments, last);
            }
            Term::Pipe(pipe) => {
                self.refuse_arguments(&command.arguments, &last)?;
                return self.pipeline(dot, pipe);
            }
            _ => {}
        }
        self.at = At::Operand(first);
        self.refuse_arguments(&command.arguments, &last)?;
        match &first.term {
            Term::Nil => self.fail("nil is not a command"),
            _ => self.constant(dot, first),
        }
    }

    fn refuse_arguments(&self, arguments: &'a [Operand], last: &Option<Value>) -> Ran<()> {
        if arguments.len() > 1 || last.is_some() {
            return self.fail(format!("can't give argument to non-function {}", arguments[0]));
        }
        Ok(())
    }

    /// A constant, or the dot.
    fn constant(&mut self, dot: &Value, operand: &'a Operand) -> Ran<Value> {
        Ok(match &operand.term {
            Term::Dot => dot.clone(),
            Term::Bool(value) => Value::Bool(*value),
            Term::String { text, .. } => Value::string(text),
            Term::Number { text, number } => {
                self.at = At::Operand(operand);
                let is_hex = text.len() > 2 && text[..2].eq_ignore_ascii_case("0x");
                let is_float = !is_hex && !text.starts_with('\'') && text.contains(['.', 'e', 'E']);
                match (number.float, number.int) {
                    (Some(float), _) if is_float => Value::Float(float),
                    (_, Some(int)) => Value::Int(int, IntType::Int),
                    _ => return self.fail(format!("{text} overflows int")),
                }
            }
            _ => Value::Nil,
        })
    }

    /// A field, a variable or a chain; `arguments` begins with the operand itself.
    fn operand(
        &mut self,
        dot: &Value,
        operand: &'a Operand,
        arguments: Option<&'a [Operand]>,
        last: Option<Value>,
    ) -> Ran<Value> {
        self.at = At::Operand(operand);
        let (receiver, names) = match &operand.term {
            Term::Field(names) => (dot.clone(), &names[..]),
            Term::Variable(names) => {
                let known = self.variables.iter().rev().find(|(name, _)| *name == names[0]);
                let Some((_, value)) = known else {
                    return self.fail(format!("undefined variable: {}", names[0]));
                };
                let value = value.clone();
                if names.len() == 1 {
                    if let Some(arguments) = arguments {
                        self.refuse_arguments(arguments, &last)?;
                    }
                    return Ok(value);
                }
                (value, &names[1..])
            }
            Term::Chain(inner, names) => {
                if let Term::Nil = inner.term {
                    return self.fail(format!("indirection through explicit nil in {operand}"));
                }
                (self.argument(dot, inner, None)?, &names[..])
            }
            _ => return Ok(Value::Nil),
        };
        let (last_name, names) = names.split_last().unwrap_or((&names[0], &[]));
        let mut receiver = receiver;
        for name in names {
            receiver = self.field(dot, &receiver, name, &[], None)?;
        }
        // Only the last may be a method that takes arguments.
        let arguments = arguments.map_or(&[][..], |arguments| &arguments[1..]);
        self.field(dot, &receiver, last_name, arguments, last)
    }

    /// A field, or what a method gives. Messages name what was evaluated last, as Go's do.
    fn field(
        &mut self,
        dot: &Value,
        receiver: &Value,
        name: &str,
        arguments: &'a [Operand],
        last: Option<Value>,
    ) -> Ran<Value> {
        self.step()?;
        let found = if method(receiver, name, &[]).is_some() {
            let mut values = Vec::new();
            for argument in arguments {
                values.push(self.argument(dot, argument, Some(Param::Any))?);
            }
            values.extend(last);
            method(receiver, name, &values).unwrap_or(Ok(Value::Nil))
        } else {
            field(receiver, name, !arguments.is_empty() || last.is_some())
        };
        match found {
            Ok(value) => Ok(value),
            Err(message) => self.fail(message),
        }
    }

    /// The value of an argument for a parameter; no parameter: as it is.
    fn argument(&mut self, dot: &Value, operand: &'a Operand, param: Option<Param>) -> Ran<Value> {
        self.at = At::Operand(operand);
        let value = match &operand.term {
            Term::Dot => dot.clone(),
            Term::Nil => {
                return match param {
                    Some(Param::String) => self.fail("cannot assign nil to string"),
                    _ => Ok(Value::Nil),
                };
            }
            Term::Field(_) | Term::Variable(_) | Term::Chain(..) => {
                self.operand(dot, operand, None, None)?
            }
            Term::Pipe(pipe) => {
                self.at = At::Pipe(pipe);
                self.pipeline(dot, pipe)?
            }
            Term::Identifier(name) => self.call(dot, name, At::Operand(operand), &[], None)?,
            Term::String { .. } | Term::Bool(_) | Term::Number { .. } => match param {
                Some(Param::String) if !matches!(operand.term, Term::String { .. }) => {
                    return self.fail(format!("expected string; found {operand}"));
                }
                Some(param @ (Param::Vector | Param::Sample)) => {
                    let name = param.type_name();
                    return self.fail(format!("can't handle {operand} for arg of type {name}"));
                }
                _ => self.constant(dot, operand)?,
            },
        };
        match param {
            Some(param) => self.fit(value, param),
            None => Ok(value),
        }
    }

    /// A value as a parameter takes it.
    fn fit(&self, value: Value, param: Param) -> Ran<Value> {
        let is_nil_interface =
            matches!(&value, Value::Interface(inner) if matches!(**inner, Value::Nil));
        let fits = match (param, value.held()) {
            (Param::Any, _)
            | (Param::String, Value::String(_))
            | (Param::Vector, Value::Vector(_))
            | (Param::Sample, Value::Sample(_)) => true,
            (Param::Vector | Param::Sample, Value::Nil) => !is_nil_interface,
            _ => false,
        };
        if fits {
            return Ok(value.unwrapped());
        }
        let expected = param.type_name();
        match value {
            Value::Nil => self.fail(format!("invalid value; expected {expected}")),
            value if is_nil_interface => self.fail(format!(
                "wrong type for value; expected {expected}; got {}",
                value.type_name()
            )),
            value => self.fail(format!(
                "wrong type for value; expected {expected}; got {}",
                value.held().type_name()
            )),
        }
    }

    fn call(
        &mut self,
        dot: &Value,
        name: &'a str,
        at: At<'a>,
        arguments: &'a [Operand],
        last: Option<Value>,
    ) -> Ran<Value> {
        self.step()?;
        let Some(function) = function(name) else {
            return self.fail(format!("{} is not a defined function", quote(name)));
        };
        self.check_count(function, arguments.len(), arguments.len() + usize::from(last.is_some()))?;
        if name == "and" || name == "or" {
            let mut value = Value::Nil;
            for argument in arguments {
                value = self.argument(dot, argument, Some(Param::Any))?;
                if value.is_true() == (name == "or") {
                    return Ok(value);
                }
            }
            return Ok(last.unwrap_or(value));
        }
        let param_of = |index: usize| {
            function.params.get(index).copied().or(function.variadic).unwrap_or(Param::Any)
        };
        let mut values = Vec::with_capacity(arguments.len() + 1);
        for (index, argument) in arguments.iter().enumerate() {
            values.push(self.argument(dot, argument, Some(param_of(index)))?);
        }
        if let Some(last) = last {
            values.push(self.fit(last, param_of(values.len()))?);
        }
        let bytes: usize = values.iter().map(Value::text_bytes).sum();
        self.spend(bytes / 64)?;
        let called = match (name, values.as_slice()) {
            ("query", [Value::String(text)]) => match self.answers.get(&**text) {
                Some(Ok(samples)) => Ok(Value::Vector(samples.clone())),
                Some(Err(message)) => Err(Failure::Message(message.clone())),
                None => (function.call)(&values, &self.surroundings),
            },
            ("call", [callee, ..]) => match callee {
                Value::Nil => Err("call of nil".into()),
                callee => {
                    let shown = arguments.first().map_or_else(
                        || plain(callee),
                        |argument| match &argument.term {
                            Term::Pipe(pipe) => pipe.to_string(),
                            _ => argument.to_string(),
                        },
                    );
                    let name = callee.type_name();
                    Err(format!("non-function {shown} of type {name}").into())
                }
            },
            _ => (function.call)(&values, &self.surroundings),
        };
        match called {
            Ok(value) => {
                self.spend(value.text_bytes() / 64)?;
                Ok(value)
            }
            Err(Failure::Query(text)) => Err(Stop::Query(text)),
            Err(Failure::Message(message)) => {
                self.at = at;
                self.fail(format!("error calling {name}: {message}"))
            }
        }
    }

    fn check_count(&self, function: &Function, written: usize, count: usize) -> Ran<()> {
        let (name, fixed) = (function.name, function.params.len());
        if function.variadic.is_some() {
            if count < fixed {
                return self.fail(format!(
                    "wrong number of args for {name}: want at least {fixed} got {written}"
                ));
            }
        } else if count != fixed {
            return self.fail(format!("wrong number of args for {name}: want {fixed} got {count}"));
        }
        Ok(())
    }
}
