"""The search for what a function can reach."""

import functools
import sys
import types
from collections import deque

import numpy as np
import pytest

import xpnet
from xpnet import functions as F
from xpnet.compiler.state import LIMIT, Place, survey
from xpnet.errors import CompileError

GLOBAL = np.zeros(3)
NUMBER = 4.0


def helper(x):
    return x + GLOBAL


def names(*roots):
    """The names of the cells that can be reached."""
    return [place.name for place in survey(*roots).cells]


def entries(*roots):
    """What else can be reached: values by name."""
    return {entry.place.name: entry.value for entry in survey(*roots).entries}


def model_and_optimizer():
    model = xpnet.Sequential(xpnet.Affine(3, 2), xpnet.BatchNorm1d(2))
    return model, xpnet.Adam(model.parameters())


def test_parameters_have_the_names_of_the_model():
    model, opt = model_and_optimizer()

    def step(x):
        opt.zero_grad()
        F.sum(model(x)).backward()
        opt.step()

    found = names(step)
    assert found[:4] == [
        "model.layers.0.weight",
        "model.layers.0.bias",
        "model.layers.1.weight",
        "model.layers.1.bias",
    ]
    assert {"model.layers.1.running_mean", "opt.state.0.m", "opt.state.3.v"} <= set(found)
    assert len(found) == len(set(found)) == 4 + 3 + 8
    places = survey(step).gradients
    assert [place.name for place in places] == [f"{name}.grad" for name in found[:4]]


class Slotted:
    __slots__ = ("a", "missing")

    def __init__(self):
        self.a = np.ones(2)


class WithGlobals:
    table = np.ones(2)

    def __init__(self):
        self.x = 1.0

    def method(self, x):
        return helper(x) * NUMBER

    @staticmethod
    def static(x):
        return x + STATIC

    @property
    def prop(self):
        return PROPERTY


STATIC = np.ones(1)
PROPERTY = np.ones(1)


def enclosing(x):
    return lambda: x


def with_defaults(a=GLOBAL, *, b=np.ones(1)):  # noqa: B008 - that is what is tested
    return a + b


def with_attribute(x):
    return x + with_attribute.table


with_attribute.table = np.ones(1)


@pytest.mark.parametrize(
    ("root", "expected"),
    [
        (lambda x: helper(x), ["GLOBAL"]),
        (lambda x: [GLOBAL for _ in range(3)], ["GLOBAL"]),
        (functools.partial(lambda a, b: a, np.ones(1), b={"c": [np.ones(1)]}), ["0", "b.c.0"]),
        (Slotted(), ["a"]),
        (types.SimpleNamespace(a=[np.ones(1)], b=(np.ones(1), {"c": np.ones(1)})), None),
        ({"x": np.ones(1), "y": {"z": np.ones(1)}}, ["x", "y.z"]),
        ([np.array(["a"]), np.array([object()], dtype=object)], []),
        (enclosing(np.ones(1)), ["x"]),
        (with_defaults, ["0", "b"]),
        (with_attribute, ["table"]),
        ({"x": deque([np.ones(1), [np.ones(1)]])}, ["x.0", "x.1.0"]),
    ],
)
def test_places_that_are_found(root, expected):
    found = names(root)
    if expected is None:
        assert sorted(found) == ["a.0", "b.0", "b.1.c"]
    else:
        assert found == expected


def test_what_methods_of_the_users_classes_refer_to():
    found = names(WithGlobals())
    assert sorted(found) == ["GLOBAL", "PROPERTY", "STATIC", "table"]
    assert entries(WithGlobals().method)["NUMBER"] == 4.0


def test_a_method_reaches_its_object():
    obj = types.SimpleNamespace(a=np.ones(1))

    class Owner:
        def __init__(self):
            self.held = obj

        def step(self):
            return self.held.a

    assert names(Owner().step) == ["self.held.a"]


def test_cycles_end():
    a = {"x": np.ones(1)}
    a["self"] = a
    assert names(a) == ["x"]


def test_too_many_objects_are_refused():
    with pytest.raises(CompileError, match="Pass what it needs as arguments"):
        survey([[] for _ in range(LIMIT + 1)])


def test_other_libraries_objects_are_not_looked_into():
    rng = np.random.default_rng(0)
    found = survey([rng, np, types, xpnet.current(), F.exp])
    assert not found.cells
    assert any(entry.value is rng for entry in found.entries)


def test_what_a_script_refers_to_is_found_whichever_program_runs_it(monkeypatch):
    """A profiler, for example, is `__main__` itself, and runs the script under this name."""
    profiler = types.ModuleType("__main__")
    profiler.__file__ = "/lib/site-packages/profiler.py"
    monkeypatch.setitem(sys.modules, "__main__", profiler)
    script = {"__name__": "__main__"}
    exec("losses = [1.0]\ndef step(x):\n    losses.append(x)", script)
    before = survey(script["step"])
    script["step"](2.0)
    assert before.signature(set()) != survey(script["step"]).signature(set())


def test_numbers_of_each_step_are_free():
    class Counter:
        numbers_of_each_step = ("count", "options")

        def __init__(self):
            self.count = 1
            self.options = {"lr": 0.5, "on": True, "betas": (0.5, 0.9), "nested": [{"t": 3}]}
            self.scale = 2.0

    found = [entry for entry in survey(Counter()).entries if entry.kind != "keys"]
    free = {entry.place.name: entry.free for entry in found}
    names = ["count", "options.lr", "options.nested.0.t", "options.betas", "options.betas.0"]
    assert all(free[name] for name in names)
    assert not any(free[name] for name in ["options.on", "scale", "options"])


def test_numbers_of_objects_within_are_not_free():
    class Inner:
        def __init__(self):
            self.scale = 1.0

    class Outer:
        numbers_of_each_step = ("inner",)

        def __init__(self):
            self.inner = [Inner()]

    free = {entry.place.name: entry.free for entry in survey(Outer()).entries}
    assert not free["inner.0.scale"]


def test_signatures():
    x = types.SimpleNamespace(n=1, f=1.0, items=[1, 2], options={"a": None})
    before = survey(x).signature()
    assert survey(x).signature() == before
    for change in (
        lambda: setattr(x, "n", 1.0),
        lambda: setattr(x, "n", True),
        lambda: x.items.append(3),
        lambda: x.options.update(b=1),
        lambda: setattr(x, "new", 1),
    ):
        old = survey(x).signature()
        change()
        assert survey(x).signature() != old
    written = survey(x).entries[0].place
    assert len(survey(x).signature([written.id])) < len(survey(x).signature())


def test_changes_since_a_snapshot():
    x = types.SimpleNamespace(n=1, nan=float("nan"), items=[1, 2], gone=3)
    found = survey(x)
    snapshot = found.snapshot()
    x.nan = x.nan
    x.n = int("1")
    assert not found.changed_since(snapshot)
    x.n = 2
    x.items.append(4)
    del x.gone
    changed = {entry.place.name: now for entry, _, now in found.changed_since(snapshot)}
    assert changed["n"] == 2
    assert changed["items"] == 3
    assert repr(changed["gone"]) == "nothing"


def test_places_are_read_and_written():
    obj = types.SimpleNamespace(a=1)
    items = [1, 2]
    for place in (Place(obj, "a", "attribute", "a"), Place(items, 1, "item", "1")):
        place.set(5)
        assert place.get() == 5
        assert place.is_settable
    assert (obj.a, items[1]) == (5, 5)
    assert not Place((1, 2), 0, "item", "0").is_settable


def test_an_average_in_use_is_passed_by():
    """The parameter's own array is found, also in a block in which it has its average."""
    p = xpnet.Parameter([1.0])
    average = xpnet.ExponentialMovingAverage([p])
    own = p.data
    with average.applied():
        assert p.data is not own
        assert survey([p]).cells[0].get() is own


def test_scalars_of_numpy_are_numbers_unless_they_vary():
    x = types.SimpleNamespace(a=np.float64(1.0), b=np.float32(2.0))
    assert not survey(x).cells
    a = next(entry.place for entry in survey(x).entries if entry.place.name == "a")
    assert [place.name for place in survey(x, varying={a.id}).cells] == ["a"]


# --- names in the code of a function ----------------------------------------------------------------


losses = [0.0]  # of the name of an attribute


def test_a_global_of_the_name_of_an_attribute_is_not_reached():
    def step(model, x):
        return model.losses(x) + NUMBER

    found = entries(step)
    assert found["NUMBER"] == 4.0
    assert "losses" not in found


def test_a_number_of_a_module_that_is_imported_in_the_step_is_compared(monkeypatch):
    settings = types.ModuleType("settings_of_a_step")
    settings.SCALE = 2.0
    monkeypatch.setitem(sys.modules, "settings_of_a_step", settings)

    def whole(x):
        import settings_of_a_step

        return x * settings_of_a_step.SCALE

    def name(x):
        from settings_of_a_step import SCALE

        return x * SCALE

    for step in (xpnet.compile(whole), xpnet.compile(name)):
        settings.SCALE = 2.0
        for _ in range(4):
            assert step(np.ones(1)).tolist() == [2.0]
        assert step.replays
        settings.SCALE = 5.0
        assert step(np.ones(1)).tolist() == [5.0]


def test_a_relative_import_in_the_step(monkeypatch):
    package = types.ModuleType("package_of_a_step")
    package.settings = types.ModuleType("package_of_a_step.settings")
    package.settings.SCALE = 2.0
    monkeypatch.setitem(sys.modules, "package_of_a_step", package)
    variables = {"__package__": "package_of_a_step", "__name__": "package_of_a_step.steps"}
    code = "def step(x):\n    from . import settings\n    return x * settings.SCALE\n"
    exec(code, variables)
    assert entries(variables["step"])["package_of_a_step.settings.SCALE"] == 2.0
