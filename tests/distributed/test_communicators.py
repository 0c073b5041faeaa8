"""What ranks ask of each other: in threads, in processes, and alone."""

import math

import numpy as np
import pytest

import xpnet
from xpnet import distributed
from xpnet.distributed import SingleProcess, _host, launcher


def test_allreduce_on_every_library(backend):
    def reduce(communicator):
        with xpnet.using(backend):
            x = backend.asarray([[1.0, -2.0, 3.0]]) * (communicator.rank + 1)
            results = {op: communicator.allreduce(x + 0.0, op) for op in ("sum", "max", "min")}
            assert all(type(y) is type(x) and y.dtype == x.dtype for y in results.values())
            return {op: xpnet.to_numpy(y).tolist() for op, y in results.items()}

    expected = {"sum": [[6, -12, 18]], "max": [[3, -2, 9]], "min": [[1, -6, 3]]}
    assert distributed.run(3, reduce) == [expected] * 3


def test_broadcast_on_every_library(backend):
    def send(communicator):
        with xpnet.using(backend):
            x = backend.asarray([1, 2, 3]) * communicator.rank
            return xpnet.to_numpy(communicator.broadcast(x, root=2)).tolist()

    assert distributed.run(3, send) == [[2, 4, 6]] * 3


def test_a_reduction_goes_on_beside_others():
    def reduce(communicator):
        pending = [communicator.allreduce_start(np.full(2, float(i))) for i in range(4)]
        between = communicator.allgather(communicator.rank)
        return [p.wait()[0] for p in reversed(pending)], between

    assert distributed.run(2, reduce) == [([6.0, 4.0, 2.0, 0.0], [0, 1])] * 2


def test_arrays_in_host_memory_are_reduced_in_place():
    def reduce(communicator):
        x = np.ones(3)
        return communicator.allreduce(x) is x

    assert distributed.run(2, reduce) == [True, True]


def test_a_rank_that_raises_ends_the_others():
    def fail(communicator):
        if communicator.rank == 1:
            raise xpnet.DataError("no such row")
        communicator.barrier()

    with pytest.raises(xpnet.DataError, match="no such row"):
        distributed.run(3, fail)


def test_a_rank_that_is_missing_is_named():
    def hang(communicator):
        if communicator.rank != 1:
            communicator.barrier()

    with pytest.raises(xpnet.DistributedError, match=r"waited 0.2 s for ranks \[1\]"):
        distributed.run(3, hang, timeout=0.2)


@pytest.mark.parametrize("compression", ["float16", "bfloat16"])
def test_compressed_sums(compression):
    """Small whole numbers have few digits: their sums are exact in 16 bits."""

    def reduce(communicator):
        x = np.asarray([1.0, -3.0, 0.0, 96.0], np.float32) * (communicator.rank + 1)
        y = communicator.allreduce(x, compression=compression)
        return y.dtype.name, y.tolist()

    assert distributed.run(2, reduce) == [("float32", [3.0, -9.0, 0.0, 288.0])] * 2


def test_float16_arrays_are_added_in_float32():
    def reduce(communicator):
        return communicator.allreduce(np.asarray([1.0, 2048.0], np.float16)).tolist()

    assert distributed.run(3, reduce) == [[3.0, 6144.0]] * 3


def test_bfloat16_arrays_of_jax():
    jnp = pytest.importorskip("jax.numpy")

    def act(communicator):
        x = jnp.asarray([1.0, 128.0], jnp.bfloat16) * (communicator.rank + 1)
        total = communicator.allreduce(x)
        sent = distributed.broadcast_tree(communicator, {"x": x}, root=1)["x"]
        return total.dtype.name, total.tolist(), sent.dtype.name, sent.tolist()

    expected = ("bfloat16", [3.0, 384.0], "bfloat16", [2.0, 256.0])
    assert distributed.run(2, act) == [expected] * 2


def test_bfloat16_rounds_to_the_nearest():
    """Against PyTorch's own conversion where it is installed, and against known values."""
    known = [1.0, 1.0 + 2**-8, 1.0 + 3 * 2**-8, 1.0 + 2**-7, math.inf, -0.0, 3.4e38]
    bits = _host.narrowed(np.asarray(known, np.float32), "bfloat16")
    assert bits.tolist() == [0x3F80, 0x3F80, 0x3F82, 0x3F81, 0x7F80, 0x8000, 0x7F80]
    assert math.isnan(
        _host.widened(_host.narrowed(np.float32([math.nan]), "bfloat16"), "bfloat16")[0]
    )
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).normal(size=4096).astype(np.float32)
    expected = torch.from_numpy(x).to(torch.bfloat16).to(torch.float32).numpy()
    np.testing.assert_array_equal(
        _host.widened(_host.narrowed(x, "bfloat16"), "bfloat16"), expected
    )


def test_arguments_are_checked():
    one = SingleProcess()
    with pytest.raises(xpnet.ArgumentError, match="op"):
        one.allreduce(np.ones(2), "mean")
    with pytest.raises(xpnet.ArgumentError, match="compression"):
        one.allreduce(np.ones(2), compression="int8")
    with pytest.raises(xpnet.ArgumentError, match="sum"):
        one.allreduce(np.ones(2), "max", "float16")
    with pytest.raises(xpnet.ArgumentTypeError, match="int64"):
        distributed.run(1, lambda c: c.allreduce(np.arange(3), compression="float16"))


def test_one_process_is_a_rank_by_itself():
    one = SingleProcess()
    x = np.ones(2)
    assert one.allreduce(x) is x
    assert one.broadcast(x) is x
    assert one.allgather({"a": 1}) == [{"a": 1}]
    one.barrier()
    assert (one.rank, one.size, one.local_rank, one.is_root) == (0, 1, 0, True)


def test_layers_find_the_communicator_of_the_block():
    assert distributed.current().size == 1
    assert distributed.run(2, lambda c: distributed.current() is c) == [True, True]
    assert distributed.current().size == 1


def test_trees_are_sent_as_they_are():
    tree = {"a": [np.arange(3), {"b": None, "c": 1.5}], "d": np.float32(2.0), "e": np.ones((2, 0))}
    for found in distributed.run(2, lambda c: distributed.broadcast_tree(c, tree, root=1)):
        assert found["a"][0].tolist() == [0, 1, 2]
        assert found["a"][1] == {"b": None, "c": 1.5}
        assert found["d"].dtype == np.float32
        assert found["e"].shape == (2, 0)


def test_an_error_on_one_rank_is_raised_on_all():
    def act(communicator):
        try:
            distributed.on_root(communicator, lambda: math.sqrt(-1))
        except (ValueError, xpnet.DistributedError) as error:
            return type(error).__name__, str(error)

    (kind, _), other = distributed.run(2, act)
    assert kind == "ValueError"
    assert other[0] == "DistributedError"
    assert other[1].startswith("Rank 0 of 2 cannot continue: ValueError: ")


# --- the launcher ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"SLURM_NTASKS": "4", "SLURM_PROCID": "0"}, None),  # a batch script, which starts no ranks
        (
            {
                "OMPI_COMM_WORLD_SIZE": "4",
                "OMPI_COMM_WORLD_RANK": "3",
                "OMPI_COMM_WORLD_LOCAL_RANK": "1",
            },
            ("Open MPI", 3, 4, 1),
        ),
        ({"PMI_SIZE": "2", "PMI_RANK": "1", "MPI_LOCALRANKID": "0"}, ("mpiexec", 1, 2, 0)),
        ({"PMI_SIZE": "2", "PMI_RANK": "1"}, ("mpiexec", 1, 2, 1)),
        (
            {"SLURM_STEP_NUM_TASKS": "8", "SLURM_PROCID": "5", "SLURM_LOCALID": "1"},
            ("srun", 5, 8, 1),
        ),
    ],
)
def test_the_launcher_is_found_by_what_it_leaves_in_the_environment(environment, expected):
    assert launcher.launched(environment) == expected


def test_without_a_launcher_mpi4py_is_not_imported():
    import subprocess
    import sys

    from tests.processes import environment

    code = (
        "import sys, xpnet.training; from xpnet import distributed; "
        "print(distributed.communicator().size, 'mpi4py' in sys.modules)"
    )
    variables = environment()
    for _, *names in launcher._VARIABLES:
        for name in names:
            variables.pop(name, None)
    found = subprocess.run(
        [sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == ["1", "False"]


def test_each_rank_of_a_machine_has_a_gpu():
    assert [distributed.local_spec("cupy", rank, 2) for rank in range(3)] == [
        "cupy:0",
        "cupy:1",
        "cupy:0",
    ]
    assert distributed.local_spec("torch:cuda", 1, 4) == "torch:cuda:1"
    assert distributed.local_spec("cupy:3", 1, 4) == "cupy:3"
    assert distributed.local_spec("numpy", 1, 0) == "numpy"
