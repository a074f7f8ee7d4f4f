//! Blocks of Prometheus that tools make.

use std::path::Path;

use engine::block::BlockId;
use engine::block::prometheus::{NewBlock, StartTimestamps};
use ring::rand::{SecureRandom as _, SystemRandom};
use shards::guests::BlockDir;

pub(super) fn new_id() -> Result<BlockId, String> {
    let mut random = [0; 10];
    SystemRandom::new().fill(&mut random).map_err(|_| "no randomness".to_owned())?;
    Ok(BlockId::new(shards::runtime::unix_ms().max(0) as u64, random))
}

/// Begins a block for `start_ms..end_ms` below `parent`, which is made if need be.
pub(super) fn create_block(
    parent: &Path,
    start_ms: i64,
    end_ms: i64,
    starts: StartTimestamps,
) -> Result<BlockDir, String> {
    let new = NewBlock { id: new_id()?, start_ms, end_ms, level: 1, ..NewBlock::default() };
    BlockDir::create(parent, new, starts)
}
