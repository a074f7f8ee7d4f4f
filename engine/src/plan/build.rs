//! From the resolved tree to the nodes of a plan. One pass, children first.

use crate::model::{Labels, Matcher};
use crate::promql::ast::{
    AggregateOp, Ast, BinaryOp, Expr, ExprId, UnaryOp, ValueType, VectorSelector,
};

use super::ask_together::Together;
use super::grid::Grid;
use super::node::{Binary, Node, NodeId, Op};
use super::part::{
    Aggregate, Extend, Finish, Grouping, Map, Param, Select, SelectOutput, ShardPart, Stage,
};
use super::push_aggregates::{can_push, push_aggregate};
use super::push_stages::{keeps_series_apart, push_stage};
use super::resolve::{Resolved, unparen};
use super::rewrites::{Applied, Rewrite};
use super::skip_buckets::skips_buckets;
use super::{
    PlanError, PlanOptions, QueryTimes, ask_together, fold_numbers, merge_scans, project_labels,
    propagate_matchers, push_candidates, reduce_matchers, share_parts,
};

pub(super) struct Builder<'a> {
    pub ast: &'a Ast,
    pub resolved: &'a Resolved,
    pub times: &'a QueryTimes,
    pub options: &'a PlanOptions,
    pub nodes: Vec<Node>,
    pub applied: Applied,
    /// The node of every expression that has one so far.
    built: Vec<Option<NodeId>>,
    skips_buckets: Vec<bool>,
}

pub(super) fn build(
    ast: &Ast,
    resolved: &Resolved,
    times: &QueryTimes,
    options: &PlanOptions,
) -> Result<(Vec<Node>, Vec<Together>, Applied), PlanError> {
    let built = vec![None; ast.len()];
    let (nodes, applied) = (Vec::new(), Applied::default());
    let skips_buckets = skips_buckets(ast);
    let mut builder =
        Builder { ast, resolved, times, options, nodes, applied, built, skips_buckets };
    for id in ast.ids() {
        let Some(node) = builder.expr(id)? else { continue };
        builder.built[id.0 as usize] = Some(builder.repeated(id, node));
    }
    // The root may name a node that stands earlier; evaluation ends at the last.
    let root = builder.node_of(ast.root());
    let op = std::mem::replace(&mut builder.nodes[root.index()].op, Op::Moved);
    let grid = builder.nodes[root.index()].grid;
    builder.push(op, grid);
    let Builder { mut nodes, mut applied, .. } = builder;
    if options.rewrites.has(Rewrite::PropagateMatchers) {
        applied.add(Rewrite::PropagateMatchers, propagate_matchers::propagate(&mut nodes));
    }
    if options.rewrites.has(Rewrite::ShareParts) {
        applied.add(Rewrite::ShareParts, share_parts::share(&mut nodes));
    }
    if options.rewrites.has(Rewrite::ProjectLabels) {
        applied.add(Rewrite::ProjectLabels, project_labels::project(&mut nodes));
    }
    let mut together = vec![];
    if options.rewrites.has(Rewrite::MergeScans) {
        together = merge_scans::merge(&nodes);
        applied.add(Rewrite::MergeScans, together.len());
    }
    if times.is_instant() && options.rewrites.has(Rewrite::AskTogether) {
        let merges = options.rewrites.has(Rewrite::MergeScans);
        let all = ask_together::together(&nodes, merges);
        applied.add(Rewrite::AskTogether, usize::from(all.is_some()));
        together = all.map_or(together, |all| vec![all]);
    }
    Ok((nodes, together, applied))
}

impl Builder<'_> {
    pub(super) fn push(&mut self, op: Op, grid: Grid) -> NodeId {
        self.nodes.push(Node { op, grid });
        NodeId(self.nodes.len() as u32 - 1)
    }

    pub(super) fn grid(&self, id: ExprId) -> Grid {
        self.resolved.grids[id.0 as usize]
    }

    pub(super) fn node_of(&self, id: ExprId) -> NodeId {
        self.built[id.0 as usize].expect("children are built before their parents")
    }

    fn expr(&mut self, id: ExprId) -> Result<Option<NodeId>, PlanError> {
        let grid = self.grid(id);
        let node = match self.ast.expr(id) {
            Expr::Number { value, .. } => self.push(Op::Number(*value), grid),
            Expr::String(text) => self.push(Op::Text(String::from_utf8_lossy(text).into()), grid),
            Expr::Duration(_) => return Ok(None),
            Expr::Paren(expr) => self.node_of(*expr),
            Expr::Subquery(subquery) => self.node_of(subquery.expr),
            Expr::Vector(vector) => {
                let part = self.selector(id, vector);
                self.push(Op::Scatter(Box::new(part)), grid)
            }
            Expr::Matrix { vector, .. } => {
                let range_ms = self.resolved.range_ms[id.0 as usize];
                let extend = self.extend(*vector);
                let mut part = self.take_part(self.node_of(*vector));
                part.select.grid = grid;
                part.select.output = SelectOutput::Samples { range_ms, extend };
                self.push(Op::Scatter(part), grid)
            }
            Expr::Unary { op: UnaryOp::Plus, expr } => self.node_of(*expr),
            Expr::Unary { op: UnaryOp::Minus, expr } => {
                let child = self.node_of(*expr);
                match (self.ast.value_type(*expr), self.number(child)) {
                    (_, Some(value)) => self.push(Op::Number(-value), grid),
                    (ValueType::Scalar, None) => self.push(Op::NegateScalar(child), grid),
                    _ => self.stage(child, Stage::Map(Map::Negate), grid),
                }
            }
            Expr::Binary(_) => self.binary(id),
            Expr::Aggregate(_) => self.aggregate(id),
            Expr::Call { function, args } => self.call(id, *function, args)?,
        };
        Ok(Some(node))
    }

    /// A step-invariant part was evaluated once; its parent wants it at every step.
    fn repeated(&mut self, id: ExprId, node: NodeId) -> NodeId {
        let wanted = self.resolved.wanted[id.0 as usize];
        if wanted == self.grid(id) || self.ast.value_type(id) == ValueType::Matrix {
            return node;
        }
        if self.number(node).is_some() {
            self.nodes[node.index()].grid = wanted;
            return node;
        }
        self.push(Op::Repeat(node), wanted)
    }

    /// Whether `rewrite` is switched on and `applies`; counts it.
    fn rewrites(&mut self, rewrite: Rewrite, applies: bool) -> bool {
        let rewrites = applies && self.options.rewrites.has(rewrite);
        self.applied.add(rewrite, usize::from(rewrites));
        rewrites
    }

    fn matchers(&mut self, vector: &VectorSelector) -> Vec<Matcher> {
        // The matchers of `info`'s second argument also name labels.
        if vector.may_match_empty || !self.options.rewrites.has(Rewrite::ReduceMatchers) {
            return vector.matchers.clone();
        }
        let reduced = reduce_matchers::reduce(&vector.matchers);
        self.applied.add(Rewrite::ReduceMatchers, usize::from(reduced != vector.matchers));
        reduced
    }

    fn selector(&mut self, id: ExprId, vector: &VectorSelector) -> ShardPart {
        let output = if vector.smoothed {
            SelectOutput::Smoothed { position: self.ast.position(id) }
        } else {
            SelectOutput::Value
        };
        ShardPart {
            matchers: self.matchers(vector),
            select: Select {
                grid: self.grid(id),
                lookup: self.resolved.lookups[id.0 as usize],
                output,
                lookback_ms: self.times.lookback_ms,
                skips_buckets: self.skips_buckets[id.0 as usize],
            },
            stages: Vec::new(),
            finish: Finish::Rows,
            samples_max: self.options.samples_max,
            bytes_max: self.options.bytes_max,
            delayed_names: self.options.delayed_names,
            type_and_unit: self.options.type_and_unit,
            start_timestamps: self.options.start_timestamps,
        }
    }

    fn extend(&self, vector: ExprId) -> Extend {
        match self.ast.expr(vector) {
            Expr::Vector(vector) if vector.anchored => Extend::Anchored,
            Expr::Vector(vector) if vector.smoothed => Extend::Smoothed,
            _ => Extend::No,
        }
    }

    /// Takes the part out of a node: a later one goes on with it.
    pub(super) fn take_part(&mut self, node: NodeId) -> Box<ShardPart> {
        match std::mem::replace(&mut self.nodes[node.index()].op, Op::Moved) {
            Op::Scatter(part) => part,
            other => panic!("a selector must be a scatter, not {other:?}"),
        }
    }

    /// The value of `node` if it is a number.
    pub(super) fn number(&self, node: NodeId) -> Option<f64> {
        match self.nodes[node.index()].op {
            Op::Number(value) => Some(value),
            _ => None,
        }
    }

    /// The scalar argument `id`.
    pub(super) fn param(&self, id: ExprId) -> Param {
        let node = self.node_of(id);
        self.number(node).map_or(Param::Node(node), Param::Number)
    }

    /// Puts `stage` after `child`: on the shards if it can run there.
    pub(super) fn stage(&mut self, child: NodeId, stage: Stage, grid: Grid) -> NodeId {
        let may_push = match &self.nodes[child.index()].op {
            Op::Scatter(part) => keeps_series_apart(part),
            _ => false,
        };
        if !self.rewrites(Rewrite::PushStages, may_push) {
            return self.push(Op::Stage { child, stage: Box::new(stage) }, grid);
        }
        let mut part = self.take_part(child);
        push_stage(&mut part, stage);
        self.push(Op::Scatter(part), grid)
    }

    fn binary(&mut self, id: ExprId) -> NodeId {
        let Expr::Binary(binary) = self.ast.expr(id) else { unreachable!() };
        let (grid, position) = (self.grid(id), self.ast.position(id));
        let (lhs, rhs) = (self.node_of(binary.lhs), self.node_of(binary.rhs));
        let types = (self.ast.value_type(binary.lhs), self.ast.value_type(binary.rhs));
        let (vector, scalar, swapped) = match types {
            (ValueType::Scalar, ValueType::Scalar) => {
                return self.scalar_binary(binary.op, lhs, rhs, grid);
            }
            (ValueType::Scalar, _) => (rhs, self.param(binary.lhs), true),
            (_, ValueType::Scalar) => (lhs, self.param(binary.rhs), false),
            _ => {
                let matching = binary.matching.clone().expect("the parser sets how vectors match");
                let binary =
                    Binary { op: binary.op, matching, return_bool: binary.return_bool, position };
                return self.push(Op::Binary { lhs, rhs, binary: Box::new(binary) }, grid);
            }
        };
        let (op, return_bool) = (binary.op, binary.return_bool);
        let map = Map::Scalar { op, scalar, swapped, return_bool, position };
        self.stage(vector, Stage::Map(map), grid)
    }

    fn scalar_binary(&mut self, op: BinaryOp, lhs: NodeId, rhs: NodeId, grid: Grid) -> NodeId {
        let folded = match (self.number(lhs), self.number(rhs)) {
            (Some(lhs), Some(rhs)) => fold_numbers::fold(op, lhs, rhs),
            _ => None,
        };
        if !self.rewrites(Rewrite::FoldNumbers, folded.is_some()) {
            return self.push(Op::ScalarBinary { op, lhs, rhs }, grid);
        }
        for side in [lhs, rhs] {
            self.nodes[side.index()].op = Op::Moved;
        }
        self.push(Op::Number(folded.expect("it was asked for")), grid)
    }

    fn aggregate(&mut self, id: ExprId) -> NodeId {
        let Expr::Aggregate(aggregate) = self.ast.expr(id) else { unreachable!() };
        let grid = self.grid(id);
        let child = self.node_of(aggregate.expr);
        let mut value_label = Box::default();
        let mut param_position = Default::default();
        let mut param = None;
        if let Some(id) = aggregate.param {
            let unwrapped = unparen(self.ast, id);
            param_position = self.ast.position(unwrapped);
            match self.ast.expr(unwrapped) {
                Expr::String(label) => value_label = label.clone(),
                _ => param = Some(self.param(id)),
            }
        }
        let grouping = Grouping::new(&aggregate.grouping, aggregate.without);
        let aggregate = Aggregate {
            op: aggregate.op,
            grouping,
            param,
            param_position,
            position: self.ast.position(id),
            child_position: self.ast.position(unparen(self.ast, aggregate.expr)),
            value_label,
        };
        self.aggregated(child, aggregate, grid)
    }

    fn aggregated(&mut self, child: NodeId, aggregate: Aggregate, grid: Grid) -> NodeId {
        let may_push = match &self.nodes[child.index()].op {
            Op::Scatter(part) => can_push(part, aggregate.op),
            _ => false,
        };
        if !self.rewrites(Rewrite::PushAggregates, may_push) {
            let child = self.candidates(child, &aggregate);
            return self.push(Op::Aggregate { child, aggregate: Box::new(aggregate) }, grid);
        }
        let mut part = self.take_part(child);
        push_aggregate(&mut part, aggregate);
        self.push(Op::Scatter(part), grid)
    }

    fn candidates(&mut self, child: NodeId, aggregate: &Aggregate) -> NodeId {
        let may_push = match &self.nodes[child.index()].op {
            Op::Scatter(part) => push_candidates::can_push(part, aggregate),
            _ => false,
        };
        if !self.rewrites(Rewrite::PushCandidates, may_push) {
            return child;
        }
        let mut part = self.take_part(child);
        push_candidates::push(&mut part, aggregate);
        let grid = part.grid();
        self.push(Op::Scatter(part), grid)
    }

    /// 1 where `child` has no point; it is enough to know that of all its rows together.
    pub(super) fn absent(&mut self, child: NodeId, labels: Labels, grid: Grid) -> NodeId {
        let any = Aggregate {
            op: AggregateOp::Group,
            grouping: Grouping::default(),
            param: None,
            param_position: Default::default(),
            position: Default::default(),
            child_position: Default::default(),
            value_label: Box::default(),
        };
        let child = self.aggregated(child, any, grid);
        self.push(Op::Absent { child, labels }, grid)
    }
}
