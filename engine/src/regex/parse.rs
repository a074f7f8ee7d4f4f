//! Go's syntax to [`Hir`].
//!
//! An open group is a frame; its alternatives so far and the pieces of the one being read are
//! kept on it. So the parser never recurses, and the depth of what it returns is bounded by
//! [`HEIGHT_MAX`]: everything after it may recurse.
//!
//! Source: Go `regexp/syntax/parse.go` (flags `Perl`), whose limits, verdicts and messages these
//! are. Go's factoring of alternatives changes no verdict and is left to `regex_syntax`.

use regex_syntax::hir::{Capture, Class, ClassUnicode, Dot, Hir, Look, Repetition};

use super::class;
use super::error::{Error, ErrorKind};
use super::tree::{Kind, Node, Piece, alternate, concat};

/// Greatest height of a pattern's tree. Protects the stack of all that walks the tree.
const HEIGHT_MAX: u32 = 1000;

/// Greatest count in `x{n,m}`, and greatest product of nested counts.
const REPEAT_MAX: i32 = 1000;

/// Most instructions that Go would compile a pattern to (128 MiB of 40 bytes each).
const SIZE_MAX: u64 = (128 << 20) / 40;

/// Most ends of ranges in all classes of a pattern (128 MiB of 4 bytes each).
const CLASS_ENDS_MAX: usize = (128 << 20) / 4;

/// A parsed pattern.
pub(super) struct Parsed {
    pub hir: Hir,
    /// Names of the groups, the whole match first. They are not in `hir`: Go lets a name stand
    /// twice.
    pub group_names: Vec<Option<Box<str>>>,
}

/// What holds from here to the end of the enclosing group.
#[derive(Clone, Copy)]
pub(super) struct Flags {
    /// `i`.
    pub fold_case: bool,
    /// `m`: `^` and `$` match at lines' ends.
    pub multi_line: bool,
    /// `s`: `.` matches a newline.
    pub dot_newline: bool,
    /// `U`: repetitions prefer less, and `?` after them means more.
    pub non_greedy: bool,
}

impl Flags {
    pub(super) const NONE: Flags =
        Flags { fold_case: false, multi_line: false, dot_newline: false, non_greedy: false };
}

struct Frame {
    /// Flags to restore at the group's end.
    flags_outside: Flags,
    /// Index of the capturing group; `None` for a plain one.
    group: Option<u32>,
    alternatives: Vec<Node>,
    pieces: Vec<Node>,
}

pub(super) struct Parser<'a> {
    pub pattern: &'a str,
    /// Position of the next byte in `pattern`.
    pub at: usize,
    pub flags: Flags,
    /// The root's frame, then one for each open group. Never empty.
    frames: Vec<Frame>,
    group_names: Vec<Option<Box<str>>>,
    class_ends: usize,
}

/// Parses `pattern`, with `flags` holding at its start.
///
/// Cost: O(pattern), times the size of Unicode classes. Errors: what Go refuses, in its words.
pub(super) fn parse(pattern: &str, flags: Flags) -> Result<Parsed, Error> {
    let root = Frame { flags_outside: flags, group: None, alternatives: vec![], pieces: vec![] };
    let mut parser = Parser {
        pattern,
        at: 0,
        flags,
        frames: vec![root],
        group_names: vec![None],
        class_ends: 0,
    };
    parser.run()?;
    let Some(root) = parser.frames.pop().filter(|_| parser.frames.is_empty()) else {
        return Err(Error::new(ErrorKind::MissingParen, pattern));
    };
    let node = parser.close(root)?;
    Ok(Parsed { hir: node.piece.into_hir(), group_names: parser.group_names })
}

impl<'a> Parser<'a> {
    fn run(&mut self) -> Result<(), Error> {
        // Where the repetition begins that ended just before here.
        let mut last_repeat: Option<usize> = None;
        while let Some(byte) = self.peek() {
            let start = self.at;
            let mut repeat = None;
            match byte {
                b'(' if self.rest().starts_with("(?") => self.perl_group()?,
                b'(' => {
                    self.at += 1;
                    let flags = self.flags;
                    self.open_group(Some(None), flags);
                }
                b'|' => {
                    self.at += 1;
                    self.end_alternative()?;
                }
                b')' => self.close_group()?,
                b'^' => {
                    self.at += 1;
                    let look = if self.flags.multi_line { Look::StartLF } else { Look::Start };
                    self.push_hir(Hir::look(look))?;
                }
                b'$' => {
                    self.at += 1;
                    let look = if self.flags.multi_line { Look::EndLF } else { Look::End };
                    self.push_hir(Hir::look(look))?;
                }
                b'.' => {
                    self.at += 1;
                    let any = self.flags.dot_newline;
                    let dot = if any { Dot::AnyChar } else { Dot::AnyCharExceptLF };
                    self.push_hir(Hir::dot(dot))?;
                }
                b'[' => self.class()?,
                b'*' | b'+' | b'?' => {
                    self.at += 1;
                    let (min, max) = match byte {
                        b'*' => (0, -1),
                        b'+' => (1, -1),
                        _ => (0, 1),
                    };
                    self.repeat(start, last_repeat, min, max, false)?;
                    repeat = Some(start);
                }
                b'{' => match self.repeat_counts() {
                    None => {
                        self.at = start + 1;
                        self.push_char(u32::from(b'{'))?;
                    }
                    Some((min, max)) => {
                        let in_order = max < 0 || min <= max;
                        if !(0..=REPEAT_MAX).contains(&min) || max > REPEAT_MAX || !in_order {
                            return self.fail(ErrorKind::InvalidRepeatSize, start);
                        }
                        self.repeat(start, last_repeat, min, max, true)?;
                        repeat = Some(start);
                    }
                },
                b'\\' => self.escape()?,
                _ => {
                    let char = self.next_char().expect("a byte was there");
                    self.push_char(u32::from(char))?;
                }
            }
            last_repeat = repeat;
        }
        Ok(())
    }

    pub(super) fn rest(&self) -> &'a str {
        &self.pattern[self.at..]
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.pattern.as_bytes().get(self.at).copied()
    }

    pub(super) fn next_char(&mut self) -> Option<char> {
        let char = self.rest().chars().next()?;
        self.at += char.len_utf8();
        Some(char)
    }

    /// The error that names the pattern from `start` to here.
    pub(super) fn fail<T>(&self, kind: ErrorKind, start: usize) -> Result<T, Error> {
        Err(Error::new(kind, &self.pattern[start..self.at]))
    }

    fn frame(&mut self) -> &mut Frame {
        self.frames.last_mut().expect("the root's frame stays until the end")
    }

    fn checked(&self, node: Node) -> Result<Node, Error> {
        if node.size > SIZE_MAX || self.class_ends > CLASS_ENDS_MAX {
            return Err(Error::new(ErrorKind::Large, self.pattern));
        }
        if node.height > HEIGHT_MAX {
            return Err(Error::new(ErrorKind::NestingDepth, self.pattern));
        }
        Ok(node)
    }

    fn push(&mut self, node: Node) -> Result<(), Error> {
        let node = self.checked(node)?;
        self.frame().pieces.push(node);
        Ok(())
    }

    pub(super) fn push_hir(&mut self, hir: Hir) -> Result<(), Error> {
        self.push(Node::leaf(Piece::Hir(hir)))
    }

    pub(super) fn push_class(&mut self, class: ClassUnicode) -> Result<(), Error> {
        self.class_ends += 2 * class.ranges().len();
        self.push_hir(Hir::class(Class::Unicode(class)))
    }

    /// A literal. Surrogates can be written, but no text holds them.
    pub(super) fn push_char(&mut self, code_point: u32) -> Result<(), Error> {
        let Some(char) = char::from_u32(code_point) else {
            return self.push_hir(Hir::fail());
        };
        if self.flags.fold_case {
            let mut class = ClassUnicode::empty();
            class::push_range(&mut class, code_point, code_point);
            class.case_fold_simple();
            return self.push_hir(Hir::class(Class::Unicode(class)));
        }
        self.push(Node::leaf(Piece::Char(char)))
    }

    /// Opens a group, capturing if `name` is there; the name itself may be missing.
    fn open_group(&mut self, name: Option<Option<&str>>, flags_inside: Flags) {
        let group = name.map(|name| {
            self.group_names.push(name.map(Into::into));
            (self.group_names.len() - 1) as u32
        });
        self.frames.push(Frame {
            flags_outside: self.flags,
            group,
            alternatives: vec![],
            pieces: vec![],
        });
        self.flags = flags_inside;
    }

    fn end_alternative(&mut self) -> Result<(), Error> {
        let pieces = std::mem::take(&mut self.frame().pieces);
        let node = self.checked(concat(pieces))?;
        self.frame().alternatives.push(node);
        Ok(())
    }

    /// The alternation of all that `frame` holds.
    fn close(&self, mut frame: Frame) -> Result<Node, Error> {
        frame.alternatives.push(self.checked(concat(frame.pieces))?);
        self.checked(alternate(frame.alternatives))
    }

    fn close_group(&mut self) -> Result<(), Error> {
        self.at += 1;
        let frame = self.frames.pop().expect("the root's frame stays until the end");
        if self.frames.is_empty() {
            return Err(Error::new(ErrorKind::UnexpectedParen, self.pattern));
        }
        self.flags = frame.flags_outside;
        let group = frame.group;
        let node = self.close(frame)?;
        let Some(index) = group else {
            return self.push(node);
        };
        let (height, size, repeats) = (node.height + 1, node.size + 2, node.repeats);
        let capture = Capture { index, name: None, sub: Box::new(node.piece.into_hir()) };
        let piece = Piece::Hir(Hir::capture(capture));
        self.push(Node { piece, kind: Kind::Other, height, size, repeats })
    }

    /// Repeats the last piece; `start` is where the operator begins, `at` just behind it.
    /// `max` below zero is no bound.
    fn repeat(
        &mut self,
        start: usize,
        last_repeat: Option<usize>,
        min: i32,
        max: i32,
        counted: bool,
    ) -> Result<(), Error> {
        let mut greedy = !self.flags.non_greedy;
        if self.peek() == Some(b'?') {
            self.at += 1;
            greedy = !greedy;
        }
        if let Some(last_start) = last_repeat {
            return self.fail(ErrorKind::InvalidRepeatOp, last_start);
        }
        let Some(sub) = self.frame().pieces.pop() else {
            return self.fail(ErrorKind::MissingRepeatArgument, start);
        };
        let copies = if max < 0 { min } else { max };
        let size = match (counted, max < 0, min) {
            (false, true, 0) | (true, true, 0) => 2 + sub.size,
            (false, ..) => 1 + sub.size,
            (true, true, _) => 1 + min as u64 * sub.size,
            (true, false, _) => max as u64 * sub.size + (max - min) as u64,
        };
        let repeats = match (counted, max) {
            (true, 0) => 1,
            (true, _) => sub.repeats.saturating_mul(i64::from(copies.max(1))),
            (false, _) => sub.repeats,
        };
        let hir = Hir::repetition(Repetition {
            min: min as u32,
            max: u32::try_from(max).ok(),
            greedy,
            sub: Box::new(sub.piece.into_hir()),
        });
        let height = sub.height + 1;
        let piece = Piece::Hir(hir);
        self.push(Node { piece, kind: Kind::Other, height, size: size.max(1), repeats })?;
        if counted && (min >= 2 || max >= 2) && repeats > i64::from(REPEAT_MAX) {
            return self.fail(ErrorKind::InvalidRepeatSize, start);
        }
        Ok(())
    }

    /// Reads `{min}`, `{min,}` or `{min,max}`; `None` if the brace is only a brace. A number too
    /// long to read makes `min` negative; no upper bound makes `max` negative.
    fn repeat_counts(&mut self) -> Option<(i32, i32)> {
        self.at += 1;
        let mut min = self.decimal()?;
        let mut max = min;
        if self.peek()? == b',' {
            self.at += 1;
            max = -1;
            if self.peek()? != b'}' {
                max = self.decimal()?;
                if max < 0 {
                    min = -1;
                }
            }
        }
        if self.peek()? != b'}' {
            return None;
        }
        self.at += 1;
        Some((min, max))
    }

    /// A decimal number without leading zeros; negative if it is too long to matter.
    fn decimal(&mut self) -> Option<i32> {
        let rest = self.rest();
        let length = rest.bytes().take_while(u8::is_ascii_digit).count();
        if length == 0 || (length > 1 && rest.starts_with('0')) {
            return None;
        }
        self.at += length;
        Some(if length <= 9 { rest[..length].parse().unwrap_or(-1) } else { -1 })
    }

    /// What begins with `(?`: a named group, a plain group, or flags.
    fn perl_group(&mut self) -> Result<(), Error> {
        let start = self.at;
        let rest = self.rest();
        let name_start = match rest.as_bytes() {
            [_, _, b'P', b'<', _, ..] => Some(4),
            [_, _, b'<', _, ..] => Some(3),
            _ => None,
        };
        if let Some(name_start) = name_start {
            let Some(name_end) = rest.find('>') else {
                self.at = self.pattern.len();
                return self.fail(ErrorKind::InvalidNamedCapture, start);
            };
            self.at += name_end + 1;
            let name = rest.get(name_start..name_end).unwrap_or_default();
            if name.is_empty() || !name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric()) {
                return self.fail(ErrorKind::InvalidNamedCapture, start);
            }
            let flags = self.flags;
            self.open_group(Some(Some(name)), flags);
            return Ok(());
        }
        self.at += 2;
        let mut flags = self.flags;
        let mut value = true;
        let mut flag_seen = false;
        while let Some(char) = self.next_char() {
            match char {
                'i' => flags.fold_case = value,
                'm' => flags.multi_line = value,
                's' => flags.dot_newline = value,
                'U' => flags.non_greedy = value,
                '-' if value => {
                    value = false;
                    flag_seen = false;
                    continue;
                }
                ':' | ')' if value || flag_seen => {
                    if char == ':' {
                        self.open_group(None, flags);
                    } else {
                        self.flags = flags;
                    }
                    return Ok(());
                }
                _ => break,
            }
            flag_seen = true;
        }
        self.fail(ErrorKind::InvalidPerlOp, start)
    }
}
