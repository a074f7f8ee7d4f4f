//! What the lexer finds, and how messages name it.
//!
//! Source: Prometheus `promql/parser/lex.go`, `Item.desc`.

use crate::model::quote::quote;

use super::ast::{AggregateOp, BinaryOp, PosRange};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub kind: TokenKind,
    pub position: PosRange,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// The end of the text.
    Eof,
    /// What follows a refusal of the lexer, which has been reported already: nothing more.
    Error,
    Identifier,
    /// An identifier with a colon in it.
    MetricIdentifier,
    String,
    Number,
    Duration,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    LeftParen,
    RightParen,
    Colon,
    Comma,
    /// `=`.
    Equal,
    /// `=~`.
    EqualRegex,
    /// `!~`.
    NotRegex,
    At,
    Binary(BinaryOp),
    Aggregate(AggregateOp),
    Keyword(Keyword),
    /// Between the values of a series.
    Space,
    /// `_` in the values of a series.
    Blank,
    /// `x` in the values of a series.
    Times,
    OpenHistogram,
    CloseHistogram,
    /// A field of a histogram, before its colon.
    HistogramField,
    CounterResetHint,
}

/// Words with a meaning of their own. All of them may be label names, most of them metric names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keyword {
    Bool,
    By,
    GroupLeft,
    GroupRight,
    Fill,
    FillLeft,
    FillRight,
    Ignoring,
    Offset,
    Smoothed,
    Anchored,
    On,
    Without,
    Start,
    End,
    Step,
    Range,
    MaxOf,
    MinOf,
}

impl Keyword {
    /// Words that Prometheus's messages put into quotes, unlike other keywords.
    fn is_preprocessor(self) -> bool {
        use Keyword::*;
        matches!(self, Start | End | Step | Range | MaxOf | MinOf)
    }

    /// Words that are functions, too, when a parenthesis follows.
    pub fn is_function(self) -> bool {
        self.is_preprocessor()
    }

    fn is_metric_name(self) -> bool {
        use Keyword::*;
        !matches!(self, Bool | GroupLeft | GroupRight | Ignoring | On)
    }
}

/// The kind of a lower-case word that is no plain identifier.
pub(super) fn keyword(word: &str) -> Option<TokenKind> {
    use TokenKind::{Aggregate, Binary, Number};
    let kind = match word {
        "inf" | "nan" => Number,
        "and" => Binary(BinaryOp::And),
        "or" => Binary(BinaryOp::Or),
        "unless" => Binary(BinaryOp::Unless),
        "atan2" => Binary(BinaryOp::Atan2),
        "sum" => Aggregate(AggregateOp::Sum),
        "avg" => Aggregate(AggregateOp::Avg),
        "count" => Aggregate(AggregateOp::Count),
        "min" => Aggregate(AggregateOp::Min),
        "max" => Aggregate(AggregateOp::Max),
        "group" => Aggregate(AggregateOp::Group),
        "stddev" => Aggregate(AggregateOp::Stddev),
        "stdvar" => Aggregate(AggregateOp::Stdvar),
        "topk" => Aggregate(AggregateOp::Topk),
        "bottomk" => Aggregate(AggregateOp::Bottomk),
        "count_values" => Aggregate(AggregateOp::CountValues),
        "quantile" => Aggregate(AggregateOp::Quantile),
        "limitk" => Aggregate(AggregateOp::Limitk),
        "limit_ratio" => Aggregate(AggregateOp::LimitRatio),
        "offset" => TokenKind::Keyword(Keyword::Offset),
        "smoothed" => TokenKind::Keyword(Keyword::Smoothed),
        "anchored" => TokenKind::Keyword(Keyword::Anchored),
        "by" => TokenKind::Keyword(Keyword::By),
        "without" => TokenKind::Keyword(Keyword::Without),
        "on" => TokenKind::Keyword(Keyword::On),
        "ignoring" => TokenKind::Keyword(Keyword::Ignoring),
        "group_left" => TokenKind::Keyword(Keyword::GroupLeft),
        "group_right" => TokenKind::Keyword(Keyword::GroupRight),
        "fill" => TokenKind::Keyword(Keyword::Fill),
        "fill_left" => TokenKind::Keyword(Keyword::FillLeft),
        "fill_right" => TokenKind::Keyword(Keyword::FillRight),
        "bool" => TokenKind::Keyword(Keyword::Bool),
        "start" => TokenKind::Keyword(Keyword::Start),
        "end" => TokenKind::Keyword(Keyword::End),
        _ => return duration_keyword(word),
    };
    Some(kind)
}

/// The kind of a lower-case word inside `[…]`.
pub(super) fn duration_keyword(word: &str) -> Option<TokenKind> {
    let keyword = match word {
        "step" => Keyword::Step,
        "range" => Keyword::Range,
        "max_of" => Keyword::MaxOf,
        "min_of" => Keyword::MinOf,
        _ => return None,
    };
    Some(TokenKind::Keyword(keyword))
}

impl TokenKind {
    /// Whether it may be a metric's name: identifiers, and words that no rule needs there.
    pub fn is_metric_name(self) -> bool {
        match self {
            TokenKind::Identifier | TokenKind::MetricIdentifier | TokenKind::Aggregate(_) => true,
            TokenKind::Binary(op) => op.is_set(),
            TokenKind::Keyword(keyword) => keyword.is_metric_name(),
            _ => false,
        }
    }

    /// Whether it may be a label's name in `by (…)`, `on (…)` and the like.
    pub fn is_label_name(self) -> bool {
        match self {
            TokenKind::Identifier | TokenKind::MetricIdentifier | TokenKind::Aggregate(_) => true,
            TokenKind::Binary(op) => op.is_set() || op == BinaryOp::Atan2,
            TokenKind::Keyword(keyword) => keyword != Keyword::Without,
            _ => false,
        }
    }

    /// Whether an expression can begin with it.
    pub fn begins_expression(self) -> bool {
        use TokenKind::*;
        self.is_metric_name()
            || self.sign().is_some()
            || matches!(self, Number | Duration | String | LeftParen | LeftBrace)
    }

    /// The sign, if it is one.
    pub fn sign(self) -> Option<super::ast::UnaryOp> {
        match self {
            TokenKind::Binary(BinaryOp::Add) => Some(super::ast::UnaryOp::Plus),
            TokenKind::Binary(BinaryOp::Sub) => Some(super::ast::UnaryOp::Minus),
            _ => None,
        }
    }

    /// How a message names a token of this kind that reads `text`.
    pub fn describe(self, text: &str) -> String {
        use TokenKind::*;
        match self {
            Eof => "end of input".into(),
            Error => "error".into(),
            Identifier => format!("identifier {}", quote(text)),
            MetricIdentifier => format!("metric identifier {}", quote(text)),
            String => format!("string {}", quote_start(text)),
            Number => format!("number {}", quote_start(text)),
            Duration => format!("duration {}", quote_start(text)),
            Keyword(keyword) if !keyword.is_preprocessor() => format!("<{text}>"),
            Binary(_) | EqualRegex | NotRegex | At => format!("<op:{text}>"),
            Aggregate(_) => format!("<aggr:{text}>"),
            HistogramField | CounterResetHint => {
                format!("histogram description {}", quote_start(text))
            }
            _ => quote_start(text),
        }
    }
}

/// The first ten characters in quotes; dots when more than ten bytes follow.
fn quote_start(text: &str) -> String {
    if text.len() <= 10 {
        return quote(text);
    }
    let end = text.char_indices().nth(10).map_or(text.len(), |(index, _)| index);
    format!("{}...", quote(&text[..end]))
}
