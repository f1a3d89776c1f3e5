//! `isoflop frontier`: the points that no other beats at their compute.

use std::io::Write;
use std::process::ExitCode;

use analysis::frontier::Envelope;
use analysis::law::Axis;
use anyhow::anyhow;
use clap::ValueEnum;
use serde_json::{Value, json};

use crate::exit::{ALL_DONE, bad_input, too_few_points};
use crate::input::{Curve, InputArgs};
use crate::output::{Format, Rows, print_objects};

/// List the points that no other beats at their compute
///
/// Of a sweep the means of seeds are taken first. Points that are off the frontier are counted.
#[derive(clap::Args)]
pub struct FrontierArgs {
    #[command(flatten)]
    input: InputArgs,

    /// Which points are the best
    #[arg(long, value_enum, default_value_t = EnvelopeKind::RunningMinimum)]
    envelope: EnvelopeKind,

    /// Bins of the bin minimum in a decade of x
    #[arg(long, value_name = "N", default_value_t = 3)]
    per_decade: u32,

    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum EnvelopeKind {
    /// Below every point of less or equal x
    RunningMinimum,
    /// Corners of the lower convex hull in logarithms
    LowerHull,
    /// The lowest of each bin of ln x
    BinMinimum,
}

impl EnvelopeKind {
    pub fn of(self, per_decade: u32) -> Envelope {
        match self {
            Self::RunningMinimum => Envelope::RunningMinimum,
            Self::LowerHull => Envelope::LowerHull,
            Self::BinMinimum => Envelope::BinMinimum { per_decade },
        }
    }
}

pub async fn frontier(args: &FrontierArgs) -> anyhow::Result<ExitCode> {
    let input = args.input.read(&[Axis::X], &[]).await?;
    let mut objects = Vec::new();
    let mut n_points = 0;
    let mut rows: Vec<Vec<Value>> = Vec::new();
    for curve in &input.curves {
        let points = means(curve)?;
        let kept = args.envelope.of(args.per_decade).of(&points).map_err(bad_input)?;
        n_points += points.len();
        let best: Vec<_> = kept.iter().map(|&at| points[at]).collect();
        let name = curve.name();
        rows.extend(best.iter().map(|(x, y)| vec![json!(name), json!(x), json!(y)]));
        objects.push(json!({
            "envelope": args.envelope.to_possible_value().map(|value| value.get_name().to_owned()),
            "n_points": points.len(),
            "n_dropped": curve.n_dropped,
            "frontier": best.iter().map(|(x, y)| json!({"x": x, "y": y})).collect::<Vec<_>>(),
        }));
    }
    match args.format {
        Format::Json => print_objects(&input.curves, objects)?,
        Format::Csv | Format::Table => {
            let columns = ["group", input.labels.axes[0].as_str(), input.labels.y.as_str()];
            let n = rows.len();
            Rows::new(columns.map(str::to_owned).into(), rows).print(args.format)?;
            if args.format == Format::Table {
                writeln!(std::io::stdout().lock(), "{n} on the frontier, of {n_points} points")?;
            }
        }
    }
    Ok(ExitCode::from(ALL_DONE))
}

/// The means of seeds as (x, y).
fn means(curve: &Curve) -> anyhow::Result<Vec<(f64, f64)>> {
    if curve.points.is_empty() {
        return Err(too_few_points(anyhow!("there is no point")));
    }
    Ok(analysis::seed_means(&curve.points).iter().map(|mean| (mean.x, mean.y)).collect())
}
