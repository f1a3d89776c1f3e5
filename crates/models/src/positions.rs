//! Position embeddings for another grid (2010.11929, section 3.2).

use spec::{ModelSpec, Resample};
use tch::{Kind, Tensor, no_grad_guard};

use crate::parameters::Parameter;

/// Brings the position embeddings among `parameters` to the grid of `spec`; other tensors stay as they
/// are, and so do rows that are no square grid.
pub fn resample(spec: &ModelSpec, parameters: &mut [Parameter], how: Resample) {
    let Some(grid) = spec.grid() else { return };
    for parameter in parameters.iter_mut().filter(|parameter| parameter.name == "pos_embed") {
        if let Some(positions) = resample_positions(&parameter.tensor, grid.into(), how) {
            parameter.tensor = positions;
        }
    }
}

/// `[1, tokens, width]` for a square grid of `from` a side, to one of `to` a side. A class token's
/// embedding, if there is one more row than patches, comes first and stays as it is. None: the rows
/// are no such grid.
fn resample_positions(positions: &Tensor, to: i64, how: Resample) -> Option<Tensor> {
    let _no_grad = no_grad_guard();
    let [1, rows, width] = positions.size()[..] else { return None };
    if width == 0 {
        return None;
    }
    let (class, from) = [0, 1].into_iter().find_map(|class| {
        let from = ((rows - class) as f64).sqrt().round() as i64;
        (from > 0 && from * from == rows - class).then_some((class, from))
    })?;
    let grid = positions.narrow(1, class, from * from);
    // Below f32 the filters' sums would be off.
    let kind = if grid.kind() == Kind::Double { Kind::Double } else { Kind::Float };
    let grid = grid.to_kind(kind).view([1, from, from, width]).permute([0, 3, 1, 2]).contiguous();
    let resampled = match how {
        _ if from == to => grid,
        Resample::Bilinear => grid.upsample_bilinear2d([to, to], true, None, None),
        Resample::Bicubic => grid.internal_upsample_bicubic2d_aa([to, to], false, None, None),
    };
    let rows = resampled.permute([0, 2, 3, 1]).reshape([1, to * to, width]);
    let rows = rows.to_kind(positions.kind());
    Some(Tensor::cat(&[positions.narrow(1, 0, class), rows], 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    fn column(values: &[f64]) -> Tensor {
        Tensor::from_slice(values).view([1, -1, 1])
    }

    #[test]
    fn bilinear_keeps_corners_and_halves_between_them() {
        let grid = column(&[9.0, 0.0, 1.0, 2.0, 3.0]);
        let larger = resample_positions(&grid, 3, Resample::Bilinear).unwrap();
        let expected = column(&[9.0, 0.0, 0.5, 1.0, 1.0, 1.5, 2.0, 2.0, 2.5, 3.0]);
        assert!((larger - expected).abs().max().double_value(&[]) < 1e-12);
    }

    #[test]
    fn the_same_grid_stays_as_it_is() {
        let grid = Tensor::randn([1, 16, 5], (Kind::Float, Device::Cpu));
        for how in [Resample::Bilinear, Resample::Bicubic] {
            assert!(resample_positions(&grid, 4, how).unwrap().equal(&grid));
        }
        assert!(resample_positions(&grid.narrow(1, 0, 7), 4, Resample::Bilinear).is_none());
    }
}
