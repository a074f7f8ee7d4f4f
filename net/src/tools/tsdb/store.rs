//! Everything of a data directory: blocks, parts and the log, of hearth and of Prometheus.

use std::cell::RefCell;
use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use engine::block::SeriesSamples;
use engine::model::{
    FloatHistogram, HistogramSample, Labels, Matcher, Samples, Selection as _, Source as _,
    TimeRange,
};
use engine::promql::parse_selector;
use engine::store::{Store, StoreSelection};
use shards::boot::open_to_read;
use shards::runtime::{Placement, start};

use crate::tools::Console;
use crate::tools::arguments::Arguments;

/// Pieces of output on their way to the console, and their size.
const PIECE_COUNT_MAX: usize = 16;
const PIECE_BYTES: usize = 64 << 10;

/// Where a piece goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Out,
    Err,
}

/// What is written while a store is read, which happens on a thread of its own.
pub(super) struct Output {
    sender: SyncSender<(End, Vec<u8>)>,
    pending: Vec<u8>,
}

impl Output {
    /// A line about what is going on.
    pub fn tell(&mut self, line: &str) {
        // Nobody reads any more: the next write says so.
        let _ = self.sender.send((End::Err, format!("{line}\n").into_bytes()));
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let piece = std::mem::take(&mut self.pending);
        self.sender.send((End::Out, piece)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// Has `work` read the directory at `path`; its output goes to the console meanwhile.
///
/// # Errors
///
/// The directory cannot be read, or what `work` says. A reader that goes away ends the work, and is
/// no error.
pub(super) fn with_store<T: Send + 'static>(
    path: &Path,
    console: &mut Console<'_>,
    work: impl FnOnce(&RefCell<Store>, &mut Output) -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let (sender, pieces) = sync_channel(PIECE_COUNT_MAX);
    let path = path.to_owned();
    let main = move || async move {
        let mut output = Output { sender, pending: Vec::new() };
        let (storage, replayed) = open_to_read(&path).await?;
        for (file, why) in &replayed.losses {
            output.tell(&format!("WARNING: {file}: {why}"));
        }
        let done = work(storage.store(), &mut output)?;
        // As above.
        let _ = output.flush();
        Ok(done)
    };
    let thread = start("tsdb".to_owned(), Placement::Unpinned, main);
    let thread = thread.map_err(|error| error.to_string())?;
    forward(&pieces, console);
    drop(pieces);
    thread.join().map_err(|error| error.to_string())?
}

fn forward(pieces: &Receiver<(End, Vec<u8>)>, console: &mut Console<'_>) {
    while let Ok((end, piece)) = pieces.recv() {
        let written = match end {
            End::Out => console.out.write_all(&piece),
            End::Err => console.err.write_all(&piece),
        };
        if written.is_err() {
            return;
        }
    }
}

/// What of a directory is wanted.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// A series that one of them likes.
    pub selectors: Vec<Vec<Matcher>>,
    pub range: TimeRange,
}

impl Wanted {
    pub fn of(arguments: &Arguments) -> Result<Wanted, String> {
        let mut selectors = Vec::new();
        for text in arguments.values("match") {
            selectors.push(parse_selector(text).map_err(|errors| errors.to_string())?);
        }
        if selectors.is_empty() {
            selectors.push(Vec::new());
        }
        let min_ms = arguments.int("min-time").unwrap_or(i64::MIN);
        let max_ms = arguments.int("max-time").unwrap_or(i64::MAX);
        Ok(Wanted { selectors, range: TimeRange { min_ms, max_ms } })
    }
}

/// The series that are wanted, ascending by their labels.
pub(super) struct Series {
    selections: Vec<StoreSelection>,
    /// With the selection, and the place in it.
    found: Vec<(Labels, usize, usize)>,
}

impl Series {
    pub fn select(store: &RefCell<Store>, wanted: &Wanted) -> Result<Series, String> {
        let mut found = Vec::new();
        let mut selections = Vec::new();
        for selector in &wanted.selectors {
            let selection = store.select(selector, wanted.range).map_err(|error| error.message)?;
            for index in 0..selection.len() {
                store
                    .with_labels(&selection, index, &mut |labels| {
                        found.push((labels.to_owned(), selections.len(), index));
                    })
                    .map_err(|error| error.message)?;
            }
            selections.push(selection);
        }
        found.sort_by(|left, right| left.0.cmp(&right.0));
        found.dedup_by(|left, right| left.0 == right.0);
        Ok(Series { selections, found })
    }

    pub fn len(&self) -> usize {
        self.found.len()
    }

    pub fn labels(&self, index: usize) -> &Labels {
        &self.found[index].0
    }

    /// Reads the samples of a series into `samples`, cleared before.
    pub fn read(
        &self,
        store: &RefCell<Store>,
        index: usize,
        range: TimeRange,
        samples: &mut Samples,
    ) -> Result<(), String> {
        let (_, selection, place) = self.found[index];
        samples.clear();
        let selection = &self.selections[selection];
        store.samples(selection, place, range, samples).map_err(|error| error.message)
    }
}

/// Timestamps of the first and the last sample of a store; none if it is empty.
pub(super) fn span(store: &Store) -> Option<TimeRange> {
    let blocks = store.blocks().iter().map(|open| {
        let meta = open.block.meta();
        (meta.min_ms, meta.max_ms)
    });
    let parts = store.parts().map(|part| (part.meta().min_ms, part.meta().max_ms));
    let guests = store.guests().iter().map(|guest| (guest.min_ms, guest.max_ms));
    let all = blocks.chain(guests).chain(parts).chain(store.head().time_span_ms());
    all.filter(|(min_ms, max_ms)| min_ms <= max_ms)
        .reduce(|left, right| (left.0.min(right.0), left.1.max(right.1)))
        .map(|(min_ms, max_ms)| TimeRange { min_ms, max_ms })
}

/// Samples as a block of Prometheus has them. A store does not tell whether counts of a histogram were
/// whole numbers by their kind: those that are, are written so.
pub(super) fn to_series_samples(samples: &mut Samples) -> SeriesSamples {
    let sample = |histogram: FloatHistogram| {
        let is_integer = is_whole(&histogram);
        HistogramSample { histogram, is_integer }
    };
    SeriesSamples {
        timestamps_ms: std::mem::take(&mut samples.timestamps_ms),
        values: std::mem::take(&mut samples.values),
        starts_ms: std::mem::take(&mut samples.starts_ms),
        histogram_timestamps_ms: std::mem::take(&mut samples.histogram_timestamps_ms),
        histograms: samples.histograms.drain(..).map(sample).collect(),
        histogram_starts_ms: std::mem::take(&mut samples.histogram_starts_ms),
    }
}

/// Counts up to here are exact.
const WHOLE_MAX: f64 = (1u64 << 53) as f64;

pub(super) fn is_whole(histogram: &FloatHistogram) -> bool {
    let is_whole = |count: f64| count >= 0.0 && count.fract() == 0.0 && count < WHOLE_MAX;
    let buckets = histogram.positive.iter().chain(histogram.negative.iter());
    is_whole(histogram.count)
        && is_whole(histogram.zero_count)
        && buckets.into_iter().all(|(_, count)| is_whole(count))
}
