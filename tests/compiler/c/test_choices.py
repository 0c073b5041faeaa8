"""Own products or those of BLAS: measured once per machine, so that a run can be repeated."""

import json
import operator
import os
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.compiler.programs import Builder
from xpnet.compiler.c import build, choices, encode
from xpnet.compiler.c.blas import find_blas
from xpnet.compiler.executors.c import CExecutor
from xpnet.compiler.passes import cleaned


@pytest.fixture
def new_process(tmp_path, monkeypatch):
    """A function that forgets what this process knows; the cache is the test's."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def forget():
        monkeypatch.setattr(choices, "_known", {})
        choices._file.cache_clear()

    forget()
    yield forget
    monkeypatch.undo()
    choices._file.cache_clear()


def never():
    raise AssertionError("it was measured again")


@pytest.mark.parametrize("answer", [True, False])
def test_another_process_decides_alike(new_process, answer):
    assert choices.is_first_chosen("key", lambda: answer) is answer
    assert choices.is_first_chosen("key", never) is answer
    new_process()
    assert choices.is_first_chosen("key", never) is answer


def test_the_process_that_measures_first_decides(new_process):
    """Two processes measure at the same time, and one writes before the other."""

    def measured():
        known = choices._known
        new_process()
        choices._added({"key": True})
        choices._known = known
        return False

    assert choices.is_first_chosen("key", measured) is True


def test_answers_that_are_read_are_kept_as_what_is_used(new_process):
    choices.is_first_chosen("key", lambda: True)
    os.utime(choices._file(), (0, 0))
    new_process()
    assert choices.is_first_chosen("key", never) is True
    build._remove_unused(choices._file().parent)
    assert choices._file().exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"key": 3}', b'{"key": false}', b"\xff"])
def test_a_damaged_file_is_written_anew(new_process, content):
    choices._file().write_bytes(content)
    assert choices.is_first_chosen("key", lambda: True) is True
    found = json.loads(choices._file().read_text())
    assert isinstance(found.pop("name"), str)
    assert found == {"key": True}


def test_a_long_file_forgets_its_oldest_entries(new_process, monkeypatch):
    monkeypatch.setattr(choices, "MOST", 3)
    for key in "abcd":
        choices.is_first_chosen(key, lambda: True)
    assert set(json.loads(choices._file().read_text())) == {"name", "b", "c", "d"}


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="permissions are those of POSIX")
def test_without_a_safe_folder_nothing_is_measured(new_process, tmp_path):
    """Each process would measure anew, and might decide otherwise."""
    folder = tmp_path / "xpnet" / "c"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    assert choices.is_first_chosen("key", never) is True
    assert choices.products(1) == "own"
    assert list(folder.iterdir()) == []


def test_an_answer_that_cannot_be_kept_is_not_taken(new_process, monkeypatch):
    def replace(path, target):
        raise OSError("read-only")

    monkeypatch.setattr(type(choices._file()), "replace", replace)
    assert choices.is_first_chosen("key", lambda: False) is True
    assert choices.is_first_chosen("key", never) is True
    assert choices.products(1) == "own"


# ---- what a run records --------------------------------------------------------------------------


@pytest.fixture
def some_blas(monkeypatch):
    monkeypatch.setattr(choices, "find_blas", lambda: SimpleNamespace(path=Path("libblas.so")))
    monkeypatch.delenv("XPNET_PRODUCTS", raising=False)


def test_the_products_of_one_thread_are_named_by_their_file(some_blas, new_process):
    """The name stays as the file grows, in each process; a new file has another one."""
    name = choices.products(1)
    assert re.fullmatch("measured [0-9a-f]{12}", name)
    choices.is_first_chosen("key", lambda: False)
    assert choices.products(1) == name
    new_process()
    assert choices.is_first_chosen("key", never) is False
    assert choices.products(1) == name
    choices._file().unlink()
    assert choices.products(1) not in (name, "own")


def test_what_is_forgotten_changes_the_name(some_blas, new_process, monkeypatch):
    monkeypatch.setattr(choices, "MOST", 2)
    names = set()
    for key in "abc":
        choices.is_first_chosen(key, lambda: True)
        names.add(choices.products(1))
    assert len(names) == 2


def test_products_that_are_not_measured_are_named(some_blas, new_process, monkeypatch):
    assert choices.products(2) == "own"
    for forced in ("own", "blas"):
        monkeypatch.setenv("XPNET_PRODUCTS", forced)
        assert choices.products(1) == choices.products(2) == forced
    monkeypatch.setattr(choices, "find_blas", lambda: None)
    assert choices.products(1) == "own"
    assert not choices._file().exists()


def instructions(plans, threads, m=200):
    """The names of the instructions for a product, (m, 100) by (100, 50), on so many threads."""
    builder = Builder()
    shapes = ((m, 100), (100, 50))
    arrays = [builder.input("argument", np.ones(shape, "f")) for shape in shapes]
    builder.program.outputs = [builder.apply("matmul", operator.matmul, *arrays)]
    executor = CExecutor(cleaned(builder.program, "c"), plans, threads)
    executor.bind([])
    [segment] = executor._segments
    return [x.name for x in segment.instructions]


@pytest.mark.skipif(find_blas() is None, reason="NumPy has no BLAS that can be called")
@pytest.mark.parametrize(
    ("ratio", "name"), [(0.5, "product_f32"), (1.09, "product_f32"), (1.11, "blas_product_f32")]
)
def test_blas_computes_what_it_computes_faster_by_a_tenth(
    plans, new_process, monkeypatch, ratio, name
):
    monkeypatch.setattr(encode, "_ratio", lambda *given: ratio)
    assert instructions(plans, threads=1) == [name]


@pytest.mark.skipif(find_blas() is None, reason="NumPy has no BLAS that can be called")
@pytest.mark.parametrize(("ratio", "name"), [(0.94, "product_f32"), (0.96, "blas_product_f32")])
def test_blas_computes_large_products_unless_it_is_slower(
    plans, new_process, monkeypatch, ratio, name
):
    monkeypatch.setattr(encode, "_ratio", lambda *given: ratio)
    assert instructions(plans, threads=1, m=20_000) == [name]


def test_several_threads_never_call_blas(plans, new_process, monkeypatch):
    monkeypatch.setattr(encode, "_ratio", lambda *given: 100.0)
    assert instructions(plans, threads=2) == ["product_f32"]


@pytest.mark.skipif(find_blas() is None, reason="NumPy has no BLAS that can be called")
def test_what_is_measured_is_how_many_times_as_long_the_first_way_takes(
    plans, new_process, monkeypatch
):
    times = iter([3.0, 2.0, 500.0, 2.0, 3.0, 1.0, 3.0, 2.0])
    monkeypatch.setattr(encode, "REPEATS", 4)
    monkeypatch.setattr(encode._Bench, "time", lambda bench, which: next(times))
    found = []
    measured = encode._ratio
    monkeypatch.setattr(encode, "_ratio", lambda *given: found.append(measured(*given)) or 1.0)
    instructions(plans, threads=1)
    assert found == [2.25]  # the median of 1.5, 250, 3 and 1.5
