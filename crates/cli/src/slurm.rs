//! `--engine slurm`: what a sweep file's `[slurm]` table and this machine make of the engine.

use std::collections::HashSet;
use std::path::Path;

use anyhow::Context;
use scheduler::{
    Charge, InvalidChange, Lane, LeftBehind, Plan, Said, Schedule, Slot, SlurmEngine,
    SlurmPrograms, SlurmSetting,
};
use spec::{Order, SlurmSpec, SweepSpec};
use store::{RunningAttempt, UnixSeconds};

use crate::costs::Guess;
use crate::devices::NamedSlot;
use crate::exit::bad_input;
use crate::journal::now;
use crate::memory::memory_bytes;
use crate::paths::{Workplace, trainer_program};
use crate::progress::say;
use crate::recover::Queued;

/// What the sweep asks a queue for.
///
/// # Errors
/// A sweep file without the table.
pub fn asked(sweep: &SweepSpec) -> anyhow::Result<&SlurmSpec> {
    let table = sweep.slurm.as_ref().context(
        "--engine slurm reads the table [slurm] of the sweep file, which has none; an empty one will do (docs/slurm.md)",
    );
    table.map_err(bad_input)
}

/// The database's folder as every node sees it: absolute, and inside the shared directory.
///
/// # Errors
/// A folder that cannot be made, or is outside.
pub fn workplace(db: &Path, spec: &SlurmSpec) -> anyhow::Result<Workplace> {
    let workplace = Workplace::of(db);
    let folder = workplace.folder();
    std::fs::create_dir_all(folder)
        .and_then(|()| folder.canonicalize())
        .with_context(|| format!("cannot use the folder `{}`", folder.display()))
        .and_then(|folder| check_shared(&folder, spec).map(|()| folder))
        .map(|folder| Workplace::of(&folder.join(db.file_name().unwrap_or_default())))
        .map_err(bad_input)
}

fn check_shared(folder: &Path, spec: &SlurmSpec) -> anyhow::Result<()> {
    let Some(shared) = &spec.shared else { return Ok(()) };
    let shared = shared
        .canonicalize()
        .with_context(|| format!("slurm.shared: there is no directory `{}`", shared.display()))?;
    anyhow::ensure!(
        folder.starts_with(&shared),
        "slurm.shared: the database is in `{}`, which is not in `{}`: give --db a file there",
        folder.display(),
        shared.display()
    );
    Ok(())
}

/// One slot a job, each of which has what the table asks for.
pub fn slots(spec: &SlurmSpec) -> Vec<NamedSlot> {
    let device = if spec.gpus_per_node == 0 { "cpu" } else { "cuda:0" };
    let slot = Slot { device: device.to_owned(), visible_gpu: None, threads: spec.cpus };
    // Which node a job gets is not known before it begins.
    let device_name = match &spec.partition {
        Some(partition) => format!("Slurm, partition {partition}"),
        None => "Slurm".to_owned(),
    };
    let named = |job: usize| {
        let lane = Lane { device: job, device_bytes: None };
        NamedSlot { slot: slot.clone(), device_name: device_name.clone(), lane, number: 0 }
    };
    (0..spec.max_jobs as usize).map(named).collect()
}

pub fn guess(spec: &SlurmSpec) -> Guess {
    if spec.gpus_per_node == 0 { Guess::CORE } else { Guess::GPU }
}

/// # Errors
/// A trainer that is not there.
pub fn engine(
    sweep: &SweepSpec,
    spec: &SlurmSpec,
    workplace: &Workplace,
) -> anyhow::Result<SlurmEngine> {
    let trainer = trainer_program()?;
    let trainer = trainer
        .canonicalize()
        .with_context(|| format!("there is no trainer at `{}`", trainer.display()))?;
    Ok(SlurmEngine::new(SlurmSetting {
        spec: spec.clone(),
        jobs: workplace.jobs(),
        trainer,
        prefix: job_prefix(&sweep.name, now()),
        programs: SlurmPrograms::default(),
        fits_share: fits_share(spec),
        tell: Box::new(say),
    }))
}

/// What the names of a coordinator's jobs begin with; `-BATCH-INDEX` follows.
fn job_prefix(sweep: &str, now: UnixSeconds) -> String {
    format!("isoflop-{sweep}-{:x}", (1e3 * now) as u64)
}

/// The sweep that a job of this name was for; None where it is no such name.
pub fn sweep_of_job(name: &str) -> Option<&str> {
    let (coordinator, _) = name.strip_prefix("isoflop-")?.rsplit_once('-')?.0.rsplit_once('-')?;
    Some(coordinator.rsplit_once('-')?.0)
}

/// Whether an order needs at most a share of a GPU's memory.
fn fits_share(spec: &SlurmSpec) -> Box<dyn Fn(&Order) -> bool> {
    let share = spec.gpu_memory_bytes.map(|bytes| bytes / f64::from(spec.shards));
    Box::new(move |order| share.is_some_and(|share| memory_bytes(&order.segment) <= share))
}

/// Lets the engine go on with what jobs of earlier coordinators execute of a plan; the slot of each.
///
/// # Errors
/// A queue that does not answer.
pub async fn adopt(
    engine: &mut SlurmEngine,
    workplace: &Workplace,
    plan: &Plan,
    queued: &[Queued],
) -> anyhow::Result<Vec<Adopted>> {
    let queued = of_plan(plan, queued);
    let left: Vec<_> = queued.iter().filter_map(|queued| left_behind(workplace, queued)).collect();
    if !left.is_empty() {
        say(&format!(
            "{} segments are in the queue already, or were: going on with them",
            left.len()
        ));
    }
    let slots = engine.adopt(&left).await?;
    let adopted = |(queued, slot)| Adopted { queued, slot };
    Ok(queued.into_iter().zip(slots).map(adopted).collect())
}

/// Says that trainers of this machine begin anew what jobs of a queue may be executing: those lose, as
/// they have the older attempts.
pub fn take_back(plan: &Plan, queued: &[Queued]) {
    let n = of_plan(plan, queued).len();
    if n > 0 {
        say(&format!(
            "{n} segments are in a Slurm queue, or were: beginning them anew here (--engine slurm would go on with the jobs)"
        ));
    }
}

/// Those of other sweeps are left alone.
fn of_plan(plan: &Plan, queued: &[Queued]) -> Vec<Queued> {
    let planned: HashSet<_> = plan.segments.iter().map(|segment| segment.id).collect();
    let is_planned = |queued: &&Queued| planned.contains(&queued.attempt.segment_id);
    queued.iter().filter(is_planned).cloned().collect()
}

/// An attempt that goes on, and on which slot.
#[derive(Clone, Debug)]
pub struct Adopted {
    pub queued: Queued,
    pub slot: usize,
}

impl Adopted {
    /// What it has been charged so far.
    pub fn charge(&self) -> Charge {
        let RunningAttempt { train_flops, charged_s, .. } = self.queued.attempt;
        Charge { flops: train_flops, device_s: charged_s }
    }

    /// Tells the schedule what it has missed. Its clock begins at 0, and the attempt was begun before.
    ///
    /// # Errors
    /// A segment that is not pending.
    pub fn go_on(&self, schedule: &mut Schedule<'_>) -> Result<(), InvalidChange> {
        let RunningAttempt { segment_id, attempt, stretch_s, .. } = self.queued.attempt;
        let events = &self.queued.events;
        schedule.launch(segment_id, attempt, self.slot, 0.0)?;
        for (at, event) in events.iter().enumerate() {
            let now = if at + 1 == events.len() { 0.0 } else { -stretch_s };
            schedule.hear(&Said { segment_id, attempt, event: event.clone() }, now)?;
        }
        Ok(())
    }
}

fn left_behind(workplace: &Workplace, queued: &Queued) -> Option<LeftBehind> {
    let Queued { attempt, known_bytes, .. } = queued;
    Some(LeftBehind {
        segment_id: attempt.segment_id,
        attempt: attempt.attempt,
        job: attempt.job.clone()?,
        attempt_dir: workplace.attempt(attempt.segment_id, attempt.attempt),
        known_bytes: *known_bytes,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use scheduler::{Past, Policy, States};
    use spec::{Spent, TrainerEvent};

    use super::*;

    /// Paused once, begun again 7 seconds before its last word, finished under this coordinator.
    #[test]
    fn an_attempt_that_goes_on_is_charged_once() {
        let plan = Plan::new(&[test_support::trial(0, 100, 0)], &[]);
        let segment_id = plan.segments[0].id;
        let flops = plan.segments[0].spec.train_flops();
        let spent = |steps, device_s| Spent { steps, device_s, ..Spent::default() };
        let attempt = RunningAttempt {
            segment_id,
            attempt: 1,
            device: "cpu".into(),
            pid: None,
            job: Some("isoflop-x-0-0".into()),
            events: 4,
            train_flops: 0.5 * flops,
            charged_s: 10.0,
            stretch_s: 7.0,
        };
        let events = vec![
            TrainerEvent::Started { step: 0 },
            TrainerEvent::Paused { step: 30, spent: spent(30, 3.0) },
            TrainerEvent::Started { step: 30 },
            TrainerEvent::Checkpointed { step: 50, digest: "d".into(), bytes: 1 },
        ];
        let adopted = Adopted { queued: Queued { attempt, events, known_bytes: 0 }, slot: 0 };
        let before = Charge { flops: 2.0 * flops, device_s: 40.0 };
        let past = Past { spent: before - adopted.charge(), ..Past::default() };
        let policy = Policy::default();
        let mut schedule = Schedule::new(&plan, &States::new(), policy, &past).ahead();
        adopted.go_on(&mut schedule).unwrap();
        assert_eq!(schedule.spent(0.0), before);
        assert_eq!(schedule.overdue(1799.0), BTreeSet::new());
        let event = TrainerEvent::Finished { step: 100, spent: spent(70, 12.0) };
        schedule.hear(&Said { segment_id, attempt: 1, event }, 5.0).unwrap();
        assert_eq!(schedule.spent(5.0), Charge { flops: 2.5 * flops, device_s: 45.0 });
    }

    #[test]
    fn a_jobs_name_tells_its_sweep() {
        let name = format!("{}-0-12", job_prefix("small-2", 1.5e9));
        assert_eq!(sweep_of_job(&name), Some("small-2"));
        assert_eq!(sweep_of_job("notebook-0-1"), None);
    }
}
