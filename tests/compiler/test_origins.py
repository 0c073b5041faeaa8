"""Whose code it is: the user's, or a library's."""

import sys
import types
from functools import partial

import numpy as np
import pytest

import xpnet
from xpnet import functions as F
from xpnet.compiler.compiled import Compiled
from xpnet.compiler.executors.library import LibraryExecutor
from xpnet.compiler.origins import is_librarys, is_users_function, is_users_module, owned_by

compile_it = partial(Compiled, executor=LibraryExecutor)

SOURCE = """
import numpy as np

SCALE = 2.0
W = np.ones(1)

class Holder:
    number = 1.0

def step(x):
    return x * SCALE * W * Holder.number

def energy(x):
    return (x * SCALE).sum()
"""


def module_in(folder, name, monkeypatch):
    """A module of this name whose file is in a folder."""
    file = folder / f"{name.rpartition('.')[2]}.py"
    made = types.ModuleType(name)
    made.__file__ = str(file)
    monkeypatch.setitem(sys.modules, name, made)
    exec(compile(SOURCE, str(file), "exec"), vars(made))
    return made


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A module of a package that is installed."""
    folder = tmp_path / "site-packages" / "learning"
    package = types.ModuleType("learning")
    package.__path__ = [str(folder)]
    monkeypatch.setitem(sys.modules, "learning", package)
    return module_in(folder, "learning.steps", monkeypatch)


def test_the_package_of_the_step_is_looked_into_although_it_is_installed(installed):
    compiled = compile_it(installed.step)
    for _ in range(5):
        assert compiled(np.ones(1)) == [2.0]
    installed.SCALE = 3.0
    assert compiled(np.ones(1)) == [3.0]
    installed.Holder.number = 5.0
    assert compiled(np.ones(1)) == [15.0]
    installed.W[...] = 2.0
    assert compiled(np.ones(1)) == [30.0]
    installed.W = np.full(1, 4.0)
    assert compiled(np.ones(1)) == [60.0]


def test_the_package_of_a_function_that_xpnet_has_transformed(installed):
    compiled = compile_it(xpnet.grad(lambda x: F.sum(installed.step(x))))
    other = compile_it(partial(installed.step))
    for scale in (2.0, 2.0, 2.0, 2.0, 7.0):
        installed.SCALE = scale
        assert other(np.ones(1)) == [scale]
    assert compiled(np.ones(1)) == [7.0]
    with owned_by(xpnet.grad(installed.step)):
        assert is_users_module("learning.steps")


def test_other_packages_are_not_the_users(installed):
    assert not is_users_module("learning.steps")
    assert not is_users_function(installed.step)
    with owned_by(installed.step):
        assert is_users_function(installed.step)
        assert not is_users_module("numpy.linalg")
        assert not is_users_module("xpnet.functions")
        assert not is_users_module("json")
    with owned_by(np.exp):
        assert not is_users_module("numpy.linalg")


@pytest.mark.parametrize("name", ["test", "profile", "code"])
def test_a_module_with_the_name_of_one_of_pythons_own(tmp_path, monkeypatch, name):
    module = module_in(tmp_path, name, monkeypatch)
    assert is_users_module(name)
    assert not is_librarys(name)
    compiled = compile_it(module.step)
    for _ in range(5):
        assert compiled(np.ones(1)) == [2.0]
    module.SCALE = 3.0
    module.Holder.number = 5.0
    assert compiled(np.ones(1)) == [15.0]


def test_builtins_and_what_is_unknown():
    assert is_librarys("builtins")
    assert is_librarys("collections")
    assert not is_users_module("sys")
    assert is_users_module("typed at a prompt")
    assert is_users_module(None)
