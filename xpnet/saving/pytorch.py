"""Weights to and from PyTorch, by its names and in its shapes. PyTorch need not be installed.

    load_torch_state_dict(model, torch_model.state_dict())
    torch_model.load_state_dict({k: torch.asarray(v) for k, v in torch_state_dict(model).items()})

Layers have PyTorch's names and shapes, with two exceptions: the weight of an `Affine` is the
transpose of the weight of PyTorch's Linear, and in a `Sequential` the name of a layer is "layers.0"
where PyTorch's is "0". In files:
`save_file(torch_state_dict(model), path)` writes a file for `safetensors.torch.load_file(path)`.

Where the containers of the two models have other names, tensors are matched by their order:

    names = match_torch_state_dict(model, state)  # checks shapes
    print(names)                                  # a table: what goes where, and why
    load_torch_state_dict(model, state, names)

A .pt file is read by PyTorch: `torch.load(path, weights_only=True)`, which executes nothing of the file. A
safetensors file is read by `xpnet.saving.load_file(path)`; its tensors are in the order of their names.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

from xpnet._printable import aligned
from xpnet._typing import Array
from xpnet.autodiff.namespace import array_namespace
from xpnet.autodiff.variable import Parameter
from xpnet.backend import to_numpy
from xpnet.errors import ArgumentTypeError, StateError
from xpnet.layers import Affine, Buffer, Layer, Sequential
from xpnet.layers._contents import contents
from xpnet.layers.base import require_real

__all__ = [
    "TorchNames",
    "load_torch_state_dict",
    "match_torch_state_dict",
    "torch_state_dict",
]

COUNT = "num_batches_tracked"  # of BatchNorm; only with momentum=None does it affect the averages


Row: TypeAlias = tuple[str, str, str, str, str]
"""A line of the table of `TorchNames`."""


class _Entry(NamedTuple):
    """A tensor of a model: its name here and in PyTorch, and whether PyTorch has its transpose."""

    name: str
    torch_name: str
    tensor: Parameter | Buffer
    is_transposed: bool

    @property
    def torch_shape(self) -> tuple[int, ...]:
        """The shape that the tensor has in PyTorch."""
        shape = tuple(self.tensor.data.shape)
        return shape[::-1] if self.is_transposed else shape


def torch_state_dict(model: Layer) -> dict[str, Array]:
    """The parameters and buffers of `model` by PyTorch's names and in its shapes.

    Parameters
    ----------
    model : Layer

    Returns
    -------
    dict of str to array
        Copies, in the model's own library. If that is PyTorch, pass them to `load_state_dict`; else
        call `torch.asarray` on each first. A tensor that is held in two places is there twice, as in
        PyTorch.

    Examples
    --------
    >>> import xpnet
    >>> {name: x.shape for name, x in torch_state_dict(xpnet.MLP(4, 3, 2)).items()}
    {'0.weight': (3, 4), '0.bias': (3,), '2.weight': (2, 3), '2.bias': (2,)}
    """
    state = {}
    for entry in _entries(model):
        x = entry.tensor.data
        if entry.is_transposed:
            x = x.T
        state[entry.torch_name] = array_namespace(x).asarray(x, copy=True)
    return state


def load_torch_state_dict(
    model: Layer, state: Mapping[str, Any], names: Mapping[str, str] | None = None
) -> None:
    """Set the parameters and buffers of `model` from those of the same model in PyTorch.

    Parameters
    ----------
    model : Layer
        Each of its tensors keeps its dtype and its device.
    state : mapping of str to tensor or array
        The result of `state_dict()`, or arrays of any library by those names. The counts
        "num_batches_tracked" are optional. For a tensor that is held in two places here, one of the
        names is enough, since safetensors files contain it once.
    names : mapping of str to str, optional
        For each name in `model.state_dict()`, the name in `state`: what `match_torch_state_dict`
        returns, or a dict. By default PyTorch's names are those of the same containers.

    Raises
    ------
    StateError
        Names are missing or unknown, a shape differs, a tensor is complex or cannot be a NumPy array
        (bfloat16, sparse), or two tensors that are one tensor here are not equal. Then nothing is changed.
    ArgumentTypeError
        `state` is not a mapping of names to tensors, such as a module or the path of a file.

    Examples
    --------
    PyTorch's Linear has the transpose of the weight:

    >>> import xpnet
    >>> from xpnet import functions as F, saving
    >>> theirs = {"weight": F.asarray([[2.0, 3.0]]), "bias": F.asarray([0.5])}  # Linear(2, 1)
    >>> model = xpnet.Affine(2, 1)
    >>> saving.load_torch_state_dict(model, theirs)
    >>> float(model(F.asarray([[1.0, 10.0]]))[0, 0])  # 1 * 2 + 10 * 3 + 0.5
    32.5
    """
    _require_state("load_torch_state_dict", model, state)
    entries = list(_entries(model))
    if names is not None:
        entries = _renamed(model, entries, names)
    _require_names(model, entries, state.keys())
    new = dict(model.state_dict())  # a count that is not given stays as it is
    own_names = {id(entry.tensor): entry.name for entry in reversed(entries)}  # the first of each
    given: dict[int, _Entry] = {}  # the first entry of each tensor that the state has, by its id
    for entry in entries:
        if entry.torch_name not in state:
            continue
        x = _converted(model, entry, state[entry.torch_name])
        name = own_names[id(entry.tensor)]
        same = given.setdefault(id(entry.tensor), entry)
        if same is entry:
            new[name] = x
        elif not _equal(x, new[name]):
            raise StateError(
                f"{model!r}: {same.torch_name} and {entry.torch_name} are one tensor here, but "
                "differ."
            )
    model.load_state_dict(new)


def _require_state(caller: str, model: Layer, state: Mapping[str, Any]) -> None:
    """Raise ArgumentTypeError unless a model is a Layer, and a state a mapping by names."""
    if not isinstance(model, Layer):
        raise ArgumentTypeError(
            f"{caller} expected a Layer of xpnet first, got a {type(model).__name__}."
        )
    if not isinstance(state, Mapping):
        raise ArgumentTypeError(
            f"{caller} expected a mapping of names to tensors, got a {type(state).__name__}. Pass "
            "module.state_dict(); of a file, torch.load(path, weights_only=True) or "
            "xpnet.saving.load_file(path)[0]."
        )
    for name in state:
        _require_name(caller, name)


def _require_name(caller: str, name: object) -> None:
    if not isinstance(name, str):
        raise ArgumentTypeError(f"{caller} expected names of tensors, got {name!r}.")


def _equal(x: Array, y: Array) -> bool:
    """Whether two arrays of one shape have the same numbers; NaN is the same as NaN."""
    xp = array_namespace(x)
    return bool(xp.all((x == y) | (xp.isnan(x) & xp.isnan(y))))


def _renamed(model: Layer, entries: list["_Entry"], names: Mapping[str, str]) -> list["_Entry"]:
    """The entries with other names in PyTorch; StateError if they are not named one by one."""
    for name in (*names, *names.values()):
        _require_name("load_torch_state_dict", name)
    own = {entry.name for entry in entries}
    named = {id(entry.tensor) for entry in entries if entry.name in names}
    missing = sorted(
        entry.name
        for entry in entries
        if id(entry.tensor) not in named and not _is_count(entry.name)
    )
    unknown = sorted(names.keys() - own)
    repeated = sorted(n for n, times in Counter(names.values()).items() if times > 1)
    if missing or unknown or repeated:
        raise StateError(
            f"{model!r}: `names` lacks {missing}, has unknown {unknown}, and names {repeated} more than "
            "once. Expected a name in the state for each name of the model."
        )
    # What is not named is a count, or has another name that is.
    return [
        entry._replace(torch_name=names[entry.name]) for entry in entries if entry.name in names
    ]


class TorchNames(dict[str, str]):
    """The names of a model's tensors, and of those in a PyTorch state that belong to them.

    It is a dict, from a name in `model.state_dict()` to a name in the state, and prints as a table.
    To change a pair, make another dict: `{**names, "head.weight": "fc.weight"}`.

    Parameters
    ----------
    rows : list of tuple of str
        As the attribute.

    Attributes
    ----------
    rows : list of tuple of str
        The lines of the table: name, PyTorch's name, PyTorch's shape, "transposed" or "", and what
        the pair is matched by. "name": both have it. "shape": there is no other tensor with this last
        name and this shape. "order": there are several, and only the place in the order decides; check
        these. "order, not name": likewise, but the state has the model's own name at another place.
        Check transposed matrices that are square, too: they have the right shape either way.

    Examples
    --------
    >>> import xpnet
    >>> from xpnet import functions as F, saving
    >>> model = xpnet.LayerNorm(2)
    >>> theirs = {"norm.weight": F.ones(2), "norm.bias": F.zeros(2)}
    >>> names = saving.match_torch_state_dict(model, theirs)
    >>> names["bias"], names.rows[1]
    ('norm.bias', ('bias', 'norm.bias', '(2,)', '', 'name'))
    """

    def __init__(self, rows: list[Row]) -> None:
        super().__init__({row[0]: row[1] for row in rows})
        self.rows = rows

    def __str__(self) -> str:
        return aligned([("name", "PyTorch", "shape", "", "matched by"), *self.rows])

    __repr__ = __str__


def match_torch_state_dict(model: Layer, state: Mapping[str, Any]) -> TorchNames:
    """Which tensor of a PyTorch state belongs to which of the model's: by name, else by their order.

    Nothing is changed. Print the result, and pass it to `load_torch_state_dict`. Names are equal also if
    all those of the state have one more prefix, as "module." from `torch.nn.DataParallel` and
    "_orig_mod." from `torch.compile`.

    Parameters
    ----------
    model : Layer
        With the layers of the PyTorch model in the same order; what contains them may have other
        names, and be nested in another way.
    state : mapping of str to tensor or array
        The result of `state_dict()`, in its order.

    Returns
    -------
    TorchNames

    Raises
    ------
    StateError
        The numbers of tensors differ, or two tensors at the same place have other shapes or
        contradicting names ("weight" and "bias", where both models have both). The message shows the
        table to this place.
    ArgumentTypeError
        `state` is not a mapping of names to tensors.

    Examples
    --------
    >>> import xpnet
    >>> model = xpnet.MLP(4, 3, 3)
    >>> theirs = {
    ...     "fc1.weight": xpnet.functions.zeros((3, 4)),
    ...     "fc1.bias": xpnet.functions.zeros(3),
    ...     "fc2.weight": xpnet.functions.zeros((3, 3)),
    ...     "fc2.bias": xpnet.functions.zeros(3),
    ... }
    >>> print(match_torch_state_dict(model, theirs))
    name             PyTorch     shape                       matched by
    layers.0.weight  fc1.weight  (3, 4)  transposed          shape
    layers.0.bias    fc1.bias    (3,)                        order
    layers.2.weight  fc2.weight  (3, 3)  transposed, square  shape
    layers.2.bias    fc2.bias    (3,)                        order
    """
    _require_state("match_torch_state_dict", model, state)
    names = [name for name in state if not _is_count(name)]
    entries = _counterparts(model, len(names))
    prefix = _prefix({entry.torch_name for entry in entries}, set(names))
    if prefix is not None:  # in whatever order the state has them
        names = [prefix + entry.torch_name for entry in entries]
    endings = {_last(entry.name) for entry in entries} & set(map(_last, names))
    kinds = Counter((_last(name), _shape(state, name)) for name in names)
    rows: list[Row] = []
    for entry, name in zip(entries, names, strict=False):
        shape = _shape(state, name)
        evidence = "name"
        if prefix is None:
            evidence = _evidence(entry, name, state, kinds[_last(name), shape])
        rows.append((entry.name, name, str(shape), _note(entry, shape), evidence))
        if shape != entry.torch_shape or _contradict(entry.name, name, endings):
            raise StateError(
                f"{model!r}: expected a tensor for {entry.name}, of shape {entry.torch_shape} in "
                f"PyTorch, got {name} of shape {shape}.\n{TorchNames(rows)}\nThe order of the layers "
                "differs (safetensors files are ordered by names). Write the names into a dict, and pass it "
                "to load_torch_state_dict."
            )
    _require_all(model, entries, names, rows)
    return TorchNames(rows + _counts(model, state, rows))


def _counterparts(model: Layer, count: int) -> list[_Entry]:
    """What a state of this many tensors may have: what is held in two places is there twice or once."""
    entries = [entry for entry in _entries(model) if not _is_count(entry.name)]
    once: dict[int, _Entry] = {}  # the first entry of each tensor
    for entry in entries:
        once.setdefault(id(entry.tensor), entry)
    return list(once.values()) if count == len(once) else entries


def _evidence(entry: _Entry, name: str, state: Mapping[str, Any], alike: int) -> str:
    """What a pair is matched by, where so many tensors of the state have its last name and its shape."""
    if alike == 1:
        return "shape"
    if entry.torch_name in state and entry.torch_name != name:
        return "order, not name"
    return "order"


def _prefix(own: Collection[str], theirs: Collection[str]) -> str | None:
    """What stands there before each of our names: often nothing; None if the rest is not equal.

    >>> _prefix({"0.weight", "0.bias"}, {"module.0.weight", "module.0.bias"})
    'module.'
    """
    if not own or not theirs:
        return None
    size = min(map(len, theirs)) - min(map(len, own))
    prefix = min(theirs)[: max(size, 0)]
    if prefix and not prefix.endswith("."):
        return None
    return prefix if {prefix + name for name in own} == set(theirs) else None


def _require_all(model: Layer, entries: list["_Entry"], names: list[str], rows: list[Row]) -> None:
    """Raise StateError if one side has more tensors than the other."""
    if len(entries) != len(names):
        rest = [entry.name for entry in entries[len(names) :]] + names[len(entries) :]
        raise StateError(
            f"{model!r}: expected {len(entries)} tensors, got {len(names)}; without a counterpart are "
            f"{rest}.\n{TorchNames(rows)}"
        )


def _contradict(ours: str, theirs: str, endings: Collection[str]) -> bool:
    """Whether two last names differ, although both models have both: "weight" and "bias"."""
    last = {_last(ours), _last(theirs)}
    return len(last) == 2 and last.issubset(endings)


def _counts(model: Layer, state: Mapping[str, Any], rows: list[Row]) -> list[Row]:
    """The rows of the counts of batches, which belong to the layers that are matched already."""
    owners = {_owner(row[0]): _owner(row[1]) for row in rows}
    found = []
    for entry in _entries(model):
        name = f"{owners.get(_owner(entry.name), '')}.{COUNT}".removeprefix(".")
        if _is_count(entry.name) and name in state:
            found.append((entry.name, name, str(_shape(state, name)), "", "name"))
    return found


def _note(entry: "_Entry", shape: tuple[int, ...]) -> str:
    if not entry.is_transposed:
        return ""
    is_square = len(shape) == 2 and shape[0] == shape[1]
    return "transposed, square" if is_square else "transposed"


def _shape(state: Mapping[str, Any], name: str) -> tuple[int, ...]:
    x = state[name]
    if not hasattr(x, "shape"):
        raise StateError(f"Expected {name} to be a tensor, got {x!r}.")
    return tuple(x.shape)


def _owner(name: str) -> str:
    return name.rpartition(".")[0]


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _is_count(name: str) -> bool:
    return _last(name) == COUNT


def _require_names(model: Layer, entries: list["_Entry"], given: Collection[str]) -> None:
    """Raise StateError unless the names of a state are those of the model; counts are optional."""
    expected = {entry.torch_name for entry in entries}
    found = {id(entry.tensor) for entry in entries if entry.torch_name in given}
    absent = {entry.torch_name for entry in entries if id(entry.tensor) not in found}
    missing = sorted(n for n in absent if not _is_count(n))
    unknown = sorted(n for n in given if n not in expected and not _is_count(n))
    if missing or unknown:
        message = f"{model!r}: PyTorch's state lacks {missing} and has unknown {unknown}."
        if missing and unknown:
            message += " If only the names differ, see match_torch_state_dict."
        raise StateError(message)


def _converted(model: Layer, entry: _Entry, x: Array) -> Array:
    """A tensor of PyTorch's as a NumPy array of the shape that the model's own tensor has."""
    x = _to_host(entry.torch_name, x)
    if tuple(x.shape) != entry.torch_shape:
        raise StateError(
            f"{model!r}: expected {entry.torch_name} of shape {entry.torch_shape}, got "
            f"{tuple(x.shape)}."
        )
    require_real(model, entry.torch_name, entry.tensor.data, x)
    if entry.is_transposed:
        x = x.T
    return x


def _to_host(name: str, x: Array) -> Array:
    """The tensor x of that name as a NumPy array; StateError if it cannot be one."""
    try:
        return to_numpy(x)
    except (TypeError, ValueError, RuntimeError) as error:
        kind = getattr(x, "dtype", type(x).__name__)
        raise StateError(
            f"{name}, a {kind}, cannot be a NumPy array ({error}). Convert it first: v.float() where NumPy "
            "lacks the dtype, as in {k: v.float() for k, v in state.items()}, v.to_dense() if it is sparse, "
            "v.dequantize() if it is quantized."
        ) from error


def _entries(model: Layer) -> Iterator[_Entry]:
    """Each parameter and buffer, under each of its names."""
    lists_of_layers: set[str] = set()
    if isinstance(model, Sequential):
        lists_of_layers.add("layers")
    for path, owner, value in contents(model):
        if isinstance(value, Sequential):
            lists_of_layers.add(f"{path}.layers")
        if isinstance(value, (Parameter, Buffer)):
            is_transposed = isinstance(owner, Affine) and value is owner.weight
            yield _Entry(path, _pytorch_name(path, lists_of_layers), value, is_transposed)


def _pytorch_name(path: str, omitted: set[str]) -> str:
    """A path without the names that end the omitted paths: PyTorch's Sequential has no "layers".

    >>> _pytorch_name("blocks.0.layers.2.weight", {"blocks.0.layers"})
    'blocks.0.2.weight'
    """
    names = path.split(".")
    return ".".join(
        name for i, name in enumerate(names, start=1) if ".".join(names[:i]) not in omitted
    )
