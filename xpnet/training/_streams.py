"""Streams: the random number generators that a training draws from, as one state."""

from typing import Any

from xpnet import random
from xpnet._saved import mapping
from xpnet.errors import StateError
from xpnet.layers import Layer


class Streams:
    """xpnet's own generator, the trainer's, and those that layers of the model have.

    Parameters
    ----------
    model : Layer
    rng : numpy.random.Generator or None
        The trainer's own generator.
    """

    def __init__(self, model: Layer, rng: "random.Generator | None") -> None:
        self.rng = rng
        self.layers = dict(model.named_generators())

    def state_dict(self) -> dict[str, Any]:
        """The position of each generator in its stream, in a dict that JSON can hold."""
        return {
            "global": random.state(),
            "trainer": None if self.rng is None else random.state(self.rng),
            "layers": {name: random.state(rng) for name, rng in self.layers.items()},
        }

    def leap(self, rank: int) -> None:
        """Move the streams that layers draw from, so that each rank of a training has others."""
        for rng in (None, *self.layers.values()):
            random.leap(rank, rng)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Bring each generator to the position that `state_dict` returned.

        Raises
        ------
        StateError
            A position is invalid, or the model has other generators.
        """
        random.set_state(state["global"])
        if self.rng is not None and state["trainer"] is not None:
            random.set_state(state["trainer"], self.rng)
        saved = mapping(state, "layers")
        if self.layers.keys() != saved.keys():
            raise StateError(f"Expected generators {sorted(self.layers)}, got {sorted(saved)}.")
        for name, rng in self.layers.items():
            random.set_state(saved[name], rng)
