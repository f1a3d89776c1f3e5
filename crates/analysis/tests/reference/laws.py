"""SciPy's optimum of every law that optimum.py leaves out, written to tests/reference/laws.json.

    python laws.py FITS_FOLDER > laws.json     the folder holds the tables of Chinchilla and Gemstone
    python laws.py FITS_FOLDER m4 published    some of it: laws by name, the tables as `published`

Needs NumPy and SciPy (made with 2.4.6 and 1.17.1). Independent of the crate: formulas, objective,
starts and coordinates are written here again; derivatives are complex steps, exact to rounding.
Each optimum is the lowest of many L-BFGS-B searches, then polished: a root of the gradient over the
coordinates that are not at a bound, kept where it is no higher.
"""

import csv
import json
import sys
from dataclasses import dataclass
from typing import Callable

import numpy as np
from scipy.optimize import minimize, root

EXPONENT = (1e-3, 5.0)
LN_COEFFICIENT = (-60.0, 60.0)


@dataclass
class Law:
    """`value` takes search coordinates and the axes over their medians (rows); `params` brings the
    coordinates into the units of the axes; `draw` gives a start."""

    value: Callable
    params: Callable
    bounds: Callable
    draw: Callable
    truth: list
    at: Callable
    noise: float


def softplus(z):
    tail = np.exp(np.where(z.real > 0, -z, z))
    return np.where(z.real > 0, z, 0) + np.log1p(tail)


def m1(t, x):
    return np.exp(t[0] - t[1] * np.log(x[0]))


def m3(t, x):
    return np.exp(t[0]) * (1 / x[0] + np.exp(t[1])) ** t[2]


def m4(t, x):
    """y = e + (y0 - e) sigmoid(u), by bisection; the last step of Newton carries the complex part."""
    b, c, e, above, a = t
    y0 = YMAX[0] * (1 + np.exp(above))
    a = np.exp(a)
    target = b - c * np.log(x[0]) - (1 - a) * np.log(y0 - e)
    off = lambda u, a, target: -softplus(-u) + a * softplus(u) - target
    low, high = np.full(x[0].shape, -400.0), np.full(x[0].shape, 400.0)
    for _ in range(75):
        middle = (low + high) / 2
        is_above = off(middle + 0j, a.real, target.real).real > 0
        low, high = np.where(is_above, low, middle), np.where(is_above, middle, high)
    u = (low + high) / 2
    sigmoid = 1 / (1 + np.exp(-u))
    u = u - off(u + 0j, a, target) / ((1 - sigmoid) + a.real * sigmoid)
    return e + (y0 - e) / (1 + np.exp(-u))


def bnsl1(t, x):
    a, b, c0, c1, d1, f1 = t
    f1 = np.exp(f1)
    ln_x = np.log(x[0])
    return a + np.exp(b - c0 * ln_x - c1 * f1 * softplus((ln_x - d1) / f1))


def chinchilla(t, x):
    return np.exp(t[0] - t[3] * np.log(x[0])) + np.exp(t[1] - t[4] * np.log(x[1])) + t[2]


def kaplan(t, x):
    nc, dc, a_n, a_d = t
    return (np.exp(a_n / a_d * (nc - np.log(x[0]))) + np.exp(dc) / x[1]) ** a_d


def least(a, b):
    return np.where(a.real < b.real, a, b)


def effective(amount, base, repeats):
    return base + base * repeats * (1 - np.exp(-(amount / base - 1) / repeats))


def data_constrained(t, x):
    """D and U share D's median as their unit."""
    a, b, e, alpha, beta, rn, rd = t
    n, d, unique = x[0] + 0j, x[1] + 0j, x[2] + 0j
    ln_usable = (np.log(alpha) + a - np.log(beta) - b) / alpha + beta / alpha * np.log(unique)
    size = effective(n, np.exp(least(ln_usable, np.log(n))), np.exp(rn))
    data = effective(d, least(unique, d), np.exp(rd))
    return np.exp(a - alpha * np.log(size)) + np.exp(b - beta * np.log(data)) + e


def sovit(t, x):
    alpha, a, beta, b, xi, c, eps = t
    waiting = np.exp(beta + b * np.log(x[0])) + xi
    return np.exp(alpha - a * np.log(x[0])) + waiting * np.exp(-c * np.log(x[1])) + eps


def one_axis():
    return np.array([1e9 * 10 ** (0.2 * np.arange(30))])


def grid():
    n = 1e6 * 10 ** (0.4 * np.arange(8))
    d = 1e8 * 10 ** (0.4 * np.arange(7))
    return np.array([np.repeat(n, 7), np.tile(d, 8)])


def repeated():
    n = 1e6 * 10 ** (0.6 * np.arange(5))
    unique = 1e7 * 10 ** (1.0 * np.arange(3))
    epochs = 3.0 ** np.arange(5)
    return np.array([np.repeat(n, 15), np.tile(np.outer(unique, epochs).ravel(), 5), np.tile(np.repeat(unique, 5), 5)])


def shapes():
    width = 64 * 2.0 ** np.arange(6)
    compute = 10 ** (0.4 * np.arange(11))
    return np.array([np.repeat(width, 11), np.tile(compute, 6)])


uniform = np.random.default_rng(0).uniform
ln_uniform = lambda low, high: np.exp(uniform(np.log(low), np.log(high)))
exponent = lambda: ln_uniform(0.05, 1.5)
YMAX = [1.0]


def chinchilla_params(t, unit):
    return [np.exp(t[0]) * unit[0] ** t[3], np.exp(t[1]) * unit[1] ** t[4], *t[2:]]


LAWS = {
    "m1": Law(
        m1,
        lambda t, u: [np.exp(t[0]) * u[0] ** t[1], t[1]],
        lambda y, x: [LN_COEFFICIENT, EXPONENT],
        lambda y: [uniform(-3, 3), exponent()],
        [20.0, 0.15],
        one_axis,
        0.03,
    ),
    "m3": Law(
        m3,
        lambda t, u: [np.exp(t[0]) * u[0] ** t[2], np.exp(t[1]) / u[0], t[2]],
        lambda y, x: [LN_COEFFICIENT, (-30.0, np.log(10 / x[0].min())), EXPONENT],
        lambda y: [uniform(-3, 3), uniform(-12, 3), exponent()],
        [40.0, 1e-13, 0.2],
        one_axis,
        0.03,
    ),
    "m4": Law(
        m4,
        lambda t, u: [np.exp(t[0]) * u[0] ** t[1], t[1], t[2], YMAX[0] * (1 + np.exp(t[3])), np.exp(t[4])],
        lambda y, x: [LN_COEFFICIENT, EXPONENT, (0, y.max()), np.log([1e-4, 999]), np.log([0.01, 10])],
        lambda y: [uniform(-4, 4), exponent(), uniform(0, y.min()), uniform(-4, 2), uniform(-2, 1)],
        [1000.0, 0.3, 0.05, 0.95, 0.8],
        one_axis,
        0.03,
    ),
    "bnsl1": Law(
        bnsl1,
        lambda t, u: [t[0], np.exp(t[1]) * u[0] ** t[2], t[2], t[3], np.exp(t[4]) * u[0], np.exp(t[5])],
        lambda y, x: [
            (0, y.max()),
            LN_COEFFICIENT,
            EXPONENT,
            (-2, 5),
            np.log([x[0].min() / 10, x[0].max() * 10]),
            np.log([0.01, 5]),
        ],
        lambda y: [uniform(0, y.min()), uniform(-3, 3), exponent(), uniform(-0.1, 1), uniform(-6, 6), uniform(-3, 0.7)],
        [0.05, 20.0, 0.15, 0.25, 1e12, 0.5],
        one_axis,
        0.03,
    ),
    "chinchilla": Law(
        chinchilla,
        chinchilla_params,
        lambda y, x: [LN_COEFFICIENT, LN_COEFFICIENT, (0, y.max()), EXPONENT, EXPONENT],
        lambda y: [uniform(-4, 1), uniform(-4, 1), uniform(0, y.min()), exponent(), exponent()],
        [482.0, 2085.0, 1.8, 0.35, 0.37],
        grid,
        0.01,
    ),
    "kaplan": Law(
        kaplan,
        lambda t, u: [np.exp(t[0]) * u[0], np.exp(t[1]) * u[1], *t[2:]],
        lambda y, x: [LN_COEFFICIENT, LN_COEFFICIENT, EXPONENT, EXPONENT],
        lambda y: [uniform(0, 20), uniform(0, 20), ln_uniform(0.03, 0.5), ln_uniform(0.03, 0.5)],
        [8.8e13, 5.4e13, 0.076, 0.095],
        grid,
        0.01,
    ),
    "data-constrained": Law(
        data_constrained,
        lambda t, u: [*chinchilla_params(t[:5], u), *np.exp(t[5:])],
        lambda y, x: [LN_COEFFICIENT, LN_COEFFICIENT, (0, y.max()), EXPONENT, EXPONENT, *[np.log([0.01, 1e4])] * 2],
        lambda y: [uniform(-4, 1), uniform(-4, 1), uniform(0, y.min()), exponent(), exponent(), uniform(-1, 5), uniform(-1, 5)],
        [521.0, 1488.0, 1.87, 0.35, 0.36, 5.3, 15.4],
        repeated,
        0.01,
    ),
    "sovit": Law(
        sovit,
        lambda t, u: [
            np.exp(t[0]) * u[0] ** t[1],
            t[1],
            np.exp(t[2]) * u[1] ** t[5] * u[0] ** -t[3],
            t[3],
            t[4] * u[1] ** t[5],
            *t[5:],
        ],
        lambda y, x: [LN_COEFFICIENT, EXPONENT, LN_COEFFICIENT, EXPONENT, (0, None), EXPONENT, (0, y.max())],
        lambda y: [uniform(-4, 0), exponent(), uniform(-4, 0), exponent(), uniform(0, 1), exponent(), uniform(0, y.min())],
        [3.0, 0.5, 0.002, 0.7, 0.5, 0.4, 0.1],
        shapes,
        0.01,
    ),
}


def units(name, x):
    unit = np.median(x, axis=1)
    if name == "data-constrained":
        unit[2] = unit[1]
    return unit


def terms(residual, delta):
    size = np.abs(residual)
    line = delta * (size - delta / 2) if np.isfinite(delta) else 0
    return np.where(size <= delta, size**2 / 2, line)


def objective(value, theta, x, ln_y, delta):
    k, h = len(theta), 1e-100
    columns = [value(theta + 1j * h * np.eye(k)[i], x) for i in range(k)]
    level = columns[0].real
    slopes = np.array([column.imag / h for column in columns])
    residual = ln_y - np.log(level)
    return terms(residual, delta).sum(), -(slopes / level * np.clip(residual, -delta, delta)).sum(axis=1)


def optimum(name, x, y, delta, n_starts):
    law, unit = LAWS[name], units(name, x)
    inside, ln_y = x / unit[:, None], np.log(y)
    YMAX[0] = y.max()
    bounds = [(low, np.inf if high is None else high) for low, high in law.bounds(y, inside)]
    low, high = np.array(bounds).T
    scale = min(delta, 0.1) ** 2

    def scaled(theta):
        value, gradient = objective(law.value, theta, inside, ln_y, delta)
        if not np.isfinite(value) or not np.isfinite(gradient).all():
            return 1e300, np.zeros(len(theta))
        return value / scale, gradient / scale

    def search(start, steps):
        options = dict(maxiter=steps, maxfun=50000, ftol=1e-16, gtol=1e-13, maxcor=30, maxls=50)
        return minimize(scaled, np.clip(start, low, high), jac=True, method="L-BFGS-B", bounds=bounds, options=options)

    def polished(found):
        free = (found.x > low) & (found.x < high)

        def slopes(part):
            theta = found.x.copy()
            theta[free] = part
            return scaled(theta)[1][free]

        theta = found.x.copy()
        theta[free] = root(slopes, theta[free], method="hybr", options=dict(xtol=1e-15)).x
        again = search(np.clip(theta, low, high), 1000)
        return again if again.fun < found.fun else found

    found = sorted((search(law.draw(y), 400) for _ in range(n_starts)), key=lambda found: found.fun)
    best = found[:4]
    for _ in range(3):
        best = [polished(search(each.x, 5000)) for each in best]
    best = min(best, key=lambda found: found.fun)
    reached = sum(each.fun <= best.fun * (1 + 1e-6) for each in found)
    return best.fun * scale, [float(p) for p in law.params(best.x, unit)], reached


def truth_curve(name, x):
    """Formulas of the published papers, in the axes' own units."""
    t = LAWS[name].truth
    if name == "m1":
        return t[0] * x[0] ** -t[1]
    if name == "m3":
        return t[0] * (1 / x[0] + t[1]) ** t[2]
    if name == "m4":
        b, c, e, y0, a = t
        low, high = np.full(30, e), np.full(30, y0)
        for _ in range(200):
            y = (low + high) / 2
            is_above = (y - e) / (y0 - y) ** a > b * x[0] ** -c
            low, high = np.where(is_above, low, y), np.where(is_above, y, high)
        return (low + high) / 2
    if name == "bnsl1":
        a, b, c0, c1, d1, f1 = t
        return a + b * x[0] ** -c0 * (1 + (x[0] / d1) ** (1 / f1)) ** (-c1 * f1)
    if name == "chinchilla":
        return t[2] + t[0] * x[0] ** -t[3] + t[1] * x[1] ** -t[4]
    if name == "kaplan":
        return ((t[0] / x[0]) ** (t[2] / t[3]) + t[1] / x[1]) ** t[3]
    if name == "data-constrained":
        a, b, e, alpha, beta, rn, rd = t
        usable = np.minimum((alpha * a / (beta * b)) ** (1 / alpha) * x[2] ** (beta / alpha), x[0])
        return e + a * effective(x[0], usable, rn) ** -alpha + b * effective(x[1], x[2], rd) ** -beta
    alpha, a, beta, b, xi, c, eps = t
    return alpha * x[0] ** -a + (beta * x[0] ** b + xi) * x[1] ** -c + eps


def made_up(name, phase):
    x = LAWS[name].at()
    return x, truth_curve(name, x) * np.exp(LAWS[name].noise * np.sin(7.7 * np.arange(x.shape[1]) + phase))


def columns(path, names):
    with open(path, newline="") as file:
        return np.array([[float(row[name]) for name in names] for row in csv.DictReader(file)]).T


def published(folder):
    n, c, loss = columns(f"{folder}/epoch_chinchilla_svg.csv", ["Model Size", "Training FLOP", "loss"])
    kept = np.argsort(loss)[:240]
    x = np.array([n, c / (6 * n)])
    yield "chinchilla-240", x[:, kept], loss[kept]
    yield "chinchilla-245", x, loss
    n, d, loss = columns(f"{folder}/gemstone_hot.csv", ["params_active_precise", "tokens", "final_loss"])
    yield "gemstone", np.array([n, d]), loss


def entry(law, data, phase, delta, x, y, n_starts):
    value, params, reached = optimum(law, x, y, delta, n_starts)
    print(law, data, phase, delta, value, params, f"{reached}/{n_starts}", file=sys.stderr, flush=True)
    delta = None if np.isinf(delta) else delta
    return dict(law=law, data=data, phase=phase, delta=delta, objective=float(value), params=params)


def main():
    np.seterr(all="ignore")
    deltas = [1e-3, 1e-2, np.inf]
    entries = []
    only = sys.argv[2:] or [*LAWS, "published"]
    for law in LAWS:
        for phase in [0.5, 2.1] if law in only else []:
            for delta in deltas:
                entries.append(entry(law, "made-up", phase, delta, *made_up(law, phase), 100))
    for data, x, y in published(sys.argv[1]) if "published" in only else []:
        for delta in deltas:
            entries.append(entry("chinchilla", data, None, delta, x, y, 60))
    print("[\n" + ",\n".join(json.dumps(each) for each in entries) + "\n]")


if __name__ == "__main__":
    main()
