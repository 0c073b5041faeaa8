"""Damaged and forged checkpoints: a StateError names the file, and the trainer is unchanged."""

import json

import numpy as np
import safetensors
import safetensors.numpy

from tests.fuzzing import damaged, forged, inputs
from tests.training.resumable import data, loader, make
from xpnet.errors import XpnetError
from xpnet.training import checkpoint


def print_of(trainer):
    """The whole state of a trainer, to the last bit."""
    text, arrays = checkpoint.flattened(trainer.state_dict())
    own = [vars(trainer)[name] for name in ("epochs", "resumed", "stopped", "_changing")]
    own += [trainer.learner.updating, trainer.learner.gathered]
    return (
        text,
        {name: (str(x.dtype), x.shape, x.tobytes()) for name, x in arrays.items()},
        repr(own),
    )


def signed(arrays, state):
    """A checkpoint as a forger writes it, with checksums that are right."""
    text = json.dumps(state)
    whole = {name: np.array(x, order="C") for name, x in arrays.items()}
    sums = json.dumps({name: checkpoint.checksum(x) for name, x in whole.items()})
    metadata = {"format": checkpoint.FORMAT, "state": text, "crc32": sums}
    return safetensors.numpy.save(whole, metadata | {"check": checkpoint.text_checksum(text, sums)})


def other(x, rng):
    """An array in place of another one: of another shape or dtype, or with other values."""
    match rng.integers(0, 6):
        case 0:
            return x.astype(rng.choice(["float64", "float16", "int64", "bool", "uint8"]))
        case 1:
            return x.reshape(-1)
        case 2:
            return x[:0] if x.ndim else x.reshape(1)
        case 3:
            return np.full_like(x, np.nan if x.dtype.kind == "f" else 0)
        case 4:
            return x[None]
        case _:
            return np.zeros((3, 3), np.float32)


def test_fuzz_of_checkpoints(tmp_path):
    """500 by default: damaged files, and forged ones whose checksums are right."""
    source = make(tmp_path / "run", precision="float16")
    source.fit(loader(), data(), 2, 20)
    path = tmp_path / "run" / "last.safetensors"
    content = path.read_bytes()
    arrays = safetensors.numpy.load_file(path)
    with safetensors.safe_open(path, framework="numpy") as file:
        state = json.loads(file.metadata()["state"])
    broken, rng, refused = tmp_path / "broken.safetensors", np.random.default_rng(0), 0
    trainer = fresh(tmp_path)
    before = print_of(trainer)
    for i in range(inputs(500)):
        if i % 4 == 0:
            given = damaged(content, rng)
        elif i % 4 == 1:
            name = list(arrays)[rng.integers(0, len(arrays))]
            given = signed(arrays | {name: other(arrays[name], rng)}, state)
        else:
            given = signed(arrays, forged(state, rng))
        broken.write_bytes(given)
        try:
            trainer.load(broken)
        except XpnetError as error:
            refused += 1
            assert str(broken) in str(error)
            assert print_of(trainer) == before
        else:  # what was changed may be changed: a loss, a name that nobody reads
            trainer = fresh(tmp_path)
            before = print_of(trainer)
    assert inputs(500) / 3 < refused < inputs(500)


def fresh(folder):
    """A trainer that was made in the same way, from another seed, and has begun."""
    trainer = make(folder / "other", seed=5, precision="float16")
    trainer._reset(2)
    trainer.loader = loader(5)
    return trainer
