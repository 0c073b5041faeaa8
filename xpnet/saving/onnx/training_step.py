"""A whole training step as an ONNX graph: any ONNX runtime trains with it, without xpnet.

    state = export_training_step(step, "step.onnx", x, t)
    numpy.savez("state.npz", **state)

The file holds the forward pass, the derivatives and the optimizer's update as ordinary operators. The weights
and moments are inputs, and their new values are outputs, so the loop that trains needs no more than a runtime
and arrays:

    session = onnxruntime.InferenceSession("step.onnx")
    names = [output.name for output in session.get_outputs()]
    state = dict(numpy.load("state.npz"))
    for x, t in batches:
        outputs = dict(zip(names, session.run(None, {"x": x, "t": t, **state})))
        loss = outputs.pop("loss")
        state |= {name.removeprefix("new."): y for name, y in outputs.items()}
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet import __version__, random
from xpnet._typing import PathLike
from xpnet.autodiff.namespace import array_namespace
from xpnet.autodiff.variable import data_of
from xpnet.backend import to_numpy
from xpnet.compiler.call import Constant, Recording, Scalar, recorded_call, roots_of
from xpnet.compiler.compiled import Compiled
from xpnet.compiler.generators import set_state_of, state_of
from xpnet.compiler.guard import difference
from xpnet.compiler.record import Program, Value, leaves, replaced
from xpnet.compiler.rehearsal import Before
from xpnet.compiler.state import survey
from xpnet.errors import ArgumentError, ArgumentTypeError, CompileError, MissingPackageError
from xpnet.optimizers.averaging import ExponentialMovingAverage
from xpnet.optimizers.base import Optimizer
from xpnet.saving.onnx._graph import Graph
from xpnet.saving.onnx._lowering import Lowering, host_dtype
from xpnet.saving.onnx._operations import lower, used_inputs
from xpnet.saving.onnx._symbols import Symbol
from xpnet.saving.safetensors import replacing

if TYPE_CHECKING:
    import onnx

__all__ = ["export_training_step", "training_step_model"]

NEW = "new."  # what stands before the name of a state in the name of its new value
RECORDINGS = 5  # as many as a function may need until it creates nothing more
LEAST_BATCH = 5  # of the record with more samples; small sizes may agree by chance


def export_training_step(
    step: Callable[..., Any],
    path: PathLike,
    *arguments: Any,
    dynamic_batch: bool = True,
    random_inputs: bool = False,
    output_names: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Write one training step to an ONNX file: forward, backward and the optimizer's update.

    The step is recorded as by `xpnet.compile`, and undone: models and optimizers stay as they are.

    Parameters
    ----------
    step : callable
        A function that `xpnet.compile` could compile, or has compiled: it takes arrays, and refers to layers and
        optimizers, which it changes. It calls `optimizer.zero_grad()` itself.
    path : str or path-like
        The file. An existing one is replaced in one step, once the new one is complete.
    *arguments : arrays
        What the step is called with, such as one batch: the dtypes and shapes of the inputs.
    dynamic_batch : bool
        Whether the file takes batches of any size. The first axis of each argument is the batch; the
        step is recorded with two sizes, that of the arguments and half of it, and what differs follows
        the inputs. Code that the step selects by the size, `if len(x) > 1`, is that of these sizes.
    random_inputs : bool
        Whether what the step draws at random is an input of the graph, such as the mask of a dropout:
        0 with its probability, else 1, in the dtype of what it masks. Their names are "random", "random_2"
        and so on, in the order in which the step draws. By default that is an error.
    output_names : sequence of str, optional
        The names of what the step returns. By default "loss" for one array; "output.0", "output.1" for
        several, or their keys in a dict.

    Returns
    -------
    dict of str to numpy.ndarray
        The state at the time of the export, by the names of the inputs that take it: copies. It is to be
        saved beside the graph, as by `numpy.savez`.

    Raises
    ------
    CompileError
        The step cannot be recorded, or has an operation that ONNX has no operator for, draws at random,
        or computes with a number that the graph cannot compute. The message names the line.
    ArgumentError, ArgumentTypeError
        The arguments have no common batch; or the step is no function.
    MissingPackageError
        The package onnx is not installed.
    OSError
        The file cannot be written.

    Notes
    -----
    *Inputs.* The arguments by their names, and the state: arrays by their places, such as
    "model.layers.0.weight" and "optimizer.state.0.m"; the count of an optimizer's steps, "optimizer.t"; and
    its learning rate, "optimizer.lr", a float64 number that may be another one in each step. What an
    optimizer computes from its count, such as Adam's corrections, the graph computes.

    *Outputs.* What the step returns, and each new state, named "new." and the name of its input. The file's
    metadata have this mapping as JSON, "xpnet.states".

    An array that the step reads and never changes, such as a frozen weight, is a constant of the graph.

    The losses and weights are those of xpnet up to the rounding of the runtime's sums. Where a gradient is 0
    but for rounding, such as that of a bias before a BatchNorm, Adam divides the rounding by its own size, so
    such a bias drifts in another way.

    Examples
    --------
    >>> import numpy as np
    >>> import xpnet
    >>> from xpnet import functions as F
    >>> from xpnet.saving import export_training_step
    >>> model = xpnet.MLP(4, 8, 3)
    >>> optimizer = xpnet.Adam(model.parameters())
    >>> def step(x, t):
    ...     loss = F.softmax_cross_entropy(model(x), t)
    ...     optimizer.zero_grad()
    ...     loss.backward()
    ...     optimizer.step()
    ...     return loss
    >>> x, t = np.zeros((8, 4), np.float32), np.zeros(8, np.int64)
    >>> state = export_training_step(step, "step.onnx", x, t)  # doctest: +SKIP

    Train with ONNX Runtime and NumPy alone, at a learning rate that decays:

    >>> import onnxruntime  # doctest: +SKIP
    >>> session = onnxruntime.InferenceSession("step.onnx")  # doctest: +SKIP
    >>> names = [output.name for output in session.get_outputs()]  # doctest: +SKIP
    >>> for i in range(100):  # doctest: +SKIP
    ...     state["optimizer.lr"] = np.asarray(0.001 * 0.99**i)
    ...     outputs = dict(zip(names, session.run(None, {"x": x, "t": t, **state})))
    ...     loss = outputs.pop("loss")
    ...     state |= {name.removeprefix("new."): y for name, y in outputs.items()}

    The trained weights are the model's again:

    >>> weights = {name: state[f"model.{name}"] for name in model.state_dict()}  # doctest: +SKIP
    >>> model.load_state_dict(weights)  # doctest: +SKIP
    """
    model, state = training_step_model(
        step,
        *arguments,
        dynamic_batch=dynamic_batch,
        random_inputs=random_inputs,
        output_names=output_names,
    )
    with replacing(path) as temporary:
        temporary.write_bytes(model.SerializeToString())
    return state


def training_step_model(
    step: Callable[..., Any],
    *arguments: Any,
    dynamic_batch: bool = True,
    random_inputs: bool = False,
    output_names: Sequence[str] | None = None,
) -> "tuple[onnx.ModelProto, dict[str, Any]]":
    """`export_training_step` in memory: the model, and the state."""
    try:
        import onnx  # noqa: F401
    except ImportError:
        raise MissingPackageError(
            "export_training_step needs the package onnx: pip install 'xpnet[onnx]'."
        ) from None
    if isinstance(step, Compiled):
        step = step.function
    if not callable(step):
        raise ArgumentTypeError(
            f"Expected a training step, a function of arrays; got {type(step).__name__}."
        )
    other = None
    if dynamic_batch:
        arguments, fewer = _two_batches(arguments)
        other = _recorded(step, fewer).program
    built = _StepGraph(_recorded(step, arguments), other, random_inputs)
    return built.model(output_names), built.state


# --- records ------------------------------------------------------------------------------------------


def _two_batches(arguments: tuple[Any, ...]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """The arguments, with five samples or more, and the same with half of the samples.

    With one sample less, `x[: len(x) // 2]` could have the same length in both, as if it were fixed.
    """
    arrays = [data_of(x) for x in leaves(arguments) if hasattr(data_of(x), "shape")]
    lengths = {x.shape[0] for x in arrays if x.shape}
    if len(lengths) != 1 or 0 in lengths:
        raise ArgumentError(
            f"Expected arguments whose first axis is the batch, got first axes of the lengths {sorted(lengths)}. "
            "Pass dynamic_batch=False for a graph with fixed shapes."
        )
    (n,) = lengths
    size = max(n, LEAST_BATCH)

    def taken(x: Any, size: int) -> Any:
        array = data_of(x)
        if not getattr(array, "shape", ()):
            return x
        times = -(-size // n)
        return array_namespace(array).concat([array] * times)[:size, ...]

    return (
        replaced(arguments, lambda x: taken(x, size)),
        replaced(arguments, lambda x: taken(x, size // 2)),
    )


def _recorded(step: Callable[..., Any], arguments: tuple[Any, ...]) -> Recording:
    """A record of the step, which is undone.

    As for `xpnet.compile`, a step may create something when it is called first; then two records in a row
    must agree.
    """
    problem: str | None = None
    last: Recording | None = None
    varying: set[tuple[int, Any]] = set()
    for _ in range(RECORDINGS):
        recording = _recorded_once(step, arguments, varying)
        varying |= recording.varying
        if last is not None:
            problem = _lasting_change(recording) or _difference(last, recording)
            if problem is None:
                return recording
        last = recording
    raise CompileError(f"The step cannot be exported: {problem}")


def _recorded_once(
    step: Callable[..., Any], arguments: tuple[Any, ...], varying: set[tuple[int, Any]]
) -> Recording:
    """A record of the step, which is undone."""
    generators = [random, *(x for _, x in survey(*roots_of(step, arguments, {})).generators)]
    states = [state_of(x) for x in generators]
    before = Before()
    try:
        recording = recorded_call(step, arguments, varying=varying, before=before)
    except Exception:
        if before.can_undo_error:
            before.undo_error()
            before.undo_actions()
        raise
    finally:
        for x, state in zip(generators, states, strict=True):
            set_state_of(x, state)
    before.undo()
    before.undo_actions()
    failures = dict.fromkeys(map(str, recording.recorder.failures))
    if failures:
        raise CompileError("The step cannot be exported: " + "\n".join(failures))
    return recording


def _lasting_change(recording: Recording) -> str | None:
    """What a step changes that is no array of its state; None if there is nothing."""
    for change in recording.changes.values():
        return f"{change}, which a graph cannot do. Do it outside of the step."
    for place, _ in recording.writes:
        return (
            f"it puts an array into {place.name}, where none was. Create it before, or return it."
        )
    return None


def _difference(a: Recording, b: Recording) -> str | None:
    """What differs in two records; None if they agree."""
    if a.cell_keys != b.cell_keys:
        return "it finds other arrays in each call. Create them outside of the step."
    trees = (a.tree, a.stores), (b.tree, b.stores)
    return difference(a.program, b.program, a.recorder, b.recorder, trees)


# --- the graph ----------------------------------------------------------------------------------------


class _StepGraph:
    """The graph of a step.

    Parameters
    ----------
    recording : Recording
    other : Program or None
        A record of the step at another batch size.
    random_inputs : bool
        See `export_training_step`.

    Attributes
    ----------
    state : dict of str to numpy.ndarray
        The values of the inputs at the time of the export, by their names.
    """

    def __init__(self, recording: Recording, other: Program | None, random_inputs: bool) -> None:
        self.state: dict[str, Any] = {}
        self._states: dict[str, str] = {}  # the names of outputs and of the inputs that take them
        self._graph = Graph("training_step")
        self._recording = recording
        self._program = recording.program
        self._other = other or recording.program
        self._random_inputs = random_inputs
        self._used = used_inputs(recording.program)
        self._names: dict[Value, str] = {}
        self._symbols: dict[str, Symbol] = {}
        self._results: dict[int, Any] = {}  # of actions, with symbols for numbers
        self._counts: list[tuple[str, Symbol]] = []  # inputs, and their new values

    def model(self, output_names: Sequence[str] | None) -> "onnx.ModelProto":
        """The checked model."""
        self._add_arguments()
        updated = self._add_states()
        self._add_hosts()
        lowered = lower(self._graph, self._program, self._names, self._other)
        self._add_results(lowered, output_names)
        for i, name in updated.items():
            value = self._program.updates[i]
            self._add_new(name, lowered[value], host_dtype(value.dtype), lowered.shape(value))
        for name, symbol in self._counts:
            self._add_new(name, symbol.name, symbol.dtype, ())
        metadata = {"xpnet.version": __version__, "xpnet.states": json.dumps(self._states)}
        return self._graph.model(metadata)

    # --- inputs ---------------------------------------------------------------------------------

    def _add_arguments(self) -> None:
        for x, y in zip(self._program.arguments, self._other.arguments, strict=True):
            self._names[x] = self._graph.input(x.name, host_dtype(x.dtype), _shape(x, y))

    def _add_states(self) -> dict[int, str]:
        """Add what the step reads or changes; returns the names of what it changes."""
        updated = {}
        for i, x in enumerate(self._program.states):
            places = self._recording.cells[i]
            is_new = i in self._program.updates
            if not is_new and x not in self._used:
                continue
            if places and all(place.is_gradient for place in places):
                raise CompileError(
                    f"{x.name}: the step adds to the gradients of an earlier step. Call "
                    "optimizer.zero_grad() in the step, before backward()."
                )
            array = self._recording.held[i]
            if places:
                array = places[0].get()
            host = to_numpy(data_of(array))
            if is_new:
                updated[i] = self._names[x] = self._input(x.name, host)
            else:
                self._names[x] = self._graph.parameter(x.name, host)
        return updated

    def _input(self, name: str, x: Any) -> str:
        """Add an input for a state."""
        array = np.array(x, copy=True, order="C")
        name = self._graph.input(name, array.dtype, array.shape)
        self.state[name] = array
        return name

    # --- numbers --------------------------------------------------------------------------------

    def _add_hosts(self) -> None:
        for x, y in zip(self._program.hosts, self._other.hosts, strict=True):
            if x not in self._used:
                continue
            if x.dtype is not None:
                self._names[x] = self._random(x, y)
                continue
            number = self._number(x)
            if isinstance(number, Symbol):
                self._names[x] = number.in_float()
            else:
                self._names[x] = self._graph.constant(number, np.float64)

    def _random(self, x: Value, y: Value) -> str:
        """An input for an array that Python computes in each step."""
        if not self._random_inputs:
            raise CompileError(
                f"{self._reader(x)}: expected a step that draws nothing at random, such as the mask of a "
                "dropout. Set its probability to 0, or pass random_inputs=True: then each mask is an "
                "input, which you draw."
            )
        return self._graph.input("random", host_dtype(x.dtype), _shape(x, y))

    def _reader(self, x: Value) -> str:
        """The line that first uses a value."""
        lines = (op.where for op in self._program.operations if x in op.inputs())
        return next(lines, "the step")

    def _number(self, x: Value) -> Any:
        """A Symbol for a number that Python computes in each step; or the number, if it never changes."""
        recipe = self._recording.recorder.recipes[x.index]
        if recipe[0] == "derived":
            _, function, args = recipe
            return function(*(self._number(y) if isinstance(y, Value) else y for y in args))
        _, i, path = recipe
        found = self._result(i, x)
        for key in path:
            found = found[key]
        return found

    def _result(self, i: int, x: Value) -> Any:
        """What an action of `each_step` returns, computed in the graph."""
        if i not in self._results:
            try:
                self._results[i] = self._computed(self._recording.recorder.actions[i])
            except CompileError as error:
                raise CompileError(f"{self._reader(x)}: {error}") from None
        return self._results[i]

    def _computed(self, action: Callable[[], Any]) -> Mapping[str, Any]:
        """What an action returns, with Symbols."""
        function = getattr(action, "func", action)
        owner = getattr(function, "__self__", None)
        if isinstance(owner, Optimizer) and isinstance(action, partial):
            return self._of_optimizer(owner, *action.args)
        if isinstance(owner, ExponentialMovingAverage):
            return self._of_average(owner)
        raise CompileError(
            "expected numbers that an optimizer or an average computes, got one of another action of "
            "each_step. Pass the number as an argument of the step, an array."
        )

    def _of_optimizer(
        self, optimizer: Optimizer, states: list[dict[str, Any]], group: dict[str, Any]
    ) -> Mapping[str, Any]:
        """The coefficients of a step, from counts that are inputs of the graph."""
        prefix = self._name_of(optimizer)
        options = optimizer._options_of(group)  # noqa: SLF001 - with numbers of the graph
        name = f"{prefix}.lr"
        if "lr" in group:
            (i,) = (i for i, other in enumerate(optimizer.groups) if other is group)
            name = f"{prefix}.groups.{i}.lr"
        if name not in self._symbols:
            self._symbols[name] = self._symbol(name, options["lr"])
        options["lr"] = self._symbols[name]
        counts = {key: self._symbol(f"{prefix}.{key}", states[0][key]) for key in optimizer.counts}
        new = dict(counts)
        found = optimizer._numbers([new], options)  # noqa: SLF001 - with numbers of the graph
        self._counts += [(counts[key].name, new[key]) for key in counts]
        return found

    def _of_average(self, average: ExponentialMovingAverage) -> Mapping[str, Any]:
        """The shares of a moving average, from the count of its updates."""
        given = average.updates
        count: Any = self._symbol(f"{self._name_of(average)}.updates", given)
        average.updates = count
        try:
            found = average._advanced()  # noqa: SLF001 - with numbers of the graph
            self._counts.append((count.name, average.updates))  # type: ignore[arg-type]
        finally:
            average.updates = given
        return found

    def _symbol(self, name: str, number: float) -> Symbol:
        """An input for a number."""
        array = np.asarray(number)
        return Symbol(self._graph, self._input(name, array), array.dtype)

    def _name_of(self, owner: Any) -> str:
        """What a reader would call an optimizer: the name of one of its attributes, without that."""
        for entry in self._recording.before.entries:
            place = entry.place
            if place.owner is owner or place.owner is vars(owner):
                return place.name.removesuffix(f".{place.key}")
        return type(owner).__name__.lower()

    # --- outputs --------------------------------------------------------------------------------

    def _add_results(self, lowered: Lowering, names: Sequence[str] | None) -> None:
        values = self._program.outputs
        if names is None:
            names = _names_in(self._recording.tree)
        if len(names) != len(values):
            raise ArgumentError(
                f"Expected {len(values)} output_names, one for each array that the step returns, got {len(names)}."
            )
        for name, x in zip(names, values, strict=True):
            self._graph.output(name, lowered[x], host_dtype(x.dtype), lowered.shape(x))

    def _add_new(self, name: str, value: str, dtype: Any, shape: Any) -> None:
        self._states[self._graph.output(f"{NEW}{name}", value, dtype, shape)] = name


def _shape(x: Value, y: Value) -> list[int | str]:
    """The shape of an input, in two records."""
    shape: list[int | str] = [*x.shape]
    for axis, n in enumerate(y.shape):
        if n != x.shape[axis]:
            shape[axis] = "batch"
    return shape


def _names_in(tree: Any, name: str = "loss", others: str = "output") -> list[str]:
    """Names for the arrays in what the step returns."""
    if isinstance(tree, Value):
        if tree.source == "host":
            return []
        return [name]
    if isinstance(tree, (Constant, Scalar)):
        return _names_in(tree.value, name)
    if isinstance(tree, dict):
        return [y for key, x in tree.items() for y in _names_in(x, str(key), str(key))]
    if isinstance(tree, (tuple, list)):
        parts = [_names_in(x, f"{others}.{i}", f"{others}.{i}") for i, x in enumerate(tree)]
        return [y for part in parts for y in part]
    return []
