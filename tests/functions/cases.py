"""Cases for every differentiable function of the namespace: calls of it, to be differentiated.

A case is a hypothesis strategy that draws `(call, arrays)`. `call(xp, *arrays)` is a function of
NumPy arrays, written against the standard, so that it runs with xpnet's namespace and with JAX's.
test_rules.py differentiates the cases on every backend and compares with differences;
test_against_jax.py compares with JAX. capabilities.py generates docs/capabilities.md from the same
cases, so the table lists what was run.
"""

from importlib import import_module

import numpy as np
from hypothesis import strategies as st

SHAPES = [(), (3,), (2, 3), (3, 1, 2)]
PAIRS = [((3,), (3,)), ((2, 3), (3,)), ((2, 1), (1, 3)), ((), (2, 2)), ((2, 2), ())]
MATRICES = [(2, 2), (3, 3), (2, 2, 2)]

CASES = {}
"""{name: [strategies]}; a name may have several, for its parameters or kinds of input."""

COMPLEX = set()
"""Names of which a case has complex input."""

AGAINST_JAX = {
    "linalg.eig": "JAX differentiates eigenvectors on request only",
    "nextafter": "JAX has no derivative of nextafter",
    "special.psi": "JAX has it under the name digamma only",
    "sign": "JAX treats the sign of a complex number as a step",
    "unique_all": "JAX's unique functions do not run on the arrays that it differentiates",
    "unique_counts": "JAX's unique functions do not run on the arrays that it differentiates",
    "unique_inverse": "JAX's unique functions do not run on the arrays that it differentiates",
    "unique_values": "JAX's unique functions do not run on the arrays that it differentiates",
}
"""Names that cannot be compared with JAX, and why."""

nan = float("nan")
DEPARTURES = {  # name: (a call, its arguments, our gradient with respect to the first, JAX's, why)
    "std of equals": (
        lambda xp, x: xp.std(x),
        [[2.0, 2.0]],
        [0.0, 0.0],
        [nan, nan],
        "as in PyTorch: features that happen to be equal must not turn weights into NaN",
    ),
    "abs at 0": (
        lambda xp, x: xp.abs(x),
        [[0.0]],
        [0.0],
        [1.0],
        "the mean of both sides: even, smooth functions that are composed of abs have the right derivative",
    ),
    "hypot at 0": (
        lambda xp, x1, x2: xp.hypot(x1, x2),
        [[0.0], [0.0]],
        [0.0],
        [0.5],
        "likewise, in every direction",
    ),
    "vector_norm of zeros": (
        lambda xp, x: xp.linalg.vector_norm(x),
        [[0.0, 0.0]],
        [0.0, 0.0],
        [nan, nan],
        "the shortest of its subgradients; a vector that happens to be 0 must not turn weights into NaN",
    ),
    "copysign of 0": (
        lambda xp, x1, x2: xp.copysign(x1, x2),
        [[0.0], [2.0]],
        [0.0],
        [1.0],
        "as for abs",
    ),
    "0 to the power of 0, by the base": (
        lambda xp, x1, x2: xp.pow(x1, x2),
        [[0.0], [0.0]],
        [0.0],
        [nan],
        "x ** 0 is 1 for every x",
    ),
    "sort of equals, descending": (
        lambda xp, x: xp.sort(x, descending=True),
        [[2.0, 2.0, 1.0]],
        [1.0, 2.0, 3.0],
        [2.0, 1.0, 3.0],
        "equal numbers keep their order, as the standard requires of a stable sort",
    ),
}
"""Corners where JAX has another convention, or returns NaN."""

LACKS = {}
"""{(name, library): why a function does not run on a library}: a skip, and a note in the table."""


def case(*names, kinds=(float,), complex_too=False):
    """Decorator: a function of a `Draw` is a case for each of these names, with numbers of a kind."""

    def add(function):
        for kind in (float, complex) if complex_too else kinds:
            strategy = st.composite(lambda draw, kind=kind: function(Draw(draw, kind)))()
            for name in names:
                CASES.setdefault(name, []).append(strategy)
                if kind is complex:
                    COMPLEX.add(name)
        return function

    return add


class Draw:
    """Hypothesis's `draw`, one generator of random numbers, by a seed that it drew, their kind."""

    def __init__(self, draw, kind):
        self.draw = draw
        self.kind = kind
        self.rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def __call__(self, strategy):
        return self.draw(strategy)


def numbers(draw, shape, low=-2.0, high=2.0):
    """Random numbers of a shape: never equal, and seldom near a corner."""
    x = draw.rng.uniform(low, high, shape)
    if draw.kind is complex:
        x = x + 1j * draw.rng.uniform(low, high, shape)
    return np.asarray(x)


def of(name):
    """The function of that name in a namespace; the name may be "linalg.inv"."""

    def call(xp, *args, **kwargs):
        for part in name.split("."):
            xp = getattr(xp, part)
        return xp(*args, **kwargs)

    return call


def axis_of(draw, shape, several=True):
    """An axis of that shape, or None; with `several`, also a tuple of axes."""
    axes = st.integers(-len(shape), len(shape) - 1) if shape else st.nothing()
    options = [st.none()]
    if shape:
        options.append(axes)
    if several and len(shape) > 1:
        options.append(st.just((0, -1)))
    return draw(st.one_of(options))


# --- elementwise ---------------------------------------------------------------------------------

UNARY = {  # name: where its argument lies
    "abs": (0.2, 2.0), "acos": (-0.9, 0.9), "acosh": (1.2, 3.0), "asin": (-0.9, 0.9),
    "asinh": (-2.0, 2.0), "atan": (-2.0, 2.0), "atanh": (-0.9, 0.9), "conj": (-2.0, 2.0),
    "cos": (-2.0, 2.0), "cosh": (-2.0, 2.0), "exp": (-2.0, 2.0), "expm1": (-2.0, 2.0),
    "log": (0.2, 2.0), "log10": (0.2, 2.0), "log1p": (-0.8, 2.0), "log2": (0.2, 2.0),
    "negative": (-2.0, 2.0), "positive": (-2.0, 2.0), "real": (-2.0, 2.0),
    "reciprocal": (0.3, 2.0), "sin": (-2.0, 2.0), "sinh": (-2.0, 2.0), "sqrt": (0.2, 2.0),
    "square": (-2.0, 2.0), "tan": (-1.2, 1.2), "tanh": (-2.0, 2.0),
}  # fmt: skip
BINARY = {
    "add": (-2.0, 2.0), "atan2": (0.2, 2.0), "copysign": (0.2, 2.0), "divide": (0.3, 2.0),
    "hypot": (0.2, 2.0), "logaddexp": (-2.0, 2.0), "maximum": (-2.0, 2.0),
    "minimum": (-2.0, 2.0), "multiply": (-2.0, 2.0), "nextafter": (0.2, 2.0),
    "pow": (0.3, 2.0), "subtract": (-2.0, 2.0),
}  # fmt: skip


def _elementwise(name, shapes, low, high, kind):
    @case(name, kinds=(kind,))
    def _(draw):
        return of(name), [numbers(draw, shape, low, high) for shape in draw(shapes)]


_one = st.sampled_from(SHAPES).map(lambda shape: [shape])
_two = st.sampled_from(PAIRS)
for _name, _bounds in UNARY.items():
    _elementwise(_name, _one, *_bounds, float)
for _name in [*UNARY, "imag", "sign"]:  # the standard defines all of them for complex numbers
    _elementwise(_name, _one, 0.2, 0.8, complex)
for _name, _bounds in BINARY.items():
    _elementwise(_name, _two, *_bounds, float)
for _name in ("add", "divide", "multiply", "pow", "subtract"):
    _elementwise(_name, _two, 0.3, 1.5, complex)


@case("pow")
def _(draw):
    n = draw(st.sampled_from([-1.5, 0, 1, 2, 3.5]))
    return lambda xp, x: xp.pow(x, n), [numbers(draw, (2, 3), 0.3, 2.0)]


@case("remainder")
def _(draw):
    x1 = numbers(draw, (2, 3), 0.1, 0.9)
    x2 = numbers(draw, (3,), 1.0, 1.2)
    return of("remainder"), [x1 + draw(st.sampled_from([-3.0, 0.0, 2.4])), x2]


@case("clip")
def _(draw):
    bounds = draw(st.sampled_from([(None, None), (-1.0, None), (None, 1.0), (-0.5, 0.5)]))
    return lambda xp, x: xp.clip(x, *bounds), [numbers(draw, (2, 3))]


@case("clip")
def _(draw):
    x = numbers(draw, (2, 3))
    low = numbers(draw, (3,), -1.0, 0.0)
    return lambda xp, x, low, high: xp.clip(x, low, high), [x, low, low + 1.0]


# --- statistical ---------------------------------------------------------------------------------


def _reduction(name, complex_too=False):
    @case(name, complex_too=complex_too)
    def _(draw):
        shape = draw(st.sampled_from(SHAPES))
        options = {"axis": axis_of(draw, shape), "keepdims": draw(st.booleans())}
        if name in ("var", "std"):
            options["correction"] = draw(st.sampled_from([0.0, 0.5]))
        if name == "std":  # its derivative for a single number is infinite
            shape = (2, 3)
            options["axis"] = draw(st.sampled_from([None, 0, -1, (0, 1)]))
        return lambda xp, x: of(name)(xp, x, **options), [numbers(draw, shape)]


for _name in ("max", "min", "std", "var"):
    _reduction(_name)
for _name in ("mean", "prod", "sum"):
    _reduction(_name, complex_too=True)


def _running(name):
    @case(name, complex_too=True)
    def _(draw):
        shape = draw(st.sampled_from([(1,), (5,), (2, 3), (3, 1, 2)]))
        axis = draw(st.integers(-len(shape), len(shape) - 1))
        initial = draw(st.booleans())
        return (
            lambda xp, x: of(name)(xp, x, axis=axis, include_initial=initial),
            [numbers(draw, shape)],
        )


for _name in ("cumulative_prod", "cumulative_sum"):
    _running(_name)


@case("cumulative_prod")
def _(draw):
    x = numbers(draw, (2, 5))
    x[:, draw(st.integers(0, 4))] = 0.0
    x[0, draw(st.integers(0, 4))] = 0.0
    return lambda xp, x: xp.cumulative_prod(x, axis=1), [x]


@case("prod")
def _(draw):
    x = numbers(draw, (2, 5))
    x[:, draw(st.integers(0, 4))] = 0.0
    x[0, draw(st.integers(0, 4))] = 0.0
    return lambda xp, x: xp.prod(x, axis=1), [x]


@case("cumulative_prod", "cumulative_sum", "prod", "sum")
def _(draw):
    """With the dtype of the result."""

    def call(xp, x):
        dtype = xp.complex128
        running = xp.cumulative_prod(x, axis=1, dtype=dtype) + xp.cumulative_sum(
            x, axis=1, dtype=dtype
        )
        return running * xp.prod(x, dtype=dtype) * xp.sum(x, dtype=dtype)

    return call, [numbers(draw, (2, 3))]


# --- manipulation and indexing -------------------------------------------------------------------


@case("reshape")
def _(draw):
    shape = draw(st.sampled_from([(6,), (3, 2), (1, -1), (2, 1, 3)]))
    options = draw(st.sampled_from([{}, {"copy": True}]))
    return lambda xp, x: xp.reshape(x, shape, **options), [numbers(draw, (2, 3))]


@case("permute_dims")
def _(draw):
    axes = tuple(draw(st.permutations(range(3))))
    return lambda xp, x: xp.permute_dims(x, axes), [numbers(draw, (2, 1, 3))]


@case("moveaxis")
def _(draw):
    pair = draw(st.sampled_from([(0, -1), (-1, 0), (1, 1), ((0, 1), (2, 0))]))
    return lambda xp, x: xp.moveaxis(x, *pair), [numbers(draw, (2, 1, 3))]


@case("broadcast_to")
def _(draw):
    shape = draw(st.sampled_from([(2, 1), (3,), (1, 1, 1), ()]))
    return lambda xp, x: xp.broadcast_to(x, (2, 2, 3)), [numbers(draw, shape)]


@case("broadcast_arrays")
def _(draw):
    def call(xp, x1, x2):
        first, second = xp.broadcast_arrays(x1, x2)
        return first * second

    return call, [numbers(draw, shape) for shape in draw(st.sampled_from(PAIRS))]


@case("expand_dims")
def _(draw):
    axis = draw(st.sampled_from([0, 1, -1, (0, 2)]))
    return lambda xp, x: xp.expand_dims(x, axis=axis), [numbers(draw, (2, 3))]


@case("squeeze")
def _(draw):
    axis = draw(st.sampled_from([0, -1, (0, 2)]))
    return lambda xp, x: xp.squeeze(x, axis=axis), [numbers(draw, (1, 3, 1))]


@case("concat")
def _(draw):
    axis = draw(st.sampled_from([1, -1, None]))
    shapes = [(2, 1), (2, 3)] if axis is not None else [(2,), (2, 2)]
    return lambda xp, *xs: xp.concat(xs, axis=axis), [numbers(draw, shape) for shape in shapes]


@case("stack")
def _(draw):
    axis = draw(st.sampled_from([0, 1, -1]))
    return lambda xp, *xs: xp.stack(xs, axis=axis), [numbers(draw, (2, 3)) for _ in range(2)]


@case("unstack")
def _(draw):
    axis = draw(st.sampled_from([0, 1, -2]))

    def call(xp, x):
        first, *_, last = xp.unstack(x, axis=axis)
        return first * last

    return call, [numbers(draw, (2, 3))]


@case("flip")
def _(draw):
    axis = axis_of(draw, (2, 3))
    return lambda xp, x: xp.flip(x, axis=axis), [numbers(draw, (2, 3))]


@case("roll")
def _(draw):
    shift, axis = draw(st.sampled_from([(1, None), (-2, 0), (4, -1), ((1, 2), (0, 1))]))
    return lambda xp, x: xp.roll(x, shift, axis=axis), [numbers(draw, (2, 3))]


@case("tile")
def _(draw):
    times = draw(st.sampled_from([(2,), (2, 1), (1, 2, 2)]))
    return lambda xp, x: xp.tile(x, times), [numbers(draw, (2, 3))]


@case("repeat")
def _(draw):
    times, axis = draw(st.sampled_from([(2, None), (3, 0), (2, -1)]))
    return lambda xp, x: xp.repeat(x, times, axis=axis), [numbers(draw, (2, 3))]


@case("tril", "triu")
def _(draw):
    k = draw(st.integers(-1, 1))
    return lambda xp, x: xp.tril(x, k=k) * xp.triu(x, k=-k), [numbers(draw, (2, 2, 3))]


@case("meshgrid")
def _(draw):
    indexing = draw(st.sampled_from(["xy", "ij"]))

    def call(xp, x1, x2):
        first, second = xp.meshgrid(x1, x2, indexing=indexing)
        return first * second

    return call, [numbers(draw, (2,)), numbers(draw, (3,))]


@case("diff")
def _(draw):
    axis, n = draw(st.sampled_from([(0, 1), (-1, 1), (1, 2)]))
    return lambda xp, x: xp.diff(x, axis=axis, n=n), [numbers(draw, (3, 4))]


@case("diff")
def _(draw):
    return (
        lambda xp, x, first, last: xp.diff(x, prepend=first, append=last),
        [numbers(draw, shape) for shape in [(2, 3), (2, 1), (2, 2)]],
    )


@case("take")
def _(draw):
    shape, axis = draw(st.sampled_from([((4,), None), ((4,), 0), ((4, 2), 0), ((2, 4), -1)]))
    picked = np.asarray(draw(st.lists(st.integers(0, 3), min_size=1, max_size=5)))
    return lambda xp, x: xp.take(x, xp.asarray(picked), axis=axis), [numbers(draw, shape)]


@case("take_along_axis")
def _(draw):
    shape, axis = draw(st.sampled_from([((2, 3), 1), ((2, 3), -2)]))
    picked = np.asarray(draw(st.lists(st.integers(0, 1), min_size=6, max_size=6))).reshape(shape)
    return (
        lambda xp, x: xp.take_along_axis(x, xp.asarray(picked), axis=axis),
        [numbers(draw, shape)],
    )


@case("sort")
def _(draw):
    options = {
        "axis": draw(st.sampled_from([0, 1, -1])),
        "descending": draw(st.booleans()),
        "stable": draw(st.booleans()),
    }
    return lambda xp, x: xp.sort(x, **options), [numbers(draw, (3, 4))]


@case("unique_all", "unique_counts", "unique_inverse", "unique_values")
def _(draw):
    x = numbers(draw, (5,))[np.asarray([0, 1, 2, 0, 3, 4])][:5]

    def call(xp, x):
        found = [xp.unique_all(x), xp.unique_counts(x), xp.unique_inverse(x)]
        return xp.stack([*(f.values for f in found), xp.unique_values(x)])

    return call, [np.unique(x)]


@case("where")
def _(draw):
    shapes = draw(st.sampled_from(PAIRS))
    picked = np.asarray(draw(st.booleans()))
    return lambda xp, *xs: xp.where(xp.asarray(picked), *xs), [numbers(draw, s) for s in shapes]


@case("where")
def _(draw):
    picked = np.asarray(draw(st.lists(st.booleans(), min_size=6, max_size=6))).reshape(2, 3)
    return lambda xp, x: xp.where(xp.asarray(picked), x, 1.5), [numbers(draw, (2, 3))]


@case("astype")
def _(draw):
    copy = draw(st.booleans())
    return lambda xp, x: xp.astype(x, xp.complex128, copy=copy), [numbers(draw, (2, 3))]


# --- linear algebra ------------------------------------------------------------------------------


def matrices(draw):
    """Square matrices far from singular."""
    shape = draw(st.sampled_from(MATRICES))
    return numbers(draw, shape, -1.0, 1.0) + 2.5 * np.eye(shape[-1])


def hermitian(xp, x):
    return 0.5 * (x + xp.conj(xp.matrix_transpose(x)))


@case("matmul", "linalg.matmul", complex_too=True)
def _(draw):
    shapes = draw(
        st.sampled_from(
            [
                ((2, 3), (3, 2)),
                ((3,), (3, 2)),
                ((2, 3), (3,)),
                ((3,), (3,)),
                ((2, 2, 3), (3, 1)),
            ]
        )
    )
    return (
        lambda xp, a, b: xp.matmul(a, b) + xp.linalg.matmul(a, b),
        [numbers(draw, shape) for shape in shapes],
    )


@case("vecdot", "linalg.vecdot", complex_too=True)
def _(draw):
    shapes, axis = draw(
        st.sampled_from([(((3,), (3,)), -1), (((2, 3), (3,)), -1), (((3, 2), (3, 1)), -2)])
    )
    return (
        lambda xp, a, b: xp.vecdot(a, b, axis=axis) + xp.linalg.vecdot(a, b, axis=axis),
        [numbers(draw, shape) for shape in shapes],
    )


@case("tensordot", "linalg.tensordot", complex_too=True)
def _(draw):
    shapes, axes = draw(
        st.sampled_from(
            [
                (((2, 3), (3, 2)), 1),
                (((2, 3), (2, 3)), 2),
                (((2, 3), (2,)), ((0,), (0,))),
                (((2,), (3,)), 0),
            ]
        )
    )
    return (
        lambda xp, a, b: xp.tensordot(a, b, axes=axes) + xp.linalg.tensordot(a, b, axes=axes),
        [numbers(draw, shape) for shape in shapes],
    )


@case("matrix_transpose", "linalg.matrix_transpose", complex_too=True)
def _(draw):
    x = numbers(draw, (2, 3))
    return lambda xp, x: xp.matrix_transpose(x) * xp.linalg.matrix_transpose(x), [x]


@case("linalg.outer", complex_too=True)
def _(draw):
    return of("linalg.outer"), [numbers(draw, (n,)) for n in (2, 3)]


@case("linalg.cross", complex_too=True)
def _(draw):
    shapes, axis = draw(
        st.sampled_from([(((3,), (3,)), -1), (((2, 3), (2, 3)), 1), (((3, 2), (3, 2)), 0)])
    )
    return (
        lambda xp, a, b: xp.linalg.cross(a, b, axis=axis),
        [numbers(draw, shape) for shape in shapes],
    )


@case("linalg.diagonal", "linalg.trace", complex_too=True)
def _(draw):
    k = draw(st.integers(-1, 1))

    def call(xp, x):
        return xp.linalg.diagonal(x, offset=k) * xp.linalg.trace(x, offset=k)[..., None]

    return call, [numbers(draw, (2, 2, 3))]


@case("linalg.trace")
def _(draw):
    return lambda xp, x: xp.linalg.trace(x, dtype=xp.complex128), [numbers(draw, (2, 3, 3))]


@case("linalg.inv", "linalg.det", complex_too=True)
def _(draw):
    def call(xp, x):
        return xp.linalg.inv(x) * xp.linalg.det(x)[..., None, None]

    return call, [matrices(draw)]


@case("linalg.slogdet", complex_too=True)
def _(draw):
    def call(xp, x):
        sign, logabsdet = xp.linalg.slogdet(x)
        return sign * (1.0 + logabsdet)

    return call, [matrices(draw)]


@case("linalg.solve", complex_too=True)
def _(draw):
    a = matrices(draw)
    b = numbers(draw, draw(st.sampled_from([a.shape[-1:], (a.shape[-1], 2)])))
    return of("linalg.solve"), [a, b]


@case("linalg.matrix_power", complex_too=True)
def _(draw):
    n = draw(st.sampled_from([-2, -1, 0, 1, 2, 5]))
    return lambda xp, x: xp.linalg.matrix_power(x, n), [0.5 * matrices(draw)]


@case("linalg.pinv", complex_too=True)
def _(draw):
    shape = draw(st.sampled_from([(3, 2), (2, 3), (2, 2)]))
    options = draw(st.sampled_from([{}, {"rtol": 1e-3}]))
    x = numbers(draw, shape) + 2.0 * np.eye(*shape)
    return lambda xp, x: xp.linalg.pinv(x, **options), [x]


@case("linalg.cholesky", complex_too=True)
def _(draw):
    upper = draw(st.booleans())
    return (
        lambda xp, x: xp.linalg.cholesky(hermitian(xp, x), upper=upper),
        [matrices(draw)],
    )


@case("linalg.eigh", "linalg.eigvalsh", complex_too=True)
def _(draw):
    def call(xp, x):
        w, v = xp.linalg.eigh(hermitian(xp, x))
        w = w + 0.5 * xp.linalg.eigvalsh(hermitian(xp, x))
        return xp.matmul(v * xp.sin(w)[..., None, :], xp.conj(xp.matrix_transpose(v)))

    shape = draw(st.sampled_from(MATRICES))
    spread = np.diag(3.0 * np.arange(shape[-1]))
    return call, [numbers(draw, shape, -0.5, 0.5) + spread]


@case("linalg.svd", "linalg.svdvals", complex_too=True)
def _(draw):
    def call(xp, x):
        u, s, vh = xp.linalg.svd(x, full_matrices=False)
        s = s + 0.5 * xp.linalg.svdvals(x)
        return xp.matmul(u * xp.sin(s)[..., None, :], vh)

    shape = draw(st.sampled_from([(2, 2), (3, 2), (2, 3), (2, 2, 2)]))
    spread = np.zeros(shape[-2:])
    np.fill_diagonal(spread, [1.5, 4.0])
    return call, [numbers(draw, shape, -0.4, 0.4) + spread]


def spread(draw):
    shape = draw(st.sampled_from(MATRICES))
    return numbers(draw, shape, -0.4, 0.4) + np.diag(2.0 * np.arange(shape[-1]))


@case("linalg.eigvals", complex_too=True)
def _(draw):
    def call(xp, x):
        w = xp.linalg.eigvals(x)
        return xp.sum(xp.sin(w) * w, axis=-1)  # their order depends on the library

    return call, [spread(draw)]


@case("linalg.eig", complex_too=True)
def _(draw):
    def call(xp, x):
        w, v = xp.linalg.eig(x)
        return xp.matmul(v * xp.sin(w)[..., None, :], xp.linalg.inv(v)) + xp.abs(v)

    return call, [spread(draw)]


@case("linalg.vector_norm", complex_too=True)
def _(draw):
    shape = draw(st.sampled_from([(3,), (2, 3), (2, 1, 2)]))
    options = {
        "axis": axis_of(draw, shape),
        "keepdims": draw(st.booleans()),
        "ord": draw(st.sampled_from([1, 2, 3.5, float("inf"), float("-inf")])),
    }
    return lambda xp, x: xp.linalg.vector_norm(x, **options), [numbers(draw, shape)]


@case("linalg.matrix_norm", complex_too=True)
def _(draw):
    options = {
        "keepdims": draw(st.booleans()),
        "ord": draw(st.sampled_from(["fro", "nuc", 1, -1, 2, -2, float("inf"), -float("inf")])),
    }
    x = numbers(draw, draw(st.sampled_from([(2, 2), (3, 2), (2, 2, 3)])))
    x[..., 0, 0] += 4.0
    return lambda xp, x: xp.linalg.matrix_norm(x, **options), [x]


@case("linalg.qr", complex_too=True)
def _(draw):
    def call(xp, x):
        q, r = xp.linalg.qr(x)
        return xp.matmul(xp.sin(q), xp.tanh(r))

    shape = draw(st.sampled_from([(2, 2), (3, 2), (2, 3, 3)]))
    return call, [numbers(draw, shape, -0.5, 0.5) + 2.0 * np.eye(*shape[-2:])]


@case("linalg.qr")
def _(draw):
    """Of a square matrix, "complete" is "reduced"."""

    def call(xp, x):
        q, r = xp.linalg.qr(x, mode="complete")
        return xp.matmul(xp.sin(q), xp.tanh(r))

    return call, [numbers(draw, (3, 3), -0.5, 0.5) + 2.0 * np.eye(3)]


# --- Fourier transforms --------------------------------------------------------------------------

NORMS = st.sampled_from(["backward", "ortho", "forward"])
ONE_AXIS = ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"]
SEVERAL_AXES = ["fftn", "ifftn", "rfftn", "irfftn"]
FROM_REAL = ["rfft", "ihfft", "rfftn"]


def _transform(name):
    @case(f"fft.{name}", kinds=(float if name in FROM_REAL else complex,))
    def _(draw):
        options = {"norm": draw(NORMS)}
        if name in ONE_AXIS:
            options["axis"] = draw(st.sampled_from([0, -1]))
            options["n"] = draw(st.sampled_from([None, 3, 4, 6]))
        else:
            options["axes"], options["s"] = draw(
                st.sampled_from(
                    [(None, None), ((0, 1), None), ((0, 1), (4, 3)), ((1,), (6,)), ((1, 0), (3, 5))]
                )
            )
        x = numbers(draw, draw(st.sampled_from([(3, 4), (4, 5)])))
        return lambda xp, x: of(f"fft.{name}")(xp, x, **options), [x]


for _name in (*ONE_AXIS, *SEVERAL_AXES):
    _transform(_name)


@case("fft.fftshift", "fft.ifftshift")
def _(draw):
    axes = draw(st.sampled_from([None, 0, -1, (0, 1)]))
    return (
        lambda xp, x: xp.fft.fftshift(x, axes=axes) * xp.fft.ifftshift(x, axes=axes),
        [numbers(draw, (3, 4))],
    )


# --- special functions ---------------------------------------------------------------------------

SPECIAL = {  # name: where its arguments lie
    "beta": [(0.3, 3.0)] * 2, "betaln": [(0.3, 3.0)] * 2, "digamma": [(0.4, 4.0)],
    "entr": [(0.2, 2.0)], "erf": [(-2.0, 2.0)], "erfc": [(-2.0, 2.0)], "erfcx": [(-1.5, 3.0)],
    "erfinv": [(-0.9, 0.9)], "expit": [(-3.0, 3.0)], "gammaln": [(0.4, 4.0)],
    "i0": [(-3.0, 3.0)], "i0e": [(0.2, 5.0)], "i1": [(-3.0, 3.0)], "i1e": [(0.2, 5.0)],
    "kl_div": [(0.2, 2.0)] * 2, "log_ndtr": [(-6.0, 3.0)], "logit": [(0.1, 0.9)],
    "ndtr": [(-3.0, 3.0)], "ndtri": [(0.1, 0.9)], "psi": [(0.4, 4.0)],
    "rel_entr": [(0.2, 2.0)] * 2, "xlog1py": [(-2.0, 2.0), (-0.6, 2.0)],
    "xlogy": [(-2.0, 2.0), (0.3, 2.0)],
}  # fmt: skip
BY_THE_STANDARD = {"entr", "expit", "kl_div", "log_ndtr", "logit", "ndtr", "rel_entr"}
BY_THE_STANDARD |= {"xlog1py", "xlogy"}
"""Computed from functions of the standard; all others, by the library's special functions."""


THEIR_SPECIAL = {"jax.numpy": "jax.scipy.special", "array_api_compat.numpy": "scipy.special"}


def special(xp):
    """The special functions that belong to a namespace: JAX's, SciPy's, or xpnet's."""
    theirs = THEIR_SPECIAL.get(xp.__name__)
    return import_module(theirs) if theirs else xp.special


def _special(name, bounds):
    @case(f"special.{name}")
    def _(draw):
        shapes = draw(_one if len(bounds) == 1 else _two)
        xs = [numbers(draw, shape, *b) for shape, b in zip(shapes, bounds, strict=True)]
        return lambda xp, *xs: getattr(special(xp), name)(*xs), xs


for _name, _bounds in SPECIAL.items():
    _special(_name, _bounds)


@case("special.digamma", "special.gammaln", "special.psi")
def _(draw):
    def call(xp, x):
        found = special(xp)
        digamma = getattr(found, "psi", found.digamma)
        return found.gammaln(x) * (1.0 + found.digamma(x) * digamma(x))

    return call, [numbers(draw, (2, 3), -1.8, -1.2)]


@case("special.i0e", "special.i1e")
def _(draw):
    return (
        lambda xp, x: special(xp).i0e(x) * special(xp).i1e(x),
        [draw(st.sampled_from([-1.0, 1.0])) * numbers(draw, (3,), 25.0, 35.0)],
    )


@case("special.polygamma")
def _(draw):
    n = draw(st.integers(0, 3))
    return lambda xp, x: special(xp).polygamma(n, x), [numbers(draw, (2, 3), 0.6, 4.0)]


@case("special.gammainc", "special.gammaincc")
def _(draw):
    a = draw(st.sampled_from([0.5, 1.0, 2.5]))

    def call(xp, x):
        found = special(xp)
        return found.gammainc(a, x) * (2.0 + found.gammaincc(a, x))

    return call, [numbers(draw, (2, 3), 0.3, 4.0)]


for _name in [*SPECIAL.keys() - BY_THE_STANDARD, "polygamma", "gammainc", "gammaincc"]:
    LACKS[f"special.{_name}", "array_api_strict"] = "array-api-strict has no special functions"

# --- what has no derivative ----------------------------------------------------------------------

X = np.asarray([[-1.5, 0.0, 2.0], [2.0, -0.5, 0.0]])
N = np.asarray([[6, 3, 0], [5, 2, 1]])
B = np.asarray([[True, False, True], [False, False, True]])

CONSTANT = {  # name: the arrays of a call, and its parameters
    **{name: ([X], {}) for name in ("ceil", "floor", "round", "signbit", "trunc")},
    **{name: ([X], {}) for name in ("isfinite", "isinf", "isnan")},
    **{name: ([X, X[0]], {}) for name in ("equal", "greater", "greater_equal", "less")},
    **{name: ([X, X[0]], {}) for name in ("less_equal", "not_equal")},
    **{f"bitwise_{name}": ([N, N[1]], {}) for name in ("and", "or", "xor")},
    **{f"bitwise_{name}_shift": ([N, N[1]], {}) for name in ("left", "right")},
    **{f"logical_{name}": ([B, B[0]], {}) for name in ("and", "or", "xor")},
    "floor_divide": ([X, np.asarray([0.5, 1.5, -1.0])], {}),
    "bitwise_invert": ([N], {}),
    "logical_not": ([B], {}),
    "all": ([X], {"axis": 1, "keepdims": True}),
    "any": ([X], {"axis": 0, "keepdims": True}),
    "argmax": ([X], {"axis": 1, "keepdims": True}),
    "argmin": ([X], {"axis": 0, "keepdims": True}),
    "argsort": ([X], {"axis": 0, "descending": True, "stable": False}),
    "count_nonzero": ([X], {"axis": 0, "keepdims": True}),
    "isin": ([N, np.asarray([1, 3])], {"invert": True}),
    "nonzero": ([X], {}),
    "searchsorted": (
        [np.asarray([2.0, -1.0, 0.0]), np.asarray([0.0, 0.5])],
        {"side": "right", "sorter": np.asarray([1, 2, 0])},
    ),
    "linalg.matrix_rank": ([np.asarray([[1.0, 2.0], [2.0, 4.1]])], {"rtol": 0.1}),
}

STRUCTURAL = {  # name: a call, of a namespace and a float array of it
    "arange": lambda xp, x: xp.arange(1.0, 3.0, 0.5, dtype=x.dtype, device=x.device),
    "asarray": lambda xp, x: xp.asarray([[1.0, 2.0]], dtype=x.dtype, device=x.device, copy=True),
    "empty": lambda xp, x: xp.empty((0, 2), dtype=x.dtype, device=x.device),
    "empty_like": lambda xp, x: xp.empty_like(x[:0, ...], dtype=xp.int32, device=x.device),
    "eye": lambda xp, x: xp.eye(2, 3, k=1, dtype=x.dtype, device=x.device),
    "fft.fftfreq": lambda xp, x: xp.fft.fftfreq(5, d=0.5, dtype=x.dtype, device=x.device),
    "fft.rfftfreq": lambda xp, x: xp.fft.rfftfreq(5, d=0.5, dtype=x.dtype, device=x.device),
    "from_dlpack": lambda xp, x: xp.from_dlpack(x),
    "full": lambda xp, x: xp.full((2,), 7.0, dtype=x.dtype, device=x.device),
    "full_like": lambda xp, x: xp.full_like(x, 7, dtype=xp.int32, device=x.device),
    "linspace": lambda xp, x: xp.linspace(
        0.0, 1.0, 5, dtype=x.dtype, device=x.device, endpoint=False
    ),
    "ones": lambda xp, x: xp.ones((2, 3), dtype=x.dtype, device=x.device),
    "ones_like": lambda xp, x: xp.ones_like(x, dtype=xp.int32, device=x.device),
    "zeros": lambda xp, x: xp.zeros(3, dtype=x.dtype, device=x.device),
    "zeros_like": lambda xp, x: xp.zeros_like(x, dtype=xp.int32, device=x.device),
    "broadcast_shapes": lambda xp, x: xp.broadcast_shapes((2, 1), (3,), (2, 1)),
    "can_cast": lambda xp, x: xp.can_cast(x.dtype, xp.complex128),
    "finfo": lambda xp, x: float(xp.finfo(x.dtype).eps),
    "iinfo": lambda xp, x: int(xp.iinfo(xp.int8).max),
    "isdtype": lambda xp, x: xp.isdtype(x.dtype, ("real floating", xp.int8)),
    "result_type": lambda xp, x: xp.result_type(x, xp.complex64),
    "__array_namespace_info__": lambda xp, x: sorted(
        xp.__array_namespace_info__().dtypes(kind="real floating")
    ),
}
