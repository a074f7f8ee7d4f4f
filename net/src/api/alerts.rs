//! Rules, alerts and Alertmanagers.
//!
//! Source: Prometheus `web/api/v1/api.go` (`rules`, `alerts`, `alertmanagers`,
//! `parseListRulesPaginationRequest`).

use engine::index::CompiledMatcher;
use engine::model::Labels;
use engine::model::float::push_e;
use engine::rules::{Alert, RuleKind, RuleSpec};
use ring::digest::{SHA256, digest};

use crate::http::{Form, Response};
use crate::rules::cell::{GroupCell, GroupView, RuleView};
use crate::wire::quote::quoted;

use super::answer::{ApiError, Notes, success};
use super::context::Context;
use super::json::Json;
use super::series::selectors;
use super::time::rfc3339;

pub fn alerts(context: &Context) -> Response {
    let loaded = context.loaded();
    success(&Notes::default(), |json| {
        json.begin_object();
        json.field("alerts").begin_array();
        for cell in loaded.rules.iter() {
            for rule in &cell.view().rules {
                rule.alerts.iter().for_each(|alert| write_alert(json, alert));
            }
        }
        json.end_array();
        json.end_object();
    })
}

pub fn alertmanagers(context: &Context) -> Response {
    let known = context.notify.alertmanagers();
    success(&Notes::default(), |json| {
        json.begin_object();
        for (name, urls) in
            [("activeAlertmanagers", &known.active), ("droppedAlertmanagers", &known.dropped)]
        {
            json.field(name).begin_array();
            for url in urls {
                json.begin_object();
                json.field("url").text(url);
                json.end_object();
            }
            json.end_array();
        }
        json.end_object();
    })
}

/// Which rules are asked for.
struct Filter<'a> {
    names: Vec<&'a str>,
    groups: Vec<&'a str>,
    files: Vec<&'a str>,
    matchers: Vec<Vec<CompiledMatcher>>,
    alerting: bool,
    recording: bool,
    excludes_alerts: bool,
}

impl Filter<'_> {
    fn from_form(form: &Form) -> Result<Filter<'_>, ApiError> {
        if let Some(error) = form.error() {
            return Err(ApiError::bad_data(format!("error parsing form values: {error}")));
        }
        let matchers = selectors(form)?;
        let rule_type = form.get("type").to_lowercase();
        if !matches!(rule_type.as_str(), "" | "alert" | "record") {
            let why = format!("not supported value {}", quoted(rule_type.as_bytes()));
            return Err(ApiError::parameter("type", &why));
        }
        Ok(Filter {
            names: form.all("rule_name[]").collect(),
            groups: form.all("rule_group[]").collect(),
            files: form.all("file[]").collect(),
            matchers,
            alerting: rule_type != "record",
            recording: rule_type != "alert",
            excludes_alerts: excludes_alerts(&form.get("exclude_alerts").to_lowercase())?,
        })
    }

    fn takes_group(&self, cell: &GroupCell) -> bool {
        let takes = |wanted: &[&str], is: &str| wanted.is_empty() || wanted.contains(&is);
        takes(&self.groups, &cell.spec.name) && takes(&self.files, &cell.spec.file)
    }

    fn takes(&self, rule: &RuleSpec) -> bool {
        let is_wanted = match rule.kind {
            RuleKind::Alerting(_) => self.alerting,
            RuleKind::Recording => self.recording,
        };
        let labels = || Labels::from_pairs(rule.labels.iter().map(|(name, value)| (name, value)));
        let matches = |labels: &Labels| {
            let mut sets = self.matchers.iter();
            sets.any(|set| set.iter().all(|matcher| matcher.matches(labels.as_ref())))
        };
        is_wanted
            && (self.names.is_empty() || self.names.contains(&rule.name.as_str()))
            && (self.matchers.is_empty() || matches(&labels()))
    }
}

pub fn rules(context: &Context, form: &Form) -> Result<Response, ApiError> {
    let filter = Filter::from_form(form)?;
    let (limit, token) = page(form)?;
    let loaded = context.loaded();
    let mut cells = &loaded.rules[..];
    if !token.is_empty() {
        let first = cells.iter().position(|cell| next_token(cell) == token).ok_or_else(|| {
            let why = format!("invalid group_next_token '{token}'. were rule groups changed?");
            ApiError::parameter("group_next_token", &why)
        })?;
        cells = &cells[first..];
    }
    let shown = |cell: &&GroupCell| {
        filter.takes_group(cell) && cell.spec.rules.iter().any(|rule| filter.takes(rule))
    };
    let mut cells = cells.iter().map(|cell| &**cell).filter(shown);
    Ok(success(&Notes::default(), |json| {
        json.begin_object();
        json.field("groups").begin_array();
        cells.by_ref().take(limit).for_each(|cell| write_group(json, cell, &filter));
        json.end_array();
        if let Some(next) = cells.next() {
            json.field("groupNextToken").text(&next_token(next));
        }
        json.end_object();
    }))
}

fn write_group(json: &mut Json<'_>, cell: &GroupCell, filter: &Filter<'_>) {
    let view: &GroupView = &cell.view();
    json.begin_object();
    json.field("name").text(&cell.spec.name);
    json.field("file").text(&cell.spec.file);
    json.field("rules").begin_array();
    for (index, rule) in cell.spec.rules.iter().enumerate() {
        if filter.takes(rule) {
            write_rule(json, rule, &cell.queries[index], &view.rule(index), filter);
        }
    }
    json.end_array();
    json.field("interval").float(seconds(cell.spec.interval_ms));
    json.field("limit").int(cell.spec.limit);
    json.field("evaluationTime").float(view.seconds);
    json.field("lastEvaluation").text(&rfc3339(view.last_evaluation_ms));
    json.end_object();
}

fn write_rule(
    json: &mut Json<'_>,
    rule: &RuleSpec,
    query: &str,
    view: &RuleView,
    filter: &Filter<'_>,
) {
    json.begin_object();
    let rule_type = match &rule.kind {
        RuleKind::Alerting(alert) => {
            json.field("state").text(view.state.as_str());
            json.field("name").text(&rule.name);
            json.field("query").text(query);
            json.field("duration").float(seconds(alert.for_ms));
            json.field("keepFiringFor").float(seconds(alert.keep_firing_for_ms));
            json.field("labels").pairs(&rule.labels);
            json.field("annotations").pairs(&alert.annotations);
            json.field("alerts");
            if filter.excludes_alerts {
                json.raw(b"null");
            } else {
                json.begin_array();
                view.alerts.iter().for_each(|alert| write_alert(json, alert));
                json.end_array();
            }
            "alerting"
        }
        RuleKind::Recording => {
            json.field("name").text(&rule.name);
            json.field("query").text(query);
            json.field("labels").pairs(&rule.labels);
            "recording"
        }
    };
    json.field("health").text(view.health.as_str());
    if !view.last_error.is_empty() {
        json.field("lastError").text(&view.last_error);
    }
    json.field("evaluationTime").float(view.seconds);
    json.field("lastEvaluation").text(&rfc3339(view.last_evaluation_ms));
    json.field("type").text(rule_type);
    json.end_object();
}

fn write_alert(json: &mut Json<'_>, alert: &Alert) {
    json.begin_object();
    json.field("labels").labels(alert.labels.as_ref());
    json.field("annotations").pairs(&alert.annotations);
    json.field("state").text(alert.state.as_str());
    json.field("activeAt").text(&rfc3339(Some(alert.active_at_ms)));
    if let Some(since_ms) = alert.keep_firing_since_ms {
        json.field("keepFiringSince").text(&rfc3339(Some(since_ms)));
    }
    let mut value = vec![];
    push_e(&mut value, alert.value);
    json.field("value").text(&String::from_utf8_lossy(&value));
    json.end_object();
}

fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

/// Go's `strconv.ParseBool` of text in lower case; empty is false.
fn excludes_alerts(text: &str) -> Result<bool, ApiError> {
    match text {
        "" | "0" | "f" | "false" => Ok(false),
        "1" | "t" | "true" => Ok(true),
        _ => {
            let text = quoted(text.as_bytes());
            let why = format!("strconv.ParseBool: parsing {text}: invalid syntax");
            let why = format!("error converting exclude_alerts: {why}");
            Err(ApiError::parameter("exclude_alerts", &why))
        }
    }
}

/// How many groups an answer may have, and the token of the first; empty for the very first.
fn page(form: &Form) -> Result<(usize, &str), ApiError> {
    let (limit, token) = (form.get("group_limit"), form.get("group_next_token"));
    let fail = |name: &str, why: &str| Err(ApiError::parameter(name, why));
    if limit.is_empty() {
        if !token.is_empty() {
            let why = "group_limit needs to be present in order to paginate over the groups";
            return fail("group_next_token", why);
        }
        return Ok((usize::MAX, ""));
    }
    let digits = limit.strip_prefix(['+', '-']).unwrap_or(limit);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    match limit.parse::<i32>() {
        Ok(limit) if limit > 0 => Ok((limit as usize, token)),
        Ok(_) => fail("group_limit", "group_limit needs to be greater than 0"),
        Err(_) => {
            let what = if is_number { "value out of range" } else { "invalid syntax" };
            let why = format!("strconv.ParseInt: parsing {}: {what}", quoted(limit.as_bytes()));
            fail("group_limit", &format!("group_limit needs to be a valid number: {why}"))
        }
    }
}

fn next_token(cell: &GroupCell) -> String {
    let sum = digest(&SHA256, cell.key().as_bytes());
    sum.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
