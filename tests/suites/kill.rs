//! SIGKILL at any moment loses nothing that was acknowledged.
//!
//! The long form is a command: `cargo run --release -p tests --bin kill-loop -- 200`.

use tests::ledger::{KillLoop, kill_loop};

fn check(parameters: KillLoop) {
    let report = kill_loop(parameters, |_, _| {});
    assert!(report.findings.is_clean(), "{report:?}");
    assert!(
        report.findings.acknowledged >= parameters.acknowledged_min(),
        "the load must be real: {report:?}"
    );
}

#[test]
fn acknowledged_samples_survive_kill_9() {
    for shard_count in [1, 2] {
        let parameters = KillLoop {
            kills: 4,
            writers: 2,
            shard_count,
            seed: 7,
            upkeep: false,
            late: false,
            queries: false,
        };
        check(parameters);
    }
}

#[test]
fn kills_in_flushes_cuts_and_merges_lose_nothing() {
    let parameters = KillLoop {
        kills: 8,
        writers: 1,
        shard_count: 2,
        seed: 11,
        upkeep: true,
        late: false,
        queries: true,
    };
    check(parameters);
}

#[test]
fn kills_lose_no_sample_that_came_out_of_order() {
    let parameters = KillLoop {
        kills: 6,
        writers: 1,
        shard_count: 2,
        seed: 5,
        upkeep: true,
        late: true,
        queries: false,
    };
    check(parameters);
}
