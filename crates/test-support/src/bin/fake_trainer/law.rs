//! What a segment measures at its end: the known law, on every task a little worse.

use std::collections::BTreeMap;

use spec::{SegmentSpec, TransferMethod, TransferSpec};

pub fn metrics(segment: &SegmentSpec) -> BTreeMap<String, f64> {
    let steps = if segment.transfer.is_some() { segment.start } else { segment.end };
    let flops = steps as f64 * segment.recipe.step_flops();
    let error = test_support::known_error(flops, segment.recipe.seed);
    let of_trial = || {
        let mut metrics =
            vec![("val_error".to_owned(), error), ("val_loss".to_owned(), 2.0 * error)];
        if segment.recipe.eval.attention {
            metrics.push(("attention_logit_max".to_owned(), 3.0 + 1.0 / error));
            metrics.push(("attention_entropy".to_owned(), 2.0 * error));
        }
        metrics
    };
    let all = segment.transfer.as_ref().map_or_else(of_trial, |task| of_task(task, error));
    all.into_iter().collect()
}

fn of_task(task: &TransferSpec, error: f64) -> Vec<(String, f64)> {
    let error_and_loss = |name: &str| {
        vec![
            (task.metric(&format!("{name}_error")), 1.1 * error),
            (task.metric(&format!("{name}_loss")), 2.2 * error),
        ]
    };
    match &task.method {
        TransferMethod::FewShot(few) => {
            let of = |shots: &u32| {
                let worse = 1.1 + 1.0 / f64::from(*shots);
                (task.metric(&format!("few_shot_{shots}_error")), worse * error)
            };
            few.shots.iter().map(of).collect()
        }
        TransferMethod::LinearProbe(_) => error_and_loss("linear_probe"),
        TransferMethod::FineTune(_) => error_and_loss("fine_tune"),
    }
}
