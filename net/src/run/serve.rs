//! What runs on each shard: accept loops and scrape loops, until the shard is told to stop.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_channel::{Receiver, Sender};
use shards::runtime::{self, Class, TcpListener};
use shards::{Shard, Starting};

use crate::api::context::{Context, Readiness};
use crate::api::site::Site;
use crate::http::server::{self, ServerOptions};
use crate::rules::manager::RuleList;
use crate::rules::{self, Environment};
use crate::scrape::feed::{self, Delivery};
use crate::scrape::target::Target;
use crate::scrape::worker::{Work, Worker};
use crate::{log_error, log_info};

/// The targets of one shard, each time all of them.
pub type TargetList = Vec<Arc<Target>>;

/// What every shard's server needs.
#[derive(Clone)]
pub struct ShardServer {
    pub context: Arc<Context>,
    pub addresses: Vec<SocketAddr>,
    pub options: ServerOptions,
    /// By shard.
    pub lists: Vec<Receiver<TargetList>>,
    /// The ways into each shard, by shard.
    pub feeds: Vec<(Sender<Delivery>, Receiver<Delivery>)>,
    /// By shard.
    pub rules: Vec<Receiver<RuleList>>,
    pub environment: Arc<Environment>,
    pub seed: u64,
    /// Shards that serve data.
    pub serving: Arc<AtomicUsize>,
    /// Finished blocks go there.
    pub shipping: Option<crate::ship::Shipping>,
}

impl ShardServer {
    pub async fn serve(self, starting: Starting) {
        let context = self.context.clone();
        let starting = Rc::new(starting);
        let site = Rc::new(Site::new(starting.clone(), context.clone()));
        let (stop, stopping) = async_channel::bounded(1);
        let mut servers = vec![];
        for &address in &self.addresses {
            match TcpListener::bind_reuseport(address) {
                Ok(listener) => servers.push(runtime::spawn(
                    Class::Request,
                    server::serve(listener, site.clone(), self.options.clone(), stopping.clone()),
                )),
                Err(error) => {
                    log_error!("Unable to start web listener", "address" = address, "err" = error);
                }
            }
        }
        let mut loops = None;
        if let Some(shard) = starting.ready().await {
            site.set_shard(shard.clone());
            if shard.id() == shards::ShardId(0)
                && let Some(shipping) = self.shipping.clone()
            {
                let ships = shipping.run(shard.clone(), context.clone());
                runtime::spawn(Class::Background, ships).detach();
            }
            loops = Some((self.scrape(shard.clone()), self.evaluate(shard)));
            if self.serving.fetch_add(1, Ordering::Relaxed) + 1 == context.shard_count {
                context.set_readiness(Readiness::Ready);
                for address in &self.addresses {
                    log_info!("Server is ready to receive web requests.", "address" = address);
                }
            }
        }
        starting.stopping().await;
        context.set_readiness(Readiness::Stopping);
        if let Some((scrapes, rules)) = loops {
            if let Some(scrapes) = scrapes {
                scrapes.stop().await;
            }
            rules.await;
        }
        drop(stop);
        for server in servers {
            server.await;
        }
    }

    /// Starts the rule groups of a shard. They end by themselves when it is told to stop.
    fn evaluate(&self, shard: Shard) -> runtime::Task {
        let list = self.rules[shard.id().index()].clone();
        let loops = rules::set::run(shard, list, self.environment.clone(), self.context.clone());
        runtime::spawn(Class::Background, loops)
    }

    /// Starts the scrape loops of a shard, and takes what scrapes bring.
    fn scrape(&self, shard: Shard) -> Option<Worker> {
        let index = shard.id().index();
        let deliveries = self.feeds[index].1.clone();
        runtime::spawn(Class::Storage, feed::serve(shard, deliveries)).detach();
        let started = Worker::start(Work {
            shard: index,
            lists: self.lists[index].clone(),
            seed: self.seed,
            stats: self.context.stats[index].scrape.clone(),
            feeds: self.feeds.iter().map(|(sender, _)| sender.clone()).collect(),
        });
        started.inspect_err(|error| log_error!("Unable to start scraping", "err" = error)).ok()
    }
}
