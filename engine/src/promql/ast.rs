//! The tree of an expression, as an arena in post-order.
//!
//! A node's children have smaller ids than the node, and the root is the last node. So every pass
//! (check, plan, execute, drop) is a loop over a vector: nothing recurses, and a chain of a
//! million operators is as safe as one. Every node knows the bytes it was written in.
//!
//! Source: Prometheus `promql/parser/ast.go`; names of fields follow it.

use crate::model::Matcher;

use super::functions::FunctionId;

/// Position of a node in its [`Ast`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExprId(pub u32);

/// Bytes `start..end` of the query text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
pub struct PosRange {
    pub start: u32,
    pub end: u32,
}

#[derive(Clone, Debug, Default)]
pub struct Ast {
    exprs: Vec<Expr>,
    /// Where each node stands in the text; same length as `exprs`.
    positions: Vec<PosRange>,
}

impl Ast {
    /// Adds a node whose children are in the tree already.
    pub fn push(&mut self, expr: Expr, position: PosRange) -> ExprId {
        let id = ExprId(self.exprs.len() as u32);
        debug_assert!(expr.children().iter().all(|child| *child < id));
        self.exprs.push(expr);
        self.positions.push(position);
        id
    }

    /// Takes the last node off, so that it can be pushed again behind new children.
    pub(super) fn pop(&mut self) -> Option<(Expr, PosRange)> {
        self.exprs.pop().zip(self.positions.pop())
    }

    /// Drops all nodes from `length` on.
    pub(super) fn truncate(&mut self, length: usize) {
        self.exprs.truncate(length);
        self.positions.truncate(length);
    }

    /// The last node. The tree must not be empty.
    pub fn root(&self) -> ExprId {
        assert!(!self.exprs.is_empty(), "a parsed tree has a root");
        ExprId(self.exprs.len() as u32 - 1)
    }

    pub fn expr(&self, id: ExprId) -> &Expr {
        &self.exprs[id.0 as usize]
    }

    pub fn expr_mut(&mut self, id: ExprId) -> &mut Expr {
        &mut self.exprs[id.0 as usize]
    }

    pub fn position(&self, id: ExprId) -> PosRange {
        self.positions[id.0 as usize]
    }

    pub fn set_position(&mut self, id: ExprId, position: PosRange) {
        self.positions[id.0 as usize] = position;
    }

    pub fn len(&self) -> usize {
        self.exprs.len()
    }

    pub fn is_empty(&self) -> bool {
        self.exprs.is_empty()
    }

    /// All ids, children before parents.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = ExprId> + use<> {
        (0..self.exprs.len() as u32).map(ExprId)
    }

    /// The type of a node's value. Follows one child where the type is the child's.
    pub fn value_type(&self, mut id: ExprId) -> ValueType {
        loop {
            match self.expr(id) {
                Expr::Paren(inner) | Expr::Unary { expr: inner, .. } => id = *inner,
                Expr::Number { .. } | Expr::Duration(_) => return ValueType::Scalar,
                Expr::String(_) => return ValueType::String,
                Expr::Vector(_) | Expr::Aggregate(_) => return ValueType::Vector,
                Expr::Matrix { .. } | Expr::Subquery(_) => return ValueType::Matrix,
                Expr::Call { function, .. } => return function.signature().return_type,
                Expr::Binary(binary) => return binary.value_type,
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ValueType {
    Scalar,
    Vector,
    Matrix,
    String,
}

impl ValueType {
    /// The name in the API's answers.
    pub fn as_str(self) -> &'static str {
        match self {
            ValueType::Scalar => "scalar",
            ValueType::Vector => "vector",
            ValueType::Matrix => "matrix",
            ValueType::String => "string",
        }
    }

    /// The name in messages and in the documentation.
    pub fn documented(self) -> &'static str {
        match self {
            ValueType::Vector => "instant vector",
            ValueType::Matrix => "range vector",
            ValueType::Scalar | ValueType::String => self.as_str(),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    Number {
        value: f64,
        /// Was written as a duration (`5m`), and is printed as one.
        duration: bool,
    },
    /// Bytes, because `"\xff"` is a string, too.
    String(Box<[u8]>),
    Vector(Box<VectorSelector>),
    Matrix {
        /// Always a [`Expr::Vector`].
        vector: ExprId,
        range: Duration,
    },
    Subquery(Box<Subquery>),
    Paren(ExprId),
    Unary {
        op: UnaryOp,
        expr: ExprId,
    },
    Binary(Box<Binary>),
    Aggregate(Box<Aggregate>),
    Call {
        function: FunctionId,
        args: Vec<ExprId>,
    },
    /// Arithmetic on durations inside `[…]` or after `offset`: never a value of its own.
    Duration(DurationExpr),
}

impl Expr {
    /// The node's children in the order they are written.
    pub fn children(&self) -> Vec<ExprId> {
        match self {
            Expr::Number { .. } | Expr::String(_) => vec![],
            Expr::Vector(vector) => vector.offset.expr().into_iter().collect(),
            Expr::Matrix { vector, range } => {
                [Some(*vector), range.expr()].into_iter().flatten().collect()
            }
            Expr::Subquery(subquery) => [
                Some(subquery.expr),
                subquery.range.expr(),
                subquery.step.as_ref().and_then(Duration::expr),
                subquery.offset.expr(),
            ]
            .into_iter()
            .flatten()
            .collect(),
            Expr::Paren(expr) | Expr::Unary { expr, .. } => vec![*expr],
            Expr::Binary(binary) => vec![binary.lhs, binary.rhs],
            Expr::Aggregate(aggregate) => {
                aggregate.param.into_iter().chain([aggregate.expr]).collect()
            }
            Expr::Call { args, .. } => args.clone(),
            Expr::Duration(duration) => match duration {
                DurationExpr::Literal { .. } | DurationExpr::Step | DurationExpr::Range => vec![],
                DurationExpr::Unary { expr, .. } | DurationExpr::Paren(expr) => vec![*expr],
                DurationExpr::Binary { lhs, rhs, .. } => vec![*lhs, *rhs],
            },
        }
    }
}

/// A length of time in a selector: known when it was written as a literal, otherwise an
/// expression that needs the query's step and range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Duration {
    Known {
        /// Milliseconds; an offset may be negative.
        ms: i64,
    },
    Expr(ExprId),
}

impl Duration {
    pub const ZERO: Duration = Duration::Known { ms: 0 };

    pub fn expr(&self) -> Option<ExprId> {
        match self {
            Duration::Known { .. } => None,
            Duration::Expr(id) => Some(*id),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DurationExpr {
    /// Seconds, as written.
    Literal {
        seconds: f64,
        duration: bool,
    },
    /// `step()`.
    Step,
    /// `range()`.
    Range,
    Unary {
        op: UnaryOp,
        expr: ExprId,
    },
    /// Also `min_of(a, b)` and `max_of(a, b)`.
    Binary {
        op: DurationOp,
        lhs: ExprId,
        rhs: ExprId,
    },
    /// `(…)`, however many parentheses there were.
    Paren(ExprId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DurationOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    MinOf,
    MaxOf,
}

impl DurationOp {
    pub fn as_str(self) -> &'static str {
        match self {
            DurationOp::Add => "+",
            DurationOp::Sub => "-",
            DurationOp::Mul => "*",
            DurationOp::Div => "/",
            DurationOp::Mod => "%",
            DurationOp::Pow => "^",
            DurationOp::MinOf => "min_of",
            DurationOp::MaxOf => "max_of",
        }
    }
}

/// The `@` modifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// Milliseconds since the Unix epoch.
    Timestamp {
        ms: i64,
    },
    Start,
    End,
}

#[derive(Clone, Debug, PartialEq)]
pub struct VectorSelector {
    /// The metric name before the braces, if it was written there.
    pub name: Option<Box<str>>,
    /// All matchers in the order written, the one on `__name__` included (last when it comes
    /// from `name`).
    pub matchers: Vec<Matcher>,
    pub offset: Duration,
    pub at: Option<At>,
    pub anchored: bool,
    pub smoothed: bool,
    /// Stands as the second argument of `info`, where it may match everything.
    pub may_match_empty: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Subquery {
    pub expr: ExprId,
    pub range: Duration,
    /// `None`: the server's default step.
    pub step: Option<Duration>,
    pub offset: Duration,
    pub at: Option<At>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnaryOp {
    Plus,
    Minus,
}

impl UnaryOp {
    pub fn as_str(self) -> &'static str {
        match self {
            UnaryOp::Plus => "+",
            UnaryOp::Minus => "-",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Atan2,
    Eql,
    Neq,
    Gtr,
    Lss,
    Gte,
    Lte,
    /// `</`: keeps a native histogram's observations below a bound.
    TrimUpper,
    /// `>/`: keeps those above.
    TrimLower,
    And,
    Or,
    Unless,
}

impl BinaryOp {
    pub fn as_str(self) -> &'static str {
        match self {
            BinaryOp::Add => "+",
            BinaryOp::Sub => "-",
            BinaryOp::Mul => "*",
            BinaryOp::Div => "/",
            BinaryOp::Mod => "%",
            BinaryOp::Pow => "^",
            BinaryOp::Atan2 => "atan2",
            BinaryOp::Eql => "==",
            BinaryOp::Neq => "!=",
            BinaryOp::Gtr => ">",
            BinaryOp::Lss => "<",
            BinaryOp::Gte => ">=",
            BinaryOp::Lte => "<=",
            BinaryOp::TrimUpper => "</",
            BinaryOp::TrimLower => ">/",
            BinaryOp::And => "and",
            BinaryOp::Or => "or",
            BinaryOp::Unless => "unless",
        }
    }

    pub fn is_comparison(self) -> bool {
        use BinaryOp::*;
        matches!(self, Eql | Neq | Gtr | Lss | Gte | Lte)
    }

    pub fn is_set(self) -> bool {
        matches!(self, BinaryOp::And | BinaryOp::Or | BinaryOp::Unless)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    pub op: BinaryOp,
    pub lhs: ExprId,
    pub rhs: ExprId,
    /// `bool`: a comparison gives 0 or 1 instead of filtering.
    pub return_bool: bool,
    /// Exactly if both sides are vectors.
    pub matching: Option<VectorMatching>,
    /// Scalar if both sides are scalars, otherwise vector. Set by the parser.
    pub value_type: ValueType,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Card {
    OneToOne,
    ManyToOne,
    OneToMany,
    ManyToMany,
}

#[derive(Clone, Debug, PartialEq)]
pub struct VectorMatching {
    pub card: Card,
    /// `on(…)` when true, `ignoring(…)` when false.
    pub on: bool,
    pub labels: Vec<Box<str>>,
    /// Labels of `group_left(…)` or `group_right(…)`.
    pub include: Vec<Box<str>>,
    pub fill_lhs: Option<f64>,
    pub fill_rhs: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AggregateOp {
    Sum,
    Avg,
    Count,
    Min,
    Max,
    Group,
    Stddev,
    Stdvar,
    Topk,
    Bottomk,
    CountValues,
    Quantile,
    Limitk,
    LimitRatio,
}

impl AggregateOp {
    pub fn as_str(self) -> &'static str {
        match self {
            AggregateOp::Sum => "sum",
            AggregateOp::Avg => "avg",
            AggregateOp::Count => "count",
            AggregateOp::Min => "min",
            AggregateOp::Max => "max",
            AggregateOp::Group => "group",
            AggregateOp::Stddev => "stddev",
            AggregateOp::Stdvar => "stdvar",
            AggregateOp::Topk => "topk",
            AggregateOp::Bottomk => "bottomk",
            AggregateOp::CountValues => "count_values",
            AggregateOp::Quantile => "quantile",
            AggregateOp::Limitk => "limitk",
            AggregateOp::LimitRatio => "limit_ratio",
        }
    }

    /// Whether it takes a parameter before its vector.
    pub fn has_param(self) -> bool {
        use AggregateOp::*;
        matches!(self, Topk | Bottomk | CountValues | Quantile | Limitk | LimitRatio)
    }

    /// Refused unless experimental functions are enabled.
    pub fn is_experimental(self) -> bool {
        matches!(self, AggregateOp::Limitk | AggregateOp::LimitRatio)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    pub op: AggregateOp,
    pub expr: ExprId,
    pub param: Option<ExprId>,
    pub grouping: Vec<Box<str>>,
    pub without: bool,
}
