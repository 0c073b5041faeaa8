"""What all ranks have in common: a state from rank 0, an error, and the proof that weights are equal."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from zlib import crc32

import numpy as np

from xpnet._typing import Array
from xpnet.backend import to_numpy
from xpnet.distributed.base import Communicator, Json
from xpnet.errors import DistributedError

ARRAY = "$array"  # {"$array": [number, dtype, shape]} stands for an array in a message


def together(communicator: Communicator, action: Callable[[], Any]) -> None:
    """Call action() on each rank; if it raises on some of them, all ranks raise an error.

    Parameters
    ----------
    communicator : Communicator
    action : function without parameters
        Its result is not used.

    Raises
    ------
    Exception
        On a rank where the action raised: that error. On the others: a DistributedError that names
        the first rank that failed, and its error.

    Examples
    --------
    >>> from xpnet import distributed
    >>> def program(communicator):
    ...     def read():
    ...         if communicator.rank == 1:
    ...             raise FileNotFoundError("data.npz")
    ...     try:
    ...         distributed.together(communicator, read)
    ...     except Exception as error:
    ...         return str(error)
    >>> distributed.run(2, program)
    ['Rank 1 of 2 cannot continue: FileNotFoundError: data.npz', 'data.npz']
    """
    own: Exception | None = None
    try:
        action()
    except Exception as error:  # noqa: BLE001 - it is raised below, when the other ranks know of it
        own = error
    told = None if own is None else f"{type(own).__name__}: {own}"
    failed = [(rank, x) for rank, x in enumerate(communicator.allgather(told)) if x is not None]
    if own is not None:
        raise own
    if failed:
        rank, message = failed[0]
        failure = DistributedError(f"Rank {rank} of {communicator.size} cannot continue: {message}")
        failure.is_told = True
        raise failure


def on_root(communicator: Communicator, action: Callable[[], Any]) -> None:
    """Call action() on rank 0 only; if it raises, all ranks raise an error, as from `together`.

    Parameters
    ----------
    communicator : Communicator
    action : function without parameters

    Examples
    --------
    >>> from xpnet import distributed
    >>> written = []
    >>> def program(communicator):
    ...     distributed.on_root(communicator, lambda: written.append(communicator.rank))
    ...     return list(written)  # no rank is here before rank 0 has written
    >>> distributed.run(3, program)
    [[0], [0], [0]]
    """
    together(communicator, action if communicator.is_root else lambda: None)


def total(communicator: Communicator, numbers: Sequence[float]) -> list[float]:
    """The sums over the ranks of some numbers, in float64.

    Parameters
    ----------
    communicator : Communicator
    numbers : sequence of float
        As many on each rank.

    Returns
    -------
    list of float

    Examples
    --------
    >>> from xpnet import distributed
    >>> distributed.run(3, lambda communicator: distributed.total(communicator, [1.0, communicator.rank]))
    [[3.0, 3.0], [3.0, 3.0], [3.0, 3.0]]
    """
    sums: list[float] = communicator.allreduce(np.asarray(numbers, np.float64)).tolist()
    return sums


# --- a state from one rank ------------------------------------------------------------------------


def broadcast_tree(communicator: Communicator, state: Any, root: int = 0) -> Any:
    """The root's state on all ranks: nested dicts and lists of plain values, and of NumPy's arrays.

    Parameters
    ----------
    communicator : Communicator
    state : dict, list, array or plain value
        Plain values are what JSON can hold. It is ignored on the other ranks.
    root : int
        The rank whose state all of them get.

    Returns
    -------
    dict, list, ndarray or plain value
        Arrays of any library arrive as NumPy's; tuples arrive as lists.

    Examples
    --------
    >>> import numpy as np
    >>> from xpnet import distributed
    >>> def program(communicator):
    ...     own = {"epoch": 3, "weight": np.asarray([1.0, 2.0])} if communicator.is_root else None
    ...     state = distributed.broadcast_tree(communicator, own)
    ...     return state["epoch"], state["weight"].tolist()
    >>> distributed.run(2, program)
    [(3, [1.0, 2.0]), (3, [1.0, 2.0])]
    """
    arrays: list[np.ndarray] = []
    own = _without_arrays(state, arrays) if communicator.rank == root else None
    message = communicator.allgather(own)[root]
    return _with_arrays(message, arrays, communicator, root)


def _without_arrays(value: Any, arrays: list[np.ndarray]) -> Json:
    """A state as JSON can hold it; its arrays are added to the list."""
    if isinstance(value, Mapping):
        return {name: _without_arrays(x, arrays) for name, x in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_arrays(x, arrays) for x in value]
    if not hasattr(value, "dtype"):
        return value
    host = np.array(to_numpy(value), order="C")
    arrays.append(host)
    # NumPy knows bfloat16, which comes from another package, by its name only.
    dtype = host.dtype.name if host.dtype.kind == "V" else host.dtype.str
    return {ARRAY: [len(arrays) - 1, dtype, list(host.shape)]}


def _with_arrays(
    value: Json, arrays: list[np.ndarray], communicator: Communicator, root: int
) -> Any:
    """The state that a message describes, whose arrays are sent one after the other."""
    if isinstance(value, list):
        return [_with_arrays(x, arrays, communicator, root) for x in value]
    if not isinstance(value, dict):
        return value
    if value.keys() != {ARRAY}:
        return {name: _with_arrays(x, arrays, communicator, root) for name, x in value.items()}
    number, dtype, shape = value[ARRAY]
    is_root = communicator.rank == root
    return communicator.broadcast(arrays[number] if is_root else np.empty(shape, dtype), root)


# --- equal on all ranks ---------------------------------------------------------------------------


def digest(x: Array) -> int:
    """The CRC-32 of an array's dtype, shape and bytes."""
    host = np.ascontiguousarray(to_numpy(x))
    return crc32(host.tobytes(), crc32(f"{host.dtype.str}{host.shape}".encode()))


def require_equal(communicator: Communicator, named: Mapping[str, Any], when: str) -> None:
    """Raise an error on all ranks unless these arrays and numbers are the same, bit for bit, on each.

    Parameters
    ----------
    communicator : Communicator
    named : mapping of str to arrays and plain values
    when : str
        A part of the message: "after epoch 3".

    Raises
    ------
    DistributedError
        It names the first entry that differs, and the ranks on which it is not that of rank 0.

    Examples
    --------
    >>> from xpnet import distributed
    >>> def program(communicator):
    ...     distributed.require_equal(communicator, {"weight": communicator.rank}, "after epoch 3")
    >>> distributed.run(2, program)
    Traceback (most recent call last):
        ...
    xpnet.errors.DistributedError: The ranks differ after epoch 3: weight on rank 1 is not that on rank 0. ...
    """
    own = {name: digest(x) if hasattr(x, "dtype") else x for name, x in named.items()}
    everyone = communicator.allgather(own)
    first = everyone[0]
    if everyone.count(first) == len(everyone):  # for many ranks, this is faster than the loop
        return
    for name in first:
        others = [rank for rank, found in enumerate(everyone) if found.get(name) != first[name]]
        if others:
            ranks = ", ".join(map(str, others))
            raise DistributedError(
                f"The ranks differ {when}: {name} on rank {ranks} is not that on rank 0. Does the "
                "program change weights on some ranks only, or draw random numbers that differ?"
            )
