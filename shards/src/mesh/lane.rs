//! One kind of conversation between all shards.

use std::fmt;

use async_channel::{Receiver, Sender, bounded};

use crate::fair::Semaphore;
use crate::route::ShardId;

/// One shard's end of a lane: asks any shard, serves its own inbox.
pub struct Lane<Q, A> {
    shard: ShardId,
    /// Inbox of each shard.
    inboxes: Vec<Sender<Request<Q, A>>>,
    /// Free credits towards each shard.
    credits: Vec<Receiver<()>>,
    credit_returns: Vec<Sender<()>>,
    /// Askers towards each shard, in order: only the first one waits for a credit.
    queues: Vec<Semaphore>,
    inbox: Receiver<Request<Q, A>>,
}

/// A request in the hands of its server.
pub struct Request<Q, A> {
    pub from: ShardId,
    pub question: Q,
    pub answer: Answer<A>,
}

/// Where the answer goes; gives the credit back when it is dropped.
pub struct Answer<A> {
    answer: Sender<A>,
    _credit: Credit,
}

impl<A> Answer<A> {
    /// Answers. Nobody may listen any more: then the answer is dropped.
    pub fn send(self, answer: A) {
        let _ = self.answer.try_send(answer);
    }
}

/// Permission to have one request under way between two shards.
struct Credit(Sender<()>);

impl Drop for Credit {
    fn drop(&mut self) {
        // There is room: as many as were taken. Closed: the asking shard has stopped.
        let _ = self.0.try_send(());
    }
}

/// The other shard stopped, or ended the request without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("shard has stopped")
    }
}

impl std::error::Error for Gone {}

/// A request that was not sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused<Q> {
    /// All credits towards that shard are out.
    NoCredit(Q),
    Gone(Gone),
}

impl<Q: Send + 'static, A: Send + 'static> Lane<Q, A> {
    /// The ends of a new lane between `shard_count` shards, in order, with `credits` requests
    /// under way from each shard to each other at most.
    pub fn ends(shard_count: usize, credits: usize) -> Vec<Lane<Q, A>> {
        assert!(credits > 0);
        let (senders, receivers): (Vec<_>, Vec<_>) =
            (0..shard_count).map(|_| bounded(shard_count * credits)).unzip();
        ShardId::all(shard_count)
            .zip(receivers)
            .map(|(shard, inbox)| {
                let (credit_returns, credits) = (0..shard_count).map(|_| purse(credits)).unzip();
                let queues = (0..shard_count).map(|_| Semaphore::new(1)).collect();
                Lane { shard, inboxes: senders.clone(), credits, credit_returns, queues, inbox }
            })
            .collect()
    }

    /// Asks `target` and awaits the answer; first waits, in order, for a credit.
    pub async fn ask(&self, target: ShardId, question: Q) -> Result<A, Gone> {
        let turn = self.queues[target.index()].acquire().await;
        self.credits[target.index()].recv().await.map_err(|_| Gone)?;
        drop(turn);
        let answer = self.send(target, question)?;
        answer.recv().await.map_err(|_| Gone)
    }

    /// As [`Lane::ask`], but refuses instead of waiting for a credit. The request is sent when
    /// this returns; the future brings the answer.
    pub fn try_ask(
        &self,
        target: ShardId,
        question: Q,
    ) -> Result<impl Future<Output = Result<A, Gone>> + 'static, Refused<Q>> {
        let turn = self.queues[target.index()].try_acquire();
        if turn.is_none() || self.credits[target.index()].try_recv().is_err() {
            return Err(Refused::NoCredit(question));
        }
        let answer = self.send(target, question).map_err(Refused::Gone)?;
        Ok(async move { answer.recv().await.map_err(|_| Gone) })
    }

    /// Who waits here for a credit towards `target`.
    pub fn waiting_count(&self, target: ShardId) -> usize {
        self.queues[target.index()].waiting_count()
    }

    /// Sends with a credit in hand.
    fn send(&self, target: ShardId, question: Q) -> Result<Receiver<A>, Gone> {
        let credit = Credit(self.credit_returns[target.index()].clone());
        let (answer, answered) = bounded(1);
        let answer = Answer { answer, _credit: credit };
        match self.inboxes[target.index()].try_send(Request { from: self.shard, question, answer })
        {
            Ok(()) => Ok(answered),
            Err(error) => {
                assert!(error.is_closed(), "credits bound what an inbox holds");
                Err(Gone)
            }
        }
    }

    /// The next request to this shard; `None` when the inbox was closed and is empty.
    pub async fn next(&self) -> Option<Request<Q, A>> {
        self.inbox.recv().await.ok()
    }

    /// No further request is taken; those in the inbox are still served.
    pub fn close(&self) {
        self.inbox.close();
    }
}

/// A channel that holds `credits` tokens.
fn purse(credits: usize) -> (Sender<()>, Receiver<()>) {
    let (sender, receiver) = bounded(credits);
    for _ in 0..credits {
        sender.try_send(()).expect("a new channel has room for its credits");
    }
    (sender, receiver)
}
