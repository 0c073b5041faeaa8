"""Rows added up by index on CuPy, in an order that does not change.

Atomic additions happen in a different order in each run, so the last bits of a sum change too. Here
the indices are sorted, and one thread adds up one number of the result: the same bits in every run.
The kernel takes every dtype (atomics support neither complex numbers nor small integers), adds
float16 in float32, and writes each number of the result once, so the result need not be zeroed first.
"""

from functools import cache
from typing import Any

from xpnet._typing import Array
from xpnet.kernels.cuda_source import cupy
from xpnet.kernels.lookup import Kernel

PREAMBLE = """
template <typename T> struct total { typedef T type; };
template <> struct total<float16> { typedef float type; };

// The position in the sorted order of the first number that is not below `least`.
template <typename Numbers, typename Order>
__device__ long long first(const Numbers& numbers, const Order& order, long long m,
                           long long least) {
    long long low = 0, high = m;
    while (low < high) {
        long long middle = (low + high) / 2;
        if ((long long)numbers[order[middle]] < least) low = middle + 1; else high = middle;
    }
    return low;
}
"""
BODY = """
    long long row = i / columns, column = i - row * columns;
    typename total<T>::type sum = 0;
    for (int turn = 0; turn < 2; ++turn) {  // a row has two indices, and the negative one comes first
        long long number = turn ? row : row - rows;
        if (!turn && (long long)numbers[order[0]] >= 0) continue;
        for (long long k = first(numbers, order, m, number); k < m; ++k) {
            long long from = order[k];
            if ((long long)numbers[from] != number) break;
            sum += (typename total<T>::type)x[from * columns + column];
        }
    }
    y = (T)sum;
"""


@cache
def _kernel() -> Any:
    return cupy().ElementwiseKernel(
        "raw T x, raw I numbers, raw O order, int64 m, int64 rows, int64 columns",
        "T y",
        BODY,
        "xpnet_added_by_number",
        preamble=PREAMBLE,
    )


def added_by_index(x: Array, numbers: Array, length: int) -> Array:
    """`length` rows of zeros, with the rows of x added at the indices `numbers`.

    Parameters
    ----------
    x : CuPy array, shape (m, ...)
    numbers : CuPy array of integers, shape (m,)
        From -length to length - 1; rows with other indices are left out.
    length : int

    Returns
    -------
    CuPy array, shape (length, ...)

    Notes
    -----
    A stable sort, and one launch. One thread adds up one number of a row, in the order in which the
    row's index occurs: if nearly all indices are equal, the time is proportional to their number.
    """
    m = x.shape[0]
    rest = x.shape[1:]
    y = cupy().empty((length, *rest), dtype=x.dtype)
    if m == 0 or y.size == 0:
        y.fill(0)
        return y
    order = cupy().argsort(numbers)
    _kernel()(cupy().ascontiguousarray(x), numbers, order, m, length, y.size // length, y)
    return y


KERNELS = {"added_by_index": Kernel(added_by_index)}
