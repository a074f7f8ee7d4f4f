//! Clocks and timers.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use glommio::timer::Timer;

/// Longest sleep. Protects the clock's arithmetic from `Duration::MAX`.
const SLEEP_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// Shortest timer that makes the executor park and look at its sockets, timers and channels. A
/// timer of zero and a yield do not (measured; see the README).
const PARK: Duration = Duration::from_micros(1);

/// Monotonic time.
pub fn now() -> Instant {
    Instant::now()
}

/// Wall-clock time in milliseconds since the Unix epoch; negative before it.
pub fn unix_ms() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
    }
}

/// Waits for `duration` (at most a year).
pub async fn sleep(duration: Duration) {
    if !duration.is_zero() {
        Timer::new(duration.min(SLEEP_MAX)).await;
    }
}

/// Gives the rest of the shard its chance: one round of timers, sockets, channels and tasks.
/// About 20 us.
pub async fn park() {
    Timer::new(PARK).await;
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
