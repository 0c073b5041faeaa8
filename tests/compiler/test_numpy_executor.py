"""The NumPy executor: the same bits as eager code, in given memory."""

import numpy as np
import pytest
from hypothesis import given, settings

import xpnet
from tests.compiler.programs import (
    SIZES,
    assert_equal_bits,
    builders,
    interpreted,
    recorded_step,
)
from xpnet.compiler.executors.numpy import NumPyExecutor
from xpnet.compiler.passes import cleaned

OPTIMIZERS = {
    "SGD": lambda p: xpnet.SGD(p, lr=0.1),
    "Momentum": lambda p: xpnet.Momentum(p, lr=0.1),
    "Adam": lambda p: xpnet.Adam(p, lr=0.01),
}


def run_and_compare(program, arguments, states, hosts=(), steps=3):
    """Run steps of the executor, and of the program operation by operation; returns the executor."""
    executor = NumPyExecutor(cleaned(program, "numpy"))
    bound = executor.bind([np.array(x) for x in states])
    expected = states
    for _ in range(steps):
        outputs, expected = interpreted(program, arguments, expected, hosts)
        assert_equal_bits(executor.run(arguments, hosts), outputs)
        assert_equal_bits(executor.states, expected)
        assert all(x is y for x, y in zip(bound, executor.states, strict=True))
    return executor


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", SIZES)
def test_a_training_step_has_the_bits_of_eager_code(name, optimizer):
    run_and_compare(*recorded_step(name, OPTIMIZERS[optimizer]))


@given(builder=builders())
@settings(deadline=None, max_examples=300)
def test_a_drawn_program_has_the_bits_of_eager_code(builder):
    with np.errstate(all="ignore"):
        arrays = [builder.given(kind) for kind in ("argument", "state", "host")]
        run_and_compare(builder.program, *arrays, steps=2)
