//! The HTTP API and what stands beside it, to the letter of Prometheus's.
//!
//! ```text
//! site     a request -> its endpoint -> an answer, on one shard
//! routes   paths and methods      context  what all shards' answers have in common
//! answer   envelope and errors    json, value, time  how things are written
//! pieces   large results, written by all shards
//! params   times, durations, limits, names in paths
//! admission who may write, how many at a time
//! query under_way series targets status tsdb admin alerts lifecycle write    the endpoints
//! ```
//!
//! What Prometheus has and hearth has not answers with an error that says so.
//!
//! Source: Prometheus `web/web.go`, `web/api/v1/api.go`.

mod admin;
mod admission;
mod alerts;
pub mod answer;
pub mod context;
mod exemplars;
pub mod json;
mod lifecycle;
pub mod params;
mod pieces;
pub mod query;
mod query_stats;
mod refusals;
mod routes;
mod series;
pub mod site;
mod stated;
mod status;
mod targets;
mod time;
mod tree;
mod tsdb;
mod under_way;
mod value;
mod write;
