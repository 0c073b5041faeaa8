"""The special functions of each library: SciPy's for NumPy, and the other libraries' own."""

import math
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

from xpnet._typing import Array, Namespace
from xpnet.errors import BackendError, MissingPackageError
from xpnet.kernels.cuda import Elementwise

MODULES = {  # the module with a library's special functions, by the name of its namespace
    "array_api_compat.numpy": "scipy.special",
    "array_api_compat.cupy": "cupyx.scipy.special",
    "array_api_compat.torch": "torch.special",
    "jax.numpy": "jax.scipy.special",
}


def _polygamma_of_torch(n: int, x: Array) -> Array:
    """polygamma(n, x), by Hurwitz's zeta function where x > 0: there PyTorch's own is less precise.

    Its relative error is 3e-10 for n = 1. Source: Digital Library of Mathematical Functions (DLMF),
    25.11.12.
    """
    torch = import_module("torch")
    zeta = torch.special.zeta(n + 1.0, x)
    above = (-1) ** (n + 1) * math.factorial(n) * zeta
    return torch.where(x > 0.0, above, torch.special.polygamma(n, x))


def _polygamma_of_cupy(n: int, x: Array) -> Array:
    """polygamma(n, x) by Hurwitz's zeta function; DLMF 25.11.12. CuPy's own takes no Python number."""
    zeta = import_module("cupyx.scipy.special").zeta(n + 1.0, x)
    return (-1) ** (n + 1) * math.factorial(n) * zeta


# exp(-|x|) times a modified Bessel function of x. CuPy's own computes it as such a product, and is NaN
# where the Bessel function overflows. Here Hankel's expansion is used for |x| > 30: Abramowitz and
# Stegun, Handbook of Mathematical Functions, 9.7.1; `square` is 4 times the square of the order.
SCALED_BESSEL = """
    A a = x < T(0) ? -A(x) : A(x);
    if (a <= A(30)) {{
        y = T(exp(-a) * cyl_bessel_i{order}(A(x)));
    }} else {{
        A term = 1, sum = 1;
        for (int k = 1; k <= 16; k++) {{
            term *= ((2 * k - 1) * (2 * k - 1) - {square}) / (8 * k * a);
            sum += term;
        }}
        sum /= sqrt(A(6.283185307179586) * a);
        y = T({order} && x < T(0) ? -sum : sum);
    }}
"""
_i0e = Elementwise("i0e", "T x", SCALED_BESSEL.format(order=0, square=0))
_i1e = Elementwise("i1e", "T x", SCALED_BESSEL.format(order=1, square=4))


OURS: dict[tuple[str, str], Callable[..., Any] | None] = {
    ("cupyx.scipy.special", "i0e"): _i0e,
    ("cupyx.scipy.special", "i1e"): _i1e,
    ("cupyx.scipy.special", "polygamma"): _polygamma_of_cupy,
    ("torch.special", "polygamma"): _polygamma_of_torch,
    ("jax.scipy.special", "betaln"): None,  # its relative error is 1e-8
    ("jax.scipy.special", "beta"): None,  # likewise
}
"""Functions to use in place of a library's own; None if its own must not be used."""


@cache
def special_function(xp: Namespace, name: str) -> Callable[..., Any] | None:
    """The library's special function of that name; None if it has no such function.

    Raises
    ------
    BackendError
        The library has no special functions.
    MissingPackageError
        They are in SciPy, which is not installed.
    """
    module = MODULES.get(xp.__name__)
    if module is None:
        library = xp.__name__.removeprefix("array_api_compat.")
        raise BackendError(
            f"special.{name} is computed by the library of its arrays, and {library} has no special "
            "functions. Move the arrays to NumPy with xpnet.to_numpy(x): there SciPy computes it."
        )
    try:
        functions = import_module(module)
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f"special.{name} of NumPy's arrays is computed by SciPy, and the package {error.name} "
            "is not installed. Install it with: pip install scipy",
            name=error.name,
        ) from error
    found = OURS.get((module, name), getattr(functions, name, None))
    if found is not None and hasattr(xp, "with_record"):  # the namespace of recording arrays
        found = xp.with_record(f"special.{name}", found)
    return found
