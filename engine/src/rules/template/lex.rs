//! The text of a template to tokens.
//!
//! Source: Go `text/template/parse/lex.go`.

use crate::model::quote::{code_point, quote};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// What cannot be read; the text is the message.
    Error,
    Bool,
    /// A printable ASCII character that means something here and there: a comma.
    Char,
    CharConstant,
    Complex,
    Assign,
    Declare,
    Eof,
    Field,
    Identifier,
    LeftDelim,
    LeftParen,
    Number,
    Pipe,
    RawString,
    RightDelim,
    RightParen,
    Space,
    String,
    Text,
    Variable,
    // Keywords.
    Block,
    Break,
    Continue,
    Dot,
    Define,
    Else,
    End,
    If,
    Nil,
    Range,
    Template,
    With,
}

const KEYWORDS: [(&str, Kind); 12] = [
    (".", Kind::Dot),
    ("block", Kind::Block),
    ("break", Kind::Break),
    ("continue", Kind::Continue),
    ("define", Kind::Define),
    ("else", Kind::Else),
    ("end", Kind::End),
    ("if", Kind::If),
    ("nil", Kind::Nil),
    ("range", Kind::Range),
    ("template", Kind::Template),
    ("with", Kind::With),
];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub kind: Kind,
    /// Byte of its first character.
    pub position: usize,
    /// From 1.
    pub line: usize,
    pub text: String,
}

impl Token {
    fn is_keyword(&self) -> bool {
        KEYWORDS.iter().any(|(_, kind)| *kind == self.kind)
    }

    /// As messages name it.
    pub fn shown(&self) -> String {
        match self.kind {
            Kind::Eof => "EOF".to_owned(),
            Kind::Error => self.text.clone(),
            _ if self.is_keyword() => format!("<{}>", self.text),
            _ if self.text.len() > 10 => {
                format!("{}...", quote(&self.text.chars().take(10).collect::<String>()))
            }
            _ => quote(&self.text),
        }
    }
}

const LEFT: &str = "{{";
const RIGHT: &str = "}}";

pub(super) struct Lexer<'a> {
    input: &'a str,
    position: usize,
    /// Where the token that is being read begins, and its line.
    start: usize,
    start_line: usize,
    inside_action: bool,
    paren_depth: usize,
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_alphanumeric(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn trim_left(text: &str) -> &str {
    text.trim_start_matches(is_space)
}

impl<'a> Lexer<'a> {
    pub fn new(input: &'a str) -> Self {
        Lexer { input, position: 0, start: 0, start_line: 1, inside_action: false, paren_depth: 0 }
    }

    pub fn next_token(&mut self) -> Token {
        loop {
            let token = if self.inside_action { Some(self.action()) } else { self.text() };
            if let Some(token) = token {
                return token;
            }
        }
    }

    fn rest(&self) -> &'a str {
        &self.input[self.position..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.position += c.len_utf8();
        Some(c)
    }

    fn accept(&mut self, set: &str) -> bool {
        let found = self.peek().is_some_and(|c| set.contains(c));
        if found {
            self.position += 1;
        }
        found
    }

    fn accept_run(&mut self, set: &str) {
        while self.accept(set) {}
    }

    /// Leaves out what was read since the last token.
    fn ignore(&mut self) {
        self.start_line += self.input[self.start..self.position].matches('\n').count();
        self.start = self.position;
    }

    fn emit(&mut self, kind: Kind) -> Token {
        let text = self.input[self.start..self.position].to_owned();
        let token = Token { kind, position: self.start, line: self.start_line, text };
        self.ignore();
        token
    }

    /// An error ends the text.
    fn error(&mut self, message: impl Into<String>) -> Token {
        let token = Token {
            kind: Kind::Error,
            position: self.start,
            line: self.start_line,
            text: message.into(),
        };
        self.input = "";
        (self.position, self.start, self.inside_action) = (0, 0, false);
        token
    }

    /// Text up to the next action; none if nothing stands between them, or after a comment.
    fn text(&mut self) -> Option<Token> {
        let Some(at) = self.rest().find(LEFT) else {
            self.position = self.input.len();
            let kind = if self.position > self.start { Kind::Text } else { Kind::Eof };
            return Some(self.emit(kind));
        };
        if at > 0 {
            let end = self.position + at;
            let text = &self.input[self.start..end];
            let is_trimmed = has_left_trim(&self.input[end + LEFT.len()..]);
            let kept = if is_trimmed { text.trim_end_matches(is_space).len() } else { text.len() };
            self.position = self.start + kept;
            let token = self.emit(Kind::Text);
            self.position = end;
            self.ignore();
            if !token.text.is_empty() {
                return Some(token);
            }
        }
        self.left_delim()
    }

    fn left_delim(&mut self) -> Option<Token> {
        self.position += LEFT.len();
        let marker = if has_left_trim(self.rest()) { 2 } else { 0 };
        if self.rest()[marker..].starts_with("/*") {
            self.position += marker;
            self.ignore();
            return self.comment();
        }
        let token = self.emit(Kind::LeftDelim);
        self.inside_action = true;
        self.position += marker;
        self.ignore();
        self.paren_depth = 0;
        Some(token)
    }

    fn comment(&mut self) -> Option<Token> {
        self.position += 2;
        let Some(at) = self.rest().find("*/") else { return Some(self.error("unclosed comment")) };
        self.position += at + 2;
        let Some(is_trimmed) = self.right_delim() else {
            return Some(self.error("comment ends before closing delimiter"));
        };
        self.pass_right_delim(is_trimmed);
        self.ignore();
        None
    }

    /// Whether a closing delimiter follows, and whether it trims the text behind it.
    fn right_delim(&self) -> Option<bool> {
        let rest = self.rest();
        if rest.starts_with(is_space) && rest[1..].starts_with("-}}") {
            return Some(true);
        }
        rest.starts_with(RIGHT).then_some(false)
    }

    fn pass_right_delim(&mut self, is_trimmed: bool) {
        self.position += RIGHT.len();
        if is_trimmed {
            self.position += 2;
            self.position = self.input.len() - trim_left(self.rest()).len();
        }
    }

    fn close(&mut self, is_trimmed: bool) -> Token {
        if is_trimmed {
            self.position += 2;
            self.ignore();
        }
        self.position += RIGHT.len();
        let token = self.emit(Kind::RightDelim);
        if is_trimmed {
            self.position = self.input.len() - trim_left(self.rest()).len();
            self.ignore();
        }
        self.inside_action = false;
        token
    }

    fn action(&mut self) -> Token {
        if let Some(is_trimmed) = self.right_delim() {
            if self.paren_depth == 0 {
                return self.close(is_trimmed);
            }
            return self.error("unclosed left paren");
        }
        let Some(c) = self.next() else { return self.error("unclosed action") };
        match c {
            _ if is_space(c) => self.space(),
            '=' => self.emit(Kind::Assign),
            ':' if self.accept("=") => self.emit(Kind::Declare),
            ':' => self.error("expected :="),
            '|' => self.emit(Kind::Pipe),
            '"' => self.quoted('"', Kind::String, "unterminated quoted string"),
            '`' => self.raw_quoted(),
            '\'' => self.quoted('\'', Kind::CharConstant, "unterminated character constant"),
            '$' => self.field_or_variable(Kind::Variable),
            '.' if self.peek().is_some_and(|c| !c.is_ascii_digit()) => {
                self.field_or_variable(Kind::Field)
            }
            '.' | '+' | '-' | '0'..='9' => {
                self.position -= 1;
                self.number()
            }
            _ if is_alphanumeric(c) => self.identifier(),
            '(' => {
                self.paren_depth += 1;
                self.emit(Kind::LeftParen)
            }
            ')' if self.paren_depth == 0 => self.error("unexpected right paren"),
            ')' => {
                self.paren_depth -= 1;
                self.emit(Kind::RightParen)
            }
            ' '..='~' => self.emit(Kind::Char),
            _ => self.error(format!("unrecognized character in action: {}", code_point(c))),
        }
    }

    /// A run of spaces; the last may belong to a closing delimiter that trims.
    fn space(&mut self) -> Token {
        while self.peek().is_some_and(is_space) {
            self.position += 1;
        }
        if self.input[self.position..].starts_with("-}}") {
            self.position -= 1;
            if self.position == self.start {
                return self.close(true);
            }
        }
        self.emit(Kind::Space)
    }

    fn quoted(&mut self, quote: char, kind: Kind, unterminated: &str) -> Token {
        loop {
            match self.next() {
                Some('\\') if !matches!(self.next(), None | Some('\n')) => {}
                None | Some('\n' | '\\') => return self.error(unterminated),
                Some(c) if c == quote => return self.emit(kind),
                Some(_) => {}
            }
        }
    }

    fn raw_quoted(&mut self) -> Token {
        match self.rest().find('`') {
            Some(at) => {
                self.position += at + 1;
                self.emit(Kind::RawString)
            }
            None => self.error("unterminated raw quoted string"),
        }
    }

    /// The `.` or `$` was read.
    fn field_or_variable(&mut self, kind: Kind) -> Token {
        if self.is_at_terminator() {
            return self.emit(if kind == Kind::Field { Kind::Dot } else { kind });
        }
        self.word(kind)
    }

    fn word(&mut self, kind: Kind) -> Token {
        while self.peek().is_some_and(is_alphanumeric) {
            self.next();
        }
        if !self.is_at_terminator() {
            let bad = self.peek().map_or_else(String::new, code_point);
            return self.error(format!("bad character {bad}"));
        }
        self.emit(kind)
    }

    fn identifier(&mut self) -> Token {
        let mut token = self.word(Kind::Identifier);
        if token.kind == Kind::Identifier {
            token.kind = match KEYWORDS.iter().find(|(word, _)| *word == token.text) {
                Some((_, kind)) => *kind,
                None if matches!(token.text.as_str(), "true" | "false") => Kind::Bool,
                None => Kind::Identifier,
            };
        }
        token
    }

    /// Whether what follows may stand after a word.
    fn is_at_terminator(&self) -> bool {
        match self.peek() {
            None | Some('.' | ',' | '|' | ':' | ')' | '(') => true,
            Some(c) => is_space(c) || self.rest().starts_with(RIGHT),
        }
    }

    fn number(&mut self) -> Token {
        if !self.scan_number() {
            let text = quote(&self.input[self.start..self.position]);
            return self.error(format!("bad number syntax: {text}"));
        }
        if self.peek().is_some_and(|c| "+-".contains(c)) {
            if !self.scan_number() || !self.input[..self.position].ends_with('i') {
                let text = quote(&self.input[self.start..self.position]);
                return self.error(format!("bad number syntax: {text}"));
            }
            return self.emit(Kind::Complex);
        }
        self.emit(Kind::Number)
    }

    /// Takes more than numbers; what is none is found when its value is read.
    fn scan_number(&mut self) -> bool {
        self.accept("+-");
        let mut digits = "0123456789_";
        if self.accept("0") {
            if self.accept("xX") {
                digits = "0123456789abcdefABCDEF_";
            } else if self.accept("oO") {
                digits = "01234567_";
            } else if self.accept("bB") {
                digits = "01_";
            }
        }
        self.accept_run(digits);
        if self.accept(".") {
            self.accept_run(digits);
        }
        let exponent = match digits.len() {
            11 => "eE",
            23 => "pP",
            _ => "",
        };
        if self.accept(exponent) {
            self.accept("+-");
            self.accept_run("0123456789_");
        }
        self.accept("i");
        if self.peek().is_some_and(is_alphanumeric) {
            self.next();
            return false;
        }
        true
    }
}

/// Whether an action begins with the mark that trims the text before it.
fn has_left_trim(text: &str) -> bool {
    text.strip_prefix('-').is_some_and(|rest| rest.starts_with(is_space))
}
