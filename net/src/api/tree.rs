//! The tree of an expression as JSON, as Prometheus's page draws it.
//!
//! Fields stand in the order of their names. Does not recurse: what is left to write lies on a
//! stack.
//!
//! Source: Prometheus `web/api/v1/translate_ast.go`.

use engine::model::Matcher;
use engine::promql::ast::{
    Aggregate, Ast, At, Binary, Card, Duration, DurationExpr, Expr, ExprId, Subquery, ValueType,
    VectorSelector,
};
use engine::promql::functions::FunctionId;

use crate::wire::float::push_f;
use crate::wire::json::{push_html_text, push_number};

/// Appends the tree at `root`.
pub fn push_tree(out: &mut Vec<u8>, ast: &Ast, root: ExprId) {
    let mut tree = Tree { ast, out, left: vec![Piece::Expr(root)] };
    while let Some(piece) = tree.left.pop() {
        match piece {
            Piece::Expr(id) => tree.expr(id),
            Piece::Duration { id, wrapped } => tree.duration(id, wrapped),
            Piece::Written(bytes) => tree.out.extend_from_slice(&bytes),
            Piece::Text(text) => tree.out.extend_from_slice(text.as_bytes()),
        }
    }
}

struct Tree<'a> {
    ast: &'a Ast,
    out: &'a mut Vec<u8>,
    /// What is left to write, the next piece at the end.
    left: Vec<Piece>,
}

enum Piece {
    Expr(ExprId),
    /// An expression of durations; `wrapped`: it stood in parentheses.
    Duration {
        id: ExprId,
        wrapped: bool,
    },
    Written(Vec<u8>),
    Text(&'static str),
}

impl Tree<'_> {
    /// Writes `pieces` before all that is left.
    fn then(&mut self, pieces: Vec<Piece>) {
        self.left.extend(pieces.into_iter().rev());
    }

    fn expr(&mut self, id: ExprId) {
        match self.ast.expr(id) {
            Expr::Number { value, .. } => {
                self.out.extend_from_slice(br#"{"type":"numberLiteral","val":""#);
                push_f(self.out, *value);
                self.out.extend_from_slice(br#""}"#);
            }
            Expr::String(bytes) => {
                self.out.extend_from_slice(br#"{"type":"stringLiteral","val":"#);
                push_html_text(self.out, bytes);
                self.out.push(b'}');
            }
            Expr::Paren(inner) => self.then(vec![
                Piece::Text(r#"{"expr":"#),
                Piece::Expr(*inner),
                Piece::Text(r#","type":"parenExpr"}"#),
            ]),
            Expr::Unary { op, expr } => self.then(vec![
                Piece::Text(r#"{"expr":"#),
                Piece::Expr(*expr),
                Piece::Text(r#","op":""#),
                Piece::Text(op.as_str()),
                Piece::Text(r#"","type":"unaryExpr"}"#),
            ]),
            Expr::Vector(vector) => self.selector(vector, None),
            Expr::Matrix { vector, range } => {
                let Expr::Vector(vector) = self.ast.expr(*vector) else {
                    unreachable!("a range stands behind a selector");
                };
                self.selector(vector, Some(*range));
            }
            Expr::Subquery(subquery) => self.subquery(subquery),
            Expr::Binary(binary) => self.binary(binary),
            Expr::Aggregate(aggregate) => self.aggregate(aggregate),
            Expr::Call { function, args } => self.call(*function, args),
            Expr::Duration(_) => self.duration(id, false),
        }
    }

    fn selector(&mut self, vector: &VectorSelector, range: Option<Duration>) {
        let mut head = format!(r#"{{"anchored":{},"matchers":["#, vector.anchored).into_bytes();
        push_matchers(&mut head, &vector.matchers);
        head.extend_from_slice(br#"],"name":"#);
        push_html_text(&mut head, vector.name.as_deref().unwrap_or("").as_bytes());
        let kind = if range.is_some() { "matrixSelector" } else { "vectorSelector" };
        let mut pieces = vec![Piece::Written(head)];
        pieces.extend(duration_fields("offset", vector.offset));
        pieces.extend(range.into_iter().flat_map(|range| duration_fields("range", range)));
        let (start_or_end, timestamp) = at_fields(vector.at);
        pieces.push(Piece::Written(
            format!(
                r#","smoothed":{},"startOrEnd":{start_or_end},"timestamp":{timestamp},"type":"{kind}"}}"#,
                vector.smoothed
            )
            .into_bytes(),
        ));
        self.then(pieces);
    }

    fn subquery(&mut self, subquery: &Subquery) {
        let mut pieces = vec![Piece::Text(r#"{"expr":"#), Piece::Expr(subquery.expr)];
        pieces.extend(duration_fields("offset", subquery.offset));
        pieces.extend(duration_fields("range", subquery.range));
        let (start_or_end, timestamp) = at_fields(subquery.at);
        pieces.push(Piece::Written(format!(r#","startOrEnd":{start_or_end}"#).into_bytes()));
        pieces.extend(duration_fields("step", subquery.step.unwrap_or(Duration::ZERO)));
        let tail = format!(r#","timestamp":{timestamp},"type":"subquery"}}"#);
        pieces.push(Piece::Written(tail.into_bytes()));
        self.then(pieces);
    }

    fn binary(&mut self, binary: &Binary) {
        let mut matching = br#","matching":"#.to_vec();
        match &binary.matching {
            None => matching.extend_from_slice(b"null"),
            Some(vector) => {
                let card = match vector.card {
                    Card::OneToOne => "one-to-one",
                    Card::ManyToOne => "many-to-one",
                    Card::OneToMany => "one-to-many",
                    Card::ManyToMany => "many-to-many",
                };
                let head = format!(r#"{{"card":"{card}","fillValues":{{"lhs":"#);
                matching.extend_from_slice(head.as_bytes());
                push_optional(&mut matching, vector.fill_lhs);
                matching.extend_from_slice(br#","rhs":"#);
                push_optional(&mut matching, vector.fill_rhs);
                matching.extend_from_slice(br#"},"include":"#);
                push_names(&mut matching, &vector.include);
                matching.extend_from_slice(br#","labels":"#);
                push_names(&mut matching, &vector.labels);
                matching.extend_from_slice(format!(r#","on":{}}}"#, vector.on).as_bytes());
            }
        }
        let mut op = br#","op":"#.to_vec();
        push_html_text(&mut op, binary.op.as_str().as_bytes());
        self.then(vec![
            Piece::Text(if binary.return_bool { r#"{"bool":true"# } else { r#"{"bool":false"# }),
            Piece::Text(r#","lhs":"#),
            Piece::Expr(binary.lhs),
            Piece::Written(matching),
            Piece::Written(op),
            Piece::Text(r#","rhs":"#),
            Piece::Expr(binary.rhs),
            Piece::Text(r#","type":"binaryExpr"}"#),
        ]);
    }

    fn aggregate(&mut self, aggregate: &Aggregate) {
        let mut middle = br#","grouping":"#.to_vec();
        push_names(&mut middle, &aggregate.grouping);
        let op = format!(r#","op":"{}","param":"#, aggregate.op.as_str());
        middle.extend_from_slice(op.as_bytes());
        let tail = format!(r#","type":"aggregation","without":{}}}"#, aggregate.without);
        self.then(vec![
            Piece::Text(r#"{"expr":"#),
            Piece::Expr(aggregate.expr),
            Piece::Written(middle),
            aggregate.param.map_or(Piece::Text("null"), Piece::Expr),
            Piece::Written(tail.into_bytes()),
        ]);
    }

    fn call(&mut self, function: FunctionId, args: &[ExprId]) {
        let mut pieces = vec![Piece::Text(r#"{"args":["#)];
        for (index, arg) in args.iter().enumerate() {
            if index > 0 {
                pieces.push(Piece::Text(","));
            }
            pieces.push(Piece::Expr(*arg));
        }
        let signature = function.signature();
        let types: Vec<&str> = signature.arg_types.iter().map(|kind| kind.as_str()).collect();
        let types: String = match &types[..] {
            [] => String::new(),
            types => format!("\"{}\"", types.join("\",\"")),
        };
        let tail = format!(
            r#"],"func":{{"argTypes":[{types}],"name":"{}","returnType":"{}","variadic":{}}},"type":"call"}}"#,
            signature.name,
            ValueType::as_str(signature.return_type),
            signature.variadic
        );
        pieces.push(Piece::Written(tail.into_bytes()));
        self.then(pieces);
    }

    fn duration(&mut self, id: ExprId, wrapped: bool) {
        let Expr::Duration(duration) = self.ast.expr(id) else {
            unreachable!("durations are made of durations");
        };
        let (op, lhs, rhs) = match duration {
            DurationExpr::Literal { seconds, duration } if !wrapped => {
                let head = format!(r#"{{"duration":{duration},"type":"numberLiteral","val":""#);
                self.out.extend_from_slice(head.as_bytes());
                push_f(self.out, *seconds);
                self.out.extend_from_slice(br#""}"#);
                return;
            }
            // A literal in parentheses is the sum of nothing and itself.
            DurationExpr::Literal { .. } => ("+", None, Some(id)),
            DurationExpr::Paren(inner) => return self.duration(*inner, true),
            DurationExpr::Step => ("step", None, None),
            DurationExpr::Range => ("range", None, None),
            DurationExpr::Unary { op, expr } => (op.as_str(), None, Some(*expr)),
            DurationExpr::Binary { op, lhs, rhs } => (op.as_str(), Some(*lhs), Some(*rhs)),
        };
        let side = |id: Option<ExprId>| {
            id.map_or(Piece::Text("null"), |id| Piece::Duration { id, wrapped: false })
        };
        let (lhs, rhs) = (side(lhs), side(rhs));
        let middle = format!(r#","op":"{op}","rhs":"#);
        let tail = format!(r#","type":"durationExpr","wrapped":{wrapped}}}"#);
        self.then(vec![
            Piece::Text(r#"{"lhs":"#),
            lhs,
            Piece::Written(middle.into_bytes()),
            rhs,
            Piece::Written(tail.into_bytes()),
        ]);
    }
}

/// `,"NAME":MILLISECONDS,"NAMEExpr":EXPRESSION`: one of the two is zero or null.
fn duration_fields(name: &str, duration: Duration) -> [Piece; 2] {
    let (ms, expr) = match duration {
        Duration::Known { ms } => (ms, Piece::Text("null")),
        Duration::Expr(id) => (0, Piece::Duration { id, wrapped: false }),
    };
    [Piece::Written(format!(r#","{name}":{ms},"{name}Expr":"#).into_bytes()), expr]
}

/// The fields `startOrEnd` and `timestamp`.
fn at_fields(at: Option<At>) -> (&'static str, String) {
    match at {
        None => ("null", "null".to_owned()),
        Some(At::Start) => ("\"start\"", "null".to_owned()),
        Some(At::End) => ("\"end\"", "null".to_owned()),
        Some(At::Timestamp { ms }) => ("null", ms.to_string()),
    }
}

fn push_matchers(out: &mut Vec<u8>, matchers: &[Matcher]) {
    for (index, matcher) in matchers.iter().enumerate() {
        out.extend_from_slice(if index > 0 { br#",{"name":"# } else { br#"{"name":"# });
        push_html_text(out, matcher.name.as_bytes());
        out.extend_from_slice(format!(r#","type":"{}","value":"#, matcher.op.as_str()).as_bytes());
        push_html_text(out, matcher.value.as_bytes());
        out.push(b'}');
    }
}

fn push_names(out: &mut Vec<u8>, names: &[Box<str>]) {
    out.push(b'[');
    for (index, name) in names.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push_html_text(out, name.as_bytes());
    }
    out.push(b']');
}

/// A number that is not finite is none of JSON's.
fn push_optional(out: &mut Vec<u8>, value: Option<f64>) {
    match value {
        Some(value) if value.is_finite() => push_number(out, value),
        _ => out.extend_from_slice(b"null"),
    }
}

#[cfg(test)]
mod tests {
    use super::push_tree;
    use engine::promql::{ParseOptions, parse};

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let ast = parse(text, &ParseOptions::ALL).unwrap();
        let mut out = vec![];
        push_tree(&mut out, &ast, ast.root());
        let out = String::from_utf8(out).unwrap();
        serde_json::from_str::<serde_json::Value>(&out).expect("JSON");
        assert_eq!(out, expected, "{text}");
    }

    #[test]
    fn selectors() {
        check(
            r#"foo{bar=~"<a>"} offset -5m @ start()"#,
            concat!(
                r#"{"anchored":false,"matchers":[{"name":"bar","type":"=~","value":"\u003ca\u003e"},"#,
                r#"{"name":"__name__","type":"=","value":"foo"}],"name":"foo","offset":-300000,"#,
                r#""offsetExpr":null,"smoothed":false,"startOrEnd":"start","timestamp":null,"#,
                r#""type":"vectorSelector"}"#,
            ),
        );
        check(
            "foo[(5m)] @ 1.5",
            concat!(
                r#"{"anchored":false,"matchers":[{"name":"__name__","type":"=","value":"foo"}],"#,
                r#""name":"foo","offset":0,"offsetExpr":null,"range":0,"rangeExpr":{"lhs":null,"#,
                r#""op":"+","rhs":{"duration":true,"type":"numberLiteral","val":"300"},"#,
                r#""type":"durationExpr","wrapped":true},"smoothed":false,"startOrEnd":null,"#,
                r#""timestamp":1500,"type":"matrixSelector"}"#,
            ),
        );
    }

    #[test]
    fn operators_and_calls() {
        check(
            "-vector(1)",
            concat!(
                r#"{"expr":{"args":[{"type":"numberLiteral","val":"1"}],"func":{"argTypes":["scalar"],"#,
                r#""name":"vector","returnType":"vector","variadic":0},"type":"call"},"op":"-","#,
                r#""type":"unaryExpr"}"#,
            ),
        );
        check(
            "(vector(1))[5m:step()*2]",
            concat!(
                r#"{"expr":{"expr":{"args":[{"type":"numberLiteral","val":"1"}],"func":{"argTypes":["#,
                r#""scalar"],"name":"vector","returnType":"vector","variadic":0},"type":"call"},"#,
                r#""type":"parenExpr"},"#,
                r#""offset":0,"offsetExpr":null,"range":300000,"rangeExpr":null,"startOrEnd":null,"#,
                r#""step":0,"stepExpr":{"lhs":{"lhs":null,"op":"step","rhs":null,"#,
                r#""type":"durationExpr","wrapped":false},"op":"*","rhs":{"duration":false,"#,
                r#""type":"numberLiteral","val":"2"},"type":"durationExpr","wrapped":false},"#,
                r#""timestamp":null,"type":"subquery"}"#,
            ),
        );
        check(
            "topk by (a) (1, vector(1))",
            concat!(
                r#"{"expr":{"args":[{"type":"numberLiteral","val":"1"}],"func":{"argTypes":["scalar"],"#,
                r#""name":"vector","returnType":"vector","variadic":0},"type":"call"},"grouping":["a"],"#,
                r#""op":"topk","param":{"type":"numberLiteral","val":"1"},"type":"aggregation","#,
                r#""without":false}"#,
            ),
        );
        check(
            "vector(1) > bool on (a) group_left (b) fill (2) vector(pi())",
            concat!(
                r#"{"bool":true,"lhs":{"args":[{"type":"numberLiteral","val":"1"}],"func":{"argTypes":["#,
                r#""scalar"],"name":"vector","returnType":"vector","variadic":0},"type":"call"},"#,
                r#""matching":{"card":"many-to-one","fillValues":{"lhs":2,"rhs":2},"include":["b"],"#,
                r#""labels":["a"],"on":true},"op":"\u003e","rhs":{"args":[{"args":[],"func":{"argTypes":[],"#,
                r#""name":"pi","returnType":"scalar","variadic":0},"type":"call"}],"func":{"argTypes":["#,
                r#""scalar"],"name":"vector","returnType":"vector","variadic":0},"type":"call"},"#,
                r#""type":"binaryExpr"}"#,
            ),
        );
    }
}
