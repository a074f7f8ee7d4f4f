//! Tokens to a tree.
//!
//! Source: Go `text/template/parse/parse.go`, `node.go`.

use std::collections::BTreeMap;

use super::functions::is_function;
use super::lex::{Kind, Lexer, Token};
use super::literal;
use super::tree::{Branch, Command, List, Operand, Pipe, Statement, Term};
use crate::model::quote::quote;

/// Deepest nesting of control structures and parentheses; protects the stack here and in `run`.
const DEPTH_MAX: usize = 50;

/// The templates of a text by name, the text itself under its own name.
pub(super) type Templates = BTreeMap<String, List>;

/// What a template has that a definition within it does not share.
#[derive(Default)]
struct Scope {
    /// Variables that may be named now, with their dollar signs.
    variables: Vec<String>,
    range_depth: usize,
}

struct Parser<'a> {
    name: &'a str,
    lexer: Lexer<'a>,
    /// Tokens that were read and put back; the last comes next.
    pending: Vec<Token>,
    /// Line of the token that was read last from the lexer.
    line: usize,
    /// Line on which the action that is being read began; 0 outside of actions.
    action_line: usize,
    scope: Scope,
    depth: usize,
    templates: Templates,
}

type Parsed<T> = Result<T, String>;

/// Reads `text` as the template `name`.
pub(super) fn parse(name: &str, text: &str) -> Parsed<Templates> {
    let mut parser = Parser {
        name,
        lexer: Lexer::new(text),
        pending: Vec::new(),
        line: 0,
        action_line: 0,
        scope: Scope { variables: vec!["$".to_owned()], range_depth: 0 },
        depth: 0,
        templates: Templates::new(),
    };
    let root = parser.root()?;
    parser.add(name.to_owned(), root)?;
    Ok(parser.templates)
}

/// Whether a list holds nothing but space.
fn is_empty(list: &List) -> bool {
    list.iter().all(|statement| match statement {
        Statement::Text(text) => text.trim().is_empty(),
        _ => false,
    })
}

impl Parser<'_> {
    fn next(&mut self) -> Token {
        match self.pending.pop() {
            Some(token) => token,
            None => {
                let token = self.lexer.next_token();
                self.line = token.line;
                token
            }
        }
    }

    fn put_back(&mut self, token: Token) {
        self.pending.push(token);
    }

    fn peek(&mut self) -> &Token {
        if self.pending.is_empty() {
            let token = self.next();
            self.pending.push(token);
        }
        &self.pending[self.pending.len() - 1]
    }

    fn next_not_space(&mut self) -> Token {
        loop {
            let token = self.next();
            if token.kind != Kind::Space {
                return token;
            }
        }
    }

    fn peek_not_space(&mut self) -> &Token {
        let token = self.next_not_space();
        self.pending.push(token);
        &self.pending[self.pending.len() - 1]
    }

    fn error<T>(&self, message: impl std::fmt::Display) -> Parsed<T> {
        Err(format!("template: {}:{}: {message}", self.name, self.line))
    }

    fn unexpected<T>(&self, token: &Token, context: &str) -> Parsed<T> {
        if token.kind != Kind::Error {
            return self.error(format!("unexpected {} in {context}", token.shown()));
        }
        let mut message = token.text.clone();
        if self.action_line != 0 && self.action_line != token.line {
            // Not "action in action".
            let r#in = if message.ends_with(" action") { "" } else { " in action" };
            message += &format!("{in} started at {}:{}", self.name, self.action_line);
        }
        self.error(message)
    }

    fn expect(&mut self, kind: Kind, context: &str) -> Parsed<Token> {
        let token = self.next_not_space();
        if token.kind == kind { Ok(token) } else { self.unexpected(&token, context) }
    }

    fn deeper(&mut self) -> Parsed<()> {
        self.depth += 1;
        if self.depth > DEPTH_MAX { self.error("max expression depth exceeded") } else { Ok(()) }
    }

    fn add(&mut self, name: String, list: List) -> Parsed<()> {
        match self.templates.get(&name) {
            Some(known) if !is_empty(known) => {
                if is_empty(&list) {
                    return Ok(());
                }
                let name = quote(&name);
                self.error(format!("template: multiple definition of template {name}"))
            }
            _ => {
                self.templates.insert(name, list);
                Ok(())
            }
        }
    }

    fn root(&mut self) -> Parsed<List> {
        let mut list = List::new();
        loop {
            match self.peek().kind {
                Kind::Eof => return Ok(list),
                Kind::LeftDelim => {
                    let delim = self.next();
                    let token = self.next_not_space();
                    if token.kind == Kind::Define {
                        self.definition()?;
                        continue;
                    }
                    self.put_back(token);
                    self.put_back(delim);
                }
                _ => {}
            }
            match self.statement()? {
                end @ (Statement::End(_) | Statement::Else(_)) => {
                    return self.error(format!("unexpected {end}"));
                }
                statement => list.push(statement),
            }
        }
    }

    /// `{{define` was read.
    fn definition(&mut self) -> Parsed<()> {
        let context = "define clause";
        let token = self.next_not_space();
        let name = self.template_name(&token, context)?;
        self.expect(Kind::RightDelim, context)?;
        let list = self.own_list(context)?;
        self.add(name, list)
    }

    /// The list of a template within a template, with variables of its own, up to its end.
    fn own_list(&mut self, context: &str) -> Parsed<List> {
        let own = Scope { variables: vec!["$".to_owned()], range_depth: 0 };
        let outer = std::mem::replace(&mut self.scope, own);
        let (list, end) = self.list()?;
        if !matches!(end, Statement::End(_)) {
            return self.error(format!("unexpected {end} in {context}"));
        }
        self.scope = outer;
        Ok(list)
    }

    /// Statements up to an end or else, which comes second.
    fn list(&mut self) -> Parsed<(List, Statement)> {
        self.deeper()?;
        let mut list = List::new();
        while self.peek_not_space().kind != Kind::Eof {
            match self.statement()? {
                end @ (Statement::End(_) | Statement::Else(_)) => {
                    self.depth -= 1;
                    return Ok((list, end));
                }
                statement => list.push(statement),
            }
        }
        self.error("unexpected EOF")
    }

    fn statement(&mut self) -> Parsed<Statement> {
        let token = self.next_not_space();
        match token.kind {
            Kind::Text => Ok(Statement::Text(token.text)),
            Kind::LeftDelim => {
                self.action_line = token.line;
                let statement = self.action();
                self.action_line = 0;
                statement
            }
            _ => self.unexpected(&token, "input"),
        }
    }

    /// The left delimiter was read.
    fn action(&mut self) -> Parsed<Statement> {
        let token = self.next_not_space();
        match token.kind {
            Kind::Block => self.block(),
            Kind::Break => self.leave_range("{{break}}", Statement::Break(token.position)),
            Kind::Continue => self.leave_range("{{continue}}", Statement::Continue(token.position)),
            Kind::Else => match self.peek_not_space() {
                next if matches!(next.kind, Kind::If | Kind::With) => {
                    Ok(Statement::Else(next.position))
                }
                _ => Ok(Statement::Else(self.expect(Kind::RightDelim, "else")?.position)),
            },
            Kind::End => Ok(Statement::End(self.expect(Kind::RightDelim, "end")?.position)),
            Kind::If => Ok(Statement::If(self.branch("if")?)),
            Kind::Range => Ok(Statement::Range(self.branch("range")?)),
            Kind::With => Ok(Statement::With(self.branch("with")?)),
            Kind::Template => self.template(),
            _ => {
                self.put_back(token);
                // Variables that are declared here hold until the end of the list.
                Ok(Statement::Action(self.pipeline("command", Kind::RightDelim)?))
            }
        }
    }

    fn leave_range(&mut self, shown: &str, statement: Statement) -> Parsed<Statement> {
        let token = self.next_not_space();
        if token.kind != Kind::RightDelim {
            return self.unexpected(&token, shown);
        }
        if self.scope.range_depth == 0 {
            return self.error(format!("{shown} outside {{{{range}}}}"));
        }
        Ok(statement)
    }

    /// The keyword was read.
    fn branch(&mut self, context: &str) -> Parsed<Branch> {
        let variable_count = self.scope.variables.len();
        let pipe = self.pipeline(context, Kind::RightDelim)?;
        let is_range = usize::from(context == "range");
        self.scope.range_depth += is_range;
        let (list, end) = self.list()?;
        self.scope.range_depth -= is_range;
        let mut otherwise = None;
        if matches!(end, Statement::Else(_)) {
            let next = (context, self.peek().kind);
            let chained = matches!(next, ("if", Kind::If) | ("with", Kind::With));
            otherwise = Some(if chained {
                // `else if` needs one end only: the inner one's.
                self.next();
                self.deeper()?;
                let inner = self.branch(context)?;
                self.depth -= 1;
                let wrap = if context == "if" { Statement::If } else { Statement::With };
                vec![wrap(inner)]
            } else {
                let (list, end) = self.list()?;
                if !matches!(end, Statement::End(_)) {
                    return self.error(format!("expected end; found {end}"));
                }
                list
            });
        }
        self.scope.variables.truncate(variable_count);
        Ok(Branch { pipe, list, otherwise })
    }

    fn block(&mut self) -> Parsed<Statement> {
        let context = "block clause";
        let token = self.next_not_space();
        let name = self.template_name(&token, context)?;
        let pipe = self.pipeline(context, Kind::RightDelim)?;
        let list = self.own_list(context)?;
        self.add(name.clone(), list)?;
        Ok(Statement::Template { position: token.position, name, pipe: Some(pipe) })
    }

    fn template(&mut self) -> Parsed<Statement> {
        let context = "template clause";
        let token = self.next_not_space();
        let name = self.template_name(&token, context)?;
        let next = self.next_not_space();
        let pipe = if next.kind == Kind::RightDelim {
            None
        } else {
            self.put_back(next);
            Some(self.pipeline(context, Kind::RightDelim)?)
        };
        Ok(Statement::Template { position: token.position, name, pipe })
    }

    fn template_name(&self, token: &Token, context: &str) -> Parsed<String> {
        match token.kind {
            Kind::String | Kind::RawString => self.unquote(&token.text),
            _ => self.unexpected(token, context),
        }
    }

    fn unquote(&self, literal: &str) -> Parsed<String> {
        match literal::unquote(literal) {
            Some(text) => Ok(text),
            None => self.error("invalid syntax"),
        }
    }

    fn pipeline(&mut self, context: &str, end: Kind) -> Parsed<Pipe> {
        let position = self.peek_not_space().position;
        let mut pipe =
            Pipe { position, is_assignment: false, variables: Vec::new(), commands: Vec::new() };
        while self.declaration(&mut pipe, context)? {}
        loop {
            let token = self.next_not_space();
            match token.kind {
                kind if kind == end => break,
                Kind::Bool
                | Kind::CharConstant
                | Kind::Complex
                | Kind::Dot
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::Nil
                | Kind::RawString
                | Kind::String
                | Kind::Variable
                | Kind::LeftParen => {
                    self.put_back(token);
                    let command = self.command()?;
                    pipe.commands.push(command);
                }
                _ => return self.unexpected(&token, context),
            }
        }
        if pipe.commands.is_empty() {
            return self.error(format!("missing value for {context}"));
        }
        for (index, command) in pipe.commands.iter().enumerate().skip(1) {
            if let Term::Bool(_)
            | Term::Dot
            | Term::Nil
            | Term::Number { .. }
            | Term::String { .. } = command.arguments[0].term
            {
                let stage = index + 1;
                return self.error(format!("non executable command in pipeline stage {stage}"));
            }
        }
        Ok(pipe)
    }

    /// Takes `$x :=`, `$x =` or `$x,` if it stands here; whether another may follow.
    fn declaration(&mut self, pipe: &mut Pipe, context: &str) -> Parsed<bool> {
        if self.peek_not_space().kind != Kind::Variable {
            return Ok(false);
        }
        let variable = self.next();
        let after = self.peek().clone();
        let next = self.next_not_space();
        match next.kind {
            Kind::Assign | Kind::Declare => {
                pipe.is_assignment = next.kind == Kind::Assign;
                self.declare(pipe, variable.text);
                Ok(false)
            }
            Kind::Char if next.text == "," => {
                self.declare(pipe, variable.text);
                if context != "range" || pipe.variables.len() >= 2 {
                    return self.error(format!("too many declarations in {context}"));
                }
                match self.peek_not_space().kind {
                    Kind::Variable | Kind::RightDelim | Kind::RightParen => Ok(true),
                    _ => self.error("range can only initialize variables"),
                }
            }
            _ => {
                self.put_back(next);
                if after.kind == Kind::Space {
                    self.put_back(after);
                }
                self.put_back(variable);
                Ok(false)
            }
        }
    }

    fn declare(&mut self, pipe: &mut Pipe, name: String) {
        pipe.variables.push(name.clone());
        self.scope.variables.push(name);
    }

    fn command(&mut self) -> Parsed<Command> {
        let mut command =
            Command { position: self.peek_not_space().position, arguments: Vec::new() };
        loop {
            self.peek_not_space();
            command.arguments.extend(self.operand()?);
            let token = self.next();
            match token.kind {
                Kind::Space => continue,
                Kind::RightDelim | Kind::RightParen => self.put_back(token),
                Kind::Pipe => {}
                _ => return self.unexpected(&token, "operand"),
            }
            break;
        }
        if command.arguments.is_empty() {
            return self.error("empty command");
        }
        Ok(command)
    }

    /// A term and the fields behind it; nothing if no term stands here.
    fn operand(&mut self) -> Parsed<Option<Operand>> {
        let Some(mut operand) = self.term()? else { return Ok(None) };
        if self.peek().kind != Kind::Field {
            return Ok(Some(operand));
        }
        let position = self.peek().position;
        let mut names = Vec::new();
        while self.peek().kind == Kind::Field {
            names.push(self.next().text[1..].to_owned());
        }
        operand = match operand.term {
            Term::Field(mut own) => {
                own.append(&mut names);
                Operand { position, term: Term::Field(own) }
            }
            Term::Variable(mut own) => {
                own.append(&mut names);
                Operand { position, term: Term::Variable(own) }
            }
            Term::Bool(_) | Term::String { .. } | Term::Number { .. } | Term::Nil | Term::Dot => {
                let shown = quote(&operand.to_string());
                return self.error(format!("unexpected . after term {shown}"));
            }
            _ => Operand { position, term: Term::Chain(Box::new(operand), names) },
        };
        Ok(Some(operand))
    }

    fn term(&mut self) -> Parsed<Option<Operand>> {
        let token = self.next_not_space();
        let position = token.position;
        let term = match token.kind {
            Kind::Identifier if !is_function(&token.text) => {
                return self.error(format!("function {} not defined", quote(&token.text)));
            }
            Kind::Identifier => Term::Identifier(token.text),
            Kind::Dot => Term::Dot,
            Kind::Nil => Term::Nil,
            Kind::Variable if !self.scope.variables.contains(&token.text) => {
                return self.error(format!("undefined variable {}", quote(&token.text)));
            }
            Kind::Variable => Term::Variable(vec![token.text]),
            Kind::Field => Term::Field(vec![token.text[1..].to_owned()]),
            Kind::Bool => Term::Bool(token.text == "true"),
            Kind::CharConstant | Kind::Complex | Kind::Number => {
                match literal::number(&token.text, token.kind) {
                    Ok(number) => Term::Number { text: token.text, number },
                    Err(message) => return self.error(message),
                }
            }
            Kind::LeftParen => {
                self.deeper()?;
                let pipe = self.pipeline("parenthesized pipeline", Kind::RightParen)?;
                self.depth -= 1;
                Term::Pipe(pipe)
            }
            Kind::String | Kind::RawString => {
                let text = self.unquote(&token.text)?;
                Term::String { literal: token.text, text }
            }
            _ => {
                self.put_back(token);
                return Ok(None);
            }
        };
        let position = match &term {
            Term::Pipe(pipe) => pipe.position,
            _ => position,
        };
        Ok(Some(Operand { position, term }))
    }
}
