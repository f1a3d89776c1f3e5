//! Prints what suggestions save against an even grid, on known laws and on published runs: minutes.

#[path = "../tests/suggest/simulation.rs"]
mod simulation;

use std::collections::BTreeMap;
use std::path::Path;

use analysis::law::{self, Law, Xs};
use analysis::suggest::Candidate;
use analysis::{Point, frontier, point::x as at, seed_means};

use simulation::*;

fn main() {
    savings_on_known_laws();
    savings_on_the_runs_behind_chinchilla();
    savings_on_gemstones_checkpoints();
    savings_on_the_frontier_of_scaling_vit();
    savings_on_learning_curves();
}

/// Shares of the even grid's compute that are tried.
const SHARES: [f64; 7] = [1.0 / 32.0, 1.0 / 16.0, 0.125, 0.25, 0.5, 1.0, 2.0];

#[expect(
    clippy::print_stderr,
    reason = "a skipped test says so by name, and a table is to be read"
)]
fn say(line: &str) {
    eprintln!("{line}");
}

/// The smallest share from which on the interval stays as narrow as the grid's; infinite of none.
fn share_needed(comparison: &Comparison, shares: &[f64]) -> f64 {
    let pairs = shares.iter().zip(&comparison.widths).rev();
    let narrow = pairs.take_while(|(_, width)| width.is_some_and(|(ratio, _)| ratio <= 1.0));
    narrow.last().map_or(f64::INFINITY, |(share, _)| *share)
}

fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn print_table(name: &str, cases: &[Case], n: usize) {
    let comparisons: Vec<_> = cases.iter().map(|case| compare(case, n, &SHARES)).collect();
    let needed: Vec<_> = comparisons.iter().map(|one| share_needed(one, &SHARES)).collect();
    let grid_error = median(comparisons.iter().map(|one| one.grid_error));
    let n_cases = cases.len();
    let n_helped = needed.iter().filter(|share| **share < 1.0).count();
    let n_hurt = needed.iter().filter(|share| **share > 1.0).count();
    say(&format!(
        "{name}, grid of {n}, {n_cases} cases: median share needed {:.3}; cheaper {n_helped}, dearer {n_hurt}; grid's error {grid_error:.4}",
        median(needed)
    ));
    for (k, share) in SHARES.iter().enumerate() {
        let widths = || comparisons.iter().filter_map(|one| one.widths[k]);
        let error = median(comparisons.iter().map(|one| one.errors[k]));
        say(&format!(
            "| {share:.3} | {:.2} | {:.2} | {error:.4} | {} |",
            median(widths().map(|w| w.0)),
            median(widths().map(|w| w.1)),
            widths().count()
        ));
    }
}

fn savings_on_known_laws() {
    for n in [5, 9] {
        let m2: Vec<_> = (0..20).map(|seed| of_compute(&law::M2, &M2, seed)).collect();
        print_table("m2", &m2, n);
        let zhai: Vec<_> = (0..20).map(|seed| of_compute(&law::Zhai, &ZHAI, seed)).collect();
        print_table("zhai", &zhai, n);
    }
    for n in [9, 20] {
        print_table("chinchilla", &(0..20).map(of_size_and_data).collect::<Vec<_>>(), n);
    }
}

type Table = Vec<BTreeMap<String, String>>;

/// `None`, said aloud, where the file is absent.
fn table(name: &str) -> Option<Table> {
    let path = format!("../shared/data/fits/{name}");
    let from_root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(&path);
    let Ok(text) = std::fs::read_to_string(from_root) else {
        say(&format!("skipped: {path} is absent"));
        return None;
    };
    let mut rows = text.lines().map(|line| line.split(',').map(String::from).collect::<Vec<_>>());
    let header = rows.next()?;
    Some(rows.map(|row| header.iter().cloned().zip(row).collect()).collect())
}

fn number(row: &BTreeMap<String, String>, column: &str) -> f64 {
    row[column].parse().unwrap()
}

/// A trial that was run: where, what it cost, and the trunk it shares.
#[derive(Clone, Copy)]
struct Trial {
    x: Xs,
    y: f64,
    flops: f64,
    trunk: Option<u64>,
}

/// Trials up to `measured` FLOPs are known, further ones up to `pool` can be had, and each of the
/// `n_targets` dearest is asked.
fn replay(
    law: &'static dyn Law,
    trials: &[Trial],
    measured: f64,
    pool: f64,
    n_targets: usize,
) -> Vec<Case> {
    let mut trials = trials.to_vec();
    trials.sort_by(|a, b| a.flops.total_cmp(&b.flops));
    let (first, rest) = trials.split_at(trials.partition_point(|trial| trial.flops <= measured));
    let open = &rest[..rest.partition_point(|trial| trial.flops <= pool)];
    let known = || {
        first
            .iter()
            .zip(0..)
            .map(|(trial, i)| Point {
                x: trial.x,
                y: trial.y,
                configuration: i,
                cluster: trial.trunk.unwrap_or(1000 + i),
            })
            .collect()
    };
    // A trunk is trained as far as it is measured; further on, a checkpoint costs its trunk and no more.
    let done = |trunk: u64| {
        let of_it = first.iter().filter(|trial| trial.trunk == Some(trunk));
        of_it.map(|trial| trial.flops).fold(0.0, f64::max)
    };
    let candidate = |(index, trial): (usize, &Trial)| match trial.trunk {
        None => (
            Candidate {
                trunk: 1 << 20 | index as u64,
                ..Candidate::alone(index, trial.x, trial.flops)
            },
            trial.y,
        ),
        Some(trunk) => {
            let trunk_flops = trial.flops - done(trunk);
            (Candidate { x: trial.x, trunk, trunk_flops, own_flops: 0.0, index }, trial.y)
        }
    };
    let targets = trials.iter().rev().take(n_targets);
    targets
        .map(|target| Case {
            law,
            measured: known(),
            pool: open.iter().enumerate().map(candidate).collect(),
            target: target.x,
            answer: target.y,
        })
        .collect()
}

fn savings_on_the_runs_behind_chinchilla() {
    let Some(rows) = table("epoch_chinchilla_svg.csv") else { return };
    let trials: Vec<_> = rows
        .iter()
        .map(|row| {
            let (n, flops) = (number(row, "Model Size"), number(row, "Training FLOP"));
            Trial { x: [n, flops / (6.0 * n), 1.0], y: number(row, "loss"), flops, trunk: None }
        })
        .collect();
    for n in [9, 20] {
        print_table("epoch_chinchilla_svg", &replay(&law::Chinchilla, &trials, 3e19, 1e21, 10), n);
    }
}

fn savings_on_gemstones_checkpoints() {
    let Some(rows) = table("gemstone_hot.csv") else { return };
    let runs = analysis::labels(rows.iter().map(|row| row["run_name"].clone()));
    let trials: Vec<_> = rows
        .iter()
        .zip(runs)
        .map(|(row, run)| {
            let (n, d) = (number(row, "params_active_precise"), number(row, "tokens"));
            Trial {
                x: [n, d, 1.0],
                y: number(row, "final_loss"),
                flops: 6.0 * n * d,
                trunk: Some(run),
            }
        })
        .collect();
    for n in [9, 20] {
        print_table("gemstone_hot", &replay(&law::Chinchilla, &trials, 1e20, 6e20, 10), n);
    }
}

fn savings_on_the_frontier_of_scaling_vit() {
    let Some(rows) = table("zhai2021_vit_tables.csv") else { return };
    let columns = ["inet5_top1", "inet10_top1", "finetune_inet_top1"];
    let cases: Vec<_> = columns
        .iter()
        .flat_map(|column| {
            let points: Vec<_> = rows
                .iter()
                .zip(0..)
                .filter_map(|(row, i)| {
                    let top1: f64 = row[*column].parse().ok()?;
                    Some(Point::independent(
                        i,
                        at(number(row, "train_compute_exaflops")),
                        1.0 - top1 / 100.0,
                    ))
                })
                .collect();
            let trials: Vec<_> = frontier(&seed_means(&points))
                .iter()
                .map(|mean| Trial { x: at(mean.x), y: mean.y, flops: mean.x, trunk: None })
                .collect();
            replay(&law::Zhai, &trials, 20.0, 3000.0, 4)
        })
        .collect();
    print_table("zhai2021_vit_tables, frontier", &cases, 5);
}

fn savings_on_learning_curves() {
    let Some(rows) = table("revisiting_vision_train_only.csv") else { return };
    let mut tasks = BTreeMap::<_, BTreeMap<u64, Trial>>::new();
    for row in &rows {
        let (seen, y) = (number(row, "Seen Examples"), number(row, "Loss"));
        let trial = Trial { x: at(seen), y, flops: seen, trunk: None };
        tasks.entry((&row["Model"], &row["Task"])).or_default().insert(seen.to_bits(), trial);
    }
    let cases: Vec<_> = tasks
        .values()
        .flat_map(|task| {
            let trials: Vec<_> = task.values().copied().collect();
            let largest = trials.iter().map(|trial| trial.flops).fold(0.0, f64::max);
            replay(&law::Zhai, &trials, largest / 16.0, largest / 2.0, 1)
        })
        .filter(|case| case.measured.len() >= 8 && case.pool.len() >= 10)
        .collect();
    print_table("revisiting_vision_train_only", &cases, 5);
}
