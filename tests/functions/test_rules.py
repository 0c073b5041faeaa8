"""Every differentiable function: its derivatives of order 1 and 2, on every backend.

The tests are generated from the declarations: a function without a case fails here.
"""

import os

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.functions.cases import CASES, LACKS
from xpnet import Variable, array_namespace, using
from xpnet.autodiff.namespace import EXTENSIONS, kinds
from xpnet.testing import check_gradients

DIFFERENTIABLE = sorted(name for name, kind in kinds.items() if kind == "differentiable")


def test_every_differentiable_function_has_a_case():
    assert sorted(CASES) == DIFFERENTIABLE


class Spy:
    """A namespace that notes, by name, what is taken from it."""

    def __init__(self, xp, taken, extension=""):
        self.xp = xp
        self.taken = taken
        self.extension = extension

    def __getattr__(self, name):
        full = f"{self.extension}.{name}" if self.extension else name
        found = getattr(self.xp, name)
        if full in EXTENSIONS:
            return Spy(found, self.taken, full)
        self.taken.add(full)
        return found


@pytest.mark.parametrize("name", sorted(CASES))
@settings(max_examples=3, deadline=None, derandomize=True, database=None)
@given(data=st.data())
def test_a_case_calls_the_function_that_it_stands_for(name, data):
    """And its result is recorded: otherwise the table would claim what no test runs."""
    with using("numpy", dtype="float64") as backend:
        for case in CASES[name]:
            call, hosts = data.draw(case)
            xs = [Variable(backend.asarray(host)) for host in hosts]
            taken = set()
            y = call(Spy(array_namespace(*xs), taken), *xs)
            assert name in taken
            assert y.requires_grad


@pytest.mark.parametrize(
    ("name", "number"), [(name, i) for name in sorted(CASES) for i in range(len(CASES[name]))]
)
@settings(
    max_examples=1 if os.environ.get("XPNET_TEST_BACKENDS") == "jax" else 3,  # JAX compiles each
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_derivatives_of_order_1_and_2(backend64, array, order, name, number, data):
    """Rules that run on arrays, and on Variables, agree with central differences; on JAX to order 1."""
    library = backend64.name.partition(":")[0]
    if (name, library) in LACKS:
        pytest.skip(LACKS[name, library])
    call, hosts = data.draw(CASES[name][number])
    arrays = [array(host, "complex128" if host.dtype.kind == "c" else "float64") for host in hosts]

    def f(*xs):
        return call(array_namespace(*xs), *xs)

    check_gradients(f, *arrays, order=order)
