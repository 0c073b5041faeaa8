"""What a function can reach: arrays, numbers, and objects, in closures, attributes and containers.

A step changes parameters, buffers, and an optimizer's moments, and reads numbers such as `clip` or
`training`. None of them is an argument. They are found by following what the function refers to: its
closure, the globals that it names, the object that it is a method of, their attributes, lists and dicts.

    Place      where something is: an attribute of an object, an item of a list or dict, a variable
    Survey     all places that a function can reach, with what they hold

A place that holds an array is a cell: its array is an input of the recorded step. What other places
hold selects the code that runs: a replay requires that it has not changed.
"""

import sys
import types
from argparse import Namespace
from array import array
from collections import ChainMap, UserDict, UserList, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import FrozenInstanceError
from dis import get_instructions
from functools import lru_cache, partial
from heapq import heappop, heappush
from importlib.util import resolve_name
from io import IOBase
from itertools import count
from operator import length_hint
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, Literal, NamedTuple
from weakref import ReferenceType

import array_api_compat as compat
import numpy as np

from xpnet.autodiff.namespace import DifferentiableNamespace
from xpnet.autodiff.variable import Parameter, Variable
from xpnet.backend import Backend
from xpnet.compiler.calls import unwrapped
from xpnet.compiler.generators import generator_of
from xpnet.compiler.origins import is_librarys, is_users_function, is_users_module, owned_by
from xpnet.compiler.recorded_array import RecordedArray
from xpnet.errors import CompileError
from xpnet.layers._contents import Buffer

__all__ = ["ITERATORS", "Entry", "Place", "Survey", "survey"]

LIMIT = 200_000  # objects: more are a sign that the search has left the step

SCALARS = (bool, int, float, complex, str, bytes, type(None), types.EllipsisType, slice, range)

NUMBERS = (int, float, complex)

OPAQUE = (Backend, types.GenericAlias, DifferentiableNamespace, ReferenceType)
"""Objects that are the same or not: nothing in them is looked at."""

_FIXED = (
    *(tuple, partial, MethodType, types.MappingProxyType),
    *(staticmethod, classmethod, property, BuiltinFunctionType, types.MethodWrapperType),
)

Access = Literal["attribute", "item"]


class Place(NamedTuple):
    """A place that holds something.

    Attributes
    ----------
    owner : object
        An object, a list or dict, or the cell of a closure.
    key : str, int or other key
        The name of the attribute, or the index or key of the item; "cell_contents" for a cell.
    access : {"attribute", "item"}
    name : str
        What a reader would call it: "model.layers.0.weight".
    """

    owner: Any
    key: Any
    access: Access
    name: str

    def get(self) -> Any:
        """What the place holds."""
        if self.access == "item":
            return self.owner[self.key]
        return getattr(self.owner, self.key)

    def set(self, x: Any) -> None:
        """Put something into the place."""
        if self.access == "item":
            self.owner[self.key] = x
            return
        try:
            setattr(self.owner, self.key, x)
        except FrozenInstanceError:  # the array comes back at the end of the recording
            object.__setattr__(self.owner, self.key, x)

    @property
    def id(self) -> tuple[int, Any]:
        """A key for this place: equal for two Place objects of the same place."""
        return id(self.owner), self.key

    @property
    def is_settable(self) -> bool:
        """Whether something else can be put into the place."""
        return not isinstance(self.owner, _FIXED)

    @property
    def is_gradient(self) -> bool:
        """Whether it is the gradient of a Variable."""
        return self.key == "raw_grad" and isinstance(self.owner, Variable)


class Entry(NamedTuple):
    """What one place holds, as far as it selects the code that runs.

    Attributes
    ----------
    place : Place
    kind : {"scalar", "object", "keys"}
        "keys": what is compared are the keys of the dict, or the length of the list, in the place.
    value : object
        The scalar, the object, or the keys.
    free : bool
        Whether the value may differ between two replays, because it is a number that is read in each
        step: see `numbers_of_each_step`.
    """

    place: Place
    kind: str
    value: Any
    free: bool


class Survey:
    """What a function can reach.

    Attributes
    ----------
    cells : list of Place
        The places that hold arrays.
    gradients : list of Place
        The gradients of Variables, whether there is one or not.
    tuples : list of Place
        The places of tuples that contain arrays: these cannot be replaced one by one.
    entries : list of Entry
        Everything else, in the order in which it was found.
    counting : list of objects
        Those with `numbers_of_each_step`.
    generators : list of (str, generator)
        The generators of random numbers, with the names of their places.
    """

    def __init__(self) -> None:
        self.generators: list[tuple[str, Any]] = []
        self.cells: list[Place] = []
        self.gradients: list[Place] = []
        self.tuples: list[Place] = []
        self.entries: list[Entry] = []
        self.counting: list[Any] = []

    def signature(
        self, but: Iterable[tuple[int, Any]] = (), read: Collection[tuple[int, Any]] = ()
    ) -> tuple[Any, ...]:
        """What must be equal for two calls to run the same code.

        The places `but` are left out, and free numbers, apart from those in the places `read`.
        """
        left_out = set(but)
        parts = []
        for place, kind, value, free in self.entries:
            if (free and place.id not in read) or place.id in left_out:
                continue
            if kind == "object":
                parts.append(id(value))
            else:
                parts.append(comparable(value) if kind == "scalar" else value)
        return tuple(parts)

    def unknown_iterator(self) -> Entry | None:
        """A generator, or an iterator such as `itertools.cycle`, of which it is not known where it is."""
        for entry in self.entries:
            kind = type(entry.value)
            is_iterator = hasattr(kind, "__next__") and is_librarys(kind.__module__)
            if is_iterator and not issubclass(kind, (*ITERATORS, IOBase)):
                return entry
        return None

    def snapshot(self) -> list[Any]:
        """What the places hold now: for `changed_since`."""
        return [_now(entry) for entry in self.entries]

    def changed_since(self, snapshot: list[Any]) -> list[tuple[Entry, Any, Any]]:
        """(entry, value before, value now) for each place that has changed since a snapshot."""
        changed = []
        for entry, before in zip(self.entries, snapshot, strict=True):
            now = _now(entry)
            if now is not before and not (entry.kind != "object" and _equal(before, now)):
                changed.append((entry, before, now))
        return changed


def _now(entry: Entry) -> Any:
    """What the place of an entry holds now."""
    try:
        x = entry.place.get()
    except (AttributeError, KeyError, IndexError, ValueError):
        return MISSING
    return keys_of(x) if entry.kind == "keys" else x


class _Missing:
    def __repr__(self) -> str:
        return "nothing"


MISSING = _Missing()


def comparable(x: Any) -> Any:
    """What is equal for two scalars, or tuples of keys, that are the same.

    NaN is the same as NaN, and 0.0 is not -0.0, by which 1 / x differs.
    """
    if isinstance(x, tuple):
        return type(x), tuple(map(comparable, x))
    if isinstance(x, slice):  # it has no hash
        return slice, str(x)
    if isinstance(x, (complex, np.complexfloating)):
        return type(x), repr(x)
    if isinstance(x, (float, np.floating)) and (x == 0 or x != x):  # noqa: PLR0124 - NaN
        return type(x), repr(x)
    return type(x), x


def _equal(a: Any, b: Any) -> bool:
    """Whether two scalars, or tuples of keys, are the same."""
    return bool(comparable(unwrapped(a)) == comparable(unwrapped(b)))


def keys_of(x: Any) -> Any:
    """The keys of a dict, the length of a list or tuple, the items of a set, the bytes of text.

    For an iterator, where it is.
    """
    if isinstance(x, _BYTES):
        return x.tobytes() if isinstance(x, np.ndarray) else bytes(x)
    if isinstance(x, ITERATORS):
        return repr(x) if isinstance(x, count) else length_hint(x)
    if isinstance(
        x, types.MappingProxyType
    ):  # of a class, to which Python may add names of its own
        return tuple(key for key in x if not str(key).startswith("__"))
    if isinstance(x, dict):
        return tuple(x)
    if isinstance(x, (set, frozenset)):
        return frozenset(x)
    return len(x)


def survey(*roots: Any, varying: Collection[tuple[int, Any]] = ()) -> Survey:
    """All that the roots (functions, objects, containers) can reach.

    Parameters
    ----------
    *roots : objects
    varying : collection of Place ids
        Places with scalars of NumPy that the step changes: these are arrays. Others are numbers,
        such as a hyperparameter.

    Raises
    ------
    CompileError
        They reach too many objects.
    """
    found = Survey()
    with owned_by(roots[0] if roots else None):
        _search(found, roots, varying)
    return found


def _search(found: Survey, roots: tuple[Any, ...], varying: Collection[tuple[int, Any]]) -> None:
    """Add all that the roots can reach to a survey."""
    seen: set[int] = set()
    order = count()
    heap: list[tuple[int, int, Any, str, bool]] = []
    for i, root in enumerate(roots):
        _note_generator(found, "an argument", root)
        heappush(heap, (0, next(order), root, "", False))
        if _has_contents(root):
            place = Place(roots, i, "item", f"a {type(root).__name__}")
            found.entries.append(Entry(place, "keys", keys_of(root), False))
    while heap:
        cost, _, x, name, free = heappop(heap)
        if id(x) in seen:
            continue
        seen.add(id(x))
        if len(seen) > LIMIT:
            raise CompileError(
                f"Expected a function that reaches its arrays by at most {LIMIT} objects; it reaches "
                f"more, for example {name}. Pass what it needs as arguments."
            )
        names = _free_names(x)
        if names:
            found.counting.append(x)
        for place, child, more in children(x, name):
            child_free = place.key in names if names else free and not _is_object(x)
            if _note(found, place, child, child_free, varying):
                heappush(heap, (cost + more, next(order), child, place.name, child_free))


def _free_names(x: Any) -> tuple[str, ...]:
    """The attributes of x whose numbers are read anew in each step."""
    names: tuple[str, ...] = getattr(type(x), "numbers_of_each_step", ())
    return names


def _is_object(x: Any) -> bool:
    return not isinstance(x, (dict, list, tuple, deque, Mapping))


def _note(
    found: Survey, place: Place, child: Any, free: bool, varying: Collection[tuple[int, Any]]
) -> bool:
    """Add what a place holds to a survey; returns whether to look into it."""
    if place.is_gradient:
        found.gradients.append(place)
        return isinstance(child, Variable)
    if place.key == "__dict__" and place.access == "attribute":
        found.entries.append(Entry(place, "keys", keys_of(child), False))
        return False
    is_scalar = isinstance(child, (*SCALARS, np.generic)) or is_dtype(child)
    if isinstance(child, np.generic) and (place.id in varying or isinstance(child, RecordedArray)):
        is_scalar = False
    if is_scalar:
        may_differ = isinstance(child, NUMBERS) and not isinstance(child, bool)
        found.entries.append(Entry(place, "scalar", child, free and may_differ))
        return False
    if is_array(child):
        found.cells.append(place)
        return False
    if not free and _is_of_scalars(child):  # one with equal numbers is the same
        found.entries.append(Entry(place, "scalar", child, False))
        return False
    _note_object(found, place, child, free)
    return _is_open(child, place)


def _is_open(x: Any, place: Place) -> bool:
    """Whether to look into an object."""
    if isinstance(x, type):
        return bool(is_users_module(x.__module__))
    if isinstance(x, ModuleType):  # what functions name in a variable of theirs is found with them
        return not _is_variable(place)
    return not isinstance(x, OPAQUE)


def _is_variable(place: Place) -> bool:
    """Whether a place is a variable of a module or of a closure."""
    if place.access == "attribute":
        return bool(place.key == "cell_contents")
    is_module = isinstance(place.owner, dict) and "__builtins__" in place.owner
    return is_module or place.owner is sys.modules


def _is_of_scalars(x: Any) -> bool:
    """Whether x is a tuple of scalars, or of tuples of them, such as a shape."""
    return isinstance(x, tuple) and all(
        issubclass(type(part), SCALARS) or _is_of_scalars(part) for part in x
    )


def _has_contents(x: Any) -> bool:
    """Whether the contents of x, or how much it holds, are compared."""
    if isinstance(x, _BYTES):
        return not _holds_objects(x)
    return isinstance(x, (dict, list, deque, set, frozenset, *ITERATORS))


def _note_object(found: Survey, place: Place, child: Any, free: bool) -> None:
    """Add an object, and how much there is in a container."""
    _note_generator(found, place.name, child)
    in_tuple = isinstance(child, tuple)
    free = free and in_tuple and all(isinstance(x, NUMBERS) for x in child)
    found.entries.append(Entry(place, "object", child, free))
    if free or _has_contents(child):
        found.entries.append(Entry(place, "keys", keys_of(child), False))
    if in_tuple and place.is_settable and any(map(is_array, _in_tuples(child))):
        found.tuples.append(place)


def _note_generator(found: Survey, name: str, x: Any) -> None:
    """Add a generator of random numbers to a survey, if x is one or stands for one."""
    generator = generator_of(x)
    if generator is not None:
        found.generators.append((name, generator))


_BYTES = (bytearray, array, np.ndarray)
"""What holds numbers or text that Python reads. NumPy's arrays: those of strings and times."""


_SEQUENCES: tuple[Any, ...] = (
    [],
    (),
    {},
    {}.values(),
    {}.items(),
    set(),
    "a",
    "\u00e4",
    b"",
    range(0),
)

ITERATORS: tuple[type, ...] = (
    *(type(iter(x)) for x in _SEQUENCES),
    *(type(reversed([])), type(reversed({})), count),
)
"""Iterators of which it is known where they are."""


def _holds_objects(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.dtype.hasobject


def _in_tuples(x: Any) -> Iterator[Any]:
    """What is in a tuple, and in tuples within it."""
    for part in x:
        if isinstance(part, tuple):
            yield from _in_tuples(part)
        else:
            yield part


def is_array(x: Any) -> bool:
    """Whether x is an array of a library: what a cell holds."""
    if isinstance(x, (Variable, type)) or not compat.is_array_api_obj(x):
        return False
    return getattr(x.dtype, "kind", "f") not in "OSUVMm"  # of NumPy: objects, strings, times


def is_dtype(x: Any) -> bool:
    """Whether x is a dtype of some library."""
    return type(x).__name__ in ("dtype", "DType") or "DType" in type(x).__name__


Child = tuple[Place, Any, int]
"""A place, what it holds, and how much longer a path through it is than it should be for a name."""


def children(x: Any, name: str) -> Iterator[Child]:
    """The places in an object."""
    for kinds, places_of in _PLACES:
        if isinstance(x, kinds):
            return places_of(x, name)
    return _object(x, name)


def _method(x: MethodType, name: str) -> Iterator[Child]:
    yield Place(x, "__self__", "attribute", _joined(name, "self")), x.__self__, 0
    yield Place(x, "__func__", "attribute", name), x.__func__, 1


def _builtin(x: Any, name: str) -> Iterator[Child]:
    """The object of a method that is written in C, such as `d.get`."""
    owner = getattr(x, "__self__", None)
    if owner is not None:
        yield Place(x, "__self__", "attribute", name), owner, 1


def _module(x: ModuleType, name: str, cost: int = 2) -> Iterator[Child]:
    """All that is in a module that was found in an attribute or an argument, or in a container."""
    if not is_users_module(x.__name__) or cost > MOST_MODULES:
        return
    members = vars(x)
    for key, child in list(members.items()):
        if key.startswith("__"):
            continue
        yield Place(members, key, "item", _joined(name, key)), child, cost
        if isinstance(child, ModuleType):
            yield from _module(child, _joined(name, key), cost + 1)


def _partial(x: partial[Any], name: str) -> Iterator[Child]:
    yield Place(x, "func", "attribute", name), x.func, 1
    yield Place(x, "args", "attribute", name), x.args, 1
    yield Place(x, "keywords", "attribute", name), x.keywords, 1


def _wrapper(x: Any, name: str) -> Iterator[Child]:
    """A staticmethod, classmethod or property."""
    for key in ("__func__", "fget", "fset"):
        child = getattr(x, key, None)
        if child is not None:
            yield Place(x, key, "attribute", name), child, 1


def _mapping(x: Mapping[Any, Any], name: str) -> Iterator[Child]:
    for key, child in list(x.items()):
        yield Place(x, key, "item", _joined(name, key)), child, 1


def _sequence(x: Any, name: str) -> Iterator[Child]:
    for i, child in enumerate(x):
        yield Place(x, i, "item", _joined(name, i)), child, 1


def _object_array(x: Any, name: str) -> Iterator[Child]:
    """The items of one of NumPy's arrays of objects."""
    if x.dtype.kind == "O":
        for key in np.ndindex(x.shape):
            yield Place(x, key, "item", _joined(name, ".".join(map(str, key)))), x[key], 1


def _joined(name: str, part: Any) -> str:
    return f"{name}.{part}" if name else str(part)


def _variable(x: Variable, name: str) -> Iterator[Child]:
    if isinstance(x, Parameter) and x.stays_with is not None:
        return  # another library's, see `xpnet.adapters`: asking for it in a recording is an error
    key = "_array" if isinstance(x, Parameter) else "data"  # past the property of averages
    yield Place(x, key, "attribute", name), getattr(x, key), 0
    yield Place(x, "raw_grad", "attribute", f"{name}.grad"), x.raw_grad, 0
    yield Place(x, "requires_grad", "attribute", f"{name}.requires_grad"), x.requires_grad, 0
    yield Place(x, "node", "attribute", f"{name}.creator"), x.node, 20
    yield from _attributes(x, name)


def _function(x: FunctionType, name: str) -> Iterator[Child]:
    names = _names(x.__code__).all
    for key, cell in zip(x.__code__.co_freevars, x.__closure__ or (), strict=True):
        try:
            child = cell.cell_contents
        except ValueError:  # a variable that is not assigned yet
            continue
        full = _joined(name, key)
        yield Place(cell, "cell_contents", "attribute", full), child, 1
        if isinstance(child, ModuleType) and is_users_module(child.__name__):
            yield from _named(vars(child), names, full, 2)
    for kind in ("__defaults__", "__kwdefaults__"):
        child = getattr(x, kind)
        if child:
            yield Place(x, kind, "attribute", name), child, 2
    if is_users_function(x):
        yield _code(x, name)
        yield from _names_of(x, name)
        return
    if _is_around_users(x):
        yield _code(x, name)
    if "__wrapped__" in vars(x):  # as of the `forward` of a layer
        yield Place(x, "__wrapped__", "attribute", name), vars(x)["__wrapped__"], 1


def _is_around_users(x: FunctionType) -> bool:
    """Whether a function is around one of the user's, as the `forward` of a layer is."""
    inner = getattr(x, "__wrapped__", None)
    return isinstance(inner, FunctionType) and is_users_function(inner)


def _code(x: FunctionType, name: str) -> Child:
    """The code of a function, which a reload replaces."""
    return Place(x, "__code__", "attribute", f"{name}.__code__"), x.__code__, 20


def _names_of(x: FunctionType, name: str) -> Iterator[Child]:
    """The attributes of a user's function, and what its names stand for."""
    of_globals, names, of_imports = _names(x.__code__)
    yield Place(x, "__dict__", "attribute", name), vars(x), 0
    for key, child in vars(x).items():
        yield Place(x, key, "attribute", _joined(name, key)), child, 1
    yield from _named(x.__globals__, names, "", 1, of_globals)
    if of_imports:
        package = x.__globals__.get("__package__") or ""
        modules = {
            resolve_name(dots + module, package)
            for dots, module in of_imports
            if package or not dots  # without a package, the import is an error
        }
        yield from _named(sys.modules, names, "", 1, modules)


def _named(
    variables: dict[str, Any],
    names: Collection[str],
    name: str,
    cost: int,
    own: Collection[str] | None = None,
) -> Iterator[Child]:
    """The variables of a module with these names, or only `own`, and those of modules among them."""
    for key in [key for key in list(variables) if key in (names if own is None else own)]:
        child = variables[key]
        yield Place(variables, key, "item", _joined(name, key)), child, cost
        if not isinstance(child, ModuleType):
            continue
        if cost < MOST_MODULES and is_users_module(child.__name__):
            yield from _named(vars(child), names, _joined(name, key), cost + 1)
        elif "random" in names:
            drawing = getattr(child, "random", None)
            if isinstance(drawing, ModuleType):  # `np.random`, whose functions share a generator
                where = _joined(name, f"{key}.random")
                yield Place(child, "random", "attribute", where), drawing, cost + 1


MOST_MODULES = 4
"""How many modules may be in one another, `a.b.c.number`: two may be in each other."""


class _Names(NamedTuple):
    """The names in a function's code, and in functions within it.

    Attributes
    ----------
    of_globals : frozenset of str
    all : frozenset of str
        Those of attributes, too.
    of_imports : frozenset of (str, str)
        The dots, and the name, of each module that is imported there.
    """

    of_globals: frozenset[str]
    all: frozenset[str]
    of_imports: frozenset[tuple[str, str]]


@lru_cache(maxsize=4096)
def _names(code: CodeType) -> _Names:
    """The names in a function's code."""
    instructions = list(get_instructions(code))
    of_globals = {x.argval for x in instructions if x.opname in _OF_GLOBALS}
    of_imports = {
        ("." * instructions[i - 2].argval, x.argval)  # what is loaded before it is the level
        for i, x in enumerate(instructions)
        if x.opname == "IMPORT_NAME"
    }
    inner = [_names(x) for x in code.co_consts if isinstance(x, CodeType)]
    return _Names(
        of_globals=frozenset(of_globals.union(*(x.of_globals for x in inner))),
        all=frozenset(code.co_names).union(*(x.all for x in inner)),
        of_imports=frozenset(of_imports.union(*(x.of_imports for x in inner))),
    )


_OF_GLOBALS = frozenset(
    ("LOAD_GLOBAL", "STORE_GLOBAL", "DELETE_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
)
"""The instructions that look up a variable of a module."""


def _class(x: type, name: str) -> Iterator[Child]:
    """What a user's class holds: functions with their globals, and attributes."""
    for base in x.__mro__:
        if not is_users_module(base.__module__):
            continue
        members = vars(base)
        if base is x:  # a new attribute would hide that of a base
            yield Place(x, "__dict__", "attribute", name), members, 5
        for key, child in list(members.items()):
            if key in _OF_A_CLASS or isinstance(child, _DESCRIPTORS):
                continue
            if isinstance(child, _WRAPPERS):  # an attribute of the class is not what is in it
                yield Place(members, key, "item", _joined(name, key)), child, 5
            else:
                yield Place(base, key, "attribute", _joined(name, key)), child, 5


_WRAPPERS = (staticmethod, classmethod, property)

_OF_A_CLASS = frozenset(
    [
        *("__module__", "__doc__", "__dict__", "__weakref__", "__qualname__", "__annotations__"),
        *("__slots__", "__orig_bases__", "__parameters__", "__firstlineno__"),
        *("__static_attributes__", "__abstractmethods__", "_abc_impl", "__match_args__"),
        *("__dataclass_fields__", "__slotnames__"),
    ]
)

_DESCRIPTORS = (types.MemberDescriptorType, types.GetSetDescriptorType, types.WrapperDescriptorType)


def _object(x: Any, name: str) -> Iterator[Child]:
    kind = type(x)
    reached: tuple[str, ...] | None = getattr(kind, "reached_by_steps", None)
    if reached is not None:
        for key in reached:
            yield Place(x, key, "attribute", name), getattr(x, key), 1
        return
    if is_users_module(kind.__module__):
        yield Place(x, "__class__", "attribute", name), kind, 5
    if is_librarys(kind.__module__) and not isinstance(x, _OPEN):
        return
    yield from _attributes(x, name)


def _attributes(x: Any, name: str) -> Iterator[Child]:
    if isinstance(getattr(x, "__dict__", None), dict) and not isinstance(x, Variable):
        yield Place(x, "__dict__", "attribute", name), vars(x), 0
    for key, child in list(getattr(x, "__dict__", {}).items()):
        full = name if isinstance(x, Buffer) else _joined(name, key)
        yield Place(x, key, "attribute", full), child, _cost(key, x)
    if isinstance(x, Variable):
        return
    for kind in type(x).__mro__:
        slots = vars(kind).get("__slots__", ())
        for key in (slots,) if isinstance(slots, str) else tuple(slots):
            if key.startswith("__"):
                if key.endswith("__"):
                    continue
                key = f"_{kind.__name__.lstrip('_')}{key}"  # as Python mangles it
            child = getattr(x, key, MISSING)
            if child is not MISSING:
                full = name if isinstance(x, Buffer) else _joined(name, key)
                yield Place(x, key, "attribute", full), child, _cost(key, x)


def _cost(key: str, x: Any) -> int:
    """A name is better without private attributes, and without those of an optimizer."""
    cost = 1
    if key.startswith("_"):
        cost += 10
    if _free_names(x):
        cost += 20
    return cost


_OPEN = (types.SimpleNamespace, Namespace, UserDict, UserList, ChainMap)
"""Classes of Python's own library whose objects hold what the user puts into them."""

_PLACES: list[tuple[Any, Callable[[Any, str], Iterator[Child]]]] = [
    (Variable, _variable),
    (MethodType, _method),
    (FunctionType, _function),
    (partial, _partial),
    ((BuiltinFunctionType, types.MethodWrapperType), _builtin),
    (ModuleType, _module),
    (_WRAPPERS, _wrapper),
    ((dict, types.MappingProxyType), _mapping),
    ((list, tuple, deque), _sequence),
    (type, _class),
    (np.ndarray, _object_array),
]
