"""Writes the golden files that the Rust tests read, from timm and torch: forward.json and steps.json.

    tools/parity/.venv/bin/python tools/parity/make.py [FOLDER]

Weights and images follow the formulas of models.py, so that no file of weights has to travel. Numbers
are of f64 models.
"""

import json
import math
import sys
from pathlib import Path

import torch

import cases
import models
import training

FORWARD = Path("crates/models/tests/golden/forward.json")
STEPS = Path("crates/train/tests/golden/steps.json")
BATCH = 2
SAMPLES = 8


def weights_of(case):
    """The formula's weights, and their shapes: those of a model for the images they were made for."""
    spec = dict(case["spec"], resolution=case.get("weights_resolution", case["spec"]["resolution"]))
    shapes = models.shapes(models.build(spec))
    return models.formula_weights(shapes), shapes


def outputs(case, weights, images, dtype):
    """Logits and features (of a model without classes they are the same)."""
    model = models.build(case["spec"], dtype)
    models.load(model, weights, case.get("resample"))
    with torch.no_grad():
        return model(images.to(dtype)), models.features(model, images.to(dtype))


def forward(case):
    weights, shapes = weights_of(case)
    images = models.formula_images(BATCH, case["spec"]["resolution"])
    logits, features = outputs(case, weights, images, torch.float64)
    record = dict(case, parameters=shapes, logits_shape=list(logits.shape), logits=logits.flatten().tolist())
    if case["spec"]["classes"]:
        record["features"] = digest(features)
    return record


def digest(values):
    """Sum, sum of squares, and elements `(2k + 1) numel / 16`, rounded down, k from 0 to 7."""
    flat = values.flatten().double()
    places = [(2 * k + 1) * flat.numel() // (2 * SAMPLES) for k in range(SAMPLES)]
    return rounded([flat.sum().item(), flat.square().sum().item(), *flat[places].tolist()], 13)


def steps(case):
    spec = cases.TRAINED[case["model"]]
    weights = models.formula_weights(models.shapes(models.build(spec)))
    images, labels = models.formula_images(len(cases.LABELS), spec["resolution"]), torch.tensor(cases.LABELS)

    def run(dtype):
        return training.train(spec, case["train"], weights, images, labels, cases.STEPS, dtype)

    losses, norms, after = run(torch.float64)
    losses32, norms32, after32 = run(torch.float32)
    error = max((after[name] - after32[name]).abs().max().item() for name in after)
    single = dict(losses=rounded(losses32, 9), gradient_norms=rounded(norms32, 9), largest_parameter_error=rounded([error], 3)[0])
    double = dict(losses=losses, gradient_norms=norms, parameters={name: digest(p) for name, p in after.items()})
    return dict(case, f64=double, f32=single)


def rounded(values, digits):
    return [float(f"{value:.{digits}g}") for value in values]


def forward_file():
    about = "logits and features of timm 1.0.31 in f64; rules for weights and images: tools/parity/models.py"
    return dict(about=about, batch=BATCH, cases=[forward(case) for case in cases.forward_cases()])


def steps_file():
    about = "training steps of torch 2.11.0 and timm 1.0.31; digests: tools/parity/make.py"
    fixed = dict(about=about, steps=cases.STEPS, labels=cases.LABELS, models=cases.TRAINED)
    return dict(fixed, cases=[steps(case) for case in cases.step_cases()])


def pretty(file):
    """A line for each field of the file, and of each case."""
    def fields(record):
        return ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in record.items())

    head = fields({key: value for key, value in file.items() if key != "cases"})
    body = ",\n".join("{\n" + fields(case) + "\n}" for case in file["cases"])
    return "{\n" + head + ',\n"cases": [\n' + body + "\n]\n}\n"


def close(left, right, tolerance):
    """Whether two JSON values are the same but for numbers' last digits."""
    if isinstance(left, float) and isinstance(right, float):
        return abs(left - right) <= tolerance * max(1.0, abs(left), abs(right)) or (math.isnan(left) and math.isnan(right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(close(left[key], right[key], tolerance) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(close(a, b, tolerance) for a, b in zip(left, right))
    return left == right


def write(root):
    """The paths of the files that it wrote below `root`."""
    for path, file in ((FORWARD, forward_file()), (STEPS, steps_file())):
        path = Path(root, path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(pretty(file))
        yield path


if __name__ == "__main__":
    for path in write(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[2]):
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB", file=sys.stderr)
