//! Whether a tree that was written correctly also makes sense: types, numbers of arguments,
//! matching of vectors. Completes what only types decide.
//!
//! Errors come in Prometheus's order, which is that of a walk down the tree; so this walks the
//! same way, with a stack of its own.
//!
//! Source: Prometheus `promql/parser/parse.go`, `checkAST`.

use crate::model::quote::quote;
use crate::model::{MatchOp, Matcher};
use crate::regex::Regex;

use super::ast::ValueType::{self, Matrix, Scalar, String as Text, Vector};
use super::ast::{
    AggregateOp, Ast, Binary, Card, Expr, ExprId, PosRange, VectorMatching, VectorSelector,
};
use super::error::ParseError;
use super::functions::FunctionId;

/// Checks `ast`, which was parsed from `text`. No error: the tree may be evaluated.
pub(super) fn check(ast: &mut Ast, text: &str) -> Vec<ParseError> {
    let mut checker =
        Checker { types: types(ast), ast, text, errors: Vec::new(), steps: Vec::new() };
    checker.steps.push(Step::Enter(checker.ast.root()));
    while let Some(step) = checker.steps.pop() {
        match step {
            Step::Enter(id) => checker.enter(id),
            Step::Leave(id) => checker.leave(id),
            Step::Expect { child, wanted, by } => checker.expect(child, wanted, by),
        }
    }
    checker.errors
}

/// The type of each node. One pass, because children stand before their parents.
fn types(ast: &Ast) -> Vec<ValueType> {
    let mut types = Vec::with_capacity(ast.len());
    for id in ast.ids() {
        let of = |id: ExprId| types[id.0 as usize];
        let value_type = match ast.expr(id) {
            Expr::Paren(inner) | Expr::Unary { expr: inner, .. } => of(*inner),
            Expr::Number { .. } | Expr::Duration(_) => Scalar,
            Expr::String(_) => Text,
            Expr::Vector(_) | Expr::Aggregate(_) => Vector,
            Expr::Matrix { .. } | Expr::Subquery(_) => Matrix,
            Expr::Call { function, .. } => function.signature().return_type,
            Expr::Binary(binary) if of(binary.lhs) == Scalar && of(binary.rhs) == Scalar => Scalar,
            Expr::Binary(_) => Vector,
        };
        types.push(value_type);
    }
    types
}

struct Checker<'a> {
    ast: &'a mut Ast,
    text: &'a str,
    types: Vec<ValueType>,
    errors: Vec<ParseError>,
    /// What is left to do, the next at the end.
    steps: Vec<Step>,
}

enum Step {
    Enter(ExprId),
    /// All children are checked.
    Leave(ExprId),
    /// A child is checked; now its type.
    Expect {
        child: ExprId,
        wanted: ValueType,
        by: Context,
    },
}

#[derive(Clone, Copy)]
enum Context {
    Aggregation,
    AggregationParameter,
    Call(FunctionId),
}

impl Checker<'_> {
    fn error(&mut self, position: PosRange, message: impl Into<String>) {
        self.errors.push(ParseError { position, message: message.into() });
    }

    fn type_of(&self, id: ExprId) -> ValueType {
        self.types[id.0 as usize]
    }

    fn enter(&mut self, id: ExprId) {
        let mut steps = std::mem::take(&mut self.steps);
        match self.ast.expr(id) {
            Expr::Aggregate(aggregate) => {
                let (child, by) = (aggregate.expr, Context::Aggregation);
                if let Some(param) = aggregate.param {
                    let wanted = match aggregate.op {
                        AggregateOp::CountValues => Text,
                        _ => Scalar,
                    };
                    let by = Context::AggregationParameter;
                    steps.push(Step::Expect { child: param, wanted, by });
                    steps.push(Step::Enter(param));
                }
                steps.push(Step::Expect { child, wanted: Vector, by });
                steps.push(Step::Enter(child));
            }
            Expr::Binary(binary) => {
                steps.push(Step::Leave(id));
                steps.push(Step::Enter(binary.rhs));
                steps.push(Step::Enter(binary.lhs));
            }
            Expr::Call { .. } => self.enter_call(id, &mut steps),
            Expr::Paren(inner) => steps.push(Step::Enter(*inner)),
            Expr::Unary { expr, .. } => {
                steps.push(Step::Leave(id));
                steps.push(Step::Enter(*expr));
            }
            Expr::Subquery(subquery) => {
                steps.push(Step::Leave(id));
                steps.push(Step::Enter(subquery.expr));
            }
            Expr::Matrix { vector, .. } => steps.push(Step::Enter(*vector)),
            Expr::Vector(_) => self.leave(id),
            Expr::Number { .. } | Expr::String(_) | Expr::Duration(_) => {}
        }
        self.steps = steps;
    }

    fn enter_call(&mut self, id: ExprId, steps: &mut Vec<Step>) {
        let Expr::Call { function, args } = self.ast.expr(id) else { return };
        let (function, args) = (*function, args.clone());
        let signature = function.signature();
        let (name, position) = (quote(signature.name), self.ast.position(id));
        let (wanted, got) = (signature.arg_types.len(), args.len());
        if signature.variadic == 0 {
            if wanted != got {
                let message = format!("expected {wanted} argument(s) in call to {name}, got {got}");
                self.error(position, message);
            }
        } else {
            let least = wanted - 1;
            let most = least + usize::try_from(signature.variadic).unwrap_or(usize::MAX - least);
            let bound = match got {
                _ if got < least => Some(("least", least)),
                _ if got > most => Some(("most", most)),
                _ => None,
            };
            if let Some((word, bound)) = bound {
                let message =
                    format!("expected at {word} {bound} argument(s) in call to {name}, got {got}");
                self.error(position, message);
            }
        }
        if function == FunctionId::Info && args.len() > 1 {
            self.check_info_selector(args[1], position);
        }
        let first = steps.len();
        for (index, &child) in args.iter().enumerate() {
            // Surplus arguments count as the last one, or are not looked at.
            if index >= wanted && signature.variadic == 0 {
                break;
            }
            let wanted = signature.arg_types[index.min(wanted - 1)];
            steps.push(Step::Enter(child));
            steps.push(Step::Expect { child, wanted, by: Context::Call(function) });
        }
        steps[first..].reverse();
    }

    /// The second argument of `info` is a selector of labels, which may match everything.
    fn check_info_selector(&mut self, selector: ExprId, call: PosRange) {
        let got = self.type_of(selector);
        if got != Vector {
            let got = got.documented();
            let message =
                format!("expected type instant vector in call to function \"info\", got {got}");
            self.error(call, message);
        }
        let position = self.ast.position(selector);
        match self.ast.expr_mut(selector) {
            Expr::Vector(vector) if vector.name.is_none() => vector.may_match_empty = true,
            Expr::Vector(_) => {
                let message = "expected label selectors only, got vector selector instead";
                self.error(position, message);
            }
            _ => self.error(position, "expected label selectors only"),
        }
    }

    fn expect(&mut self, child: ExprId, wanted: ValueType, by: Context) {
        let got = self.type_of(child);
        if got == wanted {
            return;
        }
        let place = match by {
            Context::Aggregation => "aggregation expression".into(),
            Context::AggregationParameter => "aggregation parameter".into(),
            Context::Call(function) => format!("call to function {}", quote(function.name())),
        };
        let (wanted, got) = (wanted.documented(), got.documented());
        self.error(
            self.ast.position(child),
            format!("expected type {wanted} in {place}, got {got}"),
        );
    }

    fn leave(&mut self, id: ExprId) {
        let position = self.ast.position(id);
        match self.ast.expr(id) {
            Expr::Unary { expr, .. } => {
                let got = self.type_of(*expr);
                if !matches!(got, Scalar | Vector) {
                    let got = quote(got.documented());
                    let message = format!(
                        "unary expression only allowed on expressions of type scalar or instant \
                         vector, got {got}"
                    );
                    self.error(position, message);
                }
            }
            Expr::Subquery(subquery) => {
                let got = self.type_of(subquery.expr);
                if got != Vector {
                    let got = got.as_str();
                    let message =
                        format!("subquery is only allowed on instant vector, got {got} instead");
                    self.error(position, message);
                }
            }
            Expr::Vector(vector) => {
                let messages = check_vector(vector);
                messages.into_iter().for_each(|message| self.error(position, message));
            }
            Expr::Binary(binary) => {
                let mut binary = binary.clone();
                self.check_binary(&mut binary, position);
                binary.value_type = self.type_of(id);
                *self.ast.expr_mut(id) = Expr::Binary(binary);
            }
            _ => {}
        }
    }

    fn check_binary(&mut self, binary: &mut Binary, position: PosRange) {
        let (lhs, rhs) = (self.type_of(binary.lhs), self.type_of(binary.rhs));
        let op = binary.op;
        if binary.return_bool && !op.is_comparison() {
            let message = "bool modifier can only be used on comparison operators";
            self.error(self.operator_position(binary), message);
        }
        if op.is_comparison() && !binary.return_bool && lhs == Scalar && rhs == Scalar {
            let message = "comparisons between scalars must use BOOL modifier";
            self.error(self.operator_position(binary), message);
        }
        if let Some(matching) = &mut binary.matching
            && op.is_set()
            && matching.card == Card::OneToOne
        {
            matching.card = Card::ManyToMany;
        }
        if let Some(matching) = &binary.matching
            && matching.on
        {
            for label in &matching.labels {
                if matching.include.contains(label) {
                    let label = quote(label);
                    let message =
                        format!("label {label} must not occur in ON and GROUP clause at once");
                    self.error(self.operator_position(binary), message);
                }
            }
        }
        for (operand, value_type) in [(binary.lhs, lhs), (binary.rhs, rhs)] {
            if !matches!(value_type, Scalar | Vector) {
                let message = "binary expression must contain only scalar and instant vector types";
                self.error(self.ast.position(operand), message);
            }
        }
        if lhs != Vector || rhs != Vector {
            if let Some(matching) = binary.matching.take() {
                self.refuse_matching(&matching, position);
            }
        } else if op.is_set()
            && let Some(matching) = &binary.matching
        {
            self.check_set_matching(op.as_str(), matching, position);
        }
        if (lhs == Scalar || rhs == Scalar) && op.is_set() {
            let op = quote(op.as_str());
            let message = format!("set operator {op} not allowed in binary scalar expression");
            self.error(position, message);
        }
    }

    /// Not both sides are vectors.
    fn refuse_matching(&mut self, matching: &VectorMatching, position: PosRange) {
        if !matching.labels.is_empty() {
            self.error(position, "vector matching only allowed between instant vectors");
        }
        if matching.fill_lhs.is_some() || matching.fill_rhs.is_some() {
            let message = "filling in missing series only allowed between instant vectors";
            self.error(position, message);
        }
    }

    fn check_set_matching(&mut self, op: &str, matching: &VectorMatching, position: PosRange) {
        if matches!(matching.card, Card::OneToMany | Card::ManyToOne) {
            let op = quote(op);
            self.error(position, format!("no grouping allowed for {op} operation"));
        }
        if matching.card != Card::ManyToMany {
            self.error(position, "set operations must always be many-to-many");
        }
        if matching.fill_lhs.is_some() || matching.fill_rhs.is_some() {
            self.error(position, "filling in missing series not allowed for set operators");
        }
    }

    /// Where operator and modifiers stand. As in Prometheus, the end is the last byte, not the
    /// one behind it.
    fn operator_position(&self, binary: &Binary) -> PosRange {
        let bytes = self.text.as_bytes();
        let space = |index: usize| bytes.get(index).is_some_and(u8::is_ascii_whitespace);
        let mut start = self.ast.position(binary.lhs).end as usize;
        while space(start) {
            start += 1;
        }
        let mut end = (self.ast.position(binary.rhs).start as usize).saturating_sub(1);
        while end > 0 && space(end) {
            end -= 1;
        }
        PosRange { start: start as u32, end: end as u32 }
    }
}

fn check_vector(vector: &VectorSelector) -> Vec<String> {
    if let Some(name) = &vector.name {
        // The last matcher is the one that the name became.
        let written = vector.matchers.split_last().map_or(&[][..], |(_, written)| written);
        return written
            .iter()
            .filter(|matcher| &*matcher.name == "__name__")
            .map(|matcher| {
                let (first, second) = (quote(name), quote(&matcher.value));
                format!("metric name must not be set twice: {first} or {second}")
            })
            .collect();
    }
    if vector.may_match_empty || !vector.matchers.iter().all(matches_empty) {
        return Vec::new();
    }
    vec!["vector selector must contain at least one non-empty matcher".into()]
}

/// Whether a series without the label matches.
fn matches_empty(matcher: &Matcher) -> bool {
    let regex = || Regex::new(&matcher.value).is_ok_and(|regex| regex.is_match(b""));
    match matcher.op {
        MatchOp::Equal => matcher.value.is_empty(),
        MatchOp::NotEqual => !matcher.value.is_empty(),
        MatchOp::Regexp => regex(),
        MatchOp::NotRegexp => !regex(),
    }
}
