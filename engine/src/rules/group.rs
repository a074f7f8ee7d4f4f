//! A group at work: its rules' states, from evaluation to evaluation.
//!
//! ```text
//! result ─► record | instances ─► alerts ─► samples, and markers for the series that went ─► store
//!                                   └─► notices
//! ```
//!
//! In their order by [`Group::evaluate`], or as the caller likes by [`Group::evaluate_rules`]: those
//! of one of [`Group::runs`], or of one of [`Group::batches`], are asked at once.
//!
//! Source: Prometheus `rules/group.go`.

use std::cell::{Ref, RefCell};
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};

use crate::head::Verdict;
use crate::model::{Batch, Labels};
use crate::promql::Ast;

use super::alerts::{Alert, AlertState, Alerts, ForState};
use super::host::{Host, Refused};
use super::outputs::{Outputs, RefusedSample, push_markers};
use super::recording::record;
use super::sample::RuleSample;
use super::templates::{Expansions, Globals, instances};
use super::{AlertSpec, GroupSpec, RuleKind, RuleSpec, dependencies};

/// When and for whom a group is evaluated.
#[derive(Clone, Copy, Debug)]
pub struct Evaluation<'a> {
    pub time_ms: i64,
    /// How much earlier the expressions look; the samples written are as old.
    pub query_offset_ms: i64,
    pub resend_delay_ms: i64,
    pub globals: &'a Globals,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    Unknown,
    Good,
    Bad,
}

impl Health {
    pub fn as_str(self) -> &'static str {
        match self {
            Health::Unknown => "unknown",
            Health::Good => "ok",
            Health::Bad => "err",
        }
    }
}

/// One rule between evaluations.
#[derive(Debug)]
pub struct RuleState {
    pub health: Health,
    /// Of the last evaluation; empty for none.
    pub last_error: String,
    /// Unix milliseconds and seconds that it took, as the caller noted them.
    pub last_evaluation: Option<(i64, f64)>,
    /// Of an alerting rule.
    pub alerts: Alerts,
    /// The state of a life before this one was looked for: from now on there are series.
    is_restored: bool,
    /// Series that the last evaluation wrote.
    written: HashSet<Labels, RandomState>,
}

impl RuleState {
    /// The most urgent state of the rule's alerts.
    pub fn state(&self) -> AlertState {
        match self.last_evaluation {
            None => AlertState::Unknown,
            Some(_) => self.alerts.state(),
        }
    }
}

/// What became of one evaluation of a rule.
#[derive(Debug, Default)]
pub struct RuleReport {
    /// What its expression took; see [`super::host::Answer`].
    pub seconds: f64,
    /// Samples that the rule gave.
    pub sample_count: usize,
    /// Why it gave none, or why none was stored.
    pub error: Option<String>,
    pub out_of_order_count: usize,
    pub too_old_count: usize,
    pub duplicate_count: usize,
    /// Why other samples were refused.
    pub refused: Vec<String>,
    /// Those that could not be expanded say so in their place.
    pub expansions: Expansions,
}

pub struct Group {
    spec: Arc<GroupSpec>,
    rules: Vec<RefCell<RuleState>>,
    runs: Vec<Vec<usize>>,
    batches: Vec<Vec<usize>>,
    /// Series of rules that are no more, to be marked stale.
    orphans: RefCell<Vec<Labels>>,
}

impl Group {
    /// A group that was not evaluated yet. Its alerts write no series before
    /// [`Group::set_restored`] or [`Group::restore`], unless `is_restored`.
    pub fn new(spec: Arc<GroupSpec>, is_restored: bool) -> Group {
        let state = |_: &RuleSpec| {
            RefCell::new(RuleState {
                health: Health::Unknown,
                last_error: String::new(),
                last_evaluation: None,
                alerts: Alerts::default(),
                is_restored,
                written: HashSet::default(),
            })
        };
        Group {
            rules: spec.rules.iter().map(state).collect(),
            runs: dependencies::runs(&spec.rules),
            batches: dependencies::batches(&spec.rules),
            orphans: RefCell::default(),
            spec,
        }
    }

    pub fn spec(&self) -> &Arc<GroupSpec> {
        &self.spec
    }

    pub fn state(&self, rule: usize) -> Ref<'_, RuleState> {
        self.rules[rule].borrow()
    }

    /// The rules in their order, cut wherever one must see what another one wrote.
    pub fn runs(&self) -> &[Vec<usize>] {
        &self.runs
    }

    /// Rules in the order in which they may run at the same time.
    pub fn batches(&self) -> &[Vec<usize>] {
        &self.batches
    }

    /// Takes over what the group that this one replaces knew. Rules are the same when name and
    /// labels are; of several such the first is the first. Series of rules that are no more are
    /// marked stale by the next evaluation.
    pub fn adopt(&mut self, earlier: &Group) {
        let key = |rule: &RuleSpec| format!("{}{:?}", rule.name, rule.labels);
        let mut known: HashMap<String, Vec<usize>, RandomState> = HashMap::default();
        for (index, rule) in earlier.spec.rules.iter().enumerate().rev() {
            known.entry(key(rule)).or_default().push(index);
        }
        for (rule, state) in self.spec.rules.iter().zip(&self.rules) {
            let Some(index) = known.get_mut(&key(rule)).and_then(Vec::pop) else { continue };
            let before = earlier.rules[index].borrow();
            let state = &mut *state.borrow_mut();
            state.written = before.written.clone();
            let are_alerts = [rule, &earlier.spec.rules[index]]
                .iter()
                .all(|rule| matches!(rule.kind, RuleKind::Alerting(_)));
            if are_alerts {
                state.alerts.adopt(&before.alerts);
            }
        }
        let mut orphans = earlier.orphans.borrow().clone();
        for index in known.into_values().flatten() {
            orphans.extend(earlier.rules[index].borrow().written.iter().cloned());
        }
        self.orphans.replace(orphans);
    }

    /// Evaluates all rules in their order and marks the series of rules that are no more.
    pub async fn evaluate(&self, at: Evaluation<'_>, host: &impl Host) -> Vec<RuleReport> {
        let mut reports = Vec::new();
        for run in &self.runs {
            reports.extend(self.evaluate_rules(run, at, host).await);
        }
        self.mark_orphans(at, host).await;
        reports
    }

    /// Evaluates rules that do not read what each other writes, in their order, and stores what
    /// they give: one question, one batch. Reports in the order of `rules`.
    pub async fn evaluate_rules(
        &self,
        rules: &[usize],
        at: Evaluation<'_>,
        host: &impl Host,
    ) -> Vec<RuleReport> {
        let time_ms = at.time_ms - at.query_offset_ms;
        let expressions: Vec<&Ast> =
            rules.iter().map(|&rule| &self.spec.rules[rule].expr).collect();
        let answers = host.query_all(&expressions, time_ms).await;
        let mut outputs = Outputs::default();
        let mut reports = Vec::with_capacity(rules.len());
        let mut given = Vec::with_capacity(rules.len());
        for (&rule, answer) in rules.iter().zip(answers) {
            let mut report = RuleReport { seconds: answer.seconds, ..RuleReport::default() };
            let samples = match self.result(rule, answer.result, at, host, &mut report).await {
                Ok(samples) => samples,
                Err(error) => {
                    self.fail(rule, &mut report, error);
                    outputs.push(&[], [].into_iter(), time_ms);
                    reports.push(report);
                    given.push(None);
                    continue;
                }
            };
            report.sample_count = samples.len();
            let writes = self.write(rule, &samples, time_ms, &mut outputs);
            reports.push(report);
            given.push(Some((samples, writes)));
        }
        let stored = match outputs.batch.is_empty() {
            true => Ok(Refused::default()),
            false => host.append(&outputs.batch).await,
        };
        let mut refused = stored.as_ref().map_or(vec![], |refused| outputs.refused(refused));
        for (position, (&rule, given)) in rules.iter().zip(given).enumerate() {
            let Some((samples, writes)) = given else { continue };
            match &stored {
                Err(error) if writes => self.fail(rule, &mut reports[position], error.clone()),
                _ => {
                    let own = refused.extract_if(.., |refused| refused.rule == position);
                    self.settle(rule, samples, own, &mut reports[position]);
                }
            }
        }
        reports
    }

    /// Adds a rule's samples, and a marker for each series that went. Returns whether there is any.
    fn write(
        &self,
        rule: usize,
        samples: &[RuleSample],
        time_ms: i64,
        outputs: &mut Outputs,
    ) -> bool {
        let now: HashSet<&Labels, RandomState> =
            samples.iter().map(|sample| &sample.labels).collect();
        let state = self.rules[rule].borrow();
        let gone = state.written.iter().filter(|labels| !now.contains(labels));
        outputs.push(samples, gone, time_ms)
    }

    /// Takes note of what became of a rule's samples.
    fn settle(
        &self,
        rule: usize,
        samples: Vec<RuleSample>,
        refused: impl Iterator<Item = RefusedSample>,
        report: &mut RuleReport,
    ) {
        let state = &mut *self.rules[rule].borrow_mut();
        (state.health, state.last_error) = (Health::Good, String::new());
        let mut stored: Vec<bool> = vec![true; samples.len()];
        for RefusedSample { sample, verdict, .. } in refused {
            stored[sample] = false;
            match verdict {
                Verdict::OutOfOrder => report.out_of_order_count += 1,
                Verdict::TooOld => report.too_old_count += 1,
                Verdict::Duplicate { .. } => report.duplicate_count += 1,
                ref other => report.refused.push(other.to_string()),
            }
            (state.health, state.last_error) = (Health::Bad, verdict.to_string());
        }
        let written = samples.into_iter().zip(stored).filter(|(_, stored)| *stored);
        state.written = written.map(|(sample, _)| sample.labels).collect();
    }

    fn fail(&self, rule: usize, report: &mut RuleReport, error: String) {
        let mut state = self.rules[rule].borrow_mut();
        state.health = Health::Bad;
        state.last_error.clone_from(&error);
        report.error = Some(error);
    }

    /// What the rule gives; alerts move on and are told of.
    async fn result(
        &self,
        index: usize,
        result: Result<Vec<RuleSample>, String>,
        at: Evaluation<'_>,
        host: &impl Host,
        report: &mut RuleReport,
    ) -> Result<Vec<RuleSample>, String> {
        let rule = &self.spec.rules[index];
        let result = result?;
        let RuleKind::Alerting(alert) = &rule.kind else {
            return record(rule, result, self.spec.limit);
        };
        let expansions = &mut report.expansions;
        let given =
            instances(rule, alert, result, at.time_ms, at.globals, host, expansions).await?;
        let state = &mut *self.rules[index].borrow_mut();
        state.alerts.advance(given, alert, at.time_ms, self.spec.limit)?;
        let samples = if state.is_restored { state.alerts.samples(rule) } else { vec![] };
        let due = state.alerts.take_due(at.time_ms, at.resend_delay_ms, self.spec.interval_ms);
        if !due.is_empty() {
            host.notify(rule, due);
        }
        Ok(samples)
    }

    /// Marks the series of rules that are no more.
    pub async fn mark_orphans(&self, at: Evaluation<'_>, host: &impl Host) {
        let mut batch = Batch::default();
        let orphans = self.orphans.take();
        push_markers(&mut batch, orphans.iter(), at.time_ms - at.query_offset_ms);
        // What could not be stored is tried again with the next evaluation.
        if !batch.is_empty() && host.append(&batch).await.is_err() {
            self.orphans.replace(orphans);
        }
    }

    /// Ends the group: all its series are to be marked by [`Group::mark_orphans`].
    pub fn disband(&self) {
        let mut orphans = self.orphans.borrow_mut();
        for rule in &self.rules {
            orphans.extend(rule.borrow_mut().written.drain());
        }
    }

    pub fn has_orphans(&self) -> bool {
        !self.orphans.borrow().is_empty()
    }

    /// Notes when a rule was evaluated and how many seconds it took.
    pub fn note_evaluation(&self, rule: usize, began_ms: i64, seconds: f64) {
        self.rules[rule].borrow_mut().last_evaluation = Some((began_ms, seconds));
    }

    /// The rules whose alerts a restart may restore. Alerts with a shorter `for` than `grace_ms`
    /// wait for it anew.
    pub fn restorable(&self, grace_ms: i64) -> Vec<(usize, &AlertSpec)> {
        let rules = self.spec.rules.iter().enumerate();
        rules
            .filter_map(|(index, rule)| match &rule.kind {
                RuleKind::Alerting(alert) if alert.for_ms >= grace_ms => Some((index, alert)),
                _ => None,
            })
            .collect()
    }

    /// Gives a rule's alerts the times that were found. See [`Alerts::restore`].
    pub fn restore(&self, rule: usize, found: &[ForState], grace_ms: i64, now_ms: i64) {
        if let RuleKind::Alerting(alert) = &self.spec.rules[rule].kind {
            let alerts = &mut self.rules[rule].borrow_mut().alerts;
            alerts.restore(found, alert.for_ms, grace_ms, now_ms);
        }
    }

    /// From now on alerts write their series.
    pub fn set_restored(&self) {
        self.rules.iter().for_each(|rule| rule.borrow_mut().is_restored = true);
    }

    /// The alerts of all rules that did not end.
    pub fn active_alerts(&self, rule: usize) -> Vec<Alert> {
        self.rules[rule].borrow().alerts.active().cloned().collect()
    }
}
