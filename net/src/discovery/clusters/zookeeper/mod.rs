//! `serverset_sd_configs` and `nerve_sd_configs`: members of services that ZooKeeper's nodes hold,
//! watched.
//!
//! ```text
//! session   requests and events over one connection
//! members   a node's content -> labels
//! here      the nodes below the section's paths, and how they follow the events
//! ```
//!
//! A session that ends keeps what was found; the next one reads everything anew.
//!
//! Source: Prometheus `discovery/zookeeper/zookeeper.go`, `util/treecache/treecache.go`.

mod members;
mod session;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use engine::model::Labels;
use shards::runtime;

use self::members::Parse;
use self::session::{Change, Session};
use crate::config::{NerveSdConfig, ServersetSdConfig};
use crate::discovery::TargetGroup;
use crate::discovery::api::group;
use crate::discovery::stats::DiscoveryStats;
use crate::discovery::watch::Reporter;

/// Pauses between sessions: the first, and the longest.
const RETRY_MIN: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(10);

/// Most nodes below all paths of a section.
const NODE_COUNT_MAX: usize = 1_000_000;

/// A section of either kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Config {
    Serverset(ServersetSdConfig),
    Nerve(NerveSdConfig),
}

impl Config {
    pub fn mechanism(&self) -> &'static str {
        match self {
            Config::Serverset(_) => "serverset",
            Config::Nerve(_) => "nerve",
        }
    }

    fn parts(&self) -> (&[String], &[String], Duration, Parse) {
        match self {
            Config::Serverset(config) => {
                let timeout = config.timeout.duration();
                (&config.servers, &config.paths, timeout, members::serverset)
            }
            Config::Nerve(config) => {
                (&config.servers, &config.paths, config.timeout.duration(), members::nerve)
            }
        }
    }
}

/// Runs until nobody listens.
pub async fn watch(config: Config, reporter: Reporter) {
    let (servers, paths, timeout, parse) = config.parts();
    // Not everybody asks the first one first.
    let mut index = runtime::unix_ms().unsigned_abs() as usize;
    let mut pause = RETRY_MIN;
    loop {
        let Some(server) = servers.get(index % servers.len().max(1)) else { return };
        let mut tree = Tree { roots: paths, parse, nodes: BTreeMap::new() };
        let begun = tokio::time::Instant::now();
        let why = match tree.follow(server, timeout, &reporter).await {
            Ok(()) => return,
            Err(why) => why,
        };
        if reporter.failed(&why).await.is_err() {
            return;
        }
        if begun.elapsed() > RETRY_MAX {
            pause = RETRY_MIN;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RETRY_MAX);
        index = index.wrapping_add(1);
    }
}

/// Tells how many nodes a session watches, as long as it does.
struct Watched<'a> {
    stats: &'a DiscoveryStats,
    count: u64,
}

impl Watched<'_> {
    fn set(&mut self, count: u64) {
        let mut counts = self.stats.counts();
        counts.zookeeper_nodes = counts.zookeeper_nodes + count - self.count;
        self.count = count;
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// The nodes below some paths, those paths included.
struct Tree<'a> {
    roots: &'a [String],
    parse: Parse,
    /// By path; none for a node that is no member.
    nodes: BTreeMap<String, Option<Labels>>,
}

fn child(path: &str, name: &str) -> String {
    format!("{}/{name}", path.trim_end_matches('/'))
}

impl Tree<'_> {
    /// Follows the nodes through one session. Ends well when nobody listens any more.
    async fn follow(
        &mut self,
        server: &str,
        timeout: Duration,
        reporter: &Reporter,
    ) -> Result<(), String> {
        let mut session = Session::open(server, timeout).await?;
        for root in self.roots {
            self.read(&mut session, root).await?;
        }
        let mut watched = Watched { stats: reporter.stats(), count: 0 };
        loop {
            watched.set(self.nodes.len() as u64);
            if reporter.found(self.groups()).await.is_err() {
                return Ok(());
            }
            let (change, path) = session.event().await?;
            self.apply(&mut session, change, &path).await?;
        }
    }

    fn groups(&self) -> Vec<Arc<TargetGroup>> {
        let members = self.nodes.iter().filter_map(|(path, member)| Some((path, member.as_ref()?)));
        members
            .map(|(path, member)| {
                Arc::new(group(path.as_str(), Labels::default(), vec![member.clone()]))
            })
            .collect()
    }

    async fn apply(
        &mut self,
        session: &mut Session,
        change: Change,
        path: &str,
    ) -> Result<(), String> {
        match change {
            Change::Data => match session.data(path).await? {
                Some(data) => {
                    self.nodes.insert(path.to_owned(), (self.parse)(&data, path));
                }
                None => self.forget(path),
            },
            Change::Children => self.read_children(session, path).await?,
            Change::Created => self.read(session, path).await?,
            Change::Deleted => {
                self.forget(path);
                if self.roots.iter().any(|root| root == path) {
                    self.read(session, path).await?;
                } else if let Some((parent, _)) = path.rsplit_once('/') {
                    // It may have come back before it was missed.
                    let parent = if parent.is_empty() { "/" } else { parent };
                    if self.nodes.contains_key(parent) {
                        self.read_children(session, parent).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Reads a node and all below it. One that is not there is waited for, if it is a root.
    async fn read(&mut self, session: &mut Session, path: &str) -> Result<(), String> {
        let mut unread = vec![path.to_owned()];
        while let Some(path) = unread.pop() {
            let Some(data) = session.data(&path).await? else {
                self.forget(&path);
                if self.roots.contains(&path) && session.exists(&path).await? {
                    unread.push(path);
                }
                continue;
            };
            if self.nodes.len() >= NODE_COUNT_MAX {
                return Err(format!("more than {NODE_COUNT_MAX} nodes"));
            }
            self.nodes.insert(path.clone(), (self.parse)(&data, &path));
            unread.extend(self.new_children(session, &path).await?);
        }
        Ok(())
    }

    async fn read_children(&mut self, session: &mut Session, path: &str) -> Result<(), String> {
        for child in self.new_children(session, path).await? {
            self.read(session, &child).await?;
        }
        Ok(())
    }

    /// Forgets children that are gone; paths of those that are not known.
    async fn new_children(
        &mut self,
        session: &mut Session,
        path: &str,
    ) -> Result<Vec<String>, String> {
        let Some(names) = session.children(path).await? else {
            self.forget(path);
            return Ok(vec![]);
        };
        let children: Vec<String> = names.iter().map(|name| child(path, name)).collect();
        for gone in self.below(path).into_iter().filter(|known| !children.contains(known)) {
            self.forget(&gone);
        }
        Ok(children.into_iter().filter(|child| !self.nodes.contains_key(child)).collect())
    }

    /// Known children of a node.
    fn below(&self, path: &str) -> Vec<String> {
        let prefix = child(path, "");
        let all = self.nodes.range(prefix.clone()..);
        all.map(|(path, _)| path)
            .take_while(|path| path.starts_with(&prefix))
            .filter(|path| path.len() > prefix.len() && !path[prefix.len()..].contains('/'))
            .cloned()
            .collect()
    }

    /// Forgets a node and all below it.
    fn forget(&mut self, path: &str) {
        let prefix = child(path, "");
        self.nodes.retain(|known, _| known != path && !known.starts_with(&prefix));
    }
}
