"""Errors for an input that does not fit: expected, given, where, and what to try."""

import numpy as np
import pytest

from xpnet import Affine, ArgumentTypeError, Parameter, ReLU, ShapeError, Variable, using
from xpnet.layers._input_checks import misfit, require, require_dtype, require_floating

BATCH = ("batch", 3)


@pytest.fixture(autouse=True)
def numpy():
    with using("numpy"):
        yield


def test_a_fitting_input_passes():
    x, W = np.zeros((2, 3), "float32"), Parameter(np.zeros((3, 4), "float32"))
    require(ReLU(), x, BATCH)
    require(ReLU(), x, BATCH, W)
    require(ReLU(), Variable(x), BATCH, W)
    require(ReLU(), x.astype("float64"), BATCH)  # no parameter, so any dtype
    require_dtype(ReLU(), x.astype(">f4"), BATCH, W)  # the same numbers, in another byte order
    require_floating(ReLU(), x.astype("float16"), BATCH)


@pytest.mark.parametrize(
    ("x", "given"),
    [
        ([1.0, 2.0, 3.0], "got a list; xpnet.current().asarray(x) makes an array."),
        (3.0, "got a float; xpnet.current().asarray(x) makes an array."),
        (None, "got a NoneType; xpnet.current().asarray(x) makes an array."),
        (
            (np.zeros((2, 3)), np.zeros(3)),
            "got a tuple; if a layer has several outputs, take one of them: y, *_ = layer(x).",
        ),
    ],
)
def test_inputs_that_are_not_arrays_are_errors(x, given):
    with pytest.raises(ArgumentTypeError) as caught:
        require(ReLU(), x, BATCH)
    assert str(caught.value) == f"ReLU() expected x of shape (batch, 3), {given}"


@pytest.mark.parametrize(
    ("shape", "sizes", "hint"),
    [
        ((3,), BATCH, " For one sample use x[None, :]."),
        ((4, 3), ("batch", "length", 3), " For one sample use x[None, ...]."),
        ((4, 3), ("length", "batch", 3), " For one sample use x[:, None, ...]."),
        ((4, 2), ("batch", "length", 3), ""),
        ((2, 4), BATCH, ""),
        ((3,), ("rows", 3), ""),
    ],
)
def test_an_error_suggests_a_batch_axis_only_for_a_single_sample(shape, sizes, hint):
    with pytest.raises(ShapeError) as caught:
        require(ReLU(), np.zeros(shape), sizes)
    wanted = ", ".join(map(str, sizes))
    assert str(caught.value) == f"ReLU() expected x of shape ({wanted}), got {shape}.{hint}"


@pytest.mark.parametrize(
    ("dtype", "advice"),
    [
        ("float16", "got float16. Use F.astype(x, numpy.float32)."),
        ("int64", "got int64. Use F.astype(x, numpy.float32)."),
        ("bool", "got bool. Use F.astype(x, numpy.float32)."),
        (
            "float64",
            (
                "got float64. Use F.astype(x, numpy.float32), or create the layer in float64, after "
                'xpnet.use(..., dtype="float64").'
            ),
        ),
    ],
)
def test_another_dtype(dtype, advice):
    layer = Affine(3, 4)
    with pytest.raises(ArgumentTypeError) as caught:
        require(layer, np.zeros((2, 3), dtype), BATCH, layer.weight)
    assert str(caught.value) == (
        f"{layer!r} expected x of shape (batch, 3) and dtype float32, {advice}"
    )


def test_any_width_of_floating_point_numbers():
    with pytest.raises(
        ArgumentTypeError, match=r"and dtype real floating, got int32\. .*float32\)"
    ):
        require_floating(ReLU(), np.zeros((2, 3), "int32"), BATCH)
    with pytest.raises(ArgumentTypeError, match="and dtype complex floating, got bool"):
        require_floating(ReLU(), np.zeros((2, 3), "bool"), BATCH, "complex floating")


def test_errors_name_the_argument_that_does_not_fit():
    error = misfit(ReLU(), np.zeros((2, 3)), (3, 3), name="a mask")
    assert str(error) == "ReLU() expected a mask of shape (3, 3), got (2, 3)."
