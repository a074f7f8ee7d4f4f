//! Whole plans over one source and over three, with trees built by hand.

use crate::model::Labels;
use crate::model::{MatchOp, Matcher};
use crate::plan::{Plan, PlanOptions, QueryTimes};
use crate::promql::ExprId;
use crate::promql::ast::{
    Aggregate, AggregateOp, Ast, Binary, BinaryOp, Duration, Expr, PosRange, ValueType,
    VectorSelector,
};
use crate::promql::functions::FunctionId;

use super::testing::{LocalScatter, block_on};
use super::{Severity, Value, evaluate};

fn vector(ast: &mut Ast, name: &str) -> ExprId {
    let selector = VectorSelector {
        name: Some(name.into()),
        matchers: vec![Matcher::new("__name__", MatchOp::Equal, name)],
        offset: Duration::ZERO,
        at: None,
        anchored: false,
        smoothed: false,
        may_match_empty: false,
    };
    ast.push(Expr::Vector(Box::new(selector)), PosRange::default())
}

fn rate(ast: &mut Ast, name: &str, range_ms: i64) -> ExprId {
    let vector = vector(ast, name);
    let range = Duration::Known { ms: range_ms };
    let matrix = ast.push(Expr::Matrix { vector, range }, PosRange::default());
    ast.push(Expr::Call { function: FunctionId::Rate, args: vec![matrix] }, PosRange::default())
}

fn sum_by(ast: &mut Ast, expr: ExprId, label: &str) -> ExprId {
    let aggregate = Aggregate {
        op: AggregateOp::Sum,
        expr,
        param: None,
        grouping: vec![label.into()],
        without: false,
    };
    ast.push(Expr::Aggregate(Box::new(aggregate)), PosRange::default())
}

fn show(value: &Value) -> Vec<String> {
    (0..value.row_count())
        .map(|row| {
            let mut line = value.labels(row).to_string();
            value.for_each_point(row, |time_ms, value| line += &format!(" {value}@{time_ms}"));
            line
        })
        .collect()
}

/// Six counters that rise by their number each second, over `shards` sources.
fn counters(shards: usize) -> LocalScatter {
    let mut scatter = LocalScatter::new(shards);
    for counter in 0..6 {
        let labels = Labels::from_pairs([
            ("__name__", "rises".to_owned()),
            ("group", (counter % 2).to_string()),
            ("counter", counter.to_string()),
        ]);
        for second in 0..100 {
            scatter.append(&labels, second * 1000, (second * counter) as f64);
        }
    }
    scatter
}

#[track_caller]
fn check(build: impl Fn(&mut Ast), times: QueryTimes, expected: &[&str]) {
    let mut ast = Ast::default();
    build(&mut ast);
    for shards in [1, 3] {
        for push in [true, false] {
            let mut options = PlanOptions::default();
            if !push {
                options = options.without_rewrites();
            }
            let plan = Plan::new(&ast, times, &options).unwrap();
            let outcome = block_on(evaluate(&plan, &counters(shards))).unwrap();
            assert_eq!(show(&outcome.value), expected, "{shards} shards, pushed: {push}");
        }
    }
}

#[test]
fn a_sum_of_rates_is_the_same_from_one_shard_and_three() {
    let sum = |ast: &mut Ast| {
        let rate = rate(ast, "rises", 10_000);
        sum_by(ast, rate, "group");
    };
    let expected = [r#"{group="0"} 6@50000 6@60000"#, r#"{group="1"} 9@50000 9@60000"#];
    check(sum, QueryTimes::range(50_000, 60_000, 10_000), &expected);
    check(
        |ast| {
            sum(ast);
            let lhs = ast.root();
            let rhs = ast.push(Expr::Number { value: 2.0, duration: false }, PosRange::default());
            let binary = Binary {
                op: BinaryOp::Mul,
                lhs,
                rhs,
                return_bool: false,
                matching: None,
                value_type: ValueType::Vector,
            };
            ast.push(Expr::Binary(Box::new(binary)), PosRange::default());
        },
        QueryTimes::instant(50_000),
        &[r#"{group="0"} 12@50000"#, r#"{group="1"} 18@50000"#],
    );
}

#[test]
fn samples_are_counted_and_bounded() {
    let mut ast = Ast::default();
    rate(&mut ast, "rises", 10_000);
    let mut options = PlanOptions::default();
    let plan = Plan::new(&ast, QueryTimes::instant(50_000), &options).unwrap();
    let outcome = block_on(evaluate(&plan, &counters(3))).unwrap();
    assert_eq!(outcome.stats.queryable(), 60);
    assert_eq!(
        outcome.annotations.texts(Severity::Info, "rate(rises[10s])"),
        ["PromQL info: metric might not be a counter, name does not end in \
          _total/_sum/_count/_bucket: \"rises\" (1:1)"]
    );
    options.samples_max = 9;
    let plan = Plan::new(&ast, QueryTimes::instant(50_000), &options).unwrap();
    assert_eq!(
        block_on(evaluate(&plan, &counters(1))).unwrap_err().to_string(),
        "query processing would load too many samples into memory in query execution"
    );
}
