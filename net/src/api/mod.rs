//! The HTTP API, to the letter of Prometheus's.
pub mod answer;
pub mod json;
pub mod params;
