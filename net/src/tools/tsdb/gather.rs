//! Samples of one block in memory, in whatever order their series come.

use std::collections::BTreeMap;
use std::path::Path;

use engine::block::SeriesSamples;
use engine::block::prometheus::{Meta, StartTimestamps};
use engine::model::Labels;

use super::writer::create_block;

/// The series of a block, ascending by their labels.
#[derive(Default)]
pub(super) struct Gathered {
    series: BTreeMap<Labels, SeriesSamples>,
    /// First and last timestamp.
    span_ms: Option<(i64, i64)>,
}

impl Gathered {
    /// Adds a sample, at whatever time.
    ///
    /// # Errors
    ///
    /// The sample before says something else of the same time.
    pub fn add(&mut self, labels: Labels, time_ms: i64, value: f64) -> Result<(), String> {
        let samples = self.series.entry(labels).or_default();
        match samples.timestamps_ms.last() {
            Some(&last_ms) if time_ms < last_ms => {
                let place = samples.timestamps_ms.partition_point(|&known_ms| known_ms < time_ms);
                if samples.timestamps_ms[place] == time_ms {
                    return same(samples.values[place], value);
                }
                samples.timestamps_ms.insert(place, time_ms);
                samples.values.insert(place, value);
                self.widen(time_ms);
                return Ok(());
            }
            Some(&last_ms) if time_ms == last_ms => {
                return same(samples.values.last().copied().unwrap_or_default(), value);
            }
            _ => {}
        }
        samples.timestamps_ms.push(time_ms);
        samples.values.push(value);
        self.widen(time_ms);
        Ok(())
    }

    fn widen(&mut self, time_ms: i64) {
        let (first, last) = self.span_ms.unwrap_or((time_ms, time_ms));
        self.span_ms = Some((first.min(time_ms), last.max(time_ms)));
    }

    /// Writes a block that spans what was gathered; none if that is nothing.
    pub fn write(&self, out: &Path) -> Result<Option<Meta>, String> {
        let Some((first_ms, last_ms)) = self.span_ms else { return Ok(None) };
        let mut block = create_block(out, first_ms, last_ms + 1, StartTimestamps::Drop)?;
        for (labels, samples) in &self.series {
            block.push(labels.as_ref(), samples)?;
        }
        block.finish()
    }
}

fn same(known: f64, value: f64) -> Result<(), String> {
    match known.to_bits() == value.to_bits() {
        true => Ok(()),
        false => Err("duplicate sample for timestamp".to_owned()),
    }
}
