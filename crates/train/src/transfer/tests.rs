use spec::{FewShot, LinearProbe};

use super::few_shot::ridge;
use super::*;
use crate::examples::labels;

/// Numbers without a pattern; libtorch's generator is one for all tests.
fn scattered(rows: i64, columns: i64) -> Tensor {
    let i = Tensor::arange(rows * columns, (Kind::Double, Device::Cpu)) + 1.0;
    ((i.square() * 0.37).remainder(1009.0)).sin().view([rows, columns]) * 1.4
}

/// At the minimum of the penalised squares the gradient is zero.
#[test]
fn ridge_is_the_minimum_from_either_side() {
    for (rows, columns) in [(30, 7), (7, 30)] {
        let (x, y) = (scattered(rows, columns), scattered(rows, 3));
        let weights = ridge(&x, &y, 2.5).unwrap();
        let gradient = x.tr().matmul(&(x.matmul(&weights) - &y)) + &weights * 2.5;
        assert!(gradient.abs().max().double_value(&[]) < 1e-10);
    }
}

/// Classes around corners far apart.
fn clusters(each: i64) -> Features {
    let classes: Vec<u32> = (0..4 * each).map(|place| (place % 4) as u32).collect();
    let corner = labels(&classes).one_hot(4).to_kind(Kind::Double) * 6.0;
    Features { x: corner + scattered(4 * each, 4), labels: classes }
}

#[test]
fn separate_classes_are_told_apart_and_mixed_labels_are_not() {
    let task = |test: Features| Task { train: clusters(40), test, classes: 4 };
    let stop = Stop::default();
    let few = FewShot { shots: vec![1, 10], draws: 3, l2: 1024.0, pool: 160 };
    let metrics = few_shot::measure(&few, &task(clusters(25)), &stop).unwrap();
    assert!(metrics["few_shot_10_error"] < 0.02, "{metrics:?}");
    let probe = LinearProbe { unique_examples: 160, steps: 200, batch: 32, learning_rate: 0.1 };
    let metrics = linear_probe::measure(&probe, &task(clusters(25)), &stop).unwrap();
    assert!(metrics["linear_probe_error"] < 0.02, "{metrics:?}");
    let shifted: Vec<u32> = (0..100).map(|place| (place / 25) as u32).collect();
    let mixed = Features { x: clusters(25).x, labels: shifted };
    let metrics = few_shot::measure(&few, &task(mixed), &stop).unwrap();
    assert!((metrics["few_shot_10_error"] - 0.75).abs() < 0.1, "{metrics:?}");
}

#[test]
fn a_stop_ends_an_evaluation() {
    let task = Task { train: clusters(40), test: clusters(25), classes: 4 };
    let stop = Stop::default();
    stop.request();
    let few = FewShot { shots: vec![1], draws: u32::MAX, l2: 1024.0, pool: 160 };
    assert!(few_shot::measure(&few, &task, &stop).unwrap_err().is_stop());
    let probe =
        LinearProbe { unique_examples: 160, steps: u64::MAX, batch: 32, learning_rate: 0.1 };
    assert!(linear_probe::measure(&probe, &task, &stop).unwrap_err().is_stop());
}
