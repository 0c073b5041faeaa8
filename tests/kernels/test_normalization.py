"""The kernels for normalization on CuPy agree with the portable code."""

import numpy as np
import pytest

import xpnet
from xpnet import Variable, functions as F, to_numpy
from xpnet.backend import resolve
from xpnet.functions.normalization import Normalize, RunningStatistics
from xpnet.kernels import normalization
from xpnet.kernels.lookup import kernel
from xpnet.testing import assert_close

CASES = {  # the shape of x, the axes, and the shape of the weights
    "batch": ((6, 3), (0,), (1, 3)),
    "batch and places": ((4, 3, 5, 2), (0, 2, 3), (1, 3, 1, 1)),
    "one image": ((1, 3, 70, 80), (0, 2, 3), (1, 3, 1, 1)),
    "many": ((3000, 2), (0,), (1, 2)),
    "layer": ((4, 5, 7), (2,), (1, 1, 7)),
    "layer of two axes": ((4, 5, 7), (1, 2), (1, 5, 7)),
    "layer of one number": ((4, 1), (1,), (1, 1)),
    "all": ((4, 5), (0, 1), (4, 5)),
    "groups": ((4, 3, 2, 5), (2, 3), (1, 3, 2, 1)),
    "groups of one channel": ((4, 3, 1, 5), (2, 3), (1, 3, 1, 1)),
    "weights for a part": ((4, 5, 7), (1, 2), (1, 5, 1)),
}
TOLERANCES = {"float32": {"rtol": 2e-5, "atol": 2e-5}, "float64": {"rtol": 1e-11, "atol": 1e-11}}


def on(backend, arrays, dtype):
    return [None if a is None else Variable(backend.asarray(a.astype(dtype))) for a in arrays]


def outputs(backend, case, dtype, with_w=True, with_b=True, wrap=lambda x: x):
    """y, the statistics, and the gradients with respect to all inputs, computed on one backend."""
    shape, axes, weights = CASES[case]
    rng = np.random.default_rng(0)
    x, gy = 3.0 + 2.0 * rng.normal(size=shape), rng.normal(size=shape)
    w, b = rng.normal(size=weights), rng.normal(size=weights)
    x, w, b = on(backend, (x, w if with_w else None, b if with_b else None), dtype)
    node = Normalize(axes, 1e-5, weights)
    y = node(Variable(wrap(x.data)), w, b)
    x = y.node.parents[0]
    leaves = [v for v in (x, w, b) if v is not None]
    gys = xpnet.gradients(y, leaves, wrap(backend.asarray(gy.astype(dtype))))
    return [to_numpy(a) for a in (y, node.mean, node.var, node.r, *gys)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES)
def test_it_agrees_with_the_portable_code(cupy_backend, case, dtype):
    expected = outputs(resolve("numpy"), case, "float64")
    actual = outputs(cupy_backend, case, dtype)
    for a, e in zip(actual, expected, strict=True):
        assert (a.shape, a.dtype) == (e.shape, dtype)
        assert_close(a, e, **TOLERANCES[dtype])


@pytest.mark.parametrize(("with_w", "with_b"), [(True, False), (False, True), (False, False)])
@pytest.mark.parametrize("case", ["batch and places", "layer", "groups"])
def test_without_weights(cupy_backend, case, with_w, with_b):
    expected = outputs(resolve("numpy"), case, "float64", with_w, with_b)
    actual = outputs(cupy_backend, case, "float64", with_w, with_b)
    for a, e in zip(actual, expected, strict=True):
        assert_close(a, e, **TOLERANCES["float64"])


@pytest.mark.parametrize("case", ["batch and places", "layer"])
def test_views(cupy_backend, case):
    """x and the incoming gradient are not C-contiguous."""
    expected = outputs(cupy_backend, case, "float64")
    actual = outputs(cupy_backend, case, "float64", wrap=lambda x: x.T.copy().T)
    for a, e in zip(actual, expected, strict=True):
        assert a.tolist() == e.tolist()


@pytest.mark.parametrize("case", ["batch and places", "layer"])
def test_indices_of_64_bits(cupy_backend, monkeypatch, case):
    """The kernels for arrays of 2**30 numbers and more, on small arrays."""
    expected = outputs(cupy_backend, case, "float64")
    monkeypatch.setattr(normalization, "SHORT", 0)
    actual = outputs(cupy_backend, case, "float64")
    for a, e in zip(actual, expected, strict=True):
        assert a.tolist() == e.tolist()


def test_a_mean_far_from_zero(cupy_backend):
    """The mean is subtracted before squares are summed, so the variance is precise in float32."""
    import cupy

    x = cupy.asarray(1e4 + np.random.default_rng(0).normal(size=(1000, 2)), "float32")
    node = Normalize((0,), 0.0, (1, 2))
    node(x, None, None)
    exact = to_numpy(x).astype("float64")
    assert_close(to_numpy(node.var)[0], exact.var(0), rtol=1e-4)
    assert_close(to_numpy(node.mean)[0], exact.mean(0), rtol=1e-6)


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_running_statistics(cupy_backend, dtype, momentum):
    """They move as the portable code moves them, from wherever they are."""
    rng = np.random.default_rng(0)
    x, mean, var = rng.normal(size=(5, 3, 2)), rng.normal(size=3), rng.random(3)
    seen, moved = np.asarray(4), {}
    for backend in resolve("numpy"), cupy_backend:
        arrays = [backend.asarray(a.astype(dtype)) for a in (x, mean, var)]
        running = RunningStatistics(*arrays[1:], backend.asarray(seen), momentum)
        _, after = running.batch_norm(arrays[0])
        assert [str(a.dtype) for a in after[:3]] == [dtype, dtype, "int64"]
        assert to_numpy(running.seen) == 4  # the old statistics are unchanged
        moved[backend.name] = [to_numpy(a) for a in after[:3]]
    expected, actual = moved.values()
    assert actual[2] == expected[2] == 5
    for a, e in zip(actual, expected, strict=True):
        assert_close(a, e, **TOLERANCES[dtype])


def test_running_statistics_of_other_dtypes(cupy_backend):
    """Those of a model in float16, counted in int32, stay what they are."""
    import cupy

    x = cupy.asarray(np.random.default_rng(0).normal(size=(500, 3)), "float16")
    state = cupy.zeros(3, "float16"), cupy.ones(3, "float16"), cupy.asarray(0, "int32")
    y, after = RunningStatistics(*state, 0.5).batch_norm(x)
    assert [str(a.dtype) for a in (y, *after[:3])] == ["float16", "float16", "float16", "int32"]
    exact = to_numpy(x).astype("float64")
    assert_close(to_numpy(after.mean), 0.5 * exact.mean(0), rtol=1e-2, atol=1e-4)
    assert_close(to_numpy(after.var), 0.5 + 0.5 * exact.var(0, ddof=1), rtol=1e-3)
    assert int(after.seen) == 1


def test_arrays_that_it_does_not_take(cupy_backend):
    """These are left to the portable code."""
    import cupy

    x = cupy.ones((4, 3, 2))
    assert kernel("normalize", x, cupy.ones((1, 3, 1)), None) is not None
    for given in (
        (x.astype("float16"), None, None),
        (x.astype("float32"), cupy.ones((1, 3, 1)), None),  # the result would be float64
        (x, cupy.ones((1, 3, 1)), cupy.ones((1, 1, 2))),
        (x, cupy.ones((4, 1, 2)), None),  # its axes are not neighbours
        (x[:0], None, None),
        (Variable(x), None, None),
    ):
        assert kernel("normalize", *given) is None


@pytest.mark.parametrize("weights", [(4, 1, 2), (1, 1, 1)])
def test_weights_of_other_shapes(cupy_backend, weights):
    """Results and gradients are the same, whichever code runs."""
    rng = np.random.default_rng(0)
    arrays, found = (rng.normal(size=(4, 3, 2)), rng.normal(size=weights)), []
    for backend in resolve("numpy"), cupy_backend:
        x, w = on(backend, arrays, "float64")
        y = Normalize((1, 2), 1e-5, weights)(x, w, None)
        gys = xpnet.gradients(y, [x, w], backend.xp.ones_like(y.data) * x.data)
        found.append([to_numpy(a) for a in (y, *gys)])
    for a, e in zip(*found[::-1], strict=True):
        assert_close(a, e, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("norm", [lambda x: F.layer_norm(x, 4), lambda x: F.group_norm(x, 2)])
def test_no_numbers(cupy_backend, norm):
    """A batch without samples has an empty gradient."""
    x = Variable(cupy_backend.xp.zeros((0, 4)))
    y = norm(x)
    (gx,) = xpnet.gradients(y, [x], cupy_backend.xp.zeros((0, 4)))
    assert y.shape == gx.shape == (0, 4)


def test_where_the_arrays_lie(cupy_backend):
    """On another device than the current one the portable code runs; the result is the same."""
    import cupy

    if cupy.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("one device here; HOST_CUDA_DEVICES=2 emulates two")
    x = np.random.default_rng(0).normal(size=(6, 3))
    with cupy.cuda.Device(1):
        there = cupy.asarray(x)
        assert kernel("normalize", there, None, None) is not None
        y = F.batch_norm(there)[0]
        assert y.device.id == 1
        assert_close(to_numpy(y), F.batch_norm(x)[0], rtol=1e-12)
    assert kernel("normalize", there, None, None) is None
