//! `isoflop suggest`: which trials to run next, so that a prediction becomes sharper.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use analysis::law::{Axis, Law};
use analysis::suggest::{Candidate, Pick, Suggestion, optimal_split, suggest as choose};
use analysis::{Fit, FitOptions, Point, fit};
use anyhow::{Context, anyhow};
use clap::builder::PossibleValuesParser;
use scheduler::Plan;
use serde_json::json;
use spec::{BitShape, MixerShape, ModelSpec, NamedShape, SegmentId, SweepSpec, TrialId, TrialSpec};
use store::{TrialResult, TrialState};

use crate::estimate::coded;
use crate::exit::{ALL_DONE, bad_input};
use crate::input::InputArgs;
use crate::output::{Format, Rows, print_json};
use crate::places::Places;
use crate::progress::say;
use crate::stored::StoredSweepArgs;

/// Choose the trials that narrow a prediction most for the compute they cost
///
/// Candidates are the sweep's shapes, on its largest set of examples, at its lengths and at doublings of
/// the longest. Each
/// would shrink the interval of the law at the target by what the bootstrap says that it and the
/// target have in common; they are chosen one after the other until the budget is spent. The chosen
/// ones are written as parts of the sweep's own file: run it, and the sweep goes on from its trunks. Of
/// an imported sweep they are listed.
#[derive(clap::Args)]
pub struct SuggestArgs {
    #[command(flatten)]
    sweep: StoredSweepArgs,

    /// Training FLOPs at which the best error is to be predicted
    #[arg(long, value_name = "FLOPS", allow_negative_numbers = true)]
    target_flops: f64,

    /// Training FLOPs that may be spent
    #[arg(long, value_name = "FLOPS", allow_negative_numbers = true)]
    budget_flops: f64,

    /// The law, of N and D
    #[arg(long, default_value = "chinchilla", value_parser = PossibleValuesParser::new(["chinchilla", "kaplan"]))]
    law: String,

    /// What is predicted: val_error, val_loss, or a metric of an evaluation
    #[arg(long, value_name = "COLUMN", default_value = "val_error")]
    y: String,

    /// Write the sweep file here; default SWEEP-next.toml beside the database
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Bootstrap resamples
    #[arg(long, value_name = "N", default_value_t = 400)]
    resamples: usize,

    /// Share of the bootstrap inside the interval that is to shrink
    #[arg(long, default_value_t = 0.9)]
    level: f64,

    /// Seed of the bootstrap
    #[arg(long, default_value_t = 0)]
    seed: u64,

    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// How often the longest length may be doubled.
const MAX_DOUBLINGS: u32 = 12;
/// Trials that cost more than so many budgets are no candidates: a trunk that is trained already pays
/// for a part of a trial, not for most of it.
const MAX_BUDGETS: f64 = 4.0;

pub async fn suggest(args: &SuggestArgs) -> anyhow::Result<ExitCode> {
    for (name, flops) in
        [("--target-flops", args.target_flops), ("--budget-flops", args.budget_flops)]
    {
        if !(flops.is_finite() && flops > 0.0) {
            return Err(bad_input(anyhow!("{name} is {flops}: it has to be above 0")));
        }
    }
    let (store, sweep) = args.sweep.open().await?;
    if !sweep.variants.is_empty() {
        return Err(bad_input(anyhow!(
            "sweep `{}` has variants, and a part of its file would be of every one: give the variant that matters a sweep file of its own",
            sweep.name
        )));
    }
    let results = store.trial_results(&sweep.name).await?;
    let (points, flops_per, fit) = args.fit(&sweep).await?;
    if sweep.trials.is_empty() {
        let target = optimal_split(&fit, args.target_flops, flops_per).map_err(bad_input)?;
        let places = Places::new(&results, flops_per, args.budget_flops);
        let candidates = places.candidates(fit.law);
        let chosen =
            choose(&[fit], &points, target, &candidates, args.budget_flops).map_err(bad_input)?;
        return args.print_places(&places, &chosen);
    }
    let pool = Pool::new(&sweep, &results, args.budget_flops)?;
    let target = optimal_split(&fit, args.target_flops, flops_per).map_err(bad_input)?;
    let candidates = pool.candidates(fit.law);
    let chosen =
        choose(&[fit], &points, target, &candidates, args.budget_flops).map_err(bad_input)?;
    let text = pool.extended(&sweep, &chosen)?;
    let path = args
        .out
        .clone()
        .unwrap_or_else(|| args.sweep.db.with_file_name(format!("{}-next.toml", sweep.name)));
    if !chosen.picks.is_empty() {
        let cannot = || format!("cannot write `{}`", path.display());
        std::fs::write(&path, text).with_context(cannot).map_err(bad_input)?;
    }
    args.print(&pool, &chosen, &path)?;
    Ok(ExitCode::from(ALL_DONE))
}

impl SuggestArgs {
    /// The sweep's trials on N and D, their FLOPs per parameter and example, and the law.
    async fn fit(&self, sweep: &SweepSpec) -> anyhow::Result<(Vec<Point>, f64, Fit)> {
        let law = analysis::law::named(&self.law).context("clap has checked the law's name")?;
        let input = InputArgs::of_largest_set(sweep, &self.sweep.db, Some(&self.y), None);
        let mut input = input.read(law.axes(), &[]).await?;
        let curve = input.curves.remove(0);
        let options = FitOptions {
            n_resamples: self.resamples,
            level: self.level,
            seed: self.seed,
            holdout: false,
            ..FitOptions::default()
        };
        let fit = fit(law, &curve.points, &input.labels, &options).map_err(coded)?;
        let flops_per = curve.flops_per.context("a fit has points")?;
        Ok((curve.points, flops_per, fit))
    }

    /// Of an imported sweep, for which no sweep file can be written.
    fn print_places(&self, places: &Places, chosen: &Suggestion) -> anyhow::Result<ExitCode> {
        places.rows(chosen).print(self.format)?;
        say(&format!(
            "{} of {} candidates, {} FLOPs: the {:.0}% interval of ln {} at {} FLOPs is expected to shrink from {:.2}% to {:.2}%; the sweep was imported, so what to train them with is yours",
            chosen.picks.len(),
            places.len(),
            report::scientific(chosen.flops),
            100.0 * chosen.level,
            self.y,
            report::scientific(self.target_flops),
            100.0 * chosen.width_before,
            100.0 * chosen.width_after
        ));
        Ok(ExitCode::from(ALL_DONE))
    }

    fn print(&self, pool: &Pool, chosen: &Suggestion, path: &Path) -> anyhow::Result<()> {
        match self.format {
            Format::Table => self.describe(pool, chosen, path),
            Format::Csv => pool.rows(chosen).print(Format::Csv),
            Format::Json => print_json(&json!({
                "target_flops": self.target_flops,
                "budget_flops": self.budget_flops,
                "law": self.law,
                "level": chosen.level,
                "n_candidates": pool.trials.len(),
                "flops": chosen.flops,
                "width_before": chosen.width_before,
                "width_after": chosen.width_after,
                "sweep_file": path,
                "picks": pool.rows(chosen).json(),
            })),
        }
    }

    fn describe(&self, pool: &Pool, chosen: &Suggestion, path: &Path) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        if chosen.picks.is_empty() {
            writeln!(out, "no candidate of {} narrows the interval", pool.trials.len())?;
            return Ok(());
        }
        for pick in &chosen.picks {
            let trial = &pool.trials[pick.index];
            writeln!(
                out,
                "{} on {} examples, {} seen: {} FLOPs, interval {:.2}% -> {:.2}%",
                shape_name(trial),
                report::si(trial.recipe.unique_examples as f64),
                report::si(trial.examples_seen() as f64),
                report::scientific(pick.flops),
                100.0 * pick.width_before,
                100.0 * pick.width_after
            )?;
        }
        writeln!(
            out,
            "{} of {} candidates, {} FLOPs: the {:.0}% interval of ln {} at {} FLOPs is expected to shrink from {:.2}% to {:.2}%",
            chosen.picks.len(),
            pool.trials.len(),
            report::scientific(chosen.flops),
            100.0 * chosen.level,
            self.y,
            report::scientific(self.target_flops),
            100.0 * chosen.width_before,
            100.0 * chosen.width_after
        )?;
        writeln!(out, "next: isoflop sweep --db {} {}", self.sweep.db.display(), path.display())?;
        Ok(())
    }
}

/// Trials that could be run, and where they leave what is trained already.
struct Pool {
    trials: Vec<TrialSpec>,
    /// By trial: the first segment of its chain, which all lengths of one trunk share.
    roots: Vec<SegmentId>,
    /// By root: steps of the trunk that a finished trial has left behind.
    trained: HashMap<SegmentId, u64>,
}

impl Pool {
    fn new(sweep: &SweepSpec, results: &[TrialResult], budget: f64) -> anyhow::Result<Self> {
        let wider = widened(sweep, budget)?;
        let plan = Plan::new(&wider.trials, &[]);
        let finished: HashSet<TrialId> = results
            .iter()
            .filter(|result| result.state == TrialState::Finished)
            .map(|result| result.trial_id)
            .collect();
        let measured: HashSet<TrialId> = results.iter().map(|result| result.trial_id).collect();
        let mut pool = Self { trials: Vec::new(), roots: Vec::new(), trained: HashMap::new() };
        for trial in &plan.trials {
            let root = *trial.chain.first().context("a planned trial has segments")?;
            if finished.contains(&trial.id) && shares_its_trunk(&trial.spec) {
                let trunk = trial.spec.steps - trial.spec.cooldown;
                let trained = pool.trained.entry(root).or_default();
                *trained = trunk.max(*trained);
            }
            let is_affordable = trial.spec.train_flops() <= MAX_BUDGETS * budget;
            if !measured.contains(&trial.id) && is_affordable {
                pool.trials.push(trial.spec.clone());
                pool.roots.push(root);
            }
        }
        Ok(pool)
    }

    fn candidates(&self, law: &dyn Law) -> Vec<Candidate> {
        let numbers = analysis::labels(&self.roots);
        let candidate = |(index, trial): (usize, &TrialSpec)| {
            let trained = self.trained.get(&self.roots[index]).copied().unwrap_or(0);
            let trunk = (trial.steps - trial.cooldown).saturating_sub(trained);
            let step = trial.recipe.step_flops();
            let mut x = [1.0; 3];
            law.axes().iter().zip(&mut x).for_each(|(axis, x)| *x = on_axis(trial, *axis));
            Candidate {
                x,
                trunk: numbers[index],
                trunk_flops: if shares_its_trunk(trial) { trunk as f64 * step } else { 0.0 },
                own_flops: if shares_its_trunk(trial) {
                    trial.cooldown as f64 * step
                } else {
                    trial.train_flops()
                },
                index,
            }
        };
        self.trials.iter().enumerate().map(candidate).collect()
    }

    /// A row per pick.
    fn rows(&self, chosen: &Suggestion) -> Rows {
        let columns = [
            "trial_id",
            "shape",
            "unique_examples",
            "examples_seen",
            "flops",
            "width_before",
            "width_after",
        ];
        let row = |pick: &Pick| {
            let trial = &self.trials[pick.index];
            vec![
                json!(trial.id().to_string()),
                json!(shape_name(trial)),
                json!(trial.recipe.unique_examples),
                json!(trial.examples_seen()),
                json!(pick.flops),
                json!(pick.width_before),
                json!(pick.width_after),
            ]
        };
        Rows::new(columns.map(str::to_owned).into(), chosen.picks.iter().map(row).collect())
    }

    /// The sweep's file with a part for each shape and data size that is chosen.
    fn extended(&self, sweep: &SweepSpec, chosen: &Suggestion) -> anyhow::Result<String> {
        let mut parts: BTreeMap<(String, u64, u64), Vec<u64>> = BTreeMap::new();
        for pick in &chosen.picks {
            let trial = &self.trials[pick.index];
            let key = (shape_entry(trial), trial.recipe.unique_examples, trial.recipe.seed);
            parts.entry(key).or_default().push(trial.examples_seen());
        }
        let mut text = sweep.text.trim_end().to_owned();
        for ((shape, unique, seed), mut lengths) in parts {
            lengths.sort_unstable();
            text += &format!(
                "\n\n[[part]] # suggested\nseeds = [{seed}]\nshapes = [{shape}]\nunique_examples = [{unique}]\nexamples_seen = {lengths:?}\n"
            );
        }
        let extended = SweepSpec::parse("the suggested sweep", &text, &[])?;
        let known: HashSet<_> = extended.trials.iter().map(TrialSpec::id).collect();
        let is_lost = |pick: &&Pick| !known.contains(&self.trials[pick.index].id());
        match chosen.picks.iter().find(is_lost) {
            Some(pick) => Err(anyhow!(
                "trial {} cannot be written as a part of the sweep's file",
                self.trials[pick.index].id()
            )),
            None => Ok(text),
        }
    }
}

/// The sweep with every shape at every length, and at doublings of the longest, on its largest data.
fn widened(sweep: &SweepSpec, budget: f64) -> anyhow::Result<SweepSpec> {
    let seen: BTreeSet<u64> = sweep.trials.iter().map(TrialSpec::examples_seen).collect();
    let longest = seen.last().copied().context("a sweep has trials")?;
    let cheapest = sweep
        .trials
        .iter()
        .map(|trial| trial.recipe.step_flops() / f64::from(trial.recipe.train.batch))
        .fold(f64::INFINITY, f64::min);
    let doublings = (1..=MAX_DOUBLINGS).map(|times| longest << times);
    let longer = doublings.filter(|seen| *seen as f64 * cheapest <= MAX_BUDGETS * budget);
    let lengths: Vec<_> = seen.iter().copied().chain(longer).collect();
    let mut shapes: Vec<_> = sweep.trials.iter().map(shape_entry).collect();
    shapes.sort_unstable();
    shapes.dedup();
    let seed = sweep.trials[0].recipe.seed;
    let unique = sweep.trials.iter().map(|trial| trial.recipe.unique_examples).max().unwrap_or(0);
    let part = format!(
        "\n\n[[part]]\nseeds = [{seed}]\nshapes = [{}]\nunique_examples = [{unique}]\nexamples_seen = {lengths:?}\n",
        shapes.join(", ")
    );
    SweepSpec::parse("candidates of the sweep", &format!("{}{part}", sweep.text), &[])
        .map_err(bad_input)
}

/// A trial that has not run has its place all the same.
fn on_axis(trial: &TrialSpec, axis: Axis) -> f64 {
    match axis {
        Axis::X => trial.train_flops(),
        Axis::N => trial.recipe.model.params() as f64,
        Axis::D => trial.examples_seen() as f64,
        Axis::Unique => trial.recipe.unique_examples as f64,
    }
}

/// Without a cooldown there is nothing to branch off, and a rate that knows the length is no other
/// trial's.
fn shares_its_trunk(trial: &TrialSpec) -> bool {
    trial.cooldown > 0 && !trial.recipe.train.schedule.decay.depends_on_length()
}

fn shape_name(trial: &TrialSpec) -> String {
    trial.recipe.model.shape_name().to_owned()
}

/// As a sweep file writes it: by its name where that is published, or spelt out.
fn shape_entry(trial: &TrialSpec) -> String {
    match &trial.recipe.model {
        ModelSpec::Vit(vit) => of_transformer(&vit.shape),
        ModelSpec::Hybrid(hybrid) => of_transformer(&hybrid.vit.shape),
        ModelSpec::Bit(bit) => {
            let BitShape { name, layers, width } = &bit.shape;
            let spelt_out = format!("layers = {layers:?}, width = {width}");
            entry(name, BitShape::published(name).as_ref() == Ok(&bit.shape), &spelt_out)
        }
        ModelSpec::Mixer(mixer) => {
            let MixerShape { name, width, depth, mlp, tokens } = &mixer.shape;
            let spelt_out =
                format!("width = {width}, depth = {depth}, mlp = {mlp}, tokens = {tokens}");
            entry(name, MixerShape::published(name).as_ref() == Ok(&mixer.shape), &spelt_out)
        }
    }
}

fn of_transformer(named: &NamedShape) -> String {
    let spec::Shape { width, depth, mlp, heads } = named.shape;
    let spelt_out = format!("width = {width}, depth = {depth}, mlp = {mlp}, heads = {heads}");
    entry(&named.name, NamedShape::published(&named.name).as_ref() == Ok(named), &spelt_out)
}

fn entry(name: &str, is_published: bool, spelt_out: &str) -> String {
    let name = json!(name);
    match is_published {
        true => name.to_string(),
        false => format!("{{ name = {name}, {spelt_out} }}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The entry of a shape in a sweep file of its family, which has to mean the same shape again.
    fn check(model: &str, shapes: &[&str]) {
        let sweep = |shapes: &str| {
            let text = format!(
                "name = \"t\"\n[data]\nsource = \"procedural\"\n[model]\n{model}\nshapes = [{shapes}]\n[axes]\n\
                 unique_examples = [64]\nexamples_seen = [640]\n[train]\nbatch = 16\nlearning_rate = 1e-3\n\
                 schedule = {{ decay = \"constant\" }}\n"
            );
            SweepSpec::parse("t.toml", &text, &[]).unwrap()
        };
        for shape in shapes {
            let trial = &sweep(shape).trials[0];
            assert_eq!(&sweep(&shape_entry(trial)).trials[0], trial, "{shape}");
        }
    }

    #[test]
    fn shapes_of_every_family_are_written_as_a_sweep_file_has_them() {
        let spelt_out = "{ width = 16, depth = 2, mlp = 64, heads = 2 }";
        let named = "{ name = \"Ti\", width = 16, depth = 2, mlp = 64, heads = 2 }";
        check("family = \"vit\"\npatch = 8", &["\"mu\"", spelt_out, named]);
        check(
            "family = \"hybrid\"\nstem = { layers = [1], width = 8, groups = 4 }",
            &["\"mu\"", spelt_out],
        );
        check("family = \"bit\"", &["\"R50x1\"", "{ layers = [1, 2], width = 32 }"]);
        let spelt_out = "{ width = 16, depth = 2, mlp = 64, tokens = 8 }";
        check("family = \"mixer\"\npatch = 8", &["\"S\"", spelt_out]);
    }
}
