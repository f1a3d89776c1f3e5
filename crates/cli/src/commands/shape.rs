//! `isoflop shape`: what a model costs, in closed form.

use std::process::ExitCode;

use spec::{ModelSpec, NamedShape, Pool, Positions, Shape, VitSpec};

use crate::exit::{ALL_DONE, bad_input};
use crate::output::{Format, Rows};

/// Parameters and FLOPs of a model shape, in closed form
///
/// FLOPs are per example; a multiply-add is two; training is three times the forward pass.
#[derive(clap::Args)]
pub struct ShapeArgs {
    /// Model family
    #[arg(long, default_value = "vit", value_parser = ["vit"])]
    family: String,

    /// A published shape (mu, Ti, s, S, M, B, L, So400m, H, g, G, e, 22B ..) or WIDTHxDEPTHxMLPxHEADS
    #[arg(long)]
    shape: String,

    /// Side of a patch, pixels
    #[arg(long, value_name = "PIXELS")]
    patch: u32,

    /// Side of the image, pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 224)]
    resolution: u32,

    /// Classes of the head
    #[arg(long, value_name = "N", default_value_t = 1000)]
    classes: u32,

    /// What the classifier reads
    #[arg(long, value_enum, default_value_t = PoolArg::Gap)]
    pool: PoolArg,

    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum PoolArg {
    /// The mean of all tokens
    Gap,
    /// A class token
    Token,
}

pub fn shape(args: &ShapeArgs) -> anyhow::Result<ExitCode> {
    let model = ModelSpec::Vit(VitSpec {
        shape: parse(&args.shape).map_err(bad_input)?,
        patch: args.patch,
        resolution: args.resolution,
        classes: args.classes,
        pool: match args.pool {
            PoolArg::Gap => Pool::Gap,
            PoolArg::Token => Pool::Token,
        },
        positions: Positions::Learned,
    });
    model.check().map_err(bad_input)?;
    let value = serde_json::json!({
        "family": args.family,
        "shape": model.shape().name,
        "params": model.params(),
        "forward_flops": model.forward_flops(),
        "train_flops_per_example": model.train_flops_per_example(),
    });
    Rows::one(value).print(args.format)?;
    Ok(ExitCode::from(ALL_DONE))
}

/// A published name, or four numbers: `96x6x384x3`.
fn parse(text: &str) -> Result<NamedShape, spec::ShapeError> {
    let numbers: Result<Vec<u32>, _> = text.split('x').map(str::parse).collect();
    match numbers.as_deref() {
        Ok(&[width, depth, mlp, heads]) => {
            Ok(NamedShape::spelt_out(Shape { width, depth, mlp, heads }))
        }
        _ => NamedShape::published(text),
    }
}
