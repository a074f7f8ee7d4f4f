//! From calls of functions to nodes of a plan.

use crate::model::labels::METRIC_NAME;
use crate::model::{Labels, LabelsBuilder, MatchOp};
use crate::promql::ast::{Expr, ExprId, PosRange, ValueType};
use crate::promql::functions::FunctionId;

use super::PlanError;
use super::build::Builder;
use super::grid::{Grid, Lookup};
use super::node::{Histogram, Info, LabelJoin, LabelReplace, NodeId, Op, SortOrder};
use super::part::{Extend, Map, Param, SelectOutput, Stage, Window};
use super::resolve::unparen;

impl Builder<'_> {
    pub(super) fn call(
        &mut self,
        id: ExprId,
        function: FunctionId,
        args: &[ExprId],
    ) -> Result<NodeId, PlanError> {
        use FunctionId::*;
        let grid = self.grid(id);
        if args.iter().any(|arg| self.ast.value_type(*arg) == ValueType::Matrix) {
            return self.window_call(function, args, grid);
        }
        let node = match function {
            Pi => self.push(Op::Number(std::f64::consts::PI), grid),
            Start | End | Range | Step => self.push(Op::Number(self.context(function)), grid),
            Time => self.push(Op::Time, grid),
            MaxOf | MinOf => {
                let (lhs, rhs) = (self.node_of(args[0]), self.node_of(args[1]));
                self.push(Op::Extreme { largest: function == MaxOf, lhs, rhs }, grid)
            }
            Scalar => self.push(Op::ScalarOf(self.node_of(args[0])), grid),
            Vector => self.push(Op::VectorOf(self.node_of(args[0])), grid),
            Timestamp => self.timestamp(args[0], SelectOutput::Timestamp, grid),
            StartTimestamp if self.options.start_timestamps => {
                self.timestamp(args[0], SelectOutput::StartTimestamp, grid)
            }
            Absent => {
                let labels = self.absent_labels(args[0]);
                self.absent(self.node_of(args[0]), labels, grid)
            }
            LabelReplace => {
                let replace = Box::new(self::LabelReplace {
                    target: self.text(args[1]),
                    replacement: self.text(args[2]),
                    source: self.text(args[3]),
                    regex: self.text(args[4]),
                });
                self.push(Op::LabelReplace { child: self.node_of(args[0]), replace }, grid)
            }
            LabelJoin => {
                let join = Box::new(self::LabelJoin {
                    target: self.text(args[1]),
                    separator: self.text(args[2]),
                    sources: args[3..].iter().map(|arg| self.text(*arg)).collect(),
                });
                self.push(Op::LabelJoin { child: self.node_of(args[0]), join }, grid)
            }
            Sort | SortDesc | SortByLabel | SortByLabelDesc => {
                let descending = matches!(function, SortDesc | SortByLabelDesc);
                let names = args[1..].iter().map(|arg| self.text(*arg)).collect();
                let order = match function {
                    Sort | SortDesc => SortOrder::Value { descending },
                    _ => SortOrder::Labels { names, descending },
                };
                let position = self.ast.position(id);
                self.push(Op::Sort { child: self.node_of(args[0]), order, position }, grid)
            }
            HistogramQuantile | HistogramQuantiles | HistogramFraction => {
                self.histogram(function, args, grid)
            }
            Info => self.info(args, grid),
            _ => {
                let map = self.map(function, args);
                let child = match args.first() {
                    Some(vector) => self.node_of(*vector),
                    // `hour()` and its like are about the evaluation time.
                    None => {
                        let time = self.push(Op::Time, grid);
                        self.push(Op::VectorOf(time), grid)
                    }
                };
                self.stage(child, Stage::Map(map), grid)
            }
        };
        Ok(node)
    }

    /// Functions of one vector that work on each point by itself.
    fn map(&self, function: FunctionId, args: &[ExprId]) -> Map {
        use FunctionId::*;
        match function {
            Clamp => Map::Clamp { min: self.param(args[1]), max: self.param(args[2]) },
            ClampMin => Map::Clamp { min: self.param(args[1]), max: Param::Number(f64::INFINITY) },
            ClampMax => {
                Map::Clamp { min: Param::Number(f64::NEG_INFINITY), max: self.param(args[1]) }
            }
            Round => {
                let to = args.get(1).map_or(Param::Number(1.0), |arg| self.param(*arg));
                Map::Round { to }
            }
            DayOfMonth | DayOfWeek | DayOfYear | DaysInMonth | Hour | Minute | Month | Year => {
                Map::Date(function)
            }
            HistogramAvg | HistogramCount | HistogramStddev | HistogramStdvar | HistogramSum => {
                Map::Histogram(function)
            }
            StartTimestamp => Map::Nothing,
            _ => Map::Math(function),
        }
    }

    fn context(&self, function: FunctionId) -> f64 {
        let (start_ms, end_ms) = (self.times.start_ms, self.times.end_ms);
        let ms = match function {
            FunctionId::Start => start_ms,
            FunctionId::End => end_ms,
            FunctionId::Range => end_ms.saturating_sub(start_ms),
            _ if start_ms == end_ms => 0,
            _ => self.times.step_ms,
        };
        ms as f64 / 1000.0
    }

    fn text(&self, id: ExprId) -> Box<str> {
        match self.ast.expr(unparen(self.ast, id)) {
            Expr::String(text) => String::from_utf8_lossy(text).into(),
            other => panic!("the parser checks that {other:?} is a string"),
        }
    }

    fn unwrapped_position(&self, id: ExprId) -> PosRange {
        self.ast.position(unparen(self.ast, id))
    }

    /// The times of samples, or their start timestamps. Anything but a selector has the evaluation
    /// time, and no start timestamp.
    fn timestamp(&mut self, arg: ExprId, output: SelectOutput, grid: Grid) -> NodeId {
        let unwrapped = unparen(self.ast, arg);
        let node = self.node_of(arg);
        if !matches!(self.ast.expr(unwrapped), Expr::Vector(_)) {
            let map = match output {
                SelectOutput::Timestamp => Map::Timestamp,
                _ => Map::Nothing,
            };
            return self.stage(node, Stage::Map(map), grid);
        }
        let mut part = self.take_part(node);
        part.select.output = output;
        if let (Some(at_ms), Lookup::At { ms }) =
            (self.resolved.at_ms[unwrapped.0 as usize], part.select.lookup)
        {
            // Prometheus looks at the time written, but sees only what it has read for the time
            // with its offset: what both look back at remains.
            let apart_ms = at_ms.saturating_sub(ms).saturating_abs();
            part.select.lookup = Lookup::At { ms: ms.min(at_ms) };
            part.select.lookback_ms = part.select.lookback_ms.saturating_sub(apart_ms).max(0);
        }
        self.push(Op::Scatter(part), grid)
    }

    fn window_call(
        &mut self,
        function: FunctionId,
        args: &[ExprId],
        grid: Grid,
    ) -> Result<NodeId, PlanError> {
        let is_matrix = |arg: &ExprId| self.ast.value_type(*arg) == ValueType::Matrix;
        let matrix = args.iter().copied().find(is_matrix).expect("the caller has seen one");
        let params =
            args.iter().filter(|arg| !is_matrix(arg)).map(|arg| self.param(*arg)).collect();
        let node = self.node_of(matrix);
        let range = unparen(self.ast, matrix);
        let from_selector = matches!(self.ast.expr(range), Expr::Matrix { .. });
        let arg_positions = args
            .iter()
            .map(|arg| match is_matrix(arg) && !from_selector {
                // What a subquery was turned into stands nowhere in the text.
                true => PosRange::default(),
                false => self.unwrapped_position(*arg),
            })
            .collect();
        let mut window = Window {
            function,
            range_ms: self.resolved.range_ms[range.0 as usize],
            extend: Extend::No,
            params,
            arg_positions,
        };
        let called = if from_selector {
            let mut part = self.take_part(node);
            if let SelectOutput::Samples { extend, .. } = part.select.output {
                window.extend = extend;
            }
            check_extend(&window)?;
            part.select.output = SelectOutput::Window(window);
            self.push(Op::Scatter(part), grid)
        } else {
            let lookup = self.resolved.lookups[range.0 as usize];
            self.stage(node, Stage::Window { window, lookup, grid }, grid)
        };
        if function != FunctionId::AbsentOverTime {
            return Ok(called);
        }
        let labels = match self.ast.expr(range) {
            Expr::Matrix { vector, .. } => self.absent_labels(*vector),
            _ => Labels::default(),
        };
        Ok(self.absent(called, labels, grid))
    }

    /// The labels that the selector `id` fixes.
    ///
    /// Source: Prometheus `promql/functions.go`, `createLabelsForAbsentFunction`.
    fn absent_labels(&self, id: ExprId) -> Labels {
        let Expr::Vector(vector) = self.ast.expr(unparen(self.ast, id)) else {
            return Labels::default();
        };
        let mut labels = LabelsBuilder::default();
        let mut seen: Vec<&str> = Vec::new();
        for matcher in &vector.matchers {
            let name = &*matcher.name;
            if name.as_bytes() == METRIC_NAME {
                continue;
            }
            if matcher.op == MatchOp::Equal && !seen.contains(&name) {
                labels.set(name.as_bytes(), matcher.value.as_bytes());
                seen.push(name);
            } else {
                labels.remove(name.as_bytes());
            }
        }
        labels.finish()
    }

    fn histogram(&mut self, function: FunctionId, args: &[ExprId], grid: Grid) -> NodeId {
        let (vector, params): (ExprId, &[ExprId]) = match function {
            FunctionId::HistogramQuantile => (args[1], &args[..1]),
            FunctionId::HistogramFraction => (args[2], &args[..2]),
            _ => (args[0], &args[2..]),
        };
        let quantile_label = match function {
            FunctionId::HistogramQuantiles => self.text(args[1]),
            _ => "".into(),
        };
        let histogram = Box::new(Histogram {
            function,
            params: params.iter().map(|arg| self.param(*arg)).collect(),
            param_positions: params.iter().map(|arg| self.unwrapped_position(*arg)).collect(),
            position: self.unwrapped_position(vector),
            quantile_label,
        });
        self.push(Op::Histogram { child: self.node_of(vector), histogram }, grid)
    }

    fn info(&mut self, args: &[ExprId], grid: Grid) -> NodeId {
        let matchers = args.get(1).map(|arg| {
            let part = self.take_part(self.node_of(*arg));
            part.matchers
        });
        let info = Box::new(Info {
            matchers,
            lookup: self.info_lookup(args[0]),
            lookback_ms: self.times.lookback_ms,
        });
        self.push(Op::Info { child: self.node_of(args[0]), info }, grid)
    }

    /// The time of info series follows the first selector in the first argument: its `@`, or that
    /// of the nearest subquery around it, and the offsets on the way there.
    ///
    /// Source: Prometheus `promql/info.go`, `infoSelectTimestampAndOffset`.
    fn info_lookup(&self, argument: ExprId) -> Lookup {
        let mut path = vec![(argument, Lookup::Offset { ms: 0 })];
        // Depth first in the order written. `around` is what the subqueries so far impose.
        while let Some((id, around)) = path.pop() {
            let own = |lookup: Lookup| match (lookup, around) {
                (Lookup::At { ms }, _) => Lookup::At { ms },
                (Lookup::Offset { ms }, Lookup::At { ms: at_ms }) => {
                    Lookup::At { ms: at_ms.saturating_sub(ms) }
                }
                (Lookup::Offset { ms }, Lookup::Offset { ms: outer_ms }) => {
                    Lookup::Offset { ms: ms.saturating_add(outer_ms) }
                }
            };
            let lookup = self.resolved.lookups[id.0 as usize];
            match self.ast.expr(id) {
                Expr::Vector(_) => return own(lookup),
                Expr::Subquery(subquery) => path.push((subquery.expr, own(lookup))),
                expr => {
                    let children = expr.children();
                    path.extend(children.into_iter().rev().map(|child| (child, around)));
                }
            }
        }
        Lookup::Offset { ms: 0 }
    }
}

/// Source: Prometheus `promql/functions.go`, `AnchoredSafeFunctions`, `SmoothedSafeFunctions`.
fn check_extend(window: &Window) -> Result<(), PlanError> {
    use FunctionId::*;
    let (modifier, allowed): (&str, &[FunctionId]) = match window.extend {
        Extend::No => return Ok(()),
        Extend::Anchored => ("anchored", &[Changes, Delta, Increase, Rate, Resets]),
        Extend::Smoothed => ("smoothed", &[Delta, Increase, Rate]),
    };
    if allowed.contains(&window.function) {
        return Ok(());
    }
    let names: Vec<&str> = allowed.iter().map(|function| function.name()).collect();
    Err(PlanError {
        message: format!(
            "{modifier} modifier can only be used with: {} - not with {}",
            names.join(", "),
            window.function.name()
        ),
    })
}
