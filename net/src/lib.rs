//! Everything that speaks to the outside world.

pub mod api;
pub mod cli;
pub mod config;
pub mod discovery;
pub mod http;
pub mod notify;
pub mod observe;
pub mod relabel;
pub mod rules;
pub mod run;
pub mod scrape;
pub mod ship;
pub mod tools;
pub mod ui;
pub mod wire;
