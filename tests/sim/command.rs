//! `sim`: the long runs on the simulated disk.
//!
//! ```text
//! sim crash SEEDS [EVERY]      a crash at every moment of a life, per seed
//! sim fail SEEDS [EVERY]       a fault at every operation of a life, in every way, per seed
//! sim damage [EVERY]           every bit, every length, every sector of every kind of file
//! sim planted                  whether each planted bug is found
//! ```
//!
//! EVERY looks at one place in so many. Ends with 1 at a violation, and says how to see it again.

use std::process::ExitCode;
use std::time::Instant;

use tests::sim::crash::{Coverage, Thoroughness, crash_everywhere};
use tests::sim::damage::Specimen;
use tests::sim::failing::{fail_everywhere, ways};
use tests::sim::hunt::look_for;
use tests::sim::life::Life;
use tests::sim::planted::Bug;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number =
        |at: usize, default: usize| args.get(at).map_or(Ok(default), |text| text.parse::<usize>());
    let (Ok(first), Ok(second)) = (number(1, 1), number(2, 1)) else {
        eprintln!("sim: {args:?}: numbers belong behind the word");
        return ExitCode::from(2);
    };
    let begun = Instant::now();
    let done = match args.first().map(String::as_str) {
        Some("crash") => crash(first as u64, second),
        Some("fail") => fail(first as u64, second),
        Some("damage") => damage(first),
        Some("planted") => planted(),
        _ => {
            eprintln!(
                "usage: sim crash SEEDS [EVERY] | fail SEEDS [EVERY] | damage [EVERY] | planted"
            );
            return ExitCode::from(2);
        }
    };
    println!("{:.1} s", begun.elapsed().as_secs_f64());
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            println!("VIOLATION: {what}");
            ExitCode::FAILURE
        }
    }
}

fn crash(seeds: u64, every: usize) -> Result<(), String> {
    let mut total = Coverage::default();
    for seed in 1..=seeds {
        let coverage = crash_everywhere(seed, Thoroughness { every }, Life::new(seed))?;
        println!("seed {seed}: {coverage:?}");
        total.add(&coverage);
    }
    println!("all: {total:?}");
    Ok(())
}

fn fail(seeds: u64, every: usize) -> Result<(), String> {
    for seed in 1..=seeds {
        for way in ways() {
            let coverage = fail_everywhere(seed, way, every, 0, None)?;
            println!("seed {seed}, {way:?}: {coverage:?}");
        }
    }
    Ok(())
}

fn damage(every: usize) -> Result<(), String> {
    let specimen = Specimen::make()?;
    for (path, bytes, looked_at) in specimen.files() {
        println!("{path}: {} bytes, {looked_at} of them damaged", bytes.len());
    }
    for (kind, split) in specimen.damage(every, 0, None)? {
        println!("{kind}: {split:?}");
    }
    Ok(())
}

fn planted() -> Result<(), String> {
    let mut missed = vec![];
    for bug in Bug::ALL {
        match look_for(bug) {
            Ok(()) => missed.push(bug),
            Err(what) => println!("{bug:?}: {what}"),
        }
    }
    match missed.is_empty() {
        true => Ok(()),
        false => Err(format!("{missed:?} of {} are not found", Bug::ALL.len())),
    }
}
