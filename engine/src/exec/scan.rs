//! A shard's share of a query: series by series from samples to rows or groups.
//!
//! ```text
//! scan ─► for each series:  decode ─┬─► lookback | window ─┬─► stages ─► a row, or into its group
//!                                   │                      └─► stages ─► …          (part_run)
//!                                   └─► lookback | window ───► …
//! ```
//!
//! Where there is one step, and groups of what it gives, series go through in tens (`one_step`).
//!
//! Else one series is in memory at a time, beside the results. After each series the turn is asked
//! about; nothing borrowed from the source lives over a pause.

use std::ops::Range;

use crate::index::CompiledMatcher;
use crate::model::source::{Selection, Touched, Turns};
use crate::model::{LabelsRef, Source, SourceError, TimeRange};
use crate::plan::ask::{Ask, Scan, ScanSelect};
use crate::plan::part::{Select, SelectOutput, ShardPart};
use crate::promql::ast::PosRange;

use super::annotations::Annotations;
use super::error::ExecError;
use super::histograms::sample_count;
use super::one_step::{Look, OneStep};
use super::part_run::{Names, PartRun, Room};
use super::row::Row;
use super::series::SeriesSamples;
use super::stage::StageContext;
use super::stats::SampleStats;
use super::turn::spend;
use super::window::Points;
use super::{lookup, window};

pub use super::part_run::{Partial, PartialValue};

/// Series whose samples are asked for together before they are read one by one.
const WARM_COUNT: usize = 32;

/// Runs all parts of `ask` on one source; answers in the order of the parts.
///
/// Cost: O(samples in the windows + series × steps) for each select; memory: the results and one
/// series.
///
/// # Errors
///
/// Of each part: [`ExecError::TooManySamples`] when this shard alone exceeds the bound; what the
/// source or the turns say.
pub async fn run_ask(
    source: &impl Source,
    ask: &Ask,
    turns: &impl Turns,
) -> Vec<Result<Partial, ExecError>> {
    let mut answers: Vec<Option<Result<Partial, ExecError>>> =
        ask.parts.iter().map(|_| None).collect();
    for scan in &ask.scans {
        let members = || scan.selects.iter().flat_map(|select| &select.parts);
        match run_scan(source, scan, &ask.parts, turns).await {
            Ok(partials) => {
                for (&part, partial) in members().zip(partials) {
                    answers[part] = Some(partial);
                }
            }
            Err(error) => members().for_each(|&part| answers[part] = Some(Err(error.clone()))),
        }
    }
    answers.into_iter().map(|answer| answer.expect("each part belongs to a scan")).collect()
}

/// Answers in the order of the selects and their parts.
async fn run_scan(
    source: &impl Source,
    scan: &Scan,
    parts: &[ShardPart],
    turns: &impl Turns,
) -> Result<Vec<Result<Partial, ExecError>>, ExecError> {
    let mut run = ScanRun::new(scan, parts)?;
    if run.has_failed() {
        return run.finish(turns).await;
    }
    let mut selection = source.begin_select(&scan.matchers, scan.range)?;
    while let Some(work) = source.select_more(&mut selection)? {
        spend(turns, work).await?;
    }
    run.reserve(selection.len());
    let mut many = OneStep::of(scan, parts);
    let all = Touched { labels: run.asks_for_labels, ..Touched::ALL };
    let touched = many.as_ref().map_or(all, OneStep::touched);
    let mut next = 0;
    while next < selection.len() && !run.has_failed() {
        let warm = next..selection.len().min(next + WARM_COUNT);
        source.warm(&selection, warm.clone(), scan.range, touched).await?;
        while next < warm.end && !run.has_failed() {
            let work = match &mut many {
                Some(many) => {
                    let indexes = next..warm.end.min(next + many.count_max());
                    next = indexes.end;
                    run.take_many(source, &selection, indexes, many)?
                }
                None => {
                    next += 1;
                    run.take(source, &selection, next - 1)?
                }
            };
            spend(turns, work).await?;
        }
    }
    run.finish(turns).await
}

/// The state of a scan between two series.
struct ScanRun<'a> {
    scan: &'a Scan,
    selects: Vec<SelectRun<'a>>,
    samples: SeriesSamples,
    names: Names,
    asks_for_names: bool,
    /// Without, all series fall into one group, unless they have something to say about a histogram.
    asks_for_labels: bool,
    row: Row,
    room: Room,
    /// All selects look at the same samples in the same way.
    is_uniform: bool,
}

/// One select of it, and the parts that take its rows.
struct SelectRun<'a> {
    of_scan: &'a ScanSelect,
    /// The first of its parts, whose select stands for all.
    part: &'a ShardPart,
    also: Vec<CompiledMatcher>,
    runs: Vec<PartRun<'a>>,
    /// With the positions of the first part.
    annotations: Annotations,
    /// What reading counts; it holds nothing.
    stats: SampleStats,
}

impl<'a> ScanRun<'a> {
    fn new(scan: &'a Scan, parts: &'a [ShardPart]) -> Result<ScanRun<'a>, ExecError> {
        let compiled = |select: &'a ScanSelect| {
            let also = CompiledMatcher::compile(&select.also);
            let also = also.map_err(|error| SourceError { message: error.to_string() })?;
            Ok::<_, ExecError>(SelectRun::new(select, also, parts))
        };
        let selects: Vec<SelectRun<'a>> =
            scan.selects.iter().map(compiled).collect::<Result<_, _>>()?;
        let first = &selects[0];
        let is_uniform = selects.iter().all(|select| {
            select.of_scan.range == first.of_scan.range
                && select.part.select.skips_buckets == first.part.select.skips_buckets
        });
        let members =
            || selects.iter().flat_map(|select| &select.of_scan.parts).map(|&part| &parts[part]);
        let asks_for_names = members().any(ShardPart::asks_for_name);
        let asks_for_labels = asks_for_names
            || members().any(ShardPart::asks_for_labels)
            || selects.iter().any(|select| !select.also.is_empty());
        Ok(ScanRun {
            scan,
            selects,
            samples: SeriesSamples::default(),
            names: Names::default(),
            asks_for_names,
            asks_for_labels,
            row: Row::default(),
            room: Room::default(),
            is_uniform,
        })
    }

    /// Whether all parts have.
    fn has_failed(&self) -> bool {
        self.selects.iter().all(SelectRun::has_failed)
    }

    /// There are at most so many series.
    fn reserve(&mut self, series_count: usize) {
        let unfiltered = self.selects.iter_mut().filter(|select| select.also.is_empty());
        unfiltered.flat_map(|select| &mut select.runs).for_each(|run| run.reserve(series_count));
    }

    /// Takes in the series at `index` of a selection; what that cost, in samples.
    fn take<S: Source>(
        &mut self,
        source: &S,
        selection: &S::Selection,
        index: usize,
    ) -> Result<usize, ExecError> {
        let read = |range, samples: &mut SeriesSamples| {
            samples.clear();
            source.samples(selection, index, range, &mut samples.source)
        };
        read(self.scan.range, &mut self.samples)?;
        if self.samples.len() == 0 {
            return Ok(1);
        }
        if self.asks_for_labels || !self.samples.source.histograms.is_empty() {
            let mut result = Ok(());
            source.with_labels(selection, index, &mut |labels| {
                result = self.series(labels, &read);
            })?;
            result?;
        } else {
            self.series(LabelsRef::EMPTY, &read)?;
        }
        let steps = self.selects.iter().map(|select| select.stats.per_step.step_count());
        Ok(self.samples.len() + steps.sum::<usize>())
    }

    /// The same of all series at `indexes`, a column of samples for all of them. Those that are more
    /// than floats are taken in one by one.
    fn take_many<S: Source>(
        &mut self,
        source: &S,
        selection: &S::Selection,
        indexes: Range<usize>,
        many: &mut OneStep,
    ) -> Result<usize, ExecError> {
        many.read(source, selection, indexes.clone())?;
        let mut work = indexes.len();
        for (at, index) in indexes.enumerate() {
            let (value, samples) = match many.look(at) {
                Look::Nothing => continue,
                Look::Closer => {
                    work += self.take(source, selection, index)?;
                    continue;
                }
                Look::Seen { value, samples } => (value, samples),
            };
            work += samples;
            let select = &mut self.selects[0];
            let run = &mut select.runs[0];
            many.count(samples, &mut select.stats.per_step);
            run.note(many.held(samples), &Ok(()));
            let Some(value) = value else { continue };
            let mut group = many.known_group(at);
            if group.is_none() {
                source.with_labels(selection, index, &mut |labels| {
                    group = Some(run.group_of(labels));
                })?;
                group.into_iter().for_each(|group| many.learn_group(at, group));
            }
            if let Some(group) = group {
                run.add_value(group, value);
            }
        }
        self.selects[0].runs[0].count_room();
        Ok(work)
    }

    /// Takes in one series, whose samples in the scan's range stand in `self.samples`; `read` reads
    /// those of another range.
    fn series(
        &mut self,
        labels: LabelsRef<'_>,
        read: &impl Fn(TimeRange, &mut SeriesSamples) -> Result<(), SourceError>,
    ) -> Result<(), ExecError> {
        let samples = &mut self.samples;
        // What a histogram says about resets depends on the one before it: each range is read by
        // itself.
        let apart = !self.is_uniform && !samples.source.histograms.is_empty();
        if !apart {
            samples.prepare(self.selects[0].part);
        }
        if self.asks_for_names || apart || samples.has_histograms() {
            self.names.set(labels, self.selects[0].part.type_and_unit);
        }
        let mut has_markers = true;
        for select in &mut self.selects {
            if !select.also.iter().all(|matcher| matcher.matches(labels)) {
                continue;
            }
            let range = select.of_scan.range;
            if apart {
                read(range, samples)?;
                samples.prepare(select.part);
                has_markers = true;
            }
            if has_markers && !select.part.select.sees_markers() {
                samples.drop_stale();
                has_markers = false;
            }
            let mut points = samples.points();
            if !apart && range != self.scan.range {
                points = points.within(range);
            }
            select.series(labels, points, &self.names, &mut self.row, &mut self.room);
        }
        Ok(())
    }

    async fn finish(
        self,
        turns: &impl Turns,
    ) -> Result<Vec<Result<Partial, ExecError>>, ExecError> {
        let mut partials = Vec::new();
        for mut select in self.selects {
            let first = select.part;
            if !matches!(first.select.output, SelectOutput::Window(_)) {
                // Each sample is read where it is looked at.
                let counts = &mut select.stats.per_step;
                counts.read.clone_from(&counts.queryable);
            }
            for run in select.runs {
                partials.push(run.finish(first, &select.annotations, &select.stats, turns).await);
            }
        }
        Ok(partials)
    }
}

impl<'a> SelectRun<'a> {
    fn new(
        of_scan: &'a ScanSelect,
        also: Vec<CompiledMatcher>,
        parts: &'a [ShardPart],
    ) -> SelectRun<'a> {
        let part = &parts[of_scan.parts[0]];
        let runs: Vec<PartRun<'a>> =
            of_scan.parts.iter().map(|&part| PartRun::new(&parts[part])).collect();
        let is_too_long = runs.iter().all(PartRun::has_failed);
        let step_count = if is_too_long { 0 } else { part.select.grid.step_count };
        let stats = SampleStats::new(step_count, part.samples_max);
        SelectRun { of_scan, part, also, runs, annotations: Annotations::default(), stats }
    }

    fn has_failed(&self) -> bool {
        self.runs.iter().all(PartRun::has_failed)
    }

    /// Takes in one series. Errors are those of the parts, which keep them.
    fn series(
        &mut self,
        labels: LabelsRef<'_>,
        points: Points<'_>,
        names: &Names,
        row: &mut Row,
        room: &mut Room,
    ) {
        if self.has_failed() {
            return;
        }
        self.stats.peak = 0;
        if let SelectOutput::Samples { range_ms, extend } = self.part.select.output {
            let stats = &mut self.stats;
            self.runs.iter_mut().for_each(|run| run.range(labels, points, range_ms, extend, stats));
            return;
        }
        let selected = self.select_row(labels, points, names, row, room);
        // What a window held for a moment was held beside the results of each part.
        let touched = self.stats.peak;
        let last = self.runs.len() - 1;
        for (index, run) in self.runs.iter_mut().enumerate() {
            run.note(touched, &selected);
            if run.has_failed() || row.is_empty() {
                continue;
            }
            run.series(labels, names, row, index == last, room);
        }
    }

    /// Fills the row from the samples.
    fn select_row(
        &mut self,
        labels: LabelsRef<'_>,
        points: Points<'_>,
        names: &Names,
        row: &mut Row,
        room: &mut Room,
    ) -> Result<(), ExecError> {
        let select: &Select = &self.part.select;
        if let SelectOutput::Window(window) = &select.output {
            let mut context = StageContext {
                annotations: &mut self.annotations,
                stats: &mut self.stats,
                metric_name: &names.metric,
                type_and_unit: self.part.type_and_unit.then_some(&names.kind),
                scratch: &mut room.scratch,
            };
            let (grid, lookup) = (select.grid, select.lookup);
            return window::run(
                window,
                points,
                grid,
                lookup,
                select.lookback_ms,
                row,
                &mut context,
            );
        }
        if let SelectOutput::Smoothed { position } = select.output {
            lookup::smooth(select, points, row, &names.metric, position, &mut self.annotations);
        } else {
            lookup::look_back(select, points, labels, row)?;
        }
        self.stats.look_at_points(&row.present);
        for (step, histogram) in row.histograms.iter() {
            self.stats.per_step.queryable[step] += sample_count(histogram) as u64 - 1;
        }
        Ok(())
    }
}

impl Select {
    /// Where this select stands in the text what `other` says at `position`, which is one of its
    /// own; any other position stays.
    pub(super) fn position_like(&self, other: &Select, position: PosRange) -> PosRange {
        match (&self.output, &other.output) {
            (SelectOutput::Window(own), SelectOutput::Window(other)) => {
                let index = other.arg_positions.iter().position(|known| *known == position);
                index.and_then(|index| own.arg_positions.get(index)).copied().unwrap_or(position)
            }
            (
                SelectOutput::Smoothed { position: own },
                SelectOutput::Smoothed { position: known },
            ) if *known == position => *own,
            _ => position,
        }
    }
}
