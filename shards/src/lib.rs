//! One core, one shard.
