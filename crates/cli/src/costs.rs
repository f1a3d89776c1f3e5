//! What segments take on a device, in seconds and bytes: measured by their attempts, else calibrated,
//! else guessed. The one place that knows; plans, progress and what a store says was predicted ask here.
//!
//! A segment is so many optimiser steps and so many evaluated examples, and each takes a time that
//! depends on the workload ([`spec::Recipe::workload_id`]) and the device. Attempts do not say how their
//! time divides into the two: they scale what is calibrated or guessed.

use std::collections::HashMap;

use scheduler::{Plan, PlannedSegment};
use spec::{Id, SegmentSpec, TransferMethod, TransferSpec};
use store::{Calibration, MeasuredCost, Store, StoreError};

use crate::devices::NamedSlot;
use crate::memory::memory_bytes;

/// What an estimate stands on; the weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    Guessed,
    /// A few steps on the device.
    Calibrated,
    /// Finished attempts on the device.
    Measured,
}

/// What a device does in a second, where nothing is known of a workload.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guess {
    /// Seconds of a step of a model without any arithmetic.
    pub step_overhead_s: f64,
    pub flops_per_s: f64,
}

/// What a segment takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    pub seconds: f64,
    /// Most memory held at once.
    pub bytes: f64,
    /// Of the seconds.
    pub basis: Basis,
    /// Whether the workload has been seen not to fit.
    pub is_out_of_memory: bool,
}

/// The costs of a plan's workloads on one kind of slot.
pub struct Costs {
    workloads: HashMap<Id, Workload>,
}

/// What a step and an evaluated example of a workload take.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Workload {
    rates: Rates,
    basis: Basis,
    /// Most memory held at once.
    bytes: f64,
    is_out_of_memory: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Rates {
    step_s: f64,
    example_s: f64,
}

/// How much there is to do.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Work {
    steps: f64,
    /// Examples that are evaluated, or whose features are computed.
    examples: f64,
}

impl Guess {
    /// A core of a CPU: tiny models cost their overhead.
    pub const CORE: Self =
        Self { step_overhead_s: scheduler::STEP_OVERHEAD_S, flops_per_s: scheduler::FLOPS_PER_S };
    pub const GPU: Self = Self { step_overhead_s: 2e-3, flops_per_s: 1e14 };

    pub const fn of(slot: &NamedSlot) -> Self {
        if slot.slot.visible_gpu.is_some() { Self::GPU } else { Self::CORE }
    }

    /// What `--flops-per-s` says.
    pub const fn of_rate(flops_per_s: f64) -> Self {
        Self { step_overhead_s: 0.0, flops_per_s }
    }

    fn rates(&self, spec: &SegmentSpec) -> Rates {
        let (step, example) = flops(spec);
        Rates {
            step_s: self.step_overhead_s + step / self.flops_per_s,
            example_s: example / self.flops_per_s,
        }
    }
}

impl Costs {
    /// What the store knows of the plan's workloads on slots like this one.
    ///
    /// # Errors
    /// The store's.
    pub async fn read(
        store: &Store,
        slot: &NamedSlot,
        plan: &Plan,
        guess: Guess,
    ) -> Result<Self, StoreError> {
        let NamedSlot { slot, device_name, .. } = slot;
        let calibrations = store.calibrations(device_name, slot.threads).await?;
        let measured = store.measured_costs(device_name, slot.threads).await?;
        Ok(Self::new(plan, guess, &calibrations, &measured))
    }

    /// Costs from what is known by workload.
    pub fn new(
        plan: &Plan,
        guess: Guess,
        calibrations: &HashMap<Id, Calibration>,
        measured: &HashMap<Id, MeasuredCost>,
    ) -> Self {
        let mut workloads = HashMap::new();
        for segment in &plan.segments {
            let id = segment.workload;
            workloads.entry(id).or_insert_with(|| {
                let prior = Workload::new(&segment.spec, guess, calibrations.get(&id));
                prior.scaled(&segment.spec, measured.get(&id))
            });
        }
        Self { workloads }
    }

    /// The most that a segment holds at once, by workload.
    pub fn peak_bytes(&self) -> HashMap<Id, u64> {
        self.workloads.iter().map(|(id, workload)| (*id, workload.bytes as u64)).collect()
    }

    /// # Panics
    /// A segment of another plan.
    pub fn of(&self, segment: &PlannedSegment) -> Cost {
        let workload = &self.workloads[&segment.workload];
        Cost {
            seconds: workload.rates.seconds(work(&segment.spec)),
            bytes: workload.bytes,
            basis: workload.basis,
            is_out_of_memory: workload.is_out_of_memory,
        }
    }

    pub fn seconds(&self, segment: &PlannedSegment) -> f64 {
        self.of(segment).seconds
    }
}

impl Workload {
    fn new(spec: &SegmentSpec, guess: Guess, calibration: Option<&Calibration>) -> Self {
        let guessed = guess.rates(spec);
        let Some(calibration) = calibration else {
            let (basis, bytes, is_out_of_memory) = (Basis::Guessed, memory_bytes(spec), false);
            return Self { rates: guessed, basis, bytes, is_out_of_memory };
        };
        let rates = Rates {
            step_s: calibration.step_s.unwrap_or(guessed.step_s),
            example_s: calibration.example_s.unwrap_or(guessed.example_s),
        };
        let is_out_of_memory = calibration.out_of_memory;
        let basis = if is_out_of_memory { Basis::Guessed } else { Basis::Calibrated };
        let bytes = calibration.peak_bytes.map_or_else(|| memory_bytes(spec), |bytes| bytes as f64);
        Self { rates, basis, bytes, is_out_of_memory }
    }

    /// By what finished attempts took of what they were expected to take.
    fn scaled(mut self, spec: &SegmentSpec, measured: Option<&MeasuredCost>) -> Self {
        let Some(measured) = measured else { return self };
        let expected_s = self.rates.seconds(work_of(spec, measured.attempts, measured.steps));
        if expected_s > 0.0 && measured.device_s > 0.0 {
            let factor = measured.device_s / expected_s;
            self.rates.step_s *= factor;
            self.rates.example_s *= factor;
            (self.basis, self.is_out_of_memory) = (Basis::Measured, false);
        }
        self.bytes = measured.peak_bytes.map_or(self.bytes, |bytes| bytes as f64);
        self
    }
}

impl Rates {
    fn seconds(&self, work: Work) -> f64 {
        work.steps * self.step_s + work.examples * self.example_s
    }
}

/// FLOPs of a step, and of evaluating one example.
fn flops(spec: &SegmentSpec) -> (f64, f64) {
    let model = &spec.recipe.model;
    let Some(transfer) = &spec.transfer else {
        return (spec.recipe.step_flops(), model.forward_flops() as f64);
    };
    let forward = transfer.model(model).forward_flops() as f64;
    match &transfer.method {
        // The arithmetic on features alone is not counted.
        TransferMethod::FewShot(_) | TransferMethod::LinearProbe(_) => (0.0, forward),
        TransferMethod::FineTune(tune) => (3.0 * forward * f64::from(tune.batch), forward),
    }
}

fn work(spec: &SegmentSpec) -> Work {
    work_of(spec, 1, spec.steps())
}

/// Of so many segments with a workload's recipe and so many steps in all.
fn work_of(spec: &SegmentSpec, segments: u64, steps: u64) -> Work {
    let n = segments as f64;
    match &spec.transfer {
        None => {
            let eval = &spec.recipe.eval;
            let on_the_way = eval.every.map_or(0.0, |every| steps as f64 / every as f64);
            let steps = steps as f64;
            Work { steps, examples: (n + on_the_way) * eval.examples as f64 }
        }
        Some(transfer) => work_of_transfer(transfer, n, steps as f64),
    }
}

fn work_of_transfer(transfer: &TransferSpec, n: f64, steps: f64) -> Work {
    let evaluated = transfer.examples as f64;
    match &transfer.method {
        TransferMethod::FewShot(few) => {
            Work { steps: 0.0, examples: n * (few.pool as f64 + evaluated) }
        }
        TransferMethod::LinearProbe(probe) => {
            Work { steps: 0.0, examples: n * (probe.unique_examples as f64 + evaluated) }
        }
        TransferMethod::FineTune(_) => Work { steps, examples: n * evaluated },
    }
}

#[cfg(test)]
mod tests {
    use test_support::{few_shot, fine_tune, trial};

    use super::*;

    const GUESS: Guess = Guess { step_overhead_s: 1.0, flops_per_s: f64::INFINITY };

    /// A trunk of 80 steps with a cooldown of 20, of 64 examples evaluated each, and two evaluations.
    fn plan() -> Plan {
        Plan::new(&[trial(0, 100, 20)], &[few_shot(&[5]), fine_tune(50)])
    }

    fn calibration(workload: Id) -> Calibration {
        Calibration {
            workload,
            device_name: String::new(),
            threads: 1,
            step_s: Some(0.1),
            example_s: Some(0.01),
            peak_bytes: Some(1000),
            out_of_memory: false,
        }
    }

    /// The trunk's cost, from what is known of its workload.
    fn cost(calibrated: Option<Calibration>, measured: Option<MeasuredCost>) -> Cost {
        let plan = plan();
        let trunk = &plan.segments[0];
        let calibrations = calibrated.map(|found| (trunk.workload, found)).into_iter().collect();
        let measured = measured.map(|found| (trunk.workload, found)).into_iter().collect();
        Costs::new(&plan, GUESS, &calibrations, &measured).of(trunk)
    }

    #[test]
    fn what_is_measured_goes_before_what_is_calibrated_and_that_before_a_guess() {
        let workload = plan().segments[0].workload;
        let guessed = cost(None, None);
        assert_eq!((guessed.seconds, guessed.basis), (80.0, Basis::Guessed));
        let calibrated = cost(Some(calibration(workload)), None);
        // 80 steps, and 64 evaluated examples.
        assert!((calibrated.seconds - 8.64).abs() < 1e-9, "{calibrated:?}");
        assert_eq!((calibrated.bytes, calibrated.basis), (1000.0, Basis::Calibrated));
        // Five such trunks took twice as long as calibrated.
        let measured =
            MeasuredCost { attempts: 5, steps: 400, device_s: 86.4, peak_bytes: Some(2000) };
        let measured = cost(Some(calibration(workload)), Some(measured));
        assert!((measured.seconds - 17.28).abs() < 1e-9, "{measured:?}");
        assert_eq!((measured.bytes, measured.basis), (2000.0, Basis::Measured));
    }

    #[test]
    fn a_workload_that_did_not_fit_is_guessed_and_says_so_until_it_was_measured() {
        let workload = plan().segments[0].workload;
        let too_large = Calibration {
            step_s: None,
            example_s: None,
            peak_bytes: None,
            out_of_memory: true,
            ..calibration(workload)
        };
        let cost_then = cost(Some(too_large.clone()), None);
        assert_eq!((cost_then.seconds, cost_then.basis), (80.0, Basis::Guessed));
        assert!(cost_then.is_out_of_memory);
        let measured = MeasuredCost { attempts: 1, steps: 80, device_s: 40.0, peak_bytes: None };
        let cost_later = cost(Some(too_large), Some(measured));
        assert_eq!((cost_later.seconds, cost_later.is_out_of_memory), (40.0, false));
    }

    #[test]
    fn evaluations_on_other_tasks_are_the_passes_and_steps_that_they_take() {
        let plan = plan();
        let known =
            plan.segments.iter().map(|segment| (segment.workload, calibration(segment.workload)));
        let costs = Costs::new(&plan, GUESS, &known.collect(), &HashMap::new());
        let seconds: Vec<_> = plan.evaluations().map(|segment| costs.seconds(segment)).collect();
        // A pool of 128 and 64 examples; 50 steps and 64 examples.
        assert!(
            (seconds[0] - 1.92).abs() < 1e-9 && (seconds[1] - 5.64).abs() < 1e-9,
            "{seconds:?}"
        );
    }
}
