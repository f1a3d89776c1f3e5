//! `isoflop-trainer forward` and `train-step` as a user meets them: on files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use models::{Parameter, initial};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};

/// A folder with a spec, weights, images and labels that fit each other.
struct Files {
    folder: tempfile::TempDir,
}

fn vit() -> Value {
    json!({
        "family": "vit", "patch": 8, "resolution": 32, "classes": 4,
        "shape": { "width": 16, "depth": 1, "mlp": 32, "heads": 2 },
    })
}

impl Files {
    fn new(spec: &Value) -> Self {
        let files = Self { folder: tempfile::tempdir().unwrap() };
        files.write("spec.json", &spec.to_string());
        files.write("train.json", &json!({ "learning_rate": 1e-3 }).to_string());
        let model = spec::model_from_json("spec", &spec.to_string()).unwrap();
        files.weights(&initial(&model, 1));
        let side = i64::from(model.resolution());
        let i = Tensor::arange(3 * 3 * side * side, (Kind::Float, Device::Cpu));
        files.input(&(i * 0.37).sin().view([3, 3, side, side]), &[0, 3, 1]);
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn weights(&self, parameters: &[Parameter]) {
        let tensors: Vec<_> = parameters.iter().map(|p| (p.name.as_str(), &p.tensor)).collect();
        save(&self.path("weights"), &tensors);
    }

    fn input(&self, images: &Tensor, labels: &[i64]) {
        save(&self.path("input"), &[("x", images), ("y", &Tensor::from_slice(labels))]);
    }

    fn run(&self, command: &str, more: &[&str]) -> Output {
        let mut program = Command::new(env!("CARGO_BIN_EXE_isoflop-trainer"));
        program.arg(command);
        for (option, file) in [
            ("spec", "spec.json"),
            ("weights", "weights"),
            ("input", "input"),
            ("output", "output"),
        ] {
            program.arg(format!("--{option}")).arg(self.path(file));
        }
        if command == "train-step" {
            program.arg("--train").arg(self.path("train.json"));
        }
        program.args(more).output().unwrap()
    }

    /// Exit code 2, nothing written, and a message with every part.
    fn refused(&self, command: &str, more: &[&str], parts: &[&str]) {
        let output = self.run(command, more);
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(!self.path("output").exists());
        for part in parts {
            assert!(message.contains(part), "`{part}` is not in: {message}");
        }
    }
}

fn save(path: &Path, tensors: &[(&str, &Tensor)]) {
    let bytes: Vec<_> = tensors.iter().map(|(_, tensor)| bytes_of(tensor)).collect();
    let views = tensors.iter().zip(&bytes).map(|((name, tensor), bytes)| {
        let shape = tensor.size().iter().map(|&size| size as usize).collect();
        let dtype = if tensor.kind() == Kind::Int64 { Dtype::I64 } else { Dtype::F32 };
        (*name, TensorView::new(dtype, shape, bytes).unwrap())
    });
    fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

fn bytes_of(tensor: &Tensor) -> Vec<u8> {
    let flat = tensor.contiguous().view([-1]).view_dtype(Kind::Uint8);
    Vec::try_from(&flat).unwrap()
}

fn shapes(path: &Path) -> Vec<(String, Vec<usize>, Dtype)> {
    let bytes = fs::read(path).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let mut shapes: Vec<_> = tensors
        .iter()
        .map(|(name, view)| (name.to_owned(), view.shape().to_vec(), view.dtype()))
        .collect();
    shapes.sort_by(|a, b| a.0.cmp(&b.0));
    shapes
}

#[test]
fn forward_writes_logits_and_features_in_the_kind_that_was_asked_for() {
    let files = Files::new(&vit());
    for (kind, dtype) in [("f32", Dtype::F32), ("f64", Dtype::F64)] {
        let output = files.run("forward", &["--features", "--dtype", kind]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let expected =
            [("features".to_owned(), vec![3, 16], dtype), ("logits".to_owned(), vec![3, 4], dtype)];
        assert_eq!(shapes(&files.path("output")), expected);
    }
}

#[test]
fn tensors_that_do_not_fit_are_named_each() {
    let files = Files::new(&vit());
    let model = spec::model_from_json("spec", &vit().to_string()).unwrap();
    let mut parameters = initial(&model, 1);
    parameters.retain(|p| p.name != "norm.bias" && p.name != "blocks.0.mlp.fc1.weight");
    let extra = |name: &str| Parameter {
        name: name.into(),
        tensor: Tensor::zeros([2], (Kind::Float, Device::Cpu)),
    };
    parameters.push(extra("blocks.1.norm1.weight"));
    for parameter in parameters.iter_mut().filter(|p| p.name == "head.weight") {
        parameter.tensor = parameter.tensor.transpose(0, 1);
    }
    files.weights(&parameters);
    let parts = [
        "weights",
        "`norm.bias` [16] is missing",
        "`blocks.0.mlp.fc1.weight` [32, 16] is missing",
        "no `blocks.1.norm1.weight`",
        "`head.weight` has shape [16, 4] where the model needs [4, 16]",
    ];
    files.refused("forward", &[], &parts);
    files.refused("train-step", &[], &parts);
}

#[test]
fn files_that_are_no_such_files_are_named() {
    let files = Files::new(&vit());
    files.write("weights", "no tensors");
    files.refused("forward", &[], &["weights", "safetensors"]);
    fs::remove_file(files.path("weights")).unwrap();
    files.refused("forward", &[], &["cannot read", "weights"]);
    let files = Files::new(&vit());
    files.write("spec.json", "{");
    files.refused("forward", &[], &["spec.json", "EOF"]);
    files.write("spec.json", &vit().to_string().replace("patch", "patches"));
    files.refused("forward", &[], &["spec.json", "unknown field `patches`"]);
    files.write("spec.json", &vit().to_string().replace("\"patch\":8", "\"patch\":7"));
    files.refused("forward", &[], &["spec.json", "patch = 7 does not divide resolution = 32"]);
}

#[test]
fn images_and_labels_that_do_not_fit_are_refused() {
    let files = Files::new(&vit());
    let images = |side: i64| Tensor::zeros([2, 3, side, side], (Kind::Float, Device::Cpu));
    files.input(&images(24), &[0, 1]);
    files.refused("forward", &[], &["[2, 3, 24, 24]", "[batch, 3, 32, 32]"]);
    for labels in [&[0_i64, 4][..], &[0, -1], &[0, 1, 2]] {
        files.input(&images(32), labels);
        files.refused("train-step", &[], &["y must be 2 integers below 4"]);
    }
    save(&files.path("input"), &[("images", &images(32))]);
    files.refused("forward", &[], &["no tensor `x`", "images"]);
}

#[test]
fn train_step_tells_each_step_and_writes_the_weights_back() {
    let files = Files::new(&vit());
    let output = files.run("train-step", &["--steps", "3"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 3);
    assert!((lines[0]["loss"].as_f64().unwrap() - 4f64.ln()).abs() < 1e-6, "{lines:?}");
    assert!(lines[2]["loss"].as_f64() < lines[0]["loss"].as_f64(), "{lines:?}");
    assert_eq!(shapes(&files.path("output")), shapes(&files.path("weights")));
    assert_ne!(fs::read(files.path("output")).unwrap(), fs::read(files.path("weights")).unwrap());
}

#[test]
fn recipes_that_cannot_be_followed_are_refused() {
    let files = Files::new(&vit());
    for (train, parts) in [
        (json!({}), vec!["train.json", "learning_rate"]),
        (json!({ "learning_rate": [1e-3] }), vec!["train.json", "one number"]),
        (json!({ "learning_rate": 1e-3, "micro_batch": 0 }), vec!["train.json", "micro_batch"]),
        (
            json!({ "learning_rate": 1e-3, "schedule": { "decay": "cosine", "warmup": 9 } }),
            vec!["train.json", "schedule", "warm-up (9)"],
        ),
    ] {
        files.write("train.json", &train.to_string());
        files.refused("train-step", &["--steps", "3"], &parts);
    }
    let mut unpooled = vit();
    unpooled["pool"] = "none".into();
    let files = Files::new(&unpooled);
    files.refused("train-step", &[], &["spec.json", "masked-patch"]);
}

#[test]
fn masked_patches_are_trained_with_their_own_classifier_and_mask() {
    let files = Files::new(&vit());
    let train = json!({ "learning_rate": 1e-3, "objective": "masked-patch" });
    files.write("train.json", &train.to_string());
    files.refused("train-step", &[], &["`mask_token` [1, 1, 16] is missing", "[512, 16]"]);
    let model = spec::model_from_json("spec", &vit().to_string()).unwrap();
    files.weights(&initial(&model.for_masked_patches().unwrap(), 1));
    let output = files.run("train-step", &["--steps", "2"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let first = String::from_utf8(output.stdout).unwrap().lines().next().unwrap().to_owned();
    let first: Value = serde_json::from_str(&first).unwrap();
    assert!((first["loss"].as_f64().unwrap() - 512f64.ln()).abs() < 1e-5, "{first}");
}

#[test]
fn positions_of_another_grid_are_brought_to_the_specs_where_that_is_asked_for() {
    let files = Files::new(&vit());
    let mut larger = vit();
    larger["resolution"] = 48.into();
    files.write("spec.json", &larger.to_string());
    files.input(&Tensor::zeros([1, 3, 48, 48], (Kind::Float, Device::Cpu)), &[0]);
    files.refused("forward", &[], &["`pos_embed` has shape [1, 16, 16]", "[1, 36, 16]"]);
    for how in ["bilinear", "bicubic"] {
        assert!(files.run("forward", &["--resample-positions", how]).status.success(), "{how}");
    }
}
