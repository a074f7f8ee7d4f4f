//! Series like those of a fleet of node_exporters, and their values, from one seed.
//!
//! An instance has the families of [`families`]; a series is an instance, a family and its own
//! label values. Values move as their kind does: counters grow by whole or decimal amounts,
//! gauges walk, and about half of all series stand still, as on real hosts.

pub mod families;
pub mod pods;
pub mod tsbs;

use families::{FAMILIES, Family, Kind};

/// A small, fast generator (xorshift64*): the workload must cost less than what it feeds.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Rng {
        Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Uniform in `0..bound`; `bound` is small against 2^32, so the bias does not matter.
    #[inline]
    pub fn below(&mut self, bound: u32) -> u32 {
        (((self.next_u64() >> 32) * u64::from(bound)) >> 32) as u32
    }
}

/// Stands for the number of an instance's life, in as many digits.
pub const GENERATION: &str = "00000~";

/// One series: its labels in wire order (ascending by name) and how it moves.
#[derive(Clone, Debug)]
pub struct Series {
    pub labels: Vec<(&'static str, String)>,
    pub kind: Kind,
}

/// The series of one instance, the same for every call with the same arguments.
///
/// The `instance` label holds [`GENERATION`], which distinguishes the lives of an instance that is
/// replaced.
pub fn instance_series(instance: usize, series_count: usize) -> Vec<Series> {
    let address = format!("host-{instance:05}-{GENERATION}.dc{}.example:9100", instance % 4);
    let mut series = Vec::with_capacity(series_count);
    // Families repeat with a suffix when an instance is asked for more series than they have.
    for round in 0.. {
        for family in FAMILIES {
            for variant in 0..family.series_count() {
                if series.len() == series_count {
                    return series;
                }
                series.push(Series {
                    labels: labels(family, variant, round, &address),
                    kind: family.kind,
                });
            }
        }
    }
    series
}

fn labels(
    family: &Family,
    variant: usize,
    round: usize,
    address: &str,
) -> Vec<(&'static str, String)> {
    let name = match round {
        0 => family.name.to_owned(),
        _ => format!("{}_{round}", family.name),
    };
    let mut labels = vec![
        ("__name__", name),
        ("cluster", "production-eu-1".to_owned()),
        ("instance", address.to_owned()),
        ("job", "node".to_owned()),
    ];
    let mut rest = variant;
    for (label, values) in family.labels {
        let value = match values {
            families::Values::List(list) => list[rest % list.len()].to_owned(),
            families::Values::Numbers(count) => (rest % count).to_string(),
            families::Values::Prefixed(prefix, count) => format!("{prefix}{}", rest % count),
        };
        rest /= values.count();
        labels.push((label, value));
    }
    labels.sort_by_key(|(name, _)| *name);
    labels
}

/// Bits behind the point of a walk between 0 and 100, and its largest value in them.
const WALK_FRACTION_BITS: u32 = 45;
const WALK_MAX: i64 = 100 << WALK_FRACTION_BITS;

/// The current values of many series as one column.
#[derive(Clone, Debug)]
pub struct Values {
    kinds: Vec<Kind>,
    /// Fixed point: whole units for whole kinds, hundredths for decimal kinds.
    states: Vec<i64>,
    rng: Rng,
}

impl Values {
    pub fn new(kinds: impl IntoIterator<Item = Kind>, seed: u64) -> Values {
        let mut rng = Rng::new(seed);
        let kinds: Vec<Kind> = kinds.into_iter().collect();
        let states = kinds
            .iter()
            .map(|kind| match kind {
                Kind::Constant => i64::from(rng.below(1 << 20)),
                Kind::CounterSteady(_) => 0,
                Kind::GaugeWhole | Kind::GaugeFull => (rng.next_u64() >> 1) as i64 % WALK_MAX,
                _ => i64::from(rng.below(1 << 30)),
            })
            .collect();
        Values { kinds, states, rng }
    }

    pub fn len(&self) -> usize {
        self.kinds.len()
    }

    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// Moves series `index` one step on and returns its value. A few nanoseconds.
    #[inline]
    pub fn step(&mut self, index: usize) -> f64 {
        let state = &mut self.states[index];
        match self.kinds[index] {
            Kind::Constant => *state as f64,
            Kind::CounterWhole => {
                *state += i64::from(self.rng.below(200));
                *state as f64
            }
            Kind::CounterSteady(amount) => {
                *state += i64::from(amount);
                *state as f64
            }
            Kind::CounterDecimal => {
                *state += i64::from(self.rng.below(1500));
                *state as f64 / 100.0
            }
            Kind::GaugeBytes => {
                *state += (i64::from(self.rng.below(64)) - 32) * 4096;
                *state as f64
            }
            Kind::GaugeDecimal => {
                *state += i64::from(self.rng.below(400)) - 200;
                *state as f64 / 100.0
            }
            kind @ (Kind::GaugeWhole | Kind::GaugeFull) => {
                let step = (self.rng.next_u64() >> (64 - WALK_FRACTION_BITS - 1)) as i64;
                *state = (*state + step - (1 << WALK_FRACTION_BITS)).clamp(0, WALK_MAX);
                match kind {
                    Kind::GaugeWhole => (*state >> WALK_FRACTION_BITS) as f64,
                    _ => *state as f64 / (1u64 << WALK_FRACTION_BITS) as f64,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{Kind, Values, instance_series};

    #[test]
    fn series_are_distinct_sorted_and_repeatable() {
        let series = instance_series(7, 1500);
        assert_eq!(series.len(), 1500);
        let mut seen = HashSet::new();
        for one in &series {
            assert!(one.labels.is_sorted_by(|a, b| a.0 < b.0), "{one:?}");
            assert!(seen.insert(format!("{:?}", one.labels)), "{one:?} stands twice");
        }
        assert_eq!(
            format!("{:?}", instance_series(7, 1500)),
            format!("{series:?}"),
            "the same arguments give the same series"
        );
        assert_ne!(format!("{:?}", instance_series(8, 1)), format!("{:?}", &series[..1]));
    }

    #[test]
    fn counters_never_fall_and_constants_never_move() {
        let kinds = [Kind::Constant, Kind::CounterWhole, Kind::CounterDecimal];
        let mut values = Values::new(kinds, 42);
        let mut last: Vec<f64> = (0..3).map(|index| values.step(index)).collect();
        for _ in 0..1000 {
            let next: Vec<f64> = (0..3).map(|index| values.step(index)).collect();
            assert_eq!(next[0], last[0]);
            assert!(next[1] >= last[1] && next[2] >= last[2]);
            last = next;
        }
    }
}
