//! Everything that speaks to the outside world.

pub mod http;
