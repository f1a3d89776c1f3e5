"""Fits against SciPy's L-BFGS-B: the same points, the same starts, one table of times. SciPy has
analytic gradients, sums of terms scaled above its tolerances, and one core; ours is timed on every
core and on one. Start it through bench/fit.sh.

What SciPy would need minutes for is timed on a random part of the starts or resamples and scaled;
the column "part" says on how many. Medians over repeats.
"""

import argparse
import csv
import itertools
import json
import os
import statistics
import subprocess
import sys
import time

import numpy as np
from scipy.optimize import minimize

DELTA = 1e-3
TIGHT = dict(maxiter=5000, maxfun=50000, ftol=1e-15, gtol=1e-12)
DEFAULT = {}
AT_BEST = 1e-6


class Ours:
    """The built example fit_bench: an order a line."""

    def __init__(self, program, n_threads):
        environment = dict(os.environ, RAYON_NUM_THREADS=str(n_threads))
        self.process = subprocess.Popen(program, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def fit(self, **order):
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit("fit_bench ended")
        return json.loads(line)


class Chinchilla:
    """ln A, ln B, ln E, alpha, beta, over logarithms of N and D: the coordinates of the paper."""

    name = "chinchilla"
    bounds = [(None, None)] * 5

    @staticmethod
    def ln_value(theta, ln_x):
        a, b, e, alpha, beta = theta
        terms = np.array([a - alpha * ln_x[0], b - beta * ln_x[1], np.full_like(ln_x[0], e)])
        largest = terms.max(axis=0)
        parts = np.exp(terms - largest)
        total = parts.sum(axis=0)
        size, data, floor = parts / total
        return largest + np.log(total), np.array([size, data, floor, -ln_x[0] * size, -ln_x[1] * data])


class M2:
    """ln b, c, e, with x over its median."""

    name = "m2"
    bounds = [(None, None), (1e-3, 5), (0, None)]

    @staticmethod
    def ln_value(theta, ln_x):
        power = np.exp(theta[0] - theta[1] * ln_x[0])
        value = power + theta[2]
        return np.log(value), np.array([power, -power * ln_x[0], np.ones_like(power)]) / value


def minimised(law, ln_x, ln_y, weight, start, options):
    def scaled(theta):
        ln_value, slopes = law.ln_value(theta, ln_x)
        residual = ln_y - ln_value
        size = np.abs(residual)
        terms = np.where(size <= DELTA, size**2 / 2, DELTA * (size - DELTA / 2))
        gradient = -(slopes * (weight * np.clip(residual, -DELTA, DELTA))).sum(axis=1)
        return (weight * terms).sum() / DELTA**2, gradient / DELTA**2

    found = minimize(scaled, start, jac=True, method="L-BFGS-B", bounds=law.bounds, options=options)
    return found.x, found.fun * DELTA**2


def seconds(work):
    begun = time.perf_counter()
    result = work()
    return time.perf_counter() - begun, result


class Case:
    """A law over points, with the coordinates of starts and, for ours, the parameters they mean."""

    def __init__(self, law, x, y, starts, params):
        self.law, self.x, self.y, self.starts, self.params = law, x, y, np.array(starts, float), params
        unit = np.ones(len(x)) if law is Chinchilla else np.median(x, axis=1)
        self.ln_x, self.ln_y = np.log(x / unit[:, None]), np.log(y)
        self.order = dict(law=law.name, points=np.array([*x, y]).T.tolist())

    def from_starts(self, which, options):
        one = np.ones(len(self.y))
        return [minimised(self.law, self.ln_x, self.ln_y, one, self.starts[i], options)[1] for i in which]

    def resampled(self, n, warm, random):
        size = len(self.y)
        weights = [np.bincount(random.integers(0, size, size), minlength=size) for _ in range(n)]
        return [minimised(self.law, self.ln_x, self.ln_y, weight, warm, TIGHT) for weight in weights]


def chinchilla(path):
    with open(path, newline="") as file:
        rows = [(float(row["Model Size"]), float(row["Training FLOP"]), float(row["loss"])) for row in csv.DictReader(file)]
    n, c, loss = np.array(sorted(rows, key=lambda row: row[2])[:240]).T
    fives, halves = range(0, 30, 5), np.arange(0, 2.1, 0.5)
    starts = list(itertools.product(fives, fives, np.arange(-1, 1.1, 0.5), halves, halves))
    params = [[*np.exp(start[:3]), *start[3:]] for start in starts]
    return Case(Chinchilla, np.array([n, c / (6 * n)]), loss, starts, params)


def saturating(n_points):
    """Six decades of a curve with a floor and residuals of about 2%, and a grid of 1000 plain starts."""
    i = np.arange(n_points)
    x = 1e9 * 10 ** (6 * i / (n_points - 1))
    y = (0.08 + 40 * x**-0.22) * np.exp(0.03 * np.sin(7.7 * i + 0.5))
    starts = itertools.product(np.linspace(-3, 3, 10), np.linspace(0.05, 1.5, 10), np.linspace(0, y.min(), 10))
    starts = [list(map(float, start)) for start in starts]
    unit = np.median(x)
    return Case(M2, x[None], y, starts, [[np.exp(ln_b) * unit**c, c, e] for ln_b, c, e in starts])


class Table:
    def __init__(self):
        print(f"{'job':<44}{'ours 1 thread':>14}{'all threads':>12}{'SciPy':>10}{'part':>12}{'ratio 1':>9}{'ratio all':>10}")

    def row(self, name, ours, scipy=None, part=""):
        """`ours` by one thread and by all; seconds."""
        cells = "".join(f"{'' if scipy is None else f'{scipy / one:.0f}x':>{width}}" for one, width in zip(ours, (9, 10)))
        print(f"{name:<44}{ours[0]:14.4f}{ours[1]:12.4f}{'' if scipy is None else f'{scipy:.2f}':>10}{part:>12}{cells}", flush=True)


def ours_of(sides, **order):
    answers = [side.fit(**order) for side in sides]
    return [statistics.median(answer["seconds"]) for answer in answers], answers[0]


def scaled(work, part, whole, repeats):
    """Median time of `work`, which does `part` of `whole`; the last result."""
    runs = [seconds(work) for _ in range(repeats)]
    return statistics.median(run[0] for run in runs) * whole / part, runs[-1][1]


def many_starts(table, sides, case, title, options, args, n_part):
    n = len(case.starts)
    which = np.random.default_rng(0).choice(n, min(n, n_part), replace=False)
    ours, answer = ours_of(sides, **case.order, given_starts=case.params, n_repeats=args.repeats)
    notes = [f"ours: {answer['n_at_best']} of {n} starts at the best objective {answer['objective']:.13e}; what the law is linear in is solved for at each, so starts that differ in nothing else are one search"]
    different, answer = ours_of(sides, **case.order, n_starts=n, n_repeats=args.repeats)
    table.row(f"  ours, {n} different starts", different)
    notes.append(f"ours: {answer['n_at_best']} of {n} different, even starts at {answer['objective']:.13e}")
    for kind, settings in options:
        time_s, values = scaled(lambda: case.from_starts(which, settings), len(which), n, args.scipy_repeats)
        table.row(f"{title}, {kind}", ours, time_s, f"{len(which)}/{n}")
        limit = answer["objective"] * (1 + AT_BEST)
        notes.append(f"SciPy, {kind}: {sum(value <= limit for value in values)} of {len(values)}, best {min(values):.13e}")
    return notes


def bootstraps(table, sides, case, title, n, args, n_part):
    """Ours less the search for the best fit itself, which SciPy is given."""
    few = dict(case.order, n_starts=16, n_repeats=args.repeats)
    with_, _ = ours_of(sides, **few, n_resamples=n)
    without, _ = ours_of(sides, **few)
    best = min((minimised(case.law, case.ln_x, case.ln_y, 1.0, start, TIGHT) for start in case.starts[::23]), key=lambda found: found[1])
    time_s, _ = scaled(lambda: case.resampled(n_part, best[0], np.random.default_rng(1)), n_part, n, args.scipy_repeats)
    table.row(title, [a - b for a, b in zip(with_, without)], time_s, f"{n_part}/{n}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program", help="the built example fit_bench")
    parser.add_argument("--chinchilla", help="epoch_chinchilla_svg.csv")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--scipy-repeats", type=int, default=3)
    parser.add_argument("--part", type=int, default=450, help="starts or resamples of SciPy's that are timed")
    args = parser.parse_args()
    np.seterr(all="ignore")
    n_threads = len(os.sched_getaffinity(0))
    sides = [Ours(args.program, 1), Ours(args.program, n_threads)]
    print(f"Fits, Huber delta {DELTA}; seconds, medians of {args.repeats} goes (SciPy {args.scipy_repeats}); SciPy on 1 thread, all threads: {n_threads}")
    table, notes = Table(), []
    if args.chinchilla and os.path.exists(args.chinchilla):
        case = chinchilla(args.chinchilla)
        kinds = [("SciPy tight", TIGHT), ("SciPy default", DEFAULT)]
        notes += many_starts(table, sides, case, "Chinchilla, 4500 starts", kinds, args, args.part)
        ours, answer = ours_of(sides, **case.order, n_starts=64, n_repeats=args.repeats)
        table.row("  to the optimum, 64 projected starts", ours)
        notes.append(f"64 projected starts: {answer['n_at_best']} at {answer['objective']:.13e}")
        bootstraps(table, sides, case, "  4000 bootstraps, SciPy warm and tight", 4000, args, args.part)
    else:
        notes.append(f"skipped: Chinchilla, its table is absent ({args.chinchilla})")
    case = saturating(67)
    notes += many_starts(table, sides, case, "M2, 67 points, 1000 starts", [("SciPy tight", TIGHT), ("SciPy default", DEFAULT)], args, args.part)
    bootstraps(table, sides, case, "  1000 bootstraps, SciPy warm and tight", 1000, args, args.part)
    ours, _ = ours_of(sides, **saturating(100_000).order, n_starts=16, n_repeats=args.repeats)
    table.row("M2, 100,000 points, 16 projected starts", ours)
    print("\n".join(notes))


main()
