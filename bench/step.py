"""Training step against PyTorch eager: both alive at once, taking turns, so that whatever else the
machine does falls on both. Prints, per model, the median step times and the ratio of neighbouring
turns (ours / PyTorch): minimum, median, maximum. Start it through bench/step.sh.

A ladder of ViTs is timed against a plain one, a miniature of every family against timm's.
"""

import argparse
import json
import statistics
import subprocess
import sys


def vit(width, depth, mlp, heads, patch=4, **options):
    shape = dict(width=width, depth=depth, mlp=mlp, heads=heads)
    return dict(dict(family="vit", patch=patch, shape=shape, resolution=32, classes=10), **options)


STEM = dict(layers=[1, 1], width=16, groups=4)
LIKE_22B = dict(block="parallel", norm="rms-norm", qk_norm=True, qkv_bias=False, pool="map")

# name: what it is timed against, batch, spec
MODELS = {
    "8x1": ("plain", 32, vit(8, 1, 32, 1, 8)),
    "16x2": ("plain", 32, vit(16, 2, 64, 2, 8)),
    "24x2": ("plain", 32, vit(24, 2, 96, 3, 8)),
    "32x3": ("plain", 32, vit(32, 3, 128, 2, 8)),
    "48x4": ("plain", 32, vit(48, 4, 192, 3, 8)),
    "96x6": ("plain", 32, vit(96, 6, 384, 3, 8)),
    "Ti/4": ("plain", 8, vit(192, 12, 768, 3)),
    "vit": ("timm", 64, vit(96, 4, 384, 3)),
    "vit-22b": ("timm", 64, vit(96, 4, 384, 3, **LIKE_22B)),
    "hybrid": ("timm", 64, vit(96, 4, 384, 3, 1, family="hybrid", stem=STEM)),
    "bit": ("timm", 64, dict(family="bit", shape=dict(layers=[1, 1, 1], width=16), groups=4, resolution=32, classes=10)),
    "mixer": ("timm", 64, dict(vit(96, 4, 384, 3), family="mixer", shape=dict(width=96, depth=4, mlp=384, tokens=48))),
}


def order(spec, batch, precision):
    train = dict(batch=batch, optimiser="adamw", learning_rate=1e-3, schedule=dict(decay="constant"))
    train |= dict(weight_decay=0.1, clip=1.0, precision=precision)
    return json.dumps(dict(spec=spec, train=train, batch=batch))


class Side:
    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().split()
        if not answer:
            sys.exit(f"{self.process.args[0]} ended")
        return answer

    def seconds(self, steps):
        return float(self.ask(str(steps))[0]) / steps


def compare(ours, theirs, turns, turn_s):
    """Step times of alternating turns, each of about `turn_s` seconds."""
    ours.seconds(10), theirs.seconds(10)
    steps = max(1, round(turn_s / theirs.seconds(10)))
    return [(ours.seconds(steps), theirs.seconds(steps)) for _ in range(turns)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("trainer", help="the built example bench_step")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--turn-s", type=float, default=0.3)
    parser.add_argument("--model", action="append", choices=MODELS)
    args = parser.parse_args()
    ours = Side([args.trainer, str(args.threads)])
    script = __file__.replace("step.py", "pytorch_step.py")
    theirs = {kind: Side([sys.executable, script, str(args.threads), kind]) for kind in ("plain", "timm")}
    print(f"Training step, {args.precision}, {args.threads} thread(s), {args.turns} turns of {args.turn_s} s each")
    print(f"{'model':>8} {'against':>8} {'ours ms':>9} {'theirs ms':>10}   ratio: min / median / max")
    for name in args.model or MODELS:
        kind, batch, spec = MODELS[name]
        line = order(spec, batch, args.precision)
        ours.ask(line), theirs[kind].ask(line)
        pairs = compare(ours, theirs[kind], args.turns, args.turn_s)
        ratios = [a / b for a, b in pairs]
        ms = [1e3 * statistics.median(times) for times in zip(*pairs)]
        middle = statistics.median(ratios)
        print(f"{name:>8} {kind:>8} {ms[0]:9.3f} {ms[1]:10.3f}   {min(ratios):.2f} / {middle:.2f} / {max(ratios):.2f}", flush=True)


main()
