"""Fingerprints of samples, by which a run recognises the data it was trained and tested on.

>>> x, t = np.asarray([[1.0, 2.0], [3.0, 4.0]]), np.asarray([0, 1])
>>> a, b = fingerprint(x, t), fingerprint(x[::-1], t[::-1])
>>> a.samples, a == b, a.content == b.content
(2, False, True)
>>> difference(a, b)
'the same samples in another order'
"""

from hashlib import blake2b
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xpnet._printable import counted
from xpnet.errors import ShapeError, StateError

_BYTES = 16
_RANGE = 1 << (8 * _BYTES)


class Fingerprint(NamedTuple):
    """Hashes that identify a set of samples.

    Attributes
    ----------
    samples : int
        The number of samples.
    content : str
        The sum of the hashes of all samples; it does not depend on their order.
    order : str
        The hash of the samples' hashes, in their order.
    """

    samples: int
    content: str
    order: str

    def __add__(self, other: Any) -> Self:
        """The fingerprint of these samples followed by those of `other`."""
        content = int(self.content, 16) + int(other.content, 16)
        order = blake2b((self.order + other.order).encode(), digest_size=_BYTES)
        return type(self)(self.samples + other.samples, _hex(content), order.hexdigest())

    @classmethod
    def from_dict(cls, figures: Any) -> Self:
        """The fingerprint from the dict that `_asdict` returned.

        Raises
        ------
        StateError
            The dict is not one of a fingerprint.
        """
        try:
            samples = figures["samples"]
            content = figures["content"]
            order = figures["order"]
            if type(samples) is not int or type(order) is not str:
                raise StateError(f"Expected samples: int and order: str, got {figures!r}.")
            return cls(samples, _hex(int(content, 16)), order)
        except (KeyError, TypeError, ValueError) as error:
            raise StateError(f"Expected the fingerprint of samples: {error!r}.") from error


def fingerprint(x: ArrayLike, t: ArrayLike) -> Fingerprint:
    """The fingerprint of samples and their targets.

    Parameters
    ----------
    x : array-like, shape (n, ...)
    t : array-like, shape (n, ...)
        The dtypes of x and t are part of the fingerprint.

    Raises
    ------
    ShapeError
        The numbers of samples and targets differ.
    """
    arrays = [np.asarray(x), np.asarray(t)]
    samples = len(arrays[0])
    if len(arrays[1]) != samples:
        raise ShapeError(f"Expected as many targets as samples, {samples}, got {len(arrays[1])}.")
    kinds = "".join(f"{a.dtype.str}{a.shape[1:]}" for a in arrays).encode()
    rows = [_rows(a) for a in arrays]
    total = 0
    order = blake2b(digest_size=_BYTES)
    for i in range(samples):
        one = blake2b(kinds, digest_size=_BYTES)
        for row in rows:
            one.update(row[i])
        digest = one.digest()
        order.update(digest)
        total += int.from_bytes(digest, "little")
    return Fingerprint(samples, _hex(total), order.hexdigest())


def difference(expected: Fingerprint, found: Fingerprint) -> str:
    """A phrase that describes how samples differ from those that were expected."""
    if found.samples != expected.samples:
        return f"{counted(found.samples, 'sample')} instead of {expected.samples}"
    if found.content == expected.content:
        return "the same samples in another order"
    return f"as many samples ({found.samples}), but with other content"


def _rows(array: NDArray[Any]) -> NDArray[Any]:
    """The bytes of an array, shape (n, bytes of a sample)."""
    if len(array) == 0:
        return array
    return np.ascontiguousarray(array).reshape(len(array), -1).view(np.uint8)


def _hex(number: int) -> str:
    return f"{number % _RANGE:0{2 * _BYTES}x}"
