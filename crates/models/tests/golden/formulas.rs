//! The formulas of tools/parity/models.py and make.py, by which weights and images are made and numbers
//! are put on record. Included by the tests of `models` and of `train`.

use tch::{Device, Kind, Tensor};

const OPTIONS: (Kind, Device) = (Kind::Double, Device::Cpu);

/// `formula_weights`: the n-th of the sorted names.
pub fn weight(n: usize, name: &str, shape: &[i64]) -> Tensor {
    let count: i64 = shape.iter().product();
    let i = Tensor::arange_start(1, count + 1, OPTIONS);
    let module = name.rsplit('.').nth(1).unwrap_or_default();
    let values = match name.ends_with(".weight") && module.starts_with("conv") {
        true => ((i.square().remainder(1009) * 0.37 + n as f64).sin()) * 0.001,
        false => {
            let is_scale = name.contains("norm") && name.ends_with("weight");
            (i * 0.37 + n as f64).sin() * 0.1 + f64::from(is_scale)
        }
    };
    values.view(shape)
}

/// `formula_images`.
pub fn images(batch: i64, side: i64) -> Tensor {
    let i = Tensor::arange(batch * 3 * side * side, OPTIONS);
    (i.remainder(257) / 128.5 - 1).view([batch, 3, side, side])
}

/// `digest`: the sum, the sum of squares, and eight elements.
pub fn digest(values: &Tensor) -> Vec<f64> {
    let flat = values.to_kind(Kind::Double).reshape([-1]);
    let count = flat.size()[0];
    let sums = [flat.sum(Kind::Double), flat.square().sum(Kind::Double)];
    let elements = (0..8).map(|k| flat.get((2 * k + 1) * count / 16));
    sums.into_iter().chain(elements).map(|scalar| scalar.double_value(&[])).collect()
}
