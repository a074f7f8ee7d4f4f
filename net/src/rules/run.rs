//! The loop of one group, on the shard that has it.
//!
//! ```text
//! wait for the slot ─► the turn ─► evaluate ─► show ─► …       after the second evaluation of a start: restore
//!         └─ order: hand over, disband
//! ```
//!
//! Source: Prometheus `rules/group.go` (`run`, `Eval`, `RestoreForState`).

use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_channel::{Receiver, Sender};
use engine::model::{LabelsBuilder, MatchOp, Matcher};
use engine::promql::{ParseOptions, parse};
use engine::rules::alerts::{ALERTS_FOR_STATE, series_labels};
use engine::rules::schedule::Due;
use engine::rules::{AlertState, Evaluation, ForState, Group, RuleReport, RuleSpec, Schedule};
use shards::fair::Semaphore;
use shards::query::Expression;
use shards::{Shard, runtime};

use crate::{log_debug, log_error, log_warn};

use crate::api::context::Context;

use super::Environment;
use super::cell::{GroupCell, GroupView, RuleView};
use super::host::{ShardHost, samples};
use super::manager::Settings;

/// What ends a loop, beside the end of the server.
pub enum Order {
    /// Another loop takes over, with what is known of the group.
    HandOver(Sender<Group>),
    /// The group is no more: mark its series as stale, unless others go on with them.
    Disband,
}

/// Evaluations before the state of a life before this one is looked for: there may be too few
/// samples at the first, and rules may depend on each other.
const EVALUATIONS_BEFORE_RESTORE: usize = 2;

/// Groups of a shard whose slots have come are evaluated one after the other, each at its full
/// speed, instead of all of them at the speed of their number. One that takes longer than this
/// lets the next one begin beside it: a slow group delays no other by more.
const TURN_MAX: Duration = Duration::from_millis(100);

pub struct GroupLoop {
    pub shard: Shard,
    pub cell: Arc<GroupCell>,
    pub group: Group,
    pub environment: Arc<Environment>,
    pub context: Arc<Context>,
    /// Of the configuration in force.
    pub settings: Rc<RefCell<Arc<Settings>>>,
    pub orders: Receiver<Order>,
    /// One permit: whose evaluation may begin.
    pub turn: Rc<Semaphore>,
    /// The server has just started.
    pub restores: bool,
}

impl GroupLoop {
    pub async fn run(mut self) {
        let spec = self.cell.spec.clone();
        let now_ms = runtime::unix_ms();
        let mut schedule = Schedule::start(&spec.file, &spec.name, spec.interval_ms, now_ms);
        let mut evaluations = 0;
        loop {
            let wait = schedule.wait_ms(runtime::unix_ms());
            let pause = Duration::from_millis(wait as u64);
            match runtime::timeout(pause, self.orders.recv()).await {
                Ok(Ok(order)) => return self.end(order).await,
                Ok(Err(_)) => return,
                Err(_) => {}
            }
            self.evaluate_in_turn(&mut schedule).await;
            evaluations += 1;
            if self.restores && evaluations == EVALUATIONS_BEFORE_RESTORE {
                self.restore().await;
            }
        }
    }

    /// Somebody wants the group to stop where it is.
    fn is_ordered(&self) -> bool {
        !self.orders.is_empty() || self.orders.is_closed()
    }

    fn query_offset_ms(&self, settings: &Settings) -> i64 {
        self.cell.spec.query_offset_ms.unwrap_or(settings.query_offset_ms)
    }

    async fn evaluate_in_turn(&self, schedule: &mut Schedule) {
        let turn = self.turn.acquire().await;
        let mut evaluation = pin!(self.iterate(schedule.take(runtime::unix_ms())));
        if runtime::timeout(TURN_MAX, evaluation.as_mut()).await.is_err() {
            drop(turn);
            evaluation.await;
        }
    }

    async fn iterate(&self, due: Due) {
        let stats = &self.cell.stats;
        stats.iterations.add(1 + due.missed as u64);
        stats.iterations_missed.add(due.missed as u64);
        let (begun, began_ms) = (runtime::now(), runtime::unix_ms());
        let settings = self.settings.borrow().clone();
        let at = Evaluation {
            time_ms: due.time_ms,
            query_offset_ms: self.query_offset_ms(&settings),
            resend_delay_ms: self.environment.resend_delay_ms,
            globals: &settings.globals,
        };
        let host = self.host(&settings);
        let sample_count = self.evaluate(at, &host).await;
        if sample_count.is_some() {
            self.group.mark_orphans(at, &host).await;
        }
        let seconds = runtime::now().duration_since(begun).as_secs_f64();
        self.environment.metrics.iterations.add(runtime::now(), seconds);
        self.show(|view| {
            view.sample_count = sample_count.unwrap_or(view.sample_count);
            view.seconds = seconds;
            view.last_evaluation_ms = Some(began_ms);
        });
    }

    /// Evaluates the rules. Returns the samples that they gave, or none when an order came between.
    async fn evaluate(&self, at: Evaluation<'_>, host: &ShardHost<'_>) -> Option<usize> {
        let concurrent = self.environment.concurrent;
        let runs = if concurrent { self.group.batches() } else { self.group.runs() };
        let mut sample_count = 0;
        for run in runs {
            if self.is_ordered() {
                return None;
            }
            sample_count += self.evaluate_run(run, at, host).await;
        }
        Some(sample_count)
    }

    /// Evaluates rules at once. What the clock says beyond their own seconds they share evenly.
    async fn evaluate_run(
        &self,
        rules: &[usize],
        at: Evaluation<'_>,
        host: &ShardHost<'_>,
    ) -> usize {
        let (begun, began_ms) = (runtime::now(), runtime::unix_ms());
        let reports = self.group.evaluate_rules(rules, at, host).await;
        let now = runtime::now();
        let own: f64 = reports.iter().map(|report| report.seconds).sum();
        let shared = (now.duration_since(begun).as_secs_f64() - own).max(0.0) / rules.len() as f64;
        for (&rule, report) in rules.iter().zip(&reports) {
            let seconds = report.seconds + shared;
            self.group.note_evaluation(rule, began_ms, seconds);
            self.environment.metrics.evaluations.add(now, seconds);
            self.cell.stats.evaluations.add(1);
            self.count_expansions(report);
            self.cell.stats.failures.add(u64::from(report.error.is_some()));
            self.log(rule, report);
        }
        reports.iter().map(|report| report.sample_count).sum()
    }

    fn count_expansions(&self, report: &RuleReport) {
        let (metrics, done) = (&self.environment.metrics, &report.expansions);
        if done.count > 0 {
            metrics.expansions.fetch_add(done.count as u64, Ordering::Relaxed);
            metrics.expansion_failures.fetch_add(done.errors.len() as u64, Ordering::Relaxed);
        }
    }

    fn log(&self, index: usize, report: &RuleReport) {
        let spec = &self.cell.spec;
        let (file, group, name) = (&spec.file, &spec.name, &spec.rules[index].name);
        // What a stop cuts off is no failure.
        if let Some(error) = report.error.as_ref().filter(|_| !self.shard.is_stopping()) {
            log_warn!(
                "Evaluating rule failed",
                "file" = file,
                "group" = group,
                "name" = name,
                "index" = index,
                "err" = error
            );
        }
        for error in &report.expansions.errors {
            log_warn!(
                "Expanding alert template failed",
                "file" = file,
                "group" = group,
                "name" = name,
                "index" = index,
                "err" = error
            );
        }
        for why in &report.refused {
            log_warn!(
                "Rule evaluation result discarded",
                "file" = file,
                "group" = group,
                "name" = name,
                "index" = index,
                "err" = why
            );
        }
        for (message, count) in [
            (
                "Error on ingesting out-of-order result from rule evaluation",
                report.out_of_order_count,
            ),
            ("Error on ingesting too old result from rule evaluation", report.too_old_count),
            (
                "Error on ingesting results from rule evaluation with different value but same timestamp",
                report.duplicate_count,
            ),
        ] {
            if count > 0 {
                log_warn!(
                    message,
                    "file" = file,
                    "group" = group,
                    "name" = name,
                    "index" = index,
                    "num_dropped" = count
                );
            }
        }
    }

    /// Shows others the group as it is now.
    fn show(&self, edit: impl FnOnce(&mut GroupView)) {
        let mut view = GroupView {
            rules: (0..self.cell.spec.rules.len())
                .map(|rule| RuleView::of(&self.group, rule))
                .collect(),
            ..(*self.cell.view()).clone()
        };
        view.rule_seconds = view.rules.iter().map(|rule| rule.seconds).sum();
        edit(&mut view);
        self.cell.set_view(view);
    }

    fn host<'a>(&'a self, settings: &'a Settings) -> ShardHost<'a> {
        ShardHost {
            shard: &self.shard,
            environment: &self.environment,
            context: &self.context,
            settings,
            spec: &self.cell.spec,
            queries: &self.cell.queries,
        }
    }

    /// Looks for the times since when alerts were active before the server started.
    async fn restore(&mut self) {
        self.restores = false;
        let begun = runtime::now();
        let now_ms = runtime::unix_ms();
        let grace_ms = self.environment.grace_ms;
        for (rule, _) in self.group.restorable(grace_ms) {
            if self.group.state(rule).state() < AlertState::Pending {
                continue;
            }
            match self.found(&self.cell.spec.rules[rule], now_ms).await {
                Ok(found) => self.group.restore(rule, &found, grace_ms, now_ms),
                Err(error) => {
                    let name = &self.cell.spec.rules[rule].name;
                    log_error!(
                        "Failed to restore 'for' state",
                        "alertname" = name,
                        "stage" = "Select",
                        "err" = error
                    );
                }
            }
        }
        self.group.set_restored();
        let seconds = runtime::now().duration_since(begun).as_secs_f64();
        let group = &self.cell.spec.name;
        log_debug!(
            "'for' state restoration completed",
            "group" = group,
            "duration_seconds" = seconds
        );
        self.show(|view| view.restore_seconds = Some(seconds));
    }

    /// The last sample of each series that a rule's alerts wrote since the longest outage that is
    /// tolerated. One that has ended is not there.
    async fn found(&self, rule: &RuleSpec, now_ms: i64) -> Result<Vec<ForState>, String> {
        let selector = for_state_selector(rule);
        let settings = self.settings.borrow().clone();
        let host = self.host(&settings);
        let ask = async |text: &str| {
            let ast = parse(text, &ParseOptions::default()).map_err(|errors| errors.to_string())?;
            let lookback_ms = Some(self.environment.outage_tolerance_ms);
            samples(&host.ask(Expression::Ast(ast), now_ms, lookback_ms).await?)
        };
        let times = ask(&format!("timestamp({selector})")).await?;
        let since = ask(&selector).await?;
        let mut found = vec![];
        for sample in since {
            let mut labels = LabelsBuilder::from_labels(sample.labels.as_ref());
            labels.remove(b"__name__");
            let labels = labels.finish();
            let time = times.iter().find(|time| time.labels == labels);
            if let Some(time) = time {
                found.push(ForState {
                    labels,
                    timestamp_ms: (time.value.as_float() * 1000.0).round() as i64,
                    active_at_seconds: sample.value.as_float(),
                });
            }
        }
        Ok(found)
    }

    async fn end(self, order: Order) {
        match order {
            Order::HandOver(give) => {
                // Whoever takes over may be gone with the server.
                let _ = give.try_send(self.group);
            }
            Order::Disband => self.disband().await,
        }
    }

    /// Marks all series as stale, two intervals later: what has taken them over by then has written
    /// newer samples, and the markers are refused.
    async fn disband(self) {
        let time_ms = runtime::unix_ms();
        let pause = Duration::from_millis(2 * self.cell.spec.interval_ms as u64);
        if runtime::timeout(pause, self.shard.stopping()).await.is_ok() {
            return;
        }
        self.group.disband();
        let settings = self.settings.borrow().clone();
        let at = Evaluation {
            time_ms,
            query_offset_ms: self.query_offset_ms(&settings),
            resend_delay_ms: self.environment.resend_delay_ms,
            globals: &settings.globals,
        };
        self.group.mark_orphans(at, &self.host(&settings)).await;
    }
}

/// The series of all alerts of a rule: the labels that are templates differ from alert to alert.
fn for_state_selector(rule: &RuleSpec) -> String {
    let labels = series_labels(rule, None).finish();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let matchers: Vec<String> = labels
        .iter()
        .map(|(name, value)| (text(name), text(value)))
        .filter(|(_, value)| !value.contains("{{"))
        .map(|(name, value)| Matcher::new(&name, MatchOp::Equal, &value).to_string())
        .collect();
    format!("{ALERTS_FOR_STATE}{{{}}}", matchers.join(","))
}
