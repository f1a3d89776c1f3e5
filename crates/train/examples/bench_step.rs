//! The trainer's step on command, for bench/step.py: a line `width depth mlp heads patch classes
//! batch precision` makes a model, a line `n` takes n steps with it and answers with their seconds.

use std::io::{self, BufRead, Write};
use std::time::Instant;

use spec::{ModelSpec, NamedShape, Precision, Recipe, Shape};
use tch::{Kind, Tensor};
use train::{Batch, Learner};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let threads = std::env::args().nth(1).ok_or("usage: bench_step THREADS")?.parse()?;
    let setting = train::prepare("cpu", threads)?;
    let mut state: Option<(Learner, Batch, u64)> = None;
    let mut out = io::stdout();
    for line in io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        match (&words[..], &mut state) {
            ([steps], Some((learner, batch, done))) => {
                let (steps, start) = (steps.parse::<u64>()?, Instant::now());
                let mut last = None;
                for _ in 0..steps {
                    last = Some(learner.step(batch, *done, 1e-3)?);
                    *done += 1;
                }
                let loss = last.map(|measured| measured.loss.double_value(&[]));
                writeln!(out, "{} {}", start.elapsed().as_secs_f64(), loss.unwrap_or(f64::NAN))?;
            }
            _ => {
                let recipe = recipe(&words)?;
                let (batch, side) =
                    (i64::from(recipe.train.batch), i64::from(recipe.model.resolution()));
                let images =
                    Tensor::rand([batch, 3, side, side], (Kind::Float, setting.device)) * 2.0 - 1.0;
                let classes = i64::from(recipe.model.classes());
                let labels = Tensor::randint(classes, [batch], (Kind::Int64, setting.device));
                let learner = Learner::new(&recipe, setting.device)?;
                state = Some((learner, Batch { images, labels }, 0));
                writeln!(out, "ready")?;
            }
        }
        out.flush()?;
    }
    Ok(())
}

fn recipe(words: &[&str]) -> Result<Recipe, Box<dyn std::error::Error>> {
    let [width, depth, mlp, heads, patch, classes, batch, precision] = words else {
        return Err("eight words are expected".into());
    };
    let mut recipe = test_support::recipe(0);
    let ModelSpec::Vit(vit) = &mut recipe.model;
    let shape = Shape {
        width: width.parse()?,
        depth: depth.parse()?,
        mlp: mlp.parse()?,
        heads: heads.parse()?,
    };
    vit.shape = NamedShape::spelt_out(shape);
    (vit.patch, vit.classes) = (patch.parse()?, classes.parse()?);
    recipe.train.batch = batch.parse()?;
    recipe.train.weight_decay = spec::WeightDecay { body: 0.1, head: 0.1 };
    recipe.train.precision = if *precision == "bf16" { Precision::Bf16 } else { Precision::F32 };
    Ok(recipe)
}
