"""A rank that `mpiexec` starts: `mpiexec -n 2 python -m tests.distributed.rank NAME` runs a function here.

Each function is given the communicator, and asserts; the launcher's exit status shows whether it held.
"""

import sys
from pathlib import Path

import numpy as np

import xpnet
from tests.distributed.trainings import assert_same, clusters, train
from xpnet import distributed
from xpnet.metrics import F1, accuracy
from xpnet.training import Callback


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


def training(communicator, compile=None, compression=None):
    """A training by processes is that of one rank, with short last batches and metrics of the whole."""
    options = {"epochs": 17, "test": clusters(31), "metrics": [accuracy, F1("macro")]}
    options |= {"compile": compile, "clip": 0.5}
    assert_same(train(None, **options), train(communicator, **options))


def eager_training(communicator):
    """The same with steps that are not compiled: buckets are sent while the walk back goes on."""
    training(communicator, compile=False)


def normalized_training(communicator):
    """With batch normalization over all ranks."""
    from tests.distributed.test_batch_norm import network

    options = {"build": network, "epochs": 5, "data": clusters(42)}
    assert_same(train(None, **options), train(communicator, **options))


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


def saved(communicator, folder):
    """Two epochs and a half, and a checkpoint."""

    class Save(Callback):
        def on_step(self, trainer):
            if (len(trainer.history), trainer.batch) == (2, 3):
                trainer.save(Path(folder) / "state")

    train(communicator, callbacks=[Save()])


def resumed(communicator, folder):
    """From that checkpoint to the end: the same as a training of one rank without an interruption."""
    outcome = train(communicator, epochs=4, resume=Path(folder) / "state")
    assert_same(train(None, epochs=4), outcome)


def late(communicator):
    """A rank that waits for another gives up after the timeout."""
    waiting = distributed.MPICommunicator(timeout=0.3)
    if communicator.rank == 0:
        try:
            waiting.barrier()
        except xpnet.DistributedError as error:
            assert "Rank 0 of 2 waited 0.3 s for the others" in str(error)
            communicator.allreduce(np.ones(1))
            communicator.abort("as it should")
        raise AssertionError("it did not give up")
    communicator.allreduce(np.ones(1))
    communicator.barrier()


if __name__ == "__main__":
    joined = distributed.communicator()
    assert joined.name in ("MPI", "one process")
    globals()[sys.argv[1]](joined, *sys.argv[2:])
    joined.close()
