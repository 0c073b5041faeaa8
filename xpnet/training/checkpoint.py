"""Checkpoints: all that a training is, in one file, from which it goes on as if nothing had been.

    save(trainer, path)       what `trainer` is now, written whole or not at all
    load(trainer, path)       a trainer that was made in the same way, brought to where that one was
    read(path)                what a file holds, as nested dicts with NumPy's arrays

The file is safetensors: the arrays by name ("model.layers.0.weight", "optimizer.0.m", "average...."),
and in its metadata a JSON text, which holds the same tree with names in place of arrays: epoch,
batch and step, the history, the sums of the epoch so far, the state of every random number
generator, the seed of the batches' order, and what the callbacks remember. A checksum for each
array, and one of the text, find what the format cannot: a byte that was changed. All that a resumed
training needs is in this one file, so that no other file can be older or newer.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from zlib import crc32

from xpnet import random
from xpnet._saved import finite, mapping, rows, whole
from xpnet._typing import Array
from xpnet.autodiff import tree
from xpnet.backend import array_like, to_numpy
from xpnet.errors import ArgumentTypeError, StateError
from xpnet.saving.safetensors import load_file, replacing
from xpnet.training.meter import Meter

if TYPE_CHECKING:
    from xpnet.training.trainer import Trainer

PathLike = str | os.PathLike[str]
FORMAT = "xpnet checkpoint 2"
ARRAY = "$array"  # {"$array": name} stands for an array in the text


def save(trainer: "Trainer", path: PathLike) -> None:
    """Write a checkpoint: to a temporary file that, once the disk has it, takes the name.

    A process that is killed at any moment, and a power cut, leave the old file or the new one.

    Raises
    ------
    StateError
        The trainer is in the middle of a step, or has batches that wait for others to make one.
    OSError
        The file cannot be written.
    """
    from safetensors.numpy import save as to_bytes

    if trainer.gathered or not trainer.whole:
        raise StateError(f"{path}: a step is half done; a training that goes on begins with whole.")
    arrays: dict[str, Any] = {}
    text = json.dumps(_flat(capture(trainer), "", arrays))
    sums = json.dumps({name: _checksum(x) for name, x in arrays.items()})
    metadata = {"format": FORMAT, "state": text, "crc32": sums, "check": _check(text, sums)}
    data = to_bytes(arrays, metadata)
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def load(trainer: "Trainer", path: PathLike) -> None:
    """Bring a trainer to where the one was that wrote the file; of any backend.

    Raises
    ------
    StateError
        The file is missing, cut, corrupt, or no checkpoint of such a training; the message names
        the file, and the array if it is one. Then nothing is changed.
    """
    restore(trainer, read(path), f"{path}: ")


def read(path: PathLike) -> dict[str, Any]:
    """What a checkpoint holds; StateError, with the file's name, if it is none."""
    arrays, metadata = load_file(path)
    with _damage_named(path):
        text, sums = _texts(path, metadata)
        for name, checksum in sums.items():
            if name not in arrays:
                raise StateError(f"{path}: the array {name} is missing.")
            if _checksum(arrays[name]) != checksum:
                raise StateError(f"{path}: the array {name} is damaged: its checksum is another.")
        found: dict[str, Any] = _deep(text, arrays)
    return found


def read_text(path: PathLike) -> dict[str, Any]:
    """Likewise, without the arrays, which are not read: their names stand in their places."""
    _, metadata = load_file(path, names=())
    with _damage_named(path):
        found: dict[str, Any] = _texts(path, metadata)[0]
    return found


def _texts(path: PathLike, metadata: dict[str, str]) -> tuple[Any, dict[str, int]]:
    """The tree without its arrays, and their checksums, once it is clear that both are whole."""
    if metadata.get("format") != FORMAT:
        raise StateError(f"{path}: expected a checkpoint ({FORMAT}), got another safetensors file.")
    text = metadata["state"]
    sums = metadata["crc32"]
    if metadata["check"] != _check(text, sums):
        raise StateError(f"{path}: its text is damaged: the checksum is another.")
    return json.loads(text), dict(json.loads(sums))


@contextmanager
def _damage_named(path: PathLike) -> Iterator[None]:
    """A block in which what is wrong with a checkpoint's text becomes a StateError."""
    try:
        yield
    except StateError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise StateError(f"{path}: its text does not describe a checkpoint: {error!r}.") from error


def steps_of(path: PathLike) -> int:
    """The number of steps after which a checkpoint was written."""
    with _damage_named(path):
        return int(read_text(path)["position"]["steps"])


def capture(trainer: "Trainer") -> dict[str, Any]:
    """All that a training is, as nested dicts; the arrays themselves, where they are."""
    return {
        "model": trainer.model.state_dict(),
        "optimizer": trainer.optimizer.state_dict(),
        "average": trainer.average.state_dict() if trainer.average else None,
        "precision": trainer.precision.state_dict() if trainer.precision else None,
        "position": {
            "epoch": len(trainer.history),
            "batch": trainer.batch,
            "steps": trainer.steps,
            "seconds": trainer.seconds,
            "damping": trainer.damping,
        },
        "history": trainer.history.rows,
        "meter": trainer.meter.state_dict() if trainer.batch else None,
        "loader": _loader(trainer),
        "random": {
            "global": random.state(),
            "trainer": None if trainer.rng is None else random.state(trainer.rng),
            "layers": {name: random.state(g) for name, g in trainer.model.named_generators()},
        },
        "callbacks": {name: callback.state_dict() for name, callback in _callbacks(trainer)},
    }


def restore(trainer: "Trainer", state: dict[str, Any], where: str = "") -> None:
    """Bring a trainer to what `capture` gave; StateError if that is another training's.

    Then nothing is changed: what was loaded before the misfit was found is taken back.
    """
    undo = _undoing(trainer)
    try:
        _apply(trainer, state)
    except BaseException as error:
        undo()
        if not isinstance(error, Exception):  # Ctrl-C
            raise
        said = str(error) if isinstance(error, StateError) else repr(error)
        raise StateError(f"{where}it is a checkpoint of another training. {said}") from error


def _undoing(trainer: "Trainer") -> Callable[[], None]:
    """A function that makes a trainer what it is now; it cannot fail.

    What is loaded replaces arrays, and changes none in place. So it is enough to remember what the
    attributes of the parts are, and what is in the dicts and lists among them.
    """
    model = trainer.model
    parts = [trainer, trainer.history, trainer.optimizer, trainer.average, trainer.precision]
    parts += [trainer.loader, *trainer.callbacks]
    contents: list[tuple[Any, Any]] = []
    for part in parts:
        _remember(getattr(part, "__dict__", None), contents, set())
    holders: list[Any] = [v for _, v in (*model.named_parameters(), *model.named_buffers())]
    arrays = [holder.data for holder in holders]
    layers = dict(model.named_generators()).values()
    streams = [(g, random.state(g)) for g in dict.fromkeys([None, trainer.rng, *layers])]

    def undo() -> None:
        for container, before in contents:
            container.clear()
            container.update(before) if isinstance(container, dict) else container.extend(before)
        for holder, x in zip(holders, arrays, strict=True):
            holder.data = x
        for generator, numbers in streams:
            random.set_state(numbers, generator)

    return undo


def _remember(value: Any, contents: list[tuple[Any, Any]], seen: set[int]) -> None:
    """Add what is in a dict or list, and in those within it."""
    if type(value) not in (dict, list) or id(value) in seen:
        return
    seen.add(id(value))
    contents.append((value, value.copy()))
    for item in value.values() if isinstance(value, dict) else value:
        _remember(item, contents, seen)


def copied(state: Any) -> Any:
    """The tree with copies of the arrays, where they are: what happens to these is nothing to it."""
    return tree.map(lambda x: array_like(x, x) if hasattr(x, "dtype") else x, state)


def _apply(trainer: "Trainer", state: dict[str, Any]) -> None:
    for name, x in trainer.model.state_dict().items():
        mine, given = (str(a.dtype).rpartition(".")[2] for a in (x, state["model"].get(name, x)))
        if mine != given and "int" not in mine:  # JAX has no int64 until told
            raise StateError(f"{name} is of dtype {given}; the model's is {mine}.")
    trainer.model.load_state_dict(mapping(state, "model"))
    trainer.optimizer.load_state_dict(mapping(state, "optimizer"))
    for name, own in (("average", trainer.average), ("precision", trainer.precision)):
        if (own is None) != (state[name] is None):
            has, lacks = ("has", "the trainer none") if own is None else ("lacks", "it has one")
            raise StateError(f"The checkpoint {has} an entry {name!r}, and {lacks}.")
        if own is not None:
            own.load_state_dict(mapping(state, name))
    _apply_position(trainer, state)
    streams = mapping(state, "random")
    random.set_state(streams["global"])
    if trainer.rng is not None and streams["trainer"] is not None:
        random.set_state(streams["trainer"], trainer.rng)
    generators, found = dict(trainer.model.named_generators()), mapping(streams, "layers")
    if generators.keys() != found.keys():
        raise StateError(f"Expected generators {sorted(generators)}, got {sorted(found)}.")
    for name, generator in generators.items():
        random.set_state(found[name], generator)
    remembered = mapping(state, "callbacks")
    for name, callback in _callbacks(trainer):
        if name in remembered:
            callback.load_state_dict(mapping(remembered, name))


def _apply_position(trainer: "Trainer", state: dict[str, Any]) -> None:
    position = mapping(state, "position")
    epoch, batch, steps = (whole(position, name) for name in ("epoch", "batch", "steps"))
    _apply_loader(trainer, state["loader"], batch)
    history = rows(state, "history")
    if len(history) != epoch:
        raise StateError(f"It has {len(history)} rows of {epoch} epochs.")
    if any(row.get("epoch") != i for i, row in enumerate(history, 1)):
        raise StateError("The rows of its history are not those of epochs 1, 2 and so on.")
    if (state["meter"] is None) != (batch == 0):
        raise StateError(
            f"After {batch} batches of an epoch it has {state['meter']} for their sums."
        )
    meter = Meter(trainer.metrics)
    if batch:
        meter.load_state_dict(mapping(state, "meter"))
    seconds = finite(position, "seconds", 0.0)
    damping = None if position["damping"] is None else finite(position, "damping", 0.0)
    trainer.history.rows = history
    trainer.meter = meter
    trainer.batch = batch
    trainer.steps = steps
    trainer.seconds = seconds
    trainer.damping = damping


def _apply_loader(trainer: "Trainer", loader: Any, batch: int) -> None:
    """The seed of the batches' order; within an epoch, the batches must be the same."""
    mine = _loader(trainer)
    if loader is None or mine is None or trainer.loader is None:
        return
    seed = mapping({"loader": loader}, "loader")["seed"]
    if type(seed) is not int or seed < 0:
        raise StateError(f"Expected the seed of the batches to be an integer >= 0, got {seed!r}.")
    if batch:
        for what in ("samples", "batch_size"):
            if mine[what] != loader[what]:
                raise StateError(
                    f"It stands within an epoch of {what}={loader[what]}; now it is {mine[what]}."
                )
        samples = mine["samples"]
        size = mine["batch_size"]
        if samples and size and (batch - 1) * size >= samples:
            raise StateError(f"It stands after batch {batch} of an epoch of {samples} samples.")
    trainer.loader.seed = seed


def _loader(trainer: "Trainer") -> dict[str, Any] | None:
    loader = trainer.loader
    if loader is None:
        return None
    size = getattr(loader, "batch_size", None)
    return {"seed": loader.seed, "samples": loader.samples, "batch_size": size}


def _callbacks(trainer: "Trainer") -> list[tuple[str, Any]]:
    """Each callback with a name that it has again when the training goes on."""
    named: dict[str, Any] = {}
    for callback in trainer.callbacks:
        kind = type(callback).__name__
        same = sum(name.partition(".")[0] == kind for name in named)
        named[f"{kind}.{same}"] = callback
    return list(named.items())


# --- a tree of arrays and numbers, and its text ---------------------------------------------


def _flat(value: Any, path: str, arrays: dict[str, Any]) -> Any:
    """What JSON can hold of a tree; the arrays go to `arrays`, under their path."""
    if isinstance(value, dict) and all(isinstance(name, str) and name != ARRAY for name in value):
        return {
            name: _flat(v, f"{path}.{name}" if path else name, arrays) for name, v in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_flat(v, f"{path}.{i}", arrays) for i, v in enumerate(value)]
    if hasattr(value, "dtype") and (host := to_numpy(value)).dtype.kind in "biufcV":
        while path in arrays:  # {"a.b": x, "a": {"b": y}}
            path += "'"
        arrays[path] = host.astype(host.dtype.newbyteorder("="), order="C")
        return {ARRAY: path}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise ArgumentTypeError(
        f"A checkpoint holds numbers, texts, arrays of numbers, and lists and dicts, by name, of "
        f"these; {path} is {value!r}."
    )


def _deep(value: Any, arrays: dict[str, Any]) -> Any:
    """The tree again."""
    if isinstance(value, dict):
        if value.keys() == {ARRAY}:
            return arrays[value[ARRAY]]
        return {name: _deep(v, arrays) for name, v in value.items()}
    return [_deep(v, arrays) for v in value] if isinstance(value, list) else value


def _checksum(x: Array) -> int:
    """Of an array's bytes, and of what they mean."""
    return crc32(x.tobytes(), crc32(f"{x.dtype.str}{x.shape}".encode()))


def _check(*texts: str) -> str:
    return f"{crc32(''.join(texts).encode()):08x}"
