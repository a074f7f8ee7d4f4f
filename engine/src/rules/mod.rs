//! Recording and alerting rules: what a rule file says and what happens when it is evaluated.

mod spec;

pub use spec::{AlertSpec, GroupSpec, RuleKind, RuleSpec};
