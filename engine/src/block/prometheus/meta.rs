//! `meta.json`: what a block says about itself.
//!
//! Source: Prometheus `tsdb/block.go`, `BlockMeta`: the same fields in the same order, so that what is
//! written here is the same to the byte.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::super::error::{BlockError, Problem};
use super::super::id::BlockId;

const VERSION: u32 = 1;

/// Hint that a block holds samples that came out of order.
const OUT_OF_ORDER: &str = "from-out-of-order";

/// A block's `meta.json`. Unknown fields (Thanos and Mimir add their own) are passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    pub id: BlockId,
    /// The time it stands for, `start..end`.
    pub start_ms: i64,
    pub end_ms: i64,
    pub stats: Stats,
    /// One for a cut of the head; of a merge one more than the highest of its parents.
    pub level: u32,
    /// First blocks that went into this one, and the blocks that it stands for.
    pub sources: Vec<BlockId>,
    pub parents: Vec<Parent>,
    pub is_out_of_order: bool,
    /// Has no samples; may be removed.
    pub is_deletable: bool,
    /// A merge of it failed.
    pub has_failed: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Stats {
    #[serde(rename = "numSamples", skip_serializing_if = "is_zero")]
    pub sample_count: u64,
    #[serde(rename = "numFloatSamples", skip_serializing_if = "is_zero")]
    pub float_count: u64,
    #[serde(rename = "numHistogramSamples", skip_serializing_if = "is_zero")]
    pub histogram_count: u64,
    #[serde(rename = "numSeries", skip_serializing_if = "is_zero")]
    pub series_count: u64,
    #[serde(rename = "numChunks", skip_serializing_if = "is_zero")]
    pub chunk_count: u64,
    #[serde(rename = "numTombstones", skip_serializing_if = "is_zero")]
    pub tombstone_count: u64,
}

/// A block that another stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parent {
    pub id: BlockId,
    pub start_ms: i64,
    pub end_ms: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    ulid: String,
    min_time: i64,
    max_time: i64,
    #[serde(default)]
    stats: Stats,
    #[serde(default)]
    compaction: Compaction,
    version: u32,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Compaction {
    level: u32,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    sources: Vec<String>,
    #[serde(skip_serializing_if = "is_false")]
    deletable: bool,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    parents: Vec<Described>,
    #[serde(skip_serializing_if = "is_false")]
    failed: bool,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    hints: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Described {
    ulid: String,
    min_time: i64,
    max_time: i64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn is_false(flag: &bool) -> bool {
    !flag
}

/// The blocks that `thanos.shipper.json` lists: they are in an object store, brought there by what ran
/// beside Prometheus. Nothing when it is none.
///
/// Source: Thanos `pkg/shipper/shipper.go`, `Meta`.
pub fn uploaded_blocks(bytes: &[u8]) -> BTreeSet<BlockId> {
    #[derive(Deserialize)]
    struct Shipper {
        #[serde(default, deserialize_with = "null_is_empty")]
        uploaded: Vec<String>,
    }
    let listed: Option<Shipper> = serde_json::from_slice(bytes).ok();
    let listed = listed.map(|shipper| shipper.uploaded).unwrap_or_default();
    listed.iter().filter_map(|id| id.parse().ok()).collect()
}

/// Go writes a list that was never made as `null`.
fn null_is_empty<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Meta {
    /// Whether the blocks `uploaded` have all that is in this one.
    pub fn is_in(&self, uploaded: &BTreeSet<BlockId>) -> bool {
        uploaded.contains(&self.id)
            || !self.sources.is_empty() && self.sources.iter().all(|id| uploaded.contains(id))
    }

    /// Errors: no JSON of this form, another version, or times that make no sense.
    pub fn decode(bytes: &[u8]) -> Result<Meta, BlockError> {
        let error = |problem| BlockError { file: "meta.json".into(), problem };
        let file: File = serde_json::from_slice(bytes).map_err(|_| error(Problem::Foreign))?;
        if file.version != VERSION {
            return Err(error(Problem::Version(file.version)));
        }
        let broken = |what| error(Problem::Broken(what));
        let id = |text: &str| text.parse().map_err(|_| broken("block id"));
        let ids =
            |texts: &[String]| texts.iter().map(|text| id(text)).collect::<Result<Vec<_>, _>>();
        if file.min_time > file.max_time {
            return Err(broken("times"));
        }
        let compaction = &file.compaction;
        let parents: Result<Vec<Parent>, BlockError> = compaction
            .parents
            .iter()
            .map(|parent| {
                let Described { ulid, min_time, max_time } = parent;
                Ok(Parent { id: id(ulid)?, start_ms: *min_time, end_ms: *max_time })
            })
            .collect();
        Ok(Meta {
            id: id(&file.ulid)?,
            start_ms: file.min_time,
            end_ms: file.max_time,
            stats: file.stats,
            level: compaction.level,
            sources: ids(&compaction.sources)?,
            parents: parents?,
            is_out_of_order: compaction.hints.iter().any(|hint| hint == OUT_OF_ORDER),
            is_deletable: compaction.deletable,
            has_failed: compaction.failed,
        })
    }

    /// The file, indented by tabs.
    pub fn encode(&self) -> Vec<u8> {
        let described = |parent: &Parent| Described {
            ulid: parent.id.to_string(),
            min_time: parent.start_ms,
            max_time: parent.end_ms,
        };
        let file = File {
            ulid: self.id.to_string(),
            min_time: self.start_ms,
            max_time: self.end_ms,
            stats: self.stats,
            compaction: Compaction {
                level: self.level,
                sources: self.sources.iter().map(BlockId::to_string).collect(),
                deletable: self.is_deletable,
                parents: self.parents.iter().map(described).collect(),
                failed: self.has_failed,
                hints: if self.is_out_of_order { vec![OUT_OF_ORDER.to_owned()] } else { vec![] },
            },
            version: VERSION,
        };
        let mut out = vec![];
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
        file.serialize(&mut serializer).expect("numbers and texts always become JSON");
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let id = BlockId::new(1_760_000_000_000, *b"0123456789");
        let meta = Meta {
            id,
            start_ms: -7,
            end_ms: 7_200_000,
            stats: Stats { sample_count: 9, float_count: 9, series_count: 2, ..Stats::default() },
            level: 2,
            sources: vec![id],
            parents: vec![Parent { id, start_ms: 0, end_ms: 1 }],
            is_out_of_order: true,
            ..Meta::default()
        };
        let text = meta.encode();
        assert_eq!(Meta::decode(&text), Ok(meta));
        for length in 0..text.len() {
            assert!(Meta::decode(&text[..length]).is_err());
        }
    }

    #[track_caller]
    fn check_refused(text: &str, problem: Problem) {
        assert_eq!(Meta::decode(text.as_bytes()).unwrap_err().problem, problem);
    }

    #[test]
    fn fields_that_are_not_known_are_passed_over() {
        let text = r#"{"ulid":"01ARYZ6S41ZZZZZZZZZZZZZZZZ","minTime":1,"maxTime":2,"version":1,
            "compaction":{"level":1,"sources":null},"thanos":{"labels":{}}}"#;
        let meta = Meta::decode(text.as_bytes()).unwrap();
        assert_eq!((meta.start_ms, meta.end_ms, meta.level), (1, 2, 1));
        check_refused("", Problem::Foreign);
        check_refused(&text.replace("\"version\":1", "\"version\":2"), Problem::Version(2));
        check_refused(&text.replace("01AR", "81AR"), Problem::Broken("block id"));
        check_refused(&text.replace("\"minTime\":1", "\"minTime\":3"), Problem::Broken("times"));
    }
}
