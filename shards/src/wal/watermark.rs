//! Up to where the log is durable, and who waits for that.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// LSNs that are durable, and LSNs whose waiters were told that they are not.
#[derive(Debug, Default)]
pub struct Watermark {
    /// Everything up to here is durable.
    durable_lsn: Cell<u64>,
    /// Waiters up to here were given up, and why. Such frames may become durable later.
    failed: RefCell<(u64, String)>,
    /// By LSN, then by ticket.
    waiters: RefCell<BTreeMap<(u64, u64), Waker>>,
    next_ticket: Cell<u64>,
}

impl Watermark {
    pub fn durable_lsn(&self) -> u64 {
        self.durable_lsn.get()
    }

    pub fn advance(&self, durable_lsn: u64) {
        debug_assert!(self.durable_lsn.get() <= durable_lsn);
        self.durable_lsn.set(durable_lsn);
        self.wake_up_to(durable_lsn);
    }

    /// Answers everybody who waits for an LSN up to `lsn` with `message`.
    pub fn fail(&self, lsn: u64, message: &str) {
        *self.failed.borrow_mut() = (lsn, message.to_owned());
        self.wake_up_to(lsn);
    }

    fn wake_up_to(&self, lsn: u64) {
        let mut waiters = self.waiters.borrow_mut();
        let later = waiters.split_off(&(lsn + 1, 0));
        std::mem::replace(&mut *waiters, later).into_values().for_each(Waker::wake);
    }

    /// Waits until `lsn` is durable, or given up.
    pub fn reached(&self, lsn: u64) -> Reached<'_> {
        Reached { watermark: self, lsn, ticket: None }
    }
}

/// See [`Watermark::reached`].
#[must_use = "waiting begins with the first poll"]
pub struct Reached<'a> {
    watermark: &'a Watermark,
    lsn: u64,
    ticket: Option<u64>,
}

impl Future for Reached<'_> {
    type Output = Result<(), String>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let watermark = self.watermark;
        if self.lsn <= watermark.durable_lsn.get() {
            return Poll::Ready(Ok(()));
        }
        let (failed_lsn, message) = &*watermark.failed.borrow();
        if self.lsn <= *failed_lsn {
            return Poll::Ready(Err(message.clone()));
        }
        let ticket = *self.ticket.get_or_insert_with(|| {
            let ticket = watermark.next_ticket.get();
            watermark.next_ticket.set(ticket + 1);
            ticket
        });
        watermark.waiters.borrow_mut().insert((self.lsn, ticket), cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Reached<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.watermark.waiters.borrow_mut().remove(&(self.lsn, ticket));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_lite::future::{block_on, poll_once};

    use super::Watermark;

    #[test]
    fn waiters_are_answered_once_their_frame_is() {
        block_on(async {
            let watermark = Watermark::default();
            let (mut first, mut second) = (watermark.reached(1), watermark.reached(2));
            assert!(poll_once(&mut first).await.is_none());
            assert!(poll_once(&mut second).await.is_none());
            watermark.advance(1);
            assert_eq!(poll_once(&mut first).await, Some(Ok(())));
            assert!(poll_once(&mut second).await.is_none());
            watermark.fail(2, "disk is gone");
            assert_eq!(poll_once(&mut second).await, Some(Err("disk is gone".to_owned())));
            let mut third = watermark.reached(3);
            assert!(poll_once(&mut third).await.is_none());
            drop(third);
            assert!(watermark.waiters.borrow().is_empty());
            watermark.advance(2);
            assert_eq!(watermark.reached(2).await, Ok(()));
        });
    }
}
