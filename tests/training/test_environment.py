"""The environment: what the last bits of a run depend on."""

import sys

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

import xpnet
from xpnet.compiler.c import blas, choices
from xpnet.training import _compiled, environment


def test_the_versions_are_those_of_the_packages(backend):
    found = environment.versions()
    assert found["xpnet"] == xpnet.__version__
    assert found["numpy"] == np.__version__
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    library = backend.name.partition(":")[0]
    assert found[library] == sys.modules[library].__version__


@pytest.mark.parametrize("number", [1, 2])
def test_the_threads_are_those_of_the_blas(number):
    """The actual number, whatever an environment variable asks for."""
    with xpnet.using("numpy"), threadpool_limits(number, user_api="blas"):
        found = environment.threads()
        pools = [
            p for p in threadpool_info() if p["user_api"] == "blas" and "numpy" in p["filepath"]
        ]
    assert found["threads"] == max(pool["num_threads"] for pool in pools)
    assert found["blas"].split()[0] == pools[0]["internal_api"]
    assert pools[0]["version"] in found["blas"]


def test_the_blas_is_that_of_the_library(monkeypatch):
    """NumPy's if the library has none, any if NumPy has none, and nothing if there is none."""

    def pool(name, number, api="blas"):
        return {
            "user_api": api, "internal_api": name, "version": "1", "num_threads": number,
            "filepath": f"/lib/{name}/lib.so",
        }  # fmt: skip

    pools = []
    monkeypatch.setattr("threadpoolctl.threadpool_info", lambda: pools)
    with xpnet.using("numpy"):
        assert environment.threads() == {}
        pools.append(pool("torch", 8, "openmp"))
        assert environment.threads() == {}
        pools.append(pool("scipy", 3))
        assert environment.threads() == {"blas": "scipy 1", "threads": 3}
        pools.append(pool("numpy", 5))
        assert environment.threads() == {"blas": "numpy 1", "threads": 5}


@pytest.fixture
def on_c(monkeypatch):
    monkeypatch.setattr(_compiled, "executor_details", lambda library: "C (binary for v9)")
    with xpnet.using("numpy"):
        yield


def test_what_the_roundings_of_c_depend_on(on_c, monkeypatch):
    monkeypatch.setattr(blas, "usable_threads", lambda: 1)
    monkeypatch.setattr(choices, "products", lambda threads: f"of {threads} threads")
    found = environment.executor(True)
    assert found == {
        "executor": "C (binary for v9)", "executor_threads": 1, "products": "of 1 threads"
    }  # fmt: skip
    recorded = environment.recorded({"versions": {}, **found})
    monkeypatch.setattr(blas, "usable_threads", lambda: 2)
    monkeypatch.setattr(choices, "products", lambda threads: "own")
    assert environment.changes(recorded, environment.executor(True)) == [
        "executor_threads 1 -> 2", "products of 1 threads -> own"
    ]  # fmt: skip


def test_steps_that_cannot_be_compiled_are_not_of_c(on_c):
    found = environment.executor(True, possible=False)
    assert found == {"executor": "NumPy", "steps": "cannot be compiled"}
    assert environment.executor(False) == {"executor": "NumPy"}


def test_entries_of_both_environments_are_compared():
    before = {"numpy": "2.0", "threads": 1, "blas": "a", "gone": 1}
    now = {"numpy": "2.1", "threads": 1, "blas": "b", "new": 2}
    assert environment.changes(before, now) == ["numpy 2.0 -> 2.1", "blas a -> b"]
    assert environment.changes(before, before) == []


@pytest.mark.parametrize("config", [None, [], {}, {"versions": []}, {"threads": 3}])
def test_a_config_without_versions_has_no_environment(config):
    assert environment.recorded(config) == {}


def test_entries_that_cannot_be_printed_are_left_out():
    config = {"versions": {"numpy": "2.0", "a\x1b": "1", "b": ["2"], "c": "x" * 200}, "blas": "\n"}
    assert environment.recorded(config) == {"numpy": "2.0"}
