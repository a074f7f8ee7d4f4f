//! Where the cardinality of a block is, the same figures as `index` gives of the head; and where its
//! bytes are.

use std::collections::BTreeMap;

use super::error::BlockError;
use super::meta::SectionName;
use super::postings;
use super::read::Block;
use super::run::RunValues;
use crate::encode::ValueCodec;
use crate::index::{Stats, StatsFold};

/// What of a block takes how many bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ByteShares {
    /// By codec of the values, or "shared": chunks, samples, bytes of values and starts.
    pub values: BTreeMap<&'static str, [u64; 3]>,
    /// By what it is: all but values and starts. Together with them this is the file.
    pub rest: Vec<(&'static str, u64)>,
}

/// Name of each section, in the order of the footer.
const SECTION_NAMES: [(SectionName, &str); 9] = [
    (SectionName::Strings, "strings"),
    (SectionName::Names, "names"),
    (SectionName::Pairs, "pairs"),
    (SectionName::Postings, "postings"),
    (SectionName::LabelOffsets, "label offsets"),
    (SectionName::Labels, "labels"),
    (SectionName::Hashes, "hashes"),
    (SectionName::Series, "series"),
    (SectionName::Columns, "columns"),
];

impl Block {
    /// Where the bytes of the file are. Reads the runs of all series.
    pub fn byte_shares(&self) -> Result<ByteShares, BlockError> {
        let mut shares = ByteShares::default();
        let mut sections_bytes = 0;
        for (name, text) in SECTION_NAMES {
            let bytes = self.section(name).bytes;
            shares.rest.push((text, bytes));
            sections_bytes += bytes;
        }
        let mut column_bytes = 0;
        for column in 0..self.column_count() {
            column_bytes += u64::from(self.column_row(column as u32)?.bytes);
        }
        let (mut run_bytes, mut values_bytes) = (0, 0);
        for series in 0..self.series_count() {
            run_bytes += self.run_bytes(series)?;
            for chunk in self.run(series)? {
                let chunk = chunk.ok_or_else(|| self.pages.broken("chunks"))?;
                let (codec, bytes) = match (chunk.values, chunk.codec) {
                    (RunValues::Before { .. }, _) => ("shared", 0),
                    (RunValues::Here(values), ValueCodec::Floats(codec)) => {
                        (codec.name(), values.len())
                    }
                    (RunValues::Here(values), _) => ("Histograms", values.len()),
                };
                let bytes = (bytes + chunk.starts.len()) as u64;
                let count = u64::from(self.column_row(chunk.column)?.count);
                let share = shares.values.entry(codec).or_default();
                *share = [share[0] + 1, share[1] + count, share[2] + bytes];
                values_bytes += bytes;
            }
        }
        let named = sections_bytes + column_bytes + run_bytes;
        shares.rest.push(("timestamps", column_bytes));
        shares.rest.push(("chunk heads", run_bytes.saturating_sub(values_bytes)));
        shares.rest.push(("sums, gaps, footer", self.file_bytes().saturating_sub(named)));
        Ok(shares)
    }

    /// The `count_max` largest of each kind. O(label pairs).
    pub fn stats(&self, count_max: usize) -> Result<Stats, BlockError> {
        let mut counted = StatsFold::new(count_max);
        for name in 0..self.name_count() {
            let row = self.name_row(name)?;
            let name = self.string(row.strings)?;
            for pair in row.pairs.0..row.pairs.1 {
                let [string, postings] = self.pair_row(pair)?;
                let count = postings::count(self.postings_bytes(postings)?);
                let count = u64::from(count.ok_or_else(|| self.pages.broken("postings"))?);
                counted.add(name, self.string(string)?, count);
            }
        }
        Ok(counted.finish(u64::from(self.series_count())))
    }
}
