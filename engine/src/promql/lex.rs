//! The lexer: one token at a time, with the place of each.
//!
//! What a character means depends on where it stands (in braces, in brackets before and behind
//! the first number, in the values of a series), and messages name the place; so the lexer keeps
//! the little state below and walks the bytes by hand. It never looks at a token before it is
//! asked for, because the order of messages depends on that.
//!
//! Not here: what strings and numbers mean (`unquote.rs`, `number.rs`), the values of a series
//! (`lex_series.rs`).
//!
//! Source: Prometheus `promql/parser/lex.go`.

use crate::model::quote::{code_point, quote, quote_char};

use super::ast::{BinaryOp, PosRange};
use super::error::ParseError;
use super::token::{Keyword, Token, TokenKind, duration_keyword, keyword};

pub(super) struct Lexer<'a> {
    pub(super) text: &'a str,
    /// Behind the last byte read.
    pub(super) position: usize,
    /// Where the token being read begins.
    pub(super) start: usize,
    pub(super) mode: Mode,
    paren_depth: usize,
    brace_open: bool,
    pub(super) bracket_open: bool,
    got_colon: bool,
    /// A number has been seen since `[`.
    got_duration: bool,
    /// The text is a series description.
    pub(super) is_series: bool,
    /// The newest token is a space of a series description; the rest of that space is skipped.
    pub(super) after_space: bool,
    /// Where the newest token begins, comments included.
    last_start: usize,
}

/// Where the lexer stands, as far as that changes the meaning of characters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Expression,
    /// In `[…]`, before a number was read.
    DurationExpression,
    /// Behind the labels of a series description.
    SeriesValues,
    /// In `{{…}}`.
    Histogram,
    /// Directly behind `}}`, before `x`, `+` or `-`.
    AfterHistogram,
}

/// A refusal: its message, at the start of the token that was being read.
pub(super) type LexResult = Result<Option<TokenKind>, String>;

impl<'a> Lexer<'a> {
    pub fn new(text: &'a str) -> Self {
        Lexer {
            text,
            position: 0,
            start: 0,
            mode: Mode::Expression,
            paren_depth: 0,
            brace_open: false,
            bracket_open: false,
            got_colon: false,
            got_duration: false,
            is_series: false,
            after_space: false,
            last_start: 0,
        }
    }

    /// The next token. Errors: a text that is no token; nothing may be read after it.
    pub fn next_token(&mut self) -> Result<Token, ParseError> {
        loop {
            self.start = self.position;
            match self.read() {
                // Space or a comment.
                Ok(None) => {}
                Ok(Some(kind)) => {
                    self.last_start = self.start;
                    return Ok(Token { kind, position: self.range(self.start, self.position) });
                }
                Err(message) => {
                    self.last_start = self.start;
                    let position = self.range(self.start, self.text.len());
                    return Err(ParseError { position, message });
                }
            }
        }
    }

    /// Where the closing parenthesis before the newest token ends, if that is one too with only
    /// space between; otherwise `fallback`.
    ///
    /// For rules that had to read one token too far to know that they were complete.
    pub fn previous_right_paren(&self, fallback: u32) -> u32 {
        let bytes = self.text.as_bytes();
        if fallback == 0 || self.last_start == 0 || bytes.get(self.last_start) != Some(&b')') {
            return fallback;
        }
        let before = bytes[1..self.last_start].trim_ascii_end();
        if before.last() == Some(&b')') { before.len() as u32 + 1 } else { fallback }
    }

    fn range(&self, start: usize, end: usize) -> PosRange {
        PosRange { start: start as u32, end: end as u32 }
    }

    /// Reads one token, or space or a comment (`None`).
    fn read(&mut self) -> LexResult {
        match self.mode {
            Mode::Histogram => self.read_histogram(),
            Mode::AfterHistogram => self.read_after_histogram(),
            _ if self.brace_open => self.read_inside_braces(),
            Mode::Expression => self.read_expression(),
            Mode::DurationExpression => self.read_duration_expression(),
            Mode::SeriesValues => self.read_series_values(),
        }
    }

    fn read_expression(&mut self) -> LexResult {
        use TokenKind::{At, Binary, Comma, Eof, Equal};
        let Some(c) = self.next() else {
            return match () {
                () if self.paren_depth != 0 => Err("unclosed left parenthesis".into()),
                () if self.bracket_open => Err("unclosed left bracket".into()),
                () => Ok(Some(Eof)),
            };
        };
        Ok(Some(match c {
            '#' => return self.skip_comment(),
            ',' => Comma,
            ' ' | '\t' | '\n' | '\r' => return self.skip_space(),
            '*' => Binary(BinaryOp::Mul),
            '/' => Binary(BinaryOp::Div),
            '%' => Binary(BinaryOp::Mod),
            '+' => Binary(BinaryOp::Add),
            '-' => Binary(BinaryOp::Sub),
            '^' => Binary(BinaryOp::Pow),
            '=' if self.accept("=") => Binary(BinaryOp::Eql),
            '=' if self.peek() == Some('~') => {
                return Err("unexpected character after '=': '~'".into());
            }
            '=' => Equal,
            '!' if self.accept("=") => Binary(BinaryOp::Neq),
            '!' => return Err(format!("unexpected character after '!': {}", self.quote_next())),
            '<' if self.accept("=") => Binary(BinaryOp::Lte),
            '<' if self.accept("/") => Binary(BinaryOp::TrimUpper),
            '<' => Binary(BinaryOp::Lss),
            '>' if self.accept("=") => Binary(BinaryOp::Gte),
            '>' if self.accept("/") => Binary(BinaryOp::TrimLower),
            '>' => Binary(BinaryOp::Gtr),
            '0'..='9' => return self.read_number_or_duration(),
            '.' if self.next_is("0123456789") => return self.read_number_or_duration(),
            '"' | '\'' => return self.read_string(c),
            '`' => return self.read_raw_string(),
            ':' if self.bracket_open && self.got_colon => {
                return Err("unexpected colon ':'".into());
            }
            ':' if self.bracket_open => {
                self.got_colon = true;
                TokenKind::Colon
            }
            _ if is_alpha(c) && self.bracket_open => {
                return self.read_duration_keyword(c).map(Some).ok_or_else(|| {
                    format!("unexpected character: {}, expected ':'", quote_char(c))
                });
            }
            _ if is_alpha(c) || c == ':' => return Ok(Some(self.read_word())),
            '(' | ')' => return self.read_paren(c),
            '{' => {
                self.brace_open = true;
                TokenKind::LeftBrace
            }
            '[' if self.bracket_open => return Err("unexpected left bracket '['".into()),
            '[' => {
                self.got_colon = false;
                self.bracket_open = true;
                self.mode = Mode::DurationExpression;
                TokenKind::LeftBracket
            }
            ']' if !self.bracket_open => return Err("unexpected right bracket ']'".into()),
            ']' => {
                self.bracket_open = false;
                TokenKind::RightBracket
            }
            '@' => At,
            _ => return Err(format!("unexpected character: {}", quote_char(c))),
        }))
    }

    /// In `[…]` before the first number. Behind it `read_expression` goes on.
    fn read_duration_expression(&mut self) -> LexResult {
        use TokenKind::Binary;
        let Some(c) = self.next() else {
            return Err("unexpected end of input in duration expression".into());
        };
        Ok(Some(match c {
            ']' => {
                self.bracket_open = false;
                self.got_colon = false;
                self.mode = Mode::Expression;
                TokenKind::RightBracket
            }
            ':' => {
                // The refusals stand behind the colon.
                self.start = self.position;
                if !self.got_duration {
                    let what = "unexpected colon before duration in duration expression";
                    return Err(what.into());
                }
                if self.got_colon {
                    return Err("unexpected repeated colon in duration expression".into());
                }
                self.start -= 1;
                self.got_colon = true;
                TokenKind::Colon
            }
            '(' | ')' => return self.read_paren(c),
            ' ' | '\t' | '\n' | '\r' => return self.skip_space(),
            '+' => Binary(BinaryOp::Add),
            '-' => Binary(BinaryOp::Sub),
            '*' => Binary(BinaryOp::Mul),
            '/' => Binary(BinaryOp::Div),
            '%' => Binary(BinaryOp::Mod),
            '^' => Binary(BinaryOp::Pow),
            ',' => TokenKind::Comma,
            '0'..='9' => return self.read_duration_number(),
            '.' if self.next_is("0123456789") => return self.read_duration_number(),
            _ => {
                let keyword = if is_alpha(c) { self.read_duration_keyword(c) } else { None };
                return keyword.map(Some).ok_or_else(|| {
                    format!("unexpected character in duration expression: {}", quote_char(c))
                });
            }
        }))
    }

    fn read_duration_number(&mut self) -> LexResult {
        self.got_duration = true;
        self.mode = Mode::Expression;
        self.read_number_or_duration()
    }

    /// In `{…}`: keywords are plain identifiers.
    fn read_inside_braces(&mut self) -> LexResult {
        let Some(c) = self.next() else {
            return Err("unexpected end of input inside braces".into());
        };
        Ok(Some(match c {
            '#' => return self.skip_comment(),
            ' ' | '\t' | '\n' | '\r' => return self.skip_space(),
            _ if is_alpha(c) => {
                self.skip_while(is_alphanumeric);
                TokenKind::Identifier
            }
            ',' => TokenKind::Comma,
            '"' | '\'' => return self.read_string(c),
            '`' => return self.read_raw_string(),
            '=' if self.accept("~") => TokenKind::EqualRegex,
            '=' => TokenKind::Equal,
            '!' if self.accept("~") => TokenKind::NotRegex,
            '!' if self.accept("=") => TokenKind::Binary(BinaryOp::Neq),
            '!' => {
                let next = self.quote_next();
                return Err(format!("unexpected character after '!' inside braces: {next}"));
            }
            '{' => return Err("unexpected left brace '{'".into()),
            '}' => {
                self.brace_open = false;
                if self.is_series {
                    self.mode = Mode::SeriesValues;
                }
                TokenKind::RightBrace
            }
            _ => return Err(format!("unexpected character inside braces: {}", quote_char(c))),
        }))
    }

    fn read_paren(&mut self, c: char) -> LexResult {
        if c == '(' {
            self.paren_depth += 1;
            return Ok(Some(TokenKind::LeftParen));
        }
        let Some(depth) = self.paren_depth.checked_sub(1) else {
            self.start = self.position;
            return Err("unexpected right parenthesis ')'".into());
        };
        self.paren_depth = depth;
        Ok(Some(TokenKind::RightParen))
    }

    /// A keyword or an identifier, whose first character has been read.
    pub(super) fn read_word(&mut self) -> TokenKind {
        self.skip_while(|c| is_alphanumeric(c) || c == ':');
        let word = self.read_text();
        let kind =
            match keyword(&word.to_ascii_lowercase()) {
                // `fill` and its kin came late to the language; without a parenthesis they stay names.
                Some(TokenKind::Keyword(
                    Keyword::Fill | Keyword::FillLeft | Keyword::FillRight,
                )) if !self.is_before_paren() => TokenKind::Identifier,
                Some(kind) => kind,
                None if word.contains(':') => TokenKind::MetricIdentifier,
                None => TokenKind::Identifier,
            };
        if self.is_series {
            let before_labels = self.peek() == Some('{');
            self.mode = if before_labels { Mode::Expression } else { Mode::SeriesValues };
        }
        kind
    }

    fn is_before_paren(&self) -> bool {
        self.text[self.position..].trim_start_matches(is_space).starts_with('(')
    }

    /// A word inside brackets, whose first character `c` has been read.
    fn read_duration_keyword(&mut self, c: char) -> Option<TokenKind> {
        // Words that begin otherwise are refused at their first character.
        if !matches!(c, 's' | 'S' | 'r' | 'R' | 'm' | 'M') {
            return None;
        }
        self.skip_while(is_alpha);
        duration_keyword(&self.read_text().to_ascii_lowercase())
    }

    /// A string whose opening quote has been read.
    fn read_string(&mut self, quote: char) -> LexResult {
        loop {
            match self.next() {
                Some('\\') => self.read_escape(quote)?,
                Some(char::REPLACEMENT_CHARACTER) => return Err("invalid UTF-8 rune".into()),
                None | Some('\n') => return Err("unterminated quoted string".into()),
                Some(c) if c == quote => return Ok(Some(TokenKind::String)),
                Some(_) => {}
            }
        }
    }

    fn read_raw_string(&mut self) -> LexResult {
        loop {
            match self.next() {
                Some(char::REPLACEMENT_CHARACTER) => return Err("invalid UTF-8 rune".into()),
                None => return Err("unterminated raw string".into()),
                Some('`') => return Ok(Some(TokenKind::String)),
                Some(_) => {}
            }
        }
    }

    /// Checks an escape whose backslash has been read.
    fn read_escape(&mut self, quote: char) -> Result<(), String> {
        const CUT: &str = "escape sequence not terminated";
        let first = self.next().ok_or(CUT)?;
        let (digits, radix, value_max) = match first {
            'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\' => return Ok(()),
            _ if first == quote => return Ok(()),
            '0'..='7' => {
                self.position -= 1;
                (3, 8, 255)
            }
            'x' => (2, 16, 255),
            'u' => (4, 16, u32::from(char::MAX)),
            'U' => (8, 16, u32::from(char::MAX)),
            _ => return Err(format!("unknown escape sequence {}", code_point(first))),
        };
        let mut value = 0u32;
        for _ in 0..digits {
            let c = self.next().ok_or(CUT)?;
            let digit = c
                .to_digit(radix)
                .ok_or_else(|| format!("illegal character {} in escape sequence", code_point(c)))?;
            value = value.wrapping_mul(radix).wrapping_add(digit);
        }
        if value > value_max || (0xD800..0xE000).contains(&value) {
            return Err("escape sequence is an invalid Unicode code point".into());
        }
        Ok(())
    }

    /// A number or a duration, whose first character has been read.
    fn read_number_or_duration(&mut self) -> LexResult {
        self.position = self.start;
        if self.skip_number() {
            return Ok(Some(TokenKind::Number));
        }
        if self.skip_rest_of_duration() {
            return Ok(Some(TokenKind::Duration));
        }
        Err(format!("bad number or duration syntax: {}", quote(self.read_text())))
    }

    /// Reads on behind the digits of a duration. What is read of a wrong one, a message shows.
    fn skip_rest_of_duration(&mut self) -> bool {
        if !self.accept("smhdwy") {
            return false;
        }
        // For `ms`. Units that do not exist (`hs`) are found when the duration is parsed.
        self.accept("s");
        while self.accept(DIGITS) {
            self.skip_while(|c| c.is_ascii_digit());
            // Years come first or not at all.
            if !self.accept("smhdw") {
                return false;
            }
            self.accept("s");
        }
        if self.peek().is_some_and(is_alphanumeric) {
            self.next();
            return false;
        }
        true
    }

    /// Reads a number in one of Go's notations; whether it is one. The parser finds out what is
    /// wrong with its value.
    pub(super) fn skip_number(&mut self) -> bool {
        let first = self.position;
        // Hexadecimal numbers would be ambiguous in the values of a series: `0x5`.
        let is_hex = !self.is_series && self.accept("0") && self.accept("xX");
        if is_hex {
            self.accept("_");
        }
        let digits = if is_hex { "0123456789abcdefABCDEF" } else { DIGITS };
        self.accept(".");
        self.accept(digits);
        let mut got_point = false;
        let mut got_exponent = false;
        loop {
            if self.accept(".") {
                if got_point || self.accept("_.") || is_hex {
                    return false;
                }
                got_point = true;
            } else if self.accept("eE") {
                if got_exponent {
                    return false;
                }
                got_exponent = true;
                self.accept("+-");
                if self.accept("._eE") || self.peek().is_none() {
                    return false;
                }
            } else if self.accept("_") {
                if self.accept("._eE") || self.peek().is_none() {
                    return false;
                }
            } else if self.next_is(digits) {
                self.skip_while(|c| digits.contains(c));
            } else {
                break;
            }
        }
        let next = self.peek();
        self.position > first
            && (!next.is_some_and(is_alphanumeric) || (self.is_series && next == Some('x')))
    }

    fn skip_comment(&mut self) -> LexResult {
        self.skip_while(|c| c != '\n' && c != '\r');
        self.last_start = self.start;
        Ok(None)
    }

    pub(super) fn skip_space(&mut self) -> LexResult {
        self.skip_while(is_space);
        Ok(None)
    }

    pub(super) fn skip_while(&mut self, keep: impl Fn(char) -> bool) {
        while self.peek().is_some_and(&keep) {
            self.next();
        }
    }

    /// The token so far.
    pub(super) fn read_text(&self) -> &'a str {
        &self.text[self.start..self.position]
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.position += c.len_utf8();
        Some(c)
    }

    pub(super) fn peek(&self) -> Option<char> {
        match *self.text.as_bytes().get(self.position)? {
            byte @ 0..0x80 => Some(char::from(byte)),
            _ => self.text[self.position..].chars().next(),
        }
    }

    pub(super) fn next_is(&self, valid: &str) -> bool {
        self.peek().is_some_and(|c| valid.contains(c))
    }

    pub(super) fn accept(&mut self, valid: &str) -> bool {
        let accepted = self.next_is(valid);
        if accepted {
            self.position += 1;
        }
        accepted
    }

    /// The next character in quotes for a message; at the end, what Go prints for no character.
    fn quote_next(&self) -> String {
        quote_char(self.peek().unwrap_or(char::REPLACEMENT_CHARACTER))
    }
}

pub(super) const DIGITS: &str = "0123456789";

pub(super) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

pub(super) fn is_alpha(c: char) -> bool {
    c == '_' || c.is_ascii_alphabetic()
}

pub(super) fn is_alphanumeric(c: char) -> bool {
    c == '_' || c.is_ascii_alphanumeric()
}
