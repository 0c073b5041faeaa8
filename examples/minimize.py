"""SciPy's minimizers, driven by xpnet's derivatives.

The more derivatives `scipy.optimize.minimize` gets, the fewer evaluations it needs, and the
closer it comes to the minimum. From values only, it computes slopes by differences;
`value_and_grad` returns the gradient too, and `hvp` the product of the second derivative with a
vector. The functions are plain code on arrays of the array API standard. Rosenbrock's function, a
narrow bent valley whose lowest point is 1, 1, ..., is SciPy's own implementation.

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
    """A number of variables; Rosenbrock's function needs at least two."""
    if positive(text) < 2:
        raise ArgumentTypeError(f"expected at least 2, got {text!r}")
    return positive(text)


args, backend, rng = begin(
    __doc__,
    dtype="float64",
    needs=("matplotlib", "scipy"),
    size=(several, 20, "variables of Rosenbrock's function"),
)

from scipy.optimize import minimize, rosen  # noqa: E402 - begin() checks for it

drawn = rng.normal(size=(500, 10))
scores = drawn @ np.linspace(-2.0, 2.0, 10) + rng.normal(size=500)
samples = backend.asarray(drawn)
labels = backend.asarray((scores > 0.0) * 1.0)


def logistic(w):
    """The loss of the model sigmoid(samples @ w), with a small penalty on the length of w."""
    z = F.matmul(samples, w)
    return F.binary_cross_entropy_with_logits(z, labels) + 1e-3 * F.sum(w * w)


def on_backend(f):
    """f for SciPy, which passes NumPy arrays and expects NumPy arrays."""
    return lambda *xs: tree.map(xpnet.to_numpy, f(*map(backend.asarray, xs)))


def minimized(start, **given):
    """SciPy's result, and the value after each iteration."""
    values = []

    def note(intermediate_result):
        values.append(float(intermediate_result.fun))

    return minimize(x0=start, callback=note, options={"gtol": 1e-8}, **given), values


print("Each starts at 0, and stops where no slope is above 1e-8, or where rounding errors stop it.")
row = "{:16}{:>12}{:>12}{:>8}{:>11}{:>10}   {}".format
figure, axes = canvas(columns=2, width=9.0)
problems = {"Rosenbrock": (rosen, args.size), "logistic regression": (logistic, 10)}
for ax, (problem, (f, size)) in zip(axes, problems.items(), strict=True):
    value = on_backend(f)
    both = on_backend(value_and_grad(f))
    product = on_backend(hvp(f))
    ways = {
        "values only": {"method": "BFGS", "fun": value},
        "and gradients": {"method": "BFGS", "fun": both, "jac": True},
        "and products": {"method": "trust-ncg", "fun": both, "jac": True, "hessp": product},
    }
    print(f"\n{problem}")
    print(
        row("", "method", "iterations", "values", "gradients", "products", "length of the gradient")
    )
    ends = {}
    for way, given in ways.items():
        result, values = minimized(np.zeros(size), **given)
        gradients = result.njev if "jac" in given else 0
        counts = result.nit, result.nfev, gradients, result.get("nhev", 0)
        print(row(way, given["method"], *counts, f"{np.linalg.norm(both(result.x)[1]):.1e}"))
        style = "--" if way == "and gradients" else "-"  # it would hide the first curve for a while
        ax.semilogy(np.array(values) - min(values) + 1e-16, style, label=way)
        ends[way] = result.x
    if f is rosen:
        for way, x in ends.items():
            print(f"{way:16} largest error of x {abs(x - 1.0).max():.1e}")  # it ends at 1
    ax.set(xlabel="iteration", ylabel="value above the minimum", title=problem)
save(figure, args.out / "minimize.png")
