//! Against a server on loopback that speaks ZooKeeper's protocol and fires watches.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use super::session::{
    EXISTS, GET_CHILDREN, GET_DATA, NO_NODE, PING, Reader, Writer, XID_EVENT, XID_PING,
};
use super::{Config, watch};
use crate::config::{Millis, NerveSdConfig};
use crate::discovery::api::testing::shown;
use crate::discovery::stats::DiscoveryStats;
use crate::discovery::watch::Reporter;
use crate::http::testing::on_control;

const CREATED: i32 = 1;
const DELETED: i32 = 2;
const DATA: i32 = 3;
const CHILDREN: i32 = 4;

#[derive(Default)]
struct State {
    nodes: BTreeMap<String, String>,
    /// Paths whose data and existence, and whose children, somebody waits for.
    data_watches: BTreeSet<String>,
    child_watches: BTreeSet<String>,
    connection: Option<TcpStream>,
}

/// A server of one client at a time.
#[derive(Clone, Default)]
struct Keeper(Arc<Mutex<State>>);

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| if parent.is_empty() { "/" } else { parent })
}

fn frame(record: &Writer) -> Vec<u8> {
    let mut bytes = (record.0.len() as u32).to_be_bytes().to_vec();
    bytes.extend_from_slice(&record.0);
    bytes
}

impl State {
    fn fire(&mut self, kind: i32, path: &str) {
        let watches = match kind {
            CHILDREN => &mut self.child_watches,
            _ => &mut self.data_watches,
        };
        if let (true, Some(connection)) = (watches.remove(path), &mut self.connection) {
            let mut event = Writer::default();
            event.int(XID_EVENT).long(-1).int(0).int(kind).int(3).buffer(path.as_bytes());
            let _ = connection.write_all(&frame(&event));
        }
    }

    fn answer(&mut self, operation: i32, path: &str, out: &mut Writer) {
        let Some(data) = self.nodes.get(path).cloned() else {
            if operation == EXISTS {
                self.data_watches.insert(path.to_owned());
            }
            out.long(1).int(NO_NODE);
            return;
        };
        out.long(1).int(0);
        match operation {
            GET_DATA => {
                self.data_watches.insert(path.to_owned());
                out.buffer(data.as_bytes());
                out.0.extend_from_slice(&[0; 68]);
            }
            GET_CHILDREN => {
                self.child_watches.insert(path.to_owned());
                let names: Vec<_> = self.nodes.keys().filter(|node| parent(node) == path).collect();
                out.int(names.len() as i32);
                for name in names {
                    out.buffer(name.rsplit('/').next().unwrap().as_bytes());
                }
            }
            _ => out.0.extend_from_slice(&[0; 68]),
        }
    }
}

impl Keeper {
    /// The address it listens on.
    fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let keeper = self.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                keeper.serve(stream.unwrap());
            }
        });
        address
    }

    fn serve(&self, mut stream: TcpStream) {
        let mut is_first = true;
        loop {
            let mut len = [0; 4];
            if stream.read_exact(&mut len).is_err() {
                return;
            }
            let mut request = vec![0; u32::from_be_bytes(len) as usize];
            stream.read_exact(&mut request).unwrap();
            let mut out = Writer::default();
            let mut state = self.0.lock().unwrap();
            if is_first {
                is_first = false;
                *state = State {
                    nodes: std::mem::take(&mut state.nodes),
                    connection: Some(stream.try_clone().unwrap()),
                    ..State::default()
                };
                out.int(0).int(3000).long(7).buffer(&[0; 16]);
            } else {
                let mut request = Reader(&request);
                let (xid, operation) = (request.int().unwrap(), request.int().unwrap());
                out.int(xid);
                match operation {
                    PING => {
                        assert_eq!(xid, XID_PING);
                        out.long(0).int(0);
                    }
                    operation => state.answer(operation, &request.text().unwrap(), &mut out),
                }
            }
            if stream.write_all(&frame(&out)).is_err() {
                return;
            }
        }
    }

    fn set(&self, path: &str, data: &str) {
        let mut state = self.0.lock().unwrap();
        let is_new = state.nodes.insert(path.to_owned(), data.to_owned()).is_none();
        state.fire(if is_new { CREATED } else { DATA }, path);
        if is_new {
            state.fire(CHILDREN, parent(path));
        }
    }

    fn delete(&self, path: &str) {
        let mut state = self.0.lock().unwrap();
        state.nodes.remove(path);
        state.fire(DELETED, path);
        state.child_watches.remove(path);
        state.fire(CHILDREN, parent(path));
    }

    fn hang_up(&self) {
        let state = self.0.lock().unwrap();
        state.connection.as_ref().unwrap().shutdown(std::net::Shutdown::Both).unwrap();
    }
}

fn member(host: &str) -> String {
    format!("{{\"host\":\"{host}\",\"port\":1,\"name\":\"n\"}}")
}

#[test]
fn members_come_and_go() {
    let keeper = Keeper::default();
    let address = keeper.start();
    keeper.set("/s", "");
    keeper.set("/s/a", &member("a"));
    let config = NerveSdConfig {
        servers: vec![address],
        paths: vec!["/s".to_owned(), "/later".to_owned()],
        timeout: Millis::seconds(3),
    };
    on_control(async {
        let stats = Arc::new(DiscoveryStats::default());
        let (reporter, found) = Reporter::for_tests(stats.clone());
        tokio::task::spawn_local(watch(Config::Nerve(config), reporter));
        // Until the hosts are these.
        let until = async |hosts: &str| loop {
            let found = found.recv().await.unwrap();
            let Some(groups) = found.groups() else { continue };
            let groups: Vec<_> = groups.iter().map(|group| (**group).clone()).collect();
            let now: Vec<String> = groups
                .iter()
                .map(|group| {
                    assert_eq!(group.targets.len(), 1, "{}", shown(&groups));
                    let host = group.targets[0].get(b"__meta_nerve_endpoint_host");
                    format!("{}={}", group.source, String::from_utf8_lossy(host))
                })
                .collect();
            if now.join(" ") == hosts {
                return;
            }
        };
        until("/s/a=a").await;
        keeper.set("/s/b", &member("b"));
        until("/s/a=a /s/b=b").await;
        keeper.set("/s/a", &member("other"));
        until("/s/a=other /s/b=b").await;
        keeper.set("/s/a", "no member");
        until("/s/b=b").await;
        keeper.set("/s/b/deep", &member("deep"));
        until("/s/b=b /s/b/deep=deep").await;
        keeper.set("/later", &member("l"));
        until("/later=l /s/b=b /s/b/deep=deep").await;
        keeper.delete("/later");
        until("/s/b=b /s/b/deep=deep").await;
        keeper.set("/later", &member("again"));
        until("/later=again /s/b=b /s/b/deep=deep").await;
        keeper.delete("/s/b/deep");
        keeper.delete("/s/b");
        until("/later=again").await;
        // A session that ends is followed by another, which sees what happened meanwhile.
        keeper.hang_up();
        keeper.set("/s/c", &member("c"));
        until("/later=again /s/c=c").await;
        // The one without a member is watched too.
        assert_eq!(stats.counts().zookeeper_nodes, 4);
    });
}

#[test]
fn a_server_that_is_not_there_is_a_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let config = NerveSdConfig {
        servers: vec![address],
        paths: vec!["/s".to_owned()],
        timeout: Millis::seconds(3),
    };
    on_control(async {
        let (reporter, found) = Reporter::for_tests(Arc::new(DiscoveryStats::default()));
        tokio::task::spawn_local(watch(Config::Nerve(config), reporter));
        assert!(found.recv().await.unwrap().groups().is_none());
    });
}
