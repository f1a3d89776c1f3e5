//! Closed forms against counts of real models, made with timm 1.0.31 and PyTorch's flop counter, and
//! against published costs.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};
use spec::ModelSpec;

/// Rows of the reference table that no model here is: families that isoflop does not have, and what no
/// paper of ours has (registers, layer scale, norms after residuals, two blocks side by side).
const OTHERS: [&str; 23] = [
    "focalnet_tiny_lrf",
    "focalnet_tiny_srf",
    "mvitv2 mini @32",
    "mvitv2_base",
    "mvitv2_base_cls",
    "mvitv2_large",
    "mvitv2_small",
    "mvitv2_tiny",
    "swin mini /2 win4 @32",
    "swin_base_patch4_window7_224",
    "swin_small_patch4_window7_224",
    "swin_tiny_patch4_window7_224",
    "test_vit",
    "test_vit2",
    "test_vit3",
    "test_vit4",
    "vit_base_patch16_18x2_224",
    "vit_base_patch16_rpn_224",
    "vit_pwee_patch16_reg1_gap_256",
    "vit_small_patch16_18x2_224",
    "vit_small_patch16_36x1_224",
    "vit_so150m_patch16_reg4_map_256",
    "vit_wee_patch16_reg1_gap_256",
];

/// A reference row and the spec file of its model.
#[derive(Deserialize)]
struct Golden {
    #[serde(flatten)]
    counted: Counted,
    spec: Value,
}

/// One name may be several rows: at other resolutions.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
struct Counted {
    name: String,
    params: u64,
    forward_flops: u64,
}

fn golden() -> Vec<Golden> {
    serde_json::from_str(include_str!("golden/params_flops.json")).unwrap()
}

#[test]
fn params_and_forward_flops_equal_every_reference_row() {
    let golden = golden();
    assert_eq!(golden.len(), 226);
    for Golden { counted: Counted { name, params, forward_flops }, spec } in golden {
        let model = spec::model_from_json(&name, &spec.to_string())
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((model.params(), model.forward_flops()), (params, forward_flops), "{name}");
    }
}

#[test]
fn the_golden_file_has_every_row_of_our_families() {
    #[derive(Deserialize)]
    struct Table {
        rows: Vec<Counted>,
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let table = root.join("../shared/reference/models/params_flops.json");
    let Ok(text) = std::fs::read_to_string(&table) else {
        println!("skipped: the_golden_file_has_every_row_of_our_families: no {}", table.display());
        return;
    };
    let table: Table = serde_json::from_str(&text).unwrap();
    let ours = table.rows.into_iter().filter(|row| !OTHERS.contains(&row.name.as_str()));
    let golden: BTreeSet<Counted> = golden().into_iter().map(|row| row.counted).collect();
    assert_eq!(golden, ours.collect());
}

/// The exaFLOPs of ViT's table 6: epochs times 303 million images of JFT-300M times three forward
/// passes at 224 pixels. Plain transformers and hybrids within 1%, but B/32, and ResNets within 5%.
#[test]
fn pre_training_costs_are_those_of_vits_table_6() {
    let vit = |shape: &str, patch: u32| json!({ "family": "vit", "shape": shape, "patch": patch, "pool": "token" });
    let hybrid = |shape: &str, layers: &[u32]| json!({ "family": "hybrid", "shape": shape, "pool": "token", "stem": { "layers": layers } });
    let bit = |shape: &str| json!({ "family": "bit", "shape": shape });
    let rows = [
        (vit("B", 32), 7.0, 55.0, 0.025),
        (vit("B", 16), 7.0, 224.0, 0.01),
        (vit("L", 32), 7.0, 196.0, 0.01),
        (vit("L", 16), 7.0, 783.0, 0.01),
        (vit("L", 16), 14.0, 1567.0, 0.01),
        (vit("H", 14), 14.0, 4262.0, 0.01),
        (hybrid("B", &[3, 4, 9]), 7.0, 274.0, 0.01),
        (bit("R50x1"), 7.0, 50.0, 0.05),
        (bit("R50x2"), 7.0, 199.0, 0.05),
        (bit("R101x1"), 7.0, 96.0, 0.05),
        (bit("R152x1"), 7.0, 141.0, 0.05),
        (bit("R152x2"), 7.0, 563.0, 0.05),
        (bit("R152x2"), 14.0, 1126.0, 0.05),
        (bit("R200x3"), 14.0, 3306.0, 0.05),
    ];
    for (mut spec, epochs, published, tolerance) in rows {
        (spec["resolution"], spec["classes"]) = (json!(224), json!(1000));
        let model: ModelSpec = spec::model_from_json("row", &spec.to_string()).unwrap();
        let exaflops = 3.0 * model.forward_flops() as f64 * epochs * 303e6 / 1e18;
        let off = exaflops / published - 1.0;
        println!(
            "{:8} {epochs:2} epochs: {exaflops:7.1} exaFLOPs, {:+.1}%",
            model.shape_name(),
            100.0 * off
        );
        assert!(off.abs() < tolerance, "{spec}: {exaflops}, not {published}");
    }
}
