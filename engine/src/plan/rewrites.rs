//! The rewrites by name: which are switched on, and how often each was applied to a plan.

/// A change of a plan that leaves its results, annotations and errors as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Rewrite {
    /// Operators between numbers are computed once, while planning.
    FoldNumbers,
    /// Matchers that say nothing vanish, and regular expressions of one value become that value.
    ReduceMatchers,
    /// What one side of an operator is certain to have is asked of the other side, too.
    PropagateMatchers,
    /// Stages that keep series apart run on the shards.
    PushStages,
    /// Shards aggregate their own series.
    PushAggregates,
    /// Shards choose candidates for `topk` and its like.
    PushCandidates,
    /// Equal parts run once.
    ShareParts,
    /// Rows come without the labels that nobody reads.
    ProjectLabels,
    /// Parts that read the same series read them once.
    MergeScans,
    /// An instant query asks for all its parts at once.
    AskTogether,
}

impl Rewrite {
    /// In the order in which a plan goes through them.
    pub const ALL: [Rewrite; 10] = [
        Rewrite::FoldNumbers,
        Rewrite::ReduceMatchers,
        Rewrite::PushStages,
        Rewrite::PushAggregates,
        Rewrite::PushCandidates,
        Rewrite::PropagateMatchers,
        Rewrite::ShareParts,
        Rewrite::ProjectLabels,
        Rewrite::MergeScans,
        Rewrite::AskTogether,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Rewrite::FoldNumbers => "fold_numbers",
            Rewrite::ReduceMatchers => "reduce_matchers",
            Rewrite::PropagateMatchers => "propagate_matchers",
            Rewrite::PushStages => "push_stages",
            Rewrite::PushAggregates => "push_aggregates",
            Rewrite::PushCandidates => "push_candidates",
            Rewrite::ShareParts => "share_parts",
            Rewrite::ProjectLabels => "project_labels",
            Rewrite::MergeScans => "merge_scans",
            Rewrite::AskTogether => "ask_together",
        }
    }
}

/// A set of rewrites.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rewrites(u16);

impl Rewrites {
    pub const NONE: Rewrites = Rewrites(0);
    pub const ALL: Rewrites = Rewrites((1 << Rewrite::ALL.len()) - 1);

    pub fn without(self, rewrite: Rewrite) -> Rewrites {
        Rewrites(self.0 & !(1 << rewrite as u8))
    }

    #[inline]
    pub fn has(self, rewrite: Rewrite) -> bool {
        self.0 & 1 << rewrite as u8 != 0
    }
}

/// How often each rewrite changed something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied([u32; Rewrite::ALL.len()]);

impl Applied {
    pub(super) fn add(&mut self, rewrite: Rewrite, count: usize) {
        self.0[rewrite as usize] += count as u32;
    }

    /// Those that changed something.
    pub fn iter(&self) -> impl Iterator<Item = (Rewrite, u32)> + '_ {
        let counted = Rewrite::ALL.into_iter().map(|rewrite| (rewrite, self.0[rewrite as usize]));
        counted.filter(|(_, count)| *count > 0)
    }
}
