//! An expression over several lines: what is longer than a line is broken at its operators and
//! arguments, each level one step further in.
//!
//! Works on the text on one line and on where each node stands in it: whether a node must be
//! broken is a difference, and what it prints itself is what its children leave.
//!
//! Source: Prometheus `promql/parser/prettier.go`.

use super::ast::{Ast, Expr, ExprId};
use super::print::print_spans;

/// Longest expression that stays on one line, in bytes.
const LINE_BYTES_MAX: usize = 100;

const INDENT: &str = "  ";

/// Largest text in many lines. A chain of a million operators goes a million steps in, which no
/// memory could hold; it stays on one line.
const PRETTY_BYTES_MAX: usize = 1 << 26;

/// The expression at `root` in lines, as Prometheus formats queries. Cost: O(output); does not
/// recurse.
pub fn pretty(ast: &Ast, root: ExprId) -> String {
    let mut spans = vec![(0, 0); ast.len()];
    let line = print_spans(ast, root, &mut |id, start, end| spans[id.0 as usize] = (start, end));
    let mut pretty =
        Pretty { ast, line: &line, spans, out: String::new(), trims: false, pieces: vec![] };
    pretty.pieces.push(Piece::Expr(root, 0));
    while let Some(piece) = pretty.pieces.pop() {
        match piece {
            Piece::Expr(id, level) => pretty.expr(id, level),
            Piece::Text(text) => pretty.text(text),
            Piece::Indent(level) => pretty.indent(level),
        }
        if pretty.out.len() > PRETTY_BYTES_MAX {
            return line;
        }
    }
    pretty.out
}

struct Pretty<'a> {
    ast: &'a Ast,
    /// The whole expression on one line.
    line: &'a str,
    /// Bytes of `line` of each node.
    spans: Vec<(usize, usize)>,
    out: String,
    /// A sign was printed, and its operand stands directly behind it.
    trims: bool,
    /// What is left to print, the next piece at the end.
    pieces: Vec<Piece<'a>>,
}

#[derive(Clone, Copy)]
enum Piece<'a> {
    Expr(ExprId, usize),
    Text(&'a str),
    Indent(usize),
}

impl<'a> Pretty<'a> {
    fn start(&self, id: ExprId) -> usize {
        self.spans[id.0 as usize].0
    }

    fn end(&self, id: ExprId) -> usize {
        self.spans[id.0 as usize].1
    }

    fn text(&mut self, text: &str) {
        self.out.push_str(text);
        self.trims = false;
    }

    fn indent(&mut self, level: usize) {
        if !self.trims {
            self.out.extend(std::iter::repeat_n(INDENT, level));
        }
    }

    /// Prints `pieces` before all that is left.
    fn then(&mut self, pieces: &[Piece<'a>]) {
        self.pieces.extend(pieces.iter().rev());
    }

    fn expr(&mut self, id: ExprId, level: usize) {
        use Piece::{Indent, Text};
        let (start, end) = (self.start(id), self.end(id));
        let line = self.line;
        let fits = end - start <= LINE_BYTES_MAX;
        match self.ast.expr(id) {
            Expr::Unary { op, expr } => {
                self.indent(level);
                self.text(op.as_str());
                self.trims = true;
                self.pieces.push(Piece::Expr(*expr, level));
            }
            // Prometheus does not indent a subquery that fits.
            Expr::Subquery(_) if fits => self.text(&line[start..end]),
            Expr::Subquery(subquery) => {
                let suffix = &line[self.end(subquery.expr)..end];
                self.then(&[Piece::Expr(subquery.expr, level), Text(suffix)]);
            }
            Expr::Binary(binary) if !fits => {
                let operator = line[self.end(binary.lhs)..self.start(binary.rhs)].trim();
                self.then(&[
                    Piece::Expr(binary.lhs, level + 1),
                    Text("\n"),
                    Indent(level),
                    Text(operator),
                    Text("\n"),
                    Piece::Expr(binary.rhs, level + 1),
                ]);
            }
            Expr::Paren(inner) if !fits => self.list(id, &[*inner], level),
            Expr::Call { args, .. } if !fits && !args.is_empty() => self.list(id, args, level),
            Expr::Aggregate(aggregate) if !fits => {
                let args: Vec<ExprId> =
                    aggregate.param.into_iter().chain([aggregate.expr]).collect();
                self.list(id, &args, level);
            }
            _ => {
                self.indent(level);
                self.text(&line[start..end]);
            }
        }
    }

    /// What stands before the first of `items`, each item on lines of its own, the parenthesis.
    fn list(&mut self, id: ExprId, items: &[ExprId], level: usize) {
        self.indent(level);
        self.text(&self.line[self.start(id)..self.start(items[0])]);
        self.text("\n");
        self.then(&[Piece::Text("\n"), Piece::Indent(level), Piece::Text(")")]);
        for (index, item) in items.iter().enumerate().rev() {
            self.pieces.push(Piece::Expr(*item, level + 1));
            if index > 0 {
                self.pieces.push(Piece::Text(",\n"));
            }
        }
    }
}
