"""Single kernels, by name: each does in one launch what the portable code does in several.

On a GPU every call of a function of the standard is a launch, and most of them take longer to launch
than to compute. A Function asks whether there is a kernel for its arrays, and otherwise runs the portable
code:

    def forward(self, x):
        if fast := kernel("relu", x):
            return fast(x)
        return array_namespace(x).maximum(x, 0.0)

Each module with kernels has a table, `KERNELS`, and is imported when a kernel is first looked up for
an array of its library.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, NamedTuple

from xpnet._libraries import library_of
from xpnet._typing import Array

MODULES = {  # the modules of this folder that have kernels, by the name of their library
    "cupy": (
        "activation",
        "column_sums",
        "cross_entropy",
        "gathered",
        "lstm",
        "masking",
        "normalization",
        "philox",
        "scatter",
        "stacking",
        "update",
    ),
    "numpy": ("elementary",),
}


def always(*arrays: Array) -> bool:
    """The predicate of a kernel for all arrays of its library."""
    return True


class Kernel(NamedTuple):
    """A kernel, and the predicate that decides which arrays it takes.

    Other arrays are left to the portable code.
    """

    run: Callable[..., Any]
    takes: Callable[..., bool] = always


_tables: dict[type, Mapping[str, Kernel]] = {}  # by the type of an array


def kernel(name: str, x: Array, *others: Any) -> Callable[..., Any] | None:
    """The kernel of that name for these arrays, or None.

    Variables have no kernels: a rule that is recorded runs the portable code.

    Parameters
    ----------
    name : str
        A key of a table `KERNELS`.
    x, *others : arrays
        The arrays whose dtypes, shapes and devices decide.
    """
    table = _tables.get(type(x))
    if table is None:
        table = _tables[type(x)] = _table_for(x)
    found = table.get(name)
    if found is None:
        return None
    return found.run if found.takes(x, *others) else None


def _table_for(x: Array) -> Mapping[str, Kernel]:
    """All kernels for arrays of the type of x."""
    if hasattr(x, "recorded_kernels"):  # a recording array: the kernels of its library, recorded
        recorded: Mapping[str, Kernel] = x.recorded_kernels(_table_for(x.array))
        return recorded
    kernels: dict[str, Kernel] = {}
    for module in MODULES.get(library_of(x).name, ()):
        kernels |= import_module(f"xpnet.kernels.{module}").KERNELS
    return kernels
