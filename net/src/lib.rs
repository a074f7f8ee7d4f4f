//! Everything that speaks to the outside world.

pub mod config;
pub mod http;
pub mod relabel;
pub mod wire;
