//! Fits on order, timed: a JSON line in, a JSON line out. bench/fit_scipy.py writes the orders, so
//! that both sides have the same points and begin at the same starts.

use std::error::Error;
use std::io::{BufRead, Write, stdin, stdout};
use std::time::Instant;

use analysis::{Fit, FitOptions, Labels, Point, fit, law};

#[derive(serde::Deserialize)]
struct Order {
    law: String,
    /// A value per axis of the law, then y.
    points: Vec<Vec<f64>>,
    /// In the points' units; without any, `n_starts` even ones.
    #[serde(default)]
    given_starts: Vec<Vec<f64>>,
    #[serde(default)]
    n_starts: usize,
    #[serde(default)]
    n_resamples: usize,
    n_repeats: usize,
}

#[derive(serde::Serialize)]
struct Answer {
    n_threads: usize,
    /// Wall time of each repeat.
    seconds: Vec<f64>,
    objective: f64,
    n_starts: usize,
    n_at_best: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    for line in stdin().lock().lines() {
        let order: Order = serde_json::from_str(&line?)?;
        let mut out = stdout().lock();
        serde_json::to_writer(&mut out, &answer(&order)?)?;
        writeln!(out)?;
        out.flush()?;
    }
    Ok(())
}

fn answer(order: &Order) -> Result<Answer, Box<dyn Error>> {
    let (mut seconds, mut last) = (Vec::new(), timed(order)?);
    for _ in 0..order.n_repeats {
        last = timed(order)?;
        seconds.push(last.0);
    }
    let Fit { objective, starts, .. } = last.1;
    Ok(Answer {
        n_threads: rayon::current_num_threads(),
        seconds,
        objective: objective.value,
        n_starts: starts.n,
        n_at_best: starts.at_best,
    })
}

fn timed(order: &Order) -> Result<(f64, Fit), Box<dyn Error>> {
    let law = law::named(&order.law).ok_or("no such law")?;
    let points: Vec<_> = (0..).zip(&order.points).map(|(row, values)| point(row, values)).collect();
    let axes = law.axes().iter().map(|axis| axis.name().to_owned()).collect();
    let labels = Labels { axes, y: "y".into(), cluster: "row".into() };
    let options = FitOptions {
        given_starts: order.given_starts.clone(),
        n_starts: order.n_starts.max(1),
        n_resamples: order.n_resamples,
        holdout: false,
        ..FitOptions::default()
    };
    let begun = Instant::now();
    let fit = fit(law, &points, &labels, &options)?;
    Ok((begun.elapsed().as_secs_f64(), fit))
}

fn point(row: u64, values: &[f64]) -> Point {
    let (y, axes) = values.split_last().unwrap_or((&f64::NAN, &[]));
    let mut x = [1.0; law::MAX_AXES];
    x.iter_mut().zip(axes).for_each(|(x, axis)| *x = *axis);
    Point::independent(row, x, *y)
}
