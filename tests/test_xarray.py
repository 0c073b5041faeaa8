"""xarray over Variables: a DataArray of a Variable computes, keeps its labels, and is differentiated.

xarray asks its arrays by NumPy's protocols and by the standard's namespace. Values are compared with
xarray over NumPy, gradients with xpnet's own functions.
"""

import numpy as np
import pytest

from xpnet import GradientError, Variable, functions as F, grad, gradients, to_numpy
from xpnet.testing import assert_close

xr = pytest.importorskip("xarray", reason="labelled arrays that hold Variables")

rng = np.random.default_rng(0)
X = rng.normal(size=(3, 4))
WEIGHTS = [1.0, 2.0, 3.0]


def labelled(x):
    return xr.DataArray(x, dims=("a", "b"), coords={"a": [10, 20, 30]})


CALLS = {
    "mean": (lambda d: d.mean(), F.mean),
    "mean of a dimension": (lambda d: d.mean("a"), lambda v: F.mean(v, axis=0)),
    "std": (lambda d: d.std("b"), lambda v: F.std(v, axis=1)),
    "var": (lambda d: d.var("a", ddof=1), lambda v: F.var(v, axis=0, correction=1)),
    "sum": (lambda d: d.sum("a"), lambda v: F.sum(v, axis=0)),
    "prod": (lambda d: d.prod("b"), lambda v: F.prod(v, axis=1)),
    "max": (lambda d: d.max("a"), lambda v: F.max(v, axis=0)),
    "min": (lambda d: d.min(), F.min),
    "cumsum": (lambda d: d.cumsum("b"), lambda v: F.cumulative_sum(v, axis=1)),
    "cumprod": (lambda d: d.cumprod("a"), lambda v: F.cumulative_prod(v, axis=0)),
    "dot": (lambda d: d.dot(d), lambda v: F.sum(v * v)),
    "matmul": (lambda d: d @ d.T.rename(a="c"), lambda v: v @ v.T),
    "a ufunc": (lambda d: np.exp(d), F.exp),
    "a ufunc of two": (lambda d: np.maximum(d, 0.1), lambda v: F.clip(v, 0.1)),
    "apply_ufunc": (lambda d: xr.apply_ufunc(np.tanh, d), F.tanh),
    "operators": (lambda d: 2.0 * d**2 - d / 3.0 + 1.0, lambda v: 2.0 * v**2 - v / 3.0 + 1.0),
    "a NumPy array on the right": (lambda d: d * np.ones((3, 4)), lambda v: v),
    "a DataArray of NumPy on the left": (lambda d: labelled(X) * d, lambda v: v * F.asarray(X)),
    "index": (lambda d: d.sel(a=20).isel(b=[0, 2]), lambda v: v[1, ...][F.asarray([0, 2])]),
    "where": (lambda d: d.where(d > 0, 0.0), lambda v: F.where(v > 0, v, 0.0)),
    "concat": (lambda d: xr.concat([d, d], "a"), lambda v: F.concat([v, v])),
    "transpose": (lambda d: d.T, lambda v: v.T),
    "stack": (lambda d: d.stack(c=("a", "b")), lambda v: F.reshape(v, (-1,))),
    "diff": (lambda d: d.diff("a"), lambda v: F.diff(v, axis=0)),
    "roll": (lambda d: d.roll(a=1), lambda v: F.roll(v, 1, axis=0)),
    "clip": (lambda d: d.clip(-0.5, 0.5), lambda v: F.clip(v, -0.5, 0.5)),
    "groupby": (lambda d: d.groupby("a").mean(), lambda v: v),
    "coarsen": (
        lambda d: d.coarsen(b=2).mean(),
        lambda v: F.mean(F.reshape(v, (3, 2, 2)), axis=2),
    ),
    "weighted": (
        lambda d: d.weighted(xr.DataArray(WEIGHTS, dims="a")).mean("a"),
        lambda v: F.sum(v * F.asarray(WEIGHTS)[:, None], axis=0) / 6.0,
    ),
    "integrate": (lambda d: d.integrate("a"), lambda v: 10.0 * (v[0, ...] / 2 + v[1, ...] + v[2, ...] / 2)),
    "a Dataset": (lambda d: d.to_dataset(name="q").mean()["q"], F.mean),
}  # fmt: skip


@pytest.fixture
def held(backend64, array):
    """X as a Variable, on NumPy."""
    if backend64.name != "numpy":
        pytest.skip("xarray mixes arrays of NumPy in, and asks for dtype.kind, which NumPy's have")
    return Variable(array(X))


@pytest.mark.parametrize("name", CALLS)
def test_a_data_array_of_a_variable_is_differentiated(held, name):
    call, ours = CALLS[name]
    y = call(labelled(held))
    expected = call(labelled(X))
    assert y.dims == expected.dims
    assert list(y.coords) == list(expected.coords)
    assert isinstance(y.data, Variable)
    assert_close(y.data, expected.data, rtol=1e-12)
    weights = F.asarray(np.arange(1.0, 1.0 + expected.size).reshape(expected.shape))
    (g,) = gradients(F.sum(y.data * weights), [held])
    (ours_g,) = gradients(F.sum(ours(held) * weights), [held])
    assert_close(g, ours_g, rtol=1e-12)


def test_missing_values_are_skipped_and_have_no_gradient(held):
    d = labelled(held)
    loss = d.where(d > 0).mean().data
    (g,) = gradients(loss, [held])
    assert_close(loss, X[X > 0].mean(), rtol=1e-12)
    assert_close(g, (X > 0) / (X > 0).sum(), rtol=1e-12)


def test_values_selected_by_label_are_differentiated(held):
    loss = (labelled(held).sel(a=[10, 30]) ** 2).sum().data
    loss.backward()
    assert_close(held.grad, 2.0 * X * np.asarray([[1.0], [0.0], [1.0]]), rtol=1e-12)


def test_values_of_a_data_array_are_refused(held):
    """`.values` would lose the gradient."""
    with pytest.raises(TypeError, match="xpnet.to_numpy"):
        _ = labelled(held).values
    assert to_numpy(labelled(held).data).shape == (3, 4)


def test_a_function_that_returns_a_data_array_is_an_error_that_names_its_data(backend64):
    with pytest.raises(
        GradientError, match=r"a DataArray, which holds a Variable\. Return y\.data"
    ):
        grad(lambda x: (labelled(x) ** 2).sum())(X)


def test_a_variable_times_a_data_array_is_a_data_array(held):
    y = held * labelled(X)
    assert y.dims == labelled(X).dims
    y.sum().data.backward()
    assert_close(held.grad, X, rtol=1e-12)
