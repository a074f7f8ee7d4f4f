//! Logical plan: rewrites, split into shard part and gather part.
