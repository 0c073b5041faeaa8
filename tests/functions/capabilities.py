"""The capability table, docs/capabilities.md, from what is declared and what is tested.

    python tests/functions/capabilities.py > docs/capabilities.md

Nothing here is a claim of its own. What a function's derivative is, it says where it is declared; a
library's column says whether test_rules.py and test_constant.py run it there, or skip it.
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

Every function of the array API standard {VERSION} that `xpnet.functions` has, and what becomes of
its derivative. This page is made from the declarations in `xpnet/functions/` and from the cases that
the tests run (`python tests/functions/capabilities.py`); a test fails when it is out of date.

**Derivative.** *differentiable*: there is a rule, or the function is composed of others that have
one. *constant*: booleans, indices, steps; the result is a Variable without history. *structural*: it
makes arrays, or answers questions about dtypes and shapes. A name that is not here is an
`AttributeError` for a Variable, never the library's function with its gradient lost.

**Order.** Up to which order the derivative is compared with central differences in float64, by rules
that run on arrays (read-only ones on NumPy) and by the same rules recorded on Variables. Rules are
written in the namespace itself, so higher orders need no other code.
*and complex*: with complex input too; the gradient of a real L by z = x + iy is dL/dx - i dL/dy.

**JAX agrees.** First order against `jax.grad` of the same call, to 1e-5 relative in float64, over
shapes, broadcasting, axes and keepdims that hypothesis draws (`tests/functions/test_against_jax.py`).

**Corners**, where a derivative does not exist or is not unique, are those of JAX
(`test_corners_are_those_of_jax`): equal numbers share in `maximum`, `minimum`, `max` and `min`, and `clip` passes a
half at its bounds; `sqrt` has slope inf at 0, so that of `std` of equal numbers is nan; `prod` and
`cumulative_prod` are exact where factors are 0, and the first derivative of `det` where a matrix is singular
(the second takes an inverse). The vectors of equal eigenvalues or singular values have no derivative,
inf or nan; the values themselves have a first one, if nothing is made of the vectors. Of the equal numbers in `unique_values` the first has all. The departures:

| at | xpnet | JAX | why |
|---|---|---|---|
{DEPARTED}

**Libraries.** Where the tests run it: on NumPy with read-only arrays, on array-api-strict on a pretended
device, on the real CuPy over an emulated CUDA device (`tests/host_cuda/`), which runs CuPy's own kernels on the
host. No run on a GPU stands behind this page yet, hence *emulated*.
"""

NETWORKS = """\
# What networks are made of

A library's column says which orders of derivatives are checked there. On JAX it is the first alone:
JAX compiles each function for each shape, and the rules are the same text.

## Functions beyond the standard

The rows of `tests/functions/networks.py`. *Compared with*: value and gradients, to 1e-10 relative in
float64; and in each function's own test, over shapes and options that hypothesis draws, in float32
too, to 1e-5. Derivatives are compared with central differences.
"""

OF_LAYERS = """\
## Layers

The rows of `tests/layers/cases.py`; of some layers there are two, with other options. *Compared with
PyTorch's* layer of that name, weights copied over: value, gradients of inputs and parameters, and running
statistics, to 1e-5 relative in float32 and 1e-10 in float64, over sizes and options that hypothesis
draws (`tests/layers/test_against_torch.py`). Dropout is compared in evaluation, and in training where it leaves out
nothing: its random numbers are NumPy's.

Orders (`tests/layers/test_contract.py`): *1*, values and gradients are what NumPy has, to 1e-10 in
float64; float32 stays float32, and no step goes by way of the host. *2*, second derivatives by inputs and
parameters agree with differences.
"""

OF_LIMITS = """\
## What a library cannot do

Each cell is tested there (`tests/layers/test_limits.py`).
"""


def departed():
    """The rows of what differs from JAX: tested, both sides, by test_against_jax.py."""
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
    """The cells of what not every library can do."""
    for name, limit in LIMITS.items():
        yield [
            name,
            *(note(limit.lacks[lib]) if lib in limit.lacks else "yes" for lib in LIBRARIES),
        ]


def tabled(head, cells):
    """A table, as lines."""
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
