//! Clocks, timers and random numbers.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher, Hasher};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::local::{on_local, with_local};
use super::simulation::{self, current};

/// Longest sleep. Protects the clock's arithmetic from `Duration::MAX`.
const SLEEP_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// What a park costs in a simulation.
const SIMULATED_PARK: Duration = Duration::from_micros(1);

/// Monotonic time.
#[inline]
pub fn now() -> Instant {
    current().map_or_else(Instant::now, |simulation| simulation.now())
}

/// A number that nobody foresees. Random by the seeds that the standard library gives its hash maps.
pub fn random() -> u64 {
    match current() {
        Some(simulation) => simulation.random(),
        None => RandomState::new().build_hasher().finish(),
    }
}

/// Wall-clock time in milliseconds since the Unix epoch; negative before it.
pub fn unix_ms() -> i64 {
    if let Some(simulation) = current() {
        return simulation.unix_ms();
    }
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
    }
}

/// A timer of the executor that this thread has.
enum Timer {
    Real(RealTimer),
    Simulated(simulation::Timer),
}

struct RealTimer {
    /// Deadline, and a number that tells timers of one deadline apart.
    key: (Instant, u64),
    /// Whom it wakes.
    waker: Option<Waker>,
}

impl Timer {
    fn new(duration: Duration) -> Timer {
        match current() {
            Some(simulation) => Timer::Simulated(simulation.timer(duration)),
            None => {
                let number = on_local(|local| local.timer_number());
                Timer::Real(RealTimer { key: (Instant::now() + duration, number), waker: None })
            }
        }
    }
}

impl Future for Timer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match &mut *self {
            Timer::Real(RealTimer { key, waker }) => {
                if key.0 <= Instant::now() {
                    return Poll::Ready(());
                }
                if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
                    *waker = Some(cx.waker().clone());
                    on_local(|local| local.set_timer(*key, cx.waker()));
                }
                Poll::Pending
            }
            Timer::Simulated(timer) => pin!(timer).poll(cx),
        }
    }
}

impl Drop for RealTimer {
    fn drop(&mut self) {
        if self.waker.is_some() {
            with_local(|local| local.remove_timer(self.key));
        }
    }
}

/// Waits for `duration` (at most a year).
pub async fn sleep(duration: Duration) {
    if !duration.is_zero() {
        Timer::new(duration.min(SLEEP_MAX)).await;
    }
}

/// Gives the rest of the shard its chance: one look at timers, sockets and other threads, then
/// everybody who can go on. About a microsecond when nobody can.
pub async fn park() {
    if current().is_some() {
        return Timer::new(SIMULATED_PARK).await;
    }
    let mut has_parked = false;
    futures_lite::future::poll_fn(|cx| {
        if has_parked {
            return Poll::Ready(());
        }
        has_parked = true;
        on_local(|local| local.park(cx.waker()));
        Poll::Pending
    })
    .await
}

/// A deadline passed before its future was ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("deadline has elapsed")
    }
}

impl std::error::Error for Elapsed {}

/// Awaits `future` for at most `duration`, then drops it.
pub async fn timeout<F: Future>(duration: Duration, future: F) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    let mut timer = Timer::new(duration.min(SLEEP_MAX));
    futures_lite::future::poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        pin!(&mut timer).poll(cx).map(|_| Err(Elapsed))
    })
    .await
}
