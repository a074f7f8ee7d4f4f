//! The queue of one Alertmanager, and who sends from it.
//!
//! A full queue loses its oldest notices. A batch that cannot be sent is dropped and counted; the
//! rules send again what still matters.
//!
//! Source: Prometheus `notifier/sendloop.go`.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_channel::{Receiver, Sender};
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method};
use shards::runtime;
use tokio::time::timeout;

use crate::discovery::Signer;
use crate::http::client::{AGENT, Ask, Client, ClientOptions};
use crate::http::url::Url;
use crate::{log_error, log_warn};

use super::NotifyOptions;
use super::notice::{Notice, json};
use super::stats::LoopStats;

/// Most bytes of an answer, of which only the status counts.
const ANSWER_BYTES_MAX: usize = 1 << 20;

const JSON: &str = "application/json";

/// What stands between whoever adds and the loop.
pub struct Queue {
    notices: RefCell<VecDeque<Notice>>,
    options: NotifyOptions,
    /// Holds something while there is work; closed when the loop is to end.
    work: Sender<()>,
    pub stats: Arc<LoopStats>,
}

impl Queue {
    /// A queue and what its loop waits for.
    pub fn new(url: &str, options: NotifyOptions) -> (Rc<Queue>, Receiver<()>) {
        let (work, has_work) = async_channel::bounded(1);
        let stats = Arc::new(LoopStats { url: url.to_owned(), ..LoopStats::default() });
        let notices = RefCell::default();
        (Rc::new(Queue { notices, options, work, stats }), has_work)
    }

    pub fn add(&self, notices: &[Notice]) {
        let capacity = self.options.queue_capacity;
        let mut dropped = notices.len().saturating_sub(capacity);
        let kept = &notices[dropped..];
        let url = &self.stats.url;
        if dropped > 0 {
            let message = "Alert batch larger than queue capacity, dropping alerts";
            log_warn!(message, "alertmanager" = url, "count" = dropped);
        }
        let mut queue = self.notices.borrow_mut();
        let surplus = (queue.len() + kept.len()).saturating_sub(capacity);
        if surplus > 0 {
            let message = "Alert notification queue full, dropping alerts";
            log_warn!(message, "alertmanager" = url, "count" = surplus);
            queue.drain(..surplus);
            dropped += surplus;
        }
        queue.extend(kept.iter().cloned());
        self.stats.queue_length.set(queue.len() as u64);
        self.stats.dropped.add(dropped as u64);
        // Full: the loop knows already.
        let _ = self.work.try_send(());
    }

    /// Ends the loop: it sends what waits, or drops it.
    pub fn stop(&self) {
        self.work.close();
    }

    fn take_batch(&self) -> Vec<Notice> {
        let mut queue = self.notices.borrow_mut();
        let count = queue.len().min(self.options.batch_max);
        let batch = queue.drain(..count).collect();
        self.stats.queue_length.set(queue.len() as u64);
        batch
    }

    fn is_empty(&self) -> bool {
        self.notices.borrow().is_empty()
    }
}

/// Sends from a queue until it is stopped.
pub struct SendLoop {
    pub queue: Rc<Queue>,
    pub has_work: Receiver<()>,
    pub url: Url,
    pub client: Arc<ClientOptions>,
    /// Of a section with `sigv4`.
    pub signer: Option<Signer>,
    pub timeout: Duration,
}

impl SendLoop {
    pub async fn run(mut self) {
        let mut client = Client::new(self.client.clone());
        while !self.has_work.is_closed() && self.has_work.recv().await.is_ok() {
            self.send_batch(&mut client).await;
            if !self.queue.is_empty() {
                let _ = self.queue.work.try_send(());
            }
        }
        if self.queue.options.drains {
            while !self.queue.is_empty() {
                self.send_batch(&mut client).await;
            }
            return;
        }
        let count = self.queue.notices.take().len();
        if count > 0 {
            let message = "Alert notification queue not drained on shutdown, dropping alerts";
            log_warn!(message, "alertmanager" = self.url, "count" = count);
            self.queue.stats.dropped.add(count as u64);
        }
    }

    async fn send_batch(&mut self, client: &mut Client) {
        let batch = self.queue.take_batch();
        if batch.is_empty() {
            return;
        }
        let stats = self.queue.stats.clone();
        let count = batch.len() as u64;
        let begun = Instant::now();
        match self.send(client, json(&batch)).await {
            Ok(()) => {
                let now = Instant::now();
                stats.latency.add(now, now.duration_since(begun).as_secs_f64());
                stats.sent.add(count);
            }
            Err(why) => {
                let url = &self.url;
                log_error!(
                    "Error sending alerts",
                    "alertmanager" = url,
                    "count" = count,
                    "err" = why
                );
                stats.errors.add(count);
                stats.dropped.add(count);
            }
        }
    }

    async fn send(&mut self, client: &mut Client, body: Vec<u8>) -> Result<(), String> {
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
        if let Some(signer) = &mut self.signer {
            let now_seconds = runtime::unix_ms() / 1000;
            headers.extend(signer.headers(&self.url, JSON, &body, now_seconds).await?);
        }
        let ask = Ask::post(&self.url, &headers, body, ANSWER_BYTES_MAX);
        let mut answer = vec![];
        match timeout(self.timeout, client.send(&ask, &mut answer)).await {
            Err(_) => Err(client.timed_out(&Method::POST, &self.url)),
            Ok(Err(error)) => Err(error.to_string()),
            Ok(Ok(answer)) if answer.status.is_success() => Ok(()),
            Ok(Ok(answer)) => Err(format!("bad response status {}", answer.status_line)),
        }
    }
}
