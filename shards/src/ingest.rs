//! From a batch to its owners' stores and logs, and the verdicts back.

use std::fmt;
use std::time::Duration;

use engine::disk::Tree;
use engine::head::{AppendBounds, ExemplarVerdict, LateSamples, Refusal};
use engine::model::{Batch, KnownSamples, SeriesId};
use engine::store::AppendReport;
use engine::wal::MetadataRecord;
use futures_util::future::join_all;

use crate::mesh::{Gone, Request};
use crate::message::{IngestAnswer, IngestQuestion};
use crate::route::{Part, ShardId};
use crate::runtime::{Class, spawn};
use crate::shard::Shard;
use crate::storage::Storage;
use crate::wal::WalError;

/// Requests that wait on one shard for another one to take their part, before further ones are
/// refused.
const WAITING_COUNT_MAX: usize = 256;

/// Samples of known series for which more than this had to be reserved in the log (where one label
/// set is huge, all must count as huge) come by their labels.
const KNOWN_FRAME_BYTES_MAX: usize = 8 << 20;

/// What a refused sender is told to wait.
const RETRY_AFTER: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug)]
pub struct IngestOptions {
    /// Return when everything is durable, as whoever acknowledges must. A scrape has nobody to
    /// acknowledge to: its samples are durable a little later.
    pub wait: bool,
    /// Newest timestamp allowed: the clock and what is granted on top of it.
    pub max_timestamp_ms: i64,
    /// What the window of samples out of order is for.
    pub late: LateSamples,
}

/// Who has a series, and its id there: what [`Shard::ingest_all`] takes instead of labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeriesOwner {
    pub shard: ShardId,
    pub series: SeriesId,
}

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IngestReport {
    pub accepted: u64,
    /// Samples that were there already, bit for bit: success.
    pub repeated: u64,
    /// Samples of series known by id of which nothing was stored, because they are not plain: to be
    /// written again with their labels. Each by its shard and its index among that shard's.
    pub open: Vec<(ShardId, u32)>,
    /// Series of the batch of which nothing was stored either, ascending: those of shards where one
    /// of them stood among the known ones too. All that was known there is open then.
    pub left_series: Vec<u32>,
    pub new_series: u64,
    /// Where each series of the batch is now, by its index.
    pub owners: Vec<Option<SeriesOwner>>,
    /// Refused samples, ascending by their index in the batch.
    pub refused: Vec<Refusal>,
    /// The same of native histograms.
    pub accepted_histograms: u64,
    pub refused_histograms: Vec<Refusal>,
    /// The same of exemplars; those that were there already, or are not kept, count as neither.
    pub accepted_exemplars: u64,
    pub refused_exemplars: Vec<(u32, ExemplarVerdict)>,
}

/// Why a batch, or a part of it, was not taken. Parts of it may have been: to send it again is
/// safe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IngestError {
    Overloaded {
        retry_after: Duration,
    },
    /// The log takes nothing at present; heals by itself.
    Unwritable {
        message: String,
    },
    Stopping,
}

impl fmt::Display for IngestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IngestError::Overloaded { .. } => f.write_str("too much waits to be written"),
            IngestError::Unwritable { message } => write!(f, "write to WAL: {message}"),
            IngestError::Stopping => f.write_str("server is stopping"),
        }
    }
}

impl std::error::Error for IngestError {}

impl From<WalError> for IngestError {
    fn from(error: WalError) -> Self {
        match error {
            WalError::Overloaded => IngestError::Overloaded { retry_after: RETRY_AFTER },
            WalError::Unwritable(message) => IngestError::Unwritable { message },
            WalError::Closed => IngestError::Stopping,
        }
    }
}

impl From<Gone> for IngestError {
    fn from(Gone: Gone) -> Self {
        IngestError::Stopping
    }
}

/// Metadata of one metric family, as the exposition formats write it. Empty is unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FamilyMetadata {
    pub family: Box<str>,
    pub kind: Box<str>,
    pub help: Box<str>,
    pub unit: Box<str>,
}

impl Shard {
    /// Routes `batch` by hash, has every owner append its part, and returns when all is appended,
    /// with [`IngestOptions::wait`] when all is durable.
    ///
    /// Cost: with one shard the batch is appended as it is; with more its bytes are copied once,
    /// and there is one message per other shard and about 60 us.
    ///
    /// Errors: see [`IngestError`]. A batch that partly met an error reports the error.
    pub async fn ingest(
        &self,
        batch: &Batch,
        options: IngestOptions,
    ) -> Result<IngestReport, IngestError> {
        self.ingest_all(batch, &mut [], options).await
    }

    /// As [`Shard::ingest`], with samples of series that the caller knows by id: `known` is empty or
    /// has an entry a shard, and is left empty. Of them only what is plain is stored; the report
    /// counts the rest.
    pub async fn ingest_all(
        &self,
        batch: &Batch,
        known: &mut [KnownSamples],
        options: IngestOptions,
    ) -> Result<IngestReport, IngestError> {
        if batch.is_empty() && known.iter().all(KnownSamples::is_empty) {
            return Ok(IngestReport::default());
        }
        if self.count() == 1 {
            let none = KnownSamples::default();
            let mut ids = Vec::new();
            let first = known.first().unwrap_or(&none);
            let known_count = first.len();
            let appended = self.0.storage.append(batch, first, &mut ids, options);
            known.iter_mut().for_each(KnownSamples::clear);
            let (report, lsn) = appended?;
            if options.wait {
                self.0.wal.durable(lsn).await?;
            }
            return Ok(IngestReport::of(report, batch, known_count, &ids));
        }
        let lane = &self.0.lanes.ingest;
        if ShardId::all(self.count()).any(|shard| lane.waiting_count(shard) >= WAITING_COUNT_MAX) {
            self.own_stats().parts_refused.add(1);
            return Err(IngestError::Overloaded { retry_after: RETRY_AFTER });
        }
        let mut parts = Vec::new();
        self.0.split.borrow_mut().split(batch, known, self.count(), &mut parts);
        let newest_ms = self.0.settings.newest_ms(batch, options.max_timestamp_ms);
        let appends = parts.into_iter().map(|(shard, mut part)| {
            part.newest_ms = newest_ms;
            self.append_part(shard, part, options)
        });
        let owners = vec![None; batch.series_count()];
        let mut total = IngestReport { owners, ..IngestReport::default() };
        let mut failure = None;
        for answer in join_all(appends).await {
            match answer {
                Ok(IngestAnswer { part, report: Ok(report), shard }) => {
                    total.add(report, &part, shard);
                    self.0.split.borrow_mut().give_back(part);
                }
                Ok(IngestAnswer { report: Err(error), .. }) => failure = Some(error.into()),
                Err(Gone) => failure = Some(IngestError::Stopping),
            }
        }
        total.left_series.sort_unstable();
        total.refused.sort_unstable_by_key(|refusal| refusal.sample);
        total.refused_histograms.sort_unstable_by_key(|refusal| refusal.sample);
        total.refused_exemplars.sort_unstable_by_key(|&(exemplar, _)| exemplar);
        failure.map_or(Ok(total), Err)
    }

    /// Appends samples of series that this shard owns, all known by id, without waiting for their
    /// frames. Adds to `open` the indices of those of which nothing was stored, because they are not
    /// plain: to be written again with their labels.
    ///
    /// Cost: about 20 ns a sample and one frame; nobody is asked.
    pub fn ingest_known(
        &self,
        known: &KnownSamples,
        open: &mut Vec<u32>,
    ) -> Result<(), IngestError> {
        let each =
            self.0.store.borrow().frame_bytes_max(&Batch::default(), known) / known.len().max(1);
        let count_max = (KNOWN_FRAME_BYTES_MAX / each.max(1)).max(1);
        if known.len() <= count_max {
            return self.append_known(known, 0, open);
        }
        let starts = (0..known.len()).step_by(count_max);
        starts
            .map(|start| (start, known.part(start..(start + count_max).min(known.len()))))
            .try_for_each(|(start, part)| self.append_known(&part, start as u32, open))
    }

    /// Appends one frame of them; `start` is added to the indices of what is left open.
    fn append_known(
        &self,
        known: &KnownSamples,
        start: u32,
        open: &mut Vec<u32>,
    ) -> Result<(), IngestError> {
        let none = Batch::default();
        let newest_ms = self.0.settings.newest_ms(&none, i64::MAX);
        self.0.store.borrow_mut().tell_newest(newest_ms);
        // How far ahead a sample may be was judged by whoever has it.
        let options = IngestOptions {
            wait: false,
            max_timestamp_ms: i64::MAX,
            late: LateSamples::MarkersRefused,
        };
        let (report, _) = self.0.storage.append(&none, known, &mut Vec::new(), options)?;
        open.extend(report.open.iter().map(|index| start + index));
        Ok(())
    }

    /// Has `shard` append its part.
    async fn append_part(
        &self,
        shard: ShardId,
        mut part: Part,
        options: IngestOptions,
    ) -> Result<IngestAnswer, Gone> {
        let wait = options.wait;
        if shard != self.id() {
            let question = IngestQuestion { part, options };
            return self.0.lanes.ingest.ask(shard, question).await;
        }
        let report = match self.append_to_own(&mut part, options) {
            Ok((report, lsn)) if wait => self.0.wal.durable(lsn).await.map(|()| report),
            appended => appended.map(|(report, _)| report),
        };
        Ok(IngestAnswer { part, report, shard })
    }

    fn append_to_own(
        &self,
        part: &mut Part,
        options: IngestOptions,
    ) -> Result<(AppendReport, u64), WalError> {
        if options.wait {
            self.turns().note_ingest();
        }
        self.0.store.borrow_mut().tell_newest(part.newest_ms);
        self.0.storage.append(&part.batch, &part.known, &mut part.series_ids, options)
    }

    /// Appends what other shards send. Asks nobody, so that no circle of shards can wait.
    pub(crate) async fn serve_ingest(self) {
        while let Some(request) = self.0.lanes.ingest.next().await {
            let Request { question, answer, .. } = request;
            let IngestQuestion { mut part, options } = question;
            let wait = options.wait;
            let shard = self.id();
            match self.append_to_own(&mut part, options) {
                Ok((report, lsn)) if wait => {
                    let wal = self.0.wal.clone();
                    spawn(Class::Storage, async move {
                        let report = wal.durable(lsn).await.map(|()| report);
                        answer.send(IngestAnswer { part, report, shard });
                    })
                    .detach();
                }
                appended => {
                    let report = appended.map(|(report, _)| report);
                    answer.send(IngestAnswer { part, report, shard });
                }
            }
        }
    }

    /// Replaces what is known about metric families. Durable a little later; nobody waits for it.
    pub async fn write_metadata(&self, families: Vec<FamilyMetadata>) -> Result<(), IngestError> {
        self.call(Shard::METADATA, move |shard| shard.append_metadata(&families)).await??;
        Ok(())
    }

    fn append_metadata(&self, families: &[FamilyMetadata]) -> Result<(), WalError> {
        let records = || {
            families.iter().map(|metadata| MetadataRecord {
                family: &metadata.family,
                kind: &metadata.kind,
                help: &metadata.help,
                unit: &metadata.unit,
            })
        };
        let text_bytes = |record: MetadataRecord<'_>| {
            record.family.len() + record.kind.len() + record.help.len() + record.unit.len()
        };
        let bytes_max = 64 + records().map(|record| text_bytes(record) + 32).sum::<usize>();
        self.0.wal.admit(bytes_max)?;
        self.0.wal.append(bytes_max, false, |space| {
            let mut store = self.0.store.borrow_mut();
            if space.begins_segment {
                store.forget_logged();
            }
            store.append_metadata(records(), space.out);
            *space.chain = store.chain();
        });
        Ok(())
    }

    /// What is known about metric families, in order of name: of `metric` only, if given; at most
    /// `limit`.
    pub async fn metadata(
        &self,
        metric: Option<&str>,
        limit: usize,
    ) -> Result<Vec<FamilyMetadata>, Gone> {
        let metric = metric.map(str::to_owned);
        let list = move |shard: &Shard| {
            let store = shard.0.store.borrow();
            let wanted = |family: &str| metric.as_deref().is_none_or(|metric| metric == family);
            let families = store.metadata().iter().filter(|(family, _)| wanted(family));
            let owned = families.take(limit).map(|(family, metadata)| FamilyMetadata {
                family: family.into(),
                kind: metadata.kind.clone(),
                help: metadata.help.clone(),
                unit: metadata.unit.clone(),
            });
            owned.collect()
        };
        self.call(Shard::METADATA, list).await
    }
}

impl<T: Tree> Storage<T> {
    /// Appends samples of which this shard owns every series. Returns what became of them, and the
    /// LSN to await: that of their own frame or, if it had nothing new, of those that have it.
    /// `ids` gets the ids of the batch's series.
    pub fn append(
        &self,
        batch: &Batch,
        known: &KnownSamples,
        ids: &mut Vec<Option<SeriesId>>,
        options: IngestOptions,
    ) -> Result<(AppendReport, u64), WalError> {
        let inner = &self.0;
        let stats = self.own_stats();
        let frame_bytes = inner.store.borrow().frame_bytes_max(batch, known);
        if !known.is_empty() && frame_bytes > KNOWN_FRAME_BYTES_MAX {
            let report = AppendReport { is_left: true, ..AppendReport::default() };
            return Ok((report, 0));
        }
        inner.wal.admit(frame_bytes).inspect_err(|_| stats.parts_refused.add(1))?;
        let (report, lsn) = inner.wal.append(frame_bytes, options.wait, |space| {
            let mut store = inner.store.borrow_mut();
            if space.begins_segment {
                store.forget_logged();
            }
            inner.settings.apply(&mut store, self.count());
            let bounds =
                AppendBounds { max_timestamp_ms: options.max_timestamp_ms, late: options.late };
            let report = store.append_all(batch, known, bounds, space.out);
            inner.settings.raise_newest(&store);
            *space.chain = store.chain();
            if !batch.is_empty() {
                ids.extend(store.appended_series());
            }
            report
        });
        stats.samples_accepted.add(report.accepted_count as u64);
        stats.exemplars_accepted.add(report.exemplars.accepted_count as u64);
        let refused = report.exemplars.refused.iter();
        let late = refused.filter(|(_, verdict)| *verdict == ExemplarVerdict::OutOfOrder);
        stats.exemplars_out_of_order.add(late.count() as u64);
        stats.histograms_accepted.add(report.accepted_histogram_count as u64);
        stats.samples_late.add(report.late_count as u64);
        stats.histograms_late.add(report.late_histogram_count as u64);
        stats.samples_repeated.add(report.repeated_count as u64);
        stats.series_created.add(report.new_series_count as u64);
        // Counted anew with every heartbeat.
        stats.series.add(report.new_series_count as u64);
        for (refused, counters) in [
            (&report.refused, &stats.samples_refused),
            (&report.refused_histograms, &stats.histograms_refused),
        ] {
            refused.iter().for_each(|refusal| counters.count(refusal.verdict));
        }
        Ok((report, lsn))
    }
}

impl IngestReport {
    /// Of a process of one shard.
    fn of(
        report: AppendReport,
        batch: &Batch,
        known_count: usize,
        ids: &[Option<SeriesId>],
    ) -> IngestReport {
        let (only, series_count) = (ShardId(0), batch.series_count() as u32);
        if report.is_left {
            return IngestReport {
                open: (0..known_count as u32).map(|sample| (only, sample)).collect(),
                left_series: (0..series_count).collect(),
                owners: vec![None; batch.series_count()],
                ..IngestReport::default()
            };
        }
        let owner =
            |id: &Option<SeriesId>| id.map(|series| SeriesOwner { shard: ShardId(0), series });
        IngestReport {
            accepted: report.accepted_count as u64,
            repeated: report.repeated_count as u64,
            open: report.open.into_iter().map(|sample| (only, sample)).collect(),
            left_series: vec![],
            owners: ids.iter().map(owner).collect(),
            new_series: report.new_series_count as u64,
            refused: report.refused,
            accepted_histograms: report.accepted_histogram_count as u64,
            refused_histograms: report.refused_histograms,
            accepted_exemplars: report.exemplars.accepted_count as u64,
            refused_exemplars: report.exemplars.refused,
        }
    }

    /// Adds what became of `part`, with indices of the batch that it is a part of.
    fn add(&mut self, report: AppendReport, part: &Part, shard: ShardId) {
        if report.is_left {
            self.open.extend((0..part.known.len() as u32).map(|sample| (shard, sample)));
            self.left_series.extend(&part.series_indices);
            return;
        }
        self.open.extend(report.open.iter().map(|&sample| (shard, sample)));
        for (&index, id) in part.series_indices.iter().zip(&part.series_ids) {
            self.owners[index as usize] = id.map(|series| SeriesOwner { shard, series });
        }
        self.accepted += report.accepted_count as u64;
        self.repeated += report.repeated_count as u64;
        self.new_series += report.new_series_count as u64;
        self.accepted_histograms += report.accepted_histogram_count as u64;
        self.accepted_exemplars += report.exemplars.accepted_count as u64;
        let refused = report.exemplars.refused.iter();
        self.refused_exemplars.extend(
            refused.map(|&(index, verdict)| (part.exemplar_indices[index as usize], verdict)),
        );
        for (all, refused, indices) in [
            (&mut self.refused, &report.refused, &part.sample_indices),
            (&mut self.refused_histograms, &report.refused_histograms, &part.histogram_indices),
        ] {
            all.extend(refused.iter().map(|refusal| Refusal {
                sample: indices[refusal.sample as usize],
                verdict: refusal.verdict,
            }));
        }
    }
}
