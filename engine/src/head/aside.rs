//! What few series have, beside the columns that all have: native histograms, start timestamps.
//!
//! A series that has an entry here says so in its open chunk, so that the others cost nothing.

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::histograms::Histograms;
use super::starts::Starts;

/// One series' entry.
#[derive(Clone, Debug, Default)]
pub(super) struct Aside {
    pub(super) histograms: Histograms,
    pub(super) starts: Starts,
}

/// Entries by series id.
#[derive(Debug, Default)]
pub(super) struct Asides {
    entries: HashMap<u32, Box<Aside>, RandomState>,
    /// Whether any series has, or had, a start timestamp.
    pub(super) has_starts: bool,
    /// Runs of histograms of all series.
    pub(super) run_count: usize,
    /// Bytes of what the entries hold, themselves included.
    bytes: usize,
}

impl Aside {
    fn bytes(&self) -> usize {
        size_of::<Aside>() + self.histograms.bytes() + self.starts.bytes()
    }
}

impl Asides {
    pub(super) fn get(&self, series: u32) -> Option<&Aside> {
        self.entries.get(&series).map(|entry| &**entry)
    }

    /// Changes a series' entry, made if there is none, and counts what it holds.
    pub(super) fn update<R>(&mut self, series: u32, change: impl FnOnce(&mut Aside) -> R) -> R {
        let entry = self.entries.entry(series).or_insert_with(|| {
            let entry = Box::<Aside>::default();
            self.bytes += entry.bytes();
            entry
        });
        let (bytes, run_count) = (entry.bytes(), entry.histograms.run_count());
        let result = change(entry);
        self.bytes = self.bytes + entry.bytes() - bytes;
        self.run_count = self.run_count + entry.histograms.run_count() - run_count;
        result
    }

    pub(super) fn remove(&mut self, series: u32) {
        if let Some(entry) = self.entries.remove(&series) {
            self.bytes -= entry.bytes();
            self.run_count -= entry.histograms.run_count();
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.entries.capacity() * size_of::<(u32, Box<Aside>)>()
    }
}
