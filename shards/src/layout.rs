//! How the data directory is laid out over shards, recorded so that it never changes in silence.
//!
//! ```text
//! hearth-layout 2
//! route xxh3-64/multiply-high
//! generation 1 shards 2
//! generation 2 shards 4
//! crc32c 7b1c99e0
//! ```
//!
//! A generation is a set of logs written by one number of shards. When that number changes, a new
//! generation begins; the older ones are only read any more, by every shard, each for its own
//! series. One that every shard has its share of is over: it has no shards here, so that nobody reads
//! what is left of it while it is removed.
//!
//! A record that is damaged or gone is made anew from the directories that are there: they say which
//! shards wrote. One that is whole and of another version is not touched.

use std::fmt;

use engine::disk::{DirUse, Disk, DiskError, DiskErrorKind, Tree};
use engine::limits::SHARD_COUNT_MAX;

use crate::disk::FileStream;
use crate::observe::{Event, SharedReporter};
use crate::route::ROUTE_NAME;

/// Name of the record, in the root of the data directory.
pub(crate) const LAYOUT: &str = "layout";

/// Name of the directory of logs. Not `wal`: that is where Prometheus has its own.
pub(crate) const LOG: &str = "log";

const MAGIC: &str = "hearth-layout ";
const VERSION: &str = "2";

/// Most changes of the shard count that a directory takes: a bound on what a strange file can make
/// us read.
const GENERATION_COUNT_MAX: usize = 10_000;

/// What the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Shards of each generation, the first of which has number one; zero: it is over.
    pub shard_counts: Vec<usize>,
}

/// Why there is no layout.
#[derive(Debug)]
pub enum LayoutError {
    Disk(DiskError),
    /// The record is whole and says something else.
    Foreign(String),
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LayoutError::Disk(error) => error.fmt(f),
            LayoutError::Foreign(what) => {
                write!(f, "layout: {what}: the data was written by another version of hearth")
            }
        }
    }
}

impl std::error::Error for LayoutError {}

impl From<DiskError> for LayoutError {
    fn from(error: DiskError) -> Self {
        LayoutError::Disk(error)
    }
}

/// What is wrong with a record.
#[derive(Debug, PartialEq, Eq)]
enum Strange {
    Damaged(String),
    Foreign(String),
}

impl Layout {
    /// Reads the layout of a data directory for a process of `shard_count` shards; begins a new
    /// generation when that number changed. Durable when it returns.
    pub async fn take<T: Tree>(
        tree: &T,
        shard_count: usize,
        reporter: &SharedReporter,
    ) -> Result<Layout, LayoutError> {
        let of = DirUse { is_direct: false, kept_prefix: String::new() };
        let root = tree.open("", of).await?;
        let (mut layout, is_recorded) = match root.read(LAYOUT).await {
            Ok(bytes) => match parse(&String::from_utf8_lossy(&bytes)) {
                Ok(layout) => (layout, true),
                Err(Strange::Foreign(what)) => return Err(LayoutError::Foreign(what)),
                Err(Strange::Damaged(what)) => {
                    let kept = root.quarantine(LAYOUT).await?;
                    let message = format!("{what}; made anew from what is there, kept as {kept}");
                    reporter.report(Event::LogDamaged { path: LAYOUT.into(), message });
                    (Layout::found(tree).await?, false)
                }
            },
            Err(error) if error.kind == DiskErrorKind::NotFound => {
                (Layout::found(tree).await?, false)
            }
            Err(error) => return Err(error.into()),
        };
        if layout.over().next().is_some() {
            // Who said so may have been killed before the record was durable: a power cut must not bring
            // generations back of which something is gone.
            root.sync_dir().await?;
        }
        for generation in layout.over() {
            // Its removal may have been cut short.
            remove_generation(tree, generation).await?;
        }
        let recorded = layout.shard_counts.last().copied();
        if recorded != Some(shard_count) {
            layout.shard_counts.push(shard_count);
            if let Some(recorded) = recorded {
                reporter.report(Event::ShardCountChanged { recorded, now: shard_count });
            }
        }
        if !is_recorded || recorded != Some(shard_count) {
            layout.write(&root).await?;
        }
        Ok(layout)
    }

    /// Ends the generations before `generation`: every shard has in parts and blocks of its own what
    /// they left. They are over for good before the first of their files goes.
    pub async fn end_before<T: Tree>(tree: &T, generation: usize) -> Result<(), LayoutError> {
        let root = tree.open("", DirUse::default()).await?;
        let text = root.read(LAYOUT).await?;
        let layout = match parse(&String::from_utf8_lossy(&text)) {
            Ok(layout) => layout,
            Err(Strange::Damaged(what) | Strange::Foreign(what)) => {
                return Err(LayoutError::Foreign(what));
            }
        };
        let mut ended = layout.clone();
        let former = generation - 1;
        ended.shard_counts.iter_mut().take(former).for_each(|count| *count = 0);
        if ended != layout {
            ended.write(&root).await?;
        }
        for generation in ended.over() {
            remove_generation(tree, generation).await?;
        }
        Ok(())
    }

    fn over(&self) -> impl Iterator<Item = usize> {
        let counts = self.shard_counts.iter().zip(1..);
        counts.filter(|(count, _)| **count == 0).map(|(_, generation)| generation)
    }

    /// Replaces the record durably.
    async fn write<D: Disk>(&self, root: &D) -> Result<(), DiskError> {
        let stream = FileStream::create(root, LAYOUT).await?;
        stream.finish(&mut self.to_string().into_bytes()).await
    }

    /// What the directories say: of each generation the shards that left something.
    async fn found<T: Tree>(tree: &T) -> Result<Layout, DiskError> {
        let mut shard_counts = vec![];
        for kind in [LOG, "parts"] {
            for generation in tree.directories(kind).await? {
                let place =
                    generation.parse().ok().filter(|at| (1..=GENERATION_COUNT_MAX).contains(at));
                let Some(place) = place else { continue };
                if shard_counts.len() < place {
                    shard_counts.resize(place, 0);
                }
                for shard in tree.directories(&format!("{kind}/{generation}")).await? {
                    let known = shard.parse().ok().filter(|&shard| shard < SHARD_COUNT_MAX);
                    let count = &mut shard_counts[place - 1];
                    *count = known.map_or(*count, |shard: usize| (shard + 1).max(*count));
                }
            }
        }
        Ok(Layout { shard_counts })
    }
}

async fn remove_generation<T: Tree>(tree: &T, generation: usize) -> Result<(), DiskError> {
    for kind in [LOG, "parts"] {
        tree.remove_all(&format!("{kind}/{generation:04}")).await?;
    }
    Ok(())
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use std::fmt::Write;
        let mut text = format!("{MAGIC}{VERSION}\nroute {ROUTE_NAME}\n");
        for (shard_count, generation) in self.shard_counts.iter().zip(1..) {
            writeln!(text, "generation {generation} shards {shard_count}")?;
        }
        writeln!(f, "{text}crc32c {:08x}", crc32c::crc32c(text.as_bytes()))
    }
}

fn parse(text: &str) -> Result<Layout, Strange> {
    let damaged = |what: String| Strange::Damaged(what);
    let end = text.rfind("crc32c ").ok_or_else(|| damaged("has no checksum".to_owned()))?;
    let (body, checksum) = text.split_at(end);
    if checksum != format!("crc32c {:08x}\n", crc32c::crc32c(body.as_bytes())) {
        return Err(damaged("checksum does not match".to_owned()));
    }
    let foreign = |what: String| Strange::Foreign(what);
    let mut lines = body.lines();
    let first = lines.next().unwrap_or_default();
    if first.strip_prefix(MAGIC) != Some(VERSION) {
        return Err(foreign(format!("{first:?} where \"{MAGIC}{VERSION}\" belongs")));
    }
    let route = lines.next().unwrap_or_default();
    if route.strip_prefix("route ") != Some(ROUTE_NAME) {
        return Err(foreign(format!("{route:?} where \"route {ROUTE_NAME}\" belongs")));
    }
    let mut shard_counts = Vec::new();
    for (line, generation) in lines.zip(1..) {
        let shard_count = line
            .strip_prefix(&format!("generation {generation} shards "))
            .and_then(|shards| shards.parse().ok())
            .filter(|shards| (0..=SHARD_COUNT_MAX).contains(shards));
        shard_counts.push(shard_count.ok_or_else(|| {
            foreign(format!("{line:?} where \"generation {generation} shards …\" belongs"))
        })?);
    }
    let is_over = shard_counts.last().is_none_or(|&shards| shards == 0);
    if is_over || shard_counts.len() > GENERATION_COUNT_MAX {
        return Err(foreign(format!("{} generations", shard_counts.len())));
    }
    Ok(Layout { shard_counts })
}

#[cfg(test)]
mod tests {
    use super::{Layout, Strange, parse};

    const BODY: &str = "hearth-layout 2\nroute xxh3-64/multiply-high\n\
                        generation 1 shards 12\ngeneration 2 shards 0\ngeneration 3 shards 3\n";

    fn text(body: &str) -> String {
        format!("{body}crc32c {:08x}\n", crc32c::crc32c(body.as_bytes()))
    }

    #[test]
    fn a_record_reads_back() {
        let layout = Layout { shard_counts: vec![12, 0, 3] };
        assert_eq!(layout.to_string(), text(BODY));
        assert_eq!(parse(&text(BODY)), Ok(layout));
    }

    #[test]
    fn a_record_of_which_any_bit_is_another_is_damaged() {
        let whole = text(BODY).into_bytes();
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let parsed = parse(&String::from_utf8_lossy(&bytes));
            assert!(matches!(parsed, Err(Strange::Damaged(_))), "bit {bit}: {parsed:?}");
        }
        for length in 0..whole.len() {
            let parsed = parse(&String::from_utf8_lossy(&whole[..length]));
            assert!(matches!(parsed, Err(Strange::Damaged(_))), "{length} bytes: {parsed:?}");
        }
    }

    #[track_caller]
    fn check_foreign(from: &str, to: &str, expected: &str) {
        let parsed = parse(&text(&BODY.replace(from, to)));
        assert_eq!(parsed, Err(Strange::Foreign(expected.to_owned())));
    }

    #[test]
    fn a_whole_record_that_says_something_else_is_refused() {
        check_foreign(
            "layout 2",
            "layout 3",
            r#""hearth-layout 3" where "hearth-layout 2" belongs"#,
        );
        check_foreign(
            "xxh3-64/",
            "md5/",
            r#""route md5/multiply-high" where "route xxh3-64/multiply-high" belongs"#,
        );
        check_foreign("shards 3", "shards 0", "3 generations");
        check_foreign(
            "shards 3",
            "shards 1025",
            r#""generation 3 shards 1025" where "generation 3 shards …" belongs"#,
        );
        check_foreign(
            "generation 2",
            "generation 4",
            r#""generation 4 shards 0" where "generation 2 shards …" belongs"#,
        );
        let begin = BODY.find("generation").unwrap();
        let none = parse(&text(&BODY[..begin]));
        assert_eq!(none, Err(Strange::Foreign("0 generations".to_owned())));
    }
}
