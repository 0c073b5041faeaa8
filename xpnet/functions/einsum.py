"""Sums of products, written by the names of their axes: Einstein's convention, as in NumPy."""

import math
import operator
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from xpnet._libraries.devices import follows
from xpnet._typing import Array
from xpnet.autodiff.namespace import array_namespace, has_dtype
from xpnet.autodiff.variable import data_of
from xpnet.backend import array_like
from xpnet.errors import ArgumentError, ArgumentTypeError, ShapeError

Shape = tuple[int, ...]
Path = tuple[tuple[int, ...], ...]
# In the order of their code points; as in the module `string`, which is slow to import.
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
STRATEGIES = ("auto", "optimal", "greedy", "dp")


class Factor(NamedTuple):
    """An operand, or a product of operands: a letter for each axis, and the array."""

    term: str
    x: Array


class Plan(NamedTuple):
    """How a sum of products is computed.

    Attributes
    ----------
    terms : tuple of str
        One letter for each axis of each operand.
    output : str
        One letter for each axis of the result.
    sizes : dict of str to int
        The length of each letter's axis.
    path : tuple of tuples of int
        Which operands are multiplied at each step: their places in the list of remaining operands,
        to which the product is then appended.
    """

    terms: tuple[str, ...]
    output: str
    sizes: dict[str, int]
    path: Path


@follows
def einsum(
    subscripts: Any, /, *operands: Any, optimize: bool | str | Sequence[Any] = True
) -> Array:
    """The sum of products of the operands, over the axes that the output does not name.

    Parameters
    ----------
    subscripts : str
        One letter for each axis of each operand, and after "->" the letters of the result. Axes
        with the same letter have the same length, or length 1, which broadcasts. A letter that
        occurs twice in one operand takes the diagonal. "..." stands for the other axes, which
        broadcast. Without "->" the result has the axes of "...", then the letters that occur once,
        in alphabetical order.
    *operands : arrays, Variables or Python numbers
        NumPy's other form is accepted too: `einsum(x1, [0, 1], x2, [1, 2], [0, 2])`, with integers
        in place of letters.
    optimize : bool, {"auto", "optimal", "greedy", "dp"} or sequence of tuples
        The order of the products, for three operands or more. True is "auto": the optimal order
        for few operands, a good one for many. False multiplies from left to right. A sequence is a
        path as `numpy.einsum_path` and `opt_einsum.contract_path` return it.

    Returns
    -------
    array or Variable
        One axis for each letter of the result.

    Raises
    ------
    ArgumentError
        The subscripts or `optimize` are malformed.
    ArgumentTypeError
        There are no operands, or the axes in place of letters are not lists.
    ShapeError
        The shapes of the operands do not fit the subscripts.

    Notes
    -----
    Operands are multiplied two at a time, by `matmul` where axes are summed; axes that occur in one
    operand only are summed first. The time is therefore that of `matmul`, and derivatives of any
    order are sums of products too. opt_einsum parses the subscripts and finds the order: Smith and
    Gray, "opt_einsum - A Python package for optimizing contraction order for einsum-like
    expressions", Journal of Open Source Software, 2018.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.asarray([[1.0, 2.0], [3.0, 4.0]])
    >>> einsum("ij,kj->ik", x, x)
    array([[ 5., 11.],
           [11., 25.]])
    >>> float(einsum("ii", x))
    5.0
    """
    xs = list(operands)
    if not isinstance(subscripts, str):
        subscripts, xs = _interleaved((subscripts, *operands))
    xs = _as_arrays(xs)
    plan = _planned(subscripts, tuple(tuple(x.shape) for x in xs), _strategy_or_path(optimize))
    remaining = [Factor(term, x) for term, x in zip(plan.terms, xs, strict=True)]
    for step in plan.path:
        factors = [remaining[i] for i in sorted(step)]
        remaining = [factor for i, factor in enumerate(remaining) if i not in step]
        remaining.append(_product_of(factors, remaining, plan))
    (result,) = remaining
    return _ordered(result, plan.output).x


def _interleaved(arguments: tuple[Any, ...]) -> tuple[str, list[Any]]:
    """The subscripts and the operands of einsum(x1, axes1, x2, axes2, ..., output)."""
    has_output = len(arguments) % 2 == 1
    pairs = arguments[:-1] if has_output else arguments
    operands = pairs[0::2]
    axes = [*pairs[1::2], *arguments[len(pairs) :]]
    if not pairs or not all(isinstance(a, (list, tuple)) for a in axes):
        raise ArgumentTypeError(
            "einsum expected subscripts such as 'ij,jk->ik' and then the operands, or operands "
            "each followed by a list of integers, got "
            f"{', '.join(type(a).__name__ for a in arguments)}."
        )
    terms = ["".join(map(_letter, a)) for a in axes]
    subscripts = ",".join(terms[: len(operands)])
    if has_output:
        subscripts += "->" + terms[-1]
    return subscripts, list(operands)


def _letter(axis: Any) -> str:
    """The letter, or "...", that stands for an integer, or Python's Ellipsis."""
    if axis is Ellipsis:
        return "..."
    try:
        return LETTERS[operator.index(axis)]
    except (TypeError, IndexError):
        raise ArgumentError(
            f"einsum expected axes from 0 to {len(LETTERS) - 1}, or Ellipsis, got {axis!r}."
        ) from None


def _as_arrays(xs: list[Array | complex]) -> list[Array]:
    """The operands, with Python numbers as arrays like the first array."""
    if not xs:
        raise ArgumentTypeError("einsum expected operands after its subscripts, got none.")
    array_namespace(*xs)  # raises for different libraries, and if there is no array
    model = next(data_of(x) for x in xs if hasattr(x, "shape"))
    return [x if hasattr(x, "shape") else array_like(x, model) for x in xs]


def _strategy_or_path(optimize: Any) -> str | Path:
    """The parameter `optimize` as a strategy's name, or as a path; () means from left to right."""
    if isinstance(optimize, bool):
        return "auto" if optimize else ()
    if isinstance(optimize, str) and optimize in STRATEGIES:
        return optimize
    if isinstance(optimize, (list, tuple)):
        steps = list(optimize)
        if steps[:1] == ["einsum_path"]:  # NumPy's paths begin with this name
            steps = steps[1:]
        if steps and all(isinstance(step, (list, tuple)) for step in steps):
            return tuple(map(tuple, steps))
    raise ArgumentError(
        f"einsum expected optimize=True or False, one of {STRATEGIES}, or a list of the operands "
        f"to multiply at each step, such as [(0, 1), (0, 1)], got {optimize!r}."
    )


@lru_cache(maxsize=1024)
def _planned(subscripts: str, shapes: tuple[Shape, ...], strategy_or_path: str | Path) -> Plan:
    """The plan for operands of these shapes.

    Raises
    ------
    ArgumentError
        The subscripts or the path are malformed.
    ShapeError
        The shapes do not fit the subscripts.
    """
    # Imported at the first call: most programs do not use einsum.
    from opt_einsum import contract_path
    from opt_einsum.parser import parse_einsum_input

    given = f"{subscripts!r} for shapes {', '.join(map(str, shapes))}"
    if not all(c.isalpha() or c.isspace() or c in ",.->" for c in subscripts):
        raise ArgumentError(
            f"einsum expected subscripts of letters, ',', '...' and '->', got {given}."
        )
    try:
        inputs, output, _ = parse_einsum_input((subscripts, *shapes), shapes=True)
    except ValueError as error:
        raise ArgumentError(f"einsum cannot read the subscripts {given}: {error}") from None
    terms = tuple(inputs.split(","))
    sizes = _sizes(terms, shapes, given)
    path: Any = strategy_or_path
    if len(terms) < 3:
        path = [tuple(range(len(terms)))]
    elif strategy_or_path == ():
        path = _from_left_to_right(len(terms))
    elif isinstance(strategy_or_path, str):
        equation = f"{inputs}->{output}"
        path, _ = contract_path(equation, *shapes, shapes=True, optimize=strategy_or_path)
    return Plan(terms, output, sizes, _checked(path, len(terms)))


def _from_left_to_right(count: int) -> list[tuple[int, int]]:
    """The path that multiplies the product so far, which is the last in the list, by the next."""
    return [(0, 1), *((0, n) for n in range(count - 2, 0, -1))]


def _sizes(terms: tuple[str, ...], shapes: tuple[Shape, ...], given: str) -> dict[str, int]:
    """The length of each letter's axis: 1 only if it is 1 in every operand, as in broadcasting."""
    sizes: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        if len(term) != len(shape):
            raise ShapeError(
                f"einsum expected {len(term)} axes for the subscripts {term!r}, got shape {shape}, "
                f"in {given}."
            )
        own: dict[str, int] = {}
        for letter, n in zip(term, shape, strict=True):
            if own.setdefault(letter, n) != n:
                raise ShapeError(
                    f"einsum expected equal lengths along {letter!r} to take the diagonal, got "
                    f"{own[letter]} and {n}, in {given}."
                )
            known = sizes.get(letter, 1)
            if 1 not in (n, known) and n != known:
                raise ShapeError(
                    f"einsum expected one length along {letter!r}, or 1, got {known} and {n}, in "
                    f"{given}."
                )
            sizes[letter] = known if n == 1 else n
    return sizes


def _checked(path: Any, count: int) -> Path:
    """The steps of a path from `count` operands to one; ArgumentError if it is not a path."""
    steps = [tuple(map(operator.index, step)) for step in path]
    remaining = count
    for step in steps:
        if not step or len(set(step)) < len(step) or not all(0 <= i < remaining for i in step):
            raise ArgumentError(
                f"einsum cannot multiply the operands {step} of {remaining}, in optimize={path}."
            )
        remaining += 1 - len(step)
    if remaining != 1:
        steps.append(tuple(range(remaining)))  # as in NumPy: the rest is multiplied at once
    return tuple(steps)


def _product_of(factors: list[Factor], others: list[Factor], plan: Plan) -> Factor:
    """The product of factors, summed over the axes that neither the others nor the output have."""
    product, *rest = factors
    for i, factor in enumerate(rest):
        needed = _letters_of(plan.output, [*rest[i + 1 :], *others])
        first = _reduced(product, needed | set(factor.term), plan.sizes)
        second = _reduced(factor, needed | set(first.term), plan.sizes)
        product = _multiplied(first, second, needed)
    return _reduced(product, _letters_of(plan.output, others), plan.sizes)


def _letters_of(output: str, factors: list[Factor]) -> set[str]:
    """The letters of the output and of the factors."""
    return set(output).union(*(factor.term for factor in factors))


def _reduced(factor: Factor, needed: set[str], sizes: dict[str, int]) -> Factor:
    """The factor with an axis for each needed letter: diagonals taken, other axes summed.

    Axes of length 1 that broadcast are left out.
    """
    from xpnet.functions.linalg import diagonal  # extensions are imported when they are first used

    term, x = factor
    xp = array_namespace(x)
    for letter in sorted(set(term)):
        while term.count(letter) > 1:
            first = term.index(letter)
            second = term.rindex(letter)
            x = diagonal(xp.moveaxis(x, (first, second), (-2, -1)))
            term = term[:first] + term[first + 1 : second] + term[second + 1 :] + letter
    ones = tuple(i for i, c in enumerate(term) if x.shape[i] == 1 != sizes[c])
    if ones:
        x = xp.squeeze(x, axis=ones)
        term = "".join(c for i, c in enumerate(term) if i not in ones)
    summed = tuple(i for i, c in enumerate(term) if c not in needed)
    if summed:
        x = _sum(x, summed)
        term = "".join(c for c in term if c in needed)
    return Factor(term, x)


def _sum(x: Array, axes: tuple[int, ...]) -> Array:
    """The sum over axes in the dtype of x, small integers included, as in NumPy's einsum."""
    xp = array_namespace(x)
    dtype = x.dtype if has_dtype(x, "integral") else None
    return xp.sum(x, axis=axes, dtype=dtype)


def _multiplied(first: Factor, second: Factor, needed: set[str]) -> Factor:
    """The product of two factors, summed over the axes of both that are not needed."""
    both = [c for c in first.term if c in second.term]
    summed = "".join(c for c in both if c not in needed)
    stack = "".join(c for c in both if c in needed)
    rows = "".join(c for c in first.term if c not in both)
    columns = "".join(c for c in second.term if c not in both)
    if not summed:  # a matrix product with an inner length of 1 would be slower
        return _multiplied_elementwise(first, second, stack + rows + columns)
    left = _matrices(first, stack, rows, summed)
    right = _matrices(second, stack, summed, columns)
    xp = array_namespace(left, right)
    y = xp.matmul(left, right)
    sizes = dict(zip(first.term + second.term, (*first.x.shape, *second.x.shape), strict=True))
    term = stack + rows + columns
    return Factor(term, xp.reshape(y, tuple(sizes[c] for c in term)))


def _matrices(factor: Factor, stack: str, rows: str, columns: str) -> Array:
    """A factor as a stack of matrices: all axes of the rows as one axis, and those of the columns.

    Where the rows are innermost in memory, it is a transposed view of matrices of columns and rows:
    that needs no copy.
    """
    transposed = factor.term[-1] in rows
    if transposed:
        rows, columns = columns, rows
    x = _ordered(factor, stack + rows + columns).x
    xp = array_namespace(x)
    end_of_stack = len(stack)
    end_of_rows = end_of_stack + len(rows)
    n_rows = math.prod(x.shape[end_of_stack:end_of_rows])
    n_columns = math.prod(x.shape[end_of_rows:])
    x = xp.reshape(x, (*x.shape[:end_of_stack], n_rows, n_columns))
    return xp.matrix_transpose(x) if transposed else x


def _multiplied_elementwise(first: Factor, second: Factor, term: str) -> Factor:
    """The product of two factors that broadcast, with the axes of `term`."""
    xp = array_namespace(first.x, second.x)
    xs = []
    for factor in (first, second):
        own = "".join(c for c in term if c in factor.term)
        x = _ordered(factor, own).x
        lengths = dict(zip(own, x.shape, strict=True))
        xs.append(xp.reshape(x, tuple(lengths.get(c, 1) for c in term)))
    return Factor(term, xp.multiply(*xs))


def _ordered(factor: Factor, term: str) -> Factor:
    """The factor with its axes in the order of `term`."""
    if factor.term == term:
        return factor
    axes = tuple(factor.term.index(c) for c in term)
    return Factor(term, array_namespace(factor.x).permute_dims(factor.x, axes))
