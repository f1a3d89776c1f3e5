//! Few-shot regression in closed form, big_vision's `fewshot_lsr` in f64 (2010.11929, section 4.1;
//! 2106.04560, section 2).

use std::collections::BTreeMap;

use data::few_shot::shots;
use spec::FewShot;
use tch::{Kind, Tensor};

use super::{Features, Task, TransferError, check, error, statistics, with_constant};
use crate::examples::labels;
use crate::stop::Stop;

/// The constant feature that stands for a bias, so large that the penalty hardly touches its weight.
const BIAS_FEATURE: f64 = 100.0;

/// `few_shot_<shots>_error`: the share of wrong first choices, its mean over draws.
///
/// # Errors
/// A class with too few examples, a stop.
pub(super) fn measure(
    few: &FewShot,
    task: &Task,
    stop: &Stop,
) -> Result<BTreeMap<String, f64>, TransferError> {
    let mut metrics = BTreeMap::new();
    for &count in &few.shots {
        let mut sum = 0.0;
        for draw in 0..few.draws {
            check(stop)?;
            let chosen = shots(&task.train.labels, task.classes, count, 0, draw)?;
            sum += error_of(&taken(&task.train, &chosen), task, few.l2)?;
        }
        metrics.insert(format!("few_shot_{count}_error"), sum / f64::from(few.draws));
    }
    Ok(metrics)
}

fn taken(features: &Features, places: &[usize]) -> Features {
    let rows: Vec<i64> = places.iter().map(|&place| (place as u64).cast_signed()).collect();
    Features {
        x: features.x.index_select(0, &Tensor::from_slice(&rows)),
        labels: places.iter().map(|&place| features.labels[place]).collect(),
    }
}

/// Features are standardised by the shots' own statistics and have a constant one appended; targets are
/// -1 and 1; `W = argmin |XW - Y|^2 + l2 |W|^2`.
fn error_of(shots: &Features, task: &Task, l2: f64) -> Result<f64, TransferError> {
    let y = labels(&shots.labels).one_hot(task.classes.into()).to_kind(Kind::Double) * 2.0 - 1.0;
    let (mean, spread) = statistics(&shots.x);
    let prepared = |x: &Tensor| with_constant(&((x - &mean) / &spread), BIAS_FEATURE);
    let weights = ridge(&prepared(&shots.x), &y, l2).map_err(TransferError::Solve)?;
    Ok(error(&prepared(&task.test.x).matmul(&weights), &labels(&task.test.labels)))
}

/// `(X'X + l2 I)^-1 X'Y`, or the same as `X'(XX' + l2 I)^-1 Y` where there are fewer rows than columns.
pub(super) fn ridge(x: &Tensor, y: &Tensor, l2: f64) -> Result<Tensor, tch::TchError> {
    let (rows, columns) = x.size2()?;
    let penalised = |gram: Tensor, side: i64| gram + Tensor::eye(side, (x.kind(), x.device())) * l2;
    if rows < columns {
        let gram = penalised(x.matmul(&x.tr()), rows);
        return Ok(x.tr().matmul(&Tensor::f_linalg_solve(&gram, y, true)?));
    }
    Tensor::f_linalg_solve(&penalised(x.tr().matmul(x), columns), &x.tr().matmul(y), true)
}
