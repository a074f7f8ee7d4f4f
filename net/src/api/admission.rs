//! Who may come in: requests of remote_write between their head and their answer, on one shard.
//!
//! ```text
//! head read ──> line: 128, in order ──> body read ──> place: 32 ──> decoded, stored, durable
//!               unread meanwhile        dawdles: out of the line
//!               PATIENCE over: refused                └─ mostly by labels: one of 8 of its own
//! ```
//!
//! A request that is not served costs as little as it can: its body stays in the kernel, and it is
//! answered only after [`PATIENCE`]. A connection waits for its answer and connections are bounded, so
//! however much is offered, refusals take a bounded share of the shard: 512 connections, half a
//! second each and 50 us make a twentieth. Who holds a place in the line and does not send its body
//! leaves it, so that slow clients keep nobody out.

use std::cell::Cell;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use shards::fair::{Permit, Semaphore};
use shards::runtime::timeout;

/// Requests from the first byte of their body read to their answer.
const LINE_COUNT: usize = 128;

/// How long a request waits unread for a place in the line.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long a body may take to come, in the line.
const BODY_PATIENCE: Duration = Duration::from_millis(250);

/// Requests between their body and their answer. More would not make the shard faster: these fill
/// its groups of log frames, and decoded one after the other they take some 20 ms, in which nobody
/// else is answered.
const PLACE_COUNT: usize = 32;

/// Requests at once that come mostly by labels, and those that wait for that: half of the line. To
/// make a series costs ten times a sample of one that is known, which therefore does not wait for it.
const MAKER_COUNT: usize = 8;
const MAKERS_WAITING_COUNT_MAX: usize = LINE_COUNT / 2;

/// Bytes of bodies in memory, as their heads announce them. One request may always come.
const BODY_BYTES_MAX: usize = 64 << 20;

pub struct Admission {
    line: Semaphore,
    places: Semaphore,
    makers: Semaphore,
    body_bytes: Cell<usize>,
}

/// A request that may be read. Ends with its answer.
pub struct Entry<'a> {
    admission: &'a Admission,
    announced_bytes: usize,
    /// `None` while its body dawdles.
    line: Option<Permit<'a>>,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        let held = &self.admission.body_bytes;
        held.set(held.get() - self.announced_bytes);
    }
}

impl Default for Admission {
    fn default() -> Self {
        Admission {
            line: Semaphore::new(LINE_COUNT),
            places: Semaphore::new(PLACE_COUNT),
            makers: Semaphore::new(MAKER_COUNT),
            body_bytes: Cell::new(0),
        }
    }
}

impl Admission {
    /// Lets a request in whose body has so many bytes, as far as it says. `None`: it is to be refused.
    pub async fn enter(&self, announced_bytes: usize) -> Option<Entry<'_>> {
        let line = match self.line.try_acquire() {
            Some(line) => line,
            None => timeout(PATIENCE, self.line.acquire()).await.ok()?,
        };
        let held = self.body_bytes.get();
        if held > 0 && held + announced_bytes > BODY_BYTES_MAX {
            return None;
        }
        self.body_bytes.set(held + announced_bytes);
        Some(Entry { admission: self, announced_bytes, line: Some(line) })
    }

    /// A place to be decoded and stored, in order.
    pub async fn place(&self) -> Permit<'_> {
        self.places.acquire().await
    }

    /// A place for a request that comes mostly by labels. `None`: it is to be refused.
    pub async fn maker(&self) -> Option<Permit<'_>> {
        if self.makers.waiting_count() >= MAKERS_WAITING_COUNT_MAX {
            return None;
        }
        Some(self.makers.acquire().await)
    }
}

impl Entry<'_> {
    /// Reads the body by `reading`: in the line if it comes soon, otherwise beside it, and then in it
    /// again.
    pub async fn read<T>(&mut self, reading: impl Future<Output = T>) -> T {
        let mut reading = pin!(reading);
        if let Some(read) = soon(reading.as_mut()).await {
            return read;
        }
        self.line = None;
        let read = reading.await;
        self.line = Some(self.admission.line.acquire().await);
        read
    }
}

/// Awaits `reading` for [`BODY_PATIENCE`]. No timer is made for what is there already.
async fn soon<F: Future>(mut reading: Pin<&mut F>) -> Option<F::Output> {
    let polled = std::future::poll_fn(|cx| Poll::Ready(reading.as_mut().poll(cx))).await;
    match polled {
        Poll::Ready(read) => Some(read),
        Poll::Pending => timeout(BODY_PATIENCE, reading).await.ok(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::future::{join, join_all};
    use shards::runtime::{Simulation, now, simulate, sleep};

    use super::*;

    fn simulated<T>(main: impl Future<Output = T>) -> T {
        simulate(Simulation { seed: 1, unix_ms: 0, polls_max: 1 << 20 }, main).unwrap()
    }

    #[test]
    fn who_finds_the_line_full_waits_in_order_and_is_refused_in_the_end() {
        simulated(async {
            let admission = Admission::default();
            let all = join_all((0..LINE_COUNT).map(|_| admission.enter(1))).await;
            assert!(all.iter().all(Option::is_some));
            let begun = now();
            assert!(admission.enter(1).await.is_none());
            assert!(now() - begun >= PATIENCE);
            // One who goes lets the first one in.
            let next = join_all([1, 1].map(|bytes| admission.enter(bytes)));
            let leaving = async {
                sleep(PATIENCE / 2).await;
                drop(all);
            };
            let (next, ()) = join(next, leaving).await;
            assert!(next.iter().all(Option::is_some));
            drop(next);
            assert_eq!(admission.body_bytes.get(), 0);
        });
    }

    #[test]
    fn a_body_that_dawdles_keeps_nobody_out() {
        simulated(async {
            let admission = Admission::default();
            let mut slow = join_all((0..LINE_COUNT).map(|_| admission.enter(1))).await;
            let reading = join_all(
                slow.iter_mut().flatten().map(|entry| entry.read(sleep(Duration::from_secs(60)))),
            );
            let other = async {
                let mut entry = admission.enter(1).await.expect("slow ones have left the line");
                assert_eq!(entry.read(async { 7 }).await, 7);
            };
            join(reading, other).await;
            assert!(slow.iter().flatten().all(|entry| entry.line.is_some()));
        });
    }

    #[test]
    fn bodies_are_bounded_but_for_a_single_one() {
        simulated(async {
            let admission = Admission::default();
            let large = admission.enter(BODY_BYTES_MAX + 1).await;
            assert!(large.is_some());
            assert!(admission.enter(1).await.is_none());
            drop(large);
            assert!(admission.enter(1).await.is_some());
        });
    }

    #[test]
    fn makers_do_not_wait_without_bound() {
        simulated(async {
            let admission = Admission::default();
            let making = join_all((0..MAKER_COUNT).map(|_| admission.maker())).await;
            let comes = async || admission.maker().await.is_some();
            let waiting = join_all((0..MAKERS_WAITING_COUNT_MAX + 5).map(|_| comes()));
            let ending = async {
                sleep(Duration::from_millis(1)).await;
                drop(making);
            };
            let (came, ()) = join(waiting, ending).await;
            let came_count = came.into_iter().filter(|came| *came).count();
            assert_eq!(came_count, MAKERS_WAITING_COUNT_MAX);
        });
    }
}
