//! Recording and alerting rules: what a rule file says and what happens when it is evaluated.
//!
//! ```text
//! spec           groups and rules as files say them
//! sample         what rules read and write
//! recording      a result under another name
//! template       Go's template language
//! templates      labels and annotations of an alert
//! alerts         pending, firing, inactive: the state machine, and its restoration
//! dependencies   which rules may run at the same time
//! group          a group at work      host       what it needs from outside
//! schedule       when it is evaluated
//! ```
//!
//! Source: Prometheus `rules/`.

pub mod alerts;
pub mod dependencies;
pub mod group;
pub mod host;
pub mod outputs;
mod recording;
pub mod sample;
pub mod schedule;
pub mod template;
pub mod templates;

#[cfg(test)]
mod compliance_tests;
mod spec;
#[cfg(test)]
mod tests;

pub use alerts::{Alert, AlertState, Alerts, ForState};
pub use group::{Evaluation, Group, Health, RuleReport};
pub use host::{Host, Query, Refused};
pub use sample::{RuleSample, RuleValue};
pub use schedule::Schedule;
pub use spec::{AlertSpec, GroupSpec, RuleKind, RuleSpec};
pub use templates::Globals;
