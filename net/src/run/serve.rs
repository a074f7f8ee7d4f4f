//! What runs on each shard: accept loops and scrape loops, until the shard is told to stop.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_channel::Receiver;
use shards::Shard;
use shards::runtime::{self, Class, TcpListener};

use crate::api::context::{Context, Readiness};
use crate::api::site::Site;
use crate::http::server::{self, ServerOptions};
use crate::scrape;
use crate::scrape::target::Target;
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
    pub seed: u64,
    /// Shards that listen.
    pub listening: Arc<AtomicUsize>,
}

impl ShardServer {
    pub async fn serve(self, shard: Shard) {
        let context = self.context.clone();
        let site = Rc::new(Site::new(shard.clone(), context.clone()));
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
        let index = shard.id().index();
        let stats = context.stats[index].scrape.clone();
        let list = self.lists[index].clone();
        let scrapes =
            runtime::spawn(Class::Scrape, scrape::set::run(shard.clone(), list, self.seed, stats));
        if self.listening.fetch_add(1, Ordering::Relaxed) + 1 == context.shard_count {
            context.set_readiness(Readiness::Ready);
            for address in &self.addresses {
                log_info!("Server is ready to receive web requests.", "address" = address);
            }
        }
        shard.stopping().await;
        context.set_readiness(Readiness::Stopping);
        scrapes.cancel().await;
        drop(stop);
        for server in servers {
            server.await;
        }
    }
}
