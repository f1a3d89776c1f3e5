//! A few steps of each workload on the device, and what they took: `isoflop-trainer calibrate`.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, anyhow};
use scheduler::{Plan, PlannedSegment};
use serde::Deserialize;
use spec::{Id, SegmentSpec};
use store::{Calibration, Store};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::devices::NamedSlot;
use crate::journal::now;
use crate::progress::{say, workload_label};

/// What the trainer answers, in one line of JSON.
#[derive(Debug, Default, Deserialize)]
struct Answer {
    /// Seconds of an optimiser step; None where a workload takes none.
    step_s: Option<f64>,
    /// Seconds of evaluating one example.
    example_s: Option<f64>,
    peak_bytes: Option<u64>,
    #[serde(default)]
    out_of_memory: bool,
}

/// Measures what the store does not know of the plan's workloads on slots like this one, smallest
/// first, and stores each as it is known.
///
/// # Errors
/// A trainer that cannot be started or does not answer, or the store's.
pub async fn calibrate(
    store: &Store,
    program: &Path,
    slot: &NamedSlot,
    plan: &Plan,
) -> anyhow::Result<()> {
    let known = store.calibrations(&slot.device_name, slot.slot.threads).await?;
    let missing = missing(plan, &known);
    for (n, segment) in missing.iter().enumerate() {
        let label = workload_label(&segment.spec);
        let answer = ask(program, slot, &segment.spec)
            .await
            .with_context(|| format!("cannot calibrate {label}"))?;
        say(&format!("calibrated {} of {}: {label}  {}", n + 1, missing.len(), answer.words()));
        store.save_calibrations(&[answer.of(segment.workload, slot)], now()).await?;
    }
    Ok(())
}

/// A segment of each workload that is not known, cheapest steps first.
fn missing<'a>(plan: &'a Plan, known: &HashMap<Id, Calibration>) -> Vec<&'a PlannedSegment> {
    let mut seen = HashSet::new();
    let is_new = |segment: &&PlannedSegment| {
        !known.contains_key(&segment.workload) && seen.insert(segment.workload)
    };
    let mut missing: Vec<_> = plan.segments.iter().filter(is_new).collect();
    let flops = |segment: &PlannedSegment| segment.spec.recipe.step_flops();
    missing.sort_by(|a, b| flops(a).total_cmp(&flops(b)));
    missing
}

async fn ask(program: &Path, slot: &NamedSlot, spec: &SegmentSpec) -> anyhow::Result<Answer> {
    let mut child = command(program, slot)
        .spawn()
        .with_context(|| format!("cannot start the trainer `{}`", program.display()))?;
    let mut question = child.stdin.take().expect("stdin is piped");
    // A trainer that does not read it says why, and that is what to report.
    let _ = question.write_all(serde_json::to_string(spec)?.as_bytes()).await;
    drop(question);
    let output = child.wait_with_output().await?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(anyhow!("the trainer ended with {}: {}", output.status, complaint.trim()));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().last().unwrap_or_default();
    serde_json::from_str(line).with_context(|| format!("the trainer answered `{line}`"))
}

fn command(program: &Path, NamedSlot { slot, .. }: &NamedSlot) -> Command {
    let mut command = Command::new(program);
    command
        .args(["calibrate", "--device", &slot.device, "--threads", &slot.threads.to_string()])
        .env("OMP_NUM_THREADS", slot.threads.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    if let Some(gpu) = &slot.visible_gpu {
        command.env("CUDA_VISIBLE_DEVICES", gpu);
    }
    command
}

impl Answer {
    fn of(&self, workload: Id, slot: &NamedSlot) -> Calibration {
        Calibration {
            workload,
            device_name: slot.device_name.clone(),
            threads: slot.slot.threads,
            step_s: self.step_s,
            example_s: self.example_s,
            peak_bytes: self.peak_bytes,
            out_of_memory: self.out_of_memory,
        }
    }

    /// `3.1 ms a step, 0.2 ms an evaluated example, 0.4 GB`.
    fn words(&self) -> String {
        if self.out_of_memory {
            return "does not fit into memory".to_owned();
        }
        let step = self.step_s.map(|s| format!("{:.3} ms a step", 1e3 * s));
        let example = self.example_s.map(|s| format!("{:.4} ms an evaluated example", 1e3 * s));
        let peak = self.peak_bytes.map(|bytes| format!("{:.2} GB", bytes as f64 / 1e9));
        step.into_iter().chain(example).chain(peak).collect::<Vec<_>>().join(", ")
    }
}
