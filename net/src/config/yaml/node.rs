//! A YAML document as a tree of nodes, each with its line and its text as written.
//!
//! The tree keeps what a typed reading needs and serde would lose: whether a scalar was plain,
//! and its characters (`0755`, `1_000`, `yes`), because the field decides what they mean.

use std::rc::Rc;

use granit_parser::{Event, Parser, ScalarStyle, Tag};

use super::Abort;

#[derive(Debug)]
pub struct Node {
    /// Line of the node's first character, from 1.
    pub line: usize,
    /// Its column, from 1.
    pub column: usize,
    /// Explicit tag in its long form (`tag:yaml.org,2002:str`); empty if there is none.
    pub tag: String,
    pub value: Value,
    /// Nodes on the longest way down, aliases followed; at most [`DEPTH_MAX`].
    depth: usize,
}

/// Deepest tree that is read. What walks or drops a tree recurses this deep and no deeper, on
/// stacks of 2 MiB too; a chain of aliases would else get by the parser's own bound.
const DEPTH_MAX: usize = 200;

#[derive(Debug)]
pub enum Value {
    /// `plain` is true for a scalar without quotes, which may be a number, a boolean or null.
    Scalar {
        text: String,
        plain: bool,
    },
    Sequence(Vec<Rc<Node>>),
    /// Pairs in the order written; repeated keys are kept for the error that names them.
    Mapping(Vec<(Rc<Node>, Rc<Node>)>),
}

impl Node {
    /// Whether the node stands for no value: `null`, `~` or nothing at all.
    pub fn is_null(&self) -> bool {
        match &self.value {
            Value::Scalar { text, plain } => {
                self.tag == "tag:yaml.org,2002:null"
                    || self.tag.is_empty()
                        && *plain
                        && matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL")
            }
            _ => false,
        }
    }

    /// The value of a key of a mapping.
    pub fn get(&self, key: &str) -> Option<&Node> {
        let Value::Mapping(pairs) = &self.value else { return None };
        let named = |node: &Node| matches!(&node.value, Value::Scalar { text, .. } if text == key);
        pairs.iter().find(|(name, _)| named(name)).map(|(_, value)| &**value)
    }

    /// Whether the node is the key of a merge (`<<`).
    pub fn is_merge(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain } if text == "<<" && *plain)
    }
}

/// A document and how many nodes were written in it, aliases counted as one each.
pub(super) struct Document {
    pub root: Rc<Node>,
    pub node_count: usize,
    /// Whether another document follows.
    pub more: bool,
}

/// A collection that is being read.
struct Open {
    line: usize,
    column: usize,
    tag: String,
    anchor: usize,
    children: Vec<Rc<Node>>,
    mapping: bool,
}

/// Reads the first document of `text`; `None` if it is empty. Nesting is bounded by the parser.
pub(super) fn parse(text: &str) -> Result<Option<Document>, Abort> {
    let mut node_count = 0;
    let mut open: Vec<Open> = Vec::new();
    let mut anchors: Vec<(usize, Option<Rc<Node>>)> = Vec::new();
    let lines: Vec<&str> = text.lines().collect();
    let mut events = Parser::new_from_str(text);
    while let Some(event) = events.next() {
        let (event, span) = event.map_err(|error| {
            let line = error.marker().line();
            Abort::at(line, format!("yaml: line {line}: {}", error.info()))
        })?;
        let line = span.start.line();
        let column = span.start.col() + 1;
        let done = match event {
            Event::Scalar(content, style, anchor, tag) => {
                let block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                let header = if block { block_header(&lines, line) } else { None };
                let (line, column) = header.unwrap_or((line, column));
                let plain = style == ScalarStyle::Plain;
                let value = Value::Scalar { text: content.into_owned(), plain };
                let tag = tag_name(tag.as_deref());
                let node = Rc::new(Node { line, column, tag, value, depth: 1 });
                anchors.push((anchor, Some(node.clone())));
                node
            }
            Event::Alias(anchor) => {
                let known = anchors.iter().rev().find(|(id, _)| *id == anchor);
                match known {
                    Some((_, Some(node))) => node.clone(),
                    _ => {
                        let text = format!("yaml: line {line}: anchor value contains itself");
                        return Err(Abort::at(line, text));
                    }
                }
            }
            Event::SequenceStart(_, anchor, tag) => {
                let tag = tag_name(tag.as_deref());
                open.push(Open { line, column, tag, anchor, children: Vec::new(), mapping: false });
                anchors.push((anchor, None));
                continue;
            }
            Event::MappingStart(_, anchor, tag) => {
                let tag = tag_name(tag.as_deref());
                open.push(Open { line, column, tag, anchor, children: Vec::new(), mapping: true });
                anchors.push((anchor, None));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(closed) = open.pop() else { continue };
                let anchor = closed.anchor;
                let node = Rc::new(close(closed)?);
                anchors.push((anchor, Some(node.clone())));
                node
            }
            _ => continue,
        };
        node_count += 1;
        match open.last_mut() {
            Some(parent) => parent.children.push(done),
            // The rest of the text is another document.
            None => {
                let more = events
                    .any(|event| !matches!(event, Ok((Event::DocumentEnd | Event::StreamEnd, _))));
                return Ok(Some(Document { root: done, node_count, more }));
            }
        }
    }
    Ok(None)
}

/// Line and column of the `|` or `>` of a block whose text begins on `line`; the parser gives the
/// place of the text only.
fn block_header(lines: &[&str], line: usize) -> Option<(usize, usize)> {
    let is_header = |line: &&str| {
        let line = line.trim_start();
        !line.is_empty() && !line.starts_with('#')
    };
    let last = lines.len().min(line.saturating_sub(1));
    let at = lines[..last].iter().rposition(is_header)?;
    let header = lines[at].split(" #").next().unwrap_or("");
    let byte = header.rfind(['|', '>'])?;
    Some((at + 1, header[..byte].chars().count() + 1))
}

fn close(open: Open) -> Result<Node, Abort> {
    let depth = 1 + open.children.iter().map(|child| child.depth).max().unwrap_or(0);
    if depth > DEPTH_MAX {
        let text = format!("yaml: line {}: nested deeper than {DEPTH_MAX}", open.line);
        return Err(Abort::at(open.line, text));
    }
    let value = if open.mapping {
        let mut pairs = Vec::with_capacity(open.children.len() / 2);
        let mut children = open.children.into_iter();
        while let (Some(key), Some(value)) = (children.next(), children.next()) {
            pairs.push((key, value));
        }
        Value::Mapping(pairs)
    } else {
        Value::Sequence(open.children)
    };
    Ok(Node { line: open.line, column: open.column, tag: open.tag, value, depth })
}

fn tag_name(tag: Option<&Tag>) -> String {
    match tag {
        Some(tag) => format!("{}{}", tag.handle(), tag.suffix()),
        None => String::new(),
    }
}
