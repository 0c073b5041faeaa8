"""The sum of all rows for CuPy, in one launch: the gradient of a bias."""

from typing import Any

from xpnet.kernels.cuda import Raw, floating
from xpnet.kernels.cuda_source import cupy
from xpnet.kernels.lookup import Kernel

TILE = 32  # columns of a block
THREADS = 1024

_kernel = Raw("column_sums.cu", "xpnet_column_sums")


def column_sums(x: Any) -> Any:
    """The sum over all axes but the last, in the dtype of x; of float16, computed in float32."""
    columns = x.shape[-1]
    rows = x.size // max(columns, 1)
    y = cupy().ndarray((columns,), x.dtype)
    tile = max(min(columns, TILE), 1)
    threads = min(max(-(-rows * tile // 32), 1) * 32, THREADS)
    blocks = -(-columns // tile)
    arguments = cupy().ascontiguousarray(x), y, rows, columns, tile
    _kernel.of(x.dtype)((blocks,), (threads,), arguments)
    return y


KERNELS = {"column_sums": Kernel(column_sums, floating)}
