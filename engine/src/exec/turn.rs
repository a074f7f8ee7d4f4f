//! Giving the shard back between two pieces of work.

use crate::model::source::Turns;

use super::error::ExecError;

/// Counts `work`, in units of about one sample, and pauses when the turn is over.
#[inline]
pub async fn spend(turns: &impl Turns, work: usize) -> Result<(), ExecError> {
    if turns.spend(work) {
        turns.pause().await?;
    }
    Ok(())
}
