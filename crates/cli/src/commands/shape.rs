//! `isoflop shape`: what a model costs, in closed form.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use clap::builder::PossibleValuesParser;
use serde_json::{Map, Value, json};
use spec::{ModelSpec, model_from_json};

use crate::exit::{ALL_DONE, bad_input};
use crate::output::{Format, Rows};

/// Parameters and FLOPs of a model, in closed form
///
/// The model is a file, or spelt out by options that are named after the keys of a sweep file's model table;
/// what is left out has the value that it has there. FLOPs are per example; a multiply-add is two;
/// training is three times the forward pass.
#[derive(clap::Args)]
pub struct ShapeArgs {
    /// The model table of a sweep file as JSON, with one `shape`, `resolution` and `classes`
    #[arg(long, value_name = "FILE", conflicts_with = "model")]
    spec: Option<PathBuf>,

    #[command(flatten)]
    model: ModelArgs,

    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(clap::Args)]
#[group(id = "model", multiple = true)]
struct ModelArgs {
    /// Model family
    #[arg(long, default_value = "vit", value_parser = ["vit", "hybrid", "bit", "mixer"])]
    family: String,

    /// A published name (Ti, B, 22B ..; S, B, L, H of mixer; R50x1 .. of bit), or spelt out
    ///
    /// vit and hybrid: WIDTHxDEPTHxMLPxHEADS, as 96x6x384x3; mixer: WIDTHxDEPTHxMLPxTOKENS; bit: units of
    /// each stage and width, as 1-1-1w16
    #[arg(long, required_unless_present = "spec")]
    shape: Option<String>,

    /// Side of a patch, pixels; of a hybrid, of the stem's output
    #[arg(long, value_name = "PIXELS")]
    patch: Option<u32>,

    /// Side of the image, pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 224)]
    resolution: u32,

    /// Classes of the head; 0 is no head
    #[arg(long, value_name = "N", default_value_t = 1000)]
    classes: u32,

    /// What the classifier reads: the mean, a class token, an attention head, or every token
    #[arg(long, value_parser = PossibleValuesParser::new(["gap", "token", "map", "none"]))]
    pool: Option<String>,

    /// Position embeddings
    #[arg(long, value_parser = PossibleValuesParser::new(["learned", "sincos2d"]))]
    positions: Option<String>,

    /// Attention, then the MLP, or both side by side
    #[arg(long, value_parser = PossibleValuesParser::new(["sequential", "parallel"]))]
    block: Option<String>,

    /// The kind of every norm
    #[arg(long, value_parser = PossibleValuesParser::new(["layer-norm", "layer-norm-no-bias", "rms-norm"]))]
    norm: Option<String>,

    /// Norm queries and keys per head
    #[arg(long)]
    qk_norm: bool,

    /// No biases in the projections to queries, keys and values
    #[arg(long)]
    no_qkv_bias: bool,

    /// With mean pooling, norm after the mean
    #[arg(long)]
    fc_norm: bool,

    /// A norm after the position embedding, and no bias in the patch embedding
    #[arg(long)]
    pre_norm: bool,

    /// No position of its own for the class token
    #[arg(long)]
    no_embed_class: bool,

    /// A tanh layer before the classifier
    #[arg(long)]
    pre_logits: bool,

    /// Of a hybrid: units of each stage of its ResNet, as 3-4-9, or none
    #[arg(long, value_name = "UNITS")]
    stem: Option<String>,

    /// Of a hybrid: channels of the first convolution; default 64
    #[arg(long, value_name = "CHANNELS", requires = "stem")]
    stem_width: Option<u32>,

    /// Groups of every group norm, of bit and of a hybrid's stem; default 32
    #[arg(long, value_name = "N")]
    groups: Option<u32>,
}

pub fn shape(args: &ShapeArgs) -> anyhow::Result<ExitCode> {
    let model = args.read().map_err(bad_input)?;
    let value = json!({
        "family": model.family(),
        "shape": model.shape_name(),
        "params": model.params(),
        "forward_flops": model.forward_flops(),
        "train_flops_per_example": model.train_flops_per_example(),
    });
    Rows::one(value).print(args.format)?;
    Ok(ExitCode::from(ALL_DONE))
}

impl ShapeArgs {
    /// One place knows what makes a model: options become the same text that a file has.
    fn read(&self) -> anyhow::Result<ModelSpec> {
        match &self.spec {
            Some(path) => {
                let name = path.display().to_string();
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("cannot read the model `{name}`"))?;
                Ok(model_from_json(&name, &text)?)
            }
            None => Ok(model_from_json("the model", &self.model.as_json()?.to_string())?),
        }
    }
}

impl ModelArgs {
    fn as_json(&self) -> anyhow::Result<Value> {
        let mut table = Map::new();
        let mut set = |key: &str, value: Value| table.insert(key.to_owned(), value);
        set("family", json!(self.family));
        set("shape", shape_entry(&self.family, self.shape.as_deref().unwrap_or_default())?);
        set("resolution", json!(self.resolution));
        set("classes", json!(self.classes));
        if let Some(stem) = self.stem()? {
            set("stem", stem);
        }
        let texts = [
            ("pool", &self.pool),
            ("positions", &self.positions),
            ("block", &self.block),
            ("norm", &self.norm),
        ];
        for (key, value) in
            texts.into_iter().filter_map(|(key, value)| Some((key, value.as_ref()?)))
        {
            set(key, json!(value));
        }
        let groups = self.groups.filter(|_| self.family != "hybrid");
        for (key, value) in [("patch", self.patch), ("groups", groups)] {
            if let Some(value) = value {
                set(key, json!(value));
            }
        }
        let switches = [
            ("qk_norm", self.qk_norm, true),
            ("qkv_bias", self.no_qkv_bias, false),
            ("fc_norm", self.fc_norm, true),
            ("pre_norm", self.pre_norm, true),
            ("no_embed_class", self.no_embed_class, true),
            ("pre_logits", self.pre_logits, true),
        ];
        for (key, _, value) in switches.into_iter().filter(|(_, is_given, _)| *is_given) {
            set(key, json!(value));
        }
        Ok(Value::Object(table))
    }

    fn stem(&self) -> anyhow::Result<Option<Value>> {
        let Some(text) = &self.stem else { return Ok(None) };
        let layers = match text.as_str() {
            "none" => Vec::new(),
            units => numbers(units, '-').ok_or_else(|| {
                anyhow!("--stem is the units of each stage, as 3-4-9, or none, not `{units}`")
            })?,
        };
        let mut stem = json!({ "layers": layers });
        for (key, value) in [("width", self.stem_width), ("groups", self.groups)] {
            if let Some(value) = value {
                stem[key] = json!(value);
            }
        }
        Ok(Some(stem))
    }
}

/// A shape as a sweep file writes it: a name, or a table where it is spelt out.
fn shape_entry(family: &str, text: &str) -> anyhow::Result<Value> {
    let last = match family {
        "bit" => return Ok(bit_entry(text).unwrap_or_else(|| json!(text))),
        "mixer" => "tokens",
        _ => "heads",
    };
    Ok(match numbers(text, 'x').as_deref() {
        Some(&[width, depth, mlp, fourth]) => {
            json!({ "width": width, "depth": depth, "mlp": mlp, last: fourth })
        }
        Some(_) => {
            let last = last.to_uppercase();
            return Err(anyhow!("--shape spells out WIDTHxDEPTHxMLPx{last}, not `{text}`"));
        }
        None => json!(text),
    })
}

/// `1-1-1w16` or `R1-1-1w16`.
fn bit_entry(text: &str) -> Option<Value> {
    let (layers, width) = text.strip_prefix('R').unwrap_or(text).split_once('w')?;
    let (layers, width) = (numbers(layers, '-')?, width.parse::<u32>().ok()?);
    Some(json!({ "layers": layers, "width": width }))
}

fn numbers(text: &str, between: char) -> Option<Vec<u32>> {
    text.split(between).map(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_of_every_family_are_named_or_spelt_out() {
        let table = |width, last: &str| json!({"width": width, "depth": 6, "mlp": 384, last: 3});
        for (family, text, expected) in [
            ("vit", "96x6x384x3", table(96, "heads")),
            ("hybrid", "96x6x384x3", table(96, "heads")),
            ("mixer", "96x6x384x3", table(96, "tokens")),
            ("vit", "So400m", json!("So400m")),
            ("bit", "R50x1", json!("R50x1")),
            ("bit", "1-1-2w16", json!({"layers": [1, 1, 2], "width": 16})),
            ("bit", "R3w64", json!({"layers": [3], "width": 64})),
        ] {
            assert_eq!(shape_entry(family, text).unwrap(), expected, "{family} {text}");
        }
        assert!(shape_entry("vit", "96x6").is_err());
    }
}
