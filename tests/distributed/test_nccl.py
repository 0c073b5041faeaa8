"""NCCL's part of the interface, against a stand-in for NCCL whose ranks are threads.

The stand-in adds up what is at the pointers that it is given, as NCCL does. Streams, events, dtypes and
arrays are CuPy's own, on a GPU or on the emulated device.
"""

import math
from types import SimpleNamespace

import numpy as np
import pytest

import xpnet
from tests.distributed.trainings import clusters, mlp, train
from xpnet import distributed
from xpnet.distributed import nccl

DTYPES = {
    "NCCL_FLOAT16": np.float16,
    "NCCL_FLOAT32": np.float32,
    "NCCL_FLOAT64": np.float64,
    "NCCL_INT32": np.int32,
    "NCCL_INT64": np.int64,
    "NCCL_UINT8": np.uint8,
    "NCCL_BFLOAT16": None,
}
OPERATIONS = ("NCCL_SUM", "NCCL_MAX", "NCCL_MIN")
NUMBERS = {name: number for number, name in enumerate([*DTYPES, *OPERATIONS])}
UNIQUE = tuple(range(-64, 64))  # CuPy's id: 128 signed bytes


class Stand:
    """`cupy.cuda.nccl`, for one rank."""

    available = True

    def __init__(self, control):
        self.calls = []
        self._control = control
        vars(self).update(NUMBERS)

    def get_unique_id(self):
        assert self._control.rank == 0
        return UNIQUE

    def NcclCommunicator(self, size, unique, rank):  # noqa: N802 - its name in CuPy
        assert (size, unique, rank) == (self._control.size, UNIQUE, self._control.rank)
        return SimpleNamespace(allReduce=self.reduce, broadcast=self.send, destroy=lambda: None)

    def _at(self, pointer, count, number):
        import cupy

        name = next(name for name, n in NUMBERS.items() if n == number)
        dtype = DTYPES[name] or np.uint16
        memory = cupy.cuda.UnownedMemory(pointer, count * np.dtype(dtype).itemsize, self)
        x = cupy.ndarray(count, dtype, cupy.cuda.MemoryPointer(memory, 0))
        return x, "bfloat16" if name == "NCCL_BFLOAT16" else None

    def reduce(self, source, target, count, number, operation, stream):
        import cupy

        assert source == target
        self.calls.append(stream)
        op = {NUMBERS[f"NCCL_{x.upper()}"]: x for x in ("sum", "max", "min")}[operation]
        cupy.cuda.get_current_stream().synchronize()
        x, bits = self._at(source, count, number)
        sent = x.get()
        if bits is None:
            x.set(self._control.allreduce(sent, op))
        else:
            self._control._start(sent, op, bits).wait()
            x.set(sent)

    def send(self, source, target, count, number, root, stream):
        import cupy

        cupy.cuda.get_current_stream().synchronize()
        x, _ = self._at(source, count, number)
        x.set(self._control.broadcast(x.get(), root))


@pytest.fixture
def on_ranks(cupy_backend, monkeypatch):
    """A function that runs f(communicator) on two ranks with NCCL, and returns the results."""
    import_module = nccl.import_module

    def imported(name):
        if name != "cupy.cuda.nccl":
            return import_module(name)
        control = distributed.current()  # that of this thread
        return stands.setdefault(control.rank, Stand(control))

    def run(function):
        stands.clear()

        def rank(control):
            with xpnet.using(cupy_backend):
                return function(nccl.NCCLCommunicator(control))

        return distributed.run(2, rank)

    stands = {}
    monkeypatch.setattr(nccl, "import_module", imported)
    return run


def test_reductions_and_broadcasts(on_ranks):
    def act(communicator):
        x = xpnet.current().asarray([[1.0, -2.0, 3.0]]) * (communicator.rank + 1)
        results = [communicator.allreduce(x + 0.0, op) for op in ("sum", "max", "min")]
        results.append(communicator.broadcast(x + 0.0, root=1))
        results.append(communicator.allreduce_start(x[:, ::2] + 0.0).wait())
        assert all(type(y) is type(x) and y.dtype == x.dtype for y in results)
        assert communicator._nccl.calls  # not by the control
        return [y.tolist() for y in results]

    expected = [[[3, -6, 9]], [[2, -2, 6]], [[1, -4, 3]], [[2, -4, 6]], [[3, 9]]]
    assert on_ranks(act) == [expected] * 2


@pytest.mark.parametrize("compression", ["float16", "bfloat16"])
def test_compressed_sums(on_ranks, compression):
    def act(communicator):
        x = xpnet.current().asarray([1.0, -3.0, 0.0, 96.0]) * (communicator.rank + 1)
        y = communicator.allreduce(x, compression=compression)
        return y.dtype.name, y.tolist()

    assert on_ranks(act) == [("float32", [3.0, -9.0, 0.0, 288.0])] * 2


def test_bfloat16_is_that_of_the_host(cupy_backend):
    import cupy

    from xpnet.distributed import _host

    x = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    x[:4] = [1.0 + 2**-8, 1.0 + 3 * 2**-8, math.inf, math.nan]
    bits = nccl._to_bfloat16(cupy, cupy.asarray(x))
    np.testing.assert_array_equal(bits.get(), _host.narrowed(x, "bfloat16"))
    wide = nccl._from_bfloat16(cupy, bits).get()
    np.testing.assert_array_equal(wide, _host.widened(bits.get(), "bfloat16"))


def test_arrays_on_the_host_and_small_values_go_by_the_control(on_ranks):
    def act(communicator):
        x = communicator.allreduce(np.ones(2))
        y = communicator.broadcast(np.full(2, communicator.rank), root=1)
        assert communicator._nccl.calls == []
        return x.tolist(), y.tolist(), communicator.allgather(communicator.rank)

    assert on_ranks(act) == [([2.0, 2.0], [1, 1], [0, 1])] * 2


def test_a_reduction_is_on_a_stream_beside_the_one_that_computes(on_ranks):
    import cupy

    def act(communicator):
        communicator.allreduce(xpnet.current().asarray([1.0]))
        return communicator._nccl.calls[0] not in (0, cupy.cuda.get_current_stream().ptr)

    assert on_ranks(act) == [True, True]


def test_a_training_with_nccl_is_that_of_one_rank(on_ranks):
    x, t = clusters(50)
    options = {
        "spec": "cupy", "dtype": "float64", "data": (x, t), "epochs": 2, "build": mlp, "compile": False,
    }  # fmt: skip
    alone = train(None, **options)
    for outcome in on_ranks(lambda communicator: train(communicator, **options)):
        for name, expected in alone.state.items():
            np.testing.assert_allclose(outcome.state[name], expected, rtol=1e-6, atol=1e-12)


def test_without_nccl_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(nccl, "is_available", lambda: False)
    with pytest.raises(xpnet.BackendError, match="pip install"):
        nccl.NCCLCommunicator(distributed.SingleProcess())
