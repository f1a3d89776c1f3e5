"""SciPy's optimum of the Huber objective, for the numbers in tests/reference.rs.

    python optimum.py                  the made-up data
    python optimum.py TABLES.csv       the frontier of the published ViT tables too

Needs NumPy and SciPy (made with 2.4.6 and 1.17.1). Independent of the crate: the laws, the
objective, the frontier and the many starts are written here again.
"""

import csv
import sys

import numpy as np
from scipy.optimize import minimize


def m2(theta, x):
    b, c, e = np.exp(theta[0]), theta[1], theta[2]
    power = b * x**-c
    return power + e, np.stack([power, -power * np.log(x), np.ones_like(x)])


def zhai(theta, x):
    a, b, c, d = np.exp(theta[0]), theta[1], theta[2], theta[3]
    power = a * (x + d) ** -b
    return power + c, np.stack([power, -power * np.log(x + d), np.ones_like(x), -b * power / (x + d)])


LAWS = {"m2": (m2, 3), "zhai": (zhai, 4)}


def objective(theta, law, x, ln_y, delta):
    value, slopes = law(theta, x)
    residual = ln_y - np.log(value)
    size = np.abs(residual)
    terms = np.where(size <= delta, size**2 / 2, delta * (size - delta / 2))
    return terms.sum(), -(slopes / value * np.clip(residual, -delta, delta)).sum(axis=1)


def optimum(name, x, y, delta, n_starts=300):
    """Least objective and its parameters in the units of x and y. The scale 1 / delta^2 brings the
    gradients above the optimiser's tolerances."""
    law, n_params = LAWS[name]
    unit = np.median(x)
    random = np.random.default_rng(0)
    bounds = [(-50, 50), (1e-3, 5), (0, None), (0, None)][:n_params]

    def scaled(theta):
        value, gradient = objective(theta, law, x / unit, np.log(y), delta)
        return value / delta**2, gradient / delta**2

    best = None
    for _ in range(n_starts):
        start = [np.log(random.uniform(0.05, 2)), random.uniform(0.05, 1), random.uniform(0, y.min())]
        start += [10 ** random.uniform(-4, 1)][: n_params - 3]
        options = dict(maxiter=5000, maxfun=50000, ftol=1e-16, gtol=1e-13)
        found = minimize(scaled, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
        if best is None or found.fun < best.fun:
            best = found
    theta = best.x
    params = [np.exp(theta[0]) * unit ** theta[1], *theta[1:3], *(theta[3:] * unit)]
    return best.fun * delta**2, params


def made_up():
    """30 points over six decades from 1e9, with a residual of 3% that is no random number."""
    i = np.arange(30)
    x = 1e9 * 10 ** (i * 0.2)
    y = 0.08 + 40.0 * (x + 3e10) ** -0.22
    return x, y * np.exp(0.03 * np.sin(7.7 * i + 0.5))


def frontier(path, column):
    with open(path, newline="") as file:
        cells = [(row["train_compute_exaflops"], row[column]) for row in csv.DictReader(file)]
    points = sorted((float(x), 1 - float(top1) / 100) for x, top1 in cells if top1 and top1 != "nan")
    best, kept = np.inf, []
    for x, y in points:
        if y < best:
            best = y
            kept.append((x, y))
    return np.array(kept).T


def report(title, x, y, deltas):
    for name in LAWS:
        for delta in deltas:
            value, params = optimum(name, x, y, delta)
            print(f"{title} {name} delta {delta}: {len(x)} points, objective {value:.16e}, params {[float(p) for p in params]}")


np.seterr(all="ignore")
report("made up", *made_up(), [1e-3, 10.0])
for path in sys.argv[1:]:
    report("10-shot", *frontier(path, "inet10_top1"), [1e-3, 0.1])
    report("fine-tune", *frontier(path, "finetune_inet_top1"), [1e-3, 0.1])
