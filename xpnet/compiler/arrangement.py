"""What of a recording a replay computes: its inputs, and the arrays that it puts into places."""

from collections.abc import Iterable

from xpnet._typing import Array
from xpnet.compiler.call import Recording
from xpnet.compiler.record import Program, Value, leaves
from xpnet.compiler.state import Place

__all__ = ["Arrangement"]


class Arrangement:
    """The Program of a replay, and the places of its arrays.

    Parameters
    ----------
    recording : Recording
    keep_grad : bool
        Whether gradients that the step has used itself are kept.

    Attributes
    ----------
    program : Program
        With the states and numbers that it needs. Its outputs are the arrays of the result that are
        no arguments or constants, followed by those of `writes`.
    places : list of lists of Place
        For each state of the program, the cells that hold its array.
    held : list of arrays or None
        For each state, its array if that is in no cell but in a tuple, which keeps it.
    writes : list of (Place, Value)
        Places that get a new array in each step.
    forget : list of Place
        The gradients that are None afterwards.
    unused_gradients : frozenset of int
        The gradients, by their number in the survey, that do not matter to the step: it had found
        them, and did not compute with them.
    """

    def __init__(self, recording: Recording, keep_grad: bool) -> None:
        self.recording = recording
        self.writes = list(recording.writes)
        self.forget: list[Place] = []
        self._updates = dict(recording.program.updates)
        self._used = self._used_values()
        self.unused_gradients = self._gradients_without_use()
        self._divide_gradients(keep_grad)
        self._replace_arrays_that_are_not_read()
        self._used |= {id(value) for _, value in self.writes}
        kept = [i for i, x in enumerate(recording.program.states) if id(x) in self._used]
        self.places = [recording.cells[i] for i in kept]
        self.held: list[Array | None] = [recording.held[i] for i in kept]
        self.program = self._program(kept)

    def _used_values(self) -> set[int]:
        """The ids of the values that something is computed from, or that are results."""
        program = self.recording.program
        used = {id(x) for operation in program.operations for x in operation.inputs()}
        used |= {id(x) for x in [*program.outputs, *program.updates.values()]}
        return used | {id(value) for _, value in self.writes}

    def _gradients_without_use(self) -> frozenset[int]:
        recording = self.recording
        read = {
            place.id
            for value, places in zip(recording.program.states, recording.cells, strict=True)
            for place in places
            if id(value) in self._used
        }
        found = zip(recording.before.gradients, recording.presence, strict=True)
        return frozenset(
            i for i, (place, is_there) in enumerate(found) if is_there and place.id not in read
        )

    def _divide_gradients(self, keep_grad: bool) -> None:
        """Gradients that the step computes: forgotten, added to the ones that it found, or new."""
        recording = self.recording
        states = recording.program.states
        state_of = {p.id: i for i, places in enumerate(recording.cells) for p in places}
        for place, value, consumed in recording.gradients:
            i = state_of.get(place.id)
            if consumed and not keep_grad:
                self.forget.append(place)
            elif i is not None and id(states[i]) in self._used and len(recording.cells[i]) == 1:
                self._updates[i] = value
            else:
                self.writes.append((place, value))
        found = zip(recording.before.gradients, recording.presence, strict=True)
        self.forget += [place for place, was_there in found if was_there and place.get() is None]

    def _replace_arrays_that_are_not_read(self) -> None:
        """A state that is only written to is a new array each time: somebody may hold the old one."""
        recording = self.recording
        for i, value in list(self._updates.items()):
            if id(recording.program.states[i]) not in self._used:
                self.writes += [(place, value) for place in recording.cells[i]]
                del self._updates[i]

    def _program(self, kept: list[int]) -> Program:
        raw = self.recording.program
        in_result = {id(x) for x in leaves(self.recording.tree) if isinstance(x, Value)}
        hosts = [x for x in raw.hosts if id(x) in self._used | in_result]
        states = [raw.states[i] for i in kept]
        _number(states)
        _number(hosts)
        outputs = [x for x in raw.outputs if x.source in ("operation", "state")]
        outputs += [x for _, x in self.writes]
        updates = {kept.index(i): x for i, x in self._updates.items()}
        return Program(raw.arguments, states, hosts, raw.operations, outputs, updates)


def _number(values: Iterable[Value]) -> None:
    """A Value's index is its place in its list."""
    for i, value in enumerate(values):
        value.index = i
