//! What shards say to each other.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;

use engine::store::AppendReport;

use crate::ingest::IngestOptions;
use crate::route::{Part, ShardId};
use crate::shard::Shard;
use crate::wal::WalError;

/// A part of a request, for its owner to append.
pub struct IngestQuestion {
    pub part: Part,
    pub options: IngestOptions,
}

pub struct IngestAnswer {
    /// The part, to use its room again.
    pub part: Part,
    pub report: Result<AppendReport, WalError>,
    /// Whose answer it is.
    pub shard: ShardId,
}

/// Work for another shard: runs there and answers with a value that the asker knows the type of.
pub struct Job(Box<dyn FnOnce(Shard) -> JobRun + Send>);

pub type JobRun = Pin<Box<dyn Future<Output = JobAnswer>>>;
pub type JobAnswer = Box<dyn Any + Send>;

impl Job {
    pub fn new<R: Send + 'static, F: Future<Output = R> + 'static>(
        job: impl FnOnce(Shard) -> F + Send + 'static,
    ) -> Job {
        Job(Box::new(|shard| {
            let running = job(shard);
            Box::pin(async move { Box::new(running.await) as JobAnswer })
        }))
    }

    pub fn run(self, shard: Shard) -> JobRun {
        (self.0)(shard)
    }
}

/// The value of an answer to a [`Job`] that returns `R`.
///
/// # Panics
///
/// When the job returned something else.
pub fn unpack<R: 'static>(answer: JobAnswer) -> R {
    *answer.downcast().expect("a job answers with the type it was made for")
}
