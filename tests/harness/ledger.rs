//! What a client was promised, and whether the server kept it.
//!
//! Writers send rounds: round `r` of a writer is one request with one sample of each of its
//! series, at `base + r * step`. The value is a function of writer, series and round, so the
//! ledger need only remember which rounds were acknowledged. After a crash each acknowledged
//! round must be there entirely, a round that was sent and not acknowledged may be there in any
//! part, and nothing else may exist: acknowledged <= visible <= attempted, and no value changed.
//!
//! A late writer sends every other round of a stretch behind the rest of it, out of order.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::http;
use crate::process::{Hearth, unix_ms};
use crate::remote_write::{self, Series};

/// Series in one request.
pub const SERIES_COUNT: u64 = 40;

/// Distance of two rounds in the samples' own time.
const STEP_MS: i64 = 10;

/// Rounds that one query reads back: whole stretches.
const ROUNDS_PER_QUERY: u64 = 1000;

/// Rounds of a stretch of a late writer: twice what upkeep makes a block of.
const STRETCH_ROUNDS: u64 = 200;

const _: () = assert!(ROUNDS_PER_QUERY.is_multiple_of(STRETCH_ROUNDS));
/// Pause of a writer that was refused.
const REFUSED_PAUSE: Duration = Duration::from_millis(20);

/// Rounds of each writer that a server acknowledges before it may be killed: however slow its disk
/// is, a kill loses something if it can.
const ROUNDS_BEFORE_KILL: u64 = 3;

/// How long those of one writer may take: a disk that takes a second for each sync is still waited for.
const LOAD_TIMEOUT: Duration = Duration::from_secs(60);

/// One writer's record.
#[derive(Clone, Debug)]
pub struct Ledger {
    writer: usize,
    is_late: bool,
    base_ms: i64,
    /// Whether each attempted round was acknowledged.
    acknowledged: Vec<bool>,
    /// Of those that were, for whoever watches from another thread.
    acknowledged_count: Arc<AtomicU64>,
}

/// What reading back found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    pub acknowledged: u64,
    pub visible: u64,
    /// Acknowledged samples that are not there.
    pub lost: u64,
    /// Samples with another value than was sent.
    pub changed: u64,
    /// Samples that nobody sent.
    pub invented: u64,
}

impl Findings {
    pub fn add(&mut self, other: Findings) {
        self.acknowledged += other.acknowledged;
        self.visible += other.visible;
        self.lost += other.lost;
        self.changed += other.changed;
        self.invented += other.invented;
    }

    pub fn is_clean(&self) -> bool {
        self.lost == 0 && self.changed == 0 && self.invented == 0
    }
}

/// The value of a sample: any finite double that JSON carries bit for bit.
fn value(writer: usize, series: u64, round: u64) -> f64 {
    let mixed = (writer as u64 + 1)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(series.wrapping_mul(0xbf58_476d_1ce4_e5b9))
        .wrapping_add(round.wrapping_mul(0x94d0_49bb_1331_11eb));
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    match series % 4 {
        0 => round as f64,                 // linear
        1 => (mixed >> 44) as f64 / 100.0, // decimal
        2 => f64::from_bits(mixed >> 2),   // any bits, finite
        _ => 42.0,                         // constant
    }
}

impl Ledger {
    pub fn new(writer: usize, is_late: bool) -> Ledger {
        Ledger {
            writer,
            is_late,
            base_ms: unix_ms() - 90 * 60 * 1000,
            acknowledged: Vec::new(),
            acknowledged_count: Arc::default(),
        }
    }

    /// Rounds that were acknowledged, while they are.
    pub fn acknowledged_rounds(&self) -> Arc<AtomicU64> {
        self.acknowledged_count.clone()
    }

    /// Rounds that were sent.
    pub fn attempted_rounds(&self) -> u64 {
        self.acknowledged.len() as u64
    }

    /// When the samples of a round are, in steps: as they are sent or, of a late writer, the even
    /// steps of each stretch first.
    fn step(&self, round: u64) -> u64 {
        let (start, within) = (round - round % STRETCH_ROUNDS, round % STRETCH_ROUNDS);
        let half = STRETCH_ROUNDS / 2;
        match self.is_late {
            false => round,
            true if within < half => start + 2 * within,
            true => start + 2 * (within - half) + 1,
        }
    }

    fn timestamp_ms(&self, round: u64) -> i64 {
        self.base_ms + self.step(round) as i64 * STEP_MS
    }

    /// Sends rounds, one after the other, until `stop` is set or the server is gone.
    ///
    /// # Panics
    ///
    /// On an answer that is neither a success nor "overloaded": the load is well-formed.
    pub fn write_until(&mut self, address: SocketAddr, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            let round = self.acknowledged.len() as u64;
            let series: Vec<Series<'_>> = (0..SERIES_COUNT)
                .map(|series| Series {
                    labels: vec![
                        ("__name__", "ledger".to_owned()),
                        ("series", series.to_string()),
                        ("writer", self.writer.to_string()),
                    ],
                    samples: vec![(self.timestamp_ms(round), value(self.writer, series, round))],
                })
                .collect();
            self.acknowledged.push(false);
            match remote_write::send(address, &series) {
                Ok(answer) if answer.status / 100 == 2 => {
                    self.acknowledged[round as usize] = true;
                    self.acknowledged_count.fetch_add(1, Ordering::Relaxed);
                }
                // As a client would: not at once.
                Ok(answer) if answer.status == 503 => std::thread::sleep(REFUSED_PAUSE),
                Ok(answer) => panic!("status {}: {}", answer.status, answer.text()),
                Err(_) => return,
            }
        }
    }

    /// Reads back the rounds from `first_round` on and compares.
    pub fn verify(&self, hearth: &Hearth, first_round: u64) -> Findings {
        let mut findings = Findings::default();
        let mut round = first_round - first_round % STRETCH_ROUNDS;
        while round < self.acknowledged.len() as u64 {
            let count = ROUNDS_PER_QUERY.min(self.acknowledged.len() as u64 - round);
            self.verify_rounds(hearth, round, count, &mut findings);
            round += count;
        }
        findings
    }

    fn verify_rounds(&self, hearth: &Hearth, first: u64, count: u64, findings: &mut Findings) {
        // The steps of a stretch that is not full lie all over it.
        let step_count = count.next_multiple_of(STRETCH_ROUNDS) as i64;
        let last_ms = self.base_ms + (first as i64 + step_count - 1) * STEP_MS;
        let query = format!("ledger{{writer=\"{}\"}}[{}ms]", self.writer, step_count * STEP_MS);
        let target = format!(
            "/api/v1/query?query={}&time={}.{:03}",
            http::encode(&query),
            last_ms / 1000,
            last_ms % 1000
        );
        let answer = hearth.get(&target).json();
        assert_eq!(answer["status"], "success", "{answer}");
        let mut seen: BTreeMap<(u64, u64), f64> = BTreeMap::new();
        for series in answer["data"]["result"].as_array().into_iter().flatten() {
            let label = series["metric"]["series"].as_str().unwrap_or_default();
            let id: u64 = label.parse().expect("a series of the ledger");
            for pair in series["values"].as_array().into_iter().flatten() {
                let timestamp_ms = (pair[0].as_f64().unwrap_or_default() * 1e3).round() as i64;
                let step = (timestamp_ms - self.base_ms) / STEP_MS;
                seen.insert((step as u64, id), sample_value(&pair[1]));
            }
        }
        for round in first..first + count {
            let acknowledged = self.acknowledged[round as usize];
            for series in 0..SERIES_COUNT {
                findings.acknowledged += u64::from(acknowledged);
                match seen.remove(&(self.step(round), series)) {
                    Some(found) => {
                        findings.visible += 1;
                        let sent = value(self.writer, series, round);
                        findings.changed += u64::from(found.to_bits() != sent.to_bits());
                    }
                    None => findings.lost += u64::from(acknowledged),
                }
            }
        }
        findings.invented += seen.len() as u64;
    }
}

fn sample_value(value: &Value) -> f64 {
    value.as_str().and_then(|text| text.parse().ok()).expect("a sample's value is a number")
}

/// What a kill loop is asked to do.
#[derive(Clone, Copy, Debug)]
pub struct KillLoop {
    pub kills: u32,
    pub writers: usize,
    pub shard_count: usize,
    pub seed: u64,
    /// The server flushes, cuts blocks and merges them all the time, so that kills hit that, too.
    /// For one writer: blocks are short, and another one would fall behind what is taken.
    pub upkeep: bool,
    /// Half of the samples come out of order.
    pub late: bool,
    /// Others ask for all that is there, all the time.
    pub queries: bool,
}

/// What keeps a server at it: a second of samples is a hundred rounds.
const UPKEEP: [&str; 3] = [
    "--storage.flush-interval=40ms",
    "--storage.tsdb.min-block-duration=1s",
    "--storage.tsdb.max-block-duration=9s",
];

impl KillLoop {
    /// Samples that are acknowledged, at least.
    pub fn acknowledged_min(&self) -> u64 {
        u64::from(self.kills) * self.writers as u64 * ROUNDS_BEFORE_KILL * SERIES_COUNT
    }
}

/// Waits until more than `count` rounds are acknowledged; how long that took.
pub fn wait_beyond(acknowledged: &AtomicU64, count: u64, within: Duration) -> Option<Duration> {
    let begun = Instant::now();
    while acknowledged.load(Ordering::Relaxed) <= count {
        if begun.elapsed() > within {
            return None;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Some(begun.elapsed())
}

/// Asks for everything until `stop` is set or the server is gone; every answer is one.
fn ask_until(address: SocketAddr, stop: &AtomicBool) {
    let queries = ["sum by (series) (rate(ledger[5m]))", "count_over_time(ledger[90m])"];
    for query in queries.iter().cycle() {
        let target = format!("/api/v1/query?query={}", http::encode(query));
        match http::get(address, &target) {
            Ok(answer) => assert_eq!(answer.status, 200, "{query}: {}", answer.text()),
            Err(_) => return,
        }
        if stop.load(Ordering::Relaxed) {
            return;
        }
    }
}

/// What it found over all kills.
#[derive(Clone, Copy, Debug, Default)]
pub struct KillReport {
    pub kills: u32,
    pub findings: Findings,
}

/// Starts hearth, writes, kills it with SIGKILL at random moments, restarts it and reads back:
/// after each kill what was written since the kill before, at the end everything.
///
/// Cost: about a second a kill.
pub fn kill_loop(parameters: KillLoop, mut progress: impl FnMut(u32, Findings)) -> KillReport {
    let mut options = crate::Options::receiver(parameters.shard_count);
    if parameters.upkeep {
        assert!(parameters.writers == 1);
        options.args.extend(UPKEEP.map(str::to_owned));
    }
    if parameters.late {
        let window = "storage: {tsdb: {out_of_order_time_window: 30m}}\n";
        options.config = options.config.map(|config| config + window);
    }
    let mut hearth = Hearth::start(options);
    let ledger = |writer| Ledger::new(writer, parameters.late);
    let mut ledgers: Vec<Ledger> = (0..parameters.writers).map(ledger).collect();
    let mut random = parameters.seed | 1;
    for kill in 0..parameters.kills {
        let first_rounds: Vec<u64> =
            ledgers.iter().map(|ledger| ledger.acknowledged.len() as u64).collect();
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let counts: Vec<_> = ledgers
            .iter()
            .map(|ledger| {
                let count = ledger.acknowledged_rounds();
                let before = count.load(Ordering::Relaxed);
                (count, before)
            })
            .collect();
        let stop = AtomicBool::new(false);
        let address = hearth.address;
        let is_loaded = std::thread::scope(|scope| {
            for ledger in &mut ledgers {
                let stop = &stop;
                scope.spawn(move || ledger.write_until(address, stop));
            }
            if parameters.queries {
                let stop = &stop;
                scope.spawn(move || ask_until(address, stop));
            }
            // The moment of the kill is the experiment: anywhere in a request, a commit, a sync.
            let is_loaded = counts.iter().all(|(count, before)| {
                wait_beyond(count, before + ROUNDS_BEFORE_KILL - 1, LOAD_TIMEOUT).is_some()
            });
            std::thread::sleep(Duration::from_micros(random % 300_000));
            hearth.kill();
            stop.store(true, Ordering::Relaxed);
            is_loaded
        });
        assert!(is_loaded, "kill {kill}: {LOAD_TIMEOUT:?} brought too few acknowledgements");
        hearth.restart();
        let mut findings = Findings::default();
        for (ledger, first) in ledgers.iter().zip(first_rounds) {
            findings.add(ledger.verify(&hearth, first));
        }
        progress(kill + 1, findings);
        assert!(findings.is_clean(), "seed {}: kill {kill}: {findings:?}", parameters.seed);
    }
    let mut findings = Findings::default();
    for ledger in &ledgers {
        findings.add(ledger.verify(&hearth, 0));
    }
    KillReport { kills: parameters.kills, findings }
}
