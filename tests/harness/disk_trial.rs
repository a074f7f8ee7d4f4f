//! `disk-trial full|power CYCLES [SEED]`, as root: hearth on a file system that fills up, or whose power
//! is cut, while samples come in.
//!
//! ```text
//! full    on tmpfs, then on ext4: filled to the last byte, freed; hearth must take samples again within
//!         five seconds, by itself, and have all that it acknowledged. About five seconds a cycle
//! power   on ext4: shut down without its log, the process killed, mounted and started anew. About a
//!         second a cycle
//! ```

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::Duration;

use tests::generate::Random;
use tests::ledger::{Findings, Ledger, wait_beyond};
use tests::medium::{Medium, MediumKind};
use tests::{Hearth, Options};

/// Room for the log of two shards, and some.
const MEBIBYTES: u64 = 384;

/// After this much time with room, samples must be taken again.
const HEALED_WITHIN: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: u64| args.get(at).map_or(Ok(default), |text| text.parse());
    let (Ok(cycles), Ok(seed)) = (number(1, 20), number(2, 1)) else {
        eprintln!("disk-trial: numbers belong behind the word");
        return ExitCode::from(2);
    };
    let done = match args.first().map(String::as_str) {
        Some("full") => {
            full(MediumKind::Tmpfs, cycles).and_then(|()| full(MediumKind::Ext4, cycles))
        }
        Some("power") => power(cycles, seed),
        _ => {
            eprintln!("usage: disk-trial full|power CYCLES [SEED]");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("disk-trial: {what}");
            ExitCode::FAILURE
        }
    }
}

/// Hearth on `medium`, flushing all the time.
fn start(medium: &Medium, flush_interval: &str) -> Hearth {
    let mut options = Options::receiver(2);
    options.args.push(format!("--storage.flush-interval={flush_interval}"));
    Hearth::start_on(options, medium.path().join("data"))
}

fn full(kind: MediumKind, cycles: u64) -> Result<(), String> {
    let medium = Medium::new(kind, MEBIBYTES)?;
    // Parts meet the full disk, too.
    let mut hearth = start(&medium, "200ms");
    let process = hearth.process_id();
    let mut ledger = Ledger::new(0, false);
    let (stop, acknowledged) = (AtomicBool::new(false), ledger.acknowledged_rounds());
    let mut slowest = Duration::ZERO;
    let address = hearth.address;
    let lived = scope(|scope| {
        let (ledger, stop) = (&mut ledger, &stop);
        scope.spawn(move || ledger.write_until(address, stop));
        let cycle = |number: u64| {
            let before = acknowledged.load(Ordering::Relaxed);
            wait_beyond(&acknowledged, before + 50, HEALED_WITHIN)
                .ok_or_else(|| format!("{kind:?}, cycle {number}: nothing is taken"))?;
            medium.fill().map_err(|error| error.to_string())?;
            // What is prepared is used up, or the head is to be flushed.
            sleep(Duration::from_millis(1500));
            medium.free().map_err(|error| error.to_string())?;
            let full = acknowledged.load(Ordering::Relaxed);
            wait_beyond(&acknowledged, full + 10, HEALED_WITHIN)
                .ok_or_else(|| format!("{kind:?}, cycle {number}: not healed in {HEALED_WITHIN:?}"))
        };
        let lived: Result<(), String> = (0..cycles).try_for_each(|number| {
            slowest = slowest.max(cycle(number)?);
            Ok(())
        });
        stop.store(true, Ordering::Relaxed);
        lived
    });
    let log = hearth.log();
    lived.map_err(|what| format!("{what}\n{log}"))?;
    if !hearth.is_alive() || hearth.process_id() != process {
        return Err(format!("hearth has ended:\n{log}"));
    }
    let findings = ledger.verify(&hearth, 0);
    hearth.kill();
    hearth.restart();
    let again = ledger.verify(&hearth, 0);
    let data = hearth.data_directory();
    let left = leftovers(&data);
    println!(
        "{kind:?}: {cycles} cycles, slowest {slowest:?}, {findings:?}, after a kill {again:?}"
    );
    println!("{kind:?}: unfinished files: {left:?}");
    check(findings)?;
    check(again)
}

/// Files below `path` that were begun and never finished.
fn leftovers(path: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut left = vec![];
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            left.extend(leftovers(&path));
        } else if path.extension().is_some_and(|extension| extension == "tmp") {
            left.push(path);
        }
    }
    left
}

fn power(cycles: u64, seed: u64) -> Result<(), String> {
    let medium = Medium::new(MediumKind::Ext4, MEBIBYTES)?;
    let mut hearth = start(&medium, "60ms");
    let mut ledgers: Vec<Ledger> = (0..2).map(|writer| Ledger::new(writer, false)).collect();
    let mut random = Random::new(seed);
    let mut total = Findings::default();
    for cycle in 0..cycles {
        let first: Vec<u64> = ledgers.iter().map(Ledger::attempted_rounds).collect();
        let (stop, address) = (AtomicBool::new(false), hearth.address);
        let cut = scope(|scope| {
            for ledger in &mut ledgers {
                let stop = &stop;
                scope.spawn(move || ledger.write_until(address, stop));
            }
            sleep(Duration::from_micros(20_000 + random.below(200_000) as u64));
            let cut = medium.cut_power();
            // What is acknowledged now would be a lie.
            sleep(Duration::from_millis(30));
            hearth.kill();
            stop.store(true, Ordering::Relaxed);
            cut
        });
        cut?;
        medium.power_on()?;
        hearth.restart();
        for (ledger, first) in ledgers.iter().zip(first) {
            total.add(ledger.verify(&hearth, first));
        }
        if cycle % 50 == 49 {
            println!("{} cycles: {total:?}", cycle + 1);
        }
        let log = hearth.log();
        check(total).map_err(|what| format!("{log}\nseed {seed}, cycle {cycle}: {what}"))?;
    }
    let mut all = Findings::default();
    ledgers.iter().for_each(|ledger| all.add(ledger.verify(&hearth, 0)));
    println!("{cycles} power cuts, seed {seed}: {all:?}");
    check(all)
}

fn check(findings: Findings) -> Result<(), String> {
    if findings.is_clean() { Ok(()) } else { Err(format!("{findings:?}")) }
}
