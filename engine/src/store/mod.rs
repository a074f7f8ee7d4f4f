//! One shard's data as one thing: append, select, recover.
