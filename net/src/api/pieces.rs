//! A large result as JSON, written by all shards.
//!
//! ```text
//! rows  [ piece 0 | piece 1 | piece 2 | … ]     each to the shard that has the fewest under way
//!           │ own       │ another                text comes back, and leaves in order
//! ```
//!
//! The rows are lent to all, read-only. A piece is begun when the client has taken what is well
//! before it, so a large answer never lies in memory as text.

use std::cell::Cell;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

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
    let (shard, text) = (shard.clone(), Arc::new(text));
    let (mut first, mut last) = (vec![], vec![]);
    text.open(&mut first);
    text.close(&mut last);
    let under_way: Rc<[Cell<usize>]> = (0..shard.count()).map(|_| Cell::new(0)).collect();
    let ahead = PIECES_AHEAD * shard.count();
    let rows = stream::iter(ranges(text.row_count(), piece_rows)).map(move |rows| {
        let target = least_loaded(&under_way, shard.id());
        let (load, shard, text) = (under_way.clone(), shard.clone(), text.clone());
        load[target.index()].update(|pieces| pieces + 1);
        async move {
            let theirs = (text.clone(), rows.clone());
            let written = shard.compute(target, Work::Query, move || write(&theirs.0, theirs.1));
            // A shard that stops writes nothing for others any more.
            let bytes = written.await.unwrap_or_else(|_| write(&text, rows));
            load[target.index()].update(|pieces| pieces - 1);
            bytes
        }
    });
    let [first, last] = [first, last].map(|bytes| stream::iter([Bytes::from(bytes)]));
    first.chain(rows.buffered(ahead)).chain(last)
}

fn write(text: &ValueText, rows: Range<usize>) -> Bytes {
    let points = text.row_points().unwrap_or_default() + LABELS_POINTS;
    let mut out = Vec::with_capacity(rows.len() * points * 32);
    text.push_rows(rows, &mut out);
    out.into()
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
