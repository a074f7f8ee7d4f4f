//! The groups of one shard.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use async_channel::{Receiver, Sender};
use engine::rules::Group;
use foldhash::fast::RandomState;
use futures_util::future::{Either, select};
use hashbrown::HashMap;
use shards::Shard;
use shards::fair::Semaphore;
use shards::runtime::{self, Class, Task};

use crate::api::context::Context;

use super::Environment;
use super::cell::GroupCell;
use super::manager::{RuleList, Settings};
use super::run::{GroupLoop, Order};

struct Running {
    cell: Arc<GroupCell>,
    orders: Sender<Order>,
    task: Task,
}

/// What runs, by file and name.
struct Loops {
    shard: Shard,
    environment: Arc<Environment>,
    context: Arc<Context>,
    settings: Rc<RefCell<Arc<Settings>>>,
    /// Which group's evaluation may begin.
    turn: Rc<Semaphore>,
    running: HashMap<String, Running, RandomState>,
    /// The first list of this life of the server: alerts are restored.
    is_first: bool,
}

/// Runs the loops of the groups that come over `updates`, each time the whole list of this shard,
/// until the shard is told to stop; then lets every evaluation come to its end.
pub async fn run(
    shard: Shard,
    updates: Receiver<RuleList>,
    environment: Arc<Environment>,
    context: Arc<Context>,
) {
    let mut loops = Loops {
        shard: shard.clone(),
        environment,
        context,
        settings: Rc::default(),
        turn: Rc::new(Semaphore::new(1)),
        running: HashMap::default(),
        is_first: true,
    };
    loop {
        let next = std::pin::pin!(updates.recv());
        let stopping = std::pin::pin!(shard.stopping());
        match select(next, stopping).await {
            Either::Left((Ok(list), _)) => loops.apply(list).await,
            _ => break,
        }
    }
    let tasks: Vec<Task> = loops.running.into_values().map(|running| running.task).collect();
    for task in tasks {
        task.await;
    }
}

impl Loops {
    async fn apply(&mut self, list: RuleList) {
        self.settings.replace(list.settings);
        let wanted: HashMap<String, Arc<GroupCell>, RandomState> =
            list.cells.into_iter().map(|cell| (cell.key(), cell)).collect();
        let gone = |key: &String, _: &mut Running| !wanted.contains_key(key);
        for (_, running) in self.running.extract_if(gone) {
            // It lives on until it has marked its series.
            let _ = running.orders.try_send(Order::Disband);
            running.task.detach();
        }
        // All that changed end their evaluations at the same time.
        let mut changed = vec![];
        for (key, cell) in wanted {
            match self.running.remove(&key) {
                Some(running) if Arc::ptr_eq(&running.cell, &cell) => {
                    self.running.insert(key, running);
                }
                Some(running) => {
                    let (give, take) = async_channel::bounded(1);
                    let _ = running.orders.try_send(Order::HandOver(give));
                    changed.push((cell, Some((running, take))));
                }
                None => changed.push((cell, None)),
            }
        }
        for (cell, before) in changed {
            let earlier = match before {
                Some((running, take)) => {
                    let earlier = take.recv().await.ok();
                    running.task.detach();
                    earlier
                }
                None => None,
            };
            self.start(cell, earlier);
        }
        self.is_first = false;
    }

    fn start(&mut self, cell: Arc<GroupCell>, earlier: Option<Group>) {
        let mut group = Group::new(cell.spec.clone(), !self.is_first);
        if let Some(earlier) = earlier {
            group.adopt(&earlier);
        }
        let (orders, receiver) = async_channel::bounded(4);
        let group_loop = GroupLoop {
            shard: self.shard.clone(),
            cell: cell.clone(),
            group,
            environment: self.environment.clone(),
            context: self.context.clone(),
            settings: self.settings.clone(),
            orders: receiver,
            turn: self.turn.clone(),
            restores: self.is_first,
        };
        let task = runtime::spawn(Class::Background, group_loop.run());
        self.running.insert(cell.key(), Running { cell, orders, task });
    }
}
