"""Calls of NumPy's functions: each is run on NumPy's arrays, and on Variables of each library.

A case is a function of a few arrays. NumPy's own answer is what Variables are compared with.
`CASES` has several cases for each implemented function, and `UFUNCS` for each ufunc.
"""

import numpy as np

rng = np.random.default_rng(0)
V = rng.uniform(0.3, 2.0, 5)
W = rng.uniform(0.3, 2.0, 5)
X = rng.normal(size=(2, 3))
Y = rng.normal(size=(2, 3))
T = rng.normal(size=(2, 3, 4))
ROWS = rng.normal(size=(3, 4))
SQUARE = rng.normal(size=(3, 3)) + 3.0 * np.eye(3)
POSITIVE = SQUARE @ SQUARE.T
VECTORS = rng.normal(size=(2, 3))
SIGNED = np.asarray([-1.7, -0.4, 0.6, 1.3])
HOLES = np.asarray([[1.0, np.nan, 3.0], [0.5, 2.0, np.nan]])
MASK = [[True, False, True], [True, True, False]]
PRESENT = MASK
REST = [[False, True, False], [False, False, True]]
SIGNAL = rng.normal(size=6)
MATRIX = rng.normal(size=(4, 6))
TIMES = np.asarray([0.0, 0.3, 1.0, 1.4, 2.0])
UNIT = rng.uniform(-0.8, 0.8, 5)


def many(*cases):
    """The cases of a function: a call and its arrays."""
    return [(case[0], [np.array(x) for x in case[1:]]) for case in cases]


def written(y, x):
    """y, after numbers of x were written into it."""
    y[1] = x[0] * x[1]
    for i in range(2, 4):
        y[i] = y[i - 1] + x[i] ** 2
    return y


def changed(x, change):
    """A copy of x, after a function has written into it."""
    y = np.copy(x)
    change(y)
    return y


WINDOWS = np.lib.stride_tricks.sliding_window_view


UNARY = {
    "absolute": SIGNED, "arccos": UNIT, "arccosh": V + 1.0, "arcsin": UNIT, "arcsinh": SIGNED,
    "arctan": SIGNED, "arctanh": UNIT, "cbrt": SIGNED, "conjugate": SIGNED, "cos": SIGNED,
    "cosh": SIGNED, "deg2rad": SIGNED, "degrees": SIGNED, "exp": SIGNED, "exp2": SIGNED,
    "expm1": SIGNED, "fabs": SIGNED, "log": V, "log10": V, "log1p": V, "log2": V,
    "negative": SIGNED, "positive": SIGNED, "rad2deg": SIGNED, "radians": SIGNED, "reciprocal": V,
    "sin": SIGNED, "sinh": SIGNED, "sqrt": V, "square": SIGNED, "tan": SIGNED, "tanh": SIGNED,
}  # fmt: skip
BINARY = {
    "add": (V, W), "arctan2": (V, W), "copysign": (SIGNED, -SIGNED), "divide": (V, W),
    "float_power": (V, W), "fmax": (V, W), "fmin": (V, W), "fmod": (SIGNED * 5, V[:4]),
    "hypot": (V, W), "logaddexp": (V, W), "logaddexp2": (V, W), "matmul": (X, ROWS),
    "matvec": (X, ROWS[:, 0]), "maximum": (V, W), "minimum": (V, W), "multiply": (X, Y),
    "nextafter": (V, W), "power": (V, W), "remainder": (SIGNED * 5, V[:4]), "subtract": (X, Y[0]), "vecdot": (X, Y),
    "vecmat": (ROWS[:, 0], ROWS),
}  # fmt: skip
STEPS = {
    "ceil": (SIGNED,), "equal": (V, W), "floor": (SIGNED,), "floor_divide": (SIGNED * 5, V[:4]),
    "greater": (V, W), "greater_equal": (V, W), "isfinite": (HOLES,), "isinf": (HOLES,),
    "isnan": (HOLES,), "less": (V, W), "less_equal": (V, W), "logical_and": (V, W),
    "logical_not": (V,), "logical_or": (V, W), "logical_xor": (V, W),
    "not_equal": (V, W), "rint": (SIGNED,), "sign": (SIGNED,), "signbit": (SIGNED,),
    "trunc": (SIGNED,),
}  # fmt: skip
INTEGERS = {
    "bitwise_and": 2, "bitwise_or": 2, "bitwise_xor": 2, "invert": 1, "left_shift": 2,
    "right_shift": 2,
}  # fmt: skip
OTHER_UFUNCS = {
    "divmod": many((lambda x, y: np.divmod(x, y)[1], SIGNED * 5, V[:4])),
    "heaviside": many((lambda x, y: np.heaviside(x, y) * x * y, SIGNED, V[:4])),
    "ldexp": many((lambda x: np.ldexp(x, 3), V)),
    "add.at": many(
        (lambda x, v: changed(x, lambda y: np.add.at(y, [0, 1, 1, 2, 0], v)), V, W),
        (lambda x: changed(x, lambda y: np.add.at(y, ([0, 1, 1], [2, 2, 2]), 1.0)), X),
        (lambda x, v: changed(x, lambda y: np.add.at(y, (slice(None), 1), v)), X, V[:2]),
        (lambda x, v: changed(x, lambda y: np.subtract.at(y, [0, 3, 0], v[:3] * v[0])), V, W),
    ),
    "modf": many((lambda x: np.modf(x)[0], SIGNED)),
}


def holes(x):
    """x with some elements NaN."""
    return np.where(PRESENT, x, np.nan)


CASES = {
    # reductions
    "sum": many(
        (lambda x: np.sum(x), X),
        (lambda x: np.sum(x, 0), X),
        (lambda x: np.sum(x, axis=(0, 2), keepdims=True), T),
        (lambda x: np.sum(x, 1, None, None, True), X),
        (lambda x: np.sum(x, axis=0, initial=2.0, where=MASK), X),
        (lambda x: np.sum(x, dtype=float), X),
    ),
    "prod": many(
        (lambda x: np.prod(x, axis=1), X),
        (lambda x: np.prod(x, initial=2.0, where=MASK), X),
    ),
    "max": many(
        (lambda x: np.max(x, axis=1), X),
        (lambda x: np.max(x, axis=1, initial=0.1), X),
        (lambda x: np.max(x, axis=0, initial=-9.0, where=MASK, keepdims=True), X),
    ),
    "min": many((lambda x: np.min(x, 1), X), (lambda x: np.min(x, initial=-0.1), X)),
    "amax": many((lambda x: np.amax(x, axis=0), X)),
    "amin": many((lambda x: np.amin(x, axis=0, keepdims=True), X)),
    "mean": many(
        (lambda x: np.mean(x), X),
        (lambda x: np.mean(x, axis=1, keepdims=True), X),
        (lambda x: np.mean(x, 0, np.float64), X),
        (lambda x: np.mean(x, axis=0, where=[[True, True, True], [True, False, False]]), X),
    ),
    "var": many(
        (lambda x: np.var(x, axis=1, ddof=1), X),
        (lambda x: np.var(x, axis=1, where=MASK), X),
        (lambda x, y: np.var(x + 1j * y), X, Y),
    ),
    "std": many(
        (lambda x: np.std(x, axis=1, ddof=1, keepdims=True), X),
        (lambda x: np.std(x, where=MASK), X),
        (lambda x: np.std(x, correction=1), X),
    ),
    "ptp": many((lambda x: np.ptp(x, axis=1), X)),
    "average": many(
        (lambda x: np.average(x, axis=1), X),
        (lambda x, w: np.average(x, axis=0, weights=w), X, V[:2]),
        (lambda x, w: np.average(x, weights=w, returned=True)[0], X, np.abs(Y)),
    ),
    "median": many((lambda x: np.median(x), X), (lambda x: np.median(x, axis=1, keepdims=True), X)),
    "quantile": many(
        (lambda x: np.quantile(x, 0.3), X),
        (lambda x: np.quantile(x, [0.25, 1.0], axis=1), X),
        (lambda x: np.quantile(x, 0.6, axis=(0, 2), keepdims=True), T),
    ),
    "percentile": many(
        (lambda x: np.percentile(x, 40, axis=0), X),
        (lambda x: np.percentile(x, np.asarray([10.0, 50.0])), X),
    ),
    "cumsum": many((lambda x: np.cumsum(x), X), (lambda x: np.cumsum(x, axis=1), X)),
    "cumprod": many((lambda x: np.cumprod(x), X), (lambda x: np.cumprod(x, axis=0), X)),
    "cumulative_sum": many((lambda x: np.cumulative_sum(x, axis=1, include_initial=True), X)),
    "cumulative_prod": many((lambda x: np.cumulative_prod(x, axis=1), X)),
    "nansum": many((lambda x: np.nansum(holes(x), axis=1), X)),
    "nanprod": many((lambda x: np.nanprod(holes(x), axis=1), X)),
    "nancumsum": many((lambda x: np.nancumsum(holes(x)), X)),
    "nancumprod": many((lambda x: np.nancumprod(holes(x), axis=1), X)),
    "nanmax": many((lambda x: np.nanmax(holes(x), axis=1), X)),
    "nanmin": many((lambda x: np.nanmin(holes(x), axis=1, keepdims=True), X)),
    "nanmean": many(
        (lambda x: np.nanmean(holes(x), axis=1), X),
        (lambda x: np.nanmean(holes(x), where=[True, True, False]), X),
    ),
    "nanmedian": many(
        (lambda x: np.nanmedian(holes(x)), X),
        (lambda x: np.nanmedian(holes(x), axis=1, keepdims=True), X),
    ),
    "nanquantile": many(
        (lambda x: np.nanquantile(holes(x), [0.2, 0.7, 1.0], axis=1), X),
        (lambda x: np.nanquantile(holes(x), 0.3, axis=0), X),
    ),
    "nanpercentile": many(
        (lambda x: np.nanpercentile(holes(x), [25, 50]), X),
        (lambda x: np.nanpercentile(holes(x), 25, axis=1), X),
    ),
    "bincount": many(
        (lambda w: np.bincount([0, 1, 1, 2, 5], weights=w), V),
        (lambda w: np.bincount([0, 1, 1, 2, 0], w, 8), V),
        (lambda w: np.bincount([True, False, True, True, False], w), V),
    ),
    "nanvar": many((lambda x: np.nanvar(holes(x), axis=1, ddof=1), X)),
    "nanstd": many((lambda x: np.nanstd(holes(x), axis=1), X)),
    "diff": many(
        (lambda x: np.diff(x), X),
        (lambda x: np.diff(x, 2, axis=1, prepend=0.0), X),
        (lambda x, y: np.diff(x, axis=0, append=y), X, Y),
    ),
    "ediff1d": many((lambda x: np.ediff1d(x), X), (lambda x: np.ediff1d(x, 9.0, [1.0, 2.0]), X)),
    "trapezoid": many(
        (lambda y: np.trapezoid(y, dx=0.5), X),
        (lambda y, x: np.trapezoid(y, x), V, TIMES),
        (lambda y: np.trapezoid(y, [0.0, 1.5], axis=0), X),
    ),
    "gradient": many(
        (lambda x: np.gradient(x, axis=1), X),
        (lambda x: np.gradient(x, 0.5)[1], X),
        (lambda x, t: np.gradient(x, t, edge_order=2), V, TIMES),
        (lambda x: np.gradient(x, TIMES.tolist()), V),
    ),
    # shapes
    "reshape": many(
        (lambda x: np.reshape(x, (3, 2)), X),
        (lambda x: np.reshape(x, -1), X),
        (lambda x: np.reshape(x, (3, 2), order="F"), X),
    ),
    "ravel": many((lambda x: np.ravel(x), X), (lambda x: np.ravel(x, order="F"), X)),
    "transpose": many((lambda x: np.transpose(x), T), (lambda x: np.transpose(x, (1, 0, 2)), T)),
    "matrix_transpose": many((lambda x: np.matrix_transpose(x), T)),
    "swapaxes": many((lambda x: np.swapaxes(x, 0, -1), T)),
    "moveaxis": many(
        (lambda x: np.moveaxis(x, 0, -1), T), (lambda x: np.moveaxis(x, (0, 1), (1, 2)), T)
    ),
    "rollaxis": many((lambda x: np.rollaxis(x, 2), T), (lambda x: np.rollaxis(x, 0, 2), T)),
    "expand_dims": many((lambda x: np.expand_dims(x, (0, 2)), X)),
    "squeeze": many(
        (lambda x: np.squeeze(x[None, ...]), X), (lambda x: np.squeeze(x[None, ...], 0), X)
    ),
    "broadcast_to": many((lambda x: np.broadcast_to(x, (2, 5)), V)),
    "broadcast_arrays": many((lambda x, y: np.broadcast_arrays(x, y)[0], V, W[:1])),
    "atleast_1d": many((lambda x: np.atleast_1d(x[0]), V)),
    "atleast_2d": many((lambda x: np.atleast_2d(x), V)),
    "atleast_3d": many((lambda x: np.atleast_3d(x), V), (lambda x: np.atleast_3d(x), X)),
    "concatenate": many(
        (lambda x, y: np.concatenate([x, y]), X, Y),
        (lambda x, y: np.concatenate((x, y), axis=1), X, Y),
        (lambda x, y: np.concatenate([x, y], axis=None), X, V),
        (lambda x: np.concatenate([x, [1.0, 2.0]]), V),
    ),
    "stack": many((lambda x, y: np.stack([x, y], axis=1), X, Y)),
    "vstack": many(
        (lambda x, y: np.vstack([x, y]), V, W), (lambda x: np.vstack([x, [[1, 2, 3]]]), X)
    ),
    "hstack": many((lambda x, y: np.hstack([x, y]), V, W), (lambda x, y: np.hstack([x, y]), X, Y)),
    "dstack": many((lambda x, y: np.dstack([x, y]), V, W), (lambda x, y: np.dstack([x, y]), X, Y)),
    "column_stack": many((lambda x, y: np.column_stack([x, y]), V, W)),
    "append": many(
        (lambda x, y: np.append(x, y), X, V), (lambda x, y: np.append(x, y, axis=0), X, Y)
    ),
    "block": many(
        (lambda x, y: np.block([x, y]), X, Y),
        (lambda x, y: np.block([[x, y], [y, 2.0 * x]]), X, Y),
        (lambda x: np.block([x, 3.0]), V),
    ),
    "array_split": many(
        (lambda x: np.array_split(x, 3)[1], V), (lambda x: np.array_split(x, [1, 2], axis=1)[2], X)
    ),
    "split": many(
        (lambda x: np.split(x, 2)[1], X),
        (lambda x: np.split(x, np.int64(2))[1], X),
        (lambda x: np.split(x, [1], axis=1)[1], X),
    ),
    "hsplit": many((lambda x: np.hsplit(x, 3)[1], X), (lambda x: np.hsplit(x, [2])[1], V)),
    "vsplit": many((lambda x: np.vsplit(x, 2)[0], X)),
    "dsplit": many((lambda x: np.dsplit(x, 2)[1], T)),
    "unstack": many((lambda x: np.unstack(x, axis=1)[1], X)),
    "flip": many((lambda x: np.flip(x), X), (lambda x: np.flip(x, 1), X)),
    "fliplr": many((lambda x: np.fliplr(x), X)),
    "flipud": many((lambda x: np.flipud(x), X)),
    "rot90": many(
        *((lambda x, k=k: np.rot90(x, k), X) for k in (0, 1, 2, 3)),
        (lambda x: np.rot90(x, 1, (1, 2)), T),
    ),
    "roll": many((lambda x: np.roll(x, 2), X), (lambda x: np.roll(x, (1, 2), axis=(0, 1)), X)),
    "tile": many((lambda x: np.tile(x, 2), X), (lambda x: np.tile(x, (2, 1, 2)), X)),
    "repeat": many((lambda x: np.repeat(x, 2), X), (lambda x: np.repeat(x, [1, 2, 0], axis=1), X)),
    "tril": many((lambda x: np.tril(x), SQUARE), (lambda x: np.tril(x, -1), V)),
    "triu": many((lambda x: np.triu(x, 1), SQUARE)),
    "meshgrid": many(
        (lambda x, y: np.meshgrid(x, y)[0], V, W[:2]),
        (lambda x, y: np.meshgrid(x, y, indexing="ij")[1], V, W[:2]),
    ),
    "diagonal": many((lambda x: np.diagonal(x), SQUARE), (lambda x: np.diagonal(x, 1, 1, 2), T)),
    "trace": many((lambda x: np.trace(x), SQUARE), (lambda x: np.trace(x, 1, 0, 2), T)),
    "diag": many(
        (lambda x: np.diag(x), SQUARE), (lambda x: np.diag(x, 1), V), (lambda x: np.diag(x, -2), V)
    ),
    "diagflat": many((lambda x: np.diagflat(x), X)),
    "pad": many(
        (lambda x: np.pad(x, 1), X),
        (lambda x: np.pad(x, ((1, 0), (2, 1)), constant_values=3.0), X),
        (lambda x: np.pad(x, (2, 1), constant_values=(1.0, 2.0)), V),
        *(
            (lambda x, m=m: np.pad(x, ((1, 0), (2, 1)), mode=m), X)
            for m in ("edge", "reflect", "symmetric", "wrap")
        ),
        *((lambda x, m=m: np.pad(x, 7, mode=m), V[:3]) for m in ("reflect", "symmetric", "wrap")),
    ),
    "delete": many(
        (lambda x: np.delete(x, [1, -1]), V),
        (lambda x: np.delete(x, slice(1), axis=1), X),
        (lambda x: np.delete(x, 0, 0), X),
        (lambda x: np.delete(x, np.asarray([0, 2])), V),
        (lambda x: np.delete(x, [True, False, True], axis=1), X),
    ),
    "insert": many(
        (lambda x: np.insert(x, 1, 5.0), V),
        (lambda x: np.insert(x, -1, [1.0, 2.0]), V),
        (lambda x: np.insert(x, 5, 9.0), V),
        (lambda x: np.insert(x, 1, 9.0), X),
        (lambda x: np.insert(x, [2, 2, 0], [1.0, 2.0, 3.0]), V),
        (lambda x: np.insert(x, slice(1, 4), 7.0), V),
        (lambda x: np.insert(x, x > 1.0, 7.0), V),
        (lambda x, y: np.insert(x, 1, y, axis=0), X, V[:3]),
        (lambda x, y: np.insert(x, 1, y, axis=1), X, V[:2]),
        (lambda x, y: np.insert(x, [1], y, axis=1), X, V[:2, None]),
        (lambda x: np.insert(x, np.asarray([1, 1]), 9.0, axis=1), X),
    ),
    "lib.stride_tricks.sliding_window_view": many(
        (lambda x: WINDOWS(x, 3), V),
        (lambda x: WINDOWS(x, (2, 2)), X),
        (lambda x: WINDOWS(x, 2, axis=1), T),
        (lambda x: WINDOWS(x, (2, 1), axis=(-2, 1)), T),
    ),
    "apply_along_axis": many(
        (lambda x: np.apply_along_axis(lambda row: np.sum(row**2), 1, x), X),
        (lambda x: np.apply_along_axis(np.cumsum, 0, x), X),
        (lambda x: np.apply_along_axis(lambda row: [row[0], row[1] ** 2], 1, x), X),
        (lambda x: np.apply_along_axis(lambda row: 2.0, 0, x) + x, X),
        (lambda x: np.apply_along_axis(lambda row, k: np.outer(row, row) * k, 1, x, 2.0), T),
    ),
    "copyto": many(
        (lambda x: changed(x, lambda y: np.copyto(y, x**2)), X),
        (lambda x: changed(x, lambda y: np.copyto(y, x**2, where=MASK)), X),
        (lambda x: changed(x, lambda y: np.copyto(y, 2.0, where=[True, False, True])), X),
    ),
    "fill_diagonal": many(
        (lambda x: changed(x, lambda y: np.fill_diagonal(y, x[0, 0] ** 2)), SQUARE),
        (lambda x, v: changed(x, lambda y: np.fill_diagonal(y, v)), X, V[:2]),
        (lambda x, v: changed(x, lambda y: np.fill_diagonal(y, v)), SQUARE, V[:2]),
        (lambda x: changed(x, lambda y: np.fill_diagonal(y, 2.0)), T[:, :2, :2]),
    ),
    "putmask": many(
        (lambda x: changed(x, lambda y: np.putmask(y, x > 0, 0.0)), X),
        (lambda x, v: changed(x, lambda y: np.putmask(y, x > 0, v)), X, V),
    ),
    "place": many(
        (lambda x, v: changed(x, lambda y: np.place(y, x > 0, v)), X, V[:2]),
        (lambda x: changed(x, lambda y: np.place(y, MASK, [0.5])), X),
    ),
    "copy": many((lambda x: np.copy(x), X)),
    "astype": many((lambda x: np.astype(x, np.float64), X)),
    # choosing
    "where": many(
        (lambda x, y: np.where(MASK, x, y), X, Y),
        (lambda x: np.where([True, False, True], x, 0.0), X),
    ),
    "select": many((lambda x, y: np.select([MASK, REST], [x, y * 2.0], 7.0), X, Y)),
    "piecewise": many(
        (lambda x: np.piecewise(x, [x < 0, x >= 0], [lambda t: -(t**3), np.sqrt]), SIGNED),
        (lambda x: np.piecewise(x, [x < 0], [lambda t: -(t**3), np.cos]), SIGNED),
        (lambda x: np.piecewise(x, x < 0, [1.5, lambda t, k: t**k], 2.0), SIGNED),
        (lambda x: np.piecewise(x, [x < 0, x > 1], [np.sin, np.exp, 5.0]), SIGNED),
        (lambda x: np.piecewise(x, [x < 0, x < 10], [np.sin, np.cos]), X),
        (lambda x: np.piecewise(x, [True, False, True, False], [np.sin, np.cos]), SIGNED),
        (lambda x: np.piecewise(x, [x < 0, x >= 0], [np.cos, lambda t: t**2]), 1.5),
        (lambda x: np.piecewise(x, [x > 9.0], [np.cos]) + x, V),
    ),
    "choose": many((lambda x, y: np.choose([[0, 1, 1], [1, 0, 0]], [x, y]), X, Y)),
    "compress": many((lambda x: np.compress([True, False, True], x, axis=1), X)),
    "extract": many((lambda x: np.extract(MASK, x), X)),
    "clip": many(
        (lambda x: np.clip(x, -0.5, 0.5), X),
        (lambda x: np.clip(x, None, 0.5), X),
        (lambda x: np.clip(x, min=-0.2), X),
        (lambda x, y: np.clip(x, y, 3.0), X, Y),
    ),
    "nan_to_num": many((lambda x: np.nan_to_num(holes(x), nan=1.5), X)),
    "take": many(
        (lambda x: np.take(x, [2, 0, 2]), X),
        (lambda x: np.take(x, [[1, 0]], axis=1), X),
        (lambda x: np.take(x, 1, axis=1), X),
        (lambda x: np.take(x, [5, -4], axis=1, mode="wrap"), X),
        (lambda x: np.take(x, [5, -4], axis=1, mode="clip"), X),
    ),
    "take_along_axis": many((lambda x: np.take_along_axis(x, np.argsort(x, axis=1), axis=1), X)),
    "sort": many(
        (lambda x: np.sort(x), X),
        (lambda x: np.sort(x, axis=None), X),
        (lambda x: np.sort(x, 0, kind="stable"), X),
    ),
    "partition": many((lambda x: np.partition(x, 2, axis=None)[2], X)),
    "sort_complex": many((lambda x: np.sort_complex(x), V)),
    "union1d": many((lambda x, y: np.union1d(x, y), X, V)),
    "unique": many(
        (lambda x: np.unique(x), X), (lambda x: np.unique(x, return_inverse=True)[0], X)
    ),
    "unique_all": many((lambda x: np.unique_all(x).values, X)),
    "unique_counts": many((lambda x: np.unique_counts(x).values, X)),
    "unique_inverse": many((lambda x: np.unique_inverse(x).values, X)),
    "unique_values": many((lambda x: np.sort(np.unique_values(x)), X)),
    "real": many((lambda x, y: np.real((x + 1j * y) ** 2), X, Y), (lambda x: np.real(x), X)),
    "imag": many((lambda x, y: np.imag((x + 1j * y) ** 2), X, Y)),
    "real_if_close": many(
        (lambda x: np.real_if_close(x + 0j), X), (lambda x: np.real_if_close(x), X)
    ),
    "angle": many(
        (lambda x, y: np.angle(x + 1j * y), X, Y),
        (lambda x, y: np.angle(x + 1j * y, deg=True), X, Y),
    ),
    "sinc": many((lambda x: np.sinc(x), X), (lambda x: np.sinc(x), [0.0, 0.01, -0.029, 0.031])),
    # products
    "dot": many(
        (lambda x, y: np.dot(x, y), V, W),
        (lambda x, y: np.dot(x, y), X, ROWS),
        (lambda x, y: np.dot(x, y), X, np.moveaxis(T, 1, 1)),
        (lambda x: np.dot(x, 3.0), X),
        (lambda x: np.dot(x, [1.0, 2.0, 3.0]), X),
    ),
    "inner": many((lambda x, y: np.inner(x, y), X, Y), (lambda x, y: np.inner(x, y), V, W)),
    "outer": many((lambda x, y: np.outer(x, y), X, V)),
    "vdot": many((lambda x, y: np.vdot(x, y), X, Y)),
    "tensordot": many(
        (lambda x, y: np.tensordot(x, y, axes=1), X, ROWS),
        (lambda x, y: np.tensordot(x, y, axes=np.int64(1)), X, ROWS),
        (lambda x, y: np.tensordot(x, y, axes=(1, 0)), X, ROWS),
    ),
    "kron": many((lambda x, y: np.kron(x, y), X, VECTORS), (lambda x, y: np.kron(x, y), V, X)),
    "cross": many(
        (lambda x, y: np.cross(x, y), X, Y), (lambda x, y: np.cross(x, y, axis=0), X.T, Y.T)
    ),
    "einsum": many(
        (lambda x, y: np.einsum("ij,jk->ik", x, y), X, ROWS),
        (lambda x, y: np.einsum(x, [0, 1], y, [1, 2], [2, 0]), X, ROWS),
        (lambda x, y: np.einsum(x, [25, 26], y, [26, 51], [51, 25]), X, ROWS),
        (lambda x: np.einsum("ii", x), SQUARE),
    ),
    "vander": many((lambda x: np.vander(x), V), (lambda x: np.vander(x, 3, increasing=True), V)),
    "polyfit": many(
        (lambda x, y: np.polyfit(x, y, 2), V, W),
        (lambda y: np.polyfit(TIMES.tolist(), y, 1, w=[1.0, 2.0, 1.0, 1.0, 3.0]), W),
        (lambda x, y: np.polyfit(x, y, 1), V[:3], X.T),
        (lambda y: np.polyfit(np.arange(5, like=y), y, 1), W),
    ),
    "polyval": many((lambda p, x: np.polyval(p, x), V[:3], X)),
    "cov": many(
        (lambda x: np.cov(x), X),
        (lambda x, y: np.cov(x, y, rowvar=False, bias=True), X, Y),
        (lambda x: np.cov(x), V),
    ),
    "corrcoef": many((lambda x: np.corrcoef(x), X), (lambda x, y: np.corrcoef(x, y), V, W)),
    # linear algebra
    "linalg.cholesky": many((lambda x: np.linalg.cholesky(x @ x.T), SQUARE)),
    "linalg.cond": many(
        (lambda x: np.linalg.cond(x), SQUARE),
        (lambda x: np.linalg.cond(x, "fro"), SQUARE),
        (lambda x: np.linalg.cond(x, -2), SQUARE),
    ),
    "linalg.cross": many((lambda x, y: np.linalg.cross(x, y), X, Y)),
    "linalg.det": many((lambda x: np.linalg.det(x), SQUARE)),
    "linalg.diagonal": many((lambda x: np.linalg.diagonal(x, offset=1), T)),
    "linalg.eig": many(
        (
            lambda x: (
                np.abs(np.linalg.eig(x).eigenvalues).sum()
                if isinstance(x, np.ndarray)
                else np.sum(np.abs(np.linalg.eig(x).eigenvalues))
            ),
            SQUARE,
        )
    ),
    "linalg.eigvals": many((lambda x: np.sum(np.abs(np.linalg.eigvals(x)) ** 2), SQUARE)),
    "linalg.eigh": many(
        (lambda x: np.linalg.eigh(x)[0], POSITIVE),
        (lambda x: np.linalg.eigh(x, "U").eigenvalues, SQUARE),
        (lambda x: np.linalg.eigh(x)[1] ** 2, SQUARE),
    ),
    "linalg.eigvalsh": many(
        (lambda x: np.linalg.eigvalsh(x), SQUARE),
        (lambda x: np.linalg.eigvalsh(x, UPLO="U"), SQUARE),
    ),
    "linalg.inv": many((lambda x: np.linalg.inv(x), SQUARE)),
    "linalg.lstsq": many(
        (lambda a, b: np.linalg.lstsq(a, b)[0], ROWS.T, V[:4]),
        (lambda a, b: np.linalg.lstsq(a, b)[1], ROWS.T, V[:4]),
        (
            lambda a, b: np.linalg.lstsq(a, b, rcond=1e-8)[1],
            ROWS.T,
            np.outer(V[:4], W[:2]) + T[0, 0, :, None],
        ),
        (lambda a, b: np.linalg.lstsq(a, b, None)[0], ROWS, V[:3]),
        (lambda b: np.linalg.lstsq(np.vander(np.arange(5, like=b), 2), b)[0], V),
        (lambda a, b: np.linalg.lstsq(a, b)[3] + np.sum(b), ROWS, V[:3]),
    ),
    "linalg.matmul": many((lambda x, y: np.linalg.matmul(x, y), X, ROWS)),
    "linalg.matrix_norm": many((lambda x: np.linalg.matrix_norm(x, ord="nuc", keepdims=True), T)),
    "linalg.matrix_power": many((lambda x: np.linalg.matrix_power(x, 3), SQUARE)),
    "linalg.matrix_transpose": many((lambda x: np.linalg.matrix_transpose(x), T)),
    "linalg.multi_dot": many((lambda x, y: np.linalg.multi_dot([x, y, y.T]), X, ROWS)),
    "linalg.norm": many(
        (lambda x: np.linalg.norm(x), X),
        (lambda x: np.linalg.norm(x, axis=1, keepdims=True), X),
        (lambda x: np.linalg.norm(x, 1), X),
        (lambda x: np.linalg.norm(x, 3, axis=0), X),
        (lambda x: np.linalg.norm(x, "nuc", axis=(0, 2), keepdims=True), T),
        (lambda x: np.linalg.norm(x, axis=(0, 1)), T),
        (lambda x: np.linalg.norm(x, np.inf), V),
    ),
    "linalg.outer": many((lambda x, y: np.linalg.outer(x, y), V, W)),
    "linalg.pinv": many(
        (lambda x: np.linalg.pinv(x), ROWS), (lambda x: np.linalg.pinv(x, 1e-8), ROWS)
    ),
    "linalg.qr": many(
        (lambda x: np.linalg.qr(x)[0] ** 2, SQUARE),
        (lambda x: np.linalg.qr(x, mode="r") ** 2, SQUARE),
    ),
    "linalg.slogdet": many((lambda x: np.linalg.slogdet(x)[1], SQUARE)),
    "linalg.solve": many(
        (lambda a, b: np.linalg.solve(a, b), SQUARE, X.T),
        (lambda a: np.linalg.solve(a, [1.0, 2.0, 3.0]), SQUARE),
    ),
    "linalg.svd": many(
        (lambda x: np.linalg.svd(x, full_matrices=False)[1], X),
        (lambda x: np.linalg.svd(x, compute_uv=False), X),
        (lambda x: np.linalg.svd(x, False).U ** 2, X),
    ),
    "linalg.svdvals": many((lambda x: np.linalg.svdvals(x), X)),
    "linalg.tensordot": many((lambda x, y: np.linalg.tensordot(x, y, axes=1), X, ROWS)),
    "linalg.trace": many((lambda x: np.linalg.trace(x, offset=1), T)),
    "linalg.vecdot": many((lambda x, y: np.linalg.vecdot(x, y, axis=0), X, Y)),
    "linalg.vector_norm": many((lambda x: np.linalg.vector_norm(x, axis=1, ord=3), X)),
    # signals
    **{
        f"fft.{name}": many(
            (lambda x, name=name: np.abs(getattr(np.fft, name)(x)) ** 2, SIGNAL),
            (lambda x, name=name: np.abs(getattr(np.fft, name)(x, 4, 0, "ortho")) ** 2, MATRIX),
        )
        for name in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft")
    },
    **{
        f"fft.{name}": many(
            (lambda x, name=name: np.abs(getattr(np.fft, name)(x)) ** 2, MATRIX),
            (
                lambda x, name=name: np.abs(getattr(np.fft, name)(x, (4, 4), axes=(0, 1))) ** 2,
                MATRIX,
            ),
        )
        for name in ("fft2", "ifft2", "rfft2", "irfft2", "fftn", "ifftn", "rfftn", "irfftn")
    },
    "fft.fftshift": many(
        (lambda x: np.fft.fftshift(x), SIGNAL), (lambda x: np.fft.fftshift(x, axes=1), MATRIX)
    ),
    "fft.ifftshift": many((lambda x: np.fft.ifftshift(x), V)),
    "convolve": many(
        *((lambda x, y, m=m: np.convolve(x, y, m), V, W[:2]) for m in ("full", "same", "valid")),
        *(
            (lambda x, y, m=m: np.convolve(x, y, m), V[:3], SIGNAL)
            for m in ("full", "same", "valid")
        ),
        *(
            (lambda x, y, m=m: np.convolve(x, y, m), V, SIGNAL[:4])
            for m in ("full", "same", "valid")
        ),
    ),
    "correlate": many(
        *((lambda x, y, m=m: np.correlate(x, y, m), V, W[:2]) for m in ("full", "same", "valid")),
        *(
            (lambda x, y, m=m: np.correlate(x, y, m), V[:3], SIGNAL)
            for m in ("full", "same", "valid")
        ),
        *(
            (lambda x, y, m=m: np.correlate(x, y, m), V[:3], SIGNAL[:4])
            for m in ("full", "same", "valid")
        ),
        (lambda x, y: np.abs(np.correlate(x, y * 1j + x[:2], "same")) ** 2, V, W[:2]),
    ),
    "interp": many(
        (lambda x, f: np.interp(x, TIMES.tolist(), f), [-0.4, 0.1, 0.9, 1.9, 2.5], V),
        (
            lambda x, p, f: np.interp(x, p, f, left=9.0, right=8.0),
            [[-0.4, 0.1], [0.9, 2.5]],
            TIMES,
            V,
        ),
    ),
    "logspace": many(
        (lambda a, b: np.logspace(a, b, 4), V, W),
        (lambda a: np.logspace(a, 2.0, 4, endpoint=False, base=2.0, axis=1), V),
    ),
    "geomspace": many(
        (lambda a, b: np.geomspace(a, b, 4), V, W),
        (lambda a: np.geomspace(-a, -9.0, 4, endpoint=False, axis=-1), V),
        (lambda a: np.geomspace(a, 9.0, 3), 1.5),
    ),
    "unwrap": many(
        (lambda x: np.unwrap(5.0 * x), V),
        (lambda x: np.unwrap(9.0 * x, axis=0, period=3.0), X),
        (lambda x: np.unwrap(9.0 * x, discont=7.0), X),
    ),
    "linspace": many(
        (lambda a, b: np.linspace(a, b, 4), V, W),
        (lambda a: np.linspace(a, 3.0, 3, endpoint=False, axis=1), V),
        (lambda a, b: np.linspace(a, b, 3, retstep=True)[1], V, W),
    ),
    # arrays like others
    "full_like": many(
        (lambda x, y: np.full_like(x, y[0]), X, V), (lambda x, y: np.full_like(x, y), X, V[:3])
    ),
    # arrays that are filled
    "full": many(
        (lambda x: np.full((2, 2), x[0], like=x), V), (lambda x: np.full((2, 5), x, like=x), V)
    ),
    "array": many(
        (lambda x: np.array([x[0] * x[1], x[2]], like=x), V),
        (lambda x: np.array([[np.cos(x[0]), -x[1]], [0.0, 1]], like=x), V),
        (lambda x: np.array(x, ndmin=3, like=x), V),
        (lambda x: written(np.array(x, like=x), x), V),
    ),
    "asarray": many(
        (lambda x: np.asarray((x[0], x[1]), like=x), V), (lambda x: np.asarray(x, like=x), V)
    ),
    "asanyarray": many((lambda x: np.asanyarray(x**2, like=x), V)),
    "ascontiguousarray": many((lambda x: np.ascontiguousarray(x[::2], like=x), V)),
    "zeros": many((lambda x: written(np.zeros(5, np.float64, like=x), x), V)),
    "ones": many((lambda x: written(np.ones((5,), float, like=x), x), V)),
    "empty": many((lambda x: written(np.empty(5, dtype="float64", like=x), x)[1:3], V)),
}

CONSTANT = {
    "any": many((lambda x: np.any(x > 0, axis=1), X), (lambda x: np.any(x > 0, where=MASK), X)),
    "all": many((lambda x: np.all(x > -1, axis=0, keepdims=True), X), (lambda x: np.all(x > 0, where=MASK), X)),
    "argmax": many((lambda x: np.argmax(x), X), (lambda x: np.argmax(x, 1, keepdims=True), X)),
    "argmin": many((lambda x: np.argmin(x, axis=0), X)),
    "nanargmax": many((lambda x: np.nanargmax(x, axis=1), HOLES)),
    "nanargmin": many((lambda x: np.nanargmin(x), HOLES)),
    "argsort": many((lambda x: np.argsort(x), X), (lambda x: np.argsort(x, axis=None), X)),
    "argpartition": many((lambda x: np.argpartition(x, 2)[2], V)),
    "argwhere": many((lambda x: np.argwhere(x > 0), X)),
    "nonzero": many((lambda x: np.nonzero(x > 0)[1], X)),
    "flatnonzero": many((lambda x: np.flatnonzero(x > 0), X)),
    "count_nonzero": many((lambda x: np.count_nonzero(x > 0, axis=1), X)),
    "searchsorted": many((lambda x: np.searchsorted(np.sort(x), 1.0), V), (lambda x: np.searchsorted(x, [0.5, 1.0], side="right"), TIMES)),
    "digitize": many((lambda x: np.digitize(x, [0.5, 1.0, 1.5]), V), (lambda x: np.digitize(x, [1.4, 1.0, 0.3]), TIMES), (lambda x: np.digitize(x, [1.4, 1.0, 0.3], right=True), TIMES), (lambda x: np.digitize(x, x, right=True), TIMES)),
    "isin": many((lambda x: np.isin(x, [float(X[0, 0]), 9.0]), X), (lambda x: np.isin(x, x[:1, :], invert=True), X)),
    "round": many((lambda x: np.round(x), X), (lambda x: np.round(x, 2), X), (lambda x: np.round(x, -1), 100 * X)),
    "around": many((lambda x: np.around(x, 1), X)),
    "fix": many((lambda x: np.fix(x), SIGNED)),
    "linalg.matrix_rank": many((lambda x: np.linalg.matrix_rank(x), SQUARE), (lambda x: np.linalg.matrix_rank(x, 2.5), SQUARE)),
    "zeros_like": many((lambda x: np.zeros_like(x), X), (lambda x: np.zeros_like(x, shape=(2,)), X)),
    "ones_like": many((lambda x: np.ones_like(x, dtype=np.float32), X)),
    "eye": many((lambda x: np.eye(2, 3, 1, like=x), X)),
    "identity": many((lambda x: np.identity(3, like=x), X)),
    "arange": many((lambda x: np.arange(1.0, 3.0, 0.5, like=x), X), (lambda x: np.arange(3, dtype=np.float32, like=x), X)),
    "empty_like": many((lambda x: np.empty_like(x) * 0.0 == 0.0, X)),
    "isclose": many((lambda x: np.isclose(x, [1.0, np.nan, np.inf], rtol=1e-3), [1.0001, np.nan, np.inf]), (lambda x: np.isclose(x, x, equal_nan=True), HOLES)),
    "allclose": many((lambda x: np.allclose(x, x + 1e-12), X), (lambda x: np.allclose(x, x + 1e-2), X)),
    "array_equal": many((lambda x: np.array_equal(x, X.tolist()), X), (lambda x: np.array_equal(x, x[0, :]), X), (lambda x: np.array_equal(x, x, equal_nan=True), HOLES)),
    "array_equiv": many((lambda x: np.array_equiv(x, x[:1, :]), X), (lambda x: np.array_equiv(x * 0.0, [0.0, 0.0, 0.0]), X)),
    "isposinf": many((lambda x: np.isposinf(x), [1.0, np.inf, -np.inf])),
    "isneginf": many((lambda x: np.isneginf(x), [1.0, np.inf, -np.inf])),
    "isreal": many((lambda x: np.isreal(x + 1j * x), [0.0, 1.0]), (lambda x: np.isreal(x), X)),
    "iscomplex": many((lambda x: np.iscomplex(x + 1j * x), [0.0, 1.0])),
    "iscomplexobj": many((lambda x: np.iscomplexobj(x), X), (lambda x: np.iscomplexobj(1j * x), X)),
    "isrealobj": many((lambda x: np.isrealobj(x), X)),
    "shape": many((lambda x: np.shape(x), X)),
    "ndim": many((lambda x: np.ndim(x), X)),
    "size": many((lambda x: np.size(x), X), (lambda x: np.size(x, 1), X)),
    "can_cast": many((lambda x: np.can_cast(x, np.complex128), X), (lambda x: np.can_cast(x, np.int32), X)),
}  # fmt: skip
"""Functions whose results have no derivative: constant Variables or Python values."""

NO_VALUES = {"result_type": "a dtype; see test_protocols.py"}
"""Functions whose results are not numbers."""

LACKS = {
    ("array_api_strict", "isin"): "its isin, like the standard's, is for integers only",
    ("jax", "linalg.eig"): "JAX differentiates eigenvectors only on request",
}
"""Cases that do not run on a library, with the reason."""
