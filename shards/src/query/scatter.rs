//! The parts of a query on their shards, each in turns.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use engine::exec::{ExecError, Partial, Scatter, run_ask};
use engine::model::source::{Interrupted, Turns};
use engine::plan::Ask;
use futures_util::future::try_join_all;

use super::Limits;
use super::source::ShardSource;
use crate::message::{Job, unpack};
use crate::route::ShardId;
use crate::runtime::now;
use crate::shard::Shard;
use crate::turns::{Turn, TurnQueue, Work};

/// Work between two looks at the clock, in units of about one decoded sample: some 20 us.
const WORK_PER_LOOK: usize = 2048;

/// A query's use of one shard's turns.
pub struct QueryTurns {
    queue: TurnQueue,
    work: Work,
    limits: Limits,
    turn: RefCell<Option<Turn>>,
    /// Work since the last look at the clock.
    worked: Cell<usize>,
}

impl QueryTurns {
    /// Waits for the first turn.
    pub(crate) async fn begin(
        queue: &TurnQueue,
        work: Work,
        limits: &Limits,
    ) -> Result<QueryTurns, Interrupted> {
        let turns = QueryTurns {
            queue: queue.clone(),
            work,
            limits: limits.clone(),
            turn: RefCell::default(),
            worked: Cell::default(),
        };
        turns.pause().await?;
        Ok(turns)
    }

    /// Gives the turn back, to wait for something else; the next [`Turns::pause`] waits for
    /// another one.
    fn release(&self) {
        self.turn.take();
    }

    fn check(&self) -> Result<(), Interrupted> {
        if self.limits.ended.is_canceled() {
            return Err(Interrupted::Canceled);
        }
        if self.limits.deadline <= now() {
            return Err(Interrupted::TimedOut);
        }
        Ok(())
    }
}

impl Turns for QueryTurns {
    fn spend(&self, work: usize) -> bool {
        let worked = self.worked.get() + work;
        if worked < WORK_PER_LOOK {
            self.worked.set(worked);
            return false;
        }
        self.worked.set(0);
        self.turn.borrow().as_ref().is_none_or(Turn::is_over)
    }

    async fn pause(&self) -> Result<(), Interrupted> {
        self.check()?;
        self.release();
        let turn = self.queue.begin(self.work).await;
        self.turn.replace(Some(turn));
        self.check()
    }
}

/// Sends parts to all shards.
pub(super) struct MeshScatter<'a> {
    pub shard: &'a Shard,
    pub turns: QueryTurns,
    pub work: Work,
    pub limits: &'a Limits,
}

impl MeshScatter<'_> {
    async fn run_on(&self, target: ShardId, ask: Arc<Ask>) -> Result<Answers, ExecError> {
        let (work, limits) = (self.work, self.limits.clone());
        if target == self.shard.id() {
            return run_here(self.shard, &ask, work, &limits).await;
        }
        let job =
            Job::new(
                move |shard: Shard| async move { run_here(&shard, &ask, work, &limits).await },
            );
        match self.shard.0.lanes.query.ask(target, job).await {
            Ok(answer) => unpack(answer),
            Err(gone) => Err(ExecError::Storage(format!("shard {}: {gone}", target.0))),
        }
    }
}

/// Of one shard, for each part.
type Answers = Vec<Result<Partial, ExecError>>;

/// Runs what is asked on this shard's own series.
async fn run_here(
    shard: &Shard,
    ask: &Ask,
    work: Work,
    limits: &Limits,
) -> Result<Answers, ExecError> {
    let turns = QueryTurns::begin(shard.turns(), work, limits).await?;
    Ok(run_ask(&ShardSource(shard), ask, &turns).await)
}

impl Scatter for MeshScatter<'_> {
    async fn run(&self, ask: Arc<Ask>) -> Result<Vec<Answers>, ExecError> {
        // The own part takes turns of its own, and while others work nobody here does.
        self.turns.release();
        let shards = ShardId::all(self.shard.count());
        let answers = try_join_all(shards.map(|shard| self.run_on(shard, ask.clone()))).await?;
        self.turns.pause().await?;
        Ok(answers)
    }

    fn turns(&self) -> &impl Turns {
        &self.turns
    }
}
