//! Closed forms against counts of real models: every row of our families in the reference table,
//! made with timm 1.0.31 and PyTorch's flop counter.

use std::path::Path;

use serde_json::{Value, json};
use spec::ModelSpec;

/// Registered models of timm that add what no paper of ours has: registers, layer scale, norms after
/// residuals, two blocks side by side.
const OTHERS: [&str; 11] = [
    "vit_pwee_patch16_reg1_gap_256",
    "vit_wee_patch16_reg1_gap_256",
    "vit_small_patch16_18x2_224",
    "vit_base_patch16_18x2_224",
    "vit_small_patch16_36x1_224",
    "vit_so150m_patch16_reg4_map_256",
    "vit_base_patch16_rpn_224",
    "test_vit",
    "test_vit2",
    "test_vit3",
    "test_vit4",
];

/// Families that isoflop does not have.
const OTHER_FAMILIES: [&str; 5] = ["mvitv2", "swin", "focalnet", "swin_mini", "mvitv2_mini"];

#[test]
fn params_and_forward_flops_equal_every_reference_row() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let table = root.join("../shared/reference/models/params_flops.json");
    let Ok(text) = std::fs::read_to_string(&table) else {
        println!(
            "skipped: params_and_forward_flops_equal_every_reference_row: no {}",
            table.display()
        );
        return;
    };
    let table: Value = serde_json::from_str(&text).unwrap();
    let mut checked = 0;
    for row in table["rows"].as_array().unwrap() {
        let Some(spec) = spec_of(row) else { continue };
        let name = &row["name"];
        let model = spec::model_from_json("row", &spec.to_string())
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(Some(model.params()), row["params"].as_u64(), "{name}");
        assert_eq!(Some(model.forward_flops()), row["forward_flops"].as_u64(), "{name}");
        checked += 1;
    }
    assert_eq!(checked, 249 - 11 - 12);
}

/// The spec file of a row; None for other families.
fn spec_of(row: &Value) -> Option<Value> {
    let config = &row["config"];
    let family = row["family"].as_str()?;
    if let Some(name) = config["timm_name"].as_str() {
        let is_other = |prefix: &&str| name.starts_with(*prefix);
        let other = OTHERS.contains(&name) || OTHER_FAMILIES.iter().any(is_other);
        return (!other).then(|| registered(name, &config["img_size"]));
    }
    let mut spec = match family {
        family if OTHER_FAMILIES.contains(&family) => return None,
        "bit_resnetv2" => json!({
            "family": "bit",
            "shape": { "layers": config["layers"], "width": 64 * config["width_factor"].as_u64()? },
        }),
        "mixer_mini" => mixer(config),
        family => vit(family, config),
    };
    spec["resolution"] = config["img_size"].clone();
    spec["classes"] = config["num_classes"].clone();
    Some(spec)
}

fn vit(family: &str, config: &Value) -> Value {
    let mut spec = json!({
        "family": "vit",
        "patch": config["patch"],
        "shape": {
            "width": config["width"], "depth": config["depth"],
            "mlp": config["mlp_dim"], "heads": config["heads"],
        },
        "pool": config["pool"],
    });
    let is_22b = family.starts_with("vit22b");
    if is_22b || config["block"] == "ParallelScalingBlock" {
        spec["block"] = json!("parallel");
    }
    if is_22b || config["qk_norm"] == true {
        spec["qk_norm"] = json!(true);
    }
    if is_22b || config["qkv_bias"] == false {
        spec["qkv_bias"] = json!(false);
    }
    if is_22b {
        spec["norm"] = json!("rms-norm");
    }
    spec
}

/// Widths of the token and channel MLPs as ratios of the width.
fn mixer(config: &Value) -> Value {
    let width = config["width"].as_u64().unwrap();
    let times = |at: usize| (width as f64 * config["mlp_ratio"][at].as_f64().unwrap()) as u64;
    json!({
        "family": "mixer",
        "patch": config["patch"],
        "shape": { "width": width, "depth": config["depth"], "tokens": times(0), "mlp": times(1) },
    })
}

/// What timm's registered names stand for.
fn registered(name: &str, resolution: &Value) -> Value {
    let mut spec = registered_model(name);
    spec["resolution"] = resolution.clone();
    let no_classifier = ["vit_huge_patch14_224", "siglip", "vit_base_r50_s16_224"]
        .iter()
        .any(|part| name.contains(part));
    spec["classes"] = json!(if no_classifier { 0 } else { 1000 });
    spec
}

fn registered_model(name: &str) -> Value {
    let words: Vec<&str> = name.split('_').collect();
    if let Some(bit) = name.strip_prefix("resnetv2_") {
        return json!({ "family": "bit", "shape": format!("R{}", bit.trim_end_matches("_bit")) });
    }
    if words[0] == "mixer" {
        let (size, patch) = words[1].split_at(1);
        return json!({ "family": "mixer", "shape": size.to_uppercase(), "patch": patch.parse::<u32>().unwrap() });
    }
    if let Some((shape, layers, patch)) = hybrid(name) {
        return json!({
            "family": "hybrid", "shape": shape, "patch": patch, "pool": "token",
            "stem": { "layers": layers },
        });
    }
    let patch = words.iter().find_map(|word| word.strip_prefix("patch")).unwrap();
    let mut spec = json!({
        "family": "vit",
        "shape": shape(name, words[1]),
        "patch": patch.parse::<u32>().unwrap(),
        "pool": if name.contains("siglip") { "map" } else { "token" },
    });
    if name.contains("_xp_") {
        for (key, value) in [
            ("block", json!("parallel")),
            ("norm", json!("rms-norm")),
            ("qk_norm", json!(true)),
            ("qkv_bias", json!(false)),
            ("pre_norm", json!(true)),
            ("no_embed_class", json!(true)),
        ] {
            spec[key] = value;
        }
    }
    spec
}

fn hybrid(name: &str) -> Option<(&'static str, &'static [u32], u32)> {
    Some(match name.rsplit_once('_')?.0 {
        "vit_base_r50_s16" => ("B", &[3, 4, 9], 1),
        "vit_large_r50_s32" => ("L", &[3, 4, 6, 3], 1),
        "vit_base_r26_s32" => ("B", &[2, 2, 2, 2], 1),
        "vit_small_r26_s32" => ("S", &[2, 2, 2, 2], 1),
        "vit_tiny_r_s16_p8" => ("Ti", &[], 8),
        _ => return None,
    })
}

fn shape(name: &str, size: &str) -> Value {
    match size {
        "tiny" => json!("Ti"),
        "small" => json!("S"),
        "base" => json!("B"),
        "large" => json!("L"),
        "huge" => json!("H"),
        "giant" => json!("g"),
        "gigantic" => json!("G"),
        "so400m" => json!("So400m"),
        _ => panic!("no shape for {name}"),
    }
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
