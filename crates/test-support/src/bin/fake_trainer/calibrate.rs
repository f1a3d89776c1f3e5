//! The answer to `calibrate`: FLOPs on a device of 1e10 a second, and 16 bytes a parameter.

use std::io::{self, Write};

use spec::{SegmentSpec, TransferMethod};

use crate::faults::runs_out_of_memory;

const FLOPS_PER_S: f64 = 1e10;

pub fn answer() -> io::Result<()> {
    let segment: SegmentSpec = serde_json::from_reader(io::stdin().lock())?;
    let out_of_memory = runs_out_of_memory(&segment, None);
    let (step_flops, model) = match &segment.transfer {
        None => (Some(segment.recipe.step_flops()), segment.recipe.model.clone()),
        Some(task) => {
            let model = task.model(&segment.recipe.model);
            let step_flops = match &task.method {
                TransferMethod::FineTune(tune) => {
                    Some(model.train_flops_per_example() as f64 * f64::from(tune.batch))
                }
                TransferMethod::FewShot(_) | TransferMethod::LinearProbe(_) => None,
            };
            (step_flops, model)
        }
    };
    let known = |value: f64| (!out_of_memory).then_some(value);
    let line = serde_json::json!({
        "step_s": step_flops.and_then(known).map(|flops| flops / FLOPS_PER_S),
        "example_s": known(model.forward_flops() as f64 / FLOPS_PER_S),
        "peak_bytes": (!out_of_memory).then(|| 16 * model.params()),
        "out_of_memory": out_of_memory,
        "device_name": "imaginary",
        "threads": 1,
    });
    writeln!(io::stdout(), "{line}")
}
