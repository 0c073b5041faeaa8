"""Broken inputs for tests: how many there are, and how they are made.

    XPNET_FUZZ=20000 python -m pytest -k fuzz

divides 20,000 inputs among ten kinds: six kinds of data files, pictures, configurations, the
metadata of run folders, and checkpoints. By default there are 2,500 inputs of each kind of data file,
and 500 of each other kind. They are the same in every run.
"""

import copy
import math
import os
import struct

KINDS = 10


def inputs(default):
    """The number of inputs of one kind to test."""
    total = os.environ.get("XPNET_FUZZ")
    return math.ceil(int(total) / KINDS) if total else default


FORGED = [b"\0" * 8, b"\xff" * 8, b"\x7f" + b"\xff" * 7, struct.pack("<Q", 1 << 40), b"\x80"]
FORGED += [b"9" * 18, b"(" * 50, b'"', b",", b"\n", b"\r", b"nan", b"1e999", b"|O", b"-1", b"\xef"]


def damaged(content, rng):
    """`content` after one to four random damages."""
    data = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        at = int(rng.integers(0, len(data) + 1))
        size = int(rng.integers(1, 9))
        match rng.integers(0, 7):
            case 0:  # flip a bit
                data[at : at + 1] = bytes(
                    b ^ (1 << int(rng.integers(0, 8))) for b in data[at : at + 1]
                )
            case 1:  # replace some bytes
                data[at : at + size] = rng.bytes(len(data[at : at + size]))
            case 2:  # cut off the end
                del data[at:]
            case 3:  # remove a piece
                del data[at : at + size]
            case 4:  # repeat a piece
                data[at:at] = data[at : at + 16 * size]
            case 5:  # overwrite a piece with a forged value
                new = FORGED[rng.integers(0, len(FORGED))]
                data[at : at + len(new)] = new
            case _:  # insert a forged value
                data[at:at] = FORGED[rng.integers(0, len(FORGED))]
    return bytes(data)


NESTED = []
for _ in range(50):
    NESTED = [NESTED]
HOSTILE = [  # values that break readers of JSON
    None, True, False, 0, -1, 1, 2, 3, 2**31, 2**63, 2**64, 10**18, 10**400, -(10**400), 0.5, -0.0,
    1e308, -1e308, 5e-324, math.inf, -math.inf, math.nan, "", "0", "1", "-1", "nan", "\0", "\ud800",
    "\x1b[2J", "/dev/zero", "../../x", "a" * 10_000, "mlp", "model.py:f", "csv", "classify", [], {}, [0],
    [1, 2], [-1], [[]], [None], {"": None}, {"mean": [0.0], "scale": [0.0]}, {"$array": "none"}, NESTED,
]  # fmt: skip


def places(tree, path=()):
    """Yield the path of each value in a tree of dicts and lists, except the root."""
    entries = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in entries:
        yield (*path, key)
        if isinstance(value, (dict, list)):
            yield from places(value, (*path, key))


def forged(tree, rng):
    """A copy of a tree of JSON values, with one to three values replaced, removed, added or moved."""
    tree = copy.deepcopy(tree)
    for _ in range(rng.integers(1, 4)):
        paths = list(places(tree))
        if not paths:
            return tree
        *above, key = paths[rng.integers(0, len(paths))]
        holder = tree
        for step in above:
            holder = holder[step]
        value = copy.deepcopy(HOSTILE[rng.integers(0, len(HOSTILE))])
        match rng.integers(0, 5):
            case 0:
                del holder[key]
            case 1 if isinstance(holder, dict):
                holder["a new key"] = value
            case 2 if isinstance(holder, list):
                holder.insert(key, holder[key])
            case 3:  # a valid value, from another place
                *above, other = paths[rng.integers(0, len(paths))]
                source = tree
                try:
                    for step in above:
                        source = source[step]
                    holder[key] = copy.deepcopy(source[other])
                except (LookupError, TypeError):  # this place was removed before
                    holder[key] = value
            case _:
                holder[key] = value
    return tree
