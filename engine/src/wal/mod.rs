//! The write-ahead log as bytes: frame, segment, replay. Writing them is the shard's.
