//! An expression as text again, in Prometheus's own form: what it parses to is the same tree.
//!
//! Source: Prometheus `promql/parser/printer.go`.

use crate::model::float::{format_f, format_g};
use crate::model::matcher::is_plain_label_name;
use crate::model::quote::{push_quoted, push_quoted_bytes};

use super::ast::{
    Aggregate, Ast, At, Binary, Card, Duration, DurationExpr, DurationOp, Expr, ExprId, Subquery,
    VectorSelector,
};
use super::duration::push_duration;

/// The expression at `root` on one line. Cost: O(output); does not recurse.
pub fn print(ast: &Ast, root: ExprId) -> String {
    print_spans(ast, root, &mut |_, _, _| {})
}

/// As [`print`], and tells for each node below `root` which bytes `start..end` it became. What a
/// selector keeps to itself (its range, its offset) is not told.
pub(super) fn print_spans(
    ast: &Ast,
    root: ExprId,
    span: &mut dyn FnMut(ExprId, usize, usize),
) -> String {
    let mut printer = Printer { ast, out: String::new(), pieces: vec![Piece::Expr(root)] };
    while let Some(piece) = printer.pieces.pop() {
        match piece {
            Piece::Expr(id) => {
                printer.pieces.push(Piece::End(id, printer.out.len()));
                printer.expr(id);
            }
            Piece::End(id, start) => span(id, start, printer.out.len()),
            Piece::Text(text) => printer.out.push_str(text),
            Piece::Operator(binary) => printer.operator(binary),
            Piece::Duration(duration) => printer.duration(duration),
            Piece::Offset(offset) => printer.offset(offset),
            Piece::At(at) => printer.at(at),
        }
    }
    printer.out
}

struct Printer<'a> {
    ast: &'a Ast,
    out: String,
    /// What is left to print, the next piece at the end.
    pieces: Vec<Piece<'a>>,
}

#[derive(Clone, Copy)]
enum Piece<'a> {
    Expr(ExprId),
    /// Behind an expression that began at this byte.
    End(ExprId, usize),
    Text(&'static str),
    Operator(&'a Binary),
    Duration(Duration),
    Offset(Duration),
    At(Option<At>),
}

impl<'a> Printer<'a> {
    /// Prints `pieces` before all that is left.
    fn then(&mut self, pieces: &[Piece<'a>]) {
        self.pieces.extend(pieces.iter().rev());
    }

    fn expr(&mut self, id: ExprId) {
        use Piece::{Duration, Text};
        match self.ast.expr(id) {
            Expr::Number { value, duration } => self.number(*value, *duration),
            Expr::String(text) => push_quoted_bytes(&mut self.out, text),
            Expr::Vector(vector) => {
                self.selector(vector);
                let extended = extended(vector);
                let (at, offset) = (Piece::At(vector.at), Piece::Offset(vector.offset));
                self.then(&[at, Text(extended), offset]);
            }
            Expr::Matrix { vector, range } => {
                let Expr::Vector(vector) = self.ast.expr(*vector) else { return };
                self.selector(vector);
                let (at, offset) = (Piece::At(vector.at), Piece::Offset(vector.offset));
                let extended = Text(extended(vector));
                self.then(&[Text("["), Duration(*range), Text("]"), extended, at, offset]);
            }
            Expr::Subquery(subquery) => self.subquery(subquery),
            Expr::Paren(inner) => self.then(&[Text("("), Piece::Expr(*inner), Text(")")]),
            Expr::Unary { op, expr } => self.then(&[Text(op.as_str()), Piece::Expr(*expr)]),
            Expr::Binary(binary) => {
                let (lhs, rhs) = (Piece::Expr(binary.lhs), Piece::Expr(binary.rhs));
                self.then(&[lhs, Piece::Operator(binary), rhs]);
            }
            Expr::Aggregate(aggregate) => self.aggregate(aggregate),
            Expr::Call { function, args } => {
                self.out.push_str(function.name());
                self.out.push('(');
                self.pieces.push(Text(")"));
                for (index, arg) in args.iter().enumerate().rev() {
                    self.pieces.push(Piece::Expr(*arg));
                    if index > 0 {
                        self.pieces.push(Text(", "));
                    }
                }
            }
            Expr::Duration(duration) => self.duration_expr(duration),
        }
    }

    fn aggregate(&mut self, aggregate: &Aggregate) {
        self.out.push_str(aggregate.op.as_str());
        if aggregate.without || !aggregate.grouping.is_empty() {
            self.out.push_str(if aggregate.without { " without (" } else { " by (" });
            self.labels(&aggregate.grouping);
            self.out.push_str(") ");
        }
        self.out.push('(');
        self.then(&[Piece::Expr(aggregate.expr), Piece::Text(")")]);
        if let Some(param) = aggregate.param {
            self.then(&[Piece::Expr(param), Piece::Text(", ")]);
        }
    }

    fn subquery(&mut self, subquery: &Subquery) {
        use Piece::{At, Duration, Expr, Offset, Text};
        // A step that was not written is a zero one to Prometheus; neither is printed.
        let step = subquery.step.filter(|step| *step != super::ast::Duration::ZERO);
        let step = step.map_or(Text(""), Duration);
        let (range, end) = (Duration(subquery.range), Text("]"));
        let (at, offset) = (At(subquery.at), Offset(subquery.offset));
        self.then(&[Expr(subquery.expr), Text("["), range, Text(":"), step, end, at, offset]);
    }

    fn operator(&mut self, binary: &Binary) {
        self.out.push(' ');
        self.out.push_str(binary.op.as_str());
        if binary.return_bool {
            self.out.push_str(" bool");
        }
        if let Some(matching) = &binary.matching {
            let group = match matching.card {
                Card::ManyToOne => Some(" group_left ("),
                Card::OneToMany => Some(" group_right ("),
                Card::OneToOne | Card::ManyToMany => None,
            };
            if matching.on || !matching.labels.is_empty() || group.is_some() {
                self.out.push_str(if matching.on { " on (" } else { " ignoring (" });
                self.labels(&matching.labels);
                self.out.push(')');
            }
            if let Some(group) = group {
                self.out.push_str(group);
                self.labels(&matching.include);
                self.out.push(')');
            }
            match (matching.fill_lhs, matching.fill_rhs) {
                (Some(lhs), Some(rhs)) if lhs == rhs => self.fill(" fill (", Some(lhs)),
                (lhs, rhs) => {
                    self.fill(" fill_left (", lhs);
                    self.fill(" fill_right (", rhs);
                }
            }
        }
        self.out.push(' ');
    }

    fn fill(&mut self, modifier: &str, value: Option<f64>) {
        if let Some(value) = value {
            self.out.push_str(modifier);
            self.out.push_str(&format_g(value));
            self.out.push(')');
        }
    }

    fn labels(&mut self, labels: &[Box<str>]) {
        for (index, label) in labels.iter().enumerate() {
            if index > 0 {
                self.out.push_str(", ");
            }
            if is_plain_label_name(label) {
                self.out.push_str(label);
            } else {
                push_quoted(&mut self.out, label);
            }
        }
    }

    /// Name and matchers, the matchers in the order of their text.
    fn selector(&mut self, vector: &VectorSelector) {
        let name = vector.name.as_deref().unwrap_or_default();
        self.out.push_str(name);
        let of_name = vector.matchers.len() - usize::from(vector.name.is_some());
        let mut matchers: Vec<String> =
            vector.matchers[..of_name].iter().map(ToString::to_string).collect();
        matchers.sort_unstable();
        if !matchers.is_empty() {
            self.out.push('{');
            self.out.push_str(&matchers.join(","));
            self.out.push('}');
        }
    }

    fn at(&mut self, at: Option<At>) {
        match at {
            None => {}
            Some(At::Start) => self.out.push_str(" @ start()"),
            Some(At::End) => self.out.push_str(" @ end()"),
            Some(At::Timestamp { ms }) => {
                self.out.push_str(&format!(" @ {:.3}", ms as f64 / 1000.0));
            }
        }
    }

    fn offset(&mut self, offset: Duration) {
        if offset != Duration::ZERO {
            self.out.push_str(" offset ");
            self.duration(offset);
        }
    }

    fn duration(&mut self, duration: Duration) {
        match duration {
            Duration::Known { ms } => push_duration(&mut self.out, ms),
            Duration::Expr(id) => self.pieces.push(Piece::Expr(id)),
        }
    }

    fn duration_expr(&mut self, duration: &DurationExpr) {
        use Piece::{Expr, Text};
        match duration {
            DurationExpr::Literal { seconds, duration } => self.number(*seconds, *duration),
            DurationExpr::Step => self.out.push_str("step()"),
            DurationExpr::Range => self.out.push_str("range()"),
            DurationExpr::Unary { op, expr } => self.then(&[Text(op.as_str()), Expr(*expr)]),
            DurationExpr::Paren(inner) => self.then(&[Text("("), Expr(*inner), Text(")")]),
            DurationExpr::Binary { op: op @ (DurationOp::MinOf | DurationOp::MaxOf), lhs, rhs } => {
                self.then(&[
                    Text(op.as_str()),
                    Text("("),
                    Expr(*lhs),
                    Text(", "),
                    Expr(*rhs),
                    Text(")"),
                ]);
            }
            DurationExpr::Binary { op, lhs, rhs } => {
                let space = Text(" ");
                self.then(&[Expr(*lhs), space, Text(op.as_str()), space, Expr(*rhs)]);
            }
        }
    }

    fn number(&mut self, value: f64, duration: bool) {
        if duration {
            // By way of nanoseconds cut to milliseconds, as Prometheus converts.
            push_duration(&mut self.out, (value * 1e9) as i64 / 1_000_000);
        } else {
            self.out.push_str(&format_f(value));
        }
    }
}

fn extended(vector: &VectorSelector) -> &'static str {
    match (vector.anchored, vector.smoothed) {
        (true, _) => " anchored",
        (false, true) => " smoothed",
        (false, false) => "",
    }
}
