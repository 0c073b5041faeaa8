"""What to write for functions of NumPy that are not in `xpnet.functions`: `F.convolve`, `F.median`."""

from functools import cache

from xpnet._interoperability.numpy.registry import implementations
from xpnet._interoperability.numpy.ufuncs import elementwise_calls


@cache
def hints() -> dict[str, str]:
    """A hint for each function of NumPy that takes Variables."""
    names = [*implementations, *elementwise_calls]
    return {
        name: f"np.{name}, which is differentiable for Variables too"
        for name in names
        if "." not in name
    }
