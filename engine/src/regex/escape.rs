//! The part of the parser that reads escapes and classes.

use regex_syntax::hir::{ClassUnicode, Hir, Look};

use super::class;
use super::error::{Error, ErrorKind};
use super::parse::Parser;

impl Parser<'_> {
    /// What begins with a backslash, outside a class.
    pub(super) fn escape(&mut self) -> Result<(), Error> {
        let start = self.at;
        let Some(&letter) = self.pattern.as_bytes().get(start + 1) else {
            return Err(Error::new(ErrorKind::TrailingBackslash, ""));
        };
        let look = match letter {
            b'A' => Some(Look::Start),
            b'z' => Some(Look::End),
            b'b' => Some(Look::WordAscii),
            b'B' => Some(Look::WordAsciiNegate),
            _ => None,
        };
        if let Some(look) = look {
            self.at += 2;
            return self.push_hir(Hir::look(look));
        }
        match letter {
            // Any byte: Go has no such thing either.
            b'C' => {
                self.at += 2;
                self.fail(ErrorKind::InvalidEscape, start)
            }
            b'Q' => {
                let quoted = &self.pattern[start + 2..];
                let (literal, length) = match quoted.split_once(r"\E") {
                    Some((literal, _)) => (literal, literal.len() + 2),
                    None => (quoted, quoted.len()),
                };
                self.at += 2 + length;
                literal.chars().try_for_each(|char| self.push_char(u32::from(char)))
            }
            _ => {
                let mut class = ClassUnicode::empty();
                if self.unicode_class(&mut class)? || self.perl_class(&mut class) {
                    return self.push_class(class);
                }
                let code_point = self.escaped_char()?;
                self.push_char(code_point)
            }
        }
    }

    /// A character after a backslash, in or outside a class; its code point.
    fn escaped_char(&mut self) -> Result<u32, Error> {
        let start = self.at;
        self.at += 1;
        let Some(char) = self.next_char() else {
            return Err(Error::new(ErrorKind::TrailingBackslash, ""));
        };
        let is_octal = |byte: Option<u8>| byte.is_some_and(|byte| matches!(byte, b'0'..=b'7'));
        match char {
            // One digit that is not zero would be a backreference.
            '0'..='7' if char == '0' || is_octal(self.peek()) => {
                let mut code_point = u32::from(char) - u32::from('0');
                for _ in 0..2 {
                    let Some(byte) = self.peek().filter(|&byte| is_octal(Some(byte))) else {
                        break;
                    };
                    self.at += 1;
                    code_point = code_point * 8 + u32::from(byte - b'0');
                }
                Ok(code_point)
            }
            'x' => match self.hexadecimal() {
                Some(code_point) => Ok(code_point),
                None => self.fail(ErrorKind::InvalidEscape, start),
            },
            'a' => Ok(0x07),
            'f' => Ok(0x0c),
            'n' => Ok(0x0a),
            'r' => Ok(0x0d),
            't' => Ok(0x09),
            'v' => Ok(0x0b),
            _ if char.is_ascii() && !char.is_ascii_alphanumeric() => Ok(u32::from(char)),
            _ => self.fail(ErrorKind::InvalidEscape, start),
        }
    }

    /// `hh` or `{h…}` behind `\x`. Where it is wrong, `at` stands as far as Go has read.
    fn hexadecimal(&mut self) -> Option<u32> {
        let first = self.next_char()?;
        if first != '{' {
            let second = self.next_char();
            return Some(first.to_digit(16)? * 16 + second?.to_digit(16)?);
        }
        let mut code_point = 0;
        let mut digit_seen = false;
        loop {
            let char = self.next_char()?;
            if char == '}' {
                return digit_seen.then_some(code_point);
            }
            code_point = code_point * 16 + char.to_digit(16)?;
            if code_point > class::CODE_POINT_MAX {
                return None;
            }
            digit_seen = true;
        }
    }

    /// Adds `\d` and its like to `class`; false if something else stands here.
    fn perl_class(&mut self, class: &mut ClassUnicode) -> bool {
        let [b'\\', letter, ..] = *self.rest().as_bytes() else {
            return false;
        };
        let Some((group, negated)) = class::perl(letter) else {
            return false;
        };
        self.at += 2;
        class::push_group(class, group, self.flags.fold_case, negated);
        true
    }

    /// Adds `[:name:]` to `class`; false if something else stands here.
    fn posix_class(&mut self, class: &mut ClassUnicode) -> Result<bool, Error> {
        let start = self.at;
        let Some(rest) = self.rest().strip_prefix("[:") else {
            return Ok(false);
        };
        let Some((name, _)) = rest.split_once(":]") else {
            return Ok(false);
        };
        self.at += name.len() + 4;
        let (name, negated) = match name.strip_prefix('^') {
            Some(name) => (name, true),
            None => (name, false),
        };
        let Some(group) = class::posix(name) else {
            return self.fail(ErrorKind::InvalidCharRange, start);
        };
        class::push_group(class, group, self.flags.fold_case, negated);
        Ok(true)
    }

    /// Adds `\pN`, `\p{Name}` or their negations to `class`; false if something else stands here.
    fn unicode_class(&mut self, class: &mut ClassUnicode) -> Result<bool, Error> {
        let start = self.at;
        let [b'\\', letter @ (b'p' | b'P'), ..] = *self.rest().as_bytes() else {
            return Ok(false);
        };
        let mut negated = letter == b'P';
        self.at += 2;
        let mut name = match self.next_char() {
            Some('{') => {
                let Some(length) = self.rest().find('}') else {
                    self.at = self.pattern.len();
                    return self.fail(ErrorKind::InvalidCharRange, start);
                };
                let name = &self.rest()[..length];
                self.at += length + 1;
                name
            }
            Some(_) | None => &self.pattern[start + 2..self.at],
        };
        if let Some(rest) = name.strip_prefix('^') {
            negated = !negated;
            name = rest;
        }
        let Some(group) = class::unicode(name) else {
            return self.fail(ErrorKind::InvalidCharRange, start);
        };
        class::push_group(class, group, self.flags.fold_case, negated);
        Ok(true)
    }

    /// `[…]`.
    pub(super) fn class(&mut self) -> Result<(), Error> {
        let start = self.at;
        self.at += 1;
        let negated = self.peek() == Some(b'^');
        self.at += usize::from(negated);
        let mut class = ClassUnicode::empty();
        let mut first = true;
        while first || self.peek() != Some(b']') {
            first = false;
            if self.posix_class(&mut class)?
                || self.unicode_class(&mut class)?
                || self.perl_class(&mut class)
            {
                continue;
            }
            let range_start = self.at;
            let low = self.class_char(start)?;
            let mut high = low;
            let rest = self.rest().as_bytes();
            if rest.len() >= 2 && rest[0] == b'-' && rest[1] != b']' {
                self.at += 1;
                high = self.class_char(start)?;
                if high < low {
                    return self.fail(ErrorKind::InvalidCharRange, range_start);
                }
            }
            let mut range = ClassUnicode::empty();
            class::push_range(&mut range, low, high);
            class::push_group(&mut class, range, self.flags.fold_case, false);
        }
        self.at += 1;
        if negated {
            class.negate();
        }
        self.push_class(class)
    }

    /// One end of a range in the class that began at `class_start`.
    fn class_char(&mut self, class_start: usize) -> Result<u32, Error> {
        if self.peek() == Some(b'\\') {
            return self.escaped_char();
        }
        match self.next_char() {
            Some(char) => Ok(u32::from(char)),
            None => self.fail(ErrorKind::MissingBracket, class_start),
        }
    }
}
