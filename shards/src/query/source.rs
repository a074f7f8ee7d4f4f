//! A shard's store as queries read it: what lies in files is in memory before it is touched.

use std::ops::Range;

use engine::model::source::Touched;
use engine::model::{
    KeptLabels, LabelKeys, LabelsRef, Matcher, Samples, Selection, Source, SourceError, TimeRange,
};
use engine::store::StoreSelection;

use crate::disk::{is_resident, populate};
use crate::runtime::blocking;
use crate::shard::Shard;

pub(super) struct ShardSource<'a>(pub &'a Shard);

impl Source for ShardSource<'_> {
    type Selection = StoreSelection;

    fn begin_select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<StoreSelection, SourceError> {
        self.0.0.store.borrow().begin_select(matchers, range)
    }

    fn select_more(&self, selection: &mut StoreSelection) -> Result<Option<usize>, SourceError> {
        self.0.0.store.borrow().select_more(selection)
    }

    fn with_labels(
        &self,
        selection: &StoreSelection,
        index: usize,
        f: &mut dyn FnMut(LabelsRef<'_>),
    ) -> Result<(), SourceError> {
        self.0.0.store.borrow().with_labels(selection, index, f)
    }

    fn samples(
        &self,
        selection: &StoreSelection,
        index: usize,
        range: TimeRange,
        out: &mut Samples,
    ) -> Result<(), SourceError> {
        self.0.0.store.borrow().samples(selection, index, range, out)
    }

    fn samples_of(
        &self,
        selection: &StoreSelection,
        indexes: Range<usize>,
        range: TimeRange,
        newest_only: bool,
        out: &mut Samples,
        ends: &mut Vec<usize>,
    ) -> Result<(), SourceError> {
        self.0.0.store.borrow().samples_of(selection, indexes, range, newest_only, out, ends)
    }

    fn label_keys(
        &self,
        selection: &StoreSelection,
        indexes: Range<usize>,
        kept: &KeptLabels,
        out: &mut LabelKeys,
    ) {
        self.0.0.store.borrow().label_keys(selection, indexes, kept, out);
    }

    async fn warm(
        &self,
        selection: &StoreSelection,
        indexes: Range<usize>,
        range: TimeRange,
        touched: Touched,
    ) -> Result<(), SourceError> {
        debug_assert!(indexes.end <= selection.len());
        let mut cold = vec![];
        if !selection.is_in_memory() {
            cold = selection.file_ranges(indexes.clone(), range);
            cold.retain(|(bytes, range)| !is_resident((**bytes).as_ref(), range.clone()));
        }
        if !cold.is_empty() {
            let stats = self.0.own_stats();
            stats.cold_ranges.add(cold.len() as u64);
            let read = move || {
                cold.into_iter().try_for_each(|(bytes, range)| populate((*bytes).as_ref(), range))
            };
            let read = blocking(read).await;
            read.map_err(|error| SourceError { message: format!("file of a block: {error}") })?;
        }
        self.0.0.store.borrow().prefetch(selection, indexes, touched);
        Ok(())
    }
}
