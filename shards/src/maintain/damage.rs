//! Parts that do not hold what was written. They show when something reads them; then all parts are
//! read, and those that are damaged are put aside, so that what is whole goes on.

use std::collections::BTreeSet;
use std::sync::Arc;

use engine::block::BlockError;
use engine::block::part::Part;
use engine::disk::{Disk, DiskError, DiskErrorKind, Tree};

use super::MaintainError;
use super::flush::part_name;
use crate::observe::Event;
use crate::runtime::blocking;
use crate::storage::Storage;

/// Pages that are verified in one call.
const PAGES_PER_LOOK: usize = 4096;

/// Reads all of a part.
fn verify(part: &Part) -> Result<(), BlockError> {
    let mut page = Some(0);
    while let Some(at) = page {
        page = part.verify(at, PAGES_PER_LOOK)?;
    }
    Ok(())
}

/// Of `parts` those that are whole. The others are kept aside, taken away, and told in `losses`.
///
/// Cost: reads every byte.
pub(crate) async fn whole_parts<D: Disk>(
    disk: &D,
    parts: Vec<Arc<Part>>,
    losses: &mut Vec<(String, String)>,
) -> Result<Vec<Arc<Part>>, DiskError> {
    let mut whole = vec![];
    for part in parts {
        let looked_at = part.clone();
        let Err(error) = blocking(move || verify(&looked_at)).await else {
            whole.push(part);
            continue;
        };
        let name = part_name(part.meta().number);
        match disk.quarantine(&name).await {
            Ok(kept) => {
                disk.remove(&name).await?;
                losses.push((name, format!("{error}; the part is kept as {kept}")));
            }
            // Another shard, which starts beside this one, has done it.
            Err(error) if error.kind == DiskErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(whole)
}

impl<T: Tree> Storage<T> {
    /// Takes parts that are damaged out of use. Whether there were any.
    pub(super) async fn put_damaged_parts_aside(&self) -> Result<bool, MaintainError> {
        let inner = &self.0;
        let parts: Vec<Arc<Part>> = inner.store.borrow().parts().cloned().collect();
        let mut losses = vec![];
        let whole = whole_parts(&inner.parts_disk, parts, &mut losses).await?;
        let numbers: BTreeSet<u64> = whole.iter().map(|part| part.meta().number).collect();
        inner.store.borrow_mut().keep_parts(&numbers);
        let are_some = !losses.is_empty();
        self.own_stats().maintenance.damages.add(losses.len() as u64);
        for (name, message) in losses {
            inner.reporter.report(Event::LogDamaged { path: name.into(), message });
        }
        Ok(are_some)
    }
}
