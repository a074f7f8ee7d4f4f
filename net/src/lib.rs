//! Everything that speaks to the outside world.

pub mod api;
pub mod config;
pub mod http;
pub mod relabel;
pub mod scrape;
pub mod wire;
