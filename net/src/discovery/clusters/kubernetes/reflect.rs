//! Keeps one list of objects as the API has it.
//!
//! Source: client-go `tools/cache` (`Reflector`).

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;
use shards::runtime;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::exec::Login;
use super::groups::Stores;
use super::objects::{Kind, Objects, cut, key};
use crate::discovery::api::{Api, Request, parse, query, text};
use crate::discovery::watch::Reporter;
use crate::http::client::{Ask, Client, ClientOptions};
use crate::http::url::Url;

/// Objects of one page of a list.
const PAGE_OBJECT_COUNT: &str = "500";

const LIST_TIMEOUT: Duration = Duration::from_secs(60);

/// How long the API keeps a watch open, in seconds; a little longer without a byte means that the
/// connection is dead.
const WATCH_SECONDS: u64 = 300;

/// Pauses after failures, doubled from the first to the second.
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// Longest event of a watch.
const EVENT_BYTES_MAX: usize = 16 << 20;

/// What the reflectors of one provider have in common.
pub struct Shared {
    pub stores: RefCell<Stores>,
    /// Something is different, or known for the first time.
    pub changed: Notify,
    /// Lists that are not read yet.
    pub unsynced: Cell<usize>,
    /// For counts of events.
    pub role: String,
}

pub struct Reflector {
    pub kind: Kind,
    /// Empty for all.
    pub namespace: String,
    pub url: String,
    pub login: Rc<Login>,
    pub label_selector: String,
    pub field_selector: String,
    pub shared: Rc<Shared>,
}

/// Why a watch ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// In peace: it goes on from this version.
    At(String),
    /// Its place is lost: the list is read again.
    Lost,
}

/// Counts a request of `path` that began at `start`, by the status of its answer, zero without one.
fn count_request(path: &str, start: std::time::Instant, status: u16, reporter: &Reporter) {
    let now = runtime::now();
    let status = if status == 0 { "<error>".to_owned() } else { status.to_string() };
    let mut counts = reporter.stats().counts();
    *counts.kubernetes_requests.entry(status).or_default() += 1;
    let durations = counts.kubernetes_durations.entry(path.to_owned()).or_default();
    durations.add(now, now.duration_since(start).as_secs_f64());
}

impl Reflector {
    pub async fn run(self, reporter: Reporter) {
        let mut is_synced = false;
        let mut pause = RETRY_MIN;
        loop {
            let begun = Instant::now();
            let failed = match self.list(&reporter).await {
                Ok(version) => {
                    if !is_synced {
                        is_synced = true;
                        self.shared.unsynced.set(self.shared.unsynced.get() - 1);
                    }
                    self.shared.changed.notify_one();
                    self.follow(version, &reporter).await
                }
                Err(why) => Some(why),
            };
            if let Some(why) = failed {
                reporter.stats().counts().kubernetes_failures += 1;
                let why = format!("{} {}: {why}", self.kind.as_str(), self.namespace);
                if reporter.failed(&why).await.is_err() {
                    return;
                }
            }
            if begun.elapsed() > RETRY_MAX {
                pause = RETRY_MIN;
            }
            sleep(pause).await;
            pause = (pause * 2).min(RETRY_MAX);
        }
    }

    /// Watches until the place is lost; the failure that lost it, if it was one.
    async fn follow(&self, mut version: String, reporter: &Reporter) -> Option<String> {
        loop {
            let begun = Instant::now();
            match self.watch(&version, reporter).await {
                Ok(Ended::At(next)) => version = next,
                Ok(Ended::Lost) => return None,
                Err(why) => return Some(why),
            }
            // A server that ends watches at once is not asked without a pause.
            tokio::time::sleep_until(begun + RETRY_MIN).await;
        }
    }

    fn selectors(&self) -> Vec<(&str, &str)> {
        let mut pairs =
            vec![("labelSelector", &*self.label_selector), ("fieldSelector", &self.field_selector)];
        pairs.retain(|(_, value)| !value.is_empty());
        pairs
    }

    /// Reads the list into the store; the version to watch from.
    pub async fn list(&self, reporter: &Reporter) -> Result<String, String> {
        let mut api = Api::new("kubernetes_sd", &self.login.http().await?, LIST_TIMEOUT)?;
        let mut objects = Objects::new();
        let mut place = String::new();
        let path = Url::parse(&self.url)?.path;
        loop {
            let mut pairs = self.selectors();
            pairs.push(("limit", PAGE_OBJECT_COUNT));
            if !place.is_empty() {
                pairs.push(("continue", &place));
            }
            let request = Request::get(format!("{}{}", self.url, query(pairs)));
            let start = runtime::now();
            let answered = api.exchange(request).await;
            count_request(
                &path,
                start,
                answered.as_ref().map_or(0, |reply| reply.status),
                reporter,
            );
            let mut page = answered?.accepted()?.json()?;
            if let Some(items) = page["items"].as_array_mut() {
                for object in items.drain(..) {
                    objects.insert(key(&object), cut(self.kind, object));
                }
            }
            place = text(&page["metadata"]["continue"]);
            if place.is_empty() {
                self.replace(objects);
                return Ok(text(&page["metadata"]["resourceVersion"]));
            }
        }
    }

    /// Puts a list in place of what was known of its namespace.
    fn replace(&self, objects: Objects) {
        let mut stores = self.shared.stores.borrow_mut();
        let store = stores.of_mut(self.kind);
        if self.namespace.is_empty() {
            store.clear();
        } else {
            let prefix = format!("{}/", self.namespace);
            store.retain(|key, _| !key.starts_with(&prefix));
        }
        store.extend(objects);
    }

    /// Takes changes since `version` until the API ends the watch.
    pub async fn watch(&self, version: &str, reporter: &Reporter) -> Result<Ended, String> {
        let seconds = WATCH_SECONDS.to_string();
        let mut pairs = self.selectors();
        pairs.extend([
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("timeoutSeconds", &seconds),
            ("resourceVersion", version),
        ]);
        let url = Url::parse(&format!("{}{}", self.url, query(pairs)))?;
        let headers = Api::plain(LIST_TIMEOUT).headers;
        let mut client =
            Client::new(ClientOptions::new("kubernetes_sd", &self.login.http().await?)?);
        let mut ask = Ask::get(&url, &headers, 0);
        // Events come one by one: compressed, they might wait for each other.
        let mut plain = headers.clone();
        plain.remove(http::header::ACCEPT_ENCODING);
        ask.headers = &plain;
        let silence = Duration::from_secs(WATCH_SECONDS + 30);
        let late = |_| "the watch is silent".to_owned();
        let start = runtime::now();
        let answer = tokio::time::timeout(silence, client.open(&ask)).await.map_err(late)?;
        count_request(
            &url.path,
            start,
            answer.as_ref().map_or(0, |answer| answer.status.as_u16()),
            reporter,
        );
        let answer = answer.map_err(|error| error.to_string())?;
        if answer.status.as_u16() == 410 {
            return Ok(Ended::Lost);
        }
        if !answer.status.is_success() {
            return Err(format!("server returned HTTP status {}", answer.status_line));
        }
        let (mut version, mut pending) = (version.to_owned(), vec![]);
        while let Some(bytes) = tokio::time::timeout(silence, client.chunk()).await.map_err(late)? {
            pending.extend_from_slice(&bytes.map_err(|error| error.to_string())?);
            let mut done = 0;
            while let Some(len) = memchr::memchr(b'\n', &pending[done..]) {
                match self.event(&pending[done..done + len], reporter)? {
                    Ended::At(next) if next.is_empty() => {}
                    Ended::At(next) => version = next,
                    Ended::Lost => return Ok(Ended::Lost),
                }
                done += len + 1;
            }
            pending.drain(..done);
            if pending.len() > EVENT_BYTES_MAX {
                return Err(format!("an event of more than {EVENT_BYTES_MAX} bytes"));
            }
        }
        Ok(Ended::At(version))
    }

    /// Takes one event; the version after it.
    fn event(&self, line: &[u8], reporter: &Reporter) -> Result<Ended, String> {
        if line.iter().all(u8::is_ascii_whitespace) {
            return Ok(Ended::At(String::new()));
        }
        let mut event: Value = parse(line)?;
        let object = event["object"].take();
        let version = text(&object["metadata"]["resourceVersion"]);
        let kind = text(&event["type"]);
        let mut stores = self.shared.stores.borrow_mut();
        let store = stores.of_mut(self.kind);
        let counted = match kind.as_str() {
            "ADDED" | "MODIFIED" => {
                store.insert(key(&object), cut(self.kind, object));
                if kind == "ADDED" { "add" } else { "update" }
            }
            "DELETED" => {
                store.remove(&key(&object));
                "delete"
            }
            "BOOKMARK" => return Ok(Ended::At(version)),
            // Of a version that the API has forgotten, as a rule.
            "ERROR" if object["code"] == 410 => return Ok(Ended::Lost),
            "ERROR" => return Err(text(&object["message"])),
            other => return Err(format!("unknown event {other:?}")),
        };
        let role = self.shared.role.clone();
        *reporter.stats().counts().kubernetes_events.entry((role, counted)).or_default() += 1;
        self.shared.changed.notify_one();
        Ok(Ended::At(version))
    }
}

/// The items of a list: for tests that make stores without an API.
#[cfg(test)]
pub fn stored(stores: &mut Stores, kind: Kind, list: &str) {
    let list: Value = serde_json::from_str(list).unwrap();
    for object in crate::discovery::api::items(&list) {
        stores.of_mut(kind).insert(key(object), cut(kind, object.clone()));
    }
}
