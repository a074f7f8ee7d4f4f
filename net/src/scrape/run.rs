//! The loop that scrapes one target.
//!
//! ```text
//! offset ─> [ fetch ─> page ─> report ─> ingest ─> status ] ─> next tick ─> …
//!                                                              └ order: gone, hand over
//! ```
//!
//! One batch a scrape: samples of the page, staleness markers, the report. A failed scrape is one
//! without samples.
//!
//! Source: Prometheus `scrape/scrape.go` (`run`, `scrapeAndReport`, `endOfRunStaleness`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_channel::{Receiver, Sender};
use engine::model::Batch;
use foldhash::fast::FixedState;
use hashbrown::HashSet;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use shards::Shard;
use shards::runtime;

use crate::http::client::{Ask, Client, FetchError};
use crate::wire::negotiation::format_of;

use super::append::{PageCounts, PageError, PageReader, push_stale};
use super::cache::ScrapeCache;
use super::commit::{Refused, commit};
use super::report::{Report, ReportSeries};
use super::stats::ScrapeStats;
use super::target::{Health, Target};
use super::ticker::{Aligned, Ticker, offset_ms};

const TIMEOUT_HEADER: HeaderName = HeaderName::from_static("x-prometheus-scrape-timeout-seconds");

/// What ends a loop, beside the end of the server.
pub enum Order {
    /// The target is no more: mark its series as stale, unless it comes back soon.
    Gone,
    /// Another loop takes over, and what is known of the target's series with it.
    HandOver(Sender<ScrapeCache>),
}

pub struct Loop {
    shard: Shard,
    target: Arc<Target>,
    seed: u64,
    stats: Arc<ScrapeStats>,
    orders: Receiver<Order>,
    cache: ScrapeCache,
    reader: PageReader,
    report: ReportSeries,
    client: Client,
    headers: HeaderMap,
    /// Reused from scrape to scrape.
    body: Vec<u8>,
    batch: Batch,
    last_start: Option<Instant>,
}

/// What became of one fetch and its page.
struct Scraped {
    counts: PageCounts,
    result: Result<(), String>,
    body_bytes: i64,
}

impl Loop {
    pub fn new(
        shard: Shard,
        target: Arc<Target>,
        seed: u64,
        stats: Arc<ScrapeStats>,
        cache: Option<ScrapeCache>,
        orders: Receiver<Order>,
    ) -> Loop {
        let job = &target.job;
        let mut headers = job.headers.clone();
        let timeout = (target.timeout_ms as f64 / 1000.0).to_string();
        if let Ok(timeout) = HeaderValue::from_str(&timeout) {
            headers.insert(TIMEOUT_HEADER, timeout);
        }
        Loop {
            reader: PageReader::new(job.rules.clone(), target.histograms(), target.public.clone()),
            report: ReportSeries::new(target.public.as_ref(), job.config.adds_extra_metrics()),
            headers,
            shard,
            seed,
            stats,
            orders,
            cache: cache.unwrap_or_default(),
            client: Client::new(job.client.clone()),
            body: vec![],
            batch: Batch::default(),
            last_start: None,
            target,
        }
    }

    pub async fn run(mut self) {
        let interval_ms = self.target.interval_ms;
        let offset = offset_ms(self.target.hash, self.seed, interval_ms, runtime::unix_ms());
        if let Some(order) = self.wait(offset).await {
            return self.end(order, None).await;
        }
        let started = runtime::now();
        let elapsed_ms = || runtime::now().duration_since(started).as_millis() as i64;
        let mut ticker = Ticker::start(interval_ms, 0);
        let mut aligned = Aligned::start(interval_ms, runtime::unix_ms());
        loop {
            let time_ms = aligned.timestamp_ms(runtime::unix_ms());
            self.scrape(time_ms).await;
            if let Some(order) = self.wait(ticker.next_in_ms(elapsed_ms())).await {
                return self.end(order, Some(ticker.next_in_ms(elapsed_ms()))).await;
            }
        }
    }

    /// Waits for `ms`, or for the order that ends the loop; `Some(None)` when the server stops.
    async fn wait(&self, ms: i64) -> Option<Option<Order>> {
        let pause = Duration::from_millis(ms.max(0) as u64);
        if pause.is_zero() {
            return self.orders.try_recv().ok().map(Some);
        }
        let order = runtime::timeout(pause, self.orders.recv()).await.ok()?;
        Some(order.ok())
    }

    async fn scrape(&mut self, time_ms: i64) {
        let start = runtime::now();
        if let Some(last) = self.last_start.replace(start) {
            let distance = start.duration_since(last);
            self.stats.interval_count.add(1);
            self.stats.interval_sum_us.add(distance.as_micros() as u64);
        }
        self.stats.scrapes.add(1);
        self.batch.clear();
        let mut scraped = self.fetch_page(time_ms).await;
        let is_good = scraped.result.is_ok() && !self.body.is_empty();
        if !is_good {
            self.batch.clear();
            push_stale(&self.cache, time_ms, &mut self.batch);
        }
        let page_count = self.batch.sample_count();
        let duration = runtime::now().duration_since(start);
        let mut uncommitted = page_count;
        if is_good && scraped.counts.new_with_timestamp > 0 {
            // The head may refuse new series with old timestamps, and then they do not count.
            let refused = self.commit(page_count).await;
            scraped.counts.series_added = scraped.counts.series_added.saturating_sub(refused);
            self.batch.clear();
            uncommitted = 0;
        }
        self.push_report(&scraped, duration, time_ms);
        self.commit(uncommitted).await;
        if self.cache.end_iteration(is_good) {
            self.stats.cache_flushes_forced.add(1);
        }
        self.note(scraped, time_ms, duration);
    }

    /// Fetches and reads into the batch.
    async fn fetch_page(&mut self, time_ms: i64) -> Scraped {
        let mut scraped = Scraped { counts: PageCounts::default(), result: Ok(()), body_bytes: 0 };
        let content_type = match self.fetch().await {
            Ok(content_type) => content_type,
            Err((why, body_bytes)) => {
                let job = &self.target.job;
                if let Some(log) = &job.failure_log {
                    log.record(job.name(), &self.target.url.to_string(), &why).await;
                }
                self.body.clear();
                scraped.body_bytes = body_bytes;
                scraped.result = Err(why);
                return scraped;
            }
        };
        scraped.body_bytes = self.body.len() as i64;
        if self.body.is_empty() {
            return scraped;
        }
        let format = match format_of(&content_type, self.target.job.fallback) {
            Ok((format, _)) => format,
            Err(why) => {
                scraped.result = Err(why);
                return scraped;
            }
        };
        let now_ms = runtime::unix_ms();
        let (counts, read) =
            self.reader.read(&mut self.cache, &self.body, format, time_ms, now_ms, &mut self.batch);
        scraped.counts = counts;
        self.stats.duplicates.add(counts.duplicates);
        self.stats.out_of_bounds.add(counts.out_of_bounds);
        if let Err(error) = read {
            match error {
                PageError::SampleLimit => self.stats.sample_limit_exceeded.add(1),
                PageError::BucketLimit => self.stats.bucket_limit_exceeded.add(1),
                PageError::LabelLimit(_) => self.stats.label_limit_exceeded.add(1),
                PageError::Parse(_) => {}
            }
            scraped.result = Err(error.to_string());
        }
        scraped
    }

    /// The body's content type; or why there is none, and the body's size as it is reported.
    async fn fetch(&mut self) -> Result<String, (String, i64)> {
        let job = &self.target.job;
        if let Some(why) = job.forced_error() {
            return Err((why, 0));
        }
        let ask = Ask {
            unix_socket: &self.target.unix_socket,
            ..Ask::get(&self.target.url, &self.headers, job.body_bytes_max)
        };
        let timeout = Duration::from_millis(self.target.timeout_ms as u64);
        let fetched = runtime::timeout(timeout, self.client.get(&ask, &mut self.body)).await;
        match fetched {
            Err(_) => Err((self.client.timed_out(&Method::GET, &self.target.url), 0)),
            Ok(Ok(content_type)) => Ok(content_type),
            Ok(Err(FetchError::BodyTooLarge)) => {
                self.stats.body_limit_exceeded.add(1);
                Err((FetchError::BodyTooLarge.to_string(), -1))
            }
            Ok(Err(error)) => Err((error.to_string(), 0)),
        }
    }

    fn push_report(&mut self, scraped: &Scraped, duration: Duration, time_ms: i64) {
        let report = Report {
            up: scraped.result.is_ok(),
            duration_seconds: duration.as_secs_f64(),
            samples_scraped: scraped.counts.scraped,
            samples_post_relabeling: scraped.counts.added,
            series_added: scraped.counts.series_added,
            timeout_seconds: self.target.timeout_ms as f64 / 1000.0,
            sample_limit: self.target.job.config.sample_limit,
            body_bytes: scraped.body_bytes,
        };
        self.report.push(&report, time_ms, &mut self.batch);
    }

    /// Hands the batch to the shards; of its first `page_count` samples refusals are counted.
    /// Returns how many series of this page turned out not to be added.
    async fn commit(&mut self, page_count: usize) -> u64 {
        let refused = match commit(&self.shard, &self.batch, page_count).await {
            Ok(refused) => refused,
            Err(_) => {
                self.stats.failed_commits.add(1);
                return 0;
            }
        };
        let Refused { out_of_order, duplicates, out_of_bounds, hashes } = refused;
        self.stats.samples_appended.add(self.batch.sample_count() as u64 - hashes.len() as u64);
        self.stats.out_of_order.add(out_of_order);
        self.stats.duplicates.add(duplicates);
        self.stats.out_of_bounds.add(out_of_bounds);
        if hashes.is_empty() {
            return 0;
        }
        let hashes: HashSet<u64, FixedState> = hashes.into_iter().collect();
        self.cache.forget_new(&hashes) as u64
    }

    fn note(&mut self, scraped: Scraped, start_ms: i64, duration: Duration) {
        let metadata = self.cache.metadata.changes();
        let mut status = self.target.status();
        status.health = if scraped.result.is_ok() { Health::Up } else { Health::Down };
        status.last_error = scraped.result.err().unwrap_or_default();
        status.last_scrape_ms = Some(start_ms);
        status.last_duration_seconds = duration.as_secs_f64();
        if let Some(metadata) = metadata {
            status.metadata = metadata;
        }
    }

    /// Ends the loop: hands over, or marks everything as stale when the target stays away for two
    /// more ticks and a little. Nothing of that when the server stops: it will go on where it was.
    async fn end(mut self, order: Option<Order>, next_tick_ms: Option<i64>) {
        match order {
            None => {}
            Some(Order::HandOver(give)) => {
                // The set waits for it; if it is gone, so is the server.
                let _ = give.send(self.cache).await;
            }
            Some(Order::Gone) => {
                let Some(next_tick_ms) = next_tick_ms else { return };
                let sleep = |ms: i64| runtime::sleep(Duration::from_millis(ms as u64));
                sleep(next_tick_ms).await;
                let stale_ms = runtime::unix_ms();
                sleep(self.target.interval_ms).await;
                sleep(self.target.interval_ms / 10).await;
                self.batch.clear();
                push_stale(&self.cache, stale_ms, &mut self.batch);
                self.report.push_stale(stale_ms, &mut self.batch);
                // A target that came back has newer samples, and the markers are refused.
                let _ = commit(&self.shard, &self.batch, 0).await;
            }
        }
    }
}
