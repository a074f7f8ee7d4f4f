//! Taking in what Prometheus's head held: its log and the chunks it kept out of memory.
//!
//! ```text
//! chunks_head ─► places of chunks by series
//! checkpoint, segments ─► series: found or made, its chunks appended ─► samples behind them
//! wbl, chunks out of order ─► samples out of order, for a block of their own
//! ```
//!
//! What is before the end of Prometheus's blocks is in them, and passed over, as Prometheus does. What
//! is not newer than a series' newest sample was there before: so an import that was interrupted is
//! done again from its beginning, and what was taken in already counts once.
//!
//! Source: Prometheus `tsdb/head_wal.go`, `tsdb/head.go`: `loadWAL`, `loadWBL`, `loadMmappedChunks`.

use std::collections::BTreeMap;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::Store;
use crate::block::part::PartTombstones;
use crate::block::prometheus::{head_chunk_at, head_chunks};
use crate::block::{SeriesSamples, merge_series_samples};
use crate::disk::FileBytes;
use crate::head::StoredExemplar;
use crate::model::{Labels, SeriesId, TimeRange};
use crate::wal::prometheus::{Decoded, PrometheusRecords};

/// Which log a record is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportedLog {
    InOrder,
    OutOfOrder,
}

/// What was found, of the series of one shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportReport {
    pub series_count: u64,
    /// Samples taken in: in order, and out of order.
    pub sample_count: u64,
    pub out_of_order_count: u64,
    /// Samples that are in blocks, or were there before.
    pub passed_count: u64,
    /// Records that a whole fragment holds and that do not parse, of all shards.
    pub malformed_count: u64,
    /// Series that were refused, because the shard has as many as it may.
    pub refused_count: u64,
    /// Samples whose series was in a record that is lost, of all shards.
    pub orphaned_count: u64,
}

impl ImportReport {
    /// Adds what another shard found in the same logs.
    pub fn add(&mut self, other: &ImportReport) {
        self.series_count += other.series_count;
        self.sample_count += other.sample_count;
        self.out_of_order_count += other.out_of_order_count;
        self.passed_count += other.passed_count;
        self.refused_count += other.refused_count;
        // Every shard reads all records.
        self.malformed_count = self.malformed_count.max(other.malformed_count);
        self.orphaned_count = self.orphaned_count.max(other.orphaned_count);
    }
}

/// A chunk that the head kept out of memory.
#[derive(Clone, Copy, Debug)]
struct ChunkPlace {
    file: u32,
    place: usize,
    is_out_of_order: bool,
}

/// An import of one shard's series, from begin to end.
pub struct Import {
    /// The log's ids; `None`: of another shard, or refused.
    ids: HashMap<u64, Option<SeriesId>, RandomState>,
    files: Vec<FileBytes>,
    chunks: HashMap<u64, Vec<ChunkPlace>, RandomState>,
    /// Samples in order before this are in blocks.
    min_ms: i64,
    records: PrometheusRecords,
    deleted: Vec<(SeriesId, TimeRange)>,
    out_of_order: BTreeMap<Labels, SeriesSamples>,
    series: Vec<SeriesId>,
    report: ImportReport,
}

impl Import {
    /// `min_ms` is the end of the last block of Prometheus; `files` are those in `chunks_head`, in
    /// order of number. Those behind a damaged chunk are not used: the log has what they hold. Also
    /// returns the numbers, in `files`, of the damaged ones.
    pub fn new(min_ms: i64, files: Vec<FileBytes>) -> (Import, Vec<usize>) {
        let mut chunks: HashMap<u64, Vec<ChunkPlace>, RandomState> = HashMap::default();
        let mut damaged = vec![];
        for (number, file) in files.iter().enumerate() {
            let (found, is_damaged) = head_chunks((**file).as_ref());
            for (place, chunk) in found {
                let is_out_of_order = chunk.is_out_of_order;
                let place = ChunkPlace { file: number as u32, place, is_out_of_order };
                chunks.entry(chunk.series).or_default().push(place);
            }
            if is_damaged {
                damaged.push(number);
                break;
            }
        }
        let import = Import {
            ids: HashMap::default(),
            files,
            chunks,
            min_ms,
            records: PrometheusRecords::default(),
            deleted: vec![],
            out_of_order: BTreeMap::new(),
            series: vec![],
            report: ImportReport::default(),
        };
        (import, damaged)
    }

    pub fn report(&self) -> &ImportReport {
        &self.report
    }

    /// Samples out of order, by labels, each series ascending: for blocks of their own.
    pub fn take_out_of_order(&mut self) -> BTreeMap<Labels, SeriesSamples> {
        std::mem::take(&mut self.out_of_order)
    }
}

/// Timestamps of which no sample is left out.
const ALL: TimeRange = TimeRange { min_ms: i64::MIN, max_ms: i64::MAX };

impl Store {
    /// Takes in a record of `log`, of series whose stable hash `keep` wants. All records of the log
    /// in order come before those of the other.
    pub fn import_record(
        &mut self,
        import: &mut Import,
        log: ImportedLog,
        record: &[u8],
        keep: impl Fn(u64) -> bool,
    ) {
        let mut records = std::mem::take(&mut import.records);
        match (records.decode(record), log) {
            (Ok(Decoded::Series), _) => {
                for (id, labels) in records.labels.drain(..) {
                    self.import_series(import, id, &labels, &keep);
                }
            }
            (Ok(Decoded::Samples | Decoded::Histograms), ImportedLog::InOrder) => {
                self.import_samples(import, &mut records);
            }
            (Ok(Decoded::Samples | Decoded::Histograms), ImportedLog::OutOfOrder) => {
                self.import_out_of_order(import, &records);
            }
            (Ok(Decoded::Tombstones), ImportedLog::InOrder) => {
                for &(id, range) in &records.tombstones {
                    if let Some(&Some(series)) = import.ids.get(&id)
                        && range.max_ms >= import.min_ms
                    {
                        import.deleted.push((series, range));
                    }
                }
            }
            (Ok(Decoded::Exemplars), _) => {
                let mut buffer = vec![];
                for row in records.exemplars.drain(..) {
                    let Some(&Some(series)) = import.ids.get(&row.series) else { continue };
                    let Some(labels) = self.head.labels(series, &mut buffer) else { continue };
                    let exemplar = StoredExemplar {
                        labels: row.labels,
                        value: row.value,
                        timestamp_ms: row.timestamp_ms,
                        has_timestamp: true,
                    };
                    self.exemplars.add(series, labels, &exemplar);
                }
            }
            (Ok(Decoded::Metadata), _) => {
                let mut buffer = vec![];
                for row in &records.metadata {
                    let Some(&Some(series)) = import.ids.get(&row.series) else { continue };
                    let Some(labels) = self.head.labels(series, &mut buffer) else { continue };
                    let name = String::from_utf8_lossy(labels.metric_name());
                    let family = family_of(&name, row.kind);
                    self.metadata.set(family, row.kind, &row.help, &row.unit);
                }
            }
            (Ok(Decoded::Other | Decoded::Tombstones), _) => {}
            (Err(_), _) => import.report.malformed_count += 1,
        }
        import.records = records;
    }

    fn import_series(
        &mut self,
        import: &mut Import,
        id: u64,
        labels: &Labels,
        keep: impl Fn(u64) -> bool,
    ) {
        let labels = labels.as_ref();
        if import.ids.contains_key(&id) {
            return; // A checkpoint and a segment may both name it.
        }
        let is_own = keep(labels.stable_hash());
        let found = if is_own { self.head.find_or_insert(labels) } else { None };
        import.ids.insert(id, found);
        let chunks = import.chunks.remove(&id);
        let Some(series) = found else {
            import.report.refused_count += u64::from(is_own);
            return;
        };
        import.report.series_count += 1;
        for place in chunks.into_iter().flatten() {
            let file = import.files[place.file as usize].clone();
            let chunk = head_chunk_at((*file).as_ref(), place.place);
            // Checked when the import began; the log has it in any case.
            let Some(samples) = chunk.and_then(|(chunk, _)| chunk.samples()) else { continue };
            if place.is_out_of_order {
                add_out_of_order(import, labels.to_owned(), &samples);
            } else {
                self.append_imported(import, series, samples);
            }
        }
    }

    /// Appends a chunk of the head in order.
    fn append_imported(&mut self, import: &mut Import, series: SeriesId, samples: SeriesSamples) {
        let within = TimeRange { min_ms: import.min_ms, ..ALL };
        let mut kept = SeriesSamples::default();
        merge_series_samples(&mut kept, &samples, within);
        let mut appended = self.head.append_replayed(
            &vec![series; kept.values.len()],
            &kept.timestamps_ms,
            &kept.values,
            &kept.starts_ms,
        );
        appended += self.head.append_replayed_histograms(
            &vec![series; kept.histograms.len()],
            &kept.histogram_timestamps_ms,
            &kept.histograms,
            &kept.histogram_starts_ms,
        );
        import.report.sample_count += appended as u64;
    }

    /// Appends the samples of a record in order.
    fn import_samples(&mut self, import: &mut Import, records: &mut PrometheusRecords) {
        // Samples of other shards and of blocks go; the columns stay as long as each other.
        import.series.clear();
        let has_starts = records.starts_ms.iter().any(|&start_ms| start_ms != 0);
        let is_float = !records.values.is_empty();
        let mut kept = 0;
        for index in 0..records.series.len() {
            let Some(found) = import.ids.get(&records.series[index]) else {
                import.report.orphaned_count += 1;
                continue;
            };
            let Some(series) = *found else { continue };
            if records.timestamps_ms[index] < import.min_ms {
                import.report.passed_count += 1;
                continue;
            }
            import.series.push(series);
            records.timestamps_ms[kept] = records.timestamps_ms[index];
            records.starts_ms[kept] = records.starts_ms[index];
            match is_float {
                true => records.values[kept] = records.values[index],
                false => records.histograms.swap(kept, index),
            }
            kept += 1;
        }
        let timestamps_ms = &records.timestamps_ms[..kept];
        let starts_ms = if has_starts { &records.starts_ms[..kept] } else { &[] };
        let appended = match is_float {
            true => {
                let values = &records.values[..kept];
                self.head.append_replayed(&import.series, timestamps_ms, values, starts_ms)
            }
            false => {
                let histograms = &records.histograms[..kept];
                let series = &import.series;
                self.head.append_replayed_histograms(series, timestamps_ms, histograms, starts_ms)
            }
        };
        import.report.sample_count += appended as u64;
        import.report.passed_count += (kept - appended) as u64;
    }

    fn import_out_of_order(&mut self, import: &mut Import, records: &PrometheusRecords) {
        let mut buffer = vec![];
        for (index, id) in records.series.iter().enumerate() {
            let Some(&Some(series)) = import.ids.get(id) else { continue };
            let Some(labels) = self.head.labels(series, &mut buffer) else { continue };
            let mut one = SeriesSamples::default();
            let (timestamp_ms, start_ms) = (records.timestamps_ms[index], records.starts_ms[index]);
            let starts_ms = if start_ms == 0 { vec![] } else { vec![start_ms] };
            if let Some(&value) = records.values.get(index) {
                one.timestamps_ms.push(timestamp_ms);
                one.values.push(value);
                one.starts_ms = starts_ms;
            } else {
                one.histogram_timestamps_ms.push(timestamp_ms);
                one.histograms.extend(records.histograms.get(index).cloned());
                one.histogram_starts_ms = starts_ms;
            }
            add_out_of_order(import, labels.to_owned(), &one);
        }
    }

    /// The head's tombstones with what the log said was deleted; `None` when that is nothing new. To
    /// be called when all that was imported is in parts.
    pub fn import_tombstones(&self, import: &Import) -> Option<PartTombstones> {
        self.with_deleted(import.deleted.iter().copied())
    }
}

fn add_out_of_order(import: &mut Import, labels: Labels, samples: &SeriesSamples) {
    let all = import.out_of_order.entry(labels).or_default();
    let before = all.len();
    merge_series_samples(all, samples, ALL);
    import.report.out_of_order_count += (all.len() - before) as u64;
}

/// The family that metadata of a series is about: without what a classic histogram or a summary adds.
fn family_of<'n>(name: &'n str, kind: &str) -> &'n str {
    let suffixes: &[&str] = match kind {
        "histogram" | "gaugehistogram" => &["_bucket", "_sum", "_count"],
        "summary" => &["_sum", "_count"],
        _ => &[],
    };
    suffixes.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name)
}
