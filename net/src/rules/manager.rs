//! Which groups there are: from rule files to the list of every shard. Runs on the control thread.
//!
//! Source: Prometheus `rules/manager.go` (`Update`, `LoadGroups`).

use std::sync::Arc;

use async_channel::Sender;
use engine::model::Labels;
use engine::promql::ParseOptions;
use engine::rules::schedule::place;
use engine::rules::{Globals, GroupSpec};
use shards::route::shard_of;

use crate::config::rules::{RuleGroups, RuleOptions};
use crate::config::{Config, expand_rule_files};
use crate::{log_error, log_warn};

use super::cell::GroupCell;

/// What a configuration says to all groups.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub globals: Globals,
    /// `rule_query_offset`, of groups that have none of their own.
    pub query_offset_ms: i64,
    /// Step of a subquery that names none.
    pub subquery_step_ms: i64,
}

/// The groups of one shard, each time all of them.
#[derive(Clone, Debug)]
pub struct RuleList {
    pub cells: Vec<Arc<GroupCell>>,
    pub settings: Arc<Settings>,
}

/// A configuration's rules, read and checked.
pub struct RulePlan {
    groups: Vec<GroupSpec>,
    settings: Settings,
}

impl RulePlan {
    /// Reads all rule files there are.
    ///
    /// Errors: Prometheus's text; what is wrong with which file goes to the log.
    pub fn new(config: &Config, promql: ParseOptions, url: &Arc<str>) -> Result<RulePlan, String> {
        let global = &config.global;
        let names = global.metric_name_validation_scheme.names();
        let options = RuleOptions { names, promql, ..RuleOptions::default() };
        let interval_ms = global.evaluation_interval.ms();
        let (mut groups, mut is_good) = (vec![], true);
        for path in expand_rule_files(config)? {
            match RuleGroups::from_file(&path, &options) {
                Ok(file) => {
                    for warning in &file.warnings {
                        log_warn!(warning, "file" = path.display());
                    }
                    groups.extend(file.specs(&path.to_string_lossy(), interval_ms));
                }
                Err(faults) => {
                    is_good = false;
                    for fault in faults {
                        log_error!("loading groups failed", "err" = fault);
                    }
                }
            }
        }
        if !is_good {
            return Err("error loading rules, previous rule set restored".to_owned());
        }
        // Of a file that several patterns match the last reading counts.
        let mut unique: Vec<GroupSpec> = vec![];
        for group in groups {
            unique.retain(|known| (&known.file, &known.name) != (&group.file, &group.name));
            unique.push(group);
        }
        unique.sort_by(|a, b| (&a.file, &a.name).cmp(&(&b.file, &b.name)));
        let globals = Globals {
            external_labels: Labels::from_pairs(global.external_labels.iter()),
            external_url: url.clone(),
        };
        let settings = Settings {
            globals,
            query_offset_ms: global.rule_query_offset.ms(),
            subquery_step_ms: interval_ms,
        };
        Ok(RulePlan { groups: unique, settings })
    }
}

pub struct Manager {
    /// By shard.
    lists: Vec<Sender<RuleList>>,
    cells: Arc<Vec<Arc<GroupCell>>>,
}

impl Manager {
    pub fn new(lists: Vec<Sender<RuleList>>) -> Manager {
        Manager { lists, cells: Arc::default() }
    }

    /// Gives every shard its groups; returns all of them, by file and name. A group that did not
    /// change stays the same object, and so does its loop.
    pub fn apply(&mut self, plan: RulePlan) -> Arc<Vec<Arc<GroupCell>>> {
        let cell = |spec: GroupSpec| {
            let is_it =
                |cell: &&Arc<GroupCell>| cell.spec.file == spec.file && cell.spec.name == spec.name;
            match self.cells.iter().find(is_it) {
                Some(known) if *known.spec == spec => known.clone(),
                Some(changed) => Arc::new(GroupCell::new(spec, changed.stats.clone())),
                None => Arc::new(GroupCell::new(spec, Arc::default())),
            }
        };
        self.cells = Arc::new(plan.groups.into_iter().map(cell).collect());
        let settings = Arc::new(plan.settings);
        let mut lists: Vec<Vec<Arc<GroupCell>>> = vec![vec![]; self.lists.len()];
        for cell in self.cells.iter() {
            // A group stays on its shard while the process lives: its state is there.
            let hash = place(&cell.spec.file, &cell.spec.name);
            lists[shard_of(hash, self.lists.len()).index()].push(cell.clone());
        }
        for (sender, cells) in self.lists.iter().zip(lists) {
            // A shard that is gone evaluates nothing.
            let _ = sender.try_send(RuleList { cells, settings: settings.clone() });
        }
        self.cells.clone()
    }
}
