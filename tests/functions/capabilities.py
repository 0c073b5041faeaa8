"""The capability table, docs/capabilities.md, generated from the declarations and the tests.

    python tests/functions/capabilities.py > docs/capabilities.md

The kind of a function's derivative is read from its declaration; a library's column says whether
test_rules.py and test_constant.py run the function there, or skip it.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.conftest import ORDERS
from tests.functions.cases import AGAINST_JAX, COMPLEX, DEPARTURES, LACKS
from tests.functions.networks import ROWS
from tests.layers.cases import LAYERS, NO_COUNTERPART
from tests.layers.limits import LIMITS
from xpnet import functions as F
from xpnet.autodiff.namespace import API_VERSION, functions, kinds

LIBRARIES = ("numpy", "array_api_strict", "cupy", "torch", "jax")
TITLES = ["cupy (emulated)" if library == "cupy" else library for library in LIBRARIES]
TITLE_OF = {
    "fft": "Fourier transforms",
    "linalg": "Linear algebra",
    "special": "Special functions, which the standard does not have yet",
}
CHECKED = [", ".join(map(str, ORDERS[library])) for library in LIBRARIES]
HEAD = """\
# What the namespace can do

Every function of the array API standard {VERSION} in `xpnet.functions`, and its derivative. This page
is generated from the declarations in `xpnet/functions/` and from the cases that the tests run
(`python tests/functions/capabilities.py`); a test fails when it is out of date.

**Derivative.** *differentiable*: the function has a rule, or is composed of functions that have one.
*constant*: the result is of booleans, indices or steps, and is a Variable without history. *structural*:
the function creates arrays, or answers questions about dtypes and shapes. Any other name raises
`AttributeError` for a Variable; it is never the library's own function, which would lose the gradient.

**Order.** The order up to which the derivative is compared with central differences in float64, by rules
that run on arrays (read-only ones on NumPy) and by the same rules recorded on Variables. Rules are
written in the namespace itself, so higher orders need no other code.
*and complex*: with complex input too; the gradient of a real L by z = x + iy is dL/dx - i dL/dy.

**JAX agrees.** The first derivative is compared with `jax.grad` of the same call, to a relative error of
1e-5 in float64, over shapes, broadcasting, axes and keepdims that hypothesis draws
(`tests/functions/test_against_jax.py`).

**Corners**, where a derivative does not exist or is not unique, are those of JAX
(`test_gradients_at_corners_agree_with_jax`). Equal numbers share the gradient of `maximum`, `minimum`,
`max` and `min`, and `clip` passes a half at its bounds. `sqrt` has an infinite derivative at 0. `prod` and
`cumulative_prod` are exact where factors are 0, and so is the first derivative of `det` where a matrix is
singular (the second requires an inverse). The derivative by the vectors of equal eigenvalues or singular
values is inf or NaN; the values themselves have a first derivative, if the vectors are not used. Among
equal numbers, the first has the whole gradient of `unique_values`. The differences from JAX:

| at | xpnet | JAX | why |
|---|---|---|---|
{DEPARTED}

**Libraries.** The libraries on which the tests run the function: NumPy with read-only arrays,
array-api-strict with a simulated device, and the real CuPy over an emulated CUDA device
(`tests/host_cuda/`), which runs CuPy's own kernels on the host. This page does not report a run on a GPU
yet, hence *emulated*.
"""

NETWORKS = """\
# What networks are made of

A library's column shows which orders of derivatives are checked there. On JAX it is only the first: JAX
compiles each function for each shape, and the rules are the same code.

## Functions beyond the standard

The rows of `tests/functions/networks.py`. *Compared with*: value and gradients, to a relative error of
1e-10 in float64; and in each function's own test, over shapes and options that hypothesis draws, also in
float32, to 1e-5. Derivatives are compared with central differences.
"""

OF_LAYERS = """\
## Layers

The rows of `tests/layers/cases.py`; some layers have two, with different options. *Compared with
PyTorch's* layer of that name, with copied weights: value, gradients of inputs and parameters, and running
statistics, to a relative error of 1e-5 in float32 and 1e-10 in float64, over sizes and options that
hypothesis draws (`tests/layers/test_against_torch.py`). Dropout is compared in evaluation, and in training
with p = 0, since its random numbers are NumPy's.

Orders (`tests/layers/test_contract.py`): *1*, values and gradients equal those on NumPy, to 1e-10 in
float64; float32 stays float32, and no step passes through the host. *2*, second derivatives by inputs and
parameters agree with differences.
"""

OF_LIMITS = """\
## What a library cannot do

Each cell is tested on the library (`tests/layers/test_limits.py`).
"""


def departed():
    """The rows of the differences from JAX: test_against_jax.py checks both values."""
    cells = [(name, ours, theirs, why) for name, (_, _, ours, theirs, why) in DEPARTURES.items()]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in cells)


def rows():
    """(chapter, cells) of each function, in the order of the chapters."""
    notes = {}

    def note(reason):
        return f"[^{notes.setdefault(reason, len(notes) + 1)}]"

    table = {}
    for name, function in functions.items():
        derivative = kinds[name]
        differentiable = derivative == "differentiable"
        order = "1, 2" + (" and complex" if name in COMPLEX else "") if differentiable else ""
        jax = ""
        if differentiable:
            jax = note(AGAINST_JAX[name]) if name in AGAINST_JAX else "yes"
        columns = [note(LACKS[name, lib]) if (name, lib) in LACKS else "yes" for lib in LIBRARIES]
        extension, _, _ = name.rpartition(".")
        chapter = extension or function.__module__.rpartition(".")[2]
        cells = [f"`{name}`", derivative, order, jax, *columns]
        table.setdefault(chapter, []).append(cells)
    return table, notes


def network_functions():
    """The cells of each function that is the networks' own."""
    for name, row in sorted(ROWS.items()):
        judge = "PyTorch's" if row.torch else row.oracle
        yield [f"`{name}`", judge, *CHECKED]


def layers():
    """The cells of each layer: all rows of it in one."""
    kinds = {}
    for case in LAYERS.values():
        kinds.setdefault(type(case.layer()).__name__, []).append(case)
    for kind, cases in sorted(kinds.items()):
        judge = NO_COUNTERPART.get(kind, "PyTorch's")
        yield [f"`{kind}`", judge, f"{len(cases)}", *CHECKED]


def limits(note):
    """The cells of what some library cannot do."""
    for name, limit in LIMITS.items():
        yield [
            name,
            *(note(limit.lacks[lib]) if lib in limit.lacks else "yes" for lib in LIBRARIES),
        ]


def tabled(head, cells):
    """A table as lines."""
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    return [*lines, *("| " + " | ".join(row) + " |" for row in cells), ""]


def page():
    """The whole page."""
    table, notes = rows()

    def note(reason):
        return f"[^{notes.setdefault(reason, len(notes) + 1)}]"

    head = ["function", "derivative", "order", "JAX agrees", *TITLES]
    lines = [HEAD.format(VERSION=API_VERSION, DEPARTED=departed())]
    for chapter, found in table.items():
        title = TITLE_OF.get(chapter, chapter)
        lines += [f"## {title.replace('_', ' ').capitalize()}", ""]
        lines += tabled(head, sorted(found))
    lines += [NETWORKS, *tabled(["function", "compared with", *TITLES], network_functions())]
    lines += [OF_LAYERS, *tabled(["layer", "compared with", "rows", *TITLES], layers())]
    lines += [OF_LIMITS, *tabled(["", *TITLES], limits(note))]
    lines += [f"[^{number}]: {reason}." for reason, number in notes.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    assert F  # importing it fills the table
    sys.stdout.write(page())
