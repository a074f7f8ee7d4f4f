//! A large result as JSON, written by all shards.
//!
//! ```text
//! rows  [ piece 0 | piece 1 | piece 2 | … ]     each to the shard that has the fewest under way
//!           │ own       │ another                text comes back, and leaves in order
//! ```
//!
//! The rows are lent to all, read-only. A piece is begun when the client has taken what is well
//! before it, so a large answer never lies in memory as text; and it is written where one lay that
//! has left, because fresh memory has to be cleared first.

use std::cell::Cell;
use std::ops::Range;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use shards::Shard;
use shards::route::ShardId;
use shards::turns::Work;

use super::value::ValueText;

/// Points of a piece: some 200 KB of text, some 200 us of work.
const PIECE_POINTS: usize = 8192;

/// What a row's labels cost beside its points, in points.
const LABELS_POINTS: usize = 4;

/// Pieces under way for each shard.
const PIECES_AHEAD: usize = 3;

/// Rows of a piece of `text`, where it is worth the messages that it is written by all shards.
pub fn piece_rows(text: &ValueText, shard_count: usize) -> Option<usize> {
    let points = text.row_points()? + LABELS_POINTS;
    let worthwhile = shard_count > 1 && points * text.row_count() >= 2 * PIECE_POINTS;
    worthwhile.then_some((PIECE_POINTS / points).max(1))
}

/// The text in pieces, of `piece_rows` rows each.
pub fn pieces(
    text: ValueText,
    piece_rows: usize,
    shard: &Shard,
) -> impl Stream<Item = Bytes> + use<> {
    let (shard, text, spare) = (shard.clone(), Arc::new(text), Arc::<Spare>::default());
    let (mut first, mut last) = (vec![], vec![]);
    text.open(&mut first);
    text.close(&mut last);
    let under_way: Rc<[Cell<usize>]> = (0..shard.count()).map(|_| Cell::new(0)).collect();
    let ahead = PIECES_AHEAD * shard.count();
    let rows = stream::iter(ranges(text.row_count(), piece_rows)).map(move |rows| {
        let target = least_loaded(&under_way, shard.id());
        let (load, shard) = (under_way.clone(), shard.clone());
        let (text, spare) = (text.clone(), spare.clone());
        load[target.index()].update(|pieces| pieces + 1);
        async move {
            let theirs = (text.clone(), rows.clone(), spare.clone());
            let write_theirs = move || write(&theirs.0, theirs.1, theirs.2);
            let written = shard.compute(target, Work::Query, write_theirs);
            // A shard that stops writes nothing for others any more.
            let bytes = written.await.unwrap_or_else(|_| write(&text, rows, spare));
            load[target.index()].update(|pieces| pieces - 1);
            bytes
        }
    });
    let [first, last] = [first, last].map(|bytes| stream::iter([Bytes::from(bytes)]));
    first.chain(rows.buffered(ahead)).chain(last)
}

fn write(text: &ValueText, rows: Range<usize>, spare: Arc<Spare>) -> Bytes {
    let points = text.row_points().unwrap_or_default() + LABELS_POINTS;
    let mut bytes = spare.take();
    bytes.reserve(rows.len() * points * 32);
    text.push_rows(rows, &mut bytes);
    Bytes::from_owner(Piece { bytes, spare })
}

/// Room of pieces that have left.
#[derive(Default)]
struct Spare(Mutex<Vec<Vec<u8>>>);

impl Spare {
    fn lock(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        // A list of buffers, whole after every push and pop.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Vec<u8> {
        self.lock().pop().unwrap_or_default()
    }
}

/// A piece as whoever sends it has it; leaves its room to a later one.
struct Piece {
    bytes: Vec<u8>,
    spare: Arc<Spare>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        self.spare.lock().push(bytes);
    }
}

fn ranges(row_count: usize, piece_rows: usize) -> impl Iterator<Item = Range<usize>> {
    (0..row_count).step_by(piece_rows).map(move |row| row..row_count.min(row + piece_rows))
}

/// Who has the fewest pieces under way; among equals this shard last, because it also sends.
fn least_loaded(under_way: &[Cell<usize>], own: ShardId) -> ShardId {
    let shards = ShardId::all(under_way.len());
    shards
        .min_by_key(|shard| (under_way[shard.index()].get(), *shard == own))
        .expect("there is a shard")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_hold_every_row_once() {
        for (row_count, piece_rows) in [(0, 3), (1, 3), (3, 3), (10, 3), (9, 1)] {
            let rows: Vec<usize> = ranges(row_count, piece_rows).flatten().collect();
            assert_eq!(rows, (0..row_count).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_piece_that_has_left_makes_room_for_another() {
        let spare = Arc::<Spare>::default();
        let mut bytes = spare.take();
        bytes.extend_from_slice(b"abc");
        let room = bytes.as_ptr();
        drop(Bytes::from_owner(Piece { bytes, spare: spare.clone() }));
        let again = spare.take();
        assert!(again.is_empty() && again.as_ptr() == room);
    }

    #[test]
    fn the_own_shard_is_the_last_of_equals() {
        let load = |counts: &[usize]| counts.iter().map(|&count| Cell::new(count)).collect();
        let check = |counts: &[usize], own: u16, expected: u16| {
            let load: Vec<Cell<usize>> = load(counts);
            assert_eq!(least_loaded(&load, ShardId(own)), ShardId(expected));
        };
        check(&[0, 0], 0, 1);
        check(&[0, 0], 1, 0);
        check(&[0, 1], 0, 0);
        check(&[3, 2, 2], 2, 1);
    }
}
