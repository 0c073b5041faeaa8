"""Indices out of range on CuPy: an IndexError, when numbers come to the host, or at once."""

import threading
from contextlib import suppress

import numpy as np
import pytest

from xpnet import Variable, functions as F, to_numpy
from xpnet.kernels import bounds

X = np.arange(12.0, dtype="float32").reshape(3, 4)
CALLS = {  # name: (a call with x and an index, the length of the axis, the name in the message)
    "take": (lambda x, i: F.take(x, i, axis=0), 3, "take"),
    "take, of the last axis": (lambda x, i: F.take(x, i, axis=-1), 4, "take"),
    "take_along_axis": (
        lambda x, i: F.take_along_axis(x, i[:, None], axis=0),
        3,
        "take_along_axis",
    ),
    "x[i]": (lambda x, i: x[i], 3, r"x\[key\]"),
    "x[i, ...]": (lambda x, i: x[i, ...], 3, r"x\[key\]"),
    "x[:, i]": (lambda x, i: x[:, i], 4, r"x\[key\]"),
    "x[..., i]": (lambda x, i: x[..., i], 4, r"x\[key\]"),
    "x[None, i]": (lambda x, i: x[None, i], 3, r"x\[key\]"),
    "x[0, i]": (lambda x, i: x[0, i], 4, r"x\[key\]"),
    "x[i * 0, i]": (lambda x, i: x[i * 0, i], 4, r"x\[key\]"),
    "x[mask, i]": (lambda x, i: x[x[:, 0] >= 0.0, i], 4, r"x\[key\]"),
    "x[i] of a vector": (lambda x, i: x[0][i], 4, r"x\[key\]"),
}
KEYS = [name for name in CALLS if not name.startswith("take")]


@pytest.fixture(autouse=True)
def no_notes_left():
    """Notes that a test leaves unread must not reach the next test."""
    yield
    with suppress(IndexError):
        bounds.read()


@pytest.fixture
def looks(monkeypatch):
    """The launches of the kernel that checks indices."""
    found, kernel = [], bounds._kernel
    monkeypatch.setattr(
        bounds, "_kernel", lambda: lambda *args: found.append(args) or kernel()(*args)
    )
    return found


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("side", ["above", "below"])
def test_an_index_out_of_range(cupy_backend, name, side):
    """The call itself succeeds; the first number that comes to the host raises, and only that one."""
    call, length, function = CALLS[name]
    wrong = length if side == "above" else -length - 1
    x, i = Variable(cupy_backend.asarray(X)), cupy_backend.asarray(np.asarray([0, wrong, 1]))
    y = call(x, i)
    message = (
        rf"{function} expected indices from -{length} to {length - 1}, got {wrong}: .*XPNET_DEBUG"
    )
    with pytest.raises(IndexError, match=message):
        to_numpy(y)
    assert to_numpy(x).tolist() == X.tolist()


@pytest.mark.parametrize("name", CALLS)
def test_indices_in_range(cupy_backend, name):
    """All indices that NumPy accepts, also those from the end."""
    call, length, _ = CALLS[name]
    i = np.asarray([0, -length, length - 1])
    y = call(Variable(cupy_backend.asarray(X)), cupy_backend.asarray(i))
    expected = call(Variable(X), i)
    assert to_numpy(y).tolist() == to_numpy(expected).tolist()


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "uint64"])
def test_indices_of_every_dtype(cupy_backend, dtype):
    x = cupy_backend.asarray(X)
    assert to_numpy(F.take(x, cupy_backend.asarray(np.asarray([2], dtype)), axis=0))[0, 0] == 8.0
    wrong = int(np.iinfo(dtype).max)
    F.take(x, cupy_backend.asarray(np.asarray([wrong], dtype)), axis=0)
    if dtype == "uint64":
        wrong -= 1 << 64  # read as signed
    with pytest.raises(IndexError, match=r"take expected indices from -3 to 2, got"):
        to_numpy(x)


@pytest.mark.parametrize(
    "fetch", [float, int, bool, complex, to_numpy, repr, str, "{}".format, "{:.2f}".format]
)
def test_every_way_to_the_host_reads_the_notes(cupy_backend, fetch):
    total = F.sum(
        F.take(Variable(cupy_backend.asarray(X)), cupy_backend.asarray(np.asarray([3])), axis=0)
    )
    with pytest.raises(IndexError, match="got 3"):
        fetch(total)
    fetch(total)  # it is raised only once


def test_an_empty_axis(cupy_backend):
    x = cupy_backend.asarray(np.zeros((0, 2), "float32"))
    y = F.take(x, cupy_backend.asarray(np.zeros(0, "int64")), axis=0)
    assert to_numpy(y).shape == (0, 2)


def test_any_index_of_an_empty_axis(cupy_backend):
    """Every index is out of range: an error at once, and none later."""
    x = cupy_backend.asarray(np.zeros((0, 2), "float32"))
    with pytest.raises(IndexError, match="take expected no indices, along an axis of length 0"):
        F.take(x, cupy_backend.asarray(np.zeros(1, "int64")), axis=0)
    assert to_numpy(x).shape == (0, 2)


@pytest.mark.parametrize("name", [name for name in KEYS if name != "x[mask, i]"])
@pytest.mark.parametrize("side", ["above", "below"])
def test_keys_on_the_host_are_checked_there(cupy_backend, looks, name, side):
    """CuPy takes arrays of NumPy as keys, and wraps them too."""
    call, length, function = CALLS[name]
    wrong = length if side == "above" else -length - 1
    x = Variable(cupy_backend.asarray(X))
    message = rf"{function} expected indices from -{length} to {length - 1}, got {wrong}: it is out"
    with pytest.raises(IndexError, match=message):
        call(x, np.asarray([0, wrong, 1]))
    i = np.asarray([0, -length, length - 1])
    assert to_numpy(call(x, i)).tolist() == to_numpy(call(Variable(X), i)).tolist()
    assert not looks


@pytest.mark.parametrize("make", [list, np.asarray], ids=["list", "NumPy"])
@pytest.mark.parametrize("wrong", [4, -5])
def test_assignment_by_indices_on_the_host(cupy_backend, looks, make, wrong):
    x = Variable(cupy_backend.asarray(X), requires_grad=False)
    with pytest.raises(IndexError, match=rf"x\[key\] expected indices from -4 to 3, got {wrong}"):
        x[:, make([0, wrong])] = 7.0
    assert to_numpy(x).tolist() == X.tolist()
    x[:, make([0, -1])] = 7.0
    assert to_numpy(x)[0].tolist() == [7.0, 1.0, 2.0, 7.0]
    x[make([True, False, False])] = 0.0
    assert to_numpy(x)[:, 0].tolist() == [0.0, 7.0, 7.0]
    assert not looks


def test_assignment(cupy_backend):
    x = Variable(cupy_backend.asarray(X), requires_grad=False)
    x[cupy_backend.asarray(np.asarray([-1]))] = 7.0
    assert to_numpy(x)[2].tolist() == [7.0] * 4
    x[:, cupy_backend.asarray(np.asarray([4]))] = 7.0
    with pytest.raises(IndexError, match=r"x\[key\] expected indices from -4 to 3, got 4"):
        to_numpy(x)


def test_at_once(cupy_backend, monkeypatch):
    """With XPNET_DEBUG_INDICES=1 the traceback leads to the call."""
    monkeypatch.setattr(bounds, "DEBUG", True)
    x, i = cupy_backend.asarray(X), cupy_backend.asarray(np.asarray([0, 5]))
    with pytest.raises(IndexError, match="got 5: it is out of range.$"):
        F.take(x, i, axis=0)


def test_a_thread_has_notes_of_its_own(cupy_backend):
    """An error is raised in the thread that made it."""
    x, i = cupy_backend.asarray(X), cupy_backend.asarray(np.asarray([5]))
    found = []

    def work():
        y = F.take(x, i, axis=0)
        found.append(to_numpy(x[:0]).shape)  # raises nothing, although the other thread has a note
        del y

    def watched():
        try:
            work()
        except IndexError as error:
            found.append(error)

    thread = threading.Thread(target=watched)
    thread.start()
    thread.join()
    assert to_numpy(x).tolist() == X.tolist()
    assert isinstance(found[-1], IndexError)


def test_what_an_ended_thread_left_unread(cupy_backend):
    """Its result goes to another thread, which is the one that can raise."""
    x, i = Variable(cupy_backend.asarray(X)), cupy_backend.asarray(np.asarray([5]))
    found = []
    thread = threading.Thread(target=lambda: found.append(F.take(x, i, axis=0)))
    thread.start()
    thread.join()
    with pytest.raises(IndexError, match="take expected indices from -3 to 2, got 5"):
        to_numpy(found[0])
    assert to_numpy(x).tolist() == X.tolist()  # it is reported once


def test_ended_threads_are_forgotten(cupy_backend):
    x, i = cupy_backend.asarray(X), cupy_backend.asarray(np.asarray([1]))
    for _ in range(5):
        thread = threading.Thread(target=F.take, args=(x, i), kwargs={"axis": 0})
        thread.start()
        thread.join()
    to_numpy(x)
    to_numpy(x)
    assert all(thread.is_alive() for thread, _ in bounds._threads)


@pytest.mark.parametrize("key", [7, -4, (0, 4), (slice(None), 9)])
def test_python_numbers_are_checked_on_the_host(cupy_backend, looks, key):
    """Slices, which may end outside, and integers: no launch, and an error at once."""
    x = Variable(cupy_backend.asarray(X), requires_grad=False)
    assert x[0:99].shape == (3, 4)
    with pytest.raises(IndexError):
        x[key]
    with pytest.raises(IndexError):
        x[key] = 1.0
    assert not looks


def test_an_integer_beside_an_array(cupy_backend):
    x, i = Variable(cupy_backend.asarray(X)), cupy_backend.asarray(np.asarray([0, 1]))
    with pytest.raises(IndexError):
        x[i, 4]


def test_one_launch_per_array(cupy_backend, looks):
    """No launch is needed in the backward pass, nor for masks."""
    x, i = Variable(cupy_backend.asarray(X)), cupy_backend.asarray(np.asarray([0, 1]))
    F.sum(F.take(x, i, axis=0)).backward()
    assert len(looks) == 1
    F.sum(x[i, i]).backward()
    assert len(looks) == 3
    F.sum(x[x > 3.0]).backward()
    assert len(looks) == 3
