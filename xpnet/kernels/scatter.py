"""Rows added up by number on CuPy, in an order that does not change.

Atomic additions come in another order in each run, and the last bits of the sum with them. Here the
numbers are sorted, and one thread adds up one number of the result: the same bits in every run. It
takes every dtype (atomics know neither complex numbers nor small integers), adds those of float16
in float32, and writes each number of the result once, so that no zeros are needed.
"""

from functools import cache
from importlib import import_module
from typing import Any

from xpnet.backend import Array

PREAMBLE = """
template <typename T> struct total { typedef T type; };
template <> struct total<float16> { typedef float type; };

// Where, in an order that sorts them, the numbers begin that are not below `least`.
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
    for (int turn = 0; turn < 2; ++turn) {  // as -1, -2, ... counted from the end, and as 0, 1, ...
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
    return import_module("cupy").ElementwiseKernel(
        "raw T x, raw I numbers, raw O order, int64 m, int64 rows, int64 columns",
        "T y",
        BODY,
        "xpnet_added_by_number",
        preamble=PREAMBLE,
    )


def added(x: Array, numbers: Array, length: int) -> Array:
    """Rows of zeros, as many as `length`, with the rows of x added at the places `numbers`.

    Parameters
    ----------
    x : CuPy array, shape (m, ...)
    numbers : CuPy array of integers, shape (m,)
        From -length to length - 1; a row of another number is left out.
    length : int

    Returns
    -------
    CuPy array, shape (length, ...)

    Notes
    -----
    A stable sort, and one launch. A row is added up by one thread for each column, in the order in
    which its number occurs: numbers that are nearly all equal take as long as there are of them.
    """
    cupy = import_module("cupy")
    m, rest = x.shape[0], x.shape[1:]
    y = cupy.empty((length, *rest), dtype=x.dtype)
    if m == 0 or y.size == 0:
        y.fill(0)
        return y
    order = cupy.argsort(numbers)
    _kernel()(cupy.ascontiguousarray(x), numbers, order, m, length, y.size // length, y)
    return y
