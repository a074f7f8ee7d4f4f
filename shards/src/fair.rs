//! Waiting in order, on one shard.
//!
//! A semaphore whose waiters are served strictly first come, first served. Channels hand a free
//! place to whoever asks next, so that a waiter may starve; where that would show in a tail
//! latency, this stands in front.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

/// A number of permits and a queue for them.
///
/// Invariant between calls: with `n` permits free, the first `n` waiters have been woken since
/// they came to stand there.
#[derive(Debug)]
pub struct Semaphore {
    free: Cell<usize>,
    queue: RefCell<VecDeque<Waiter>>,
    next_ticket: Cell<u64>,
}

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    waker: Waker,
}

impl Semaphore {
    pub fn new(permits: usize) -> Semaphore {
        Semaphore { free: Cell::new(permits), queue: RefCell::default(), next_ticket: Cell::new(0) }
    }

    /// Waits for a permit behind everybody who waits already.
    pub fn acquire(&self) -> Acquire<'_> {
        Acquire { semaphore: self, ticket: None }
    }

    /// A permit, if one is free and nobody waits.
    pub fn try_acquire(&self) -> Option<Permit<'_>> {
        let free = self.free.get();
        if free == 0 || !self.queue.borrow().is_empty() {
            return None;
        }
        self.free.set(free - 1);
        Some(Permit { semaphore: self })
    }

    pub fn waiting_count(&self) -> usize {
        self.queue.borrow().len()
    }

    fn wake_first(&self) {
        let queue = self.queue.borrow();
        queue.iter().take(self.free.get()).for_each(|waiter| waiter.waker.wake_by_ref());
    }
}

/// See [`Semaphore::acquire`]. Dropping it leaves the queue.
#[derive(Debug)]
#[must_use = "waiting begins with the first poll"]
pub struct Acquire<'a> {
    semaphore: &'a Semaphore,
    ticket: Option<u64>,
}

impl<'a> Future for Acquire<'a> {
    type Output = Permit<'a>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Permit<'a>> {
        let semaphore = self.semaphore;
        let mut queue = semaphore.queue.borrow_mut();
        let place = match self.ticket {
            Some(ticket) => queue
                .binary_search_by_key(&ticket, |waiter| waiter.ticket)
                .expect("who holds a ticket stands in the queue"),
            None => queue.len(),
        };
        let free = semaphore.free.get();
        if place < free {
            if self.ticket.take().is_some() {
                queue.remove(place);
            }
            semaphore.free.set(free - 1);
            return Poll::Ready(Permit { semaphore });
        }
        if self.ticket.is_some() {
            queue[place].waker.clone_from(cx.waker());
        } else {
            let ticket = semaphore.next_ticket.get();
            semaphore.next_ticket.set(ticket + 1);
            queue.push_back(Waiter { ticket, waker: cx.waker().clone() });
            self.ticket = Some(ticket);
        }
        Poll::Pending
    }
}

impl Drop for Acquire<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.semaphore.queue.borrow_mut().retain(|waiter| waiter.ticket != ticket);
            self.semaphore.wake_first();
        }
    }
}

/// Permission; returns when dropped.
#[derive(Debug)]
pub struct Permit<'a> {
    semaphore: &'a Semaphore,
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.semaphore.free.set(self.semaphore.free.get() + 1);
        self.semaphore.wake_first();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use futures_lite::future::{block_on, poll_once};
    use futures_util::future::join_all;

    use super::Semaphore;

    #[test]
    fn waiters_are_served_in_order() {
        let semaphore = Semaphore::new(2);
        let order = RefCell::new(Vec::new());
        block_on(join_all((0..100).map(|number| {
            let (semaphore, order) = (&semaphore, &order);
            async move {
                let _permit = semaphore.acquire().await;
                order.borrow_mut().push(number);
                futures_lite::future::yield_now().await;
            }
        })));
        assert!(order.borrow().is_sorted());
        assert_eq!(order.borrow().len(), 100);
        assert_eq!(semaphore.waiting_count(), 0);
    }

    #[test]
    fn who_leaves_the_queue_lets_the_next_one_in() {
        block_on(async {
            let semaphore = Semaphore::new(1);
            let permit = semaphore.try_acquire().unwrap();
            assert!(semaphore.try_acquire().is_none());
            let (mut first, mut second) = (semaphore.acquire(), semaphore.acquire());
            assert!(poll_once(&mut first).await.is_none());
            assert!(poll_once(&mut second).await.is_none());
            drop(permit);
            assert!(semaphore.try_acquire().is_none(), "nobody passes those who wait");
            assert!(poll_once(&mut second).await.is_none());
            drop(first);
            assert!(poll_once(&mut second).await.is_some());
            assert!(semaphore.try_acquire().is_some());
        });
    }
}
