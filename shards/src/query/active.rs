//! Queries that are under way on a shard, so that somebody can see them and end one.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::cancel::CancelToken;
use crate::route::ShardId;
use crate::runtime::{now, unix_ms};

/// Longest text of a query that is kept for show.
const TEXT_BYTES_MAX: usize = 1000;

/// A query under way, as others may see it.
#[derive(Clone, Debug)]
pub struct ActiveQuery {
    pub id: QueryId,
    /// Cut after some length.
    pub text: String,
    pub start_ms: i64,
    pub end_ms: i64,
    pub step_ms: i64,
    pub begun_ms: i64,
    pub elapsed: Duration,
    /// It waits for a place and does not run yet.
    pub waits: bool,
}

/// Where a query came in, and which one it was there: `3-17`. Never reused while the process
/// lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryId {
    pub shard: ShardId,
    pub number: u64,
}

impl std::fmt::Display for QueryId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.shard.0, self.number)
    }
}

impl QueryId {
    /// Reads what `Display` writes.
    pub fn parse(text: &str) -> Option<QueryId> {
        let (shard, number) = text.split_once('-')?;
        Some(QueryId { shard: ShardId(shard.parse().ok()?), number: number.parse().ok()? })
    }
}

/// The queries that came in on one shard.
#[derive(Default)]
pub(crate) struct ActiveQueries {
    by_number: Rc<RefCell<BTreeMap<u64, Entry>>>,
    next: Cell<u64>,
}

struct Entry {
    text: String,
    times_ms: [i64; 3],
    begun: Instant,
    begun_ms: i64,
    waits: bool,
    ended: CancelToken,
}

impl ActiveQueries {
    /// Lists a query until the guard is dropped. `ended` ends it.
    pub fn begin(&self, text: &str, times_ms: [i64; 3], ended: CancelToken) -> Listed {
        let number = self.next.get();
        self.next.set(number + 1);
        let end = text.floor_char_boundary(TEXT_BYTES_MAX);
        let entry = Entry {
            text: text[..end].to_owned(),
            times_ms,
            begun: now(),
            begun_ms: unix_ms(),
            waits: true,
            ended,
        };
        self.by_number.borrow_mut().insert(number, entry);
        Listed { queries: self.by_number.clone(), number }
    }

    pub fn list(&self, shard: ShardId) -> Vec<ActiveQuery> {
        let show = |(&number, entry): (&u64, &Entry)| {
            let [start_ms, end_ms, step_ms] = entry.times_ms;
            ActiveQuery {
                id: QueryId { shard, number },
                text: entry.text.clone(),
                start_ms,
                end_ms,
                step_ms,
                begun_ms: entry.begun_ms,
                elapsed: entry.begun.elapsed(),
                waits: entry.waits,
            }
        };
        self.by_number.borrow().iter().map(show).collect()
    }

    /// Ends a query; false if it is not under way.
    pub fn cancel(&self, number: u64) -> bool {
        let queries = self.by_number.borrow();
        let entry = queries.get(&number);
        if let Some(entry) = entry {
            entry.ended.cancel();
        }
        entry.is_some()
    }
}

/// A query's place in the list.
pub(crate) struct Listed {
    queries: Rc<RefCell<BTreeMap<u64, Entry>>>,
    number: u64,
}

impl Listed {
    /// It has its place and runs.
    pub fn runs(&self) {
        if let Some(entry) = self.queries.borrow_mut().get_mut(&self.number) {
            entry.waits = false;
        }
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.queries.borrow_mut().remove(&self.number);
    }
}
