"""SciPy's minimizers, driven by xpnet's derivatives.

The more `scipy.optimize.minimize` is told of a function, the less it has to ask, and the closer it
comes: of the values alone it makes slopes by differences; `value_and_grad` gives it the gradient,
and `hvp` the second derivative times a vector. The function is plain code on arrays of the array
API standard. Rosenbrock's, a narrow bent valley that ends at 1, 1, ..., is SciPy's own text of it.

    python examples/minimize.py
    python examples/minimize.py --backend torch --size 50
"""

import os
from argparse import ArgumentTypeError

os.environ["SCIPY_ARRAY_API"] = "1"  # before SciPy is imported: its functions follow their arrays

import numpy as np
from common import begin, canvas, positive, save

import xpnet
from xpnet import functions as F
from xpnet.autodiff import hvp, tree, value_and_grad


def several(text):
    """A number of variables: Rosenbrock's function has a valley from two on."""
    if positive(text) < 2:
        raise ArgumentTypeError(f"expected at least 2, got {text!r}")
    return positive(text)


args, backend, rng = begin(
    __doc__,
    dtype="float64",
    needs=("matplotlib", "scipy"),
    size=(several, 20, "variables of Rosenbrock's function"),
)

from scipy.optimize import minimize, rosen  # noqa: E402 - begin() looks for it

drawn = rng.normal(size=(500, 10))
scores = drawn @ np.linspace(-2.0, 2.0, 10) + rng.normal(size=500)
samples, labels = backend.asarray(drawn), backend.asarray((scores > 0.0) * 1.0)


def logistic(w):
    """How badly the model sigmoid(samples @ w) explains the labels; a long w costs a little."""
    z = F.matmul(samples, w)
    return F.binary_cross_entropy_with_logits(z, labels) + 1e-3 * F.sum(w * w)


def on_backend(f):
    """f for SciPy, which brings NumPy's arrays and takes them back."""
    return lambda *xs: tree.map(xpnet.to_numpy, f(*map(backend.asarray, xs)))


def minimized(start, **given):
    """SciPy's result, and the values on the way to it."""
    path = []

    def note(intermediate_result):
        path.append(float(intermediate_result.fun))

    return minimize(x0=start, callback=note, options={"gtol": 1e-8}, **given), path


print("Each starts at 0, and ends where no slope is above 1e-8, or where rounding stops it.")
row = "{:16}{:>12}{:>12}{:>8}{:>11}{:>10}   {}".format
figure, axes = canvas(columns=2, width=9.0)
problems = {"Rosenbrock": (rosen, args.size), "logistic regression": (logistic, 10)}
for ax, (problem, (f, size)) in zip(axes, problems.items(), strict=True):
    value, both, product = on_backend(f), on_backend(value_and_grad(f)), on_backend(hvp(f))
    ways = {
        "values alone": {"method": "BFGS", "fun": value},
        "and gradients": {"method": "BFGS", "fun": both, "jac": True},
        "and products": {"method": "trust-ncg", "fun": both, "jac": True, "hessp": product},
    }
    print(f"\n{problem}")
    print(
        row("", "method", "iterations", "values", "gradients", "products", "length of the gradient")
    )
    ends = {}
    for way, given in ways.items():
        r, path = minimized(np.zeros(size), **given)
        counts = r.nit, r.nfev, r.njev if "jac" in given else 0, r.get("nhev", 0)
        print(row(way, given["method"], *counts, f"{np.linalg.norm(both(r.x)[1]):.1e}"))
        style = "--" if way == "and gradients" else "-"  # else it hides the first for a while
        ax.semilogy(np.array(path) - min(path) + 1e-16, style, label=way)
        ends[way] = r.x
    if f is rosen:
        for way, x in ends.items():
            print(f"{way:16} largest error of x {abs(x - 1.0).max():.1e}")  # it is to be 1, 1, ...
    ax.set(xlabel="iteration", ylabel="value, less the least", title=problem)
save(figure, args.out / "minimize.png")
