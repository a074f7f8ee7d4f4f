//! Parts at a start: found, opened, and taken back into the store.

use std::sync::Arc;
use std::time::Duration;

use engine::block::part::Part;
use engine::disk::{Disk, DiskError};
use engine::model::SourceError;
use engine::store::{Adopt, Restore, Store};

use crate::cancel::CancelToken;
use crate::disk::finished_files;
use crate::maintain::part_number;
use crate::runtime::{now, park};

/// How long the store works in one go.
const PIECE: Duration = Duration::from_millis(2);

/// The parts of a directory, in order of number. One that cannot be read is kept aside, taken away,
/// and told in `losses`.
pub(super) async fn open_parts<D: Disk>(
    disk: &D,
    losses: &mut Vec<(String, String)>,
) -> Result<Vec<Arc<Part>>, DiskError> {
    let mut parts = vec![];
    for name in finished_files(disk).await? {
        if part_number(&name).is_none() {
            continue;
        }
        match Part::open(disk.map(&name).await?) {
            Ok(part) => parts.push(Arc::new(part)),
            Err(error) => {
                let kept = disk.quarantine(&name).await?;
                disk.remove(&name).await?;
                losses.push((name, format!("{error}; the part is kept as {kept}")));
            }
        }
    }
    parts.sort_by_key(|part| part.meta().number);
    Ok(parts)
}

/// Told to stop meanwhile.
pub(super) const STOPPED: &str = "stopped while parts were read";

/// Takes series and samples of the own parts back.
pub(super) async fn restore(
    store: &mut Store,
    parts: Vec<Arc<Part>>,
    stop: &CancelToken,
) -> Result<(), String> {
    let mut restore = Restore::new(parts).map_err(message)?;
    pieces(stop, |is_enough| store.restore_some(&mut restore, is_enough)).await
}

/// Takes the series that `keep` wants out of parts of a shard that is no more.
pub(super) async fn adopt(
    store: &mut Store,
    adopt: &mut Adopt,
    keep: impl Fn(u64) -> bool,
    stop: &CancelToken,
) -> Result<(), String> {
    pieces(stop, |is_enough| store.adopt_some(adopt, &keep, is_enough)).await
}

fn message(error: SourceError) -> String {
    error.message
}

/// Has `work` done piece by piece, and the shard park between.
async fn pieces(
    stop: &CancelToken,
    mut work: impl FnMut(&mut dyn FnMut() -> bool) -> Result<bool, SourceError>,
) -> Result<(), String> {
    loop {
        let begun = now();
        if work(&mut || now() - begun >= PIECE).map_err(message)? {
            return Ok(());
        }
        if stop.is_canceled() {
            return Err(STOPPED.to_owned());
        }
        park().await;
    }
}
