//! A life of a data directory, as a script: everything that storage does comes to pass, more than
//! once, beside samples that come in.
//!
//! ```text
//! process 1   two shards     append, roll, flush, cut, merge, delete, snapshot, clean; told to stop
//! process 2   three shards   takes over what two left; killed
//! process 3   two shards     takes over what three left; retention; told to stop
//! ```

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use shards::runtime::{Class, Simulation, SimulationError, simulate, sleep, spawn};

use super::disk::SimTree;
use super::image::Crash;
use super::ledger::{SERIES_COUNT, Series};
use super::process::{Process, SharedLedger};

/// Shards of the processes, in order.
pub const SHARD_COUNTS: [usize; 3] = [2, 3, 2];

/// Samples of every series that each process gets.
const STEP_COUNT: i64 = 26;

/// Time between two samples of a series.
const STEP_MS: i64 = 1000;

/// Series of which samples are deleted.
const DELETED: [Series; 2] = [3, 5];

/// How late samples out of order come: some after their range has its block.
const LATE_STEPS: [i64; 2] = [4, 13];

/// Of the third process.
const RETENTION_MS: i64 = 40_000;

/// Bound of a simulation, some times what a life needs.
const POLLS_MAX: u64 = 2_000_000;

/// Timestamp of a step of the life.
pub fn step_ms(step: i64) -> i64 {
    1_000_000 + step * STEP_MS
}

/// A life that is being lived.
pub struct Life {
    pub tree: SimTree,
    pub ledger: SharedLedger,
    pub seed: u64,
    /// Shards of the process that runs, or ran last.
    pub shard_count: Rc<RefCell<usize>>,
    /// Faults are expected: what fails is tried again, and what fails for good ends the process.
    pub is_faulty: bool,
    /// What was done, by name.
    pub done: Rc<RefCell<Vec<&'static str>>>,
}

/// How a process of a life ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    Orderly,
    /// The disk let nothing be done any more.
    GivenUp(String),
}

/// Runs `main` as a process of its own on a simulated thread.
pub fn run<F: Future>(seed: u64, main: F) -> Result<F::Output, String> {
    let simulation = Simulation { seed, unix_ms: 1_700_000_000_000, polls_max: POLLS_MAX };
    simulate(simulation, main).map_err(|error| match error {
        SimulationError::Panicked(message) => format!("panicked: {message}"),
        SimulationError::Stuck => "everybody waits for ever".to_owned(),
        SimulationError::Endless => "no end".to_owned(),
    })
}

impl Life {
    pub fn new(seed: u64) -> Life {
        Life {
            tree: SimTree::new(seed),
            ledger: SharedLedger::default(),
            seed,
            shard_count: Rc::new(RefCell::new(SHARD_COUNTS[0])),
            is_faulty: false,
            done: Rc::default(),
        }
    }

    /// Lives from the first process to the last. Errors: a violation.
    pub fn live(&mut self) -> Result<(), String> {
        for process in 0..SHARD_COUNTS.len() {
            self.live_process(process)?;
        }
        Ok(())
    }

    /// Lives one process; those behind the last are as the last. Errors: a violation.
    pub fn live_process(&mut self, process: usize) -> Result<Ending, String> {
        let shard_count = SHARD_COUNTS[process.min(SHARD_COUNTS.len() - 1)];
        self.shard_count.replace(shard_count);
        if process >= 2 {
            self.ledger.borrow_mut().retention_ms = Some(RETENTION_MS);
        }
        let seed = self.seed.wrapping_mul(31).wrapping_add(process as u64);
        let ended = run(seed, self.script(process, shard_count))?;
        match ended {
            Err(Failure::Violation(what)) => Err(what),
            Err(Failure::Disk(what)) if self.is_faulty => Ok(Ending::GivenUp(what)),
            Err(Failure::Disk(what)) => Err(format!("failed without a fault: {what}")),
            Ok(()) => {
                // The second one was killed: its tasks are gone, and what nobody has synced is still
                // in the page cache.
                Ok(Ending::Orderly)
            }
        }
    }

    async fn script(&self, process: usize, shard_count: usize) -> Result<(), Failure> {
        let retention_ms = self.ledger.borrow().retention_ms;
        let opened = Process::open(&self.tree, shard_count, retention_ms).await;
        let hearth = opened.map_err(Failure::Disk)?;
        self.done("open");
        self.check_losses(&hearth)?;
        if self.is_faulty {
            for storage in &hearth.shards {
                spawn(Class::Storage, storage.clone().maintain()).detach();
            }
        }
        let first = process as i64 * STEP_COUNT;
        for step in 0..STEP_COUNT {
            let at = first + step;
            match step {
                4 => self.attempt("flush", hearth.shards[0].flush_now()).await?,
                8 | 18 => {
                    // Samples come in beside it.
                    let (maintained, sent) = futures_util::join!(
                        self.attempt("maintain", hearth.maintain()),
                        self.ingest(&hearth, at)
                    );
                    maintained?;
                    sent?;
                    continue;
                }
                10 => {
                    let range = [step_ms(at - 9), step_ms(at - 3)];
                    self.attempt("delete", hearth.delete(&self.ledger, DELETED[0], range)).await?;
                }
                12 if process == 0 => self.snapshot(&hearth).await?,
                15 => self.attempt("maintain", hearth.maintain()).await?,
                16 => {
                    // Of blocks, too.
                    let range = [step_ms(at - 15), step_ms(at - 12)];
                    self.attempt("delete", hearth.delete(&self.ledger, DELETED[1], range)).await?;
                }
                20 => {
                    for storage in &hearth.shards {
                        self.attempt("clean", storage.clean_here()).await?;
                    }
                }
                23 => {
                    for _ in 0..3 {
                        self.attempt("maintain", hearth.maintain()).await?;
                    }
                }
                _ => {}
            }
            self.ingest(&hearth, at).await?;
        }
        if self.is_faulty {
            // Upkeep of its own, and time for a disk's promises to run out.
            sleep(Duration::from_secs(15)).await;
        }
        self.check(&hearth)?;
        if process != 1 {
            self.attempt("close", hearth.close()).await?;
        }
        Ok(())
    }

    async fn ingest(&self, hearth: &Process, step: i64) -> Result<(), Failure> {
        let sent = hearth.ingest(&self.ledger, step_ms(step)).await;
        let mut is_acknowledged = sent.map_err(Failure::Violation)?;
        if let Some(late) = LATE_STEPS.iter().find(|&&late| step % late == 0)
            && step > *late
        {
            // Into times of which something was deleted, too: what comes later is not.
            let series = 0..SERIES_COUNT;
            let sent = hearth.ingest_of(&self.ledger, series, step_ms(step - late) + STEP_MS / 2);
            is_acknowledged &= sent.await.map_err(Failure::Violation)?;
            self.done("late");
        }
        match is_acknowledged {
            true => Ok(()),
            false => Err(Failure::Disk(format!("step {step} is never acknowledged"))),
        }
    }

    /// Does what may fail when there are faults, and is tried again then.
    async fn attempt<E: ToString>(
        &self,
        name: &'static str,
        work: impl Future<Output = Result<(), E>>,
    ) -> Result<(), Failure> {
        match work.await {
            Ok(()) => self.done(name),
            Err(_) if self.is_faulty => {}
            Err(error) => return Err(Failure::Disk(format!("{name}: {}", error.to_string()))),
        }
        Ok(())
    }

    /// A snapshot, and whether it is what it says.
    async fn snapshot(&self, hearth: &Process) -> Result<(), Failure> {
        let target = "snapshots/first";
        let ledger = self.ledger.borrow().clone();
        let making = async {
            hearth.shards[0].begin_snapshot(target).await?;
            for storage in &hearth.shards {
                storage.snapshot_here(target, true).await?;
            }
            Ok::<_, shards::MaintainError>(())
        };
        if let Err(error) = making.await {
            return if self.is_faulty { Ok(()) } else { Err(Failure::Disk(error.to_string())) };
        }
        self.done("snapshot");
        let copy = self.tree.world.after(Crash::Power, self.seed).below(target);
        let read = run(self.seed, async { Process::open(&copy, 2, None).await?.read() });
        let read =
            read.and_then(|read| read).map_err(|what| Failure::violation("snapshot", &what))?;
        ledger.check(&read.found).map_err(|what| Failure::violation("snapshot", &what))
    }

    fn done(&self, name: &'static str) {
        self.done.borrow_mut().push(name);
    }

    fn check_losses(&self, hearth: &Process) -> Result<(), Failure> {
        if let Some(loss) = hearth.losses.first()
            && !self.is_faulty
        {
            return Err(Failure::violation("damage where there is none", loss));
        }
        Ok(())
    }

    /// Holds what the process has against what was promised.
    fn check(&self, hearth: &Process) -> Result<(), Failure> {
        let read = hearth.read().map_err(Failure::Violation)?;
        if let Some(error) = read.errors.first() {
            return Err(Failure::violation("read", error));
        }
        self.ledger.borrow().check(&read.found).map_err(Failure::Violation)
    }
}

/// Why a process ended.
enum Failure {
    /// Something that must not be.
    Violation(String),
    /// The disk did not let it go on.
    Disk(String),
}

impl Failure {
    fn violation(place: &str, what: &str) -> Failure {
        Failure::Violation(format!("{place}: {what}"))
    }
}
