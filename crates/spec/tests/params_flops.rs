//! Closed forms against counts of real models: every row of the families `vit` and `vit_gap` of
//! the reference table, made with timm 1.0.31 and PyTorch's flop counter.

use std::path::Path;

use spec::{ModelSpec, NamedShape, Pool, Positions, Shape, VitSpec};

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
    let table: serde_json::Value = serde_json::from_str(&text).unwrap();
    let rows = table["rows"].as_array().unwrap();
    let rows: Vec<_> =
        rows.iter().filter(|row| row["family"] == "vit" || row["family"] == "vit_gap").collect();
    assert_eq!(rows.len(), 32);
    for row in rows {
        let model = model(&row["config"]);
        assert_eq!(Some(model.params()), row["params"].as_u64(), "{}", row["name"]);
        assert_eq!(Some(model.forward_flops()), row["forward_flops"].as_u64(), "{}", row["name"]);
    }
}

fn model(config: &serde_json::Value) -> ModelSpec {
    let number = |key: &str| u32::try_from(config[key].as_u64().unwrap()).unwrap();
    let (width, depth, mlp, heads) =
        (number("width"), number("depth"), number("mlp_dim"), number("heads"));
    ModelSpec::Vit(VitSpec {
        shape: NamedShape::spelt_out(Shape { width, depth, mlp, heads }),
        patch: number("patch"),
        resolution: number("img_size"),
        classes: number("num_classes"),
        pool: if config["pool"] == "token" { Pool::Token } else { Pool::Gap },
        positions: Positions::Learned,
    })
}
