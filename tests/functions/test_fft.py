"""Fourier transforms: against NumPy, and their derivatives against differences."""

import inspect

import numpy as np
import pytest

from xpnet import Variable, array_namespace, functions as F, gradients, to_numpy, using
from xpnet.functions import fft
from xpnet.testing import assert_close, check_gradients

NORMS = ["backward", "ortho", "forward"]
OF_REAL = ["rfft", "ihfft", "rfftn"]
ONE_AXIS = ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"]
SEVERAL_AXES = ["fftn", "ifftn", "rfftn", "irfftn"]
SIGNATURES = {
    **dict.fromkeys(ONE_AXIS, "(x, /, *, n=None, axis=-1, norm='backward')"),
    **dict.fromkeys(SEVERAL_AXES, "(x, /, *, s=None, axes=None, norm='backward')"),
    **dict.fromkeys(["fftshift", "ifftshift"], "(x, /, *, axes=None)"),
    **dict.fromkeys(["fftfreq", "rfftfreq"], "(n, /, *, d=1.0, dtype=None, device=None)"),
}


def draw(shape, name):
    """Numbers of the dtype that the function takes."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape)
    if name in OF_REAL:
        return x, "float64"
    return x + 1j * rng.normal(size=shape), "complex128"


def few(backend, lengths):
    """Every third case on JAX, which compiles each of them; NumPy runs them all."""
    return lengths[::3] if backend.name.startswith("jax") else lengths


def test_the_extension_is_complete(backend, array):
    xp = array_namespace(Variable(array([1.0])))
    assert dir(xp.fft) == sorted(SIGNATURES)
    for name, expected in SIGNATURES.items():
        parameters = inspect.signature(getattr(fft, name)).parameters.values()
        plain = [p.replace(annotation=inspect.Parameter.empty) for p in parameters]
        assert str(inspect.Signature(plain)) == expected, name


@pytest.mark.usefixtures("sampled")  # test_values.py calls each function on JAX, too
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", ONE_AXIS)
def test_one_axis(backend64, array, name, norm):
    """Cut to a length, filled up to one, or unchanged; on arrays and on Variables."""
    a, dtype = draw((2, 5), name)
    lengths = [(-1, None), (1, 5), (0, 1), (0, 2), (-1, 3), (1, 4), (0, 5), (-1, 8)]
    for axis, n in few(backend64, lengths):
        options = {"n": n, "axis": axis, "norm": norm}
        expected = getattr(np.fft, name)(a, **options)
        for given in (array(a, dtype), Variable(array(a, dtype))):
            assert_close(getattr(fft, name)(given, **options), expected, 1e-12, 1e-13)


@pytest.mark.usefixtures("sampled")
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", ONE_AXIS)
def test_derivatives_of_one_axis(backend64, array, order, name, norm):
    """For even and odd lengths, shorter and longer than the array."""
    a, dtype = draw((4, 2), name)
    for n in few(backend64, [None, 1, 3, 6]):
        check_gradients(
            lambda x, n=n: getattr(fft, name)(x, n=n, axis=0, norm=norm), array(a, dtype), order=1
        )
    check_gradients(
        lambda x: F.abs(getattr(fft, name)(x, n=5, axis=0)) ** 2, array(a, dtype), order=order
    )


@pytest.mark.usefixtures("sampled")
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", SEVERAL_AXES)
def test_several_axes(backend64, array, name, norm):
    """In the order of `axes`: real transforms halve the last."""
    a, dtype = draw((3, 2, 4), name)
    x = array(a, dtype)
    for s, axes in [
        (None, None),
        (None, (0, 2)),
        (None, (-1, 0)),
        ((4, 3), (0, 1)),
        ((2, 5), (2, 0)),
        ((-1, 3), (0, 2)),
        ((4,), (1,)),
    ]:
        options = {"s": s, "axes": axes, "norm": norm}
        expected = getattr(np.fft, name)(a, **options)
        for given in (x, Variable(x)):
            assert_close(getattr(fft, name)(given, **options), expected, 1e-12, 1e-13)
    check_gradients(lambda x: getattr(fft, name)(x, s=(4, 3), axes=(2, 0), norm=norm), x, order=1)


@pytest.mark.parametrize("name", ["fftn", "ifftn"])
def test_empty_axes_transform_nothing(backend64, array, name):
    """As with NumPy."""
    z = array([[1.0 + 2.0j, 0.5], [2.0, -1.0j]], "complex128")
    assert_close(getattr(fft, name)(Variable(z), axes=()), z)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("name", SEVERAL_AXES)
def test_second_derivatives_of_several_axes(backend64, array, name):
    a, dtype = draw((2, 3), name)
    check_gradients(lambda x: F.abs(getattr(fft, name)(x)) ** 2, array(a, dtype))


def test_parseval(backend64, array):
    """The sum of |fft(x)|^2 is n times that of x^2, so its gradient is 2 n x."""
    a = np.random.default_rng(0).normal(size=6)
    x = Variable(array(a, "complex128"))
    (g,) = gradients(F.sum(F.abs(fft.fft(x)) ** 2), [x])
    assert_close(g, 12.0 * a, rtol=1e-12, atol=1e-12)


def test_the_numbers_that_irfft_ignores_have_no_gradient(backend64, array):
    """The imaginary part of the first frequency and, for an even length, of the last."""
    a, dtype = draw((4,), "irfft")
    for n, last in ((6, 0.0), (7, None)):
        x = Variable(array(a, dtype))
        (g,) = gradients(F.sum(fft.irfft(x, n=n) ** 3), [x])
        imaginary = to_numpy(g).imag
        assert_close(imaginary[0], 0.0, atol=1e-15)
        assert (abs(imaginary[-1]) < 1e-15) == (last is not None)


def test_a_length_of_minus_1_keeps_the_last_axis_of_irfftn(backend64, array):
    a, dtype = draw((2, 4), "irfftn")
    y = fft.irfftn(array(a, dtype), s=(-1, -1), axes=(0, 1))
    assert_close(y, np.fft.irfftn(a), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("axes", [None, 0, -1, (0, 1), (1,)])
def test_shifts(backend64, array, order, axes):
    a = np.random.default_rng(0).normal(size=(3, 4))
    x = array(a)
    assert_close(fft.fftshift(Variable(x), axes=axes), np.fft.fftshift(a, axes=axes))
    assert_close(fft.ifftshift(Variable(x), axes=axes), np.fft.ifftshift(a, axes=axes))
    assert_close(fft.ifftshift(fft.fftshift(x, axes=axes), axes=axes), a)
    check_gradients(lambda x: fft.fftshift(x, axes=axes) * x, x, order=order)
    check_gradients(lambda x: fft.ifftshift(x, axes=axes) * x, x, order=order)


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_frequencies(backend64, n):
    assert_close(fft.fftfreq(n), np.fft.fftfreq(n), rtol=1e-15)
    assert_close(fft.fftfreq(n, d=0.1), np.fft.fftfreq(n, d=0.1), rtol=1e-15)
    assert_close(fft.rfftfreq(n, d=0.1), np.fft.rfftfreq(n, d=0.1), rtol=1e-15)


def test_frequencies_are_created_on_the_current_backend(backend):
    """In its dtype, as constants; from a Variable's namespace, on the Variable's device."""
    for make in (fft.fftfreq, fft.rfftfreq):
        f = make(4)
        assert f.dtype == backend.dtype
        assert f.device == backend.device
        assert not f.requires_grad
        assert make(4, dtype=backend.dtype, device=backend.device).dtype == backend.dtype
    xp = array_namespace(Variable(backend.asarray([1.0])))
    with using("numpy"):
        assert xp.fft.fftfreq(4).device == backend.device
        assert type(xp.fft.rfftfreq(4).data) is type(backend.asarray([1.0]))


def test_complex64_stays_complex64(backend, array):
    z = Variable(array([1.0, 2.0, 3.0], "complex64"))
    x = Variable(array([1.0, 2.0, 3.0], "float32"))
    for name in ("fft", "ifft", "fftn", "ifftn"):
        assert getattr(fft, name)(z).dtype == z.dtype
    for name in ("irfft", "hfft", "irfftn"):
        assert getattr(fft, name)(z).dtype == x.dtype
    for name in OF_REAL:
        assert getattr(fft, name)(x).dtype == z.dtype


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda z, x: fft.fftn(z, s=(2,)), ValueError, r"axes for the lengths s=\(2,\), got None"),
        (lambda z, x: fft.fftn(z, s=(2, 3), axes=(0,)), ValueError, "a length for each of the"),
        (lambda z, x: fft.rfftn(x, axes=()), ValueError, "1 axis or more"),
        (lambda z, x: fft.irfftn(z, axes=()), ValueError, "1 axis or more"),
        (lambda z, x: fft.hfft(z, norm="other"), ValueError, "^hfft expected .* got 'other'"),
        (lambda z, x: fft.ihfft(x, norm="other"), ValueError, "^ihfft expected .* got 'other'"),
        (lambda z, x: fft.fft(z, axis=2), IndexError, "axis 2"),
    ],
)
def test_invalid_arguments_are_errors(backend, array, call, error, message):
    z = array([[1.0, 2.0]], "complex64")
    x = array([[1.0, 2.0]], "float32")
    with pytest.raises(error, match=message):
        call(Variable(z), Variable(x))


def test_a_real_signal_has_a_real_gradient(backend64, array):
    """Where the library accepts one for `fft`; the standard requires complex numbers."""
    x = Variable(array([1.0, -2.0, 0.5]))
    try:
        y = fft.fft(x)
    except TypeError as error:
        assert "complex" in str(error)
    else:
        (g,) = gradients(F.sum(F.real(y) ** 2 + F.imag(y) ** 2), [x])
        assert g.dtype == x.dtype
        assert_close(g, [6.0, -12.0, 3.0], rtol=1e-12)
