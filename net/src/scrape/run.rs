//! The loop that scrapes one target.
//!
//! ```text
//! offset ─> [ fetch ─> page ─> report ─> ingest ─> status ] ─> next tick ─> …
//!                                                              └ order: gone, hand over
//! ```
//!
//! One delivery a scrape: samples of the page, staleness markers, the report. A failed scrape is one
//! without samples.
//!
//! Source: Prometheus `scrape/scrape.go` (`run`, `scrapeAndReport`, `endOfRunStaleness`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_channel::Sender;
use engine::head::ExemplarVerdict;
use engine::model::sample::is_stale_nan;
use foldhash::fast::FixedState;
use hashbrown::HashSet;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use shards::{IngestReport, runtime};
use std::cell::RefCell;
use tokio::sync::oneshot::Receiver;

use crate::http::client::{Ask, Client, FetchError, Room};
use crate::observe::durations::Durations;
use crate::wire::negotiation::format_of;

use super::append::{PageCounts, PageError, PageReader};
use super::cache::ScrapeCache;
use super::commit::Refused;
use super::report::{Report, ReportSeries};
use super::samples::{Line, ScrapeSamples};
use super::target::{Health, Target};
use super::ticker::{Aligned, Ticker, offset_ms};
use super::worker::Desk;

const TIMEOUT_HEADER: HeaderName = HeaderName::from_static("x-prometheus-scrape-timeout-seconds");

/// What ends a loop, beside the end of the server.
pub enum Order {
    /// The target is no more: mark its series as stale, unless it comes back soon.
    Gone,
    /// Another loop takes over, and what is known of the target's series with it.
    HandOver(Sender<ScrapeCache>),
}

/// What is kept between scrapes on each shelf: so many rooms, and so many bytes in all.
const SHELF_COUNT_MAX: usize = 16;
const SHELF_BYTES_MAX: usize = 4 << 20;

/// Rooms of past scrapes, shared by the loops of a thread.
#[derive(Default)]
pub struct Shelves {
    rooms: Shelf<Room>,
    samples: Shelf<ScrapeSamples>,
}

/// The room used last, which the core still has at hand, is used next.
#[derive(Default)]
struct Shelf<T>(RefCell<Vec<T>>);

impl<T: Default> Shelf<T> {
    fn take(&self) -> T {
        self.0.borrow_mut().pop().unwrap_or_default()
    }

    /// Keeps an empty room if there is a place for it.
    fn give(&self, room: T, bytes: fn(&T) -> usize) {
        let mut kept = self.0.borrow_mut();
        let kept_bytes: usize = kept.iter().map(bytes).sum();
        if kept.len() < SHELF_COUNT_MAX && kept_bytes + bytes(&room) <= SHELF_BYTES_MAX {
            kept.push(room);
        }
    }
}

impl Shelves {
    fn give_room(&self, mut room: Room) {
        room.clear();
        self.rooms.give(room, Room::bytes);
    }

    fn give_samples(&self, mut samples: ScrapeSamples) {
        samples.clear();
        self.samples.give(samples, ScrapeSamples::bytes);
    }
}

pub struct Loop {
    desk: Desk,
    target: Arc<Target>,
    order: Receiver<Order>,
    cache: ScrapeCache,
    reader: PageReader,
    report: ReportSeries,
    client: Client,
    headers: HeaderMap,
    /// Empty before a page is fetched and after it is read.
    room: Room,
    /// Empty between scrapes.
    samples: ScrapeSamples,
    last_start: Option<Instant>,
    /// Where distances of scrapes are noted.
    interval: Arc<Durations>,
}

/// What became of one fetch and its page.
struct Scraped {
    counts: PageCounts,
    result: Result<(), String>,
    body_bytes: i64,
}

impl Loop {
    pub fn new(
        desk: Desk,
        target: Arc<Target>,
        cache: Option<ScrapeCache>,
        order: Receiver<Order>,
    ) -> Loop {
        let job = &target.job;
        let mut headers = job.headers.clone();
        let timeout = (target.timeout_ms as f64 / 1000.0).to_string();
        if let Ok(timeout) = HeaderValue::from_str(&timeout) {
            headers.insert(TIMEOUT_HEADER, timeout);
        }
        let interval = desk.stats.interval(target.interval_ms);
        Loop {
            reader: PageReader::new(job.rules.clone(), target.histograms(), target.public.clone()),
            report: ReportSeries::new(target.public.as_ref(), job.config.adds_extra_metrics()),
            headers,
            desk,
            order,
            cache: cache.unwrap_or_default(),
            client: Client::new(job.client.clone()),
            room: Room::default(),
            samples: ScrapeSamples::default(),
            last_start: None,
            interval,
            target,
        }
    }

    pub async fn run(mut self) {
        let interval_ms = self.target.interval_ms;
        let clock = self.desk.clock;
        let start_ms = clock.now_ms();
        let start_ms =
            start_ms + offset_ms(self.target.hash, self.desk.seed, interval_ms, start_ms);
        if let Some(order) = self.until(clock.moment(start_ms)).await {
            return self.end(order, None).await;
        }
        let mut ticker = Ticker::start(interval_ms, start_ms);
        let mut aligned = Aligned::start(interval_ms, runtime::unix_ms());
        loop {
            let time_ms = aligned.timestamp_ms(runtime::unix_ms());
            self.scrape(time_ms).await;
            let tick_ms = ticker.next_ms(clock.now_ms());
            if let Some(order) = self.until(clock.moment(tick_ms)).await {
                let next_ms = ticker.next_ms(clock.now_ms());
                return self.end(order, Some(clock.moment(next_ms))).await;
            }
        }
    }

    /// Waits until `moment`, or for the order that ends the loop; `Some(None)` when the server stops.
    async fn until(&mut self, moment: Instant) -> Option<Option<Order>> {
        let order = tokio::time::timeout_at(moment.into(), &mut self.order).await.ok()?;
        Some(order.ok())
    }

    async fn scrape(&mut self, time_ms: i64) {
        let start = runtime::now();
        if let Some(last) = self.last_start.replace(start) {
            let distance = start.duration_since(last);
            self.interval.add(start, distance.as_secs_f64());
        }
        self.desk.stats.scrapes.add(1);
        self.room = self.desk.shelves.rooms.take();
        self.samples = self.desk.shelves.samples.take();
        let mut scraped = self.fetch_page(time_ms).await;
        let is_good = scraped.result.is_ok() && !self.room.body().is_empty();
        self.desk.shelves.give_room(std::mem::take(&mut self.room));
        let samples = &mut self.samples;
        if !is_good {
            samples.clear();
            self.reader.push_stale(&self.cache, time_ms, samples);
        }
        let page_count = samples.batch.sample_count();
        let duration = runtime::now().duration_since(start);
        let mut uncommitted = page_count;
        if is_good && scraped.counts.new_with_timestamp > 0 {
            // The head may refuse new series with old timestamps, and then they do not count.
            let refused = self.commit(page_count, time_ms).await;
            scraped.counts.series_added = scraped.counts.series_added.saturating_sub(refused);
            self.samples.clear();
            uncommitted = 0;
        }
        self.push_report(&scraped, duration, time_ms);
        self.commit(uncommitted, time_ms).await;
        if self.cache.end_iteration(is_good) {
            self.desk.stats.cache_flushes_forced.add(1);
        }
        let stats = &self.desk.stats;
        stats.finished.add(1);
        stats.duration_sum_us.add(runtime::now().duration_since(start).as_micros() as u64);
        self.desk.shelves.give_samples(std::mem::take(&mut self.samples));
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
                self.room.clear();
                scraped.body_bytes = body_bytes;
                scraped.result = Err(why);
                return scraped;
            }
        };
        scraped.body_bytes = self.room.body().len() as i64;
        if self.room.body().is_empty() {
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
        let (body, samples) = (self.room.body(), &mut self.samples);
        let reading = self.reader.read(&mut self.cache, body, format, time_ms, now_ms, samples);
        let (counts, read) = reading.await;
        scraped.counts = counts;
        self.desk.stats.duplicates.add(counts.duplicates);
        self.desk.stats.out_of_bounds.add(counts.out_of_bounds);
        if let Err(error) = read {
            match error {
                PageError::SampleLimit => self.desk.stats.sample_limit_exceeded.add(1),
                PageError::BucketLimit => self.desk.stats.bucket_limit_exceeded.add(1),
                PageError::LabelLimit(_) => self.desk.stats.label_limit_exceeded.add(1),
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
        let fetched = tokio::time::timeout(timeout, self.client.get(&ask, &mut self.room)).await;
        match fetched {
            Err(_) => Err((self.client.timed_out(&Method::GET, &self.target.url), 0)),
            Ok(Ok(content_type)) => Ok(content_type),
            Ok(Err(FetchError::BodyTooLarge)) => {
                self.desk.stats.body_limit_exceeded.add(1);
                Err((FetchError::BodyTooLarge.to_string(), -1))
            }
            Ok(Err(error)) => Err((error.to_string(), 0)),
        }
    }

    /// Hands staleness markers to the shards, whatever becomes of them.
    async fn commit_markers(&mut self) {
        let open = self.desk.outbox.deliver(&self.samples.known).await;
        for (line, time_ms, value) in open.unwrap_or_default() {
            self.push_by_labels(line, time_ms, value);
        }
        self.ingest_batch(0, 0, &mut Refused::default()).await;
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
        self.report.push(&report, time_ms, &mut self.samples);
    }

    /// Hands the samples to the shards. Of those of series by their labels refusals are counted
    /// among the first `page_count`, of the others always: staleness markers and reports are refused
    /// as a matter of course when a target comes back. Returns how many series of this page turned
    /// out not to be added.
    async fn commit(&mut self, page_count: usize, time_ms: i64) -> u64 {
        let sample_count = self.samples.sample_count() as u64;
        let mut refused = Refused::default();
        let mut is_good = self.ingest_batch(page_count, time_ms, &mut refused).await;
        match self.desk.outbox.deliver(&self.samples.known).await {
            Ok(open) if open.is_empty() => {}
            Ok(open) => {
                self.samples.clear_batch();
                for (line, time_ms, value) in open {
                    self.push_by_labels(line, time_ms, value);
                }
                is_good &= self.ingest_batch(usize::MAX, time_ms, &mut refused).await;
            }
            Err(_) => is_good = false,
        }
        let stats = &self.desk.stats;
        if !is_good {
            stats.failed_commits.add(1);
            return 0;
        }
        let Refused { out_of_order, duplicates, out_of_bounds, count, hashes } = refused;
        stats.samples_appended.add(sample_count.saturating_sub(count));
        stats.out_of_order.add(out_of_order);
        stats.duplicates.add(duplicates);
        stats.out_of_bounds.add(out_of_bounds);
        if hashes.is_empty() {
            return 0;
        }
        let hashes: HashSet<u64, FixedState> = hashes.into_iter().collect();
        self.cache.forget_new(&hashes) as u64
    }

    /// Puts a sample that did not go by id into the batch.
    fn push_by_labels(&mut self, line: Line, time_ms: i64, value: f64) {
        let samples = &mut self.samples;
        match line {
            Line::Entry(id) => {
                self.reader.push_by_labels(&self.cache, id, (time_ms, value), samples)
            }
            Line::Report(index) => {
                let series = samples.push_series(line, self.report.labels(index));
                samples.batch.push_sample(series, time_ms, value);
            }
            Line::Uncached => {}
        }
    }

    /// Hands the batch to the shards and learns who has its series. False if it was not taken.
    async fn ingest_batch(
        &mut self,
        page_count: usize,
        time_ms: i64,
        refused: &mut Refused,
    ) -> bool {
        let samples = &mut self.samples;
        if samples.batch.is_empty() {
            return true;
        }
        let batch = std::mem::take(&mut samples.batch);
        let (batch, report) = self.desk.outbox.ingest(batch).await;
        samples.batch = batch;
        let Ok(report) = report else { return false };
        let is_told = |sample: usize| {
            let series = samples.batch.sample_series()[sample] as usize;
            let is_marker = is_stale_nan(samples.batch.values()[sample]);
            sample < page_count && !is_marker && !matches!(samples.lines[series], Line::Report(_))
        };
        refused.add(&samples.batch, &report, time_ms, is_told);
        let late = report.refused_exemplars.iter();
        let late = late.filter(|(_, verdict)| *verdict == ExemplarVerdict::OutOfOrder);
        self.desk.stats.exemplars_out_of_order.add(late.count() as u64);
        self.learn(&report);
        true
    }

    fn learn(&mut self, report: &IngestReport) {
        for (line, &owner) in self.samples.lines.iter().zip(&report.owners) {
            match *line {
                Line::Entry(id) => self.cache.set_owner(id, owner),
                Line::Report(index) => self.report.set_owner(index, owner),
                Line::Uncached => {}
            }
        }
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
    async fn end(mut self, order: Option<Order>, next_tick: Option<Instant>) {
        match order {
            None => {}
            Some(Order::HandOver(give)) => {
                // The set waits for it; if it is gone, so is the server.
                let _ = give.send(self.cache).await;
            }
            Some(Order::Gone) => {
                let Some(next_tick) = next_tick else { return };
                let sleep = |ms: i64| tokio::time::sleep(Duration::from_millis(ms as u64));
                tokio::time::sleep_until(next_tick.into()).await;
                let stale_ms = runtime::unix_ms();
                sleep(self.target.interval_ms).await;
                sleep(self.target.interval_ms / 10).await;
                self.reader.push_stale(&self.cache, stale_ms, &mut self.samples);
                self.report.push_stale(stale_ms, &mut self.samples);
                // A target that came back has newer samples, and the markers are refused.
                self.commit_markers().await;
            }
        }
    }
}
