"""What recipes cost in time and memory: optimisers, kept and recomputed activations, micro-batches, and
the parallel block against the sequential one. Each in a process of its own; times are ratios to the
first of a table, of neighbouring turns. Start it through bench/recipes.sh.
"""

import argparse
import json
import statistics
import subprocess

TRAIN = dict(learning_rate=1e-3, weight_decay=0.1, clip=1.0)


def vit(width, depth, heads, **options):
    shape = dict(width=width, depth=depth, mlp=4 * width, heads=heads)
    return dict(dict(family="vit", patch=4, shape=shape, resolution=32, classes=10), **options)


LARGE, MIDDLE = vit(384, 8, 6), vit(192, 8, 3)
LIKE_22B = dict(norm="rms-norm", qk_norm=True, qkv_bias=False, pool="map")

# title: batch, [(name, spec, settings of [train])]
TABLES = {
    "optimisers, 14.3M parameters": (2, [
        ("adamw", LARGE, dict(optimiser="adamw")),
        ("adamw, bf16 moment", LARGE, dict(optimiser=dict(name="adamw", first_moment="bf16"))),
        ("adafactor", LARGE, dict(optimiser="adafactor")),
        ("adafactor, f32 moment", LARGE, dict(optimiser=dict(name="adafactor", first_moment="f32"))),
        ("sgd", LARGE, dict(optimiser="sgd")),
        ("sgd, bf16 moment", LARGE, dict(optimiser=dict(name="sgd", first_moment="bf16"))),
        ("adamw, polyak", LARGE, dict(optimiser="adamw", polyak=0.999)),
    ]),
    "activations, batch 128": (128, [
        ("kept", MIDDLE, {}),
        ("recomputed", MIDDLE, dict(checkpoint_activations=True)),
        ("kept, micro-batch 16", MIDDLE, dict(micro_batch=16)),
        ("recomputed, micro-batch 16", MIDDLE, dict(checkpoint_activations=True, micro_batch=16)),
    ]),
    "blocks, width 192": (32, [
        ("sequential", vit(192, 8, 3, **LIKE_22B), {}),
        ("parallel, fused", vit(192, 8, 3, block="parallel", **LIKE_22B), {}),
    ]),
    "blocks, width 64": (32, [
        ("sequential", vit(64, 8, 2, **LIKE_22B), {}),
        ("parallel, fused", vit(64, 8, 2, block="parallel", **LIKE_22B), {}),
    ]),
}


class Side:
    def __init__(self, command, batch, spec, settings):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.ask(json.dumps(dict(spec=spec, train=TRAIN | settings, batch=batch)))

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().split()

    def seconds(self, steps):
        return float(self.ask(str(steps))[0]) / steps


def measure(sides, turns, turn_s):
    """Seconds of each side's step in each turn."""
    for side in sides:
        side.seconds(3)
    steps = max(1, round(turn_s / sides[0].seconds(2)))
    return [[side.seconds(steps) for side in sides] for _ in range(turns)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("trainer", help="the built example bench_step")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--turn-s", type=float, default=0.5)
    args = parser.parse_args()
    for title, (batch, rows) in TABLES.items():
        sides = [Side([args.trainer, str(args.threads)], batch, spec, settings) for _, spec, settings in rows]
        turns = measure(sides, args.turns, args.turn_s)
        print(f"{title}: {args.threads} thread(s), {args.turns} turns of {args.turn_s} s each")
        print(f"{'':28} {'step ms':>9} {'ratio: min / median / max':>28} {'peak MB':>9}")
        for at, (name, _, _) in enumerate(rows):
            ratios = [turn[at] / turn[0] for turn in turns]
            spread = f"{min(ratios):.2f} / {statistics.median(ratios):.2f} / {max(ratios):.2f}"
            ms = 1e3 * statistics.median(turn[at] for turn in turns)
            peak = int(sides[at].ask("memory")[0]) / 1e6
            print(f"{name:28} {ms:9.2f} {spread:>28} {peak:9.0f}", flush=True)
        print()
        for side in sides:
            side.process.stdin.close()


main()
