//! Records that name series.

use std::collections::BTreeMap;

use super::*;
use crate::model::LabelsRef;

/// Label sets by series, and labels by their number.
#[derive(Default)]
pub(super) struct Sets {
    sets: BTreeMap<u32, Vec<u32>>,
    pairs: Vec<Labels>,
}

impl Sets {
    pub(super) fn of(sets: impl IntoIterator<Item = (u32, Labels)>) -> Sets {
        let mut own = Sets::default();
        for (series, labels) in sets {
            let pairs = labels.iter().map(|pair| own.number(Labels::from_pairs([pair]))).collect();
            own.sets.insert(series, pairs);
        }
        own
    }

    fn number(&mut self, pair: Labels) -> u32 {
        let found = self.pairs.iter().position(|other| *other == pair);
        let number = found.unwrap_or(self.pairs.len());
        if number == self.pairs.len() {
            self.pairs.push(pair);
        }
        number as u32
    }
}

impl LabelSets for Sets {
    fn pairs(&self, series: u32) -> impl Iterator<Item = u32> {
        self.sets[&series].iter().copied()
    }

    fn pair(&self, pair: u32) -> LabelsRef<'_> {
        self.pairs[pair as usize].as_ref()
    }
}

/// All series of a record; whether it was read to its end.
pub(super) fn read_series(mut record: SeriesRecord<'_>) -> (Vec<(u32, String)>, bool) {
    let (mut set, mut all) = (LabelSet::default(), vec![]);
    while let Some(entry) = record.next(&mut set) {
        let Some((id, labels)) = entry else { return (all, false) };
        all.push((id, labels.to_string()));
    }
    (all, true)
}

proptest! {
    /// Sets come back whatever they share with the ones before them.
    #[test]
    fn series_come_back(
        sets in prop::collection::btree_map(
            any::<u32>(),
            prop::collection::btree_map("[ab]{1,2}", "[xy]{1,2}", 0..5),
            0..40,
        ),
        more in 0usize..90,
    ) {
        // Beyond the positions that may be shared, too.
        let more = (0..more).map(|n| (format!("c{n:02}"), "z".to_owned()));
        let sets: Vec<(u32, Labels)> = sets
            .into_iter()
            .map(|(id, labels)| (id, Labels::from_pairs(labels.into_iter().chain(more.clone()))))
            .collect();
        let (mut bytes, mut chain) = (vec![], Chain::default());
        header(0, chain).encode(&mut bytes);
        let mut frame = FrameWriter::begin(&mut bytes).of_epoch(2);
        frame.series(sets.iter().map(|(id, _)| *id), &Sets::of(sets.iter().cloned()));
        frame.finish(&mut chain);
        let (found, _) = read(&bytes, None).unwrap();
        let expected: Vec<_> = sets.iter().map(|(id, labels)| (*id, labels.to_string())).collect();
        prop_assert_eq!((found.series, found.malformed_count), (expected, 0));
    }

    /// No record of series, however it is damaged, is more than refused.
    #[test]
    fn damaged_series_are_refused(at in 0usize..60, byte in any::<u8>()) {
        let sets = (0..3).map(|n| (n * 7, Labels::from_pairs([("a", "1"), ("n", &n.to_string())])));
        let sets: Vec<_> = sets.collect();
        let mut out = vec![];
        let mut frame = FrameWriter::begin(&mut out);
        frame.series(sets.iter().map(|(id, _)| *id), &Sets::of(sets.iter().cloned()));
        frame.finish(&mut Chain::default());
        let mut payload = out.split_off(FRAME_HEADER_BYTES);
        let at = at.min(payload.len() - 1);
        payload[at] = byte;
        for record in Records::new(&payload) {
            if let Record::Series(series) = record {
                drop(read_series(series));
            }
        }
    }
}
