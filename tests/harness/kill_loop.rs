//! `cargo run --release -p tests --bin kill-loop -- [kills] [seed] [--upkeep] [--late] [--queries]`:
//! kills hearth under load and checks that every acknowledged sample survived. Budget: about a second
//! a kill.

use std::process::ExitCode;

use tests::ledger::{KillLoop, kill_loop};

fn main() -> ExitCode {
    let arguments = || std::env::args().skip(1);
    let texts = arguments().filter(|text| !text.starts_with("--"));
    let mut numbers = texts.map(|text| text.parse::<u32>());
    let (Ok(kills), Ok(seed)) =
        (numbers.next().unwrap_or(Ok(200)), numbers.next().unwrap_or(Ok(1)))
    else {
        eprintln!("usage: kill-loop [kills] [seed] [--upkeep] [--late] [--queries]");
        return ExitCode::FAILURE;
    };
    let has = |name: &str| arguments().any(|argument| argument == name);
    let (upkeep, late, queries) = (has("--upkeep"), has("--late"), has("--queries"));
    let writers = if upkeep { 1 } else { 4 };
    let seed = u64::from(seed);
    let parameters = KillLoop { kills, writers, shard_count: 2, seed, upkeep, late, queries };
    let report = kill_loop(parameters, |kill, findings| {
        if kill.is_multiple_of(20) {
            println!(
                "kill {kill}: {} acknowledged samples since the last kill",
                findings.acknowledged
            );
        }
    });
    println!("{} kills, seed {seed}: {:?}", report.kills, report.findings);
    if report.findings.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
