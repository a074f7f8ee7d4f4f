//! Prints a tree of values as go-yaml v2 does, byte for byte: its quoting, its two-space steps,
//! lists not indented below their key, long text folded after column 80.

use std::cmp::Ordering;

use engine::model::go_float::GoFloat;

use super::scalar::{Scalar, resolve};

/// A value to print.
#[derive(Clone, Debug, PartialEq)]
pub enum Yaml {
    Null,
    /// Printed as it is: a number or a boolean.
    Plain(String),
    /// Text, quoted if it would read as something else.
    Text(String),
    Sequence(Vec<Yaml>),
    /// A list in flow style.
    Flow(Vec<Yaml>),
    Mapping(Vec<(String, Yaml)>),
}

impl Yaml {
    /// A mapping in the order go-yaml gives the keys of a map.
    pub fn sorted_mapping(pairs: impl Iterator<Item = (String, Yaml)>) -> Yaml {
        Yaml::Mapping(sort_naturally(pairs.collect()))
    }
}

/// Sorts by [`natural_order`]. A merge sort of its own: the order has cycles (`12x`, `1x`, `2x`),
/// and the standard library's sort may panic on such an order.
fn sort_naturally(mut pairs: Vec<(String, Yaml)>) -> Vec<(String, Yaml)> {
    if pairs.len() < 2 {
        return pairs;
    }
    let mut sorted = Vec::with_capacity(pairs.len());
    let right = sort_naturally(pairs.split_off(pairs.len() / 2));
    let mut left = sort_naturally(pairs).into_iter().peekable();
    for pair in right {
        while left.peek().is_some_and(|first| natural_order(&first.0, &pair.0).is_le()) {
            sorted.extend(left.next());
        }
        sorted.push(pair);
    }
    sorted.extend(left);
    sorted
}

/// Order of map keys: letters after other characters, numbers by value.
///
/// Source: go-yaml v2 `sorter.go`.
pub fn natural_order(a: &str, b: &str) -> Ordering {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let Some(at) = a.iter().zip(&b).position(|(a, b)| a != b) else {
        return a.len().cmp(&b.len());
    };
    let (ca, cb) = (a[at], b[at]);
    match (ca.is_alphabetic(), cb.is_alphabetic()) {
        (true, true) => return ca.cmp(&cb),
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    let digits_before = a[..at].iter().rev().take_while(|c| c.is_ascii_digit());
    let significant = (ca == '0' || cb == '0') && digits_before.into_iter().any(|c| *c != '0');
    let number = |text: &[char]| {
        let digits = text.iter().take_while(|c| c.is_ascii_digit());
        let count = digits.clone().count();
        let start = i64::from(significant);
        let value = digits.fold(start, |value, c| {
            value.wrapping_mul(10).wrapping_add(i64::from(*c as u32 - '0' as u32))
        });
        (value, count)
    };
    number(&a[at..]).cmp(&number(&b[at..])).then(ca.cmp(&cb))
}

/// A float as go-yaml spells it.
pub fn float_text(value: f64) -> String {
    if value.is_nan() {
        return ".nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { ".inf" } else { "-.inf" }.to_owned();
    }
    GoFloat(value).to_string()
}

pub(super) fn print(value: &Yaml) -> String {
    let mut printer = Printer { out: String::new(), column: 0 };
    match value {
        Yaml::Mapping(pairs) if !pairs.is_empty() => printer.mapping(pairs, 0, true),
        Yaml::Sequence(items) if !items.is_empty() => printer.sequence(items, 0, true),
        other => printer.inline(other, 0, false),
    }
    if !printer.out.ends_with('\n') {
        printer.out.push('\n');
    }
    printer.out
}

/// Column after which text is folded at its next single space.
const WIDTH: usize = 80;

struct Printer {
    out: String,
    /// Characters since the last line break.
    column: usize,
}

impl Printer {
    fn put(&mut self, text: &str) {
        self.out.push_str(text);
        self.column += text.chars().count();
    }

    /// Starts a line at `indent`.
    fn line(&mut self, indent: usize) {
        if !self.out.is_empty() && !self.out.ends_with('\n') {
            self.out.push('\n');
        }
        self.column = 0;
        for _ in 0..indent {
            self.put(" ");
        }
    }

    /// `on_line`: the cursor already stands where the first key belongs.
    fn mapping(&mut self, pairs: &[(String, Yaml)], indent: usize, on_line: bool) {
        for (index, (key, value)) in pairs.iter().enumerate() {
            if index > 0 || !on_line {
                self.line(indent);
            }
            if key.contains('\n') || key.len() > 128 {
                self.put("? ");
                self.scalar(key, indent, false);
                self.line(indent);
            } else {
                self.scalar(key, indent, true);
            }
            self.put(":");
            match value {
                Yaml::Mapping(pairs) if !pairs.is_empty() => self.mapping(pairs, indent + 2, false),
                Yaml::Sequence(items) if !items.is_empty() => self.sequence(items, indent, false),
                other => {
                    self.put(" ");
                    self.inline(other, indent, false);
                }
            }
        }
    }

    fn sequence(&mut self, items: &[Yaml], indent: usize, on_line: bool) {
        for (index, item) in items.iter().enumerate() {
            if index > 0 || !on_line {
                self.line(indent);
            }
            self.put("- ");
            match item {
                Yaml::Mapping(pairs) if !pairs.is_empty() => self.mapping(pairs, indent + 2, true),
                Yaml::Sequence(items) if !items.is_empty() => {
                    self.sequence(items, indent + 2, true);
                }
                other => self.inline(other, indent, false),
            }
        }
    }

    /// A value on the line of its key or dash. `flow`: inside `[` and `]`.
    fn inline(&mut self, value: &Yaml, indent: usize, flow: bool) {
        match value {
            Yaml::Null => self.put("null"),
            Yaml::Plain(text) => self.put(text),
            Yaml::Text(text) if flow => self.scalar_in_flow(text, indent),
            Yaml::Text(text) => self.scalar(text, indent, false),
            Yaml::Flow(items) => {
                self.put("[");
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        self.put(",");
                    }
                    if self.column > WIDTH {
                        self.line(indent + 2);
                    } else if index > 0 {
                        self.put(" ");
                    }
                    self.inline(item, indent + 2, true);
                }
                self.put("]");
            }
            Yaml::Sequence(_) => self.put("[]"),
            Yaml::Mapping(_) => self.put("{}"),
        }
    }

    fn scalar(&mut self, text: &str, indent: usize, key: bool) {
        let shape = Shape::of(text);
        let multiline = text.contains('\n');
        if multiline && !key && shape.block_allowed {
            return self.literal(text, indent + 2);
        }
        if multiline || !reads_as_text(text) {
            return self.double_quoted(text, indent + 2, !key);
        }
        let plain = shape.plain_allowed && !(text.is_empty() && key);
        self.plain_or_quoted(text, plain, shape.single_allowed, indent + 2, !key);
    }

    fn scalar_in_flow(&mut self, text: &str, indent: usize) {
        let shape = Shape::of(text);
        if text.contains('\n') || !reads_as_text(text) {
            return self.double_quoted(text, indent, true);
        }
        self.plain_or_quoted(text, shape.flow_allowed, shape.single_allowed, indent, true);
    }

    fn plain_or_quoted(
        &mut self,
        text: &str,
        plain: bool,
        single: bool,
        indent: usize,
        fold: bool,
    ) {
        if plain {
            self.folded(text, "", indent, fold, |c| c.to_string());
        } else if single {
            let double = |c: char| if c == '\'' { "''".to_owned() } else { c.to_string() };
            self.folded(text, "'", indent, fold, double);
        } else {
            self.double_quoted(text, indent, fold);
        }
    }

    fn literal(&mut self, text: &str, indent: usize) {
        self.put("|");
        if text.starts_with([' ', '\n']) {
            self.put("2");
        }
        if !text.ends_with('\n') {
            self.put("-");
        } else if text.ends_with("\n\n") || text == "\n" {
            self.put("+");
        }
        for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
            self.out.push('\n');
            self.column = 0;
            if !line.is_empty() {
                self.put(&" ".repeat(indent));
                self.put(line);
            }
        }
        self.out.push('\n');
        self.column = 0;
    }

    fn double_quoted(&mut self, text: &str, indent: usize, fold: bool) {
        self.put("\"");
        let chars: Vec<char> = text.chars().collect();
        let mut after_space = false;
        for (at, &c) in chars.iter().enumerate() {
            if c == ' ' {
                let inner = at > 0 && at + 1 < chars.len();
                if fold && !after_space && self.column > WIDTH && inner {
                    self.line(indent);
                    if chars.get(at + 1) == Some(&' ') {
                        self.put("\\");
                    }
                } else {
                    self.put(" ");
                }
                after_space = true;
            } else {
                self.put(&escaped(c));
                after_space = false;
            }
        }
        self.put("\"");
    }

    /// Writes text of one line, broken at single spaces beyond [`WIDTH`].
    fn folded(
        &mut self,
        text: &str,
        quote: &str,
        indent: usize,
        fold: bool,
        write: impl Fn(char) -> String,
    ) {
        self.put(quote);
        let chars: Vec<char> = text.chars().collect();
        let mut after_space = false;
        for (at, &c) in chars.iter().enumerate() {
            let single = c == ' ' && !after_space && chars.get(at + 1) != Some(&' ');
            let inner = quote.is_empty() || at > 0 && at + 1 < chars.len();
            if fold && single && self.column > WIDTH && inner {
                self.line(indent);
            } else {
                self.put(&write(c));
            }
            after_space = c == ' ';
        }
        self.put(quote);
    }
}

/// Whether a plain scalar of this text would read as this text.
fn reads_as_text(text: &str) -> bool {
    !text.is_empty() && resolve(text) == Scalar::Text && !is_base60(text)
}

/// `12:30:45` and the like, which YAML 1.1 readers take for numbers.
fn is_base60(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let mut parts = whole.split(':');
    let first = parts.next().unwrap_or("");
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    let mut rest_count = 0;
    let rest_ok = parts.all(|part| {
        rest_count += 1;
        let bytes = part.as_bytes();
        bytes.iter().all(u8::is_ascii_digit)
            && (bytes.len() == 1 || bytes.len() == 2 && bytes[0] <= b'5')
    });
    first.starts_with(|c: char| c.is_ascii_digit())
        && digits(first)
        && rest_ok
        && rest_count > 0
        && digits(fraction)
}

/// Which styles a text may take, by its characters.
struct Shape {
    plain_allowed: bool,
    flow_allowed: bool,
    single_allowed: bool,
    block_allowed: bool,
}

impl Shape {
    fn of(text: &str) -> Shape {
        let chars: Vec<char> = text.chars().collect();
        let (mut block_indicators, mut flow_indicators) = (false, false);
        let (mut special, mut break_space, mut space_break) = (false, false, false);
        let (mut previous_space, mut previous_break) = (false, false);
        if text.starts_with("---") || text.starts_with("...") {
            (block_indicators, flow_indicators) = (true, true);
        }
        let mut after_blank = true;
        for (at, &c) in chars.iter().enumerate() {
            let next = chars.get(at + 1);
            let before_blank = next.is_none_or(|next| matches!(next, ' ' | '\t'));
            match c {
                '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"'
                | '%' | '@' | '`'
                    if at == 0 =>
                {
                    (block_indicators, flow_indicators) = (true, true);
                }
                '-' if at == 0 && before_blank => {
                    (block_indicators, flow_indicators) = (true, true);
                }
                ',' | '[' | ']' | '{' | '}' => flow_indicators = true,
                '?' | ':' => {
                    flow_indicators = true;
                    block_indicators |= before_blank && (c == ':' || at == 0);
                }
                '#' if after_blank => (block_indicators, flow_indicators) = (true, true),
                _ => {}
            }
            let is_break = matches!(c, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}');
            special |= !is_printable(c);
            break_space |= c == ' ' && previous_break;
            space_break |= is_break && previous_space;
            previous_space = c == ' ';
            previous_break = is_break;
            after_blank = is_break || matches!(c, ' ' | '\t' | '\0');
        }
        let edge = |c: Option<&char>| c.is_some_and(|c| matches!(c, ' ' | '\n' | '\r'));
        let edges = edge(chars.first()) || edge(chars.last());
        let no_plain = edges || break_space || space_break || special || text.contains('\n');
        Shape {
            plain_allowed: !no_plain && !block_indicators,
            flow_allowed: !no_plain && !flow_indicators && !text.is_empty(),
            single_allowed: !break_space && !space_break && !special,
            block_allowed: !space_break && !special && chars.last() != Some(&' '),
        }
    }
}

fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}')
        && c != '\u{feff}'
}

/// One character inside double quotes.
fn escaped(c: char) -> String {
    let short = match c {
        '\0' => '0',
        '\x07' => 'a',
        '\x08' => 'b',
        '\t' => 't',
        '\n' => 'n',
        '\x0b' => 'v',
        '\x0c' => 'f',
        '\r' => 'r',
        '\x1b' => 'e',
        '"' => '"',
        '\\' => '\\',
        '\u{85}' => 'N',
        '\u{a0}' => '_',
        '\u{2028}' => 'L',
        '\u{2029}' => 'P',
        c if is_printable(c) => return c.to_string(),
        c if c as u32 <= 0xff => return format!("\\x{:02X}", c as u32),
        c if c as u32 <= 0xffff => return format!("\\u{:04X}", c as u32),
        c => return format!("\\U{:08X}", c as u32),
    };
    format!("\\{short}")
}
