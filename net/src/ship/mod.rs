//! Finished blocks for whoever keeps them for longer: as blocks of Prometheus in an object store, laid
//! out as Thanos and Mimir read them.
//!
//! ```text
//! a range is finished on all shards
//!     ─► staged    <data>/ship/<ULID>/, a block of all series, durable
//!     ─► upload    <ULID>/chunks/000001 …, <ULID>/index, and <ULID>/meta.json last
//!     ─► record    <data>/ship/shipped.json says up to where
//! ```
//!
//! A block is there once its meta is: what was cut short is done again, and what is there already is
//! passed over. Its id is fixed when it is staged, so that no range is ever there twice.
//!
//! Ranges are those of the shortest blocks. One is finished when every shard has its block and no late
//! sample can come any more; what is deleted later is not deleted there. Blocks of Prometheus that were
//! in the data directory are in it, too, but for those that its Thanos had copied.

mod destination;
mod record;
mod run;
mod staged;
mod stats;
#[cfg(feature = "ship")]
mod store;
#[cfg(test)]
mod tests;

pub use destination::Destination;
pub use run::Shipping;
pub use stats::ShipStats;
