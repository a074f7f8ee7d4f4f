//! Storage on a simulated disk, the short run: `cargo run --release -p tests --bin sim` is the long
//! one.

use tests::sim::crash::{Thoroughness, crash_everywhere};
use tests::sim::life::Life;

/// Part of the moments of one life, chosen by the seed.
const SHORT: Thoroughness = Thoroughness { every: 12 };

#[test]
fn a_crash_at_any_moment_of_a_life_loses_nothing_that_was_promised() {
    let coverage = crash_everywhere(1, SHORT, Life::new(1)).unwrap();
    // A run that has met nothing proves nothing.
    assert!(coverage.operation_count > 1_000 && coverage.image_count > 200, "{coverage:?}");
    assert!(coverage.acknowledged_count >= 780, "{coverage:?}");
    for name in ["open", "flush", "maintain", "delete", "clean", "snapshot", "close"] {
        assert!(coverage.done.contains_key(name), "{name}: {coverage:?}");
    }
}

#[test]
fn a_life_is_the_same_again_from_the_same_seed() {
    let live = |seed| {
        let mut life = Life::new(seed);
        life.live().unwrap();
        (life.tree.world.kinds.borrow().clone(), life.tree.world.files())
    };
    assert!(live(7) == live(7));
}
