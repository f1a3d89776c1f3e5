"""Training throughput and model FLOPs utilisation (MFU) on one device: the trainer against PyTorch eager and
torch.compile, taking turns in one run. For a GPU:

    cargo build --release -p train --example bench_step
    python3 bench/throughput.py target/release/examples/bench_step --device cuda:0 --peak 989e12

needs a Python with torch. MFU is 3 forward passes' FLOPs (a multiply-add is 2) an image over `--peak`.
"""

import argparse
import json
import statistics
import subprocess
import time

import torch
from torch import nn
from torch.nn import functional as F

from plain import Plain

SHAPES = {"Ti": (192, 12, 768, 3), "S": (384, 12, 1536, 6), "B": (768, 12, 3072, 12)}


def spec_of(name, resolution):
    shape, patch = name.split("/")
    shape = dict(zip(("width", "depth", "mlp", "heads"), SHAPES[shape]))
    return dict(family="vit", patch=int(patch), shape=shape, resolution=resolution, classes=1000)


def train_flops(spec):
    """Of one image: 6 times the multiply-adds of a forward pass (2010.11929)."""
    width, depth, mlp = (spec["shape"][key] for key in ("width", "depth", "mlp"))
    tokens = (spec["resolution"] // spec["patch"]) ** 2
    block = tokens * (4 * width**2 + 2 * width * mlp) + 2 * tokens**2 * width
    return 6 * (tokens * 3 * spec["patch"] ** 2 * width + depth * block + width * spec["classes"])


class Ours:
    def __init__(self, program, device, spec, batch, precision):
        command = [program, str(torch.get_num_threads()), device]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        train = dict(learning_rate=1e-3, weight_decay=0.1, clip=1.0, precision=precision)
        self.ask(json.dumps(dict(spec=spec, train=train, batch=batch)))

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().split()

    def seconds(self, steps):
        return float(self.ask(str(steps))[0])


class Theirs:
    def __init__(self, device, spec, batch, precision, compiled):
        self.device, self.bf16 = torch.device(device), precision == "bf16"
        self.model = Plain(**spec).to(self.device)
        self.forward = torch.compile(self.model) if compiled else self.model
        self.optimiser = torch.optim.AdamW(self.model.parameters(), lr=1e-3, weight_decay=0.1, fused=True)
        side = spec["resolution"]
        self.images = torch.rand(batch, 3, side, side, device=self.device) * 2 - 1
        self.labels = torch.randint(spec["classes"], (batch,), device=self.device)

    def step(self):
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            loss = F.cross_entropy(self.forward(self.images).float(), self.labels)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        return loss

    def seconds(self, steps):
        begin = time.perf_counter()
        for _ in range(steps):
            loss = self.step()
        loss.item()
        return time.perf_counter() - begin


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("trainer", help="the built example bench_step")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--model", action="append", help="S/16, B/16 and so on")
    parser.add_argument("--resolution", type=int, default=224)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--precision", choices=["f32", "bf16"], default="bf16")
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--peak", type=float, default=989e12, help="FLOP/s of the device; an H100's bf16 without sparsity")
    args = parser.parse_args()
    for name in args.model or ["S/16", "B/16"]:
        spec = spec_of(name, args.resolution)
        common = (spec, args.batch, args.precision)
        sides = {
            "isoflop": Ours(args.trainer, args.device, *common),
            "eager": Theirs(args.device, *common, compiled=False),
            "compile": Theirs(args.device, *common, compiled=True),
        }
        for side in sides.values():
            side.seconds(3)
        turns = [{key: side.seconds(args.steps) for key, side in sides.items()} for _ in range(args.turns)]
        print(f"{name} at {args.resolution}, batch {args.batch}, {args.precision}, {args.device}, {args.turns} turns of {args.steps} steps")
        for key in sides:
            rate = statistics.median(args.batch * args.steps / turn[key] for turn in turns)
            ratios = [turn[key] / turn["eager"] for turn in turns]
            spread = f"{min(ratios):.2f} / {statistics.median(ratios):.2f} / {max(ratios):.2f}"
            print(f"{key:>8} {rate:9.1f} images/s   MFU {rate * train_flops(spec) / args.peak:6.2%}   time / eager {spread}", flush=True)


main()
