"""The sum of all rows for CuPy, in one launch: the gradient of a bias."""

from functools import lru_cache

from xpnet._typing import Array
from xpnet.kernels.cuda import Raw, floating
from xpnet.kernels.cuda_source import cupy
from xpnet.kernels.lookup import Kernel

TILE = 32  # columns per block
THREADS = 1024  # per block, at most

_kernel = Raw("column_sums.cu", "xpnet_column_sums")


def column_sums(x: Array) -> Array:
    """The sum over all axes but the last, in the dtype of x; for float16, computed in float32."""
    columns = x.shape[-1]
    rows = x.size // columns if columns else 0
    y = cupy().ndarray((columns,), x.dtype)
    grid, block, tile = geometry(rows, columns)
    if not x.flags.c_contiguous:
        x = cupy().ascontiguousarray(x)
    _kernel.of(x.dtype)(grid, block, (x, y, rows, columns, tile))
    return y


@lru_cache(maxsize=256)
def geometry(rows: int, columns: int) -> tuple[tuple[int], tuple[int], int]:
    """How many blocks there are, how many threads in each, and how many columns per block."""
    tile = min(max(columns, 1), TILE)
    warps = -(-max(rows, 1) * tile // 32)  # a GPU runs threads in warps of 32
    return (-(-columns // tile),), (min(warps * 32, THREADS),), tile


KERNELS = {"column_sums": Kernel(column_sums, floating)}
