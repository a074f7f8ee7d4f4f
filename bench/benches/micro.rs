//! Times the steps of `bench::micro`; the expectation of each stands beside its figure, which
//! criterion gives per thing: a rate of 50 Melem/s are 20 ns.

use std::time::Duration;

use criterion::{Criterion, Throughput};

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    for mut step in bench::micro::steps() {
        let mut group = criterion.benchmark_group(step.name);
        group.throughput(Throughput::Elements(step.count as u64));
        group.bench_function(step.expected, |bencher| bencher.iter(|| (step.run)()));
        group.finish();
    }
    criterion.final_summary();
}
