//! The tokens of both text formats, byte by byte as Prometheus's lexers see them.
//!
//! A token depends on the state that the tokens before it left behind; a lexer that cannot go on
//! answers [`Token::Invalid`] and stays where it stuck, because messages show that place. Two
//! oddities are kept, since they decide what is accepted: a byte of zero is passed over inside
//! label values, help texts and comments, and is an end of the page elsewhere at a line's start.
//!
//! Source: Prometheus `model/textparse/promlex.l`, `openmetricslex.l`.

use super::Format;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Invalid,
    Eof,
    Linebreak,
    Whitespace,
    Help,
    Type,
    Unit,
    EofWord,
    Text,
    Comment,
    MetricName,
    QuotedString,
    BraceOpen,
    BraceClose,
    LabelName,
    LabelValue,
    Comma,
    Equal,
    Timestamp,
    Value,
}

impl Token {
    /// The name that Prometheus's messages use.
    pub fn as_str(self) -> &'static str {
        match self {
            Token::Invalid => "INVALID",
            Token::Eof => "EOF",
            Token::Linebreak => "LINEBREAK",
            Token::Whitespace => "WHITESPACE",
            Token::Help => "HELP",
            Token::Type => "TYPE",
            Token::Unit => "UNIT",
            Token::EofWord => "EOFWORD",
            Token::Text => "TEXT",
            Token::Comment => "COMMENT",
            Token::MetricName => "MNAME",
            Token::QuotedString => "QSTRING",
            Token::BraceOpen => "BOPEN",
            Token::BraceClose => "BCLOSE",
            Token::LabelName => "LNAME",
            Token::LabelValue => "LVALUE",
            Token::Comma => "COMMA",
            Token::Equal => "EQUAL",
            Token::Timestamp => "TIMESTAMP",
            Token::Value => "VALUE",
        }
    }
}

/// What the lexer expects next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Line,
    Comment,
    MetadataName,
    MetadataText,
    Labels,
    LabelValue,
    Value,
    Timestamp,
    Exemplar,
    ExemplarValue,
    ExemplarTimestamp,
}

#[derive(Clone, Debug)]
pub(super) struct Lexer<'a> {
    pub body: &'a [u8],
    pub format: Format,
    pub state: State,
    /// Start of the current token.
    pub start: usize,
    /// Where lexing goes on: end of the current token, or where it stuck.
    pub at: usize,
}

/// What [`Lexer::advance`] gives at the end; a byte of zero in the page looks the same.
const END: u8 = 0;

fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

fn is_metric_letter(byte: u8) -> bool {
    is_letter(byte) || byte == b':'
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

impl<'a> Lexer<'a> {
    pub fn new(body: &'a [u8], format: Format) -> Lexer<'a> {
        Lexer { body, format, state: State::Line, start: 0, at: 0 }
    }

    /// Length of the page; the text format is read with one more line feed at its end.
    pub fn end(&self) -> usize {
        self.body.len() + usize::from(self.format == Format::Text)
    }

    fn byte(&self, at: usize) -> u8 {
        self.body.get(at).copied().unwrap_or(b'\n')
    }

    /// The current token.
    pub fn token_bytes(&self) -> &'a [u8] {
        let end = self.at.min(self.body.len());
        &self.body[self.start.min(end)..end]
    }

    /// The page from `start` to one byte beyond where the lexer stands, for messages.
    pub fn seen_from(&self, start: usize) -> Vec<u8> {
        let end = self.end().min(self.at + 1);
        (start..end).map(|at| self.byte(at)).collect()
    }

    fn advance(&mut self) -> u8 {
        self.at += 1;
        let skips_zeros =
            matches!(self.state, State::LabelValue | State::MetadataText | State::Comment);
        while self.at < self.end() && self.byte(self.at) == 0 && skips_zeros {
            self.at += 1;
        }
        if self.at < self.end() { self.byte(self.at) } else { END }
    }

    /// Passes over bytes for which `belongs` holds; the first is at hand already.
    fn run(&mut self, belongs: impl Fn(u8) -> bool) -> u8 {
        loop {
            let byte = self.advance();
            if byte == END || !belongs(byte) {
                return byte;
            }
        }
    }

    fn one(&mut self, next: State, token: Token) -> Token {
        self.advance();
        self.state = next;
        token
    }

    fn name(&mut self, is_start: impl Fn(u8) -> bool, next: State, token: Token) -> Token {
        self.run(|byte| is_start(byte) || byte.is_ascii_digit());
        self.state = next;
        token
    }

    /// A string in double quotes; the opening one is the byte at hand.
    fn quoted(&mut self, takes_linebreak: bool, next: State, token: Token) -> Token {
        loop {
            match self.advance() {
                b'"' => return self.one(next, token),
                b'\\' => match self.advance() {
                    END | b'\n' => return Token::Invalid,
                    _ => {}
                },
                b'\n' if !takes_linebreak => return Token::Invalid,
                END => return Token::Invalid,
                _ => {}
            }
        }
    }

    /// Passes over `keyword` if it stands here; false where the first byte differs.
    fn keyword(&mut self, keyword: &[u8]) -> bool {
        keyword.iter().enumerate().all(|(index, &expected)| {
            (if index == 0 { self.byte(self.at) } else { self.advance() }) == expected
        })
    }

    pub fn next_token(&mut self) -> Token {
        match self.format {
            Format::Text => loop {
                let token = self.lex_text();
                if token != Token::Whitespace {
                    return token;
                }
            },
            _ => self.lex_openmetrics(),
        }
    }

    fn lex_text(&mut self) -> Token {
        if self.at >= self.end() {
            return Token::Eof;
        }
        self.start = self.at;
        let byte = self.byte(self.at);
        if is_blank(byte) && self.state != State::MetadataText {
            self.run(is_blank);
            return Token::Whitespace;
        }
        match (self.state, byte) {
            (State::Line, 0) => self.one(State::Line, Token::Eof),
            (State::Line | State::Timestamp, b'\n') => self.one(State::Line, Token::Linebreak),
            (State::Line, b'#') => {
                if !is_blank(self.advance()) {
                    return self.rest_of_comment();
                }
                self.run(is_blank);
                self.state = State::Comment;
                self.text_comment()
            }
            (State::Line, b'{') => self.one(State::Labels, Token::BraceOpen),
            (State::Line, byte) if is_metric_letter(byte) => {
                self.name(is_metric_letter, State::Value, Token::MetricName)
            }
            (State::MetadataName, b'"') => {
                self.quoted(true, State::MetadataText, Token::MetricName)
            }
            (State::MetadataName, byte) if is_metric_letter(byte) => {
                self.name(is_metric_letter, State::MetadataText, Token::MetricName)
            }
            (State::MetadataText, _) => self.metadata_text(),
            (State::Labels, byte) => self.label_token(byte),
            (State::LabelValue, b'"') => self.quoted(true, State::Labels, Token::LabelValue),
            (State::Value, b'{') => self.one(State::Labels, Token::BraceOpen),
            (State::Value, byte) if !b"\0\n".contains(&byte) => {
                self.run(|byte| !b"{ \t\n".contains(&byte));
                self.state = State::Timestamp;
                Token::Value
            }
            (State::Timestamp, byte) if byte.is_ascii_digit() => {
                self.run(|byte| byte.is_ascii_digit());
                Token::Timestamp
            }
            _ => Token::Invalid,
        }
    }

    /// What follows `# `: a keyword, or else the comment to its end.
    fn text_comment(&mut self) -> Token {
        let keyword = match self.byte(self.at) {
            b'H' if self.keyword(b"HELP") => Token::Help,
            b'T' if self.keyword(b"TYPE") => Token::Type,
            _ => return self.rest_of_comment(),
        };
        if !is_blank(self.advance()) {
            return self.rest_of_comment();
        }
        self.run(is_blank);
        self.state = State::MetadataName;
        keyword
    }

    fn rest_of_comment(&mut self) -> Token {
        let mut byte = if self.at < self.end() { self.byte(self.at) } else { END };
        loop {
            match byte {
                END => return Token::Eof,
                b'\n' => {
                    self.state = State::Line;
                    return Token::Comment;
                }
                _ => byte = self.advance(),
            }
        }
    }

    /// Text to the end of the line; blanks alone are white space and not text.
    fn metadata_text(&mut self) -> Token {
        let mut byte = self.byte(self.at);
        if is_blank(byte) {
            byte = self.run(is_blank);
            if byte == b'\n' || byte == END {
                return Token::Whitespace;
            }
        }
        if byte != b'\n' && byte != END {
            self.run(|byte| byte != b'\n');
        }
        self.state = State::Line;
        Token::Text
    }

    /// Between the braces of a series: the same in both formats.
    fn label_token(&mut self, byte: u8) -> Token {
        match byte {
            b'"' => self.quoted(true, State::Labels, Token::QuotedString),
            b'}' => self.one(State::Value, Token::BraceClose),
            b'=' => self.one(State::LabelValue, Token::Equal),
            b',' => self.one(State::Labels, Token::Comma),
            byte if is_letter(byte) => self.name(is_letter, State::Labels, Token::LabelName),
            _ => Token::Invalid,
        }
    }

    fn lex_openmetrics(&mut self) -> Token {
        if self.at >= self.end() {
            return Token::Eof;
        }
        self.start = self.at;
        let byte = self.byte(self.at);
        match (self.state, byte) {
            (State::Line, b'#') => {
                if self.advance() != b' ' {
                    return Token::Invalid;
                }
                self.advance();
                self.state = State::Comment;
                self.openmetrics_comment()
            }
            (State::Line, b'{') => self.one(State::Labels, Token::BraceOpen),
            (State::Line, byte) if is_metric_letter(byte) => {
                self.name(is_metric_letter, State::Value, Token::MetricName)
            }
            (State::Comment, _) => self.openmetrics_comment(),
            (State::MetadataName, b'"') => {
                self.quoted(true, State::MetadataText, Token::MetricName)
            }
            (State::MetadataName, byte) if is_metric_letter(byte) => {
                self.name(is_metric_letter, State::MetadataText, Token::MetricName)
            }
            (State::MetadataText, b' ') => match self.run(|byte| byte != b'\n') {
                b'\n' => self.one(State::Line, Token::Text),
                _ => Token::Invalid,
            },
            (State::Labels, byte) => self.label_token(byte),
            (State::LabelValue, b'"') => self.quoted(false, State::Labels, Token::LabelValue),
            (State::Value, b'{') => self.one(State::Labels, Token::BraceOpen),
            (State::Value, b' ') => self.number(State::Timestamp, Token::Value),
            (State::Timestamp | State::ExemplarTimestamp, b'\n') => {
                self.one(State::Line, Token::Linebreak)
            }
            (State::Timestamp, b' ') => self.timestamp_or_exemplar(),
            (State::Exemplar, b'"') => self.quoted(false, State::Exemplar, Token::QuotedString),
            (State::Exemplar, b'}') => self.one(State::ExemplarValue, Token::BraceClose),
            (State::Exemplar, b'=') => self.one(State::ExemplarValue, Token::Equal),
            (State::Exemplar, b',') => self.one(State::Exemplar, Token::Comma),
            (State::Exemplar, byte) if is_letter(byte) => {
                self.name(is_letter, State::Exemplar, Token::LabelName)
            }
            (State::ExemplarValue, b'"') => self.quoted(false, State::Exemplar, Token::LabelValue),
            (State::ExemplarValue, b' ') => self.number(State::ExemplarTimestamp, Token::Value),
            (State::ExemplarTimestamp, b' ') => {
                self.number(State::ExemplarTimestamp, Token::Timestamp)
            }
            _ => Token::Invalid,
        }
    }

    fn openmetrics_comment(&mut self) -> Token {
        if self.at >= self.end() {
            return Token::Invalid;
        }
        let token = match self.byte(self.at) {
            b'E' if self.keyword(b"EOF") => {
                if self.advance() == b'\n' {
                    self.advance();
                }
                self.state = State::Line;
                return Token::EofWord;
            }
            b'H' if self.keyword(b"HELP") => Token::Help,
            b'T' if self.keyword(b"TYPE") => Token::Type,
            b'U' if self.keyword(b"UNIT") => Token::Unit,
            _ => return Token::Invalid,
        };
        if self.advance() != b' ' {
            return Token::Invalid;
        }
        self.one(State::MetadataName, token)
    }

    /// A space, then all up to the next space or the line's end.
    fn number(&mut self, next: State, token: Token) -> Token {
        if b"\0 \n".contains(&self.advance()) {
            return Token::Invalid;
        }
        self.run(|byte| !b" \n".contains(&byte));
        self.state = next;
        token
    }

    /// As [`Lexer::number`], except that ` # {` begins an exemplar.
    fn timestamp_or_exemplar(&mut self) -> Token {
        match self.advance() {
            b'#' => {
                if self.advance() == b' ' {
                    return match self.advance() {
                        b'{' => self.one(State::Exemplar, Token::Comment),
                        _ => Token::Invalid,
                    };
                }
                self.at -= 1; // Anything else after the sign makes it a timestamp's text.
            }
            b'\0' | b' ' | b'\n' => return Token::Invalid,
            _ => {}
        }
        self.run(|byte| !b" \n".contains(&byte));
        Token::Timestamp
    }
}
