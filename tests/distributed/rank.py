"""A rank that `mpiexec` starts: `mpiexec -n 2 python -m tests.distributed.rank messages steps,adam,eager`.

Each argument is a case: a function of this file, and what it is given after the communicator. It asserts.
Rank 0 prints the name of each case that held on all ranks. After the first one that did not, the ranks end.
"""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import xpnet
from tests.distributed.trainings import assert_same, clusters, train
from xpnet import distributed
from xpnet.distributed import mpi
from xpnet.metrics import F1, accuracy
from xpnet.training import Callback

SECONDS = 120.0  # that a rank waits for another one: the machine may be busy


def messages(communicator, spec="numpy"):
    """Each kind of message, on arrays of a library."""
    rank = communicator.rank
    size = communicator.size
    with xpnet.using(spec) as backend:
        x = backend.asarray(np.arange(5.0) + rank, backend.dtype)
        expected = size * np.arange(5.0) + sum(range(size))
        np.testing.assert_array_equal(xpnet.to_numpy(communicator.allreduce(x + 0.0)), expected)
        for name in ("float16", "bfloat16"):
            y = communicator.allreduce(x + 0.0, compression=name)
            np.testing.assert_array_equal(xpnet.to_numpy(y), expected)
        np.testing.assert_array_equal(
            xpnet.to_numpy(communicator.allreduce(x + 0.0, "max")), np.arange(5.0) + size - 1
        )
        pending = [communicator.allreduce_start(x * float(i)) for i in range(3)]
        for i in (2, 0, 1):
            np.testing.assert_array_equal(xpnet.to_numpy(pending[i].wait()), i * expected)
        sent = communicator.broadcast(x + 0.0, root=size - 1)
        np.testing.assert_array_equal(xpnet.to_numpy(sent), np.arange(5.0) + size - 1)
    half = communicator.allreduce(np.full(3, 1.0 + rank, np.float16))
    assert half.dtype == np.float16
    np.testing.assert_array_equal(half, np.full(3, size * (size + 1) / 2))
    assert communicator.allgather({"rank": rank, "long": "x" * 1000 * rank}) == [
        {"rank": r, "long": "x" * 1000 * r} for r in range(size)
    ]
    communicator.barrier()


def steps(communicator, kind, how):
    """112 steps of an optimizer, of which each sixteenth has 10 samples; compiled ones are cut in two."""
    compile = {"eager": False, "compiled": None}[how]
    options = {"data": clusters(310), "epochs": 7}
    outcome = assert_learns_as_one(communicator, kind=kind, compile=compile, **options)
    assert outcome.steps == 112
    assert outcome.replayed == ([] if how == "eager" else ["step", "prepared", "move"])


def training(communicator, compile=None):
    """Short last batches of test data too, metrics of the whole, and gradients that are clipped."""
    options = {"epochs": 17, "test": clusters(31), "metrics": [accuracy, F1("macro")]}
    assert_learns_as_one(communicator, compile=compile, clip=0.5, **options)


def eager_training(communicator):
    """The same with steps that are not compiled: buckets are sent while the walk back goes on."""
    training(communicator, compile=False)


def normalized_training(communicator):
    """With batch normalization over all ranks."""
    from tests.distributed.test_batch_norm import network

    assert_learns_as_one(communicator, build=network, epochs=5, data=clusters(42))


def assert_learns_as_one(communicator, **options):
    """All ranks have the weights and figures that one rank has by itself; returns the Outcome of this one."""
    outcome = train(communicator, **options)
    assert_same_on_all(communicator, outcome)
    if communicator.is_root:
        assert_same(train(None, **options), outcome)
    return outcome


def assert_same_on_all(communicator, outcome):
    """The ranks have the same bits: the text of a number in JSON determines it."""
    own = {name: x.tolist() for name, x in outcome.state.items()}
    own |= {"steps": outcome.steps, "history": outcome.history}
    everyone = communicator.allgather(own)
    assert everyone == [everyone[0]] * communicator.size
    assert own == everyone[communicator.rank]


def divergence(communicator):
    """Weights that differ in one bit are noticed at the end of the epoch."""

    class Change(Callback):
        def on_step(self, trainer):
            if communicator.rank == 1:
                trainer.model.layers[0].weight.data[0, 0] += 1e-12

    try:
        train(communicator, callbacks=[Change()])
    except xpnet.DistributedError as error:
        assert "model.layers.0.weight on rank 1 is not that on rank 0" in str(error)
    else:
        raise AssertionError("nothing was noticed")


def resumed(communicator, before, after):
    """What some ranks have saved in the middle of an epoch is resumed by another number of them."""

    class Save(Callback):
        def on_step(self, trainer):
            if (len(trainer.history), trainer.batch) == (2, 3):
                trainer.save(state)

    with tempfile.TemporaryDirectory() as own:
        state = Path(communicator.allgather(own)[0]) / "state"
        with first_ranks(communicator, int(before)) as some:
            if some is not None:
                train(some, callbacks=[Save()])
        with first_ranks(communicator, int(after)) as some:
            if some is not None:
                outcome = train(some, epochs=4, resume=state)
                assert_same_on_all(some, outcome)
        if communicator.is_root:
            assert_same(train(None, epochs=4), outcome)
        communicator.barrier()  # only now is the folder deleted


@contextmanager
def first_ranks(communicator, size) -> Iterator[distributed.MPICommunicator | None]:
    """A communicator of the first ranks only; None on the others, which wait for the end of the block."""
    undefined = communicator.MPI.UNDEFINED
    comm = communicator.comm.Split(0 if communicator.rank < size else undefined)
    some = None
    if comm != communicator.MPI.COMM_NULL:
        some = distributed.MPICommunicator(comm, timeout=SECONDS)
    yield some
    communicator.barrier()


def failed_fit(communicator):
    """Rank 1 catches its error and calls fit again: no rank takes a message of the other `fit` for its own."""

    class Fail(Callback):
        def on_step(self, trainer):
            if communicator.rank == 1 and trainer.steps == 5:
                raise xpnet.DataError("on rank 1 only")

    waiting = distributed.MPICommunicator(timeout=0.5)
    mpi.Presence.SECONDS = 0.2
    found = []
    for _ in range(2):
        try:
            train(waiting, callbacks=[Fail()])
        except xpnet.XpnetError as error:
            found.append(type(error))
    first = xpnet.DataError if communicator.rank == 1 else xpnet.DistributedError
    assert found == [first, xpnet.DistributedError]


def late(communicator):
    """A rank that waits for another gives up after the timeout."""
    waiting = distributed.MPICommunicator(timeout=0.3)
    mpi.Presence.SECONDS = 0.2  # there will be no answer
    if communicator.rank == 0:
        others = ", ".join(map(str, range(1, communicator.size)))
        try:
            waiting.barrier()
        except xpnet.DistributedError as error:
            message = f"Rank 0 of {communicator.size} waited 0.3 s for the others: rank {others} is"
            assert message in str(error)
            communicator.allreduce(np.ones(1))
            communicator.abort("as it should")
        raise AssertionError("it did not give up")
    communicator.allreduce(np.ones(1))
    communicator.barrier()


def main(cases):
    communicator = distributed.communicator(timeout=SECONDS)
    assert communicator.name == "MPI"
    for case in cases:
        name, *arguments = case.split(",")
        globals()[name](communicator, *arguments)
        communicator.barrier()
        if communicator.is_root:
            print(case, flush=True)  # noqa: T201 - for test_processes.py
    communicator.close()


if __name__ == "__main__":
    main(sys.argv[1:])
