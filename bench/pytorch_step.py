"""PyTorch's training step on command, the counterpart of crates/train/examples/bench_step.rs.

A line `{"spec": .., "train": .., "batch": n}` makes a model and answers `ready`; a line `n` takes n
steps with it and answers with their seconds and the last loss. `spec` and `train` are as
`isoflop-trainer train-step` reads them.

Eager mode, scaled_dot_product_attention, fused AdamW, clipping by the global norm, as a careful user
would write it. The model is timm's, or for plain ViTs one without timm's switches, which is faster.
"""

import json
import sys
import time
from pathlib import Path

import timm.layers
import torch
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parents[1] / "tools/parity"))

import models  # noqa: E402
import training  # noqa: E402
from plain import Plain  # noqa: E402


def start(is_plain, spec, train, batch):
    model = Plain(**spec) if is_plain else models.build(spec, torch.float32).train()
    assert training.table(train["optimiser"], "adamw") == dict(name="adamw"), "only AdamW is timed"
    groups = [dict(params=group, weight_decay=decay) for group, decay in training.decay_groups(model, train["weight_decay"])]
    optimiser = torch.optim.AdamW(groups, lr=train["learning_rate"], betas=(0.9, 0.95), fused=True)
    side = spec["resolution"]
    images = torch.rand(batch, 3, side, side) * 2 - 1
    labels = torch.randint(spec["classes"], (batch,))
    bf16 = train.get("precision") == "bf16"

    def step():
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = F.cross_entropy(model(images).float(), labels)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), train["clip"])
        optimiser.step()
        return loss

    return step


def main():
    n_threads, kind = sys.argv[1:]
    torch.set_num_threads(int(n_threads))
    torch.set_num_interop_threads(1)
    torch.set_flush_denormal(True)
    timm.layers.set_fused_attn(True)
    step = None
    for line in sys.stdin:
        order = json.loads(line)
        if isinstance(order, dict):
            step = start(kind == "plain", **order)
            print("ready", flush=True)
            continue
        begin = time.perf_counter()
        for _ in range(order):
            loss = step()
        last = loss.item()
        print(time.perf_counter() - begin, last, flush=True)


main()
