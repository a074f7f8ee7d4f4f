//! Messages between shards: requests with answers, owned bytes, nothing shared.
//!
//! ```text
//!             credits              inbox                        serve
//! request ──► of this pair ──► one per shard and lane ──► owner works ──► answer
//!                  ▲                                                        │
//!                  └──────────────── the credit comes back ◄────────────────┘
//! ```
//!
//! A [`Lane`] is one kind of conversation. Invariants: a request holds a credit of its pair of
//! shards until it is answered, wherever its asker went, so an inbox never holds more than
//! `shards × credits` and sending never waits for room. Requests of a pair are served in the order
//! they were sent. What serves a lane may ask on later lanes of this list only, so no circle of
//! shards can wait for each other: `control → query → ingest`; what serves ingest asks nobody.
//!
//! Not here: what is said ([`crate::message`]), batching (a request of ingest is a whole
//! sub-batch). A hop costs about 30 us, nearly all of it two wake-ups.

mod lane;
#[cfg(test)]
mod tests;

pub use lane::{Gone, Lane, Refused, Request};
