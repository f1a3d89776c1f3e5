"""Training step against PyTorch eager: both alive at once, taking turns, so that whatever else the
machine does falls on both. Prints, per shape, the median step times and the ratio of neighbouring
turns (ours / PyTorch): minimum, median, maximum. Start it through bench/step.sh.
"""

import argparse
import statistics
import subprocess
import sys

# width depth mlp heads patch classes batch
SHAPES = {
    "8x1": "8 1 32 1 8 10 32",
    "16x2": "16 2 64 2 8 10 32",
    "24x2": "24 2 96 3 8 10 32",
    "32x3": "32 3 128 2 8 10 32",
    "48x4": "48 4 192 3 8 10 32",
    "96x6": "96 6 384 3 8 10 32",
    "Ti/4": "192 12 768 3 4 10 8",
}


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
    parser.add_argument("--shape", action="append", choices=SHAPES)
    args = parser.parse_args()
    ours = Side([args.trainer, str(args.threads)])
    theirs = Side([sys.executable, __file__.replace("step.py", "pytorch_step.py"), str(args.threads)])
    print(f"Training step, {args.precision}, {args.threads} thread(s), {args.turns} turns of {args.turn_s} s each")
    print(f"{'shape':>6} {'ours ms':>9} {'PyTorch ms':>11}   ratio: min / median / max")
    for name in args.shape or SHAPES:
        line = f"{SHAPES[name]} {args.precision}"
        ours.ask(line), theirs.ask(line)
        pairs = compare(ours, theirs, args.turns, args.turn_s)
        ratios = [a / b for a, b in pairs]
        ms = [1e3 * statistics.median(times) for times in zip(*pairs)]
        middle = statistics.median(ratios)
        print(f"{name:>6} {ms[0]:9.3f} {ms[1]:11.3f}   {min(ratios):.2f} / {middle:.2f} / {max(ratios):.2f}", flush=True)


main()
