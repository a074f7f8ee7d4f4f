//! `cargo run --release -p engine --example guest -- DIRECTORY [OUTPUT]`: opens a block of Prometheus,
//! reads all its samples, and writes them as a new block, below OUTPUT or in memory only. Prints what
//! each costs.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use engine::block::prometheus::{
    BlockFiles, NewBlock, Pieces, PrometheusBlock, PrometheusWriter, StartTimestamps,
};
use engine::block::{BlockId, SeriesSamples};
use engine::disk::FileBytes;
use engine::model::{Samples, TimeRange};

const ALL: TimeRange = TimeRange { min_ms: i64::MIN, max_ms: i64::MAX };

fn read(path: &Path) -> FileBytes {
    Arc::new(std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

fn main() {
    let directory = std::env::args().nth(1).expect("usage: guest DIRECTORY");
    let directory = Path::new(&directory);
    let chunks = std::fs::read_dir(directory.join("chunks")).expect("a block has chunks");
    let mut segments: Vec<_> = chunks.map(|entry| entry.expect("readable").path()).collect();
    segments.sort();
    let files = BlockFiles {
        meta: std::fs::read(directory.join("meta.json")).expect("a block has a meta.json"),
        index: read(&directory.join("index")),
        segments: segments.iter().map(|path| read(path)).collect(),
    };
    let begun = Instant::now();
    let block = PrometheusBlock::open(files).expect("a block");
    println!("open: {:?}", begun.elapsed());
    let begun = Instant::now();
    let survey = block.survey(2, |hash| (hash & 1) as usize, || false).expect("sound series");
    let series_count = survey.expect("not stopped").series_count;
    println!("survey: {:?}, {series_count} series", begun.elapsed());

    let all = block.all_series().expect("sound postings");
    let (mut samples, mut room) = (Samples::default(), vec![]);
    for round in 0..3 {
        let begun = Instant::now();
        let mut count = 0;
        for series in &all {
            samples.clear();
            block.samples(series, ALL, &mut samples, &mut room).expect("sound chunks");
            count += samples.len();
        }
        let each = begun.elapsed().as_nanos() as f64 / count.max(1) as f64;
        println!("read {round}: {count} samples, {each:.2} ns each");
    }

    let begun = Instant::now();
    let new = NewBlock {
        id: BlockId::new(1, [1; 10]),
        start_ms: block.meta().start_ms,
        end_ms: block.meta().end_ms,
        level: 1,
        ..NewBlock::default()
    };
    let id = new.id;
    let mut writer = PrometheusWriter::new(new, StartTimestamps::Keep);
    let (mut pieces, mut bytes) = (Pieces::default(), 0);
    let target = std::env::args().nth(2).map(|output| Path::new(&output).join(id.to_string()));
    if let Some(target) = &target {
        std::fs::create_dir_all(target.join("chunks")).expect("a directory that can be written");
    }
    let mut take = |pieces: &mut Pieces| {
        for (file, piece) in pieces.drain() {
            bytes += piece.len();
            if let Some(target) = &target {
                let mut options = std::fs::File::options();
                let file = options.create(true).append(true).open(target.join(file.path()));
                file.and_then(|mut file| file.write_all(&piece)).expect("a file can be written");
            }
        }
    };
    for series in &all {
        let mut samples = SeriesSamples::default();
        block.series_samples(series, ALL, &mut samples).expect("sound chunks");
        let mut buffer = vec![];
        let labels = block.labels(series, &mut buffer).expect("sound labels");
        writer.push_series(labels, &samples, &mut pieces).expect("in order");
        take(&mut pieces);
    }
    while writer.finish(&mut pieces).expect("there is room").is_none() {
        take(&mut pieces);
    }
    take(&mut pieces);
    let before = block.file_bytes();
    println!("read and write: {:?}, {bytes} bytes, {before} before", begun.elapsed());
}
