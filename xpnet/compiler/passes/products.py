"""Products in one form, and a product whose only use is to change an array as one operation.

A column times a row is recorded as "outer_product", for which NumPy has faster ways than `matmul`. A
library with products of its own needs no other name for it.

p - lr * (x.T @ g) is the update of a parameter by gradient descent, where nobody else reads the
gradient. BLAS computes it in one call, as it adds the product to what is there: no memory for the
gradient, and no second pass over the parameter.

    operation.name       "product_update"
    operation.args       (c, beta, alpha, a, b): a, b of two axes, c of the shape of a @ b; alpha and
                         beta Python numbers or numbers of the host
    operation.options    {"sign": 1 or -1}
    operation.outputs    beta * c + sign * alpha * (a @ b); without the factor beta if beta is None

The rounding is not that of the separate operations, so only executors that compute products in their
own way have it.
"""

from collections.abc import Callable
from typing import Any

from xpnet._typing import Array
from xpnet.compiler.passes.rewriting import Replacement, readers, with_replacements
from xpnet.compiler.record import Operation, Program, Value
from xpnet.kernels.elementary import outer_product

__all__ = ["product_update", "with_outer_products_as_matmul", "with_product_updates"]

Finder = Callable[[Any, str], Operation | None]


def with_outer_products_as_matmul(program: Program) -> Program:
    """The program with "matmul" for each "outer_product", of two matrices or of stacks of them.

    The results are the same bit for bit: each number is one product, rounded once.
    """
    products = {
        operation: Replacement("matmul", outer_product, operation.args, {}, operation.outputs)
        for operation in program.operations
        if operation.name == "outer_product"
    }
    return with_replacements(program, products)


def with_product_updates(program: Program) -> Program:
    """The program with one operation for each product that is only added to an array."""
    used_in = readers(program)
    kept = {*program.outputs, *program.updates.values()}
    fused: dict[Operation, Replacement] = {}
    absorbed: set[Operation] = set()

    def alone(x: Any, name: str) -> Operation | None:
        """The operation of that name whose only use is x, if x has one reader."""
        if not isinstance(x, Value) or x.operation is None or x.operation.name != name:
            return None
        if len(used_in[x]) > 1 or x in kept:
            return None
        return x.operation

    for operation in program.operations:
        if operation.name not in ("add", "subtract") or operation.options:
            continue
        found = _parts(operation, alone)
        if found is not None:
            args, others = found
            options = {"sign": {"add": 1, "subtract": -1}[operation.name]}
            fused[operation] = Replacement(
                "product_update", product_update, args, options, operation.outputs
            )
            absorbed.update(others)
    return with_replacements(program, fused, absorbed)


def _parts(operation: Operation, alone: Finder) -> tuple[tuple[Any, ...], list[Operation]] | None:
    """(c, beta, alpha, a, b) and the operations that the fused one replaces."""
    sides = [operation.args]
    if operation.name == "add":
        sides.append(operation.args[::-1])
    for left, right in sides:
        alpha, inner, scaled = _factor_and_rest(right, alone)
        product = alone(inner, "matmul")
        if product is None or not _is_update(left, product):
            continue
        beta, c, kept = _factor_and_rest(left, alone)
        if c is not inner:
            return (c, beta, 1.0 if alpha is None else alpha, *product.args), [
                product,
                *scaled,
                *kept,
            ]
    return None


def _factor_and_rest(x: Any, alone: Finder) -> tuple[Any, Any, list[Operation]]:
    """x as (factor, rest, [the multiplication]); as (None, x, []) if it is no such product."""
    scaled = alone(x, "multiply")
    if scaled is not None:
        for factor, rest in (scaled.args, scaled.args[::-1]):
            if _is_factor(factor) and isinstance(rest, Value) and rest.dtype is not None:
                return factor, rest, [scaled]
    return None, x, []


def _is_update(c: Any, product: Operation) -> bool:
    """Whether c is an array of the shape and dtype of the product, and that one of two matrices."""
    a, b = product.args
    y = product.outputs[0]
    if not isinstance(a, Value) or not isinstance(b, Value):
        return False
    if not isinstance(c, Value) or c is y or c.shape != y.shape or len(a.shape) != 2:
        return False
    return len(b.shape) == 2 and {a.dtype, b.dtype, c.dtype} == {y.dtype}


def _is_factor(x: Any) -> bool:
    """Whether x is one number that takes the dtype of an array."""
    if isinstance(x, Value):
        return x.dtype is None
    return type(x) in (int, float)  # a scalar of NumPy has a dtype that takes part in promotion


def product_update(
    c: Array, beta: float | None, alpha: float, a: Array, b: Array, sign: int
) -> Array:
    """beta * c + sign * alpha * (a @ b), by the library's operations."""
    if beta is not None:
        c = beta * c
    added = alpha * (a @ b)
    if sign == 1:
        return c + added
    return c - added
