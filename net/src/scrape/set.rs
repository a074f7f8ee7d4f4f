//! The scrape loops of one thread.

use std::sync::Arc;

use async_channel::Receiver;
use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};
use tokio::sync::oneshot;

use super::run::{Loop, Order};
use super::target::Target;
use super::worker::{Desk, spawn_caught};

struct Running {
    target: Arc<Target>,
    order: oneshot::Sender<Order>,
}

/// Runs the loops of the targets that come over `updates`, each time the whole list of this thread.
///
/// Ends when the sending side is gone, which stops every loop without staleness markers: a server
/// that comes back goes on where it was.
pub async fn run(updates: Receiver<Vec<Arc<Target>>>, desk: Desk) {
    let mut loops: HashMap<u64, Running, RandomState> = HashMap::default();
    while let Ok(targets) = updates.recv().await {
        let wanted: HashSet<u64, RandomState> = targets.iter().map(|target| target.hash).collect();
        // A loop that is told that its target is gone lives on until it has marked its series.
        for (_, gone) in loops.extract_if(|hash, _| !wanted.contains(hash)) {
            let _ = gone.order.send(Order::Gone);
        }
        for target in targets {
            let cache = match loops.get(&target.hash) {
                Some(running) if Arc::ptr_eq(&running.target, &target) => continue,
                Some(_) => hand_over(loops.remove(&target.hash), &target).await,
                None => None,
            };
            let (order, receiver) = oneshot::channel();
            let scrape = Loop::new(desk.clone(), target.clone(), cache, receiver);
            spawn_caught("scrape", scrape.run());
            loops.insert(target.hash, Running { target, order });
        }
    }
}

/// Ends the loop of a target whose job changed. What its cache knows goes on if it still holds;
/// else the old loop marks its series as stale in its own time.
async fn hand_over(running: Option<Running>, target: &Target) -> Option<super::cache::ScrapeCache> {
    let Running { target: before, order } = running?;
    if !target.job.can_reuse_cache(&before.job) {
        let _ = order.send(Order::Gone);
        return None;
    }
    let (give, take) = async_channel::bounded(1);
    order.send(Order::HandOver(give)).ok()?;
    take.recv().await.ok()
}
