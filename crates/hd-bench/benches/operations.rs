//! The time that operations take, by criterion.

use criterion::{Criterion, criterion_group, criterion_main};
use hd_bench::Operation;

fn operations(criterion: &mut Criterion) {
    for operation in Operation::all() {
        let mut turn = operation.prepare();
        criterion.bench_function(operation.name(), |bencher| bencher.iter(&mut turn));
    }
}

criterion_group!(benches, operations);
criterion_main!(benches);
