//! The functions of PromQL, by what they work on.

pub mod classic_histogram;
pub mod histogram;
pub mod info;
pub mod labels;
pub mod math;
pub mod native_histogram;
pub mod order;
pub mod quantile;
pub mod time;
