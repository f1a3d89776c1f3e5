//! `isoflop predict`: the error at a compute never run, or the compute for an error never reached.

use std::io::Write;
use std::process::ExitCode;

use analysis::Fit;
use analysis::law::{Axis, Xs};
use analysis::point::x;
use serde_json::{Value, json};

use crate::analyse::short;
use crate::estimate::{Estimate, EstimateArgs};
use crate::exit::{ALL_DONE, bad_input};
use crate::input::{Curve, Input, InputArgs};
use crate::output::{Format, Rows, print_objects};

/// Predict the error at a compute never run, with an interval
///
/// Without --law the default estimator predicts a distribution: of a measurement, with the doubt
/// which curve is the right one. With a law of x it is that law's bootstrap and its residuals'
/// noise; with a law of N and D, --target is a compute, and the best size and data for it are
/// predicted too.
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("question").required(true).multiple(true).args(["target", "at", "reach"]))]
pub struct PredictArgs {
    #[command(flatten)]
    input: InputArgs,

    #[command(flatten)]
    estimate: EstimateArgs,

    /// Values of x to predict y at; of laws of N and D, training FLOPs
    #[arg(long, value_name = "X", value_delimiter = ',', allow_negative_numbers = true)]
    target: Vec<f64>,

    /// A place on the law's axes to predict y at: N,D
    #[arg(
        long,
        value_name = "N,D",
        value_delimiter = ',',
        requires = "law",
        allow_negative_numbers = true
    )]
    at: Vec<f64>,

    /// A value of y to find the x for
    #[arg(long, value_name = "Y", requires = "law", allow_negative_numbers = true)]
    reach: Option<f64>,

    /// Training FLOPs per parameter and example, C / (N D); default 6, of a sweep what its trials have
    #[arg(long, value_name = "K", allow_negative_numbers = true)]
    flops_per: Option<f64>,

    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub async fn predict(args: &PredictArgs) -> anyhow::Result<ExitCode> {
    let positive = |value: &f64| value.is_finite() && *value > 0.0;
    if !args.target.iter().chain(&args.at).chain(&args.reach).chain(&args.flops_per).all(positive) {
        return Err(bad_input(anyhow::anyhow!("targets are finite numbers above 0")));
    }
    let input = args.input.read(args.estimate.axes(), &[]).await?;
    let options = args.estimate.options(input.selection);
    let mut answers = Vec::new();
    for curve in &input.curves {
        let estimate = args.estimate.estimate(&input, curve, &options)?;
        answers.push(args.answer(&input, curve, &estimate)?);
    }
    match args.format {
        Format::Json => {
            let objects = answers.into_iter().map(|answer| answer.json(&input));
            print_objects(&input.curves, objects.collect())?;
        }
        Format::Csv | Format::Table => print_rows(&input, &answers, args.format)?,
    }
    Ok(ExitCode::from(ALL_DONE))
}

/// What one curve answers.
struct Answer {
    law: &'static str,
    level: f64,
    predictions: Vec<Value>,
    warnings: Value,
}

impl Answer {
    fn json(self, input: &Input) -> Value {
        let Self { law, level, predictions, warnings } = self;
        let y = &input.labels.y;
        json!({
            "law": law, "y": y, "level": level, "predictions": predictions, "warnings": warnings,
        })
    }
}

impl PredictArgs {
    fn answer(&self, input: &Input, curve: &Curve, estimate: &Estimate) -> anyhow::Result<Answer> {
        let predictions = match estimate {
            Estimate::Forecast(forecast) => self
                .target
                .iter()
                .map(|target| {
                    let said = forecast.predict(*target);
                    let said = [said.value, said.low, said.high];
                    prediction(&[(&input.labels.axes[0], *target)], said)
                })
                .collect(),
            Estimate::Fit(fit) => self.of_fit(input, curve, fit)?,
        };
        let (law, level) = match estimate {
            Estimate::Forecast(forecast) => (forecast.law, forecast.level),
            Estimate::Fit(fit) => (fit.law.name(), fit.level),
        };
        let warnings = serde_json::to_value(estimate.warnings())?;
        Ok(Answer { law, level, predictions, warnings })
    }

    fn of_fit(&self, input: &Input, curve: &Curve, fit: &Fit) -> anyhow::Result<Vec<Value>> {
        let mut predictions = Vec::new();
        let is_one_axis = fit.law.axes() == [Axis::X];
        for &target in &self.target {
            predictions.push(if is_one_axis {
                at_place(input, fit, x(target))
            } else {
                self.at_compute(curve, fit, target)?
            });
        }
        if !self.at.is_empty() {
            predictions.push(at_place(input, fit, self.place(fit)?));
        }
        if let Some(y) = self.reach {
            let reached = fit.x_to_reach(y).map_err(bad_input)?;
            predictions.push(json!({ "reach": y, input.labels.axes[0].as_str(): reached }));
        }
        Ok(predictions)
    }

    fn place(&self, fit: &Fit) -> anyhow::Result<Xs> {
        let n = fit.law.axes().len();
        if self.at.len() != n {
            let names: Vec<_> = fit.law.axes().iter().map(|axis| axis.symbol()).collect();
            return Err(bad_input(anyhow::anyhow!(
                "--at has {} values; law {} wants {n}: {}",
                self.at.len(),
                fit.law.name(),
                names.join(",")
            )));
        }
        Ok([0, 1, 2].map(|axis| self.at.get(axis).copied().unwrap_or(1.0)))
    }

    fn at_compute(&self, curve: &Curve, fit: &Fit, compute: f64) -> anyhow::Result<Value> {
        let flops_per = self.flops_per.or(curve.flops_per).unwrap_or(6.0);
        let optimum = fit.optimum(compute, flops_per).map_err(bad_input)?;
        Ok(serde_json::to_value(optimum)?)
    }
}

fn at_place(input: &Input, fit: &Fit, place: Xs) -> Value {
    let said = fit.predict(place);
    let axes: Vec<_> = input.labels.axes.iter().zip(place).collect();
    let mut value = prediction(&axes, [said.value, said.noise_low, said.noise_high]);
    value["curve_low"] = json!(said.low);
    value["curve_high"] = json!(said.high);
    value
}

fn prediction(place: &[(&String, f64)], [value, low, high]: [f64; 3]) -> Value {
    let mut object: Value = place.iter().map(|(axis, x)| ((*axis).clone(), json!(x))).collect();
    // Last, whatever the columns are called.
    for (key, y) in [("value", value), ("low", low), ("high", high)] {
        object[key] = json!(y);
    }
    object
}

/// A row per prediction, with every column that one of them has.
fn print_rows(input: &Input, answers: &[Answer], format: Format) -> anyhow::Result<()> {
    let row = |curve: &Curve, answer: &Answer, prediction: &Value| -> Vec<(String, Value)> {
        let group = curve.group.iter().map(|(column, cell)| (column.clone(), json!(cell)));
        let law = ("law".to_owned(), json!(answer.law));
        group.chain([law]).chain(flattened(prediction, format)).collect()
    };
    let answered = input.curves.iter().zip(answers);
    let flat: Vec<_> = answered
        .flat_map(|(curve, answer)| answer.predictions.iter().map(move |p| row(curve, answer, p)))
        .collect();
    let mut columns: Vec<String> = Vec::new();
    for name in flat.iter().flatten().map(|(name, _)| name) {
        if !columns.contains(name) {
            columns.push(name.clone());
        }
    }
    let cell = |row: &[(String, Value)], column: &String| {
        row.iter().find(|(name, _)| name == column).map_or(Value::Null, |(_, value)| value.clone())
    };
    let cells = |row: &Vec<_>| columns.iter().map(|column| cell(row, column)).collect();
    let rows = flat.iter().map(cells).collect();
    Rows::new(columns.clone(), rows).print(format)?;
    if format == Format::Table {
        let mut out = std::io::stdout().lock();
        for warning in answers.iter().flat_map(|answer| answer.warnings.as_array()).flatten() {
            writeln!(out, "warning: {}", warning["message"].as_str().unwrap_or_default())?;
        }
    }
    Ok(())
}

/// Estimates within a prediction: for people value [low, high], for programs a column each.
fn flattened(prediction: &Value, format: Format) -> Vec<(String, Value)> {
    let entry = |(name, value): (&String, &Value)| match value.get("value") {
        None => vec![(name.clone(), value.clone())],
        Some(best) if format == Format::Table => {
            let number = |value: &Value| value.as_f64().map_or("none".to_owned(), short);
            let [best, low, high] = [best, &value["low"], &value["high"]].map(number);
            vec![(name.clone(), json!(format!("{best} [{low}, {high}]")))]
        }
        Some(best) => vec![
            (name.clone(), best.clone()),
            (format!("{name}_low"), value["low"].clone()),
            (format!("{name}_high"), value["high"].clone()),
        ],
    };
    prediction.as_object().into_iter().flatten().flat_map(entry).collect()
}
