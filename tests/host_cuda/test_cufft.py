"""The emulated cuFFT, through cupy.fft, compared with NumPy."""

import numpy as np
import pytest

from tests.host_cuda.arrays import TYPES, assert_close, in_order, numbers
from tests.host_cuda.device import NOT_EMULATED, counting, emulated

if not emulated():
    pytest.skip(NOT_EMULATED, allow_module_level=True)

import cupy
from cupy.cuda import cufft

LENGTHS = [1, 2, 3, 7, 8, 12, 30, 97, 360, 1024]
SHAPES = [(3, 5), (4, 6, 5), (2, 3, 4, 5)]
REAL = ("f", "d")


def allowed(n):
    """The factor by which rounding errors of a transform of n numbers grow."""
    return 4 * n**0.5


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("n", LENGTHS)
def test_transforms_of_one_dimension_agree_with_numpy(dtype, n):
    a = numbers((n,), dtype)
    x = cupy.asarray(a)
    names = ["fft", "ifft", "irfft", "hfft"] + (["rfft", "ihfft"] if dtype in REAL else [])
    for name in names:
        if n == 1 and name in ("irfft", "hfft"):
            continue  # the result would have 2 * (n - 1) = 0 numbers
        expected = getattr(np.fft, name)(a)
        assert_close(getattr(cupy.fft, name)(x), expected, scale=n)
    np.testing.assert_array_equal(x.get(), a)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("n", [1, 4, 5, 9])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_transforms_with_lengths_and_axes_agree_with_numpy(dtype, n, axis):
    a = numbers((4, 6, 5), dtype)
    x = cupy.asarray(a)
    for name in ["fft", "ifft", "irfft"] + (["rfft"] if dtype in REAL else []):
        expected = getattr(np.fft, name)(a, n=n, axis=axis)
        assert_close(getattr(cupy.fft, name)(x, n=n, axis=axis), expected, scale=allowed(n))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_transforms_of_several_dimensions_agree_with_numpy(dtype, shape):
    a = numbers(shape, dtype)
    x = cupy.asarray(a)
    last = range(len(shape))
    choices = [None, (0,), (0, 1), (1, 0), tuple(last)[-2:], (0, len(shape) - 1)]
    for name in ["fftn", "ifftn", "irfftn"] + (["rfftn"] if dtype in REAL else []):
        for axes in choices:
            expected = getattr(np.fft, name)(a, axes=axes)
            actual = getattr(cupy.fft, name)(x, axes=axes)
            assert_close(actual, expected, scale=allowed(a.size))


@pytest.mark.parametrize("dtype", TYPES)
def test_transforms_of_views_agree_with_numpy(dtype):
    a = numbers((4, 6, 5), dtype)
    for view in (a.transpose(2, 0, 1), np.asfortranarray(a), a[::2, 1:]):
        x = cupy.asarray(a)
        if view.shape == (2, 5, 5):
            x = x[::2, 1:]
        elif view.flags.f_contiguous:
            x = cupy.asarray(a, order="F")
        else:
            x = x.transpose(2, 0, 1)
        assert_close(cupy.fft.fftn(x), np.fft.fftn(view), scale=allowed(a.size))
        assert_close(cupy.fft.fft(x, axis=1), np.fft.fft(view, axis=1), scale=allowed(6))


def test_inverse_transforms_restore_the_array():
    a = numbers((6, 9), "F")
    assert_close(cupy.fft.ifftn(cupy.fft.fftn(cupy.asarray(a))), a, scale=8)
    b = numbers((6, 9), "d")
    assert_close(cupy.fft.irfftn(cupy.fft.rfftn(cupy.asarray(b)), s=b.shape), b, scale=8)


# --- plans ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", [cufft.CUFFT_FORWARD, cufft.CUFFT_INVERSE])
def test_transforms_are_not_normalized(sign):
    a = numbers((3, 8), "D")
    x = cupy.asarray(a)
    y = cupy.empty_like(x)
    cufft.Plan1d(8, cufft.CUFFT_Z2Z, 3).fft(x, y, sign)
    expected = np.fft.fft(a) if sign == cufft.CUFFT_FORWARD else np.fft.ifft(a) * 8
    assert_close(y, expected, scale=8)


@pytest.mark.parametrize("shape", [(8,), (7,), (4, 6), (3, 5)])
def test_a_transform_in_place_needs_a_padded_real_array(shape):
    a = numbers(shape, "d")
    *outer, n = shape
    spectrum = (*outer, n // 2 + 1)
    memory = cupy.zeros(spectrum, "D")
    padded = memory.view("d")
    padded[..., :n] = cupy.asarray(a)
    axis = len(shape) - 1
    rest = {"order": "C", "last_axis": axis, "last_size": n // 2 + 1}
    layout = (shape, None, 1, 0, None, 1, 0)
    cufft.PlanNd(*layout, cufft.CUFFT_D2Z, 1, **rest).fft(padded, memory, -1)
    assert_close(memory, np.fft.rfftn(a), scale=32)
    rest["last_size"] = n
    cufft.PlanNd(*layout, cufft.CUFFT_Z2D, 1, **rest).fft(memory, padded, 1)
    assert_close(padded[..., :n], a * a.size, scale=32 * a.size)


def test_plans_follow_strides_distances_and_embedding_shapes():
    # Two transforms of 3 x 4 in an array of 2 x 5 x 6 x 2: every second element of longer rows.
    a = numbers((2, 5, 6, 2), "D")
    x = cupy.asarray(a)
    y = cupy.full((3, 4, 2), np.nan, "D")
    plan = cufft.PlanNd(
        *((3, 4), (5, 6), 2, 60, (3, 4), 2, 1, cufft.CUFFT_Z2Z, 2),
        order="C",
        last_axis=-1,
        last_size=None,
    )
    plan.fft(x, y, cufft.CUFFT_FORWARD)
    expected = np.fft.fft2(a[:, :3, :4, 0], axes=(1, 2))
    assert_close(y.transpose(2, 0, 1), expected, scale=16)


def test_a_transform_to_real_numbers_overwrites_its_input():
    x = cupy.asarray(numbers((5,), "D"))
    y = cupy.empty(8)
    cufft.Plan1d(8, cufft.CUFFT_Z2D, 1).fft(x, y, 1)
    assert cupy.isnan(x).all()


def test_irfft_ignores_imaginary_parts_that_must_be_zero():
    a = np.array([1 + 5j, 2 + 1j, 3 + 7j])
    assert_close(cupy.fft.irfft(cupy.asarray(a)), np.fft.irfft(a), scale=8)


def test_a_transform_is_counted_as_a_launch_with_its_name():
    x = cupy.asarray(numbers((8,), "D"))
    cupy.fft.fft(x)
    with counting(names=True) as counts:
        cupy.fft.fft(x)
    assert counts.launches == 1
    assert "launch cufftExecZ2Z" in counts.names


# --- invalid arguments ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-3, cufft.CUFFT_C2C, 1), "a length is -3"),
        ((8, 5, 1), "the type 5 is none of cufftType"),
        ((8, cufft.CUFFT_C2C, -1), "the batch is -1"),
    ],
)
def test_invalid_plans_raise(arguments, message, capfd):
    with pytest.raises(cufft.CuFFTError, match="INVALID_VALUE"):
        cufft.Plan1d(*arguments)
    assert message in capfd.readouterr().err


def test_a_plan_of_another_type_raises(capfd):
    plan = cufft.Plan1d(8, cufft.CUFFT_Z2Z, 1)
    x = cupy.zeros(8, "F")
    with pytest.raises(cufft.CuFFTError, match="INVALID_VALUE"):
        cufft.execC2C(plan.handle, x.data.ptr, x.data.ptr, 1)
    assert "another type" in capfd.readouterr().err


@in_order
def test_an_array_that_is_too_small_raises(capfd):
    plan = cufft.Plan1d(64, cufft.CUFFT_Z2Z, 1)
    memory = cupy.cuda.Memory(16 * 63)  # an allocation of its own, not a part of the pool's
    x = cupy.zeros(64, "D")
    with pytest.raises(cufft.CuFFTError, match="EXEC_FAILED"):
        cufft.execZ2Z(plan.handle, memory.ptr, x.data.ptr, 1)
    assert "the input" in capfd.readouterr().err
